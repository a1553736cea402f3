"""Compiled kernels against NumPy, bit for bit: steps of every model that has one, draws, and what happens without."""

import copy
import pickle

import numpy as np
import pytest
from gymnasium.vector import AutoresetMode
from storelab.envs import DemandParams, TableDemand, make_env, make_vector_env
from storelab.envs.core import batch, kernels
from storelab.envs.core.random import as_keys
from storelab.errors import FieldError

pytest.importorskip("numba")

PLAIN = {"lead_time": 0, "purchase_cost": 0.3, "price": 2.1}
DIVISIBLE = {"lot_size": 0, "action": "base_stock", "backorder_share": 1.0, "backorder_cost": 3.3}
SEASON = {"continuing": False, "horizon": 9, "salvage_value": 0.7, "lead_time": 1}
AGED = {"issuing": "lifo", "shelf_life": 4, "lead_time": 3, "continuing": False, "horizon": 12}
LOST = {"nodes": {"retailer": {"backorders": False}}}
CASES = [
    ("LostSales", {}),
    ("LostSales", PLAIN),
    ("LostSales", {"lot_size": 3, "action": "continuous"}),
    ("LostSales", {"action": "base_stock"}),
    ("LostSales", DIVISIBLE),
    ("LostSales", SEASON),
    ("LostSales", {"lot_size": 2.5, "max_order": 13.0, "price": 1.1, "fixed_cost": 2.3}),
    ("FixedCost", {}),
    ("Perishable", {}),
    ("Perishable", AGED),
    ("Perishable", {"lead_time": 0, "backorder_share": 1.0}),
    ("InvManagement", {}),
    ("InvManagement", LOST),
    ("NetworkManagement", {}),
    ("NetworkManagement", {"allocation": "proportional", "lot_size": 2}),
    ("OneWarehouse", {}),
    ("DualSourcing", {}),
]


def same(one, two) -> bool:
    """Tell whether two results are equal to the bit, names, types and dtypes included."""
    if isinstance(one, dict):
        return list(one) == list(two) and all(same(one[name], two[name]) for name in one)
    if isinstance(one, tuple):
        return len(one) == len(two) and all(map(same, one, two))
    if isinstance(one, np.ndarray) and one.dtype != object:
        return one.dtype == two.dtype and np.array_equal(one, two)
    if isinstance(one, np.ndarray):
        return all(a is b is None or same(a, b) for a, b in zip(one, two, strict=True))
    return type(one) is type(two) and one == two


def orders(rng, model, rows: int):
    """Return actions of every size and kind: some outside of the space, some whole numbers."""
    drawn = rng.uniform(-0.2, 1.1, (rows, len(model.action_high))) * model.action_high * rng.choice([0.05, 0.3, 1])
    return drawn if rng.random() < 0.5 else np.rint(drawn).astype(int)


@pytest.mark.parametrize(("task", "changes"), CASES)
@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP], ids=lambda mode: mode.value)
def test_rows_step_as_in_numpy(task, changes, mode):
    slow, fast = (make_vector_env(task, 3, kernel=k, autoreset_mode=mode, **changes) for k in ("numpy", "numba"))
    assert same(slow.reset(seed=3), fast.reset(seed=3))
    rng, compiled, mask = np.random.default_rng(0), 0, np.array([True, False, False])
    for t in range(240):
        actions = orders(rng, slow.model, 3)
        assert same(slow.step(actions), fast.step(actions))
        compiled += fast._batch._packed is not None
        if t == 150:  # rows out of step: NumPy goes on until they are in step again
            assert same(*(env.reset(options={"reset_mask": mask}) for env in (slow, fast)))
        if t == 180:
            assert same(slow.state_dict(), fast.state_dict())
            assert same(slow.reset(), fast.reset())
    assert compiled > 150


@pytest.mark.parametrize(("task", "changes"), [CASES[0], CASES[5], CASES[11]])
def test_one_environment_steps_as_in_numpy_and_its_copies_go_on(task, changes):
    slow, fast = (make_env(task, kernel=k, **changes) for k in ("numpy", "numba"))
    assert same(slow.reset(seed=3), fast.reset(seed=3))
    rng = np.random.default_rng(1)
    for t in range(40):
        action = orders(rng, slow.model, 1)[0]
        seen = slow.step(action)
        assert same(seen, fast.step(action))
        if t == 3:
            slow, fast = copy.deepcopy(slow), fast.clone()
        if t == 5:
            slow, fast = pickle.loads(pickle.dumps(slow)), pickle.loads(pickle.dumps(fast))
        if seen[2] or seen[3]:
            assert same(slow.reset(), fast.reset())


def test_an_observation_may_be_written_into():
    env = make_env("LostSales", kernel="numba")
    env.reset(seed=0)
    first = env.step(3)[0]
    kept = first.copy()
    first[:] = -1
    assert np.array_equal(env.clone().step(0)[0][1:-1], kept[2:])


@pytest.mark.parametrize("action", [np.nan, [1, 2], "many"])
def test_what_is_no_action_raises_the_same(action):
    said = []
    for kernel in ("numpy", "numba"):
        env = make_env("LostSales", kernel=kernel)
        env.reset(seed=0)
        env.step(1)
        with pytest.raises(FieldError) as error:
            env.step(action)
        said.append(str(error.value))
        assert env.step(1)[4]["demand"] >= 0  # and the episode goes on
    assert said[0] == said[1]


@pytest.mark.parametrize(("mean", "items"), [(5.0, 1), ([0.3, 40.0, 900.0], 3), (0.01, 2)])
def test_draws_are_numpys(monkeypatch, mean, items):
    source = TableDemand(DemandParams("negative_binomial", mean).pmfs(items))
    keys = as_keys(np.array([[0, 0], [2**63 + 11, 3], [7, 2**63]], np.uint64))
    drawn = []
    for kernel in ("numpy", "numba"):
        monkeypatch.setenv("STORELAB_KERNEL", kernel)
        drawn.append(source.draw(keys, 101)["demand"])
    assert drawn[0].any()
    assert same(*drawn)


def test_auto_compiles_once_an_environment_has_been_stepped_often(monkeypatch):
    monkeypatch.setattr(batch, "WARM", 3)
    env = make_env("LostSales")
    env.reset(seed=0)
    for _ in range(3):
        env.step(1)
        assert env._batch._packed is None
    env.step(1)
    assert env._batch._packed is not None


def test_without_numba_numpy_steps_and_draws(monkeypatch):
    monkeypatch.setitem(kernels._known, "numba", False)
    monkeypatch.setattr(batch, "WARM", 0)
    monkeypatch.setattr(kernels, "MANY", 0)
    env = make_env("LostSales")
    env.reset(seed=0)
    env.step(1)
    assert env._batch._packed is None
    with pytest.raises(FieldError, match="numba"):
        make_env("LostSales", kernel="numba")


def test_a_model_without_a_kernel_is_stepped_by_numpy():
    env = make_env("Serial", kernel="numba")
    env.reset(seed=0)
    env.step([1.0, 1.0, 1.0])
    assert env._batch._packed is None


@pytest.mark.parametrize("kernel", ["cuda", None])
def test_an_unknown_kernel_is_refused(kernel):
    with pytest.raises(FieldError, match="kernel"):
        make_vector_env("LostSales", 2, kernel=kernel)
