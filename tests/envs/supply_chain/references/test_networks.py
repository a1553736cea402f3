"""Lot sizing, dual sourcing and bounds in hindsight: known numbers, closed forms, and the simulator."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from storelab.envs import TASKS, Arc, DemandParams, Node, SupplyChain
from storelab.envs.core import pmf
from storelab.envs.core.rollout import rollout
from storelab.envs.inventory.references import lot_sizing, newsvendor
from storelab.envs.supply_chain.params import network
from storelab.envs.supply_chain.references import dual_sourcing, hindsight
from storelab.evaluation import evaluate

from ..test_model import problems, random_policy

PUBLISHED = [24, 14, 18, 22, 19, 21, 25, 24, 24, 19, 15, 18, 20, 14, 16, 19, 23, 18, 22, 16, 24, 23, 19, 14, 22]
PUBLISHED += [21, 22, 21, 16, 25]


def test_wagner_whitin():
    """Snyder and Shen 2019, example 3.9: 1380."""
    orders, cost = lot_sizing.wagner_whitin([90, 120, 80, 70], 2.0, 500.0)
    assert (orders.tolist(), cost) == ([210, 0, 150, 0], 1380.0)


@given(demand=st.lists(st.integers(0, 30), min_size=1, max_size=6), fixed=st.floats(0, 80), unit=st.floats(0, 3))
@settings(max_examples=30)
def test_wagner_whitin_is_the_best_of_all_plans(demand, fixed, unit):
    orders, cost = lot_sizing.wagner_whitin(demand, 1.0, fixed, unit)
    stock = np.cumsum(orders - np.array(demand))
    assert (stock >= -1e-9).all()
    assert cost == pytest.approx(stock.sum() + fixed * (orders > 0).sum() + unit * orders.sum())
    best, count = np.inf, len(demand)
    for mask in range(2**count):  # an order in these periods, each up to the next
        when = [t for t in range(count) if mask >> t & 1]
        plan = np.zeros(count)
        for t, end in zip(when, [*when[1:], count], strict=False):
            plan[t] = sum(demand[t:end])
        left = np.cumsum(plan - np.array(demand))
        if (left >= 0).all():
            best = min(best, left.sum() + fixed * (plan > 0).sum() + unit * plan.sum())
    assert cost == pytest.approx(best)


def test_lot_sizing_is_what_the_mixed_integer_program_finds():
    nodes = {"a": Node(), "shop": Node(DemandParams(), holding_cost=2.0, backorder_cost=1e4)}
    arcs = [Arc("a", "shop", 0, fixed_cost=500.0, max_order=1000.0)]
    model = SupplyChain(network(nodes, arcs, horizon=4, continuing=False))
    bound = hindsight.bounds(model, {"demand": np.array([[[90], [120], [80], [70], [0]]], np.float32)})
    assert bound[0] == pytest.approx(-1380, rel=2e-4)


@pytest.mark.parametrize("mean", [2.0, 4.0])
@pytest.mark.parametrize(("regular", "express"), [(1, 0), (2, 0), (3, 1)])
def test_dual_sourcing_at_its_ends(mean, regular, express):
    """Express at the regular price is a newsvendor with the express lead time; at a huge one, with the regular."""
    demand = pmf.poisson(mean)
    for dear, lead in ((1.0, express), (500.0, regular)):
        solution = dual_sourcing.solve(demand, regular, express, 1.0, 19.0, 1.0, dear)
        cost = newsvendor.solve(pmf.total(demand, lead + 1), 1.0, 19.0)[1] + mean
        assert solution.cost == pytest.approx(cost, abs=2e-4)
        assert solution.lower <= solution.cost <= solution.upper


@pytest.mark.parametrize(("slow", "fast"), [(2, 0), (3, 1), (1, 0)])
def test_dual_sourcing_in_the_simulator(slow, fast):
    task = TASKS["DualSourcing"](arcs={"regular-shop": {"lead_time": slow}, "express-shop": {"lead_time": fast}})
    reference = task.reference()
    values = evaluate({"optimal": reference.policy}, task, np.arange(300), horizon=400)["value"]
    error = values.std() / np.sqrt(len(values))
    assert abs(values.mean() - reference.value) < 4 * error
    assert error < 0.01 * reference.value  # the test can fail


def test_the_oracle_that_was_published():
    """gym-invmgmt's network on its seed 42 (stationary, backlog): 857.9, its published plan in hindsight."""
    model = TASKS["NetworkManagement"]().model()
    bound = hindsight.bounds(model, {"demand": np.array([*PUBLISHED, 0], np.float32).reshape(1, 31, 1)})
    assert bound[0] == pytest.approx(857.9, abs=0.05)


@given(params=problems(), seed=st.integers(0, 2**40))
@settings(max_examples=40)
def test_no_policy_beats_the_bound(params, seed):
    model = SupplyChain(params)
    scenario = model.scenarios([seed])
    try:
        bound = hindsight.bounds(model, scenario)[0]
    except ValueError:  # buying to salvage pays
        assert not params.continuing
        return
    for k in range(3):
        run = rollout(model, random_policy(model), scenario, seed=seed % 1000 + k)
        earned = run["reward"].sum(dtype=np.float64)
        assert earned <= bound + 1e-3 * (1 + abs(bound) + abs(earned))


def test_the_bound_is_tight_where_the_best_is_known():
    """Demand in each period is met by an order that arrives with it: nothing is held, nobody waits after the first."""
    nodes = {"a": Node(), "shop": Node(DemandParams(), price=5.0, holding_cost=1.0, backorder_cost=2.0)}
    model = SupplyChain(network(nodes, [Arc("a", "shop", 1, unit_cost=3.0)], horizon=6, continuing=False))
    scenario = model.scenarios([3])
    demand = scenario["demand"][0, :, 0]
    bound = hindsight.bounds(model, scenario)[0]
    # The first period's customers wait a period; the rest are served on the day. Each unit earns 5 - 3.
    assert bound == pytest.approx(2 * demand[:6].sum() - 2 * demand[0])
    queue = iter([demand[0] + demand[1], *demand[2:6], 0])
    best = rollout(model, lambda o, s, seed: (np.full((1, 1), next(queue)), s), scenario)
    assert best["reward"].sum() == pytest.approx(bound)
