"""Simulated backward induction: near the exact program, from scenarios alone."""

import numpy as np
import pytest
from storelab.agents.heuristics import pricing, simulated_dp
from storelab.envs import TASKS
from storelab.evaluation import evaluate


@pytest.mark.parametrize(
    ("name", "changes", "episodes"),
    [
        ("Pricing", {"initial_stock": 5.0, "horizon": 10, "demand": {"size": 4.0}}, 256),
        ("Pricing", {"initial_stock": 4.0, "horizon": 8, "demand": {"size": 3.0}, "action": "continuous"}, 256),
        ("PricingMNL", {"initial_stock": [2.0, 1.0], "horizon": 6}, 64),
    ],
)
def test_nearly_as_good_as_the_exact_program(name, changes, episodes):
    task = TASKS[name](**changes)
    known = task.reference()
    learned = pricing.tune("simulated_dp", task, 10**9 + np.arange(episodes))
    values = evaluate({"learned": learned, "optimum": known.policy}, task, np.arange(6000), rows=3000)
    values = values.pivot(index="seed", columns="policy", values="value")
    loss = values["optimum"] - values["learned"]
    assert loss.mean() < 0.01 * known.value + 2 * loss.std() / np.sqrt(len(loss))


def test_the_same_scenarios_give_the_same_prices():
    task = TASKS["Pricing"](initial_stock=3.0, horizon=4)
    one, again, other = (pricing.tune("simulated_dp", task, seeds).params for seeds in ([1, 2], [1, 2], [3, 4]))
    assert one == again
    assert one != other


def test_what_it_is_too_large_or_not_made_for():
    assert simulated_dp.fits(TASKS["Pricing"]().model())
    for changes in ({"initial_stock": 9999.0}, {"markdown": True}, {"continuing": True}, {"initial_stock": 2.5}):
        assert not simulated_dp.fits(TASKS["Pricing"](**changes).model())
    assert not simulated_dp.fits(TASKS["PricingReference"]().model())
