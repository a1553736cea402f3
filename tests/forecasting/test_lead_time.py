import numpy as np
import pytest
from storelab.data import SyntheticStoreParams, generate
from storelab.forecasting import create, known_future
from storelab.forecasting import lead_time as module
from storelab.forecasting.lead_time import rolling_lead_time_quantiles, rolling_order_quantiles

from .conftest import TINY

LEVELS = np.array([0.1, 0.5, 0.9])


def test_is_the_quantile_of_summed_paths(panel):
    forecaster, lead = create("moving_average"), np.arange(30) % 4
    days = np.array([200, 350, 398])
    got = rolling_lead_time_quantiles(forecaster, panel, days, lead, LEVELS, paths=101, progress=False)
    assert got.shape == (3, 30, 3)
    assert got.dtype == np.float32
    both = rolling_order_quantiles(forecaster, panel, days, lead, LEVELS, paths=101, progress=False)
    np.testing.assert_array_equal(both[0], got)
    alone = rolling_lead_time_quantiles(forecaster, panel, days[1:2], lead, LEVELS, paths=101, progress=False)
    np.testing.assert_array_equal(alone[0], got[1])
    paths = forecaster.sample_paths(panel.until(350), known_future(panel, 350, 4), 101, seed=350)
    for item in (0, 3):
        total = paths[item, :, : lead[item] + 1].sum(axis=1)
        np.testing.assert_array_equal(got[1, item], np.quantile(total, LEVELS, method="inverted_cdf"))
        last = paths[item, :, lead[item]]
        np.testing.assert_array_equal(both[1, 1, item], np.quantile(last, LEVELS, method="inverted_cdf"))


def test_sees_nothing_from_the_day_on(panel, tiny):
    other = panel.until(400)
    other.units[350:] *= 5
    for forecaster in (tiny, create("seasonal_naive")):
        results = [
            rolling_lead_time_quantiles(forecaster, p, np.array([350]), np.full(30, 6), LEVELS, progress=False)
            for p in (panel, other)
        ]
        np.testing.assert_array_equal(*results)


def test_cache(panel, tmp_path, monkeypatch):
    def ask(**change):
        settings = {"paths": 20, "seed": 0, "cache": tmp_path, "progress": False, **change}
        return rolling_lead_time_quantiles(
            create("moving_average"), panel, np.array([300]), np.full(30, 2), LEVELS, **settings
        )

    first = ask()
    (file,) = tmp_path.glob("*.npz")
    with monkeypatch.context() as patch:
        patch.setattr(module, "known_future", None)  # a call would fail
        np.testing.assert_array_equal(ask(), first)
    ask(seed=1)
    assert len(list(tmp_path.glob("*"))) == 2
    file.write_bytes(file.read_bytes()[:50])  # damaged: computed anew
    np.testing.assert_array_equal(ask(), first)


@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("days", {"days": np.array([0])}),
        ("days", {"days": np.array([401])}),
        ("days", {"days": np.array([1.5])}),
        ("lead_time", {"lead_time": np.array([1, 2])}),
        ("lead_time", {"lead_time": np.full(30, -1)}),
        ("levels", {"levels": [1.5]}),
        ("paths", {"paths": 0}),
    ],
)
def test_bad_arguments(panel, field, change):
    arguments = {"days": np.array([300]), "lead_time": np.full(30, 2), "levels": LEVELS, "progress": False, **change}
    with pytest.raises(ValueError, match=field):
        rolling_lead_time_quantiles(create("moving_average"), panel, **arguments)


def test_sums_are_calibrated_where_days_hang_together():
    """Fortnight sums on a store whose level wanders: right coverage; independent days and summed quantiles lose."""
    store = generate(SyntheticStoreParams(items=60, days=500, level_sd=0.5, level_days=20.0, new_share=0.0, seed=3))
    panel, days, lead = store.panel, np.arange(400, 487, 3), np.full(60, 13)
    forecaster = create("transformer", **TINY).fit(panel.until(400))
    actual = np.stack([panel.units[day : day + 14].sum(axis=0) for day in days])
    levels = np.array([0.1, 0.25, 0.5, 0.75, 0.9])

    def loss(quantiles):
        error = (actual[..., None] - quantiles) / np.maximum(actual.mean(axis=0), 1)[:, None]
        return np.maximum(levels * error, (levels - 1) * error).mean()

    def coverage(quantiles):
        return ((actual >= quantiles[..., 0]) & (actual <= quantiles[..., -1])).mean()

    correlated = rolling_lead_time_quantiles(forecaster, panel, days, lead, levels, progress=False)
    summed = np.stack(
        [forecaster.predict(panel.until(day), known_future(panel, day, 14), levels).sum(axis=1) for day in days]
    )
    forecaster.dependence.share = forecaster.dependence.memory = 0.0
    independent = rolling_lead_time_quantiles(forecaster, panel, days, lead, levels, progress=False)
    assert coverage(correlated) == pytest.approx(0.8, abs=0.08)
    assert abs(coverage(correlated) - 0.8) < abs(coverage(independent) - 0.8)
    assert abs(coverage(correlated) - 0.8) < abs(coverage(summed) - 0.8)
    assert loss(correlated) < loss(independent)
    assert loss(correlated) < loss(summed)
