"""Policies of a user's own: each kind acts as it says, and what is none is refused in one line."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file
from storelab.agents import as_policies, batched, scalar, torch_policy, tune
from storelab.agents.heuristics.inventory import Heuristic
from storelab.envs import TASKS
from storelab.envs.core.contract import Rule
from storelab.errors import FieldError
from storelab.evaluation import evaluate

TASK = TASKS["LostSales"](horizon=60, lead_time=2)
SEEDS = np.arange(6)
LEVEL = 17.0


def up_to(observation):
    return np.clip(LEVEL - observation.sum(axis=1, keepdims=True), 0, None)


def contract(observation, policy_state, seed):
    return up_to(observation), policy_state


def one(observation):
    return max(0.0, LEVEL - float(observation.sum()))


def with_default(observation, level=LEVEL):
    return np.clip(level - observation.sum(axis=1), 0, None)


def keeps_defaults(observation, policy_state=None, seed=0):
    return up_to(observation), policy_state


class Instance:
    def __init__(self, model, level=LEVEL):
        self.model, self.level = model, level

    def __call__(self, observation, policy_state, seed):
        named = self.model.features(observation)
        position = named["on_hand"] + named["pipeline"].sum(axis=1)
        return np.maximum(self.level - position, 0), policy_state


class Predicts:
    def predict(self, observation, state=None, deterministic=False):
        assert deterministic
        return up_to(observation), state


class Acts:
    def act(self, observation):
        return up_to(observation)


class Net(torch.nn.Module):
    def __init__(self, observation_space, action_space):
        super().__init__()
        self.layer = torch.nn.Linear(observation_space.shape[0], len(action_space.nvec))
        with torch.no_grad():
            self.layer.weight.fill_(-1.0)
            self.layer.bias.fill_(LEVEL)

    def forward(self, observation):
        return torch.relu(self.layer(observation))


def maker(model):
    return Heuristic("base_stock", {"level": [LEVEL]}, model)


KINDS = {
    "batch": up_to,
    "contract": contract,
    "default": with_default,
    "defaults": keeps_defaults,
    "class": Instance,
    "instance": Instance(TASK.model()),
    "predict": Predicts(),
    "act": Acts,
    "module": Net,
    "maker": maker,
    "lambda": lambda x: up_to(x),
}


def values(policies) -> dict[str, list[float]]:
    episodes = evaluate(policies, TASK, SEEDS)
    return {name: rows["value"].tolist() for name, rows in episodes.groupby("policy")}


@pytest.fixture(scope="module")
def right() -> list[float]:
    return values({"x": Heuristic("base_stock", {"level": [LEVEL]}, TASK.model())})["x"]


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_acts_as_the_same_heuristic(kind, right):
    policies = as_policies(KINDS[kind], TASK, kind)
    assert list(policies) == [kind]
    assert values(policies)[kind] == right


def test_a_function_of_one_observation(right):
    assert values(as_policies(one, TASK, "x", one_by_one=True) | {"y": scalar(one)}) == {"x": right, "y": right}
    assert values({"x": batched(up_to)})["x"] == right
    with pytest.raises(FieldError, match=r"policy x: .* is not allowed one by one, expected a function of one obs"):
        as_policies(contract, TASK, "x", one_by_one=True)


def test_rules_are_tuned_as_ours_are():
    box = lambda model, scenario: {"level": (0, 40, 8)}
    rule = Rule(lambda model, named, seed, level: model.action_of(named, level - model_position(named)), box)
    found = as_policies(rule, TASK, "mine")["mine"]
    assert found.params["level"] == tune("base_stock", TASK, np.arange(64)).params["level"]
    assert list(as_policies({"a": rule, "b": rule}, TASK)) == ["a", "b"]
    with pytest.raises(FieldError, match=r"policy mine: .* expected one that fits the task's model"):
        as_policies(Rule(rule.act, fits=lambda model: False), TASK, "mine")


def model_position(named):
    return named["on_hand"] + named["pipeline"].sum(axis=1)


def test_weights_of_a_module(tmp_path, right):
    model, path = TASK.model(), tmp_path / "net.safetensors"
    save_file(Net(model.observation_space, model.action_space).state_dict(), path)
    empty = torch.nn.Sequential(torch.nn.Linear(2, 1), torch.nn.ReLU())
    assert values(as_policies(Net, TASK, "x", weights=path))["x"] == right
    for bad, said in (
        (tmp_path / "net.pt", "as torch's own files can run code, expected a file of safetensors"),
        (tmp_path / "none.safetensors", "No such file"),
    ):
        with pytest.raises(FieldError, match=said):
            torch_policy(empty, bad)
    with pytest.raises(FieldError, match=r"Missing key.* expected those of Sequential"):
        torch_policy(empty, path)
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(FieldError, match="expected a file of safetensors"):
        torch_policy(empty, path)
    with pytest.raises(FieldError, match="with policy x, expected none: they are for a torch module"):
        as_policies(up_to, TASK, "x", weights=path)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (3, "policy x: 3 is not allowed, expected a function, a class"),
        ("base_stock", "policy x: 'base_stock' is not allowed, expected a function"),
        (lambda: 1, "with the arguments none, expected a function of .observation."),
        (lambda a, b: 1, "with the arguments a, b, expected a function of .observation."),
        (lambda a, *, level: 1, "with the arguments a, level"),
        (Heuristic, "with the arguments kind, params, model, expected no arguments, or some of task, model"),
    ],
)
def test_what_is_no_policy(given, said):
    with pytest.raises(FieldError, match=said):
        as_policies(given, TASK, "x")


@given(st.integers(0, 4), st.booleans(), st.booleans())
def test_a_functions_arguments_are_counted(positional, several, seeded):
    names = ["observation", "policy_state", "seed", "more"] if seeded else ["a", "b", "c", "d"]
    text = ", ".join([*names[:positional], *(["*rest"] if several else [])])
    function = eval(f"lambda {text}: 0")
    allowed = positional in (1, 3) or (several and positional < 4)
    if not allowed:
        with pytest.raises(FieldError):
            as_policies(function, TASK, "x")
        return
    act = as_policies(function, TASK, "x")["x"]
    assert (act is function) == (positional == 3 or (several and positional != 1))
