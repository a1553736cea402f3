"""Every registered task keeps the contract, in the adapters' variants too; and the check finds breaches."""

import numpy as np
import pytest
from storelab.envs import TASKS, Reference
from storelab.envs.core.conformance import check_model, check_task
from storelab.envs.inventory.model import Inventory
from storelab.envs.inventory.params import InventoryParams
from storelab.envs.registry import entries, environment_of, environments, make_env, model_of, params_of

from .test_adapters import VARIANTS

SHORT = {"ManyItems": {"items": 5}, "SyntheticStore": {"data": {"items": 4, "days": 500}}}


@pytest.mark.parametrize("name", list(TASKS))
def test_every_task_keeps_the_contract(name, data_of):
    check_task(TASKS[name](**SHORT.get(name, {}), **data_of(name)))


@pytest.mark.parametrize(("name", "changes"), VARIANTS)
def test_variants_keep_the_contract(name, changes):
    check_task(TASKS[name](**changes), pictures=False)


def broken(**methods):
    """Return a model of one item with some methods replaced."""
    return type("Broken", (Inventory,), methods)(InventoryParams(horizon=5))


@pytest.mark.parametrize(
    ("methods", "words"),
    [
        ({"observe": lambda self, state, signal: {"stock": state.on_hand}}, "observe: .*layout"),
        ({"reward": lambda self, terms: terms["holding_cost"]}, "reward: not the gains less the costs"),
        ({"item_profit": lambda self, flow: flow.demand}, "item_profit: does not sum"),
        ({"info": lambda self, flow, terms: {"demand": flow.demand}}, "info demand: shape"),
        (
            {"transition": lambda self, state, action, shock: _noisy(self, state, action, shock)},
            "transition: it draws|transition: not deterministic",
        ),
        ({"scenarios": lambda self, seeds: _crowded(self, seeds)}, "a row depends on the batch"),
    ],
)
def test_breaches_are_found(methods, words):
    with pytest.raises(AssertionError, match=words):
        check_model(broken(**methods))


def _noisy(model, state, action, shock):
    return Inventory.transition(model, state, action + np.random.rand(*action.shape), shock)  # noqa: NPY002


def _crowded(model, seeds):
    scenario = Inventory.scenarios(model, seeds)
    return {name: block + len(block) for name, block in scenario.items()}


def test_the_registry_knows_each_model():
    for environment in environments().values():
        assert params_of(environment)() is not None
        assert issubclass(model_of(environment), object)
        assert environment.picture in TASKS
    task = TASKS["Serial"]()
    assert environment_of(task.model()).name == "supply_chain"
    assert environment_of(broken()).name == "inventory"  # a subclass is of its parent's environment
    with pytest.raises(ValueError, match="model: 'object' is not allowed, expected a model of one of"):
        environment_of(object())


def test_every_task_is_declared_with_words_and_an_environment():
    for name, entry in entries().items():
        assert entry.problem, name
        assert entry.reference, name
        assert entry.environment in environments(), name


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: make_env("LostSale"), r"task: 'LostSale' is not allowed.*did you mean LostSales\?"),
        (lambda: make_env("LostSales", lead=3), "lead: 3 is not allowed, expected one of items"),
        (
            lambda: make_env("LostSales", split="held_out"),
            "split: 'held_out' is not allowed, expected one of train, learn",
        ),
        (lambda: make_env(TASKS["LostSales"](), lead_time=3), "lead_time: 3 is not allowed beside a Task"),
    ],
)
def test_bad_calls_are_named(call, words):
    with pytest.raises(ValueError, match=words):
        call()


def test_references_carry_policy_and_levels_as_data():
    serial, fixed = TASKS["Serial"]().reference(), TASKS["FixedCost"]().reference()
    assert isinstance(serial, Reference)
    assert np.allclose(serial.levels["level"], [22.71, 12.02, 6.49], atol=0.02)  # Snyder and Shen 2019, example 6.1
    assert set(fixed.levels) == {"s", "S"}
    for name in ("LostSales", "FixedCost", "Newsvendor", "Perishable", "Serial", "DualSourcing", "Pricing"):
        assert TASKS[name]().reference().policy is not None, name
