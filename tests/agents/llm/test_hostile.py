"""A hostile endpoint: the episode ends, inside the store's bounds, and every answer is counted."""

import sys
from itertools import cycle
from pathlib import Path

import numpy as np
import pytest
import storelab
from storelab.agents.llm import LLMParams, LLMPolicy
from storelab.envs import TASKS
from storelab.envs.play import Session
from storelab.envs.play.hostile import hostile_bodies
from storelab.evaluation import evaluate
from storelab.experiments.tasks.messages import mail_of


@pytest.fixture
def stand_in(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(storelab.__file__).parent / "examples"))
    yield __import__("stand_in_server").StandIn
    sys.modules.pop("stand_in_server", None)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("name", "changes"), [("LostSales", {"horizon": 101}), ("Marketplace", {"horizon": 20})])
def test_hostile_answers(name, changes, stand_in):
    task = TASKS[name](**changes)
    bodies = cycle(body for body in hostile_bodies(Session(task).tools(), 400, seed=5) if len(body) < 50_000)
    played = []
    with stand_in(answer=lambda question: next(bodies)) as server:
        policy = LLMPolicy(task, LLMParams(model="x", base_url=server.url, memory=1, backoff=0.0))

        def act(observation, state, seed):
            action, state = policy(observation, state, seed)
            played.append(action)
            return action, state

        rows = evaluate({"llm": act}, task, [0])
    tally, model, actions = policy.tally(), task.model("test"), np.concatenate(played)
    assert np.isfinite(rows.loc[rows["policy"] == "llm", "value"]).all()
    assert len(actions) == model.horizon
    assert np.isfinite(actions).all()
    assert (actions >= model.action_low - 1e-6).all()
    assert (actions <= model.action_high + 1e-6).all()
    assert tally["questions"].sum() >= model.horizon
    assert tally["unusable"].sum() > 0
    assert tally["refused"].sum() > 0


def test_messages_of_customers_are_read_and_counted(stand_in):
    task = TASKS["Marketplace"](horizon=5, injected_reviews=0.5, review_guard=True)
    with stand_in() as server:
        policy = LLMPolicy(task, LLMParams(model="x", base_url=server.url))
        policy.mail = lambda seed: mail_of(task, seed)
        rows = evaluate({"llm": policy}, task, [3, 4])
    first = server.questions[0]["messages"][-1]["content"]
    assert "Messages from customers" in first
    own = rows[rows["policy"] == "llm"]
    assert (own["messages"] == 5 * 6).all()
    assert (own["withheld"] == own["injected"]).all()
    assert own["injected_shown"].sum() == 0
