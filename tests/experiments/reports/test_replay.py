"""Animations: every environment's pictures, beside one another at the same scales."""

import numpy as np
import pytest
from storelab.envs import TASKS
from storelab.envs.registry import environments
from storelab.evaluation import scenario_keys
from storelab.experiments.reports.replay import BAR, _drawn, frames, gif, joined, player


def constant(model, share):
    low, high = model.action_low, np.minimum(model.action_high, 60)
    return lambda observation, state, seed: (np.tile(low + share * (high - low), (len(observation), 1)), state)


SMALL = {"Dispatch": {"requests": 6, "customers": 20}}


@pytest.mark.slow
@pytest.mark.parametrize("name", environments())
def test_every_environment_is_animated(name):
    task_name = environments()[name].picture
    task = TASKS[task_name](**SMALL.get(task_name, {}))
    model = task.model("test")
    policies = {"a <b>": constant(model, 0.2), "c": constant(model, 0.7)}
    shown = frames(model, policies, model.scenarios(scenario_keys([3], "test")), 3)
    assert 2 <= len(shown["c"]) <= 3
    pictures = joined(shown)
    height, width = shown["c"][0].shape[:2]
    assert pictures[0].shape in ((height + BAR, 2 * width, 3), (2 * (height + BAR), width, 3))
    assert (pictures[0] != pictures[-1]).any()
    assert (shown["a <b>"][-1] != shown["c"][-1]).any()
    assert gif(pictures, 0.1).startswith(b"GIF89a")
    assert "a &lt;b&gt;" in player(shown, "title", 0.1)


@pytest.mark.parametrize("name", ["LostSales", "Marketplace", "PricingReference"])
def test_pictures_beside_one_another_have_one_scale(name):
    model = TASKS[name]().model()
    viewers = [model.viewer("rgb_array") for _ in range(2)]
    scenario, state = model.scenarios([1]), [model.initial(1), model.initial(1)]
    for t in range(3):
        shock = {key: block[:, t] for key, block in scenario.items()}
        for k, share in enumerate((0.1, 0.9)):
            action = constant(model, share)(np.zeros((1, 1)), None, 0)[0].astype(np.float32)
            state[k], flow = model.transition(state[k], action, shock)
            viewers[k].add(flow)
        _drawn(viewers)
        assert viewers[0].limits() == viewers[1].limits() != []
