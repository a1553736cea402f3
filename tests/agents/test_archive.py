"""Archives of Stable-Baselines3 and sb3-contrib: of any algorithm, behind trust alone, with the task's spaces."""

import cloudpickle
import gymnasium as gym
import numpy as np
import pytest
import sb3_contrib
import stable_baselines3
import storelab  # noqa: F401, registers
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import VecNormalize
from storelab.agents.sb3 import algorithm_policy, load_archive
from storelab.envs import TASKS
from storelab.errors import FieldError
from storelab.evaluation import evaluate

SMALL = {"horizon": 60, "max_order": 12}
FEW = {"n_steps": 16, "batch_size": 16}
LEARNERS = {
    "PPO": (stable_baselines3.PPO, "MlpPolicy", "multi_discrete", FEW),
    "A2C": (stable_baselines3.A2C, "MlpPolicy", "continuous", {"use_sde": True}),
    "SAC": (stable_baselines3.SAC, "MlpPolicy", "continuous", {"learning_starts": 10, "buffer_size": 100}),
    "TD3": (stable_baselines3.TD3, "MlpPolicy", "base_stock", {"learning_starts": 10, "buffer_size": 100}),
    "TQC": (sb3_contrib.TQC, "MlpPolicy", "continuous", {"learning_starts": 10, "buffer_size": 100}),
    "recurrent": (sb3_contrib.RecurrentPPO, "MlpLstmPolicy", "continuous", FEW),
}


def learnt(name: str, folder, normalised: bool = False):
    kind, network, action, keywords = LEARNERS[name]
    env = make_vec_env("storelab/LostSales-v0", 2, seed=0, env_kwargs=SMALL | {"action": action})
    env = VecNormalize(env) if normalised else env
    algorithm = kind(network, env, seed=0, device="cpu", policy_kwargs={"net_arch": [8]}, **keywords)
    algorithm.learn(64)
    algorithm.save(folder / "mine.zip")
    if normalised:
        env.save(folder / "statistics.pkl")
    return algorithm, TASKS["LostSales"](**SMALL, action=action), env


@pytest.mark.parametrize("name", LEARNERS)
def test_an_archive_acts_as_its_algorithm(name, tmp_path):
    algorithm, task, env = learnt(name, tmp_path)
    act = load_archive(tmp_path / "mine.zip", task.model(), trust=True)
    state = started = None
    mine, lstm = None, None
    env.seed(3)
    observation = env.reset()
    for _ in range(5):
        started = np.full(2, lstm is None)
        actions, lstm = algorithm.predict(observation, lstm, started, deterministic=True)
        own, mine = act(observation, mine, 0)
        assert np.array_equal(own, actions)
        observation, *_ = env.step(actions)
    assert state is None
    assert len(evaluate({"mine": act, "same": algorithm_policy(algorithm, task.model())}, task, range(3))) == 6


def test_the_statistics_of_observations(tmp_path):
    algorithm, task, env = learnt("PPO", tmp_path, normalised=True)
    model = task.model()
    acts = [
        load_archive(tmp_path / "mine.zip", model, True, tmp_path / "statistics.pkl"),
        algorithm_policy(algorithm, model, env),
        load_archive(tmp_path / "mine.zip", model, True),
    ]
    observation = np.random.default_rng(0).uniform(0, 20, (200, model.observation_space.shape[0])).astype(np.float32)
    given, same, without = (act(observation, None, 0)[0] for act in acts)
    assert np.array_equal(given, algorithm.predict(env.normalize_obs(observation), deterministic=True)[0])
    assert np.array_equal(given, same)
    assert not np.array_equal(given, without)


def test_a_mask_is_heeded(tmp_path):
    small = {"requests": 4, "customers": 10, "profile": [1, 1], "action": "dispatch"}
    env = gym.make("storelab/Dispatch-v0", **small)
    algorithm = sb3_contrib.MaskablePPO("MlpPolicy", env, n_steps=8, batch_size=8, seed=0, device="cpu")
    algorithm.learn(8)
    algorithm.save(tmp_path / "mine.zip")
    model = TASKS["Dispatch"](**small).model()
    observation, _ = env.reset(seed=1)
    act, masks = load_archive(tmp_path / "mine.zip", model, True), model.action_masks(observation[None])
    right = algorithm.predict(observation[None], action_masks=masks, deterministic=True)[0]
    assert np.array_equal(act(observation[None], None, 0)[0], right)


class Gadget:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def test_nothing_is_opened_without_trust(tmp_path):
    model, ran = TASKS["LostSales"](**SMALL).model(), tmp_path / "ran"
    (tmp_path / "bad.zip").write_bytes(cloudpickle.dumps(Gadget(ran)))
    with pytest.raises(
        FieldError, match=r"trust: False is not allowed with .*bad.zip, expected trust=True .*can run code"
    ):
        load_archive(tmp_path / "bad.zip", model)
    learnt("PPO", tmp_path)
    (tmp_path / "bad.pkl").write_bytes(cloudpickle.dumps(Gadget(ran)))
    with pytest.raises(FieldError, match="trust: "):
        load_archive(tmp_path / "mine.zip", model, vecnormalize=tmp_path / "bad.pkl")
    assert not ran.exists()


def test_what_is_no_archive_or_another_tasks_is_refused(tmp_path):
    learnt("PPO", tmp_path)
    archive, other = tmp_path / "mine.zip", {"action": "multi_discrete"}
    for path in (tmp_path / "none.zip", tmp_path / "text.zip"):
        path.name == "text.zip" and path.write_text("no zip")
        with pytest.raises(FieldError, match="expected an archive of Stable-Baselines3"):
            load_archive(path, TASKS["LostSales"]().model(), True)
    for changes, said in (
        (SMALL | other | {"lead_time": 1}, "observation_space: .*expected the task's, Box"),
        (SMALL | other | {"max_order": 11}, r"action_space: .*MultiDiscrete\(\[13\]\).*expected the task's, MultiD"),
        (SMALL | {"action": "continuous"}, "action_space: .*expected the task's, Box.*a function that does so"),
    ):
        with pytest.raises(FieldError, match=said):
            load_archive(archive, TASKS["LostSales"](**changes).model(), True)
    (tmp_path / "text.pkl").write_text("no pickle")
    (tmp_path / "three.pkl").write_bytes(cloudpickle.dumps(3))
    model = TASKS["LostSales"](**SMALL, **other).model()
    for name in ("text.pkl", "three.pkl"):
        with pytest.raises(FieldError, match=r"vecnormalize: .*expected what VecNormalize.save wrote"):
            load_archive(archive, model, True, tmp_path / name)
