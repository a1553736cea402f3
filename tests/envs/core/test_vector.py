"""The vector environment against Gymnasium's SyncVectorEnv, over the registry: steps, wrappers, call and set_attr."""

import copy
import pickle
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
import storelab
from gymnasium.vector import AutoresetMode
from gymnasium.wrappers import vector as wrappers
from storelab.envs import make_env, make_vector_env

from .test_adapters import VARIANTS, actions_of, env_id  # noqa: F401 a fixture

NEXT, SAME, DISABLED = AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP, AutoresetMode.DISABLED


def same(one, two) -> bool:
    """Tell whether two infos, arrays or numbers are equal, dtypes aside."""
    if isinstance(one, dict):
        return one.keys() == two.keys() and all(same(value, two[name]) for name, value in one.items())
    if np.asarray(one, dtype=object).dtype == object and np.asarray(one).dtype == object:
        return all(a is b is None or np.array_equal(a, b) for a, b in zip(one, two, strict=True))
    return np.array_equal(one, two)


def both(name, rows, mode, limit=None, **kwargs):
    """Return the fast path and Gymnasium's own vector environment of single ones, of the same mode."""
    extra = {"max_episode_steps": limit} if limit else {}
    fast = gym.make_vec(name, num_envs=rows, autoreset_mode=mode, **extra, **kwargs)
    slow = gym.make_vec(
        name, num_envs=rows, vectorization_mode="sync", vector_kwargs={"autoreset_mode": mode}, **extra, **kwargs
    )
    assert fast.metadata["autoreset_mode"] == slow.metadata["autoreset_mode"]
    return fast, slow


def agree(fast, slow, periods, seed=3):
    """Step both and compare all that they return; where nothing restarts by itself, reset what has ended."""
    fast.action_space.seed(0)
    assert same(fast.reset(seed=seed)[0], slow.reset(seed=seed)[0])
    ends = 0
    for _ in range(periods):
        action = fast.action_space.sample()
        one, two = fast.step(action), slow.step(action)
        assert all(same(a, b) for a, b in zip(one, two, strict=True))
        over = one[2] | one[3]
        ends += int(over.sum())
        if fast.metadata["autoreset_mode"] == DISABLED and over.any():
            one, two = (env.reset(options={"reset_mask": over.copy()}) for env in (fast, slow))
            assert same(one[0], two[0])
    return ends


@pytest.mark.slow
@pytest.mark.parametrize("mode", [NEXT, SAME, DISABLED], ids=lambda mode: mode.value)
def test_every_id_steps_as_single_environments_do(env_id, mode):  # noqa: F811
    name, kwargs = env_id
    short = {} if "Newsvendor" in name or kwargs else {"horizon": 5}
    if "Dispatch" in name:
        short = {"requests": 8.0, "iterations": 5, "customers": 20, "profile": [1.0, 1.0]}
    fast, slow = both(name, 3, mode, limit=6, **kwargs, **short)
    assert agree(fast, slow, 14) >= 6


@pytest.mark.parametrize(("task", "changes"), VARIANTS)
def test_rows_at_different_clocks_step_as_single_environments_do(task, changes):
    for mode in (NEXT, SAME, DISABLED):
        kwargs = {key: value for key, value in changes.items() if key != "horizon"}
        fast, slow = both(f"storelab/{task}-v0", 4, mode, limit=5, **kwargs)
        fast.reset(seed=0), slow.reset(seed=0)
        fast.action_space.seed(1)
        ended = np.zeros(4, bool)
        for t in range(17):
            rows = ended.copy() if mode == DISABLED else np.zeros(4, bool)
            rows[t % 4] |= t in (2, 7, 9) and (mode != NEXT or not ended[t % 4])
            if rows.any():
                seeds = [50 + t, None, 60 + t, None]
                one, two = (env.reset(seed=seeds, options={"reset_mask": rows.copy()}) for env in (fast, slow))
                assert same(one[0], two[0])
            action = fast.action_space.sample()
            one, two = fast.step(action), slow.step(action)
            assert all(same(a, b) for a, b in zip(one, two, strict=True)), (mode, t)
            ended = one[2] | one[3]


def test_a_mode_by_its_value_and_what_is_no_mode():
    for mode in AutoresetMode:
        env = gym.make_vec("storelab/Pricing-v0", num_envs=2, autoreset_mode=mode.value)
        assert env.metadata["autoreset_mode"] is mode
    with pytest.raises(ValueError, match=r"autoreset_mode: 'never' is not allowed, expected .*NextStep, SameStep"):
        gym.make_vec("storelab/Pricing-v0", autoreset_mode="never")
    for bad in (0, -2, True, 2.5, "7"):
        with pytest.raises(ValueError, match=r"max_episode_steps: .* expected an integer >= 1"):
            gym.make_vec("storelab/Pricing-v0", max_episode_steps=bad)
    with pytest.raises(ValueError, match="render_mode: 'human' is not allowed for a vector environment"):
        gym.make_vec("storelab/Pricing-v0", render_mode="human")


def test_what_has_ended_needs_a_reset_where_nothing_restarts_it():
    env = gym.make_vec("storelab/Pricing-v0", num_envs=3, horizon=4, autoreset_mode=DISABLED)
    env.reset(seed=0)
    env.step([1, 2, 3])
    env.reset(options={"reset_mask": np.array([False, True, False])})
    for _ in range(3):
        env.step([1, 2, 3])
    with pytest.raises(gym.error.ResetNeeded, match=r"rows \[0, 2\] have ended"):
        env.step([1, 2, 3])
    kept = env.unwrapped.state_dict()
    other = gym.make_vec("storelab/Pricing-v0", num_envs=3, horizon=4, autoreset_mode=DISABLED)
    other.unwrapped.load_state_dict(kept)
    with pytest.raises(gym.error.ResetNeeded, match=r"rows \[0, 2\] have ended"):
        other.step([1, 2, 3])
    env.reset(options={"reset_mask": np.array([True, False, True])})
    env.step([1, 2, 3])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"mask": [True, True]}, "options: .*mask.* is not allowed, expected reset_mask"),
        ({"reset_mask": np.zeros(2, bool)}, "reset_mask: .* one of them true"),
        ({"reset_mask": np.ones(3, bool)}, r"reset_mask: .* shape \(2,\)"),
        ({"reset_mask": np.array([1, 0])}, "reset_mask: .* expected bools"),
    ],
)
def test_options_are_honoured_or_refused(options, words):
    env = make_vector_env("LostSales", 2)
    env.reset(seed=0)
    with pytest.raises(ValueError, match=words):
        env.reset(options=options)
    with pytest.raises(ValueError, match=r"reset_mask: .* all rows"):
        make_vector_env("LostSales", 2).reset(options={"reset_mask": np.array([True, False])})


def test_an_action_that_is_not_played_is_not_looked_at():
    fast, slow = both("storelab/Inventory-v0", 2, NEXT, horizon=3, items=2)
    fast.reset(seed=0), slow.reset(seed=0)
    for env in (fast, slow):
        env.step(np.ones((2, 2)))
        env.reset(seed=[8, None], options={"reset_mask": np.array([True, False])})
        env.step(np.ones((2, 2)))
        env.step(np.ones((2, 2)))
    actions = np.array([[2.0, 3.0], [np.nan, np.inf]], np.float32)  # the second row's episode has ended
    one, two = fast.step(actions), slow.step(actions)
    assert all(same(a, b) for a, b in zip(one, two, strict=True))
    with pytest.raises(ValueError, match="action"):
        fast.step(actions)


def test_a_limit_cuts_single_and_vector_environments_alike():
    env = gym.make("storelab/Pricing-v0", max_episode_steps=4)
    env.reset(seed=0)
    ends = [env.step([2])[2:4] for _ in range(4)]
    assert ends == [(False, False)] * 3 + [(False, True)]
    assert env.spec.max_episode_steps == 4
    for limit, last in ((20, 20), (50, 20), (-1, 20), (None, 20)):  # the season has 20 periods
        env = gym.make_vec("storelab/Pricing-v0", num_envs=2, max_episode_steps=limit)
        env.reset(seed=0)
        ends = [env.step([2, 2])[2:4] for _ in range(last)]
        assert ends[-1][0].all()
        assert env.spec.max_episode_steps == 20


def test_a_spec_knows_the_horizon_and_makes_the_same_again(env_id):  # noqa: F811
    name, kwargs = env_id
    env = gym.make(name, **kwargs)
    horizon = env.unwrapped.model.horizon
    many = gym.make_vec(name, num_envs=2, **kwargs)
    assert env.spec.max_episode_steps == many.spec.max_episode_steps == horizon
    assert make_env("LostSales").spec is None
    again, more = gym.make(env.spec), gym.make_vec(many.spec)
    assert again.spec.max_episode_steps == more.spec.max_episode_steps == horizon
    assert np.array_equal(again.reset(seed=1)[0], env.reset(seed=1)[0])
    assert np.array_equal(more.reset(seed=1)[0], many.reset(seed=1)[0])


def test_a_spec_follows_the_parameters_and_ends_once():
    env = gym.make("storelab/LostSales-v0", horizon=7)
    assert env.spec.max_episode_steps == 7
    again = gym.make(env.spec)
    again.reset(seed=0)
    assert [again.step([3])[2:4] for _ in range(7)] == [(False, False)] * 6 + [(False, True)]
    assert gym.spec("storelab/LostSales-v0").max_episode_steps is None  # the horizon is a parameter


@pytest.mark.parametrize("copied", ["clone", "deepcopy", "pickle"])
def test_a_copy_goes_on_exactly(env_id, copied):  # noqa: F811
    name, kwargs = env_id
    env = gym.make_vec(name, num_envs=3, render_mode="ansi", max_episode_steps=6, **kwargs)
    env.action_space.seed(0)
    env.reset(seed=3)
    for _ in range(4):
        env.step(env.action_space.sample())
    env.reset(options={"reset_mask": np.array([True, False, False])})
    ways = {
        "clone": lambda env: env.unwrapped.clone(),
        "deepcopy": copy.deepcopy,
        "pickle": lambda env: pickle.loads(pickle.dumps(env)),
    }
    other = ways[copied](env)
    expected = []
    for _ in range(9):
        expected.append((*env.step(env.action_space.sample()), env.render()))
    env.reset(seed=8)  # what the one does is nothing to the other
    for wanted in expected:
        got = (*other.step(other.action_space.sample()), other.render())
        assert all(same(a, b) for a, b in zip(got[:5], wanted[:5], strict=True))
        assert got[5] == wanted[5]


def test_a_clone_of_one_environment(env_id):  # noqa: F811
    name, kwargs = env_id
    env = gym.make(name, render_mode="ansi", **kwargs).unwrapped
    env.reset(seed=5)
    env.action_space.seed(1)
    env.step(env.action_space.sample())
    one, two = env.clone(), env.clone()
    assert one.model is env.model
    for _ in range(6):
        if one._over:
            assert np.array_equal(one.reset()[0], two.reset()[0])
        action = one.action_space.sample()
        assert np.array_equal(two.action_space.sample(), action)
        first, second = one.step(action), two.step(action)
        assert np.array_equal(first[0], second[0])
        assert first[1:] == second[1:]
        assert one.render() == two.render()


@pytest.mark.slow
def test_pictures_of_rows_are_those_of_single_environments(env_id):  # noqa: F811
    pytest.importorskip("matplotlib")
    name, kwargs = env_id
    short = {} if "Newsvendor" in name or kwargs else {"horizon": 3}
    if "Dispatch" in name:
        short = {"requests": 8.0, "iterations": 5, "customers": 20, "profile": [1.0, 1.0]}
    for mode, periods in (("ansi", 5), ("rgb_array", 2)):
        fast, slow = both(name, 2, SAME, render_mode=mode, **kwargs, **short)
        fast.action_space.seed(0)
        for env in (fast, slow):
            env.reset(seed=0)
        for _ in range(periods):
            action = fast.action_space.sample()
            fast.step(action), slow.step(action)
        one, two = fast.render(), slow.render()
        assert len(one) == 2
        assert all(np.array_equal(a, b) for a, b in zip(one, two, strict=True)), mode
        assert fast.metadata["render_fps"] == slow.metadata["render_fps"]
        fast.close()


def test_lists_of_pictures():
    pytest.importorskip("matplotlib")
    env = gym.make("storelab/Pricing-v0", render_mode="rgb_array_list")
    env.reset(seed=0)
    env.step([3])
    frames = env.render()
    assert len(frames) == 2
    assert frames[0].dtype == np.uint8
    assert env.render() == []
    assert gym.make("storelab/Pricing-v0", render_mode="ansi_list").render_mode == "ansi_list"


# -- what wrappers ask for -------------------------------------------------------------------------------------------

WRAPPERS = {  # a wrapper -> how it is put around an environment
    "NormalizeObservation": wrappers.NormalizeObservation,
    "FlattenObservation": wrappers.FlattenObservation,
    "ReshapeObservation": lambda env: wrappers.ReshapeObservation(env, (*env.single_observation_space.shape, 1)),
    "DtypeObservation": lambda env: wrappers.DtypeObservation(env, np.float64),
    "RescaleObservation": lambda env: wrappers.RescaleObservation(env, *scale(env)),
    "TransformObservation": lambda env: wrappers.TransformObservation(env, lambda seen: seen / 2),
    "VectorizeTransformObservation": lambda env: wrappers.VectorizeTransformObservation(
        env, gym.wrappers.TransformObservation, func=lambda seen: seen + 1, observation_space=None
    ),
    "ClipAction": wrappers.ClipAction,
    "RescaleAction": lambda env: wrappers.RescaleAction(env, -1.0, 1.0),
    "TransformAction": lambda env: wrappers.TransformAction(env, lambda action: action * 0),
    "VectorizeTransformAction": lambda env: wrappers.VectorizeTransformAction(
        env, gym.wrappers.TransformAction, func=lambda action: action, action_space=env.single_action_space
    ),
    "ClipReward": lambda env: wrappers.ClipReward(env, -1.0, 1.0),
    "TransformReward": lambda env: wrappers.TransformReward(env, lambda reward: reward / 10),
    "VectorizeTransformReward": lambda env: wrappers.VectorizeTransformReward(
        env, gym.wrappers.TransformReward, func=lambda reward: reward / 3
    ),
    "NormalizeReward": wrappers.NormalizeReward,
    "RecordEpisodeStatistics": wrappers.RecordEpisodeStatistics,
    "DictInfoToList": wrappers.DictInfoToList,
    "ArrayConversion": lambda env: wrappers.ArrayConversion(env, np, np),
    "NumpyToTorch": lambda env: wrappers.NumpyToTorch(env),
}
ON_BOXES = {"ClipAction", "RescaleAction"}  # of actions
PICTURES = {"RecordVideo", "HumanRendering"}  # tests/envs/core/test_libraries.py
NEVER = {"GrayscaleObservation", "ResizeObservation", "FilterObservation", "JaxToNumpy", "JaxToTorch"}


def scale(env):
    """Return ends that RescaleObservation takes: -1 and 1 where there are bounds."""
    space = env.single_observation_space
    return np.where(np.isinf(space.low), space.low, -1.0), np.where(np.isinf(space.high), space.high, 1.0)


def plain(value):
    """Return arrays and numbers of what a wrapper gives, and no clock times."""
    if isinstance(value, dict):
        return {name: plain(part) for name, part in value.items() if name != "t"}
    if isinstance(value, list):
        return {str(i): plain(part) for i, part in enumerate(value)}
    return np.asarray(value)


def test_every_wrapper_is_tried_or_cannot_apply():
    assert set(WRAPPERS) | PICTURES | NEVER == set(wrappers.__all__)
    page = (Path(storelab.__file__).parent / "docs" / "importing.md").read_text()
    assert all(f"`{name}`" in page for name in NEVER)


@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_wrappers_give_what_they_give_around_single_environments(wrapper):
    if wrapper in ("ArrayConversion", "NumpyToTorch"):
        pytest.importorskip("array_api_compat", reason="Gymnasium converts arrays with array-api-compat")
        pytest.importorskip("torch")
    # Gymnasium hands `final_obs`, an array of objects, to DLPack, which takes none: around its own rows too.
    modes = (NEXT, DISABLED) if wrapper in ("ArrayConversion", "NumpyToTorch") else (NEXT, SAME, DISABLED)
    for name, kwargs in (
        ("Inventory", {"items": 2, "horizon": 5, "backorder_share": 0.5}),
        ("Pricing", {"action": "continuous", "horizon": 4}),
        ("Dispatch", {"requests": 8.0, "iterations": 5, "customers": 20, "profile": [1.0, 1.0], "action": "weights"}),
        ("PricingDuopoly", {"horizon": 3}),
    ):
        if wrapper in ON_BOXES and name == "PricingDuopoly":
            continue
        for mode in modes:
            fast, slow = both(f"storelab/{name}-v0", 3, mode, **kwargs)
            try:
                slow = WRAPPERS[wrapper](slow)
            except ValueError as error:  # Gymnasium's own word: observations are to be of one episode
                assert "autoreset_mode" in str(error)  # noqa: PT017
                with pytest.raises(ValueError, match=r"autoreset_mode"):
                    WRAPPERS[wrapper](fast)
                continue
            fast = WRAPPERS[wrapper](fast)
            fast.action_space.seed(0)
            assert same(plain(fast.reset(seed=4)[0]), plain(slow.reset(seed=4)[0]))
            for _ in range(11):
                action = fast.action_space.sample()
                if wrapper == "NumpyToTorch":
                    import torch

                    action = torch.as_tensor(action)
                one, two = fast.step(action), slow.step(action)
                assert all(same(plain(a), plain(b)) for a, b in zip(one, two, strict=True)), (name, mode)
                over = np.asarray(one[2]) | np.asarray(one[3])
                if mode == DISABLED and over.any():
                    one, two = fast.reset(), slow.reset()
                    assert same(plain(one[0]), plain(two[0]))


def test_statistics_of_episodes_reset_by_mask():
    env = wrappers.RecordEpisodeStatistics(gym.make_vec("storelab/Pricing-v0", num_envs=2, autoreset_mode=DISABLED))
    env.reset(seed=0)
    for _ in range(5):
        env.step([1, 2])
    env.reset(options={"reset_mask": np.array([True, False])})
    for _ in range(15):
        *_, infos = env.step([1, 2])
    assert infos["_episode"].tolist() == [False, True]
    assert infos["episode"]["l"].tolist() == [0, 20]


def test_ppo_in_the_manner_of_cleanrl_learns_on_it():
    """Wrappers, storage and loop as in CleanRL's ppo_continuous_action.py, around one linear layer."""
    torch = pytest.importorskip("torch")
    envs = gym.make_vec("storelab/Newsvendor-v0", num_envs=8, horizon=4, holding_cost=1.0)
    envs = wrappers.FlattenObservation(envs)
    envs = wrappers.RecordEpisodeStatistics(envs)
    envs = wrappers.RescaleAction(envs, -1.0, 1.0)
    envs = wrappers.ClipAction(envs)
    envs = wrappers.NormalizeObservation(envs)
    envs = wrappers.TransformObservation(envs, lambda seen: np.clip(seen, -10, 10))
    envs = wrappers.NormalizeReward(envs, gamma=0.99)
    envs = wrappers.TransformReward(envs, lambda reward: np.clip(reward, -10, 10))
    torch.manual_seed(0)
    size, steps = int(np.prod(envs.single_observation_space.shape)), 16
    mean, value = torch.nn.Linear(size, 1), torch.nn.Linear(size, 1)
    deviation = torch.nn.Parameter(torch.zeros(1))
    learner = torch.optim.Adam([*mean.parameters(), *value.parameters(), deviation], lr=0.02)
    seen, _ = envs.reset(seed=1)
    seen, over, paid = torch.as_tensor(seen, dtype=torch.float32), torch.zeros(8), []
    for _ in range(12):
        kept = []
        for _ in range(steps):
            with torch.no_grad():
                law = torch.distributions.Normal(mean(seen), deviation.exp())
                action = law.sample()
                kept.append([seen, action, law.log_prob(action).sum(1), value(seen).flatten(), over])
            following, reward, terminated, truncated, infos = envs.step(action.numpy())
            kept[-1].append(torch.as_tensor(reward, dtype=torch.float32))
            seen = torch.as_tensor(following, dtype=torch.float32)
            over = torch.as_tensor(terminated | truncated, dtype=torch.float32)
            if "episode" in infos:
                paid.extend(infos["episode"]["r"][infos["_episode"]].tolist())
                assert set(infos["episode"]["l"][infos["_episode"]].tolist()) == {4}
        with torch.no_grad():
            ahead, advantages = value(seen).flatten(), []
            last, end = torch.zeros(8), over
            for _, _, _, worth, begun, reward in reversed(kept):
                last = reward + 0.99 * ahead * (1 - end) - worth + 0.99 * 0.95 * (1 - end) * last
                advantages.insert(0, last)
                ahead, end = worth, begun
        observations, actions, logs, worths = (torch.cat([row[k] for row in kept]) for k in range(4))
        gain = torch.cat(advantages)
        for _ in range(4):
            law = torch.distributions.Normal(mean(observations), deviation.exp())
            ratio = (law.log_prob(actions).sum(1) - logs).exp()
            scaled = (gain - gain.mean()) / (gain.std() + 1e-8)
            loss = -torch.min(ratio * scaled, ratio.clamp(0.8, 1.2) * scaled).mean()
            loss = loss + 0.5 * (value(observations).flatten() - gain - worths).square().mean()
            learner.zero_grad()
            loss.backward()
            learner.step()
    assert len(paid) > 100
    assert np.isfinite(paid).all()


# -- call, get_attr, set_attr ----------------------------------------------------------------------------------------


def test_call_and_attributes_are_as_of_single_environments():
    fast, slow = both("storelab/Pricing-v0", 3, NEXT, render_mode="ansi", horizon=6)
    for env in (fast, slow):
        env.reset(seed=[4, 9, 2])
        env.step([1, 2, 3])
        env.set_attr("note", ["a", "b", "c"])
        env.set_attr("all", {"k": 1})
    for name in ("note", "all", "render_mode", "np_random_seed", "action_space", "observation_space"):
        assert fast.get_attr(name) == slow.get_attr(name), name
    assert fast.call("render") == slow.call("render") == fast.render()
    assert all(same(a, b) for a, b in zip(fast.call("state_dict"), slow.call("state_dict"), strict=True))
    assert [model.params for model in fast.get_attr("model")] == [model.params for model in slow.get_attr("model")]
    for env in (fast, slow):
        env.call("step", [2])
    one, two = fast.step([1, 1, 1]), slow.step([1, 1, 1])
    assert all(same(a, b) for a, b in zip(one, two, strict=True))
    for env in (fast, slow):
        env.call("reset", seed=7)
    one, two = fast.step([1, 1, 1]), slow.step([1, 1, 1])
    assert all(same(a, b) for a, b in zip(one, two, strict=True))
    assert fast.get_attr("note") == ("a", "b", "c")
    with pytest.raises(AttributeError):
        fast.get_attr("nothing")
    with pytest.raises(ValueError, match=r"values of note: .* 3 of them, not 2"):
        fast.set_attr("note", [1, 2])
    with pytest.raises(ValueError, match=r"model: .* is not allowed to set: the rows share one model"):
        fast.set_attr("model", None)


def test_clones_of_rows_go_their_own_way():
    env = gym.make_vec("storelab/LostSales-v0", num_envs=3, autoreset_mode=DISABLED)
    env.reset(seed=0)
    env.step(np.full((3, 1), 4))
    clones = env.call("clone")
    env.reset(options={"reset_mask": np.array([False, True, True])})
    again = gym.make_vec("storelab/LostSales-v0", num_envs=3, autoreset_mode=DISABLED)
    again.reset(seed=0)
    again.step(np.full((3, 1), 4))
    for period in range(5):
        seen, reward, *_ = again.step(np.full((3, 1), period))
        for row, clone in enumerate(clones):
            one, money, *_ = clone.step([period])
            assert np.array_equal(one, seen[row])
            assert money == reward[row]


def test_masks_of_rows():
    env = gym.make_vec("storelab/Dispatch-v0", num_envs=2, action="dispatch", requests=8.0, customers=20, iterations=5)
    env.reset(seed=0)
    masks = env.call("action_masks")
    assert [mask.shape for mask in masks] == [(2 * env.single_action_space.shape[0],)] * 2
