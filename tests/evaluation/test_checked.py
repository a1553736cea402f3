"""A policy that does the wrong thing ends in one error with its name, what it returned and what the space is."""

import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from storelab.envs import TASKS
from storelab.errors import FieldError
from storelab.evaluation import checked, evaluate

ONE = TASKS["LostSales"](horizon=60)
SPACE = r"actions \(4, 1\) of \w+ from 0 to \d+ at observations \(4, 4\)"


def raises(observation, policy_state, seed):
    return 1 / 0


def raises_in_a_library(observation, policy_state, seed):
    return np.zeros(3).sum(axis=1), policy_state


ACTIONS = {
    "None": (None, "None is not allowed as an action"),
    "text": ("seven", "'seven' is not allowed as an action"),
    "texts": (np.array([["5"]] * 4), r"np.str_\('5'\) is not allowed as an action"),
    "nothing": ([], r"\(0,\) is not allowed as the shape of its actions"),
    "a number": (5, r"\(\) is not allowed as the shape of its actions"),
    "a row": (np.zeros(3), r"\(3,\) is not allowed as the shape"),
    "turned": (np.zeros((1, 4)), r"\(1, 4\) is not allowed as the shape"),
    "deep": (np.zeros((4, 1, 1)), r"\(4, 1, 1\) is not allowed as the shape"),
    "NaN": (np.array([0, 1, np.nan, 2]), r"nan is not allowed as an action \(row 2\)"),
    "infinite": (np.array([[0], [-np.inf], [1], [2]]), r"-inf is not allowed as an action \(row 1\)"),
    "complex": (np.zeros((4, 1), complex), "0j.* is not allowed as an action"),
    "days": (np.zeros((4, 1), "M8[D]"), "1970-01-01.* is not allowed as an action"),
    "ragged": ([[1], [1, 2], [1], [1]], "is not allowed as its actions"),
    "some None": ([1, None, 2, 3], "is not allowed as an action"),
    "a mapping": ({"order": 3}, "{'order': 3} is not allowed as an action"),
    "a tensor with gradients": (torch.zeros((4, 1), requires_grad=True), "is not allowed as its actions"),
}


@pytest.mark.parametrize("kind", ACTIONS)
def test_wrong_actions(kind):
    action, said = ACTIONS[kind]
    with pytest.raises(FieldError) as caught:
        evaluate({"mine": lambda observation, state, seed: (action, state)}, ONE, np.arange(4))
    text = str(caught.value)
    assert re.fullmatch(rf"policy mine: .*{said}.*, expected {SPACE}", text)
    assert "\n" not in text


@pytest.mark.parametrize("returned", [None, 3, "ab", np.zeros((4, 1)), (1, 2, 3), [np.zeros((4, 1)), None]])
def test_no_pair(returned):
    with pytest.raises(
        FieldError, match=r"policy mine: .* as what it returned, expected a pair \(actions, policy_state"
    ):
        evaluate({"mine": lambda observation, state, seed: returned}, ONE, np.arange(4))


def test_what_it_raises_is_told_with_its_place():
    with pytest.raises(FieldError) as caught:
        evaluate({"mine": raises}, ONE, np.arange(4))
    said = (
        r"policy mine: ZeroDivisionError: division by zero is not allowed \(raised at test_checked.py:\d+\), expected "
    )
    assert re.fullmatch(said + SPACE, str(caught.value))
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    with pytest.raises(FieldError, match=r"AxisError: .*\(raised at test_checked.py:"):
        evaluate({"mine": raises_in_a_library}, ONE, np.arange(4))


@pytest.mark.parametrize(
    "action",
    [np.full(4, 3), np.full((4, 1), 3.0), [3, 3, 3, 3], [[3]] * 4, torch.full((4, 1), 3), np.full(4, 3, np.int8)],
)
def test_numbers_of_any_kind_will_do(action):
    policies = {"mine": lambda observation, state, seed: (action, state)}
    policies |= {"plain": lambda observation, state, seed: (np.full((4, 1), 3.0), state)}
    episodes = evaluate(policies, ONE, np.arange(4))
    mine, plain = (episodes[episodes["policy"] == name].drop(columns="policy") for name in policies)
    assert mine.reset_index(drop=True).equals(plain.reset_index(drop=True))


def test_finite_actions_outside_are_clipped_and_counted():
    act = lambda observation, state, seed: (np.array([[-3], [1e9], [2], [2]]), state)
    assert evaluate({"x": act}, ONE, np.arange(4))["clipped_actions"].tolist() == [1, 1, 0, 0]


def test_a_policy_that_writes_into_its_observations_changes_nobodys_scenario():
    def writes(observation, state, seed):
        observation[:] = 1e6
        return np.full((len(observation), 1), 3.0), state

    keeps = lambda observation, state, seed: (np.full((len(observation), 1), 3.0), state)
    for name in ("LostSales", "PricingReference", "Perishable"):
        task = TASKS[name]()
        size = len(task.model().action_low)
        wide = lambda act, size=size: lambda o, s, k: (np.tile(act(o, s, k)[0], (1, size)), s)
        episodes = evaluate({"first": wide(keeps), "writes": wide(writes), "last": wide(keeps)}, task, np.arange(3))
        parts = [rows.drop(columns="policy").reset_index(drop=True) for _, rows in episodes.groupby("policy")]
        assert parts[0].equals(parts[1]), name
        assert parts[0].equals(parts[2]), name


@given(st.lists(st.integers(0, 5), max_size=3), st.sampled_from(["f4", "i8", "?", "U1", "c8", "O"]))
def test_a_shape_or_type_is_right_or_refused_by_name(shape, kind):
    model = replace(ONE).model()
    act = checked("mine", lambda observation, state, seed: (np.zeros(shape, kind), state), model)
    observation = np.zeros((4, 4), np.float32)
    if tuple(shape) in ((4,), (4, 1)) and kind in ("f4", "i8", "?"):
        assert act(observation, None, 0)[0].shape == (4, 1)
    else:
        with pytest.raises(FieldError, match="policy mine: "):
            act(observation, None, 0)
