"""Random valid configurations of every environment keep the laws; what the fuzz found is kept; it finds breaches."""

import math
import re
from dataclasses import dataclass, fields, replace

import numpy as np
import pytest
from storelab.envs.core import fuzz
from storelab.envs.core.checks import Bound, bounds_of, check_list, check_number
from storelab.envs.duopoly.params import DuopolyParams
from storelab.envs.inventory.model import Inventory
from storelab.envs.inventory.params import InventoryParams
from storelab.envs.registry import environments, make_env, model_of, params_of
from storelab.errors import FieldError
from storelab.plugins import Environment

from ...conftest import FULL

COUNT = 1000 if FULL else 60  # of each environment; 20,000 by `python -P bench/fuzz.py`
SLOW = {"dispatch": 12, "marketplace": 30, "supply_chain": 40}  # as many take as long
# Parameters without a range: paths, and what is checked as a whole.
OTHER = {
    "initial_pipeline",
    "instances",
    "leads",
    "patterns",
    "models",
    "markets",
    "decides",
    "nodes",
    "arcs",
    "demand",
    "source",
    "target",
    "backorders",
}


@pytest.mark.parametrize("name", list(environments()))
def test_hostile_configurations(name):
    count = COUNT if FULL else SLOW.get(name, COUNT)
    *_, found = fuzz.fuzz(environments()[name], count, seed=10**6)
    assert found.valid == count
    assert not found.failed, found.failed[0]


@pytest.mark.parametrize("name", list(environments()))
def test_every_parameter_states_its_range(name):
    params = params_of(environments()[name])()
    known = {name.partition(".")[0] for name in bounds_of(params)}
    assert {f.name for f in fields(params)} - known <= OTHER


def test_bounds_are_those_of_the_checks():
    bounds = bounds_of(InventoryParams(items=3))
    assert bounds["demand.mean"] == Bound(0, 1e4, exclusive=True, items=3)
    assert bounds["shelf_life"] == Bound(1, 100, integer=True, endless=True, items=3)
    assert bounds["issuing"].choices == ("fifo", "lifo")
    assert bounds["lead_time_pmf"] == Bound(0, 1, length=(0, 100), total=1)
    assert bounds_of(DuopolyParams())["rival_price"].optional
    network = bounds_of(params_of(environments()["supply_chain"])())
    assert network["nodes.shop.demand.kind"].choices[0] == "poisson"
    assert network["arcs.supplier-shop.max_order"].low == 1
    assert Bound(0, 1, endless=True).words() == "a number >= 0 and <= 1, or inf"


@pytest.mark.parametrize(
    ("check", "words"),
    [
        (lambda: check_list("x", [1, 3, 2], 0, 9, rising=True), "x: .*1 to 1000 numbers, rising"),
        (lambda: check_list("x", [0.5, 0.4], 0, 1, total=1), "x: .*that sum to 1"),
        (lambda: check_list("x", [[1], [1, 2]], 0, 1), "x: "),
        (lambda: check_list("x", 3.0, 0, 9), "x: 3.0"),
        (lambda: check_list("x", [2.0], 0, 1), "x: 2.0 is not allowed, expected a number >= 0 and <= 1"),
        (lambda: check_number("x", math.inf, 1, 9), "x: inf"),
        (lambda: check_number("x", math.nan, 1, 9, endless=True), "x: nan"),
        (lambda: check_number("x", None, 1, 9), "x: None"),
        (lambda: check_number("x", True, 0, 9), "x: True"),
        (lambda: check_number("x", 1.5, 0, 9, integer=True), "x: 1.5 is not allowed, expected an integer"),
        (lambda: check_number("x", 0.0, 0, 9, exclusive=True), "x: 0.0 is not allowed, expected a number > 0"),
    ],
)
def test_what_is_not_allowed_is_named(check, words):
    with pytest.raises(FieldError, match=words):
        check()


def breaking(monkeypatch, **methods) -> list:
    """Return what the fuzz finds in an inventory model with methods replaced."""
    broken = type("Broken", (Inventory,), methods)
    monkeypatch.setattr(fuzz, "build", lambda environment, params: broken(params))
    *_, found = fuzz.fuzz(environments()["inventory"], 20)
    return [what for *_, what in found.failed]


@pytest.mark.parametrize(
    ("method", "words"),
    [
        (("money", lambda flow: {"holding_cost": flow.on_hand[:, 0] * np.nan}), "money: holding_cost is nan"),
        (("reward", lambda terms: sum(terms.values())), "reward: .*the terms sum to"),
    ],
)
def test_breaches_are_found(monkeypatch, method, words):
    name, function = method
    found = breaking(monkeypatch, **{name: lambda self, *given: function(*given)})
    assert found
    assert re.search(words, found[0])


def test_lost_units_are_found(monkeypatch):
    def leaky(self, state, action, shock):
        after, flow = Inventory.transition(self, state, action, shock)
        return replace(after, on_hand=after.on_hand - 1), flow

    found = breaking(monkeypatch, transition=leaky)
    assert any("balance of units" in what or "['on_hand'] outside" in what for what in found)


@dataclass
class Endless:
    """Parameters whose construction fails late, by another error than a FieldError."""

    horizon: int = 5

    def __post_init__(self):
        check_number("horizon", self.horizon, 1, 9, integer=True)


def test_a_late_crash_is_found(monkeypatch):
    monkeypatch.setattr(fuzz, "params_of", lambda environment: Endless)
    monkeypatch.setattr(fuzz, "model_of", lambda environment: lambda params: 1 / 0)
    findings = next(fuzz.fuzz(Environment("endless", "nowhere", "", "", {}, ""), 1))
    assert findings.failed[0][2].startswith("at construction: ZeroDivisionError")


# -- what was found ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("task", "changes", "words"),
    [
        ("PricingDuopoly", {"outside": -100.0}, "margin: 0.1 is not allowed with a lowest price of -8.4"),
        ("PricingMNL", {"initial_stock": 2.5}, "initial_stock: 2.5 is not allowed, expected an integer"),
        ("Marketplace", {"mean_cost": 1e6}, "price_sensitivity: 0.12 .*no item has a utility above 700"),
        ("Marketplace", {"price_sensitivity": 1e6}, r"price_sensitivity: 1000000.0"),
        ("Marketplace", {"price_sensitivity": 1e-300}, r"price_sensitivity: 1e-300 .*>= 1e-06"),
        ("Marketplace", {"population": 1e6, "fidelity": "reference"}, "horizon: 56 .*50,000,000 numbers"),
        ("Inventory", {"items": 100_000, "horizon": 10_000}, "horizon: 10000 .*50,000,000 numbers"),
        ("Dispatch", {"cities": 1000, "customers": 2000}, "cities: 1000 is not allowed with 2000 customers"),
        ("PricingReference", {"demand": {"gain": 1e6}, "prices": [0.0, 1e6]}, "demand.gain: .*16,777,216 units"),
        (
            "PricingMNL",
            {"items": 1000, "horizon": 1000, "demand": {"utility": 0.0, "noise": "poisson", "size": 50.0}},
            "50,000,000 numbers",
        ),
    ],
)
def test_numbers_that_make_no_sense_are_refused(task, changes, words):
    with pytest.raises(FieldError, match=words):
        make_env(task, **changes)


def test_stock_beyond_float32_is_counted_exactly():
    env = make_env("Inventory", initial_stock=1e6, max_order=1e6, horizon=80, demand={"mean": 93.0})
    env.reset(seed=0)
    assert env.model.wide
    for _ in range(70):
        *_, info = env.step([1e6])
    stock = info["on_hand"] + info["received"]
    assert stock > 6e7
    *_, info = env.step([0.0])
    assert stock - info["on_hand"] == info["sales"]
    assert 40 < info["sales"] < 150


@pytest.mark.parametrize("lot", [0.1, 2.5, 7.0, 0.0])
def test_supply_chains_of_any_lot_have_no_negative_units(lot):
    changes = {"lot_size": lot, "nodes": {"retailer": {"initial_stock": 0.5}}, "horizon": 60}
    env = make_env("BeerGame", **changes)
    env.reset(seed=0)
    rng = np.random.default_rng(0)
    for _ in range(60):
        observation, *_, info = env.step(rng.uniform(0, 30, env.action_space.shape))
        assert observation.min() >= 0
        assert info["in_transit"] >= 0


def test_gamma_demand_with_a_tiny_deviation_is_quick_and_right():
    env = make_env("Inventory", demand={"kind": "gamma", "mean": 9000.2, "std": 1e-4})
    env.reset(seed=0)
    assert env.step([0.0])[4]["demand"] == 9000


def test_models_are_those_of_their_environment():
    assert model_of(environments()["inventory"]) is Inventory
