"""The environments in other libraries, as their users would use them: what the table in docs/importing.md lists."""

import importlib
import re
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
import storelab
from gymnasium.vector import AutoresetMode
from storelab.envs import TASKS, make_parallel_env

from .test_adapters import env_id  # noqa: F401 a fixture

SMALL_DAY = {"requests": 8.0, "iterations": 5, "customers": 20, "profile": [1.0, 1.0]}
ONE_NUMBER = [("LostSales", {}), ("Pricing", {}), ("PricingDuopoly", {}), ("Dispatch", SMALL_DAY), ("Inventory", {})]


def test_the_table_has_the_versions_that_are_pinned():
    root = Path(storelab.__file__).parent
    rows = re.findall(r"^\| ([\w-]+) \| ([\d.]+) \|", (root / "docs" / "importing.md").read_text(), re.M)
    pins = re.findall(r"^([\w-]+)==(.+)$", (root / "constraints.txt").read_text(), re.M)
    pinned = {name.lower().replace("_", "-"): version for name, version in pins}
    assert len(rows) >= 5
    assert all(version == pinned[name] for name, version in rows if name in pinned)
    assert {name for name, _ in rows} >= {"gymnasium", "stable-baselines3", "sb3-contrib", "pettingzoo", "minari"}


# -- a word on keywords ----------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_an_unknown_keyword_is_a_type_error_everywhere(env_id):  # noqa: F811
    name, kwargs = env_id
    for make in (gym.make, gym.make_vec, lambda *args, **kw: gym.make_vec(*args, vectorization_mode="sync", **kw)):
        with pytest.raises(TypeError, match=r"frameskip: 4 is not allowed, .*unexpected keyword argument 'frameskip'"):
            make(name, frameskip=4, **kwargs)
    with pytest.raises(ValueError, match=r"lead_tme: 4 .* did you mean lead_time\?"):  # it is both
        storelab.envs.make_env("LostSales", lead_tme=4)


# -- one number, as a Discrete ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("task", "changes"), ONE_NUMBER)
def test_discrete_actions_are_the_indices_of_multi_discrete_ones(task, changes):
    other = {"LostSales": "multi_discrete", "Inventory": "multi_discrete", "Dispatch": "prize"}.get(task, "grid")
    kwargs = changes | {"max_episode_steps": 6}
    one = gym.make(f"storelab/{task}-v0", action="discrete", **kwargs)
    two = gym.make(f"storelab/{task}-v0", action=other, **kwargs)
    many = gym.make_vec(f"storelab/{task}-v0", num_envs=2, action="discrete", **kwargs)
    assert one.action_space == gym.spaces.Discrete(int(two.action_space.nvec[0])) == many.single_action_space
    one.reset(seed=3), two.reset(seed=3), many.reset(seed=3)
    one.action_space.seed(0)
    for _ in range(6):
        action = one.action_space.sample()
        first, second, third = one.step(action), two.step([action]), many.step([action, action])
        assert np.array_equal(first[0], second[0])
        assert np.array_equal(first[0], third[0][0])
        assert first[1:] == second[1:]
        if first[2] or first[3]:
            break


def test_discrete_actions_are_refused_where_there_are_several_numbers():
    several = {"Inventory": {"items": 2}, "PricingMNL": {}, "SupplyChain": {}, "PricingInventory": {}}
    for task, changes in several.items():
        with pytest.raises(ValueError, match="action: 'discrete' is not allowed"):
            gym.make(f"storelab/{task}-v0", action="discrete", **changes)
    with pytest.raises(ValueError, match=r"lot_size: 0.* with action=discrete"):
        gym.make("storelab/Inventory-v0", action="discrete", lot_size=0)


# -- Gymnasium: bounds, single wrappers, asynchronous rows -----------------------------------------------------------

BOUNDED = ["LostSales", "FixedCost", "Newsvendor", "Perishable", "Inventory", "Pricing", "PricingMNL"]
BOUNDED += ["PricingReference", "PricingInventory", "PricingDuopoly", "BeerGame", "NetworkManagement", "Dispatch"]


@pytest.mark.parametrize("task", BOUNDED)
def test_observations_are_rescaled_between_their_bounds(task):
    env = gym.make(f"storelab/{task}-v0", **(SMALL_DAY if task == "Dispatch" else {}))
    space = env.observation_space
    assert np.isfinite(space.low).all()
    assert np.isfinite(space.high).all()
    env = gym.wrappers.RescaleObservation(env, np.float32(-1), np.float32(1))
    env.action_space.seed(0)
    seen, _ = env.reset(seed=0)
    for _ in range(60):
        assert (np.abs(seen) <= 1 + 1e-6).all()
        seen, _, terminated, truncated, _ = env.step(env.action_space.sample())
        if terminated or truncated:
            seen, _ = env.reset()


@pytest.mark.parametrize(("task", "changes", "action"), [
    ("Inventory", {"max_order": 7.0, "lead_time": 3, "demand": {"mean": 0.001}}, "high"),  # stock only grows
    ("Inventory", {"lead_time_pmf": [0.2, 0.3, 0.5], "demand": {"mean": 0.001}, "shelf_life": 3}, "high"),
    ("Inventory", {"lot_size": 0.0, "max_order": 0.1, "demand": {"mean": 0.001}}, "high"),
    ("FixedCost", {"demand": {"kind": "geometric"}}, "low"),  # nothing is ever there
    ("Inventory", {"forecast": "history", "items": 3, "substitution_share": 1.0, "history_days": 2}, "low"),
    ("Inventory", {"forecast": "oracle", "lead_time": 2}, "low"),
    ("Inventory", {"capacity": 9.0, "volume": 1.5, "initial_stock": 30.0}, "high"),
    ("PricingInventory", {"shelf_life": 3}, "high"),
    ("PricingInventory", {"demand": {"noise": "negative_binomial", "dispersion": 0.2}}, "low"),
    ("PricingReference", {}, "high"),
    ("PricingDuopoly", {"rival": "undercut"}, "low"),
    ("PricingDuopoly", {"rival_price": 5.0}, "high"),
    ("BeerGame", {}, "high"),
    ("NetworkManagement", {}, "high"),
    ("OneWarehouse", {}, "low"),
])  # fmt: skip
def test_bounds_hold_at_the_ends_of_the_actions(task, changes, action):
    env = gym.make(f"storelab/{task}-v0", **changes)
    given = getattr(env.unwrapped.model, f"action_{action}")
    seen, over = env.reset(seed=0)[0], False
    while not over:
        assert env.observation_space.contains(seen)
        seen, _, terminated, truncated, _ = env.step(given)
        over = terminated or truncated
    assert env.observation_space.contains(seen)


def test_bounds_hold_over_the_registry(env_id):  # noqa: F811
    """An episode of the lowest, the highest and of alternating actions, side by side."""
    name, kwargs = env_id
    env = gym.make_vec(name, num_envs=3, **kwargs)
    model, over = env.unwrapped.model, False
    low, high = model.action_low, model.action_high
    seen, _ = env.reset(seed=5)
    while not over:
        assert env.observation_space.contains(seen)
        low_or_high = high if env.unwrapped._batch.clock % 2 else low
        seen, _, terminated, truncated, _ = env.step(np.stack([low, high, low_or_high]))
        over = (terminated | truncated).all()
    assert env.observation_space.contains(seen)


SINGLE = {  # a wrapper of single environments -> its arguments
    "AddWhiteNoise": {"probability_of_noise_per_pixel": 0.1}, "Autoreset": {}, "ClipAction": {},
    "ClipReward": {"min_reward": -1.0, "max_reward": 1.0}, "DelayObservation": {"delay": 2},
    "DiscretizeAction": {"bins": 5}, "DiscretizeObservation": {"bins": 3}, "DtypeObservation": {"dtype": np.float64},
    "FlattenObservation": {}, "FrameStackObservation": {"stack_size": 3}, "MaxAndSkipObservation": {"skip": 2},
    "AddRenderObservation": {}, "NormalizeObservation": {}, "NormalizeReward": {}, "ObstructView": {
        "obstructed_pixels_ratio": 0.1, "obstruction_width": 20}, "OrderEnforcing": {}, "PassiveEnvChecker": {},
    "RecordEpisodeStatistics": {}, "RenderCollection": {}, "RepeatAction": {"num_repeats": 2},
    "RescaleAction": {"min_action": -1.0, "max_action": 1.0}, "ReshapeObservation": {"shape": (1, 3)},
    "RescaleObservation": {"min_obs": np.float32(0), "max_obs": np.float32(1)},
    "StickyAction": {"repeat_action_probability": 0.5}, "TimeAwareObservation": {}, "TimeLimit": {
        "max_episode_steps": 5}, "TransformReward": {"func": abs}, "ArrayConversion": {
        "env_xp": np, "target_xp": np}, "NumpyToTorch": {},
    "TransformAction": {"func": lambda action: action, "action_space": None},
    "TransformObservation": {"func": lambda seen: seen, "observation_space": None},
}  # fmt: skip
IMAGES = {"AtariPreprocessing", "GrayscaleObservation", "ResizeObservation"}
NEVER = {*IMAGES, "FilterObservation", "JaxToNumpy", "JaxToTorch", "vector", "RecordVideo", "HumanRendering"}
DRAWN = {"AddWhiteNoise", "ObstructView", "RenderCollection", "AddRenderObservation"}


@pytest.mark.parametrize("wrapper", [*SINGLE])
def test_single_wrappers(wrapper):
    assert {*SINGLE, *NEVER} == set(gym.wrappers.__all__)
    if wrapper in ("ArrayConversion", "NumpyToTorch"):
        pytest.importorskip("array_api_compat", reason="Gymnasium converts arrays with array-api-compat")
        pytest.importorskip("torch")
    if wrapper in DRAWN:
        pytest.importorskip("matplotlib")
    mode = "rgb_array" if wrapper in DRAWN else None
    env = gym.make("storelab/Inventory-v0", lead_time=3, horizon=9, render_mode=mode)
    assert env.observation_space.shape == (3,)
    if wrapper == "TransformAction":
        SINGLE[wrapper]["action_space"] = env.action_space
    if wrapper == "TransformObservation":
        SINGLE[wrapper]["observation_space"] = env.observation_space
    env = getattr(gym.wrappers, wrapper)(env, **SINGLE[wrapper])
    env.action_space.seed(0)
    env.reset(seed=0)
    for _ in range(4):
        action = env.action_space.sample()
        if wrapper == "NumpyToTorch":
            import torch

            action = torch.as_tensor(action)
        seen, reward, *_ = env.step(action)
        assert np.isfinite(float(reward))
    assert wrapper in ("NumpyToTorch", "ArrayConversion") or env.observation_space.contains(seen)


def test_asynchronous_rows_step_as_the_fast_path():
    many = gym.make_vec("storelab/Pricing-v0", num_envs=2, horizon=5)
    slow = gym.make_vec("storelab:storelab/Pricing-v0", num_envs=2, horizon=5, vectorization_mode="async")
    try:
        assert np.array_equal(many.reset(seed=0)[0], slow.reset(seed=0)[0])
        for _ in range(8):
            one, two = many.step([2, 3]), slow.step([2, 3])
            assert all(np.array_equal(a, b) for a, b in zip(one[:4], two[:4], strict=True))
        assert slow.call("clone")[0].model.horizon == 5
    finally:
        slow.close()


@pytest.mark.parametrize("vector", [False, True])
def test_record_video(vector, tmp_path):
    pytest.importorskip("moviepy")
    if vector:
        env = gym.make_vec("storelab/Pricing-v0", num_envs=2, horizon=4, render_mode="rgb_array")
        env = gym.wrappers.vector.RecordVideo(env, str(tmp_path), episode_trigger=lambda number: True)
        action = [2, 3]
    else:
        env = gym.make("storelab/Pricing-v0", horizon=4, render_mode="rgb_array")
        env = gym.wrappers.RecordVideo(env, str(tmp_path), episode_trigger=lambda number: True)
        action = [2]
    env.reset(seed=0)
    for _ in range(4):
        env.step(action)
    env.close()
    assert [path.stat().st_size > 0 for path in tmp_path.glob("*.mp4")]


def test_human_rendering_of_rows(monkeypatch):
    pytest.importorskip("pygame")
    pytest.importorskip("cv2")
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    env = gym.make_vec("storelab/Pricing-v0", num_envs=2, render_mode="rgb_array")
    env = gym.wrappers.vector.HumanRendering(env)
    env.reset(seed=0)
    env.step([1, 2])
    env.close()


# -- Stable-Baselines3 and sb3-contrib -------------------------------------------------------------------------------


@pytest.mark.parametrize("start_method", ["spawn", "forkserver"])
def test_sb3_processes(start_method):
    pytest.importorskip("stable_baselines3")
    from stable_baselines3.common.env_util import make_vec_env
    from stable_baselines3.common.vec_env import SubprocVecEnv, VecNormalize

    kwargs = {"horizon": 5, "action": "discrete"}
    here = make_vec_env("storelab/LostSales-v0", 2, seed=0, env_kwargs=kwargs)
    there = make_vec_env(
        "storelab:storelab/LostSales-v0",
        2,
        seed=0,
        env_kwargs=kwargs,
        vec_env_cls=SubprocVecEnv,
        vec_env_kwargs={"start_method": start_method},
    )
    one, two = VecNormalize(here), VecNormalize(there)
    try:
        assert np.array_equal(one.reset(), two.reset())
        for _ in range(7):
            first, second = one.step(np.array([4, 6])), two.step(np.array([4, 6]))
            assert all(np.array_equal(a, b) for a, b in zip(first[:3], second[:3], strict=True))
    finally:
        two.close()


def test_sb3_learns_and_evaluates(tmp_path):
    sb3 = pytest.importorskip("stable_baselines3")
    from stable_baselines3.common.callbacks import EvalCallback
    from stable_baselines3.common.env_util import make_vec_env
    from stable_baselines3.common.vec_env import VecNormalize

    env = VecNormalize(make_vec_env("storelab/LostSales-v0", 2, seed=0, env_kwargs={"horizon": 20}))
    judge = VecNormalize(make_vec_env("storelab/LostSales-v0", 1, seed=9, env_kwargs={"horizon": 20}), training=False)
    callback = EvalCallback(judge, n_eval_episodes=2, eval_freq=20, log_path=str(tmp_path), verbose=0)
    sb3.PPO("MlpPolicy", env, n_steps=32, batch_size=32, seed=0, device="cpu").learn(64, callback=callback)
    results = np.load(tmp_path / "evaluations.npz")
    assert (results["ep_lengths"] == 20).all()
    assert np.isfinite(results["results"]).all()


@pytest.mark.parametrize(("task", "changes"), ONE_NUMBER)
def test_dqn_takes_discrete_actions(task, changes):
    sb3 = pytest.importorskip("stable_baselines3")
    from storelab.agents.core.vec_env import StoreVecEnv

    changes = changes | {"action": "discrete"}
    settings = {"learning_starts": 8, "train_freq": 8, "buffer_size": 100, "seed": 0, "device": "cpu"}
    sb3.DQN("MlpPolicy", gym.make(f"storelab/{task}-v0", **changes), **settings).learn(24)
    model = TASKS[task](**changes).model()
    sb3.DQN("MlpPolicy", StoreVecEnv(model, 2), **settings).learn(24)


def test_sb3_records_videos(tmp_path):
    pytest.importorskip("stable_baselines3")
    pytest.importorskip("moviepy")
    from stable_baselines3.common.env_util import make_vec_env
    from stable_baselines3.common.vec_env import VecVideoRecorder

    env = make_vec_env("storelab/Pricing-v0", 2, seed=0, env_kwargs={"render_mode": "rgb_array"})
    env = VecVideoRecorder(env, str(tmp_path), record_video_trigger=lambda step: step == 0, video_length=4)
    env.reset()
    for _ in range(5):
        env.step(np.array([[2], [3]]))
    env.close()
    assert [path.stat().st_size > 0 for path in tmp_path.glob("*.mp4")] == [True]


def test_contrib_learners():
    contrib = pytest.importorskip("sb3_contrib")
    env = gym.make("storelab/Dispatch-v0", action="dispatch", **SMALL_DAY)
    contrib.MaskablePPO("MlpPolicy", env, n_steps=8, batch_size=8, seed=0, device="cpu").learn(16)
    env = gym.make("storelab/LostSales-v0", action="discrete", horizon=10)
    contrib.QRDQN("MlpPolicy", env, learning_starts=8, train_freq=8, buffer_size=100, device="cpu").learn(16)
    env = gym.make("storelab/LostSales-v0", horizon=10)
    contrib.RecurrentPPO("MlpLstmPolicy", env, n_steps=8, batch_size=8, seed=0, device="cpu").learn(16)


# -- PettingZoo ------------------------------------------------------------------------------------------------------


def test_parallel_environments_stand_in_pettingzoos_registry():
    zoo = pytest.importorskip("pettingzoo")
    from pettingzoo.test import parallel_api_test, parallel_seed_test

    if not hasattr(zoo, "register"):
        pytest.skip("this version of PettingZoo has no registry")
    ids = sorted(name for name in zoo.parallel_registry if name.startswith("storelab/"))
    assert ids == [f"storelab/{name}-v0" for name in ("Marketplace", "MarketplaceMarkets", "PricingDuopoly")]
    for name in ids:
        parallel_api_test(zoo.make("parallel", name, horizon=6), num_cycles=10)
        parallel_seed_test(lambda name=name: zoo.make("parallel", name, horizon=6), num_cycles=8)
    env = zoo.make("parallel", "storelab/Marketplace-v0", items=4, page_size=2, decides=["price", "fraud"])
    assert env.possible_agents == ["price", "fraud"]
    with pytest.raises(TypeError, match="unexpected keyword argument 'item'"):
        zoo.make("parallel", "storelab/Marketplace-v0", item=4)
    with pytest.raises(ValueError, match=r"task: 'Pricing' is not allowed for several agents, .*Market"):
        make_parallel_env("Pricing")


@pytest.mark.parametrize("registry", [True, False])
def test_without_a_registry_or_pettingzoo_nothing_is_registered(registry, monkeypatch):
    zoo = pytest.importorskip("pettingzoo")
    calls = []
    entries = importlib.import_module("storelab.envs.registry").entries()
    if registry:
        monkeypatch.setattr(zoo, "register", lambda *args, **kwargs: calls.append(args[1]), raising=False)
    else:
        monkeypatch.delattr(zoo, "register", raising=False)
    storelab._register_parallel(entries)
    assert calls == (
        [f"storelab/{name}-v0" for name in ("PricingDuopoly", "MarketplaceMarkets", "Marketplace")] if registry else []
    )


@pytest.mark.parametrize("task", ["Marketplace", "PricingDuopoly"])
def test_a_parallel_environment_is_copied_and_refuses_what_does_not_fit(task):
    import copy
    import pickle

    pytest.importorskip("pettingzoo")
    env = make_parallel_env(task, horizon=7)
    for seed, agent in enumerate(env.possible_agents):
        env.action_space(agent).seed(seed)
    moves = [{a: env.action_space(a).sample() for a in env.possible_agents} for _ in range(7)]
    env.reset(seed=4)
    env.step(moves[0])
    copies = [env.clone(), copy.deepcopy(env), pickle.loads(pickle.dumps(env))]
    for move in moves[1:]:
        wanted = env.step(move)
        for other in copies:
            got = other.step(move)
            assert all(np.array_equal(got[0][agent], seen) for agent, seen in wanted[0].items())
            assert got[1:] == wanted[1:]
    with pytest.raises(gym.error.ResetNeeded, match="the episode has ended: call reset"):
        env.step(moves[0])
    first, _ = env.reset()
    for other in copies:
        again, _ = other.reset()
        assert all(np.array_equal(again[agent], seen) for agent, seen in first.items())
    with pytest.raises(ValueError, match=r"options: .*mask.* is not allowed"):
        env.reset(options={"mask": 1})
    with pytest.raises(ValueError, match=r"actions\['nobody'\]: 3 is not allowed, expected an action for each of"):
        env.step(moves[0] | {"nobody": 3})
    with pytest.raises(ValueError, match="actions: "):
        env.step([1, 2])


# -- what is heavy to install: `pip install torchrl`, `pip install 'ray[rllib]'`, then pytest -m slow ----------------


@pytest.mark.slow
@pytest.mark.parametrize(("task", "changes"), [*ONE_NUMBER, ("SupplyChain", {}), ("Inventory", {"items": 3})])
def test_torchrl(task, changes):
    pytest.importorskip("torchrl", reason="TorchRL is not installed")
    from torchrl.envs.libs.gym import GymEnv
    from torchrl.envs.utils import check_env_specs

    one = (task, changes) in ONE_NUMBER
    env = GymEnv(f"storelab/{task}-v0", **changes, **({"action": "discrete"} if one else {}))
    check_env_specs(env)
    assert env.rollout(5)["next", "reward"].shape == (5, 1) or task == "Dispatch"


@pytest.mark.slow
def test_torchrl_skips_frames_wraps_the_fast_path_and_several_agents():
    pytest.importorskip("torchrl", reason="TorchRL is not installed")
    from torchrl.envs import PettingZooWrapper
    from torchrl.envs.libs.gym import GymEnv, GymWrapper
    from torchrl.envs.utils import check_env_specs

    env = GymEnv("storelab/LostSales-v0", action="discrete", frame_skip=2)  # a TypeError makes it skip by itself
    assert env.rollout(300).batch_size == (100,)
    many = gym.make_vec("storelab/LostSales-v0", num_envs=3, autoreset_mode=AutoresetMode.SAME_STEP)
    assert GymWrapper(many).rollout(10, break_when_any_done=False).batch_size == (3, 10)
    check_env_specs(PettingZooWrapper(make_parallel_env("Marketplace")))


@pytest.mark.slow
def test_rllib():
    pytest.importorskip("ray.rllib", reason="RLlib is not installed")
    from ray.rllib.algorithms.ppo import PPOConfig

    config = PPOConfig().environment("storelab/LostSales-v0", env_config={"lead_time": 2, "horizon": 50})
    config = config.env_runners(num_env_runners=0).training(train_batch_size=200, minibatch_size=100, num_epochs=1)
    algorithm = config.build_algo()
    try:
        assert algorithm.train()["env_runners"]["episode_len_mean"] == 50
    finally:
        algorithm.stop()


def test_minari_collects_and_recovers(tmp_path, monkeypatch):
    minari = pytest.importorskip("minari")
    pytest.importorskip("jax", reason="Minari's DataCollector needs minari[create]")
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    env = minari.DataCollector(gym.make("storelab/Pricing-v0", initial_stock=5.0, horizon=6), data_format="arrow")
    env.reset(seed=0)
    rewards = [env.step(np.array([4]))[1] for _ in range(6)]
    made = env.create_dataset("storelab/test/constant-v0", algorithm_name="constant")
    again = made.recover_environment()
    again.reset(seed=0)
    assert [again.step(np.array([4]))[1] for _ in range(6)] == rewards
    assert made.total_steps == 6
