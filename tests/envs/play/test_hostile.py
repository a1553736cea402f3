"""A thousand hostile calls: none crashes, each is counted, and what is played stays within the store's rules."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from storelab.envs import TASKS
from storelab.envs.play import Session
from storelab.envs.play.hostile import KINDS, hostile_calls
from storelab.evaluation import evaluate

TASKS_TRIED = {
    "Marketplace": {"horizon": 40, "items": 4, "page_size": 2},
    "LostSales": {"horizon": 120},
    "SupplyChain": {"horizon": 120},
    "Pricing": {},
}


@pytest.mark.parametrize("task", TASKS_TRIED)
def test_a_thousand_hostile_calls(task):
    made = TASKS[task](**TASKS_TRIED[task])
    session = Session(made, seed=2, calls_per_period=30)
    model = session.model
    kinds = dict.fromkeys(KINDS, 0)
    for k, (kind, (name, arguments)) in enumerate(hostile_calls(session.tools(), 1000, seed=1)):
        reply = session.call(name, arguments)
        kinds[kind] += 1
        assert isinstance(reply.text, str)
        assert len(reply.text) < 30_000
        assert session.counters["calls"] == k + 1
    assert min(kinds.values()) > 50
    counts = session.counters
    assert counts["refused"] == sum(session.refusals.values()) > 700
    assert counts["periods"] == counts["forced"] == min(1000 // 30, model.horizon) == len(session.actions)
    assert np.isfinite(session.actions).all()
    assert (session.actions >= model.action_low - 1e-6).all()
    assert (session.actions <= model.action_high + 1e-6).all()
    assert len(session.notes) <= 2000


def test_after_hostile_calls_the_episode_is_that_of_its_actions():
    task = TASKS["LostSales"](horizon=120)
    session = Session(task, seed=4, calls_per_period=6)
    for _, (name, arguments) in hostile_calls(session.tools(), 720, seed=3):
        session.call(name, arguments)
    assert session.done
    played = session.actions
    at = iter(range(len(played)))
    rows = evaluate({"same": lambda observation, state, seed: (played[[next(at)]], state)}, task, [4])
    assert session.value == pytest.approx(rows.loc[rows["policy"] == "same", "value"].item(), rel=1e-6)


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text() | st.integers(), inner, max_size=4),
    max_leaves=8,
)
NAMES = st.sampled_from(["set_order", "end_period", "note", "read_notes"])


@settings(max_examples=40, deadline=None)
@given(calls=st.lists(st.tuples(NAMES | ANYTHING, ANYTHING), max_size=20))
def test_whatever_is_called_nothing_raises(calls):
    session = Session(TASKS["LostSales"](horizon=101), seed=0)
    for name, arguments in calls:
        assert isinstance(session.call(name, arguments).text, str)
    assert session.counters["calls"] == len(calls)
    assert np.isfinite(session.actions).all()
