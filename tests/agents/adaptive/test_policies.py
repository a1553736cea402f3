"""The adaptive policy and the network: better than the rule, the same with and without their memory."""

import numpy as np
import pytest
from storelab.agents import rules_of
from storelab.agents.adaptive.recurrent import HIDDEN, forward, recurrent
from storelab.envs import TASKS
from storelab.envs.core.rollout import play, rollout
from storelab.envs.core.seeds import purpose_seeds
from storelab.envs.inventory_game.score import score

POLICIES = {
    "adaptive": lambda model: rules_of(model).Heuristic("adaptive", {}, model),
    "recurrent": recurrent,
}


@pytest.fixture(scope="module")
def games():
    model = TASKS["InventoryBench"]().model()
    return model, model.scenarios(purpose_seeds("validation", 90))


@pytest.mark.parametrize("name", POLICIES)
def test_it_is_far_better_than_the_rule(games, name):
    model, scenario = games
    rule = rules_of(model).Heuristic("capped_base_stock", {}, model)
    own, rules = (score(rollout(model, act, scenario)["reward"], scenario) for act in (POLICIES[name](model), rule))
    better = own - rules
    assert better.mean() - 2 * better.std() / len(better) ** 0.5 > 0.05
    assert own.mean() > 0.6


@pytest.mark.parametrize("name", POLICIES)
def test_memory_follows_from_the_observation(name):
    """Without the policy's state, alone, and out of step: the same orders."""
    model = TASKS["InventoryBench"](horizon=9).model()
    scenario, act = model.scenarios(np.arange(4)), POLICIES[name](model)
    seen, orders = [], []

    def kept(observation, memory, seed):
        seen.append(observation)
        order, memory = act(observation, memory, seed)
        orders.append(order)
        return order, memory

    list(play(model, kept, scenario))
    for t in (0, 3, 8):
        np.testing.assert_allclose(act(seen[t], None, 0)[0], orders[t], rtol=1e-4)
        np.testing.assert_allclose(act(seen[t][1:2], None, 0)[0], orders[t][1:2], rtol=1e-4)
    mixed = np.concatenate([seen[3][:2], seen[8][2:]])
    np.testing.assert_allclose(act(mixed, None, 0)[0], np.concatenate([orders[3][:2], orders[8][2:]]), rtol=1e-4)


def test_without_lead_time_the_order_is_the_newsvendors():
    """A long steady demand, no lead time: stock is raised to about the critical fractile."""
    model = TASKS["InventoryBench"](patterns=["stationary"], leads=["0"], profits=[4.0]).model()
    scenario = model.scenarios(np.arange(8))
    scenario["demand"] = np.random.default_rng(0).normal(100, 20, scenario["demand"].shape).round().astype(np.float32)
    flows = [flow for _, flow, _ in play(model, POLICIES["adaptive"](model), scenario)]
    level = np.mean([(flow.sales + flow.on_hand).mean() for flow in flows[30:]])
    assert level == pytest.approx(100 + 0.84 * 20, abs=6)


def test_torch_and_numpy_see_the_same():
    torch = pytest.importorskip("torch")
    from storelab.agents.adaptive.training import _first

    network = _first(1)
    model = TASKS["InventoryBench"](horizon=8).model()
    scenario = model.scenarios(np.arange(3))
    act = recurrent(model, {name: value.numpy() for name, value in network.items()})
    seen = []
    list(play(model, lambda o, s, seed: (seen.append(o), act(o, s, seed))[1], scenario))
    memory, own = torch.zeros(3, HIDDEN), np.zeros((3, HIDDEN), np.float32)
    for t, observation in enumerate(seen):
        memory, order = forward(torch, network, model.features(torch.tensor(observation)), t, memory)
        own, units = forward(np, {k: v.numpy() for k, v in network.items()}, model.features(observation), t, own)
        np.testing.assert_allclose(order.numpy(), units, rtol=1e-4)


def test_training_is_repeated_exactly_and_learns(tmp_path):
    pytest.importorskip("torch")
    from safetensors.numpy import load_file
    from storelab.agents.adaptive import training

    training.train(tmp_path / "one.safetensors", steps=2)
    training.train(tmp_path / "two.safetensors", steps=2)
    one, two = load_file(tmp_path / "one.safetensors"), load_file(tmp_path / "two.safetensors")
    assert all((one[name] == two[name]).all() for name in one)
    first = training._first(0)
    assert any((one[name] != first[name].numpy()).any() for name in one)
