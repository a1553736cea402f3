"""Rules for the whole store, batched, and their tuning on training seasons.

A rule is a policy, `act(observation, policy_state, seed) -> (action, policy_state)`, for whatever the agent decides.
"""

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from ...envs import Marketplace, Task
from ...envs.core.rollout import rollout
from ...envs.marketplace.params import WEIGHTS, lambert_markup
from ..core.evolutionary import own_stream, strategy
from ..core.rules import Parameters, check_kind
from ..core.tuner import bar, tiled

HEURISTICS = ("composite", "textbook", "random")
CLOSING = "closing"  # days before a season's end from which on nothing is restocked
CANDIDATES = 12  # of a generation of the composite's search
GENERATIONS, STALL = 200, 20  # of a search at the most, and without progress at its end
PROGRESS, RESTARTS = 1e-4, 10  # a gain that counts, as a share of the profit; restarts at the most
SPREADS = (0.15, 0.15, 0.3)  # of the searches in turn, shares of the box
NARROW = {"restock": (-1.0, 4.0), "price": (0.4, 2.0)}  # where parameters are looked for; the others': all over
FIXED = {"recommendation": len(WEIGHTS)}  # numbers of a parameter, where not one
LOSS = 0.01  # share of the profit that a number of a residual action may cost, if it is 1 all season


@dataclass
class Heuristic:
    """A rule with its parameters, a list of numbers per decision: plain data, so that it can be kept as JSON.

    Every decision is made by its own heuristic: newsvendor restocking, the Lambert-W markup, a fixed share of zones,
    a fixed ranking, a fraud threshold, a marketing budget. `closing` is how many days before a season's end nothing is
    restocked any more. `textbook` takes the parameters from costs and models alone, `composite` tunes all of them
    together, `random` draws actions.
    """

    kind: str
    params: Parameters
    model: Marketplace

    def __call__(self, observation: np.ndarray, policy_state, seed: int):
        """Act: see the module."""
        model = self.model
        if self.kind == "random":
            shape = len(observation), len(model.action_low)
            return np.random.default_rng(seed).uniform(model.action_low, model.action_high, shape), policy_state
        return to_action(model, model.features(observation), self.params), policy_state

    def act(self, named: dict, more: np.ndarray, seed: int = 0) -> np.ndarray:
        """Return the model's actions at named features whose parameters are `more` (n, A) than the rule's.

        With `resolution=item` every item has its own multiple of the markup and its own safety.
        """
        sizes = [self.model.controls[name][0] for name in self.model.params.decides]
        parts = np.split(more, np.cumsum(sizes)[:-1], axis=1)
        own = {n: np.asarray(self.params[n]) + part for n, part in zip(self.model.params.decides, parts, strict=True)}
        return to_action(self.model, named, {**self.params, **own})


def starts(model: Marketplace) -> tuple[str, ...]:
    """Return the kinds that residual policies can start from: those whose parameters are known."""
    return ("composite", "textbook")


def sizes(model: Marketplace, kind: str) -> dict[str, int]:
    """Return how many numbers each parameter of a kind has."""
    if kind == "composite":
        return {name: np.size(values) for name, values in unpack(model, search_box(model)[2]).items()}
    return {name: len(values) for name, values in textbook(model).items()}


def spread(rule: Heuristic, scenario: dict) -> np.ndarray:
    """Return by how much each number of an action (A,) may be off, the whole season, for `LOSS` of the profit.

    So the steps that a learner tries are scaled by what they cost in this store, not by how wide the actions are. Each
    number is moved alone, both ways, by an 8th to a 512th of its box; where items have their own, all of a kind at
    once. Each of I items may then be off by I^(1/4) as much: half-way, in logarithms, from what costs that if all are
    off together to what does if one is.
    """
    model, halves = rule.model, 0.5 ** np.arange(3, 10)
    wide, moves, places, start = [], [], [], 0
    for name in model.params.decides:
        size, low, high = model.controls[name][0], *_box(model, name)
        groups = [range(start, start + size)] if name in ("restock", "price") else [[start + k] for k in range(size)]
        for group in groups:
            move = np.zeros(len(model.action_low))
            move[group] = high - low
            moves.append(move)
            places.append(group)
            wide.append((high - low) * len(group) ** 0.25)
        start += size
    both = [np.outer(halves * way, move) for move in moves for way in (1, -1)]
    shifts = np.concatenate([np.zeros((1, len(model.action_low))), *both])
    n = len(scenario["factor"])
    act = lambda observation, state, seed: (rule.act(model.features(observation), np.repeat(shifts, n, axis=0)), state)
    earned = profits(model, act, scenario, len(shifts))
    lost = (earned[0] - earned[1:].reshape(len(moves), 2, -1).min(axis=1)) / abs(earned[0])
    within = np.where(lost <= LOSS, halves, halves[-1]).max(axis=1)
    result = np.empty(len(model.action_low))
    for group, share, width in zip(places, within, wide, strict=True):
        result[group] = share * width
    return result


def to_action(model: Marketplace, named: dict, params: Parameters) -> np.ndarray:
    """Turn heuristics' parameters, (numbers,) or (n, numbers) by decision, into actions (n, A) of the model's mode."""
    n, parts = len(named["demand"]), []
    for name in model.params.decides:
        value = np.asarray(params[name], np.float64)
        value = np.broadcast_to(value, (n, value.shape[-1]))
        if model.params.resolution == "item" and name == "restock":
            value = model.restock_levels(named["demand"], value, named.get("forecast"))
        elif model.params.resolution == "item" and name == "price":
            value = model.cost + value * model.markup
        if name == "restock" and CLOSING in params:
            days_left = named["time_left"] * model.params.horizon
            value = np.where(days_left <= np.asarray(params[CLOSING]) + 1e-6, model.controls["restock"][1], value)
        parts.append(value)
    return np.clip(np.concatenate(parts, axis=1), model.action_low, model.action_high)


def summary(model: Marketplace, observation: np.ndarray) -> np.ndarray:
    """Return what a small policy looks at (n, K), each about between -1 and 1: one, the calendar, the time left, days
    of stock, parcels of the fleet's capacity, customers, days of delivery, demand, and the forecast, where there is."""
    p, named = model.params, model.features(observation)
    demand, usual = named["demand"].sum(axis=1), model.expected.sum()
    start = p.population * max(p.initial_customers, 0.01)
    columns = [
        np.ones(len(observation)),
        named["on_hand"].sum(axis=1) / np.maximum(demand * (p.lead_time + 1), 1e-3) - 1,
        named["parcels"].sum(axis=1) / p.fleet_capacity - 1,
        named["customers"].sum(axis=1) / start - 1,
        named["delivery"][:, 0] - p.promise,
        demand / usual - 1,
    ]
    columns += list(named["calendar"].T) if "calendar" in named else []
    if "time_left" in named:
        left = named["time_left"][:, 0]
        columns += [left - 0.5, np.exp(-left * p.horizon / (p.lead_time + 1))]
    columns += list(named["exchange"].T - 1) if "exchange" in named else []
    if "forecast" in named:
        columns.append(named["forecast"][:, named["forecast"].shape[1] // 2] - 1)
    return np.clip(np.stack(columns, axis=1), -2, 2)


def available(model: Marketplace) -> list[str]:
    """Return the kinds of `Heuristic` that fit a model: all."""
    return list(HEURISTICS)


def textbook(model: Marketplace) -> dict[str, list[float]]:
    """Return the heuristics' parameters by costs and models alone.

    Restocking by the critical ratio of margin against holding and capital (Snyder and Shen 2019, section 4.3), the
    price by Lambert's W, fraud by the threshold of least expected cost, half the zones, ranking by relevance, and
    marketing as the environment's parameters say.
    """
    p = model.params
    over = p.holding_cost * (p.lead_time + 1) + (1 - p.salvage_share) * p.mean_cost / p.horizon
    ratio = model.markup / (model.markup + over)
    safety = float(np.clip(NormalDist().inv_cdf(ratio), -4, 8))
    weights = [1.0] + [0.0] * (len(WEIGHTS) - 1)
    own = range(p.segments) if p.market_prices == "own" else []
    prices = [float(np.clip(lambert_markup(p, model.catalogue, s) / model.markup, 0.1, 4)) for s in own] or [1.0]
    return {
        "restock": [safety], "price": prices, "dispatch": [0.5], "recommendation": weights,
        "fraud": [cost_threshold(model)], "marketing": [p.marketing],
    }  # fmt: skip


def cost_threshold(model: Marketplace) -> float:
    """Return the fraud score from which on a mean order costs more to ship than to refuse, in expectation (Elkan 2001,
    The foundations of cost-sensitive learning)."""
    p, models = model.params, model.models
    fraud, cost = p.fraud_share, float(model.cost.mean())
    lost = (1 - fraud) * models.legitimate * model.markup + fraud * (1 - models.fraudulent) * (cost + p.chargeback_fee)
    lost = lost + p.refusal_cost * ((1 - fraud) * models.legitimate + fraud * models.fraudulent)
    return float(np.linspace(0, 1, len(lost))[lost.argmin()])


def tune(kind: str, task: Task, seeds, progress: bool = False) -> Heuristic:
    """Return a rule with its best parameters on training seasons.

    `composite`: covariance matrix adaptation (Hansen 2016, arXiv:1604.00772) over all its parameters at once, from
    `textbook`'s; every generation runs its candidates on the same seasons. Only what the agent decides is tuned.

    Args:
        kind: one of `HEURISTICS`.
        task: its training split is used, and no other.
        seeds: of the seasons, integers.
        progress: show a bar.

    Raises:
        FieldError: a kind that is unknown or does not fit the task's model; it lists what there is.
        ImportError: without cma.
    """
    model = task.model("train")
    check_kind(kind, available(model), "for this task")
    if kind != "composite":
        return Heuristic(kind, textbook(model) if kind == "textbook" else {}, model)
    return Heuristic(kind, unpack(model, search(model, np.asarray(seeds), progress)), model)


def search(model: Marketplace, seeds: np.ndarray, progress: bool = False) -> np.ndarray:
    """Return the best parameters (numbers,) on training seasons.

    Each search starts at the best parameters so far. When two in a row have brought nothing, the best ones are
    returned: so the result depends little on the seasons and the draws.

    Raises:
        ImportError: without cma.
    """
    low, high, first = search_box(model)
    scenario, size = model.scenarios(seeds), high - low
    shown = bar(None, "tune composite", progress)

    def earned(asked: np.ndarray) -> np.ndarray:
        if shown is not None:
            shown.update()
        rule = Heuristic("composite", unpack(model, np.repeat(low + asked * size, len(seeds), axis=0)), model)
        return profits(model, rule, scenario, len(asked))

    best, value, idle = (first - low) / size, -np.inf, 0
    for restart in range(RESTARTS):
        options = {"popsize": CANDIDATES, "bounds": [0, 1], **own_stream(restart + 1)}
        evolution = strategy(np.clip(best, 0.02, 0.98), SPREADS[restart % len(SPREADS)], **options)
        found, worth = _once(evolution, earned)
        idle = 0 if worth - value > PROGRESS * abs(worth) else idle + 1
        if worth > value:
            best, value = found, worth
        if idle == 2:
            break
    return low + best * size


def _once(evolution, earned) -> tuple[np.ndarray, float]:
    """Return the best parameters that a search comes by, and what they earn; it ends after `STALL` idle generations."""
    best, value, still = np.empty(0), -np.inf, 0
    for _ in range(GENERATIONS):
        asked = np.array(evolution.ask())
        profit = earned(asked)
        evolution.tell(list(asked), (-profit).tolist())
        still = 0 if profit.max() - value > PROGRESS * abs(profit.max()) else still + 1
        if profit.max() > value:
            best, value = asked[profit.argmax()], float(profit.max())
        if still >= STALL or evolution.stop():
            break
    return best, value


def search_box(model: Marketplace) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return where the parameters of what the agent decides are looked for: lowest, highest, and the first ones.

    The first ones are `textbook`'s; the closing days begin when what is ordered would come too late.
    """
    known = textbook(model)
    start = {name: known[name] for name in model.params.decides}
    box = {name: _box(model, name) for name in start}
    if _closes(model):
        start[CLOSING], box[CLOSING] = [float(model.params.lead_time)], (0.0, 3.0 * model.params.lead_time)
    low, high = np.concatenate([np.tile(box[name], (len(value), 1)) for name, value in start.items()]).T
    return low, high, np.concatenate(list(start.values()))


def _box(model: Marketplace, name: str) -> tuple[float, float]:
    """Return where a decision's parameter is looked for: lowest, highest."""
    return NARROW[name] if name in NARROW else model.controls[name][1:]


def unpack(model: Marketplace, values: np.ndarray) -> dict:
    """Split parameters (..., numbers) up by decision; lists, where they are plain vectors."""
    names = [*model.params.decides, *([CLOSING] if _closes(model) else [])]
    sizes = [_numbers(model, name) for name in names]
    parts = np.split(np.asarray(values, float), np.cumsum(sizes)[:-1], axis=-1)
    return {n: part.tolist() if part.ndim == 1 else part for n, part in zip(names, parts, strict=True)}


def _numbers(model: Marketplace, name: str) -> int:
    """Return how many numbers a parameter has: items share theirs, markets with prices of their own do not."""
    return model.controls[name][0] if name != CLOSING and model.params.resolution == "store" else FIXED.get(name, 1)


def _closes(model: Marketplace) -> bool:
    """Return whether there are last days on which restocking ends."""
    return "restock" in model.params.decides and not model.params.continuing


def profits(model: Marketplace, act, scenario: dict, count: int) -> np.ndarray:
    """Return the mean profit per season (count,) of candidates, all on the same seasons.

    Args:
        model: the store.
        act: all candidates as one policy: the rows of the first one's seasons, then those of the second one, ...
        scenario: of `model.scenarios`, n seasons.
        count: how many candidates there are.
    """
    reward = rollout(model, act, tiled(scenario, count))["reward"]
    return reward.sum(axis=1, dtype=np.float64).reshape(count, -1).mean(axis=1)
