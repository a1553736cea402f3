"""A game by hand: when orders come in, what is lost, what is seen; the same in torch."""

import numpy as np
import pytest
from storelab.envs import TASKS
from storelab.envs.core.rollout import play
from storelab.envs.inventory_game.games import LOST
from storelab.envs.inventory_game.model import InventoryGame
from storelab.envs.inventory_game.params import InventoryGameParams
from storelab.envs.inventory_game.score import score
from storelab.errors import FieldError


def game(lead: list[float], demand: list[float], profit: float = 4.0):
    """A model and the scenario of one game."""
    model = InventoryGame(InventoryGameParams(horizon=len(lead)))
    longer = lambda values: np.array([[*values, 0.0]])
    history, fixed = np.full((1, 5), 10.0), (np.array([2]), np.array([profit]), 5.0)
    return model, model.scenario(history, longer(demand), longer(lead), *fixed)


def test_a_game_by_hand():
    model, scenario = game([0, 2, 1, LOST], [5, 5, 5, 5])
    orders = iter([8.0, 6.0, 4.0, 9.0])
    seen = []

    def act(observation, memory, seed):
        named = model.features(observation)
        seen.append([float(named[name][0, -1]) for name in ("on_hand", "in_transit", "demand", "ordered", "arrived")])
        return np.full((1, 1), next(orders)), memory

    flows = [(state, flow) for state, flow, _ in play(model, act, scenario)]
    # 8 come at once; 6 and 4 both in the last period; 9 never.
    assert [float(flow.arrived[0, 0]) for _, flow in flows] == [8, 0, 0, 10]
    assert [float(flow.sales[0, 0]) for _, flow in flows] == [5, 3, 0, 5]
    assert [float(flow.on_hand[0, 0]) for _, flow in flows] == [3, 0, 0, 5]
    assert seen[1:] == [[3, 0, 5, 8, 8], [0, 6, 5, 6, 0], [0, 10, 5, 4, 0]]
    assert float(flows[-1][0].in_transit[0, 0]) == 9  # the lost order
    reward = np.stack([model.reward(model.money(flow)) for _, flow in flows], axis=1)
    assert reward.tolist() == [[17, 12, 0, 15]]
    assert score(reward, scenario) == pytest.approx([44 / 80])


def test_a_loss_scores_nothing():
    _, scenario = game([0, 0], [1, 1], profit=1.0)
    reward = np.array([[-50.0, -50.0]])
    assert score(reward, scenario).tolist() == [0.0]
    assert score(reward + 51, {name: 0 * values for name, values in scenario.items()}).tolist() == [0.0]


def test_torch_plays_the_same_game():
    torch = pytest.importorskip("torch")
    task = TASKS["InventoryBench"](horizon=12, whole=False)
    model, other = task.model(), task.model(xp=torch)
    scenario = model.scenarios(np.arange(6))
    tensors = {name: torch.tensor(values) for name, values in scenario.items()}
    order = np.random.default_rng(0).uniform(0, 200, (12, 6, 1)).astype(np.float32)
    one = [flow for _, flow, _ in play(model, lambda o, s, seed: (order[seed], s), scenario)]
    two = [flow for _, flow, _ in play(other, lambda o, s, seed: (torch.tensor(order[seed]), s), tensors)]
    for numpy_flow, torch_flow in zip(one, two, strict=True):
        np.testing.assert_array_equal(numpy_flow.on_hand, torch_flow.on_hand.numpy())
        money = other.reward(other.money(torch_flow)).numpy()
        np.testing.assert_array_equal(model.reward(model.money(numpy_flow)), money)


@pytest.mark.parametrize(
    "wrong", [{"patterns": ["flat"]}, {"leads": []}, {"leads": ["7"]}, {"processes": "wide", "patterns": ["season"]}]
)
def test_what_is_no_game_is_refused(wrong):
    with pytest.raises(FieldError, match=next(reversed(wrong))):
        InventoryGameParams(**wrong)
