"""Rules for inventory games: the benchmark's capped base stock, and a policy that adapts to what it sees."""

from dataclasses import dataclass, field
from statistics import NormalDist

import numpy as np

from ...envs import InventoryGame, Task
from ...envs.core.contract import Policy
from ..adaptive.order import Belief
from ..adaptive.replay import period_of, stateful
from ..core.rules import Parameters, check_kind

HEURISTICS = ("capped_base_stock", "adaptive")
CAP = 1.645  # standard deviations above the mean that an order may have


@dataclass
class Heuristic:
    """A rule: plain data, so that it can be kept as JSON; there is nothing to tune in either.

    `capped_base_stock` is InventoryBench's own: with the mean m and the standard deviation s of all demand seen, the
    promised lead time L and the normal quantile z of p / (p + h), the level is (1 + L) m + z sqrt(1 + L) s, and the
    order is no more than m + 1.645 s. It counts lost orders as on the way for ever. `adaptive` is `agents.adaptive`.
    """

    kind: str
    params: Parameters
    model: InventoryGame
    _act: Policy | None = field(default=None, init=False, repr=False, compare=False)

    def __call__(self, observation: np.ndarray, policy_state, seed: int):
        """Act: observations (n, F) to orders (n, 1), units."""
        if self.kind == "capped_base_stock":
            return _capped(self.model, self.model.features(observation)), policy_state
        self._act = self._act or adaptive(self.model)
        return self._act(observation, policy_state, seed)


def adaptive(model: InventoryGame, **choices) -> Policy:
    """Return the policy that adapts; its state holds what is believed.

    Args:
        model: of the games.
        choices: `prior` and `search` of `agents.adaptive.order.Belief`.
    """

    def begin(named: dict) -> Belief:
        end = int(named["history_end"][0, 0])
        periods = end + 1 + np.arange(-named["history"].shape[1], 0)
        belief = Belief(named["history"].astype(float), periods, named["promised"][:, 0], model.horizon, **choices)
        for _ in range(period_of(named)):
            seen(belief, named, period_of(named))
        return belief

    def seen(belief: Belief, named: dict, now: int) -> None:
        place = model.horizon - now + belief.period
        belief.update(*(named[name][:, place].astype(float) for name in ("ordered", "arrived", "demand")))

    def step(named: dict, belief: Belief, seed: int) -> tuple[np.ndarray, Belief]:
        now = period_of(named)
        if belief.period < now:
            belief = belief.copy()
            seen(belief, named, now)
        holding = np.full(len(named["on_hand"]), float(model.params.holding_cost))
        orders = belief.order(named["on_hand"][:, 0].astype(float), named["profit"][:, 0].astype(float), holding)
        return np.floor(orders + 0.5)[:, None], belief

    return stateful(model, begin, step)


def _capped(model: InventoryGame, named: dict) -> np.ndarray:
    """Return the orders (n, 1) of the capped base-stock rule."""
    played = np.rint((1 - named["time_left"][:, 0]) * model.horizon).astype(int)
    orders = np.zeros((len(played), 1))
    for now in np.unique(played):
        rows = played == now
        samples = np.concatenate([named["history"][rows], named["demand"][rows, model.horizon - now :]], axis=1)
        mean, std = samples.mean(axis=1, dtype=float), samples.std(axis=1, ddof=1, dtype=float)
        cover = 1 + named["promised"][rows, 0]
        share = named["profit"][rows, 0] / (named["profit"][rows, 0] + model.params.holding_cost)
        z = np.array([NormalDist().inv_cdf(float(q)) for q in share])
        position = (named["on_hand"] + named["in_transit"])[rows, 0]
        gap = np.maximum(cover * mean + z * np.sqrt(cover) * std - position, 0)
        orders[rows, 0] = np.clip(np.minimum(gap, mean + CAP * std), 0, model.action_high[0])
    return orders


def available(model: InventoryGame) -> list[str]:
    """Return the rules; without a holding cost there is no newsvendor's quantile, and none fits."""
    return list(HEURISTICS) if model.params.holding_cost > 0 else []


def tune(kind: str, task: Task, seeds, progress: bool = False) -> Heuristic:
    """Return a rule; nothing in it is tuned.

    Raises:
        FieldError: a kind that is unknown or does not fit the task's model; it lists what there is.
    """
    model = task.model("train")
    check_kind(kind, available(model), "for this task")
    return Heuristic(kind, {}, model)
