"""The training loop on a linear model, whose optimum is known; resuming; methods, with a new head."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save
from storelab.errors import FieldError
from storelab.learning.adaptation import Adaptation, Bottleneck
from storelab.learning.params import CHOICES, TrainingParams
from storelab.learning.training import Objective, Plan, _checksum, _Run, shuffled, train
from torch import nn

torch.set_num_threads(1)
QUICK = TrainingParams(progress=False, weight_decay=0.0, patience=1000, device="cpu", adapter_dropout=0.1)


class Network(nn.Module):
    """A body with a residual sum, and a head."""

    adapter_sites = "drop"
    width = 6

    def __init__(self):
        super().__init__()
        self.body, self.drop, self.layer_norm = nn.Linear(6, 6), nn.Dropout(0.1), nn.LayerNorm(6)
        self.head = nn.Linear(6, 1)

    def forward(self, x):
        return self.head(self.layer_norm(x + self.drop(torch.tanh(self.body(x)))))[:, 0]


def problem(rows=200, size=20, network=None):
    """Noisy linear data; a network, an objective of squared errors, x and y."""
    rng = np.random.default_rng(0)
    x = torch.from_numpy(rng.normal(size=(rows, 6))).float()
    y = x @ torch.arange(6.0) + torch.from_numpy(rng.normal(size=rows)).float()
    pick = shuffled(rows, size, 0)
    torch.manual_seed(1)
    loss = lambda model, step, generator: (model(x[pick(step)]) - y[pick(step)]).square().mean()
    validation = lambda model: float((model(x) - y).square().mean())
    return network or Network(), Objective(loss, validation, lambda: (x, y, "linear")), x, y


class Linear(nn.Module):
    def __init__(self):
        super().__init__()
        self.head = nn.Linear(6, 1, bias=False)

    def forward(self, x):
        return self.head(x)[:, 0]


@pytest.mark.parametrize(("optimizer", "rate"), [("adamw", 0.1), ("adam", 0.1), ("sgd", 0.05)])
def test_least_squares_is_found(optimizer, rate):
    network, objective, x, y = problem(size=200, network=Linear())
    history, trained, file = train(network, objective, replace(QUICK, optimizer=optimizer), Plan(rate, 400))
    torch.testing.assert_close(network.head.weight[0], torch.linalg.lstsq(x, y).solution, atol=1e-3, rtol=1e-3)
    assert (trained, file) == (6, None)
    assert [row["step"] for row in history] == list(range(0, 401, 20))


def test_weight_decay_shrinks():
    norms = []
    for decay in (0.0, 0.9):
        network, objective, *_ = problem(network=Linear())
        train(network, replace(objective, validation=None), replace(QUICK, weight_decay=decay), Plan(0.1, 300))
        norms.append(network.head.weight.detach().norm().item())
    assert norms[1] < 0.95 * norms[0]


def test_the_best_weights_are_kept_and_patience_ends_a_training():
    network, objective, *_ = problem(network=Linear())
    losses = iter([5.0, 3.0, 1.0, 2.0, 4.0, 6.0])
    seen = []
    validation = lambda model: seen.append(model.head.weight.detach().clone()) or next(losses)
    history, *_ = train(network, replace(objective, validation=validation), replace(QUICK, patience=3), Plan(0.1, 100))
    assert [row["step"] for row in history] == [0, 5, 10, 15, 20, 25]
    assert torch.equal(network.head.weight, seen[2])


@pytest.mark.parametrize("method", CHOICES["method"])
def test_every_method_learns_with_a_new_head_and_goes_on_bit_equal(method, tmp_path, monkeypatch):
    network, objective, *_ = problem()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    plan = Plan(0.01, 60, method=method, dropout=True, new={"head": 0.01})
    history, *_ = train(network, objective, QUICK, plan)
    assert history[-1]["validation_loss"] < history[0]["validation_loss"]
    state = network.state_dict()
    changed = {name for name in before if not torch.equal(before[name], state.get(name, before[name]))}
    assert {"head.weight", "head.bias"} <= changed
    assert ("body.weight" in changed) == (method in ("full", "lora", "adalora"))
    assert not [name for name in state if "lora" in name]

    save, params = _Run.save, replace(QUICK, checkpoints=str(tmp_path))

    def dying(run, file):
        save(run, file)
        if run.step == 30:
            raise KeyboardInterrupt

    monkeypatch.setattr(_Run, "save", dying)
    with pytest.raises(KeyboardInterrupt):
        train(problem()[0], objective, params, plan)
    monkeypatch.undo()
    resumed = problem()[0]
    again, _, file = train(resumed, objective, params, plan)
    assert [file] == list(tmp_path.iterdir())
    assert all(torch.equal(value, resumed.state_dict()[name]) for name, value in state.items())
    assert [row["validation_loss"] for row in again] == [row["validation_loss"] for row in history]


def test_other_data_takes_no_foreign_checkpoint(tmp_path):
    params = replace(QUICK, checkpoints=str(tmp_path))
    for rows in (200, 220):
        network, objective, *_ = problem(rows)
        train(network, objective, params, Plan(0.01, 5))
    assert len(list(tmp_path.iterdir())) == 2


def hostile(kind: str, tensors: dict, state: dict) -> None:
    """Change what a checkpoint holds; its checksum is made right again."""
    moment = next(name for name in tensors if name.endswith("exp_avg"))
    if kind == "weights":
        tensors["weights:head.weight"] = torch.zeros(7, 7)
    elif kind == "best":
        tensors["best:head.bias"] = torch.zeros(2)
    elif kind == "moments":
        tensors[moment] = torch.zeros(3)
    elif kind == "no moment":
        del tensors[moment]
    elif kind == "a moment of nothing":
        tensors["moments:99/exp_avg"] = torch.zeros(3)
    elif kind == "generators":
        tensors["generators:cpu"] = torch.zeros(3, dtype=torch.uint8)
    elif kind == "a group":
        tensors["other:x"] = torch.zeros(3)
    elif kind == "step":
        state["step"] = "5"
    elif kind == "history":
        state["history"] = [{}]
    elif kind == "none":
        state["history"] = []


KINDS = ("weights", "best", "moments", "no moment", "a moment of nothing", "generators", "a group", "step", "history")


@pytest.mark.parametrize("kind", [*KINDS, "none", "no mapping", "deep"])
def test_a_hostile_checkpoint_ends_in_one_line(tmp_path, kind):
    params = replace(QUICK, checkpoints=str(tmp_path))
    network, objective, *_ = problem()
    *_, file = train(network, objective, params, Plan(0.01, 10))
    with safe_open(file, "pt") as content:
        state = json.loads(content.metadata()["state"])
        tensors = {name: content.get_tensor(name) for name in content.keys()}  # noqa: SIM118 - no mapping
    hostile(kind, tensors, state)
    text = {"deep": "[" * 100_000, "no mapping": "7"}.get(kind, json.dumps(state))
    file.write_bytes(save(tensors, {"state": text, "sha256": _checksum(tensors, text)}))
    network, objective, *_ = problem()
    with pytest.raises(FieldError, match=r"^checkpoints: .* expected a checkpoint of this training$") as caught:
        train(network, objective, params, Plan(0.01, 10))
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("content", [b"", b"\xff" * 8 + b"{}", (2**40).to_bytes(8, "little")])
def test_a_damaged_checkpoint_is_as_none(tmp_path, content):
    params = replace(QUICK, checkpoints=str(tmp_path))
    network, objective, *_ = problem()
    first, _, file = train(network, objective, params, Plan(0.01, 10))
    file.write_bytes(content)
    network, objective, *_ = problem()
    again, *_ = train(network, objective, params, Plan(0.01, 10))
    assert [row["validation_loss"] for row in again] == [row["validation_loss"] for row in first]


def test_a_checkpoint_that_is_no_file_is_neither_read_nor_replaced(tmp_path):
    params = replace(QUICK, checkpoints=str(tmp_path / "checkpoints"))
    network, objective, *_ = problem()
    *_, file = train(network, objective, params, Plan(0.01, 10))
    file.unlink()
    os.mkfifo(tmp_path / "pipe")
    file.symlink_to(tmp_path / "pipe")
    network, objective, *_ = problem()
    with pytest.raises(FieldError, match="'a pipe' is not allowed, expected a file"):
        train(network, objective, params, Plan(0.01, 10))
    assert (tmp_path / "pipe").is_fifo()


CODE = """
import sys, time, torch
sys.path.insert(0, sys.argv[1])
from test_training import QUICK, Plan, problem, replace, train, slowed
network, objective, *_ = problem()
train(network, slowed(objective), replace(QUICK, checkpoints=sys.argv[2]), Plan(0.01, 200, dropout=True))
"""


def slowed(objective):
    """The same, so slow that it can be killed."""
    return replace(objective, loss=lambda *args: time.sleep(0.02) or objective.loss(*args))


def test_killed_by_the_system(tmp_path):
    command = [sys.executable, "-c", CODE, os.path.dirname(__file__), str(tmp_path)]
    process = subprocess.Popen(command, env={**os.environ, "OMP_NUM_THREADS": "1"})
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob("*.safetensors")):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    networks, steps = [], []
    for params in (QUICK, replace(QUICK, checkpoints=str(tmp_path))):
        network, objective, *_ = problem()
        loss = objective.loss
        counted = replace(objective, loss=lambda *args, loss=loss: steps.append(args[1]) or loss(*args))
        train(network, counted, params, Plan(0.01, 200, dropout=True))
        networks.append(network.state_dict())
    assert len(steps) < 400
    assert all(torch.equal(value, networks[1][name]) for name, value in networks[0].items())


def test_batches_are_permutations_and_depend_on_the_step_alone():
    pick = shuffled(10, 4, 3)
    epochs = [torch.cat([pick(3 * epoch + k) for k in range(3)]) for epoch in range(3)]
    assert all(sorted(epoch.tolist()) == list(range(10)) for epoch in epochs)
    assert not torch.equal(epochs[0], epochs[1])
    assert torch.equal(shuffled(10, 4, 3)(7), pick(7))
    assert not torch.equal(torch.cat([shuffled(10, 4, 4)(k) for k in range(3)]), epochs[0])


def test_adapters_hang_where_the_network_says():
    network = Network()
    x = torch.randn(4, 6)
    network.eval()
    before = network(x)
    adaptation = Adaptation(network, QUICK, "adapter", 10)
    assert [name for name, module in network.named_modules() if isinstance(module, Bottleneck)] == ["drop.1"]
    assert torch.equal(network.eval()(x), before)
    norms = sum(weight.numel() for weight in network.layer_norm.parameters())
    assert sum(weight.numel() for weight in adaptation.trained) == norms + 2 * 6 * 8 + 8 + 6


@pytest.mark.parametrize(
    ("field", "value", "allowed"),
    [
        ("method", "prefix", "full, head, adapter, lora, adalora"),
        ("epochs", 0, "whole number from 1 to"),
        ("batch_size", 1.5, "type int"),
        ("learning_rate", float("nan"), "number from 0 to 1"),
        ("alpha", 0.0, "number above 0"),
        ("adapter_dropout", 1.0, "number below 1"),
        ("device", "nowhere", "auto, cpu, cuda"),
        ("seed", -1, "whole number from 0"),
        ("progress", 1, "type bool"),
    ],
)
def test_bad_parameters_are_named(field, value, allowed):
    with pytest.raises(ValueError, match=rf"{field}: {re.escape(repr(value))} is not allowed, expected .*{allowed}"):
        TrainingParams(**{field: value})
