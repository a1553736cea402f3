"""Effects and values from logs whose truth is known: confounded ones mislead the naive, not the rest."""

import numpy as np
import pytest
from storelab.errors import FieldError
from storelab.evaluation.causal import (
    Log,
    difference_in_means,
    double_ml,
    doubly_robust,
    off_policy,
    regression,
    slope,
)

EFFECT = 1.5


def confounded(seed: int, n: int = 2000, chance: bool = True) -> Log:
    """The first feature drives both the action and the outcome."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 3))
    p = np.clip(1 / (1 + np.exp(-1.5 * x[:, 0])), 0.05, 0.95)
    action = (rng.random(n) < p).astype(int)
    outcome = 3 * x[:, 0] + EFFECT * action * (1 + 0.5 * x[:, 1]) + rng.normal(size=n)
    return Log(x, action, outcome, np.arange(n) % 20, np.stack([1 - p, p], axis=1) if chance else None)


def test_methods_remove_the_confounding_that_the_naive_has():
    log = confounded(0, chance=False)
    assert difference_in_means(log).low > EFFECT + 1
    for method in (regression, doubly_robust):
        found = method(log)
        assert abs(found.value - EFFECT) < 0.25
        assert found.low < found.value < found.high
    assert doubly_robust(log, 0, 1).value == pytest.approx(-doubly_robust(log).value)


def test_least_squares_is_that_of_the_textbook():
    log = confounded(1)
    design = np.column_stack([np.ones(len(log.action)), log.action, log.features])
    beta = np.linalg.lstsq(design, log.outcome, rcond=None)[0]
    assert regression(log).value == pytest.approx(beta[1])


def test_intervals_of_a_drawn_lot_cover_as_they_say():
    covered = []
    for seed in range(200):
        rng = np.random.default_rng(seed)
        group = np.repeat(np.arange(15), 20)
        outcome = rng.normal(size=15)[group] + rng.normal(size=300)
        action = rng.integers(0, 2, 300)
        covered.append(difference_in_means(Log(np.zeros((300, 1)), action, outcome, group)).covers(0.0))
    assert 0.90 <= np.mean(covered) <= 0.99


def test_estimators_of_another_policy():
    truth = EFFECT * 0.5 + 0.0  # treats where the second feature is above 0: half, whose effect is 1.5 (1 + .5 E|x|)
    truth += EFFECT * 0.5 * np.sqrt(2 / np.pi) * 0.5
    found: dict[str, list] = {}
    for seed in range(12):
        log = confounded(seed)
        target = np.eye(2)[(log.features[:, 1] > 0).astype(int)]
        for name, estimate in off_policy(log, target).items():
            found.setdefault(name, []).append(estimate)
    error = {name: np.sqrt(np.mean([(e.value - truth) ** 2 for e in each])) for name, each in found.items()}
    width = {name: np.mean([e.high - e.low for e in each]) for name, each in found.items()}
    assert error["dr"] < error["ips"]
    assert error["dr"] < 0.2
    assert width["dr"] < width["snips"] < 1.5 * width["ips"]
    assert np.mean([e.covers(truth) for e in found["dr"]]) >= 0.75


def test_a_log_under_its_own_policy_is_its_mean():
    log = confounded(3)
    values = off_policy(log, log.chance)
    assert values["ips"].value == pytest.approx(log.outcome.mean())
    assert values["snips"].value == pytest.approx(log.outcome.mean())


def test_double_machine_learning():
    pytest.importorskip("econml")
    found = double_ml(confounded(0, chance=False))
    assert found.low < EFFECT < found.high
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2000, 2))
    dose = x[:, 0] + rng.normal(size=2000)
    again = [slope(x, dose, 2 * x[:, 0] - 0.7 * dose + rng.normal(size=2000), np.arange(2000) % 20)]
    assert again[0].low < -0.7 < again[0].high


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"action": np.zeros(40, int)}, "action"),
        ({"action": np.tile([0, 2], 20)}, "action"),
        ({"outcome": np.full(40, np.nan)}, "outcome"),
        ({"outcome": np.zeros(39)}, "outcome"),
        ({"group": np.zeros(40)}, "group"),
        ({"chance": np.full((40, 2), 0.4)}, "chance"),
        ({"chance": np.tile([0.0, 1.0], (40, 1))}, "chance"),
    ],
)
def test_bad_logs_are_named(change, word):
    good = {"features": np.zeros((40, 1)), "action": np.tile([0, 1], 20), "outcome": np.zeros(40)}
    good |= {"group": np.arange(40) % 8}
    Log(**good)
    with pytest.raises(FieldError, match=word):
        Log(**good | change)
    with pytest.raises(FieldError, match="target"):
        off_policy(Log(**good), np.ones((40, 2)))
