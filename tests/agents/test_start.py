"""A learner that begins with a checkpoint's weights: what it takes over, what is its own, and what is refused."""

import numpy as np
import pytest
from storelab.agents import evolution
from storelab.agents.pathwise import PathwiseLearner, PathwiseParams
from storelab.agents.sb3 import SB3Learner, SB3Params
from storelab.envs import TASKS

SMALL = {"num_envs": 4, "net_arch": [8], "device": "cpu"}
HYPER = {
    "PPO": {"n_steps": 8, "batch_size": 16, "n_epochs": 2},
    "SAC": {"buffer_size": 500, "learning_starts": 20, "batch_size": 16},
}


def learner(name: str, steps: int, learn: bool = True, **changes):
    """Return a small learner that has learnt."""
    action = "multi_discrete" if name == "PPO" else "continuous"
    task = TASKS["LostSales"](horizon=110, action=action)
    if name == "pathwise":
        made = PathwiseLearner(
            task, PathwiseParams(**SMALL | {"total_steps": steps, "check_every": 2, "held_out": 4} | changes)
        )
    else:
        params = SB3Params(**{"algorithm": name, "total_steps": steps, "hyper": HYPER[name]} | SMALL | changes)
        made = SB3Learner(task, params)
    if learn:
        made.learn(progress=False)
    return made


def actions(made) -> np.ndarray:
    """Return what its policy does at some observations."""
    model = made.task.model("test")
    seen = np.abs(np.random.default_rng(0).normal(5, 3, (20, model.observation_space.shape[0]))).astype(np.float32)
    return np.asarray(made.policy()(seen, None, 0)[0])


def weights(made) -> np.ndarray:
    """Return all weights of its network."""
    network = made.network if hasattr(made, "network") else made.model.policy
    return np.concatenate([weight.detach().numpy().ravel() for weight in network.parameters()])


@pytest.mark.parametrize("name", ["PPO", "SAC", "pathwise"])
def test_it_begins_where_the_other_ended(name, tmp_path):
    first = learner(name, 128 if name != "pathwise" else 4)
    first.save(tmp_path)
    begun = learner(name, 99, learn=False, start=str(tmp_path), learning_rate=1e-4, num_envs=2)
    np.testing.assert_array_equal(actions(begun), actions(first))
    own = weights(learner(name, 99, learn=False))
    assert not np.array_equal(own, weights(begun))
    if name != "pathwise":  # which begins with the best network, not with the last
        np.testing.assert_array_equal(weights(begun), weights(first))
    assert begun.steps == 0
    if name != "pathwise":
        mine, theirs = (one.model.get_vec_normalize_env().obs_rms for one in (begun, first))
        np.testing.assert_array_equal(mine.mean, theirs.mean)
    else:
        assert (begun.moments == first.moments).all()
    begun.learn(total_steps=32 if name != "pathwise" else 2, progress=False)
    assert begun.steps > 0


@pytest.mark.parametrize("name", ["PPO", "SAC", "pathwise"])
def test_other_networks_are_refused_by_the_field_that_differs(name, tmp_path):
    learner(name, 32 if name != "pathwise" else 2).save(tmp_path)
    with pytest.raises(
        ValueError, match=r"^net_arch: \[4\] is not allowed to begin with its weights, expected \[8\] as in "
    ):
        learner(name, 32, start=str(tmp_path), net_arch=[4])
    with pytest.raises(ValueError, match=r"^start: .* is not allowed, expected the folder of a checkpoint"):
        learner(name, 32, start=str(tmp_path / "nowhere"))
    with pytest.raises(ValueError, match=r"^start: 3 is not allowed"):
        (PathwiseParams if name == "pathwise" else SB3Params)(start=3)


@pytest.mark.parametrize("change", [{"total_steps": 256}, {"num_envs": 2, "gamma": 0.5}, {"learning_rate": 1e-5}])
def test_to_go_on_exactly_takes_the_same_parameters(change, tmp_path):
    """What differs is named, and nothing else."""
    learner("PPO", 64).save(tmp_path)
    own = {"total_steps": 64, "hyper": HYPER["PPO"]} | SMALL | change
    other = SB3Learner(TASKS["LostSales"](horizon=110), SB3Params(**own))
    with pytest.raises(ValueError, match="start=FOLDER") as told:
        other.load(tmp_path)
    text = str(told.value)
    assert text.startswith(f"{next(iter(change))}: ")
    assert all(name in text for name in change)
    assert len(text) < 200
    assert "algorithm" not in text


def test_evolution_searches_around_the_weights(tmp_path, monkeypatch):
    pytest.importorskip("cma")
    monkeypatch.setattr("storelab.agents.heuristics.marketplace.GENERATIONS", 3)
    task = TASKS["Marketplace"](horizon=10)
    small = {"total_steps": 1, "candidates": 4, "seasons": 2}
    first = evolution.Learner(task, evolution.Params(**small))
    first.learn(progress=False)
    first.save(tmp_path)
    begun = evolution.Learner(task, evolution.Params(**small | {"start": str(tmp_path)}))
    np.testing.assert_array_equal(begun.policy().weights, first.policy().weights)
