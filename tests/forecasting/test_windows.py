import numpy as np
import pytest
import torch
from storelab.data import SyntheticStoreParams, generate
from storelab.forecasting import known_future
from storelab.forecasting.windows import CHANNELS, COVARIATES, PAST_COVARIATES, PATCH, SUMMARY, Windows

UNITS, OBSERVED, RATIO, PRICE_KNOWN, PROMO, CLOSED, HOLIDAY, AHEAD, STORE, YEAR = range(10)  # as in NAMES
SLOTS = CHANNELS - COVARIATES - PAST_COVARIATES


@pytest.fixture
def store():
    """A panel of its own to change."""
    return generate(SyntheticStoreParams(items=12, days=200)).panel


def at(panel, origin: int, item: int = 0, planned: bool = True, context: int = 84, horizon: int = 28, **more):
    windows = Windows(panel, context, horizon, planned)
    return windows.batch(torch.tensor([item]), torch.tensor([origin]), **more)


def channel(patches: torch.Tensor, which: int) -> np.ndarray:
    """(days,) of the first window."""
    return patches[0].unflatten(1, (PATCH, CHANNELS))[..., which].flatten().numpy()


def test_past_is_scaled_units_and_target_what_came(store):
    batch = at(store, 150)
    units = store.units[:, 0]
    scale = units[94:150].mean()
    assert float(batch.scale) == pytest.approx(scale)
    np.testing.assert_allclose(channel(batch.past, UNITS), np.arcsinh(units[66:150] / scale), rtol=1e-5)
    np.testing.assert_allclose(batch.target[0], np.arcsinh(units[150:178] / scale), rtol=1e-5)
    assert (channel(batch.future, UNITS) == 0).all()
    assert (channel(batch.future, OBSERVED) == 0).all()


def test_training_and_prediction_take_the_same_window(store):
    """From the whole panel at an origin in the middle, and from its past and the known future: equal inputs."""
    origin, item = 120, torch.arange(12)
    for planned in (True, False):
        training = Windows(store, 84, 28, planned).batch(item, torch.full((12,), origin))
        known = known_future(store, origin, 28)
        predicting = Windows(store.until(origin), 84, 28, planned, known).batch(item, torch.full((12,), origin))
        for name in ("past", "future", "seen", "summary", "scale", "closed"):
            assert torch.equal(getattr(training, name), getattr(predicting, name)), name
        assert predicting.target.isnan().all()


def test_unplanned_covariates_of_the_horizon_are_not_used(store):
    before = {planned: at(store, 150, planned=planned).future.clone() for planned in (True, False)}
    store.price[150:] *= 0.5
    store.promo[150:] = True
    assert torch.equal(at(store, 150, planned=False).future, before[False])
    future = at(store, 150, planned=True).future
    assert (channel(future, PROMO) == 1).all()
    assert channel(future, RATIO).max() < channel(before[True], RATIO).min()
    assert (channel(before[False], PRICE_KNOWN) == 0).all()


def test_missing_price_in_the_horizon_holds_the_last_one(store):
    store.price[148:] = 0.5 * store.price[147]
    held = channel(at(store, 150).past, RATIO)[-1]
    store.price[152:] = np.nan
    future = at(store, 150).future
    np.testing.assert_allclose(channel(future, RATIO), held, rtol=1e-5)
    np.testing.assert_array_equal(channel(future, PRICE_KNOWN), [1, 1] + [0] * 26)


def test_missing_and_closed_days_are_not_zeros(store):
    store.units[140:143, 0] = np.nan
    store.closed[130] = store.closed[155] = True
    store.units[160, 0] = np.nan
    batch = at(store, 150)
    observed = channel(batch.past, OBSERVED)
    np.testing.assert_array_equal(np.flatnonzero(observed == 0), [130 - 66, 140 - 66, 141 - 66, 142 - 66])
    assert np.flatnonzero(batch.target[0].isnan()).tolist() == [5, 10]
    assert np.flatnonzero(batch.closed[0]).tolist() == [5]
    kept = np.r_[94:130, 131:140, 143:150]
    assert float(batch.scale) == pytest.approx(store.units[kept, 0].mean())


def test_history_before_the_panel_and_the_launch_is_not_seen(store):
    store.units[:100, 0] = np.nan
    batch = at(store, 150)
    np.testing.assert_array_equal(batch.seen[0], np.arange(12) >= 4)  # days 66 + 7 * 4 = 94 .. 100 hold day 100
    assert at(store, 10, item=1).seen.sum() == 2


def test_scale_fallbacks(store):
    store.units[90:150, 0] = 0.0
    assert float(at(store, 150).scale) == pytest.approx(store.units[66:150, 0].mean())
    store.units[:, 0] = 0.0
    assert float(at(store, 150).scale) == pytest.approx(1 / 84)
    store.units[:, 0] = np.nan
    others = [float(at(store, 150, item=item).scale) for item in range(1, 12)]
    assert float(at(store, 150).scale) == pytest.approx(np.median(others))


def test_targets_end_where_validation_begins(store):
    target = at(store, 150, target_stop=160).target[0]
    np.testing.assert_array_equal(target.isnan(), np.arange(28) >= 10)


def test_origins_need_observed_days_before_them(store):
    store.units[:60, 3] = np.nan
    item, origin = Windows(store, 84, 28, True).origins(0, 200)
    assert origin[item == 3].min() == 74
    assert origin[item == 0].min() == 15  # 1 January, the first day, is closed


def test_summary_names_the_weekday_of_the_origin(store):
    for origin in (150, 151, 157):
        summary = at(store, origin).summary[0]
        assert summary.shape == (SUMMARY,)
        assert summary[2:].tolist() == np.eye(7)[store.dates[origin].dayofweek].tolist()


def test_the_stores_sales_end_at_the_origin(store):
    batch = at(store, 150)
    roots = np.nanmean(np.sqrt(store.units), axis=1)
    open_days = ~store.closed[94:150]
    usual = roots[94:150][open_days].mean()
    expected = np.where(store.closed[66:150], 0, np.arcsinh(roots[66:150] / usual))
    np.testing.assert_allclose(channel(batch.past, STORE), expected, rtol=1e-5)
    assert (channel(batch.future, STORE) == 0).all()


def test_a_day_of_the_year_looks_the_same_every_year(store):
    day = channel(at(store, 150).future, YEAR)[0]
    assert day == pytest.approx(np.sin(2 * np.pi * store.dates[150].dayofyear / 365.25), abs=1e-6)
    weekly = channel(at(generate(SyntheticStoreParams(items=2, days=700)).panel.by_week(), 60, context=84).past, YEAR)
    np.testing.assert_allclose(weekly[52:], weekly[: len(weekly) - 52], atol=0.03)  # 364 days


def test_covariates_are_standardised_by_the_context(store):
    rng = np.random.default_rng(1)
    grid = rng.normal(5, 2, store.units.shape)
    flag = np.zeros(store.units.shape)
    flag[155:] = 1.0
    store.covariates = {"weather": grid, "never before": flag}
    store.past_covariates = {"visits": grid}
    batch = at(store, 150)
    past = grid[66:150, 0]
    np.testing.assert_allclose(channel(batch.past, SLOTS), (past - past.mean()) / past.std(), rtol=1e-4)
    np.testing.assert_allclose(channel(batch.future, SLOTS), (grid[150:178, 0] - past.mean()) / past.std(), rtol=1e-4)
    np.testing.assert_array_equal(channel(batch.future, SLOTS + 1), np.arange(28) >= 5)
    assert (channel(batch.future, SLOTS + COVARIATES) == 0).all()  # known afterwards only
    assert (channel(at(store, 150, planned=False).future, SLOTS) == 0).all()
    np.testing.assert_allclose(batch.covariates[0, :, 0], grid[150:178, 0], rtol=1e-4)
    np.testing.assert_allclose(batch.covariates[0, :, COVARIATES], grid[150:178, 0] - past.mean(), rtol=1e-3, atol=1e-4)
    np.testing.assert_array_equal(batch.covariates[0, :, [1, COVARIATES + 1]], np.tile(np.arange(28) >= 5, (2, 1)).T)
    assert (batch.covariates[..., 2:COVARIATES] == 0).all()
    assert (at(store, 150, planned=False).covariates == 0).all()
    store.covariates |= {str(k): grid for k in range(COVARIATES)}
    with pytest.raises(ValueError, match=r"covariates: .* is not allowed, expected at most 4"):
        at(store, 150)
