"""Recorded days: the first ones are learnt from, the last ones are chosen on, and they have none in common."""

from dataclasses import replace

import numpy as np
import pytest
from storelab.data import Panel
from storelab.envs.core.demand import HistoryDemand
from storelab.envs.core.randomised import RandomisedDemand
from storelab.evaluation import evaluate
from storelab.experiments.tasks.learning import WINDOWS, learnt_on
from storelab.experiments.tasks.stores import store_task, synthetic_store_task


def store(days: int, items: int = 3, **changes):
    import pandas as pd

    dates = pd.date_range("2024-01-01", periods=days)
    units = np.arange(days)[:, None] * 10.0 + np.arange(items)  # a day's demand tells which day it is
    flags = np.zeros(days, bool)
    panel = Panel([f"i{k}" for k in range(items)], dates, units, np.ones(units.shape), units < 0, flags, flags)
    return store_task(panel, **changes)


def days_of(task, split: str) -> set[int]:
    drawn = task.model(split).scenarios(np.arange(64))["demand"]
    return set((drawn[:, :, 0] // 10).astype(int).ravel())


def test_no_day_that_is_chosen_on_is_learnt_from():
    task = store(500, horizon=14, lead_time=3)
    learn, validation = task.learn, task.validation
    assert isinstance(learn, HistoryDemand)
    assert isinstance(validation, HistoryDemand)
    assert isinstance(task.randomised, RandomisedDemand)
    assert isinstance(task.train, HistoryDemand)
    assert np.array_equal(np.concatenate([learn.recorded, validation.recorded]), task.train.recorded)
    assert max(days_of(task, "learn")) < min(days_of(task, "validation"))
    assert any(note.startswith("learning: policies learn from the first") for note in task.notes)
    assert task.randomised.days == learn.days


@pytest.mark.parametrize("horizon", [9, 28, 56])
def test_the_last_days_hold_an_episode_from_every_weekday(horizon):
    task = store(600, horizon=horizon, lead_time=7)
    assert isinstance(task.validation, HistoryDemand)
    assert task.validation.days >= horizon + 1 + 7 + WINDOWS - 1
    starts = np.unique(task.model("validation").scenarios(np.arange(300))["demand"][:, 0, 0])
    assert len(starts) >= WINDOWS


def test_too_few_days_are_said():
    task = store(120, horizon=20, lead_time=3)
    assert task.validation is None
    assert any("too few" in note for note in task.notes)
    assert days_of(task, "validation") <= days_of(task, "train")


def test_demand_that_is_drawn_anew_has_no_last_days():
    task = synthetic_store_task(data={"items": 2, "days": 200})
    assert (task.learn, task.randomised, task.validation) == (None, None, None)
    assert learnt_on(task, 3) is task


def test_policies_are_judged_on_a_split():
    from storelab.agents import tune

    task = store(500, horizon=14, lead_time=3)
    rule = {"myopic": tune("myopic", replace(task), np.arange(4))}
    values = {
        split: evaluate(rule, task, np.arange(5), split=split)["value"].mean() for split in ("learn", "validation")
    }
    assert values["validation"] > values["learn"]  # demand grows
