import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from storelab.envs import Days, DemandParams, HistoryDemand, PathDemand, RateDemand, TableDemand
from storelab.envs.core.random import as_keys

KINDS = ("poisson", "negative_binomial", "geometric", "normal")


@pytest.mark.parametrize("kind", KINDS)
def test_table_demand_has_the_distribution(kind):
    (pmf,) = DemandParams(kind=kind, mean=5.0, std=2.0, dispersion=2.0).pmfs(1)
    draws = TableDemand([pmf]).draw(as_keys(np.arange(200)), 5000)["demand"].astype(int)
    counts = np.bincount(draws.ravel(), minlength=len(pmf))
    expected = draws.size * pmf
    common = expected > 20
    chi2 = ((counts - expected)[common] ** 2 / expected[common]).sum()
    freedom = common.sum() - 1
    assert chi2 < freedom + 4 * np.sqrt(2 * freedom)
    rest = expected[~common].sum()  # the tail: none is cut off, none is too heavy
    assert abs(counts[len(pmf) :].sum() + counts[: len(pmf)][~common].sum() - rest) < 5 * np.sqrt(rest) + 1


def test_table_demand_inverts_the_cumulative_function_exactly():
    pmf = np.array([0.25, 0.5, 0.25])
    source = TableDemand([pmf])
    out = np.empty((6, 1), np.float32)
    edges = np.array([0, 2**30 - 1, 2**30, 3 * 2**30 - 1, 3 * 2**30, 2**32 - 1], np.uint32)
    source._look_up(edges[:, None], out)
    assert out.ravel().tolist() == [0, 0, 1, 1, 2, 2]


def test_items_have_their_own_distributions():
    means = [0.3, 5.0, 40.0]
    draws = TableDemand(DemandParams(mean=means).pmfs(3)).draw(as_keys(np.arange(50)), 2000)["demand"]
    error = np.sqrt(np.array(means) / (50 * 2000))
    assert (abs(draws.mean(axis=(0, 1)) - means) < 5 * error).all()
    correlation = np.corrcoef(draws.reshape(-1, 3).T)[np.triu_indices(3, 1)]
    assert (abs(correlation) < 5 / np.sqrt(50 * 2000)).all()


def sources():
    rng = np.random.default_rng(0)
    history = rng.poisson(3.0, (100, 4))
    days = Days(price=np.ones((100, 4)), calendar=rng.normal(size=(100, 2)))
    return {
        "table": TableDemand(DemandParams().pmfs(4)),
        "tables": TableDemand(DemandParams(mean=[1.0, 2.0, 3.0, 90.0]).pmfs(4)),
        "replay": HistoryDemand(history, days),
        "bootstrap": HistoryDemand(history, days, mode="bootstrap", block=14),
        "rate": RateDemand(history + 0.5, [1.0, 2.0, 5.0, np.inf], days),
        "paths": PathDemand(rng.poisson(3.0, (7, 100, 4)), days),
    }


@pytest.mark.parametrize("name", sources())
@given(seeds=st.lists(st.integers(0, 2**62), min_size=1, max_size=5), periods=st.integers(1, 60))
def test_a_row_depends_on_its_seed_alone(name, seeds, periods):
    source = sources()[name]
    batch = source.draw(as_keys(seeds), periods)
    for row, seed in enumerate(seeds):
        single = source.draw(as_keys([seed]), periods)
        for key in batch:
            assert batch[key].shape[:2] == (len(seeds), periods)
            assert np.array_equal(batch[key][row], single[key][0])


def test_other_seeds_and_episodes_give_other_scenarios():
    source = sources()["table"]
    keys = np.array([[0, 0], [1, 0], [0, 1]])
    a, b, c = source.draw(as_keys(keys), 50)["demand"]
    assert not (a == b).all()
    assert not (a == c).all()
    assert not (b == c).all()


def test_replay_walks_through_consecutive_days():
    history = np.arange(60.0)[:, None]
    forecast = history[:, :, None] * [1.0, 2.0]
    drawn = HistoryDemand(history, Days(forecast=forecast)).draw(as_keys(np.arange(200)), 20)
    assert (np.diff(drawn["demand"][..., 0], axis=1) == 1).all()
    assert (drawn["forecast"][..., 1] == 2 * drawn["demand"]).all()
    starts = drawn["demand"][:, 0, 0]
    assert starts.min() == 0
    assert starts.max() == 40


def test_bootstrap_keeps_weekdays_in_order():
    weekday = (np.arange(140) % 7)[:, None]
    drawn = HistoryDemand(weekday, mode="bootstrap", block=14).draw(as_keys(np.arange(50)), 70)["demand"][..., 0]
    assert (np.diff(drawn, axis=1) % 7 == 1).all()


def test_rate_demand_has_mean_and_variance():
    rate, dispersion = np.full((30, 2), [2.0, 8.0]), np.array([0.5, np.inf])
    draws = RateDemand(rate, dispersion).draw(as_keys(np.arange(4000)), 30)["demand"].reshape(-1, 2)
    variance = np.array([2 + 4 / 0.5, 8.0])
    assert (abs(draws.mean(axis=0) - [2, 8]) < 5 * np.sqrt(variance / len(draws))).all()
    assert np.allclose(draws.var(axis=0), variance, rtol=0.05)


def test_paths_stay_whole():
    paths = np.arange(5)[:, None, None] * np.ones((5, 30, 3))
    drawn = PathDemand(paths).draw(as_keys(np.arange(100)), 10)["demand"]
    assert (drawn == drawn[:, :1, :1]).all()
    assert set(np.unique(drawn)) == set(range(5))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: DemandParams(kind="uniform"), "demand.kind: 'uniform'"),
        (lambda: DemandParams(mean=-1.0), "demand.mean: -1"),
        (lambda: DemandParams(mean=float("nan")), "demand.mean: nan"),
        (lambda: TableDemand([np.array([0.5, 0.6])]), r"item_pmfs\[0\]: \[0.5, 0.6\] .*sum to 1, not 1.1"),
        (lambda: HistoryDemand([[1.0], [np.nan]] * 10), r"demand\[1, 0\]: nan"),
        (lambda: HistoryDemand(np.ones((30, 1)), mode="shuffle"), "mode: 'shuffle'"),
        (lambda: HistoryDemand(np.ones((30, 1)), mode="bootstrap", block=10), "block: 10"),
        (
            lambda: HistoryDemand(np.ones((30, 1)), Days(price=np.ones((29, 1)))),
            "price: 29 is not allowed, expected 30 days",
        ),
        (lambda: RateDemand(np.ones((30, 1)), 0.0), "dispersion: 0.0"),
        (lambda: HistoryDemand(np.ones((30, 1))).draw(as_keys([0]), 31), "horizon: 31"),
        (lambda: as_keys([-1]), "seeds"),
        (lambda: as_keys([0.5]), "seeds"),
    ],
)
def test_bad_sources_are_refused(build, message):
    with pytest.raises(ValueError, match=message):
        build()
