"""Recorded demand made anew: days keep what belongs to them, forecasts what they say, and seeds repeat."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from storelab.envs.core.demand import Days, HistoryDemand
from storelab.envs.core.random import as_keys
from storelab.envs.core.randomised import Randomisation, RandomisedDemand
from storelab.errors import FieldError

LEVELS = [0.1, 0.5, 0.9, 0.95]
PLAIN = Randomisation(level=0, season=0, noise=0, made=0)


def recorded(days: int = 98, mean=(4.0, 30.0), cover: int = 4, seed: int = 0):
    """Poisson demand with its true forecasts; the price says the day, the calendar its weekday."""
    rng, mean = np.random.default_rng(seed), np.asarray(mean)
    demand = rng.poisson(mean, (days, len(mean)))
    forecast = stats.poisson.ppf(LEVELS, cover * mean[:, None])[None].repeat(days, axis=0)
    price = np.repeat(np.arange(days)[:, None], len(mean), axis=1)
    last = stats.poisson.ppf(LEVELS, mean[:, None])[None].repeat(days, axis=0)
    known = Days(price=price, calendar=(np.arange(days) % 7)[:, None], forecast=forecast, arrival=last)
    return HistoryDemand(demand, known)


def source(how: Randomisation, cover: int = 4, **changes) -> RandomisedDemand:
    return RandomisedDemand(recorded(cover=cover, **changes), cover, how, LEVELS)


def test_a_day_keeps_its_demand_price_calendar_and_forecast():
    days = recorded()
    drawn = RandomisedDemand(days, 4, PLAIN, LEVELS).draw(as_keys(np.arange(20)), 70)
    day = drawn["price"][:, :, 0].astype(int)
    assert np.array_equal(drawn["price"][:, :, 1], day)
    assert np.array_equal(drawn["demand"], days.recorded[day])
    assert np.array_equal(drawn["calendar"], days.tables["calendar"][day])
    assert np.array_equal(drawn["forecast"], days.tables["forecast"][day])  # the same on all days
    assert (np.diff(drawn["calendar"][:, :, 0]) % 7 == 1).all()  # weekdays follow one another
    steps = np.diff(day, axis=1)
    assert (steps[:, [27, 55]] != 1).any()
    assert (np.delete(steps, [27, 55], axis=1) == 1).all()


def test_before_a_block_ends_the_forecast_is_of_both_blocks():
    days = recorded()
    moving = days.tables["forecast"] + 10 * np.arange(98)[:, None, None]  # it tells the day
    days = HistoryDemand(days.recorded, Days(price=days.tables["price"], forecast=moving))
    drawn = RandomisedDemand(days, 4, PLAIN, LEVELS).draw(as_keys([3]), 70)
    day = drawn["price"][0, :, 0].astype(int)
    for ahead in range(4):
        own, after = moving[day[27 - ahead]], moving[day[28]]
        share = (ahead + 1) / 4
        np.testing.assert_allclose(drawn["forecast"][0, 27 - ahead], share * own + (1 - share) * after, rtol=1e-6)
    np.testing.assert_allclose(drawn["forecast"][0, 69], moving[day[69]])


@given(
    level=st.floats(0, 1), season=st.floats(0, 0.5), noise=st.floats(0, 0.6), made=st.sampled_from([0.0, 1.0]),
    mean=st.floats(1, 60), cover=st.integers(1, 8), seed=st.integers(0, 2**31),
)  # fmt: skip
@settings(max_examples=12, deadline=None)
def test_forecasts_stay_those_of_the_demand(level, season, noise, made, mean, cover, seed):
    """The quantiles of right forecasts hold for what is made of the days, within what so few episodes can tell."""
    demand = source(Randomisation(level, season, noise, made), cover, days=280, mean=(mean, 3 * mean), seed=seed % 9)
    drawn = demand.draw(as_keys(seed + np.arange(48)), 60 + cover)
    total = np.cumsum(np.pad(drawn["demand"], ((0, 0), (1, 0), (0, 0))), axis=1)
    sums = (total[:, cover:] - total[:, :-cover])[:, ::cover]
    said = drawn["forecast"][:, :61][:, ::cover][:, : sums.shape[1]]
    for k, quantile in enumerate(LEVELS):
        below = (sums <= said[..., k] + 1).mean(), (sums < said[..., k] - 1).mean()
        assert below[0] > quantile - 0.08, (quantile, below)
        assert below[1] < quantile + 0.08, (quantile, below)


def test_the_forecast_of_arrival_is_of_the_day_of_arrival():
    """Also where that lies in the next block: made as long before it as any other."""
    days = recorded()
    telling = 10 * np.arange(98)[:, None, None] + np.zeros((98, 2, 4))  # of a day that comes three days later
    days = HistoryDemand(days.recorded, Days(price=days.tables["price"], forecast=telling, arrival=telling))
    drawn = RandomisedDemand(days, 4, PLAIN, LEVELS).draw(as_keys([3]), 70)
    day = drawn["price"][0, :, 0].astype(int)
    assert np.array_equal(drawn["arrival"][0, :67, 0, 0], 10 * (day[3:] - 3))


def test_levels_are_scaled_with_their_forecasts():
    drawn = source(Randomisation(level=1.0, season=0, noise=0, made=0), mean=(40.0, 90.0)).draw(
        as_keys(np.arange(40)), 64
    )
    demand, median = drawn["demand"].mean(axis=1), drawn["forecast"][:, :, :, 1].mean(axis=1) / 4
    np.testing.assert_allclose(demand, median, rtol=0.1)
    ratio = median / [40, 90]
    assert ratio.min() < 0.6 < 1.7 < ratio.max()
    assert abs(np.corrcoef(ratio.T)[0, 1]) < 0.5  # items apart


@pytest.mark.parametrize("how", [PLAIN, Randomisation()])
def test_seeds_repeat_whatever_the_batch(how):
    one, keys = source(how), as_keys(np.arange(6))
    whole, again, part = one.draw(keys, 50), source(how).draw(keys, 50), one.draw(keys[4:5], 50)
    for name in whole:
        assert np.array_equal(whole[name], again[name])
        assert np.array_equal(whole[name][4], part[name][0])
        assert whole[name].dtype == np.float32
    assert (whole["demand"] == np.round(whole["demand"])).all()
    assert (whole["demand"] <= one.largest).all()
    assert not np.array_equal(whole["demand"][0], whole["demand"][1])


def test_demand_without_forecasts_and_weeks_without_weekdays():
    days = HistoryDemand(recorded().recorded / 3, Days())
    drawn = RandomisedDemand(days, 2, Randomisation(), block=8, week=1).draw(as_keys([0, 1]), 30)
    assert list(drawn) == ["demand"]
    assert (drawn["demand"] != np.round(drawn["demand"])).any()  # divisible goods stay so


@pytest.mark.parametrize(
    ("wrong", "field"),
    [({"block": 30}, "block"), ({"block": 105}, "block"), ({"quantiles": [0.5]}, "quantiles")],
)
def test_what_does_not_fit_is_named(wrong, field):
    given_ = {"days": recorded(), "cover": 4, "how": PLAIN, "quantiles": LEVELS} | wrong
    with pytest.raises(FieldError, match=field):
        RandomisedDemand(**given_)


@pytest.mark.parametrize(("name", "value"), [("level", -1), ("noise", 3), ("season", 1.5), ("made", 2)])
def test_ranges_are_checked(name, value):
    with pytest.raises(FieldError, match=name):
        Randomisation(**{name: value})
