"""Pricing rules: closed forms they rest on, tuning that finds the known best, learning that learns."""

import json
import math

import numpy as np
import pytest
from storelab.agents import rules_of
from storelab.agents.heuristics import pricing
from storelab.envs import TASKS, HistoryDemand, Pricing, PricingParams
from storelab.envs.pricing.references import gallego_van_ryzin as gvr
from storelab.envs.pricing.references import mnl, price_dp
from storelab.evaluation import evaluate

SEEDS = 10**9 + np.arange(256)


def observation(task, on_hand, period=0):
    model = task.model()
    state = model.initial(1)
    state.on_hand = np.array([on_hand], np.float32)
    return model.observation(state, {k: v[:, period] for k, v in model.scenarios([0]).items()})


def test_the_fluid_price_is_gallego_and_van_ryzins():
    task = TASKS["Pricing"](action="continuous", prices=[0.1, 9.0])
    for stock in (3, 10, 30):
        rule = pricing.Heuristic("resolved_fluid", {"size": [2.0]}, task.model())
        assert rule(observation(task, [stock]), None, 0)[0] == pytest.approx(gvr.fluid(stock, 40)[0], rel=1e-5)
        assert rule(observation(task, [stock], 10), None, 0)[0] == pytest.approx(gvr.fluid(stock, 20)[0], rel=1e-5)


def test_the_fluid_prices_of_substitutes_sell_at_most_the_stock_and_are_best():
    task = TASKS["PricingMNL"](items=3, initial_stock=5.0, demand={"utility": [1.0, 1.5, 0.2]}, prices=[0.1, 20.0])
    model = task.model()
    price = pricing.fluid_price(model, np.array([[4.0, 2.0, 90.0]]), 40, np.full(3, 0.5), None)[0]
    share = mnl.shares([1.0, 1.5, 0.2], 1.0, price)
    assert (20 * share <= np.array([4, 2, 90]) + 1e-6).all()
    assert 20 * share[:2] == pytest.approx([4, 2])  # both bind
    # No move along the constraint earns more: the third price alone is free.
    for moved in (price + [0, 0, d] for d in (-0.01, 0.01)):
        q3 = mnl.shares([1.0, 1.5, 0.2], 1.0, moved)[2]
        nothing = 1 - share[:2].sum() - q3
        implied = np.array([1.0, 1.5]) - np.log(share[:2] / nothing)
        assert share[:2] @ implied + q3 * (0.2 - np.log(q3 / nothing)) <= share @ price + 1e-9


def test_the_fixed_price_found_is_the_best_one():
    task = TASKS["Pricing"]()
    model = task.model()
    pmfs = [model.params.demand.pmf(2 * math.exp(-p)) for p in model.prices]
    values = price_dp.fixed_values(model.prices, pmfs, 10, 20)
    (found,) = pricing.tune("fixed_price", task, 10**9 + np.arange(4096)).params["price"]
    assert values[np.abs(model.prices - found).argmin()] > values.max() - 0.08


def test_myopic_logit_prices_are_lambert_w():
    task = TASKS["PricingMNL"](initial_stock=math.inf)
    rule = pricing.tune("myopic", task, [0, 1])
    observed = np.ones((1, 1), np.float32)
    assert rule(observed, None, 0)[0][0] == pytest.approx(mnl.best_prices([1.0, 1.5], 1.0, [0.0, 0.0])[0], rel=1e-6)


@pytest.mark.parametrize("kind", ["exponential", "elastic"])
def test_thompson_sampling_learns_the_curve(kind):
    """Much stock and a long season: the posterior settles near the truth, and the price near the best one."""
    demand = {"kind": kind, "size": 5.0, "sensitivity": 2.0, "list_price": 1.0}
    task = TASKS["Pricing"](
        demand=demand, initial_stock=900.0, horizon=150, action="continuous", prices=[0.3, 3.0], purchase_cost=0.4
    )
    model, rule = task.model(), pricing.tune("thompson", task, [0])
    scenario, state, memory, paid = model.scenarios(np.arange(40)), model.initial(40), None, []
    for t in range(150):
        shock = {name: block[:, t] for name, block in scenario.items()}
        action, memory = rule(model.observation(state, shock), memory, t)
        state, flow = model.transition(state, action.astype(np.float32), shock)
        paid.append(model.money(flow)["revenue"] - model.money(flow)["purchase_cost"])
    early, late = np.mean(paid[:10]), np.mean(paid[-50:])
    best = 0.4 + 0.5 if kind == "exponential" else 0.8
    most = float((best - 0.4) * model.curve(np.array([best]))[0])
    assert late > 0.9 * most
    assert late > early


def test_order_on_common_scenarios():
    """What knows the curve and re-solves beats what does not re-solve, and the optimum beats all."""
    task = TASKS["Pricing"](initial_stock=5.0)
    policies = {kind: pricing.tune(kind, task, SEEDS) for kind in ("fluid", "resolved_fluid", "thompson", "random")}
    mean = evaluate(policies | {"optimum": task.reference().policy}, task, np.arange(4000), rows=2000)
    mean = mean.groupby("policy")["value"].mean()
    assert mean["optimum"] > mean["resolved_fluid"] > mean["fluid"] > mean["thompson"]


@pytest.mark.parametrize("name", ["Pricing", "PricingMNL", "PricingReference"])
def test_all_available_rules_act_inside_the_space(name):
    task = TASKS[name]()
    model = task.model()
    assert rules_of(model) is pricing
    for kind in pricing.available(model):
        rule = pricing.tune(kind, task, SEEDS[:8])
        again = pricing.Heuristic(kind, json.loads(json.dumps(rule.params)), model)
        episodes = evaluate({"a": rule, "b": again}, task, [0, 1])
        assert episodes["clipped_actions"].sum() == 0
        assert episodes.groupby("policy")["value"].mean().nunique() == 1


def test_the_size_of_recorded_demand_is_its_mean():
    task = TASKS["Pricing"](demand={"kind": "elastic", "list_price": 2.0})
    task.train = HistoryDemand(np.tile([[1.0], [4.0]], (20, 1)))
    assert pricing.tune("resolved_fluid", task, np.arange(100)).params["size"] == pytest.approx([2.5], abs=0.1)
    assert "thompson" not in pricing.available(task.model())


def test_what_cannot_be_tuned_is_refused():
    with pytest.raises(ValueError, match="kind: 'thompson' is not allowed for this task, expected one of fixed_price"):
        pricing.tune("thompson", TASKS["PricingMNL"](), [0])
    assert pricing.available(Pricing(PricingParams(continuing=True, initial_stock=math.inf))) == [
        *("fixed_price", "myopic", "random")
    ]
