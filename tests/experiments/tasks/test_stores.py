"""The store tasks: their splits, what their numbers come from, and that held-out days are never looked at."""

import gymnasium as gym
import numpy as np
import pandas as pd
import pytest
from storelab.data import Panel, SyntheticStoreParams, generate
from storelab.data.contract import TableNote
from storelab.envs.core.rollout import rollout
from storelab.envs.registry import entries
from storelab.errors import FieldError
from storelab.evaluation.evaluate import scenario_keys
from storelab.experiments.tasks import forecasts
from storelab.experiments.tasks import stores as tasks
from storelab.experiments.tasks.stores import (
    online_retail_ii_task,
    online_retail_task,
    store_task,
    synthetic_store_task,
)
from storelab.forecasting import create

SMALL = {"items": 6, "days": 500}


@pytest.fixture(scope="module")
def panel():
    """A store of 8 items over 300 days, the last of which starts late."""
    rng = np.random.default_rng(3)
    units = rng.poisson(np.linspace(9, 2, 8), (300, 8)).astype(float)
    price = np.tile(np.linspace(3, 10, 8), (300, 1))
    units[:100, 7] = price[:100, 7] = np.nan
    dates = pd.date_range("2023-01-02", periods=300, freq="D")
    closed = dates.dayofweek == 5
    units[closed] = np.where(np.isnan(units[closed]), np.nan, 0)
    names = [f"item-{i}" for i in range(8)]
    return Panel(names, dates, units, price, np.zeros((300, 8), bool), closed, np.zeros(300, bool))


def test_synthetic_store_is_made_of_the_catalogue():
    store, task = generate(SyntheticStoreParams(**SMALL)), synthetic_store_task(SMALL)
    cost = store.catalogue["cost"].to_numpy()
    assert task.params.lead_time == store.catalogue["lead_time"].tolist()
    np.testing.assert_allclose(task.params.purchase_cost, cost)
    np.testing.assert_allclose(task.params.salvage_value, cost)
    np.testing.assert_allclose(task.params.holding_cost, 0.002 * cost + 0.02)
    assert task.objective == "profit"
    assert task.params.backorder_share == 0


def test_synthetic_store_draws_from_the_true_process():
    store, task = generate(SyntheticStoreParams(**SMALL)), synthetic_store_task(SMALL, horizon=56)
    assert task.test.days == 100
    assert task.train.days == 400
    model = task.model("test")
    scenario = model.scenarios(scenario_keys(np.arange(400), "test"))
    # Every scenario is a window of the held-out days: its price tells which, its demand has that window's rate.
    held_out = store.panel.price[400:].astype(np.float32)
    windows = np.lib.stride_tricks.sliding_window_view(held_out, 57, axis=0).transpose(0, 2, 1)
    start = [int(np.flatnonzero((windows == row).all(axis=(1, 2)))[0]) for row in scenario["price"]]
    rate = np.stack([store.rate[400 + s : 457 + s] for s in start])
    assert len(set(start)) > 20
    total, expected = scenario["demand"].sum(axis=(0, 1)), rate.sum(axis=(0, 1))
    spread = np.sqrt((rate + rate**2 / store.dispersion).sum(axis=(0, 1)))
    assert (abs(total - expected) < 5 * spread).all()


def test_forecast_model_replays_what_was_recorded():
    store = generate(SyntheticStoreParams(**SMALL))
    task = synthetic_store_task(SMALL, forecaster=create("moving_average"), forecast="model", horizon=28)
    assert task.train.days == 200
    assert task.test.days == 100
    scenario = task.model("test").scenarios([0, 1])
    units = np.nan_to_num(store.panel.units[400:]).astype(np.float32)
    windows = np.lib.stride_tricks.sliding_window_view(units, 29, axis=0).transpose(0, 2, 1)
    assert all((windows == row).all(axis=(1, 2)).any() for row in scenario["demand"])
    assert scenario["forecast"].shape == scenario["arrival"].shape == (2, 29, 6, 7)
    assert (np.diff(scenario["forecast"], axis=-1) >= 0).all()


def test_forecasts_know_no_day_from_their_own_on():
    """Changing the future changes no forecast made before it, and no number of the task."""
    recorded = _recorded(np.random.default_rng(0))
    changed = _recorded(np.random.default_rng(0))
    changed.units[280:] += 50
    build = lambda panel: online_retail_task(
        panel, create("moving_average"), forecast="model", horizon=28, items=4, lead_time=3
    )
    first, second = build(recorded), build(changed)
    assert first.params == second.params
    np.testing.assert_array_equal(first.train.tables["forecast"], second.train.tables["forecast"])
    before = 280 - (300 - 84)  # days of the held-out split before the change
    one, two = first.test.tables["forecast"], second.test.tables["forecast"]
    np.testing.assert_array_equal(one[: before + 1], two[: before + 1])
    assert (one[before + 1 :] != two[before + 1 :]).any()


def _recorded(rng):
    dates = pd.date_range("2023-01-02", periods=300, freq="D")
    flags = np.zeros(300, bool)
    price = np.full((300, 5), 4.0)
    return Panel(list("abcde"), dates, rng.poisson(6.0, (300, 5)) * 1.0, price, np.zeros((300, 5), bool), flags, flags)


def test_oracle_is_the_demand_to_come(panel):
    task = online_retail_task(panel, items=3, forecast="oracle", horizon=40, lead_time=[2, 0, 5])
    scenario = task.model("test").scenarios([5])
    for item, lead in enumerate([2, 0, 5]):
        for day in range(40 - lead):
            coming = scenario["demand"][0, day : day + lead + 1, item].sum()
            assert (scenario["forecast"][0, day, item] == coming).all()
            assert (scenario["arrival"][0, day, item] == scenario["demand"][0, day + lead, item]).all()


def _own(days: int = 200, **columns) -> pd.DataFrame:
    rng = np.random.default_rng(5)
    dates = pd.date_range("2023-01-02", periods=days)
    parts = [pd.DataFrame({"item": f"0{k}", "date": dates, "units": rng.poisson(6 - k, days)}) for k in range(3)]
    return pd.concat(parts, ignore_index=True).assign(price=5.0, **columns)


def test_a_store_of_ones_own_takes_costs_and_lead_times_from_columns_or_says_what_it_assumes():
    table = _own(lead_time=2)
    table.loc[table["item"] == "00", "cost"] = 1.25
    later = table["date"] > "2023-06-10"  # held-out days say nothing
    table.loc[later, ["cost", "lead_time"]] = [4.9, 30]
    task = store_task(Panel.from_frame(table))
    assert task.name == "Store"
    assert task.params.purchase_cost == pytest.approx([1.25, 3.0, 3.0])
    assert task.params.lead_time == [2, 2, 2]
    assert task.params.horizon == 40 - 21 - 2
    said = " | ".join(task.notes)
    assert "purchase_cost: 0.6 of its median price, of 2 of 3 items" in said
    assert "lead_time" not in said.replace("env.lead_time", "")
    assert "horizon: 17 days in an episode, as the shorter split has 40" in said
    assert "held out from 2023-06-11 on" in said
    keyed = store_task(Panel.from_frame(table), purchase_cost=2.0, lead_time=1, horizon=30, items=2)
    assert (keyed.params.items, keyed.params.lead_time, keyed.params.horizon) == (2, 1, 30)
    assert "purchase_cost" not in " ".join(keyed.notes)
    assert "items: 2 of 3" in " ".join(keyed.notes)


def test_a_split_of_the_tables_own_is_honoured():
    """No test day, and no validation day, is replayed in training."""
    dates = pd.date_range("2023-01-02", periods=200)
    split = np.where(dates < "2023-04-01", "train", np.where(dates < "2023-05-01", "validation", "test"))
    panel = Panel.from_frame(_own(split=np.tile(split, 3)))
    first, stop = panel.days_of("test").start, panel.days_of("validation").start
    for task in (store_task(panel), online_retail_task(panel, items=2, horizon=14)):
        assert task.test.days == len(dates) - first
        assert task.train.days == stop - round(first / 2)
    marked = Panel.from_frame(_own(split=np.tile(split, 3)))
    marked.units[stop:] = 777
    assert (store_task(marked).model("train").scenarios(np.arange(40))["demand"] < 777).all()
    with pytest.raises(ValueError, match="'train' on 2023-07-20 follows 'test'; expected train, then validation"):
        Panel.from_frame(_own(split=np.tile(np.append(split[:-1], "train"), 3)))
    with pytest.raises(ValueError, match="column 'split', row 1: 'exam'; expected one of train, validation, test"):
        Panel.from_frame(_own(split="exam"))


def test_weekly_store():
    table = _own(120).assign(date=lambda t: pd.Timestamp("2021-01-04") + 7 * (t["date"] - t["date"].min()))
    task = store_task(Panel.from_frame(table))
    assert task.params.lead_time == [1, 1, 1]
    assert task.params.horizon == 8
    np.testing.assert_allclose(task.params.holding_cost, 7 * (0.002 * 3.0 + 0.02))


@pytest.mark.parametrize(("days", "lead"), [(150, 7), (110, 7), (200, 12), (150, 1)])
def test_orders_arrive_within_an_episode_of_a_short_history(days, lead):
    """Else all policies earn the same, and the table says nothing."""
    task = store_task(Panel.from_frame(_own(days)), lead_time=lead)
    assert task.params.horizon > lead + 2
    model = task.model("test")
    scenario = model.scenarios([0])
    nothing, much = (
        rollout(model, lambda observation, state, seed, action=action: (action[None], state), scenario)["reward"].sum()
        for action in (model.action_low, model.action_high)
    )
    assert nothing != pytest.approx(much)


@pytest.mark.parametrize(
    ("days", "changes", "words"),
    [
        (20, {}, "the shorter split has 4 days and the longest lead time is 7: too few .* split of 16"),
        (150, {"horizon": 7}, "horizon: 7 is not allowed, expected >= 8, as an order arrives after 7 days"),
        (150, {"horizon": 23}, "horizon: 23 is not allowed, expected <= 22, as the shorter split has 30 days"),
    ],
)
def test_an_episode_in_which_no_order_arrives_is_refused(days, changes, words):
    with pytest.raises(ValueError, match=words):
        store_task(Panel.from_frame(_own(days)), **changes)


def test_a_store_that_sells_nothing_is_refused():
    with pytest.raises(ValueError, match="none of 3 items is sold before the held-out days; expected units > 0"):
        store_task(Panel.from_frame(_own().assign(units=0)))


def test_a_store_with_days_that_no_row_tells_of_says_how_to_settle_them():
    table = _own()
    table = table[table["date"].dt.dayofweek < 6]
    with pytest.warns(TableNote), pytest.raises(ValueError, match=r"none of 3 items .* no_row=zero"):
        store_task(Panel.from_frame(table))
    with pytest.warns(TableNote):
        assert store_task(Panel.from_frame(table, no_row="zero")).params.items == 3


def test_online_retail_takes_the_best_sellers_of_the_days_before(panel):
    held_out = 300 - 84
    task = online_retail_task(panel, items=3)
    revenue = np.nansum((panel.units * panel.price)[:held_out], axis=0)
    revenue[7] = 0  # launched too late
    best = np.argsort(-revenue)[:3]
    np.testing.assert_allclose(task.params.price, panel.price[0, best])
    np.testing.assert_allclose(task.params.purchase_cost, 0.6 * panel.price[0, best])
    assert task.train.days == held_out - round(held_out / 2)
    assert task.test.days == 84
    with pytest.raises(ValueError, match=r"items: 8 is not allowed, expected an integer >= 1 and <= 7"):
        online_retail_task(panel, items=8)


def test_training_and_held_out_days_do_not_meet(panel):
    marked = Panel(**vars(panel) | {"units": np.where(np.isnan(panel.units), np.nan, np.arange(300.0)[:, None])})
    task = online_retail_task(marked, items=2)
    train = task.model("train").scenarios(np.arange(200))["demand"]
    test = task.model("test").scenarios(np.arange(200))["demand"]
    assert train.max() < 300 - 84 <= test[test > 0].min()


def _two_years(days: int = 739) -> Panel:
    rng, dates = np.random.default_rng(4), pd.date_range("2009-12-01", periods=days)
    flags, price = np.zeros(days, bool), np.full((days, 3), 5.0)
    return Panel(list("abc"), dates, rng.poisson(4.0, (days, 3)) * 1.0, price, price < 0, flags, flags)


def test_two_years_are_judged_on_the_second_autumn_and_learn_on_the_first(monkeypatch):
    """A store of one's own with the same test is split alike; no forecaster is fitted on a day that it forecasts."""
    fitted = []
    kept = forecasts.fine_tuned
    monkeypatch.setattr(
        forecasts, "fine_tuned", lambda model, past, cache: (fitted.append(past.dates[-1]), kept(model, past, cache))[1]
    )
    panel, model = _two_years(), {"forecaster": create("moving_average"), "forecast": "model"}
    own = _two_years()
    own.split[-100:] = 2
    for task in (online_retail_ii_task(panel, **model, items=3), store_task(own, **model)):
        assert (task.train.days, task.test.days, task.params.horizon) == (365, 100, 56)
        said = " ".join(task.notes)
        assert "2009-12-01 to 2010-08-31 for a forecaster alone, 2010-09-01 to 2011-08-31 to train policies" in said
        assert "held out from 2011-09-01 on" in said
    assert [str(day.date()) for day in fitted] == 2 * ["2010-08-31", "2011-03-02", "2011-08-31"]
    with pytest.raises(FieldError, match="data: '646 days' is not allowed here, expected at least 647, as it has two"):
        online_retail_ii_task(_two_years(646))


@pytest.mark.parametrize(("days", "first"), [(300, 120), (684, 182), (1000, 435), (2000, 870)])
def test_policies_learn_on_whole_years(days, first):
    """On half of what is too short for one."""
    task = store_task(_two_years(days))
    assert task.train.days == round(0.8 * days) - first
    assert days == 300 or task.train.days % 365 == 0


def test_calendar(panel):
    features = tasks._calendar(panel, yearly=True)
    assert features.shape == (300, 6)
    np.testing.assert_allclose(features[0], [0, 1, *features[0, 2:4], 0, 0], atol=1e-12)
    np.testing.assert_allclose((features[:, :4] ** 2).sum(axis=1), 2)
    assert (features[:, 4] == panel.closed).all()


def test_changes_are_followed(panel):
    task = online_retail_task(panel, items=2, purchase_cost=[1.0, 2.0], lead_time=1, horizon=10)
    assert task.params.salvage_value == [1.0, 2.0]
    longer = online_retail_task(panel, items=2, lead_time=9, horizon=10)
    assert (np.array(longer.params.initial_stock) > 4 * np.array(task.params.initial_stock)).all()
    assert online_retail_task(panel, items=2, backorder_share=1.0).hindsight is None


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda p: synthetic_store_task(3), "data: 3 is not allowed"),
        (lambda p: synthetic_store_task({"itms": 3}), "data.itms: 3 is not allowed"),
        (lambda p: synthetic_store_task(SMALL, items=3), "expected data.items"),
        (lambda p: synthetic_store_task(SMALL, demand={"mean": 3}), "demand: .*the store's days say it"),
        (lambda p: synthetic_store_task(SMALL, forecast="model"), "forecaster: None is not allowed"),
        (lambda p: synthetic_store_task(SMALL, horizon=100), "horizon: 100 is not allowed, expected <= "),
        (lambda p: online_retail_task(p, items=3, purchase_cost=[1, 2]), "purchase_cost: .1, 2. is not .* 3 of them"),
        (lambda p: online_retail_task(p, items=3, lead_time=[1, 2]), "lead_time: .1, 2. is not .* 3 of them"),
        (lambda p: online_retail_task(p, items=3, purchase_cost="dear"), "purchase_cost: 'dear' is not allowed"),
        (lambda p: synthetic_store_task(SMALL, holding_cost=-1), "holding_cost: -1 is not allowed"),
        (lambda p: online_retail_task(), "data: None is not allowed, expected the path"),
        (lambda p: online_retail_task(p.window(0, 168)), "data: 168 days are not allowed"),
        (lambda p: online_retail_task(p, items=True), "items: True is not allowed"),
    ],
)
def test_bad_input_is_named(panel, call, words):
    with pytest.raises(ValueError, match=words):
        call(panel)


def test_gymnasium_ids(panel):
    env = gym.make("storelab/SyntheticStore-v0", data=SMALL, horizon=5)
    observation, _ = env.reset(seed=1)
    assert env.observation_space.contains(observation)
    envs = gym.make_vec("storelab/OnlineRetail-v0", num_envs=3, data=panel, items=2, split="test")
    observations, _ = envs.reset(seed=1)
    assert envs.observation_space.contains(observations)


NEED_DATA = [name for name, entry in entries().items() if entry.data and not entry.optional_data]


@pytest.mark.parametrize("name", sorted({*NEED_DATA} - {"SyntheticStore"}))  # which makes its own
def test_a_task_without_its_data_names_it(name):
    with pytest.raises(FieldError, match="data: None is not allowed, expected "):
        gym.make(entries()[name].gym_id(name))


def test_real_data(real_data):
    task = online_retail_task(real_data / "online_retail_daily_panel.parquet", items=50)
    assert task.params.items == 50
    scenario = task.model("test").scenarios([0, 1])
    assert scenario["demand"].sum() > 0
    assert (scenario["price"] > 0).all()
    assert (task.hindsight(task.model("test"), scenario) > 0).all()
