"""Linear policies by evolution: better on held-out seasons than where they start, and exact resume."""

import numpy as np
import pytest
from storelab.envs import TASKS
from storelab.evaluation import evaluate

pytest.importorskip("cma")
from storelab.agents.evolution import EvolutionParams, Learner, LinearPolicy, check, load_policy

SMALL = dict(items=5, page_size=3, horizon=14, population=300.0, fleet_capacity=8.0)
PARAMS = EvolutionParams(total_steps=12, candidates=8, seasons=6)


@pytest.fixture(autouse=True)
def short_start(monkeypatch):
    monkeypatch.setattr("storelab.agents.heuristics.marketplace.GENERATIONS", 1)
    monkeypatch.setattr("storelab.agents.heuristics.marketplace.RESTARTS", 1)


def test_it_learns_and_goes_on_exactly(tmp_path):
    task = TASKS["Marketplace"](**SMALL)
    whole, part, rest = (Learner(task, PARAMS, seed=3) for _ in range(3))
    first = LinearPolicy(whole.model, whole.policy().weights.copy())
    whole.learn(progress=False)
    part.learn(total_steps=5, progress=False)
    part.save(tmp_path)
    rest.load(tmp_path)
    assert rest.steps == 5
    rest.learn(progress=False)
    assert (rest.policy().weights == whole.policy().weights).all()
    whole.save(tmp_path)
    loaded = load_policy(tmp_path, task)
    assert (loaded.weights == whole.policy().weights).all()
    values = evaluate({"first": first, "last": loaded}, task, np.arange(200)).pivot(index="seed", columns="policy")
    gain = values["value"]["last"] - values["value"]["first"]
    assert gain.mean() > 2 * gain.std() / np.sqrt(len(gain))
    other = Learner(task, EvolutionParams(total_steps=12, candidates=8, seasons=7), seed=3)
    with pytest.raises(ValueError, match="seasons: 7"):
        other.load(tmp_path)
    with pytest.raises(ValueError, match="weights"):
        load_policy(tmp_path, TASKS["Marketplace"](**SMALL, decides=["price"]))


def test_it_is_for_the_whole_store():
    with pytest.raises(ValueError, match="environment: 'Pricing' is not allowed for evolution"):
        check(TASKS["Pricing"]().model(), PARAMS)
