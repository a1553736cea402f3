"""Figures of merit against hand-made cases."""

import numpy as np
import pytest
from storelab.risk.metrics import Costs, by_group, calibration_error, threshold_of_least_cost, within_budget
from storelab.risk.synthetic import DAY


def test_the_budget_is_a_days():
    time = np.repeat([0, DAY, 2 * DAY], [10, 10, 1])
    score = np.r_[np.arange(10), np.arange(10)[::-1], 0.0]
    chosen = within_budget(score, time, 0.2)
    assert np.flatnonzero(chosen).tolist() == [8, 9, 10, 11, 20]
    assert within_budget(np.zeros(10), np.zeros(10, int), 0.1).argmax() == 0
    assert within_budget(score, time, 1.0).all()
    for bad in (0.0, 1.1, -1.0):
        with pytest.raises(ValueError, match="budget: "):
            within_budget(score, time, bad)


def test_the_rule_of_least_cost_beats_every_threshold_where_the_probabilities_are_true():
    rng = np.random.default_rng(1)
    chance, amount = rng.beta(0.3, 6.0, 50_000), rng.lognormal(3.5, 1.0, 50_000)
    fraud, declined, costs = rng.random(50_000) < chance, rng.random(50_000) < 0.05, Costs()
    price = lambda chosen: costs.total(chosen, fraud, amount, declined)
    ruled = price(costs.worth_review(chance, amount, declined))
    thresholds = {t: price(chance >= t) for t in np.linspace(0, 1, 101)}
    best = threshold_of_least_cost(costs, chance, fraud, amount, declined)
    assert price(chance >= best) <= min(thresholds.values()) * 1.001
    assert ruled < price(chance >= best)
    assert not costs.worth_review(chance, amount, declined)[declined].any()


def test_costs_by_hand():
    costs = Costs(review=5.0, fee=15.0)
    fraud, amount = np.array([True, True, True, False]), np.array([85.0, 35.0, 10.0, 9.0])
    declined, reviewed = np.array([False, False, True, False]), np.array([True, False, False, True])
    assert costs.total(reviewed, fraud, amount, declined) == pytest.approx(1000 * (5 + 50 + 0 + 5) / 4)


def test_calibration_error_of_true_and_of_doubled_probabilities():
    rng = np.random.default_rng(0)
    chance = rng.beta(0.3, 9.0, 200_000)
    fraud = rng.random(200_000) < chance
    assert calibration_error(fraud, chance) < 0.04
    assert calibration_error(fraud, chance / 2) == pytest.approx(0.5, abs=0.03)


def test_groups_by_hand():
    table = by_group(
        np.array(["a", "a", "a", "b", "b"]),
        np.array([True, True, False, False, False]),
        np.array([True, False, True, False, True]),
    )
    assert table.loc["a"].tolist() == [3, 2, 0.5, 1.0]
    assert np.isnan(table.loc["b", "recall"])
    assert table.loc["b", "false_alarms"] == 0.5
