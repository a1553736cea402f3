"""One step of policy improvement by simulation: at each state actions are tried in futures, then a base policy goes on.

Rollout (Bertsekas, Tsitsiklis and Wu 1997, Journal of Heuristics 3) with common random numbers: all actions of a state
meet the same futures. Sequential halving (Karnin, Koren and Somekh 2013, ICML) spends the simulations: in each round
all actions that are left run in as many further futures, and the better half of them stays. As in deep controlled
learning (Temizoz et al. 2025, European Journal of Operational Research 324(1)).

Shapes: n states, C actions to choose from, A numbers of an action, m futures.
"""

import math
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from itertools import product
from typing import Any

import numpy as np
from gymnasium import spaces

from ...envs.core.batch import admit
from ...envs.core.contract import Model, Policy
from ...errors import FieldError

MOST, LEAST = 1024, 5  # actions of a table, at the most; steps of each of a box's numbers, at the least
ROWS = 2**15  # states x actions x futures that are simulated in one batch
REMEMBERED = 200_000  # decisions that a policy remembers, at the most
FACTORS = (0.0, 0.25, 0.5, 0.7, 0.85, 1.0, 1.15, 1.3, 1.6, 2.0, 4.0)  # of the base policy's action

Candidates = Callable[[np.ndarray], np.ndarray]  # of the base policy's actions (n, A) -> (n, C, A)


def table_of(model: Model, levels: int) -> np.ndarray | None:
    """Return all actions (C, A) that are tried: those of a discrete space, or a grid over a box.

    A box's numbers are in whole lots where the model has lots, and else in `levels` even steps. None where that is
    more than `MOST`, or too coarse.
    """
    low, high, size = model.action_low, model.action_high, len(model.action_low)
    lot = float(getattr(model.params, "lot_size", 0))
    if not isinstance(model.action_space, spaces.Box):
        axes = [np.arange(a, b + 1) for a, b in zip(low, high, strict=True)]
    elif lot and np.prod((high - low) / lot + 1) <= MOST:
        axes = [np.arange(a, b + lot / 2, lot) for a, b in zip(low, high, strict=True)]
    else:
        even = min(levels, max(2, int(MOST ** (1 / size) + 1e-9)))
        if even < LEAST:
            return None
        axes = [np.linspace(a, b, even) for a, b in zip(low, high, strict=True)]
    if np.prod([float(len(axis)) for axis in axes]) > MOST:
        return None
    return np.array(list(product(*axes)))


def candidates_of(model: Model, levels: int) -> Candidates:
    """Return what is tried at a state: a table's actions, or in larger boxes the base policy's times `FACTORS`.

    Raises:
        FieldError: more than `MOST` discrete actions.
    """
    table = table_of(model, levels)
    if table is not None:
        return lambda base: np.broadcast_to(table, (len(base), *table.shape))
    if not isinstance(model.action_space, spaces.Box):
        raise FieldError("action", model.action_space, f"at most {MOST} actions, or a box", "to try them all")
    factors = np.array(FACTORS)[:, None]
    return lambda base: np.clip(base[:, None] * factors, model.action_low, model.action_high)


class Simulation:
    """Chooses between actions by simulation."""

    def __init__(self, model: Model, base: Policy, simulations: int, periods: int, levels: int, doubt: float):
        """Take what is simulated on, and how.

        Args:
            model: on a task's training demand; its `recall` and `futures` give what is simulated.
            base: the policy that goes on after the first action.
            simulations: of an action in a future, per state.
            periods: simulated, at most. Where the season does not end with them, their second half counts less and
                less, evenly down to nothing: else it would matter how the last of them finds the stock.
            levels: even steps of a box's numbers.
            doubt: standard errors by which an action has to be ahead of the base policy's to be chosen in its place.
        """
        self.model, self.base, self.candidates = model, base, candidates_of(model, levels)
        self.simulations, self.periods, self.doubt = simulations, periods, doubt

    def __call__(self, observation: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the actions (n, A) at observations (n, F), and their places among the candidates (n,).

        They depend on the observation and the seed alone, not on what else is in the batch.
        """
        action, place = np.empty((len(observation), len(self.model.action_low))), np.empty(len(observation), int)
        period = self.model.period(observation)
        for now in np.unique(period):
            rows = np.flatnonzero(period == now)
            for start in range(0, len(rows), self.states):
                part = rows[start : start + self.states]
                action[part], place[part] = self._choose(observation[part], seed)
        return action, place

    @property
    def states(self) -> int:
        """Return how many states are looked at in one batch."""
        return max(1, ROWS // self.simulations)

    def _choose(self, observation: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the same at observations of one period, by sequential halving."""
        n, each = len(observation), np.arange(len(observation))[:, None]
        base = np.asarray(admit(self.model, self.base(observation, None, seed)[0], n)[0], float)
        actions = self.candidates(base)
        own = np.abs(actions - base[:, None]).sum(axis=2).argmin(axis=1)[:, None]
        alive, rounds = np.tile(np.arange(actions.shape[1]), (n, 1)), plan(actions.shape[1], self.simulations)
        futures = self.model.futures(observation, seed, sum(count for _, count in rounds), self.periods)
        ahead, squares, done = np.zeros(actions.shape[:2]), np.zeros(actions.shape[:2]), 0
        for kept, count in rounds:
            part = {name: block[:, done : done + count] for name, block in futures.items()}
            worth = self._simulate(observation, actions[each, alive], part, seed)
            better = worth - worth[each, (alive == own).argmax(axis=1)[:, None]]
            done += count
            ahead[each, alive] += better.sum(axis=2)
            squares[each, alive] += (better**2).sum(axis=2)
            score = np.where(alive == own, np.inf, ahead[each, alive])
            alive = alive[each, np.argsort(-score, axis=1, kind="stable")[:, :kept]]
        mean = ahead[each, alive] / done
        error = np.sqrt(np.maximum(squares[each, alive] / done - mean**2, 0) / done)
        score = np.where(alive == own, 0, mean - self.doubt * error)
        best = alive[each, score.argmax(axis=1)[:, None]]
        return actions[each, best][:, 0], best[:, 0]

    def _simulate(self, observation: np.ndarray, actions: np.ndarray, futures: dict, seed: int) -> np.ndarray:
        """Return what actions (n, c, A) earn in futures (n, c, m), money over the periods simulated."""
        model, (n, c, _) = self.model, actions.shape
        m, periods = next(iter(futures.values())).shape[1:3]
        state, future = np.repeat(np.arange(n), c * m), np.tile(np.arange(m), n * c)
        now, _ = model.recall(observation)
        now, action, memory = taken(now, state), np.repeat(actions.reshape(n * c, -1), m, axis=0), None
        last = int(model.period(observation[:1])[0]) + periods == model.horizon
        weight = (
            np.ones(periods)
            if last and not model.params.continuing
            else np.minimum(1, 2 - 2 * np.arange(periods) / periods)
        )
        worth: Any = 0.0
        for t in range(periods):
            shock = {name: block[state if len(block) > 1 else 0, future, t] for name, block in futures.items()}
            if t:
                action, memory = self.base(model.observation(now, shock), memory, seed + t)
            now, flow = model.transition(now, admit(model, action, len(state))[0], shock)
            terms = model.terms(flow, now, last and t == periods - 1)
            worth = worth + weight[t] * model.reward(terms).astype(float)
        return worth.reshape(n, c, m)


def plan(candidates: int, simulations: int) -> list[tuple[int, int]]:
    """Return the rounds of sequential halving: how many actions stay after each, and its futures."""
    rounds = max(1, math.ceil(math.log2(max(candidates, 2))))
    planned, left = [], candidates
    for _ in range(rounds):
        kept = max(min(left, 2), math.ceil(left / 2))  # the base policy's action and at least one other
        planned.append((kept, max(1, simulations // (rounds * left))))
        left = kept
    return planned


def taken(data: Any, rows: np.ndarray):
    """Return a state of some rows of a state, each as often as it is named."""
    if is_dataclass(data):
        return type(data)(*(taken(getattr(data, f.name), rows) for f in fields(data)))  # pyright: ignore
    if isinstance(data, tuple):
        return tuple(taken(part, rows) for part in data)
    return None if data is None else data[rows]


class Rollout:
    """The policy that chooses by simulation at each state; it remembers its decisions.

    Its futures are imagined (`envs.core.seeds.imagined_keys`): none of them is ever played.
    """

    def __init__(self, simulation: Simulation, seed: int = 0):
        self.simulation, self.seed = simulation, seed
        self._known: dict[bytes, np.ndarray] = {}

    def __call__(self, observation: np.ndarray, policy_state, seed: int):
        """Act: see `envs.core.contract.Policy`. The policy's own seed counts, so that a state's action is one."""
        observation = np.ascontiguousarray(observation)
        keys = [row.tobytes() for row in observation]
        new = {key: row for row, key in enumerate(keys) if key not in self._known}
        if len(self._known) + len(new) > REMEMBERED:
            self._known, new = {}, {key: row for row, key in enumerate(keys)}
        if new:
            actions, _ = self.simulation(observation[list(new.values())], self.seed)
            self._known.update(zip(new, actions, strict=True))
        return np.stack([self._known[key] for key in keys]), policy_state
