"""Forecasts in the loop know what their own store saw, and nothing else."""

import numpy as np
import pytest
from storelab.data import SyntheticStoreParams, generate
from storelab.envs import Days, HistoryDemand, Inventory, InventoryParams
from storelab.envs.core.rollout import rollout
from storelab.experiments.studies.censored import TRUTH, InTheLoop, study, summary
from storelab.forecasting import create

START, HORIZON, LEAD = 30, 40, [1, 3, 2]


@pytest.fixture(scope="module")
def store():
    return generate(SyntheticStoreParams(items=3, days=80, new_share=0.0, top_rate=8.0))


def policy_of(store, treatment="expected", truth=None, forecast="history", start=START, days=80):
    params = InventoryParams(
        items=3, horizon=HORIZON, lead_time=LEAD, initial_stock=9.0, max_order=500.0, forecast=forecast, history_days=1
    )
    model = Inventory(params, HistoryDemand(store.panel.units, Days(store.panel.price)))
    level = 0.8 * store.panel.units.mean(axis=0) * (np.array(LEAD) + 1)
    known = store.panel.until(days)
    return InTheLoop(model, known, create("moving_average"), treatment, level, 0.9, start, truth=truth)


def orders(store, demand, treatment="expected", truth=None):
    """Orders and unmet demand (n, T, I) of a policy in the loop on the given demand (n, T, I)."""
    policy = policy_of(store, treatment, truth)
    price = np.broadcast_to(store.panel.price[: HORIZON + 1], demand.shape).astype(np.float32)
    run = rollout(policy.model, policy, {"demand": demand, "price": price}, trace=True)
    return run["flow.ordered"], run["flow.unmet"]


@pytest.fixture(scope="module")
def demand(store):
    return np.random.default_rng(0).poisson(store.rate[: HORIZON + 1], (4, HORIZON + 1, 3)).astype(np.float32)


@pytest.mark.parametrize("treatment", ["sales", "missing", "expected"])
def test_demand_that_was_lost_is_not_known(store, demand, treatment):
    first, unmet = orders(store, demand, treatment)
    assert (unmet[:, START:] > 0).any()
    more = demand.copy()
    more[:, :HORIZON] += 50 * (unmet > 0)
    np.testing.assert_array_equal(orders(store, more, treatment)[0], first)
    assert (orders(store, more, treatment, truth=more)[0] != first).any()


def test_days_to_come_are_not_known(store, demand):
    first, _ = orders(store, demand)
    other = demand.copy()
    other[:, 35:] += 20
    second, _ = orders(store, other)
    np.testing.assert_array_equal(second[:, :36], first[:, :36])
    assert (second[:, 36:] != first[:, 36:]).any()


def test_the_treatment_decides_and_the_seed_repeats(store, demand):
    by_treatment = [orders(store, demand, name)[0] for name in ("sales", "missing", "expected", "expected")]
    np.testing.assert_array_equal(by_treatment[2], by_treatment[3])
    for other in by_treatment[:2]:
        np.testing.assert_array_equal(other[:, :START], by_treatment[2][:, :START])
        assert (other[:, START:] != by_treatment[2][:, START:]).any()


def test_the_study_meets_one_demand_and_sales_understate_it():
    table = summary(list(study("moving_average", 0.9, 0, 2, 3)))
    assert list(table.index) == [TRUTH, "sales", "missing", "expected", "drawn"]
    assert table["fill rate before"].nunique() == 1
    assert table.loc["sales", ["gain", "gain_low", "gain_high"]].tolist() == [0, 0, 0]
    assert table.loc["sales", "bias"] < table.loc["expected", "bias"]
    assert table.loc["sales", "bias"] < table.loc[TRUTH, "bias"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"forecast": "none"}, "forecast: 'none' is not allowed, expected one of history"),
        ({"treatment": "guess"}, "treatment: 'guess'"),
        ({"start": 13}, "start: 13 is not allowed, expected an integer >= 14"),
        ({"days": 42}, "days: 42 is not allowed, expected at least 43"),
    ],
)
def test_bad_arguments(store, change, message):
    with pytest.raises(ValueError, match=message):
        policy_of(store, **change)
