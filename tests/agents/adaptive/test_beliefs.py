"""Beliefs: level, change, trend and season from few samples; lead times and lost orders from arrivals."""

import numpy as np
import pytest
from storelab.agents.adaptive.demand import DemandBelief, Luck
from storelab.agents.adaptive.supply import LONGEST, LOST, SupplyBelief

PERIODS = np.arange(1, 6)


def forecast(demand: np.ndarray, history: np.ndarray, ahead: int = 5) -> np.ndarray:
    """Sample paths (128, ahead) of one item after a history and demand."""
    belief = DemandBelief(history[None], PERIODS, 60)
    for t, units in enumerate(demand, 1):
        belief.update(np.array([units]), t)
    return belief.paths(len(demand) + 1, ahead, Luck(128, ahead, 0))[0]


@pytest.fixture
def noise():
    return np.random.default_rng(3).normal(0, 1, 60)


def test_a_steady_demand_has_its_mean_and_spread(noise):
    paths = forecast(100 + 25 * noise[5:45], 100 + 25 * noise[:5])
    assert paths.mean() == pytest.approx(100, abs=9)
    assert paths.std() == pytest.approx(25, rel=0.4)


def test_a_change_is_seen_within_periods(noise):
    demand = np.concatenate([np.full(15, 100), np.full(4, 200)]) + 20 * noise[5:24]
    paths = forecast(demand, 100 + 20 * noise[:5])
    assert np.median(paths) == pytest.approx(200, abs=20)
    assert np.median(forecast(demand[:15], 100 + 20 * noise[:5])) == pytest.approx(100, abs=12)


def test_a_trend_goes_on(noise):
    t = np.arange(1, 31)
    paths = forecast(50 + 5 * t + 5 * noise[5:35], 50 + 5 * PERIODS + 5 * noise[:5])
    assert np.median(paths, axis=0) == pytest.approx(50 + 5 * np.arange(31, 36), rel=0.08)


def test_a_season_turns(noise):
    wave = lambda t: 100 + 50 * np.sin(2 * np.pi * t / 10)
    paths = forecast(wave(np.arange(1, 31)) + 10 * noise[5:35], wave(PERIODS) + 10 * noise[:5], ahead=10)
    assert np.corrcoef(np.median(paths, axis=0), wave(np.arange(31, 41)))[0, 1] > 0.9


def test_weights_are_probabilities_and_rows_do_not_meet(noise):
    history = np.stack([100 + 20 * noise[:5], 50 + 5 * noise[:5]])
    both = DemandBelief(history, PERIODS, 20)
    alone = DemandBelief(history[1:], PERIODS, 20)
    for t in range(1, 9):
        both.update(history[:, t % 5], t)
        alone.update(history[1:, t % 5], t)
    assert both.weights.sum(axis=1) == pytest.approx(np.ones(2))
    luck = Luck(32, 4, 1)
    np.testing.assert_array_equal(both.paths(9, 4, luck)[1:], alone.paths(9, 4, luck))


def test_a_sudden_zero_is_no_trouble():
    assert np.isfinite(forecast(np.zeros(20), np.zeros(5))).all()


def test_arrivals_tell_whose_they_are():
    supply = SupplyBelief(np.array([2.0]))
    before = supply.counts.copy()
    came = {0: 0, 1: 10, 2: 0, 3: 50, 4: 0}
    for t, units in enumerate([10, 20, 30, 40, 50]):
        supply.update(np.array([float(units)]), np.array([float(came[t])]))
    gained = (supply.counts - before)[0]
    assert gained[[1, 2]] == pytest.approx([2, 1])  # after one period those of 10 and 30, after two that of 20
    assert supply.waiting[0, :6].tolist() == [0, 50, 40, 0, 0, 0]


def test_an_order_that_never_comes_is_written_off():
    supply = SupplyBelief(np.array([0.0]))
    supply.update(np.array([7.0]), np.array([0.0]))
    chance = supply.eventually()[0]
    for _ in range(LONGEST):
        assert supply.waiting.sum() == 7
        supply.update(np.array([0.0]), np.array([0.0]))
    assert supply.waiting.sum() == 0
    assert supply.counts[0, LOST] > 1
    assert chance[0] > chance[1]  # what has not come when it was promised is the less likely to come


def test_a_kept_promise_is_believed():
    supply = SupplyBelief(np.array([4.0]))
    for t in range(12):
        supply.update(np.array([5.0 + t]), np.array([5.0 + t - 4 if t >= 4 else 0.0]))
    assert supply.chances[0, 4] > 0.95
    drawn = supply.fresh(np.random.default_rng(0).random((200, 3)))
    assert (drawn == 4).mean() > 0.9
