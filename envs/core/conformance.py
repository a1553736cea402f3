"""Whether a task keeps the contract of `core.contract`: run over every registered task, and for anybody's own.

from storelab.envs.core.conformance import check_task
check_task(my_task())
"""

import numpy as np
from gymnasium import spaces

from .batch import admit, pack, unpack
from .contract import GAINS, Model, Reference
from .rollout import rollout
from .task import Task

ROWS, PERIODS = 3, 12  # episodes side by side, and periods of them that are stepped through


def check_task(task: Task, pictures: bool = True) -> None:
    """Check a task's model on both splits, its reference and its bound.

    Args:
        task: whose horizon should be short, or the check takes long.
        pictures: also draw it, which needs matplotlib.

    Raises:
        AssertionError: a breach of the contract; the message says which.
    """
    assert task.unit, "task: it needs a unit"
    assert task.objective in ("cost", "profit"), f"task: objective {task.objective!r}"
    for split in ("train", "test"):
        model = task.model(split)
        check_model(model)
        if task.hindsight is not None:
            bound = task.hindsight(model, model.scenarios(np.arange(ROWS)))
            assert np.shape(bound) == (ROWS,), f"hindsight: shape {np.shape(bound)}, expected ({ROWS},)"
    _check_pictures(task.model("test"), ("ansi", "rgb_array") if pictures else ("ansi",))
    try:
        reference = task.reference() if task.reference else None
    except ValueError:  # not known for these parameters
        reference = None
    if reference is not None:
        _check_reference(reference, task.model("test"))


def check_model(model: Model) -> None:
    """Check a model's spaces, functions and determinism; raises AssertionError as `check_task` does."""
    assert isinstance(model, Model), f"{type(model).__name__} does not derive from Model"
    size = len(model.action_low)
    assert model.action_low.shape == model.action_high.shape == (size,), "action_low, action_high: not (A,) both"
    kinds = spaces.Box | spaces.MultiDiscrete | spaces.Discrete
    assert isinstance(model.action_space, kinds), "action_space: neither Box nor MultiDiscrete nor Discrete"
    keys = np.array([[5, 0], [6, 0], [5, 1]], np.uint64)
    scenario = model.scenarios(keys)
    for name, block in scenario.items():
        assert block.shape[:2] == (ROWS, model.horizon + 1), f"scenario {name}: shape {block.shape}"
        alone = model.scenarios(keys[2:])[name][0]
        assert np.array_equal(alone, block[2]), f"scenario {name}: a row depends on the batch it is drawn in"
    rng, state = np.random.default_rng(0), model.initial(ROWS)
    for t in range(min(PERIODS, model.horizon)):
        shock = {name: block[:, t] for name, block in scenario.items()}
        _check_observation(model, state, shock)
        action, _ = admit(model, rng.uniform(model.action_low, model.action_high, (ROWS, size)), ROWS)
        state = _check_step(model, state, action, shock, ended=t == model.horizon - 1)
    constant = lambda observation, policy_state, seed: (_middle(model, len(observation)), policy_state)
    run = rollout(model, constant, scenario, trace=True)
    for name, values in run.items():
        assert values.shape[:2] == (ROWS, model.horizon), f"rollout {name}: shape {values.shape}"
        assert np.isfinite(np.asarray(values, float)).all() or name == "flow.price", f"rollout {name}: not finite"


def _middle(model: Model, rows: int) -> np.ndarray:
    return np.tile((model.action_low + model.action_high) / 2, (rows, 1))


def _check_observation(model: Model, state, shock: dict) -> None:
    features = model.observe(state, shock)
    assert list(features) == list(model.layout), f"observe: {list(features)}, layout: {list(model.layout)}"
    arrays = {name: np.stack(v, axis=1) if isinstance(v, tuple) else np.asarray(v) for name, v in features.items()}
    for name, shape in model.layout.items():
        assert arrays[name].shape == (ROWS, *shape), f"observe {name}: {arrays[name].shape}, layout: {shape}"
    flat = model.observation(state, shock)
    assert flat.dtype == np.float32, f"observation: {flat.dtype}, expected float32"
    for row in flat:
        assert model.observation_space.contains(row), "observation: outside its space"
    for name, array in model.features(flat).items():
        assert np.array_equal(array, arrays[name]), f"features: {name} is not what observe gave"
    if hasattr(model, "action_masks") and isinstance(model.action_space, spaces.MultiDiscrete):
        masks, ends = model.action_masks(flat), np.cumsum(model.action_space.nvec)
        assert masks.shape == (ROWS, ends[-1]), f"action_masks: shape {masks.shape}"
        assert all(part.any(axis=1).all() for part in np.split(masks, ends[:-1], axis=1)), (
            "action_masks: no choice left"
        )


def _check_step(model: Model, state, action, shock: dict, ended: bool):
    before = {name: array.copy() for name, array in pack(state).items()}
    drawn = _global_generator().copy()
    after, flow = model.transition(state, action.copy(), shock)
    assert np.array_equal(_global_generator(), drawn), "transition: it draws"
    assert _equal(before, pack(state)), "transition: it changed the state that it was given"
    again, _ = model.transition(unpack(state, before), action.copy(), shock)
    assert _equal(pack(after), pack(again)), "transition: not deterministic"
    money, terms = model.money(flow), model.terms(flow, after, ended)
    for name, value in terms.items():
        assert np.shape(value) == (ROWS,), f"money {name}: shape {np.shape(value)}"
    assert list(terms)[: len(money)] == list(money), "terms: not the money first"
    total = sum(np.asarray(value, float) * (1 if name in GAINS else -1) for name, value in terms.items())
    scale = 1e-4 * (1 + sum(np.abs(np.asarray(value, float)) for value in terms.values()))
    assert (np.abs(model.reward(terms) - total) <= scale).all(), "reward: not the gains less the costs"
    items = np.asarray(model.item_profit(flow), float)
    assert items.ndim == 2, f"item_profit: shape {items.shape}"
    assert (np.abs(items.sum(axis=1) - model.reward(money)) <= scale).all(), "item_profit: does not sum to the reward"
    info = model.info(flow, terms)
    for name, value in info.items():
        assert np.shape(value) == (ROWS,), f"info {name}: shape {np.shape(value)}"
    return after


def _global_generator() -> np.ndarray:
    """Return the key of NumPy's global generator, which nothing may touch."""
    return np.random.get_state(legacy=False)["state"]["key"]  # noqa: NPY002 it is read, not drawn from


def _equal(first: dict, second: dict) -> bool:
    return first.keys() == second.keys() and all(np.array_equal(first[name], second[name]) for name in first)


def _check_pictures(model: Model, modes: tuple[str, ...]) -> None:
    scenario, state = model.scenarios([1]), model.initial(1)
    shock = {name: block[:, 0] for name, block in scenario.items()}
    action, _ = admit(model, _middle(model, 1), 1)
    _, flow = model.transition(state, action, shock)
    for mode in modes:
        viewer = model.viewer(mode)
        viewer.add(None)
        viewer.add(flow)
        drawn = viewer.render()
        viewer.close()
        if mode == "ansi":
            assert isinstance(drawn, str), "viewer: ansi is no text"
            assert drawn, "viewer: ansi says nothing"
        else:
            assert drawn.ndim == 3, f"viewer: a picture of shape {drawn.shape}"
            assert drawn.dtype == np.uint8, f"viewer: a picture of {drawn.dtype}"


def _check_reference(reference: Reference, model: Model) -> None:
    assert isinstance(reference, Reference), "reference: no Reference"
    for name, levels in reference.levels.items():
        assert np.isfinite(np.asarray(levels, float)).all(), f"reference: level {name} is not finite"
    if reference.policy is not None:
        shock = {name: block[:, 0] for name, block in model.scenarios(np.arange(ROWS)).items()}
        action, _ = reference.policy(model.observation(model.initial(ROWS), shock), None, 0)
        _, clipped = admit(model, action, ROWS)
        assert clipped is None, "reference: its policy leaves the action space"
