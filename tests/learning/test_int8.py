"""Layers of bytes: near the floats, the same for a row whatever is beside it, saved and loaded bit for bit."""

import copy

import pytest
import torch
from storelab.learning import int8
from storelab.learning.int8 import Int8Linear, expect_int8, to_int8
from torch import nn

torch.set_num_threads(1)


@pytest.fixture
def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(64, 96), nn.GELU(), nn.Linear(96, 8, bias=False)).eval()


def test_near_the_floats_and_a_quarter_of_their_size(network):
    x = torch.randn(50, 64) * torch.logspace(-3, 3, 50)[:, None]  # rows of very different size
    made = copy.deepcopy(network)
    assert to_int8(made, least=1) == ["0", "2"]
    first, found = network[0](x), made[0](x)
    assert ((found - first).norm(dim=1) < 0.03 * first.norm(dim=1)).all()
    assert made[0].weight.dtype == torch.int8


def test_narrow_layers_stay(network):
    assert to_int8(network, least=65) == ["2"]
    assert type(network[0]) is nn.Linear


def test_a_row_does_not_depend_on_the_others(network):
    to_int8(network, least=1)
    x = torch.randn(3, 5, 64)
    x[1] *= 1000
    together = network(x)
    assert together.shape == (3, 5, 8)
    for row in range(3):
        torch.testing.assert_close(network(x[row : row + 1])[0], together[row], rtol=1e-5, atol=1e-6)


def test_a_row_of_nothing(network):
    to_int8(network, least=1)
    assert torch.isfinite(network(torch.zeros(2, 64))).all()


def test_saved_and_loaded(network):
    plain = copy.deepcopy(network)
    to_int8(network, least=1)
    x = torch.randn(4, 64)
    expect_int8(plain, network.state_dict())
    plain(x)  # packs the empty weights, which loading has to undo
    plain.load_state_dict(network.state_dict())
    assert torch.equal(plain(x), network(x))
    assert torch.equal(copy.deepcopy(network)(x), network(x))


def test_gradients_flow_through_floats(network):
    to_int8(network, least=1)
    x = torch.randn(4, 64, requires_grad=True)
    network(x).sum().backward()
    assert x.grad.abs().sum() > 0


def test_without_products_of_bytes_they_are_floats(network, monkeypatch):
    to_int8(network, least=1)
    x = torch.randn(4, 64)
    fast = network(x)
    monkeypatch.setattr(int8, "_products", lambda: False)
    torch.testing.assert_close(network(x), fast, rtol=0.1, atol=0.02)


def test_rounding_is_to_the_nearest_byte():
    layer = nn.Linear(4, 2)
    made = Int8Linear.of(layer)
    gap = (made.weight.float() * made.scale[:, None] - layer.weight).abs()
    assert (gap <= 0.5001 * made.scale[:, None]).all()
