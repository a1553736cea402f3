"""All adapters over all registered environments: official checkers, seeds, autoreset, hostile actions, resume."""

import copy
import pickle
import warnings
from functools import partial
from importlib import import_module

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from hypothesis import given, settings
from hypothesis import strategies as st
from storelab.envs import TASKS, Inventory, make_env
from storelab.envs import make_vector_env as make_any_vector_env

make_vector_env = partial(make_any_vector_env, autoreset_mode="SameStep")
IDS = sorted(name for name in gym.registry if name.startswith("storelab/"))
VARIANTS = [
    ("Inventory", {}),
    ("Inventory", {"items": 3, "lead_time": [0, 2, 4], "backorder_share": 0.5, "forecast": "oracle"}),
    ("Inventory", {"items": 2, "lead_time_pmf": [0.5, 0.3, 0.2], "capacity": 30.0, "action": "base_stock"}),
    ("Inventory", {"items": 2, "lead_time": 2, "forecast": "history", "history_days": 5}),
    ("Inventory", {"items": 3, "shelf_life": [2, 3, np.inf], "issuing": "lifo", "yield_mean": 0.7, "yield_std": 0.1}),
    (
        "Inventory",
        {"items": 2, "disruption_probability": 0.3, "recovery_probability": 0.5, "substitution_share": 0.5}
        | {"lead_time_pmf": [0.5, 0.5], "yield_mean": 0.7, "backorder_share": 0.5},
    ),
    ("LostSales", {"horizon": 12}),
    ("FixedCost", {"horizon": 9, "lead_time": 2}),
    ("Newsvendor", {}),
    ("Dispatch", {"requests": 12.0, "iterations": 10, "customers": 40, "cities": 2, "grid": 2}),
    ("Dispatch", {"requests": 8.0, "iterations": 10, "customers": 40, "profile": [1.0, 1.0], "action": "dispatch"}),
    ("Pricing", {"markdown": True, "max_changes": 3, "price_change_cost": 0.1}),
    ("PricingMNL", {"items": 3, "demand": {"size": 2.0, "noise": "poisson", "utility": 1.0}, "action": "grid"}),
    ("PricingReference", {"horizon": 8, "demand": {"loss": 4.0, "std": 1.0}, "initial_stock": 20.0}),
    ("BeerGame", {"horizon": 12}),
    ("NetworkManagement", {"horizon": 9, "allocation": "learned", "action": "base_stock"}),
    ("SupplyChain", {"arcs": {"supplier-shop": {"lead_time_pmf": [0.5, 0.3, 0.2]}}, "horizon": 25}),
    ("Marketplace", {"items": 4, "page_size": 2, "horizon": 8, "fidelity": "reference", "population": 200.0}),
    ("Marketplace", {"items": 4, "page_size": 4, "horizon": 8, "resolution": "item", "forecast": "oracle"}),
    ("PricingDuopoly", {"horizon": 9, "rival": "q_learner", "grid": 5, "exploration_decay": 0.1}),
]


@pytest.fixture(params=IDS)
def env_id(request, data_of):
    """Return each registered id with the arguments it cannot do without."""
    return request.param, data_of(request.param.removeprefix("storelab/").removesuffix("-v0"))


@pytest.mark.parametrize("checker", ["gymnasium", "stable_baselines3"])
def test_official_checkers(env_id, checker):
    name, kwargs = env_id
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        # Units are not scaled to [-1, 1] on purpose (learners scale them), stock has no upper bound, v0 stays
        warnings.filterwarnings(
            "ignore", message=".*(normalize|minimum value|maximum value|different random seed|out of date).*"
        )
        if checker == "gymnasium":
            check_env(gym.make(name, render_mode="ansi", **kwargs).unwrapped)
        else:
            pytest.importorskip("stable_baselines3")
            from stable_baselines3.common.env_checker import check_env as sb3_check

            sb3_check(gym.make(name, **kwargs))


def test_make_vec(env_id):
    name, kwargs = env_id
    env = gym.make_vec(name, num_envs=3, **kwargs)
    env.action_space.seed(0)
    observations, _ = env.reset(seed=0)
    for _ in range(250):
        assert env.observation_space.contains(observations)
        observations, rewards, *_ = env.step(env.action_space.sample())
        assert np.isfinite(rewards).all()
    env.close()


def actions_of(model, periods, rows):
    rng = np.random.default_rng(1)
    drawn = rng.uniform(model.action_low, model.action_high, (periods, rows, len(model.action_low)))
    return np.floor(drawn).astype(np.int64) if model.action_space.dtype.kind == "i" else drawn.astype(np.float32)


def vector_trajectory(env, seed, actions):
    seen = [env.reset(seed=seed)[0]]
    for action in actions:
        observation, reward, terminated, truncated, info = env.step(action)
        if "final_obs" in info:
            last = np.stack([o if o is not None else observation[i] for i, o in enumerate(info["final_obs"])])
            seen.append(last)
        seen += [observation, reward, terminated, truncated]
    return seen


@pytest.mark.parametrize(("task", "changes"), VARIANTS)
def test_same_seed_same_trajectory_at_any_batch_size(task, changes):
    big = make_vector_env(task, num_envs=5, **changes)
    actions = actions_of(big.model, 30, 5)
    together = vector_trajectory(big, 11, actions)
    again = vector_trajectory(make_vector_env(task, num_envs=5, **changes), 11, actions)
    for row in range(5):
        alone = vector_trajectory(make_vector_env(task, num_envs=1, **changes), 11 + row, actions[:, row : row + 1])
        assert len(alone) == len(together)
        for a, b, c in zip(alone, together, again, strict=True):
            assert np.array_equal(a[0], b[row])
            assert np.array_equal(b, c)


@pytest.mark.parametrize(("task", "changes"), VARIANTS)
def test_env_and_vector_env_agree(task, changes):
    env, vector = make_env(task, **changes), make_vector_env(task, num_envs=2, **changes)
    actions = actions_of(vector.model, 30, 2)
    observations, _ = vector.reset(seed=3)
    observation, _ = env.reset(seed=4)
    assert np.array_equal(observation, observations[1])
    for action in actions:
        observation, reward, terminated, truncated, info = env.step(action[1])
        observations, rewards, terminations, truncations, infos = vector.step(action)
        assert reward == rewards[1]
        assert (terminated, truncated) == (terminations[1], truncations[1])
        known = infos["final_info"] if terminated or truncated else infos
        assert all(known[f"_{name}"][1] and known[name][1] == value for name, value in info.items())
        if terminated or truncated:
            assert np.array_equal(infos["final_obs"][1], observation)
            observation, _ = env.reset()
        assert np.array_equal(observation, observations[1])


@pytest.mark.parametrize(("task", "changes"), VARIANTS)
def test_sb3_agrees_with_the_vector_env(task, changes):
    pytest.importorskip("stable_baselines3")
    from storelab.agents.core.vec_env import StoreVecEnv

    model = TASKS[task](**changes).model()
    ours, vector = StoreVecEnv(model, 3), make_vector_env(task, num_envs=3, **changes)
    ours.seed(5)
    assert np.array_equal(ours.reset(), vector.reset(seed=5)[0])
    for action in actions_of(model, 30, 3):
        given_action = action[:, 0] if ours.action_space.shape == () else action
        observations, rewards, dones, infos = ours.step(given_action)
        expected, wanted, terminations, truncations, info = vector.step(action)
        assert np.array_equal(observations, expected)
        assert np.array_equal(rewards, wanted.astype(np.float32))
        assert np.array_equal(dones, terminations | truncations)
        for row in np.flatnonzero(dones):
            assert np.array_equal(infos[row]["terminal_observation"], info["final_obs"][row])
            assert infos[row]["TimeLimit.truncated"] == bool(truncations[row])


def test_rows_may_run_at_different_clocks():
    env = make_vector_env("LostSales", num_envs=4, horizon=10)
    actions = actions_of(env.model, 20, 4)
    env.reset(seed=0)
    for action in actions[:3]:
        env.step(action)
    mask = np.array([False, True, False, True])
    env.reset(seed=[0, 50, 0, 51], options={"reset_mask": mask})
    alone = make_vector_env("LostSales", num_envs=1, horizon=10)
    alone.reset(seed=50)
    other = make_vector_env("LostSales", num_envs=1, horizon=10)
    other.reset(seed=2)
    for action in actions[:3]:
        other.step(action[2:3])
    for action in actions[3:]:
        observations, _, _, truncated, _ = env.step(action)
        fresh, old = alone.step(action[1:2]), other.step(action[2:3])
        assert np.array_equal(observations[1], fresh[0][0])
        assert np.array_equal(observations[2], old[0][0])
        assert (truncated[1], truncated[2]) == (fresh[3][0], old[3][0])


@pytest.mark.parametrize(("task", "changes"), VARIANTS)
def test_state_dict_goes_on_exactly(task, changes):
    env = make_vector_env(task, num_envs=3, **changes)
    actions = actions_of(env.model, 40, 3)
    env.reset(seed=9)
    for action in actions[:15]:
        env.step(action)
    saved = env.state_dict()
    expected = [env.step(action) for action in actions[15:]]
    fresh = make_vector_env(task, num_envs=3, **changes)
    fresh.load_state_dict(saved)
    for action, wanted in zip(actions[15:], expected, strict=True):
        got = fresh.step(action)
        assert all(np.array_equal(a, b) for a, b in zip(got[:4], wanted[:4], strict=True))


def test_episodes_follow_one_another():
    env = make_env("LostSales", horizon=5)
    first = [env.reset(seed=1)[0], *(env.step(3)[1] for _ in range(5))]
    second = [env.reset()[0], *(env.step(3)[1] for _ in range(5))]
    again = [env.reset(seed=1)[0], *(env.step(3)[1] for _ in range(5))]
    assert first[1:] == again[1:]
    assert first[1:] != second[1:]


ODD = st.one_of(
    st.floats(allow_nan=True, allow_infinity=True),
    st.integers(-(10**400), 10**400),
    st.sampled_from([1e300, -1e300, np.nan, np.inf, None, "five", [], {}, True]),
)


@pytest.mark.slow
@pytest.mark.parametrize(("task", "changes"), VARIANTS)
def test_hostile_actions_follow_the_rule(task, changes, share):
    env = make_env(task, **changes)
    model, items = env.model, len(env.model.action_low)
    env.reset(seed=0)

    @given(action=st.one_of(ODD, st.lists(ODD, max_size=4), st.lists(ODD, min_size=items, max_size=items)))
    @settings(max_examples=share(10_000), database=None)
    def attack(action):
        try:
            values = np.asarray(action, dtype=np.float64)
            legal = values.size == items and np.isfinite(values).all() and values.ndim <= 2
        except (TypeError, ValueError, OverflowError):
            legal = False
        before = env.state_dict()
        if not legal:
            with pytest.raises(ValueError, match="action"):
                env.step(action)
            assert all(np.array_equal(before[k], v) for k, v in env.state_dict().items())  # a refusal changes nothing
            return
        observation, reward, terminated, truncated, info = env.step(action)
        outside = (values.ravel() < model.action_low) | (values.ravel() > model.action_high)
        assert info["clipped_actions"] == outside.sum()
        assert env.observation_space.contains(observation)
        assert np.isfinite(reward)
        if terminated or truncated:
            env.reset()

    attack()


def test_hostile_configs_of_any_valid_kind_run(share):
    from ..inventory.test_model import problems

    @given(params=problems(), seed=st.integers(0, 2**62))
    @settings(max_examples=share(1000), database=None)
    def run(params, seed):
        from storelab.envs import StoreEnv

        env = StoreEnv(Inventory(params))
        env.action_space.seed(seed % 2**31)
        observation, _ = env.reset(seed=seed)
        for _ in range(200):
            assert env.observation_space.contains(observation)
            observation, reward, terminated, truncated, _ = env.step(env.action_space.sample())
            assert np.isfinite(reward)
            if terminated or truncated:
                assert env.observation_space.contains(observation)
                observation, _ = env.reset()

    run()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: make_env("Nowhere"), "task: 'Nowhere'"),
        (lambda: make_env(split="holdout"), "split: 'holdout'"),
        (lambda: make_env(leadtime=3), "leadtime: 3"),
        (lambda: make_env(demand={"sigma": 3}), "demand.sigma: 3"),
        (lambda: make_env(render_mode="gif"), "render_mode: 'gif'"),
        (lambda: make_vector_env(num_envs=0), "num_envs: 0"),
        (lambda: make_env().reset(seed=-1), "seed|Seed"),
        (lambda: make_vector_env(num_envs=2).reset(seed=[1]), r"seed: \[1\] is not allowed, expected 2 of them, not 1"),
        (lambda: make_vector_env(num_envs=2).reset(options={"reset_mask": [True]}), "reset_mask"),
    ],
)
def test_bad_arguments_are_refused(call, message):
    with pytest.raises((ValueError, gym.error.Error), match=message):
        call()


def test_step_before_reset():
    with pytest.raises(gym.error.ResetNeeded):
        make_env().step([0])
    with pytest.raises(gym.error.ResetNeeded):
        make_vector_env().step([[0]])


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda env: pickle.loads(pickle.dumps(env))], ids=["copy", "pickle"])
def test_a_copy_goes_on_exactly(env_id, copied):
    name, kwargs = env_id
    env = gym.make(name, **kwargs).unwrapped
    env.action_space.seed(0)
    env.reset(seed=3)
    actions = [env.action_space.sample() for _ in range(8)]
    if any(env.step(actions[0])[2:4]):
        env.reset()
    other = copied(env)
    for action in actions[1:]:
        one, two = env.step(action), other.step(action)
        assert np.array_equal(one[0], two[0])
        assert one[1:] == two[1:]
        if any(one[2:4]):
            assert np.array_equal(env.reset()[0], other.reset()[0])


def test_after_the_end_a_reset_is_needed():
    env = make_env("Inventory", horizon=4)
    with pytest.raises(gym.error.ResetNeeded, match="call reset before step"):
        env.step([1])
    env.reset(seed=0)
    for _ in range(4):
        env.step([1])
    with pytest.raises(gym.error.ResetNeeded, match="the episode has ended: call reset"):
        env.step([1])
    kept = env.state_dict()
    env.reset()
    env.step([1])
    env.load_state_dict(kept)
    with pytest.raises(gym.error.ResetNeeded):
        env.step([1])
    with pytest.raises(ValueError, match=r"options: .* is not allowed, expected none"):
        env.reset(options={"seed": 3})


@pytest.mark.parametrize("module", ["duopoly", "marketplace"])
def test_parallel_environments_say_what_lacks(module):
    pytest.importorskip("pettingzoo")
    parallel = import_module(f"storelab.envs.{module}.parallel")
    env = getattr(parallel, f"{module.title()}Parallel")()
    actions = {agent: env.action_space(agent).sample() for agent in env.possible_agents}
    with pytest.raises(gym.error.ResetNeeded):
        env.step(actions)
    env.reset(seed=0)
    last = env.agents[-1]
    with pytest.raises(ValueError, match=rf"actions\['{last}'\]: None is not allowed, expected an action for each"):
        env.step({agent: action for agent, action in actions.items() if agent != last})
    env.step(actions)
