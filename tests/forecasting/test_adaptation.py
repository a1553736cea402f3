"""The methods of fine-tuning: what they change, what they leave, and that a saved network forecasts the same."""

import copy
from dataclasses import asdict

import numpy as np
import pytest
import torch
from storelab.forecasting import create, known_future, load
from storelab.forecasting.params import TransformerParams
from storelab.learning.adaptation import Adaptation, Bottleneck
from storelab.learning.params import CHOICES

from .conftest import TINY

METHODS = CHOICES["method"]
FEW = {"fine_tune_steps": 20, "batch_size": 32, "progress": False}


@pytest.fixture(scope="module")
def weak(panel):
    """A network that has more to learn."""
    return create("transformer", **{**TINY, "steps": 20}).fit(panel.until(340))


def tuned(weak, panel, method: str, **more):
    """A copy of it, fine-tuned on the first 340 days."""
    model = copy.deepcopy(weak)
    model.params = TransformerParams(**{**asdict(weak.params), **FEW, "method": method, **more})
    return model.fine_tune(panel.until(340))


def changed(model, before) -> set[str]:
    """Names of the weights that differ."""
    before = before.network.state_dict()
    state = model.network.state_dict()
    return {name for name, value in state.items() if name not in before or not torch.equal(value, before[name])}


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_saved_and_loaded_it_forecasts_the_same(panel, weak, tmp_path, method):
    past, known = panel.until(340), known_future(panel, 340, 28)
    model = tuned(weak, panel, method)
    losses = [row["validation_loss"] for row in model.history]
    assert min(losses) < losses[0]
    model.save(tmp_path)
    twin = load(tmp_path)
    assert twin.fingerprint() == model.fingerprint()
    np.testing.assert_array_equal(twin.predict(past, known), model.predict(past, known))
    assert all(weight.requires_grad for weight in model.network.parameters())  # none stays frozen
    assert not [name for name in model.network.state_dict() if "lora" in name]  # merged


def test_what_is_trained():
    network = create("transformer").network
    whole = sum(weight.numel() for weight in network.parameters())
    trained = {}
    for method in METHODS:
        part = Adaptation(copy.deepcopy(network), TransformerParams(), method, 100).trained
        trained[method] = sum(weight.numel() for weight in part)
    d, f, out, rank = 64, 256, 7 * 12, 8
    adapters, norms = 6 * (2 * d * rank + rank + d), 7 * d  # two in each of three layers
    assert trained["full"] == whole
    assert trained["head"] == d * f + f + f * out + out + d * out + out
    assert trained["adapter"] == adapters + norms
    assert trained["adapter"] < trained["head"] < trained["lora"] < trained["adalora"] < 0.3 * whole


def test_the_head_alone_changes(panel, weak):
    """And what is new, where covariates are known in advance."""
    for planned, new in ((True, {"known"}), (False, set())):
        model = tuned(weak, panel, "head", planned=planned)
        assert {name.split(".")[0] for name in changed(model, weak)} == {"head"} | new


def test_lora_changes_a_weight_by_its_rank_at_most(panel, weak):
    model = tuned(weak, panel, "lora", rank=2)
    names = {name for name in changed(model, weak) if not name.startswith("known.")}
    assert "head.hidden.weight" in names
    assert not [name for name in names if not name.endswith("weight") or "norm" in name]
    difference = model.network.state_dict()["head.hidden.weight"] - weak.network.state_dict()["head.hidden.weight"]
    values = torch.linalg.svdvals(difference.double())
    assert values[1] > 1000 * values[2]


def test_adalora_ends_at_its_budget(panel):
    params = TransformerParams(method="adalora", rank=4, fine_tune_steps=30)
    network = create("transformer").network
    with torch.random.fork_rng():
        torch.manual_seed(0)
        adaptation = Adaptation(network, params, "adalora", 30)
        for step in range(1, 31):
            sum(weight.square().sum() for weight in adaptation.trained).backward()
            with torch.no_grad():
                for name, weight in network.named_parameters():
                    if "lora_E" in name:
                        weight.normal_()
            adaptation.after_step(step)
    kept = {n: int((weight != 0).sum()) for n, weight in network.named_parameters() if "lora_E" in n}
    assert sum(kept.values()) <= 4 * len(kept)
    assert adaptation.penalty() > 0


def test_a_new_adapter_changes_nothing_and_an_old_one_is_kept(panel, weak):
    x = torch.randn(3, 16)
    assert torch.equal(Bottleneck(16, 4, 0.0)(x), x)
    model = tuned(weak, panel, "adapter")
    names = set(model.network.state_dict())
    assert [name for name in names if "dropout.1.up" in name]
    model.fine_tune(panel.until(340))
    assert set(model.network.state_dict()) == names


def test_adapter_dropout_acts_in_training(panel, weak):
    losses = [tuned(weak, panel, "lora", adapter_dropout=share).history[-1]["train_loss"] for share in (0.0, 0.5)]
    assert losses[0] != losses[1]


def test_trained_weights_are_reported(panel, weak):
    network = weak.network
    model = tuned(weak, panel, "head", planned=False)
    assert model.trained_weights == sum(weight.numel() for weight in network.head.parameters())


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", CHOICES["optimizer"])
def test_optimizers_learn(panel, optimizer):
    rate = 0.05 if optimizer == "sgd" else 3e-3
    settings = {**TINY, "optimizer": optimizer, "learning_rate": rate, "schedule": "constant"}
    losses = [row["validation_loss"] for row in create("transformer", **settings).fit(panel.until(340)).history]
    assert min(losses) < 0.8 * losses[0]


@pytest.mark.slow
def test_mixed_precision_stays_near_full(panel):
    fits = [create("transformer", **TINY, precision=name).fit(panel.until(340)) for name in CHOICES["precision"]]
    single, mixed = (min(row["validation_loss"] for row in fit.history) for fit in fits)
    assert mixed == pytest.approx(single, rel=0.05)
    assert mixed != single
    assert {value.dtype for value in fits[1].network.state_dict().values()} == {torch.float32}


@pytest.mark.parametrize(
    ("field", "value"),
    [("method", "prefix"), ("rank", 0), ("alpha", 0.0), ("adapter_dropout", 1.0), ("optimizer", "lion")]
    + [("schedule", "step"), ("precision", "float16"), ("checkpoints", None)],
)
def test_bad_parameters_are_named(field, value):
    with pytest.raises(ValueError, match=rf"{field}: .* is not allowed, expected"):
        TransformerParams(**{field: value})
