"""Forecasts' worth: common days, the best rule without forecasts is zero, the oracle is all of it."""

from functools import partial

import numpy as np
import pandas as pd
import pytest
from storelab.evaluation import scenario_keys
from storelab.experiments.studies import worth
from storelab.experiments.studies.pages import block, filled
from storelab.experiments.tasks.stores import store_task, synthetic_store_task

STORE = partial(synthetic_store_task, {"items": 6, "days": 240})


def given(*words: str):
    return worth.PARSER.parse_args(words)


@pytest.fixture(autouse=True)
def few(monkeypatch):
    monkeypatch.setattr(worth, "TUNING_EPISODES", 4)
    monkeypatch.setattr(worth, "EPISODES", 6)


def test_sources_are_compared_on_the_same_days(tmp_path):
    keys = scenario_keys(np.arange(3), "test")
    demand = [
        worth.task_of(source, STORE, True, str(tmp_path)).model("test").scenarios(keys)["demand"]
        for source in ("none", "moving average", "oracle")
    ]
    np.testing.assert_array_equal(demand[0], demand[1])
    np.testing.assert_array_equal(demand[0], demand[2])


def test_the_oracle_gains_most(tmp_path):
    args = given("synthetic", "--sources", "none", "moving average", "oracle", "--cache", str(tmp_path))
    rows = worth.played([STORE], True, args)
    table = worth.summary(rows).set_index(["forecasts", "policy"])
    assert set(table.loc["none"].index) == set(worth.WITHOUT)
    assert set(table.loc["moving average"].index) == set(worth.WITH)
    assert table.loc["none", "gain"].max() == 0
    assert table.loc["oracle", "share"].max() == pytest.approx(1)
    assert (table["low"] <= table["gain"]).all()
    assert (table["gain"] <= table["high"]).all()
    best = table.loc["none", "profit"].max()
    assert table.loc["oracle", "profit"].to_numpy() == pytest.approx(best + table.loc["oracle", "gain"].to_numpy())
    assert table.loc["moving average", "gain"].max() < table.loc["oracle", "gain"].max()
    shown = worth.markdown(table.reset_index())
    assert len(shown.splitlines()) == 2 + len(table)


def test_what_was_played_is_not_played_again(tmp_path, monkeypatch):
    args = given("synthetic", "--sources", "none", "oracle", "--rows", str(tmp_path / "rows"))
    first = worth.played([STORE], True, args)
    kept = (tmp_path / "rows").read_text().splitlines()
    (tmp_path / "rows").write_text("\n".join(kept[:-1]) + "\n")  # as if it had been killed before the last policy
    tune, tuned = worth.heuristics.tune, []
    monkeypatch.setattr(worth.heuristics, "tune", lambda kind, *rest: tuned.append(kind) or tune(kind, *rest))
    assert worth.played([STORE], True, args) == first
    assert (tmp_path / "rows").read_text().splitlines() == kept
    assert tuned == [worth.WITH[-1]]
    monkeypatch.setattr(worth, "task_of", pytest.fail)
    assert worth.played([STORE], True, args) == first


def test_a_table_goes_into_its_block_of_the_page_with_its_command():
    page = worth.PAGE.read_text()
    args = given("online_retail", "/somewhere/else", "--sources", "none", "moving average", "--learn-on", "none")
    command = worth.command_of(args)
    assert command.endswith("worth online_retail PATH --sources none 'moving average' --learn-on none")
    maker, content = f"python -m {worth.MODULE}", block(command, "| a |")
    text = filled(page, "online_retail", maker, content)
    assert f"    $ {command}\n\n| a |\n\n<!-- end -->" in text
    assert text.count("<!-- end -->") == page.count("<!-- end -->")
    assert filled(text, "online_retail", maker, content) == text
    with pytest.raises(ValueError, match="0 generated blocks of vn2"):
        filled("# a page", "vn2", maker, "")


@pytest.mark.slow
def test_a_learner_is_no_worse_on_validation_days_than_the_rules_that_it_can_start_from(tmp_path):
    pytest.importorskip("torch")
    task = worth.task_of("moving average", partial(STORE, horizon=14), True, str(tmp_path))
    rules = worth.tuned(task, {})
    judge, policy = worth.Judge(task, 4), worth.learnt("pathwise", task, rules, 2, 0)
    assert judge.values(policy).mean() >= max(judge.values(rule).mean() for rule in rules.values())
    assert worth.item_values(task, policy).shape == (6,)


def test_intervals_are_over_stores_or_over_items_and_seeds():
    def row(policy, source, store, seed, *items):
        return {"policy": policy, "source": source, "store": store, "seed": seed, "items": np.array(items, float)}

    two = [row("myopic", "none", store, 0, 10.0, 20.0) for store in (0, 1)]
    two += [row("newsvendor", "zero-shot", store, 0, 12.0 + store, 20.0) for store in (0, 1)]
    two += [row("newsvendor", "oracle", store, 0, 20.0, 20.0) for store in (0, 1)]
    found = worth.summary(two).set_index("forecasts").loc["zero-shot"]
    assert (found["gain"], found["share"]) == (2.5, 0.25)
    assert found["low"] == pytest.approx(2.5 - 12.706 * 0.5, abs=1e-3)  # Student's t of one degree
    one = [row("myopic", "none", 0, 0, 10.0, 20.0, 5.0), row("newsvendor", "oracle", 0, 0, 20.0, 20.0, 5.0)]
    one += [row("PPO", "zero-shot", 0, seed, 11.0 + 0.1 * seed, 21.0, 6.0) for seed in range(3)]
    found = worth.summary(one).set_index("forecasts").loc["zero-shot"]
    assert found["gain"] == pytest.approx(3.1)
    assert 0 < found["low"] < found["gain"] < found["high"]


def test_the_bakery_is_a_newsvendor(tmp_path):
    rng, dates = np.random.default_rng(0), pd.date_range("2023-01-02", periods=120)
    rows = [(shop, item, day) for shop in (1, 2) for item in (7, 8) for day in dates]
    table = pd.DataFrame(rows, columns=["store", "item", "date"])
    table = table.assign(units=rng.poisson(30, len(table)) * 1.0, promo=False, is_holiday=False, closed=False)
    table.to_parquet(tmp_path / "bakery.parquet")
    task = store_task(worth.bakery(str(tmp_path / "bakery.parquet")), **worth.BAKERY)
    tuned = worth.heuristics.tune("base_stock", task, np.arange(8))
    # Half of a unit's price is lost with a sale and .6 of it with a unit left over: a fractile of .4545.
    assert np.array(tuned.params["level"]) == pytest.approx(np.full(4, 29.3), abs=3)
    model = task.model("test")
    run = worth.rollout(model, tuned, model.scenarios([0]))
    assert run["waste"].sum() + run["sales"].sum() == run["ordered"].sum()


def test_contests_choose_a_fractile_without_the_contest(tmp_path, write_contest, monkeypatch):
    monkeypatch.setattr(worth, "FRACTILES", (0.1, 0.7))
    monkeypatch.setattr(worth, "PATHS", 20)
    units = np.random.default_rng(1).poisson(5, (4, 70)).astype(float)
    write_contest(tmp_path, units, 70, [5] * 4, [[5] * 4, [5] * 4])
    sources = ("--contests", "3", "--sources", "none", "moving average", "oracle")
    table = worth.contests(given("vn2", str(tmp_path), *sources)).set_index("forecasts")
    assert list(table.index) == ["none", "moving average", "oracle"]
    assert (table.loc["none", "gain"], table.loc["oracle", "share"]) == (0, 1)
    assert table.loc["oracle", "cost"] < table.loc["moving average", "cost"] < 1.5 * table.loc["none", "cost"]
