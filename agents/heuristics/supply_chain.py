"""Classical rules for supply chains, batched, and their tuning on training scenarios: `heuristics` for networks.

A parameter is a list of one number per arc and item, arcs first: what the arc's target is raised to, say. Where several
arcs lead into a node they order one after the other, in their order, each knowing the orders before it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...envs import SupplyChain, Task
from ...envs.core import pmf
from ...envs.core.rollout import rollout
from ...envs.core.seeds import imagined_keys
from ...envs.supply_chain.model import State
from ...envs.supply_chain.references import hindsight, serial
from ...errors import FieldError
from ..core.rules import Parameters, check_kind
from ..core.tuner import Score, bar, coordinates, halved, pattern_search

PATHS = 10  # sample paths of a stochastic program
STEPS = (-3, -1, 1, 3)  # tried of each parameter, in multiples of a step that is halved
MAX_SWEEPS = 15  # of each step's length


# -- the rules: (model, named features, parameters (n or 1, A, I), seed) -> units to order (n, A, I) ------------------


def _in_turn(model: SupplyChain, position: np.ndarray, order_of: Callable) -> np.ndarray:
    """Order on each arc what `order_of(arc, position of its target)` says, earlier arcs' orders counted."""
    position, order = position.copy(), []
    for arc, target in enumerate(model.target_of):
        order.append(order_of(arc, position[:, target]))
        position[:, target] += model.into[target, arc] * np.clip(order[-1], 0, model.max_order[arc])
    return np.stack(order, axis=1)


def echelon_base_stock(model: SupplyChain, named: dict, level, seed: int):
    """Order up to a level of the echelon inventory position (Clark and Scarf 1960)."""
    ratio = model.into.sum(axis=0)
    return _in_turn(model, model.seen_position(named), lambda a, x: (level[:, a] - x) / ratio[a])


def base_stock(model: SupplyChain, named: dict, level, seed: int):
    """Order up to a level of each node's own inventory position (Snyder and Shen 2019, section 4.3)."""
    ratio = model.into.sum(axis=0)
    return _in_turn(model, model.seen_position(named, echelon=False), lambda a, x: (level[:, a] - x) / ratio[a])


def s_S(model: SupplyChain, named: dict, s, Q, seed: int):
    """Order up to s + Q whenever a node's own inventory position is s or less (Scarf 1960)."""
    position, ratio = model.seen_position(named, echelon=False), model.into.sum(axis=0)
    return _in_turn(model, position, lambda a, x: np.where(x <= s[:, a], s[:, a] + Q[:, a] - x, 0) / ratio[a])


def tailored_base_surge(model: SupplyChain, named: dict, level, quantity, seed: int):
    """Order the same from the slow source every period, from the fast one up to a level of what is there in time.

    Allon and Van Mieghem 2010, Management Science 56(1). `level` of the slow arc and `quantity` of the fast one are of
    no account.
    """
    fast, slow, soon, _ = _two_sources(model, named)
    order = np.zeros((len(soon), 2, model.params.items))
    order[:, fast], order[:, slow] = level[:, fast] - soon, quantity[:, slow]
    return order


def dual_index(model: SupplyChain, named: dict, level, seed: int, cap=np.inf):
    """Order from the fast source up to a level of what is there in time, then from the slow one up to a level of all.

    Veeraraghavan and Scheller-Wolf 2008, Operations Research 56(4).
    """
    fast, slow, soon, position = _two_sources(model, named)
    order = np.zeros((len(soon), 2, model.params.items))
    order[:, fast] = level[:, fast] - soon
    position = position + np.clip(order[:, fast], 0, model.max_order[fast])
    order[:, slow] = np.minimum(level[:, slow] - position, np.broadcast_to(cap, level.shape)[:, slow])
    return order


def capped_dual_index(model: SupplyChain, named: dict, level, cap, seed: int):
    """As `dual_index`, but never more than a cap from the slow source (Sun and Van Mieghem 2019, Manufacturing &
    Service Operations Management 21(4)); the fast arc's `cap` is ignored."""
    return dual_index(model, named, level, seed, cap)


def _two_sources(model: SupplyChain, named: dict) -> tuple:
    """Return the fast and the slow arc, and the shop's inventory position (n, I): of what is there when a fast order
    comes, and of all."""
    fast, slow = np.argsort(model.lead[:, 0])
    soon = position = model.seen_position(named, echelon=False)[:, 0]
    for k, units in enumerate(model.seen_state(named).pipeline):
        if k + 1 > model.lead[fast, 0]:  # arrives later than what is ordered fast
            soon = soon - units.sum(axis=1)
    return fast, slow, soon, position


def random(model: SupplyChain, named: dict, seed: int):
    """Order uniformly between nothing and the largest order."""
    largest = model.max_order
    return np.random.default_rng(seed).uniform(0, 1, (len(named["on_hand"]), *largest.shape)) * largest


def stochastic_program(model: SupplyChain, named: dict, seed: int, paths: Callable | None = None):
    """Order what is best on average over sample paths of demand, looked at anew in every period.

    A two-stage program: the first period's shipments are shared by the paths, the later ones know them (rolling
    horizon; Birge and Louveaux 2011, section 1.1). `paths(seed, count, periods)` gives forecast sample paths
    (count, periods, S * I); by default they are drawn from the model's own demand.
    """
    if model.random_lead:
        raise FieldError("lead_time_pmf", model.params.lead_time_pmf, "none", "with the stochastic program")
    state, horizon = model.seen_state(named), reach(model)
    if "time_left" in named:
        horizon = min(horizon, round(float(named["time_left"][0, 0]) * model.horizon))
    order = []
    for row in range(len(state.on_hand)):
        drawn = (paths or _own_paths(model))(seed + 1_000_003 * row, PATHS, horizon)
        now = _row(state, row)
        order.append(hindsight.solve([hindsight.Program(model, path, None, now, horizon) for path in drawn])[1])
    owed = 0 if state.owed is None else state.owed
    return np.maximum(np.stack(order) - owed, 0)


def reach(model: SupplyChain) -> int:
    """Return the periods a stochastic program looks ahead: what the longest way through the network takes, twice."""
    longest = np.zeros(len(model.nodes))
    for _ in model.nodes:
        for arc, (source, target) in enumerate(zip(model.source_of, model.target_of, strict=True)):
            before = longest[source] if source < len(longest) else 0
            longest[target] = max(longest[target], before + model.lead[arc].max() + model.delay[arc] + 1)
    return int(2 * longest.max())


def _own_paths(model: SupplyChain) -> Callable:
    def draw(seed: int, count: int, periods: int) -> np.ndarray:
        return model.source.draw(imagined_keys(seed, count), periods)["demand"]

    return draw


def _row(state: State, row: int) -> State:
    pick: Any = lambda array: None if array is None else array[row : row + 1]
    return State(
        pick(state.on_hand), pick(state.arriving), pick(state.in_transit), tuple(map(pick, state.pipeline)),
        tuple(map(pick, state.orders)), pick(state.owed), pick(state.backlog),
    )  # fmt: skip


RULES: dict[str, tuple[Callable, tuple[str, ...]]] = {
    "echelon_base_stock": (echelon_base_stock, ("level",)),
    "base_stock": (base_stock, ("level",)),
    "s_S": (s_S, ("s", "Q")),
    "newsvendor": (base_stock, ("level",)),
    "shang_song": (echelon_base_stock, ("level",)),
    "tailored_base_surge": (tailored_base_surge, ("level", "quantity")),
    "dual_index": (dual_index, ("level",)),
    "capped_dual_index": (capped_dual_index, ("level", "cap")),
    "stochastic_program": (stochastic_program, ()),
    "random": (random, ()),
}
HEURISTICS = tuple(RULES)
TWO_SOURCES = ("tailored_base_surge", "dual_index", "capped_dual_index")
KNOWN: dict[str, tuple[str, ...]] = {}  # parameters that are not tuned


@dataclass
class Heuristic:
    """A rule with its parameters, each a list of one number per arc and item: plain data, to be kept as JSON."""

    kind: str
    params: Parameters
    model: SupplyChain

    def __call__(self, observation: np.ndarray, policy_state, seed: int):
        """Act: see the module."""
        return self.act(self.model.features(observation), seed=seed), policy_state

    def act(self, named: dict, more=0.0, seed: int = 0) -> np.ndarray:
        """Return the model's actions at named features that order `more` than the rule, units (n, A x I)."""
        shape = (-1, len(self.model.arcs), self.model.params.items)
        values = {name: np.asarray(value, dtype=np.float64).reshape(shape) for name, value in self.params.items()}
        order = RULES[self.kind][0](self.model, named, **values, seed=seed)
        order = order + (np.reshape(more, order.shape) if np.ndim(more) else more)
        return self.model.action_of(named, np.clip(order, 0, self.model.max_order))


def starts(model: SupplyChain) -> tuple[str, ...]:
    """Return the kinds that residual policies can start from: those whose orders change gradually with the state."""
    if len(model.action_low) != len(model.arcs) * model.params.items:  # weights are learnt besides
        return ()
    echelons = ("echelon_base_stock", "shang_song")
    return echelons if model.params.action == "base_stock" else (*echelons, "base_stock", "newsvendor", *TWO_SOURCES)


def spread(rule: Heuristic, scenario: dict) -> np.ndarray:
    """Return the standard deviation (A, I) of the demand that a node has to cover, units; or a share of that demand."""
    mean, deviation = _to_cover(rule.model, scenario, echelon=False)
    return np.maximum(deviation, mean / 20)


def available(model: SupplyChain) -> list[str]:
    """Return the heuristics that fit a model; the stochastic program, which takes long, is not among them."""
    kinds = [kind for kind in HEURISTICS if kind != "stochastic_program"]
    suppliers = model.source_of >= len(model.nodes)
    if len(model.arcs) != 2 or len(model.nodes) != 1 or not suppliers.all() or model.lead[0, 0] == model.lead[1, 0]:
        kinds = [kind for kind in kinds if kind not in TWO_SOURCES]
    try:
        serial.from_network(model)
    except ValueError:
        kinds.remove("shang_song")
    return kinds


# -- tuning -----------------------------------------------------------------------------------------------------------


def tune(kind: str, task: Task, seeds, progress: bool = False) -> Heuristic:
    """Return a heuristic with its best parameters on training scenarios.

    Parameters start at the mean and a deviation of the demand that they are to cover; then they are changed in steps
    that are halved once none of them helps. Items are tuned side by side, each by its own profit.
    `newsvendor` takes the critical fractile of the demand over the protection interval of each node, with the shops'
    dearest shortage; `shang_song` computes its levels; `stochastic_program` and `random` have nothing to tune.

    Args:
        kind: one of `HEURISTICS`.
        task: its training split is used, and no other.
        seeds: of the scenarios, integers.
        progress: show a bar.

    Raises:
        FieldError: a kind that is unknown or does not fit the task's model; it lists what there is.
    """
    model = task.model("train")
    check_kind(kind, [*available(model), "stochastic_program"], "for this task")
    names = RULES[kind][1]
    if not names:
        return Heuristic(kind, {}, model)
    scenario = model.scenarios(np.asarray(seeds))
    if kind == "shang_song":
        return Heuristic(kind, {"level": _shang_song(model).tolist()}, model)
    if kind == "newsvendor":
        level, _ = fractile_levels(model, scenario, echelon=False)
        return Heuristic(kind, {"level": level.ravel().tolist()}, model)
    covered, spread = _to_cover(model, scenario, echelon=kind == "echelon_base_stock")
    mean = np.maximum(covered / (model.lead + model.delay[:, None] + 1), 1e-3)
    start = {"level": covered + spread, "s": covered + spread, "Q": mean, "quantity": 0.8 * mean, "cap": mean}
    values = np.stack([start[name] for name in names])
    step = np.maximum(np.stack([spread if name in ("level", "s") else mean / 2 for name in names]), 1e-3)
    best = _descend(kind, task, model, scenario, values, step, progress)
    return Heuristic(kind, {name: best[k].ravel().tolist() for k, name in enumerate(names)}, model)


def _descend(kind: str, task: Task, model: SupplyChain, scenario, start, step, progress: bool) -> np.ndarray:
    """Return the best parameters (parameters, A, I) from a start on, by changes of single ones or of all that help."""
    names, lot = RULES[kind][1], model.params.lot_size
    warmup = task.warmup if model.params.continuing else 0

    def earned(act, scenario: dict) -> np.ndarray:
        run = rollout(model, act, scenario, trace=True)
        profit = run["reward"][:, :, None] if model.params.items == 1 else run["item_profit"]
        return profit[:, warmup:].mean(axis=1, dtype=np.float64)

    whole = lambda values: np.maximum(np.round(values / lot) * lot if lot else values, 0)
    count = bar(None, f"tune {kind}", progress)
    score = Score(names, lambda values: Heuristic(kind, values, model), earned, scenario, bar=count)
    moves, steps = coordinates(start.shape[:2], STEPS), halved(step, lot / 2 if lot else 0.02 * step)
    options = {"tolerance": 1e-6, "sweeps": MAX_SWEEPS, "joint": len(STEPS)}
    return pattern_search(score, whole(start)[None], [moves], steps, whole, **options)


def _to_cover(model: SupplyChain, scenario: dict, echelon: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and deviation (A, I) of the demand that an arc's target has to cover.

    That of the arc's protection interval; for an echelon's level also that of the lead times downstream.
    """
    shape = (*scenario["demand"].shape[:2], len(model.shops), model.params.items)
    demand = scenario["demand"].reshape(shape).astype(float)
    seen = np.einsum("ns,rtsi->rtni", model.echelon[:, -len(model.shops) :], demand)
    mean, var = seen.mean(axis=(0, 1)), seen.var(axis=(0, 1))
    way = model.lead + model.delay[:, None]
    below = np.zeros_like(mean)  # periods between what a node has and the sales it leads to
    if echelon:
        inner = np.flatnonzero(model.target_of < len(below) - len(model.shops))
        # What arrives there is sent on in the same period at the soonest; without a lead time, in the next.
        way[inner] = np.maximum(way, 1)[inner] + (not model.params.ships_arrivals) * (model.lead > 0)[inner]
        for _ in model.nodes:
            for arc, (source, target) in enumerate(zip(model.source_of, model.target_of, strict=True)):
                if source < len(below):
                    below[source] = np.maximum(below[source], way[arc] + below[target])
    periods = way + 1.0 + below[model.target_of]
    return periods * mean[model.target_of], np.sqrt(periods * var[model.target_of])


def fractile_levels(model: SupplyChain, scenario: dict, echelon: bool = True) -> tuple[np.ndarray, np.ndarray]:
    """Return levels (A, I) to order up to and the standard deviation (A, I) of the demand they are to cover, units.

    The levels are that demand's critical fractiles, as if it were normal and its shortages cost what the shops' dearest
    do: of each echelon's inventory position, or of each node's own.
    """
    covered, spread = _to_cover(model, scenario, echelon)
    return covered + _deviations(model) * spread, spread


def _deviations(model: SupplyChain) -> np.ndarray:
    """Return the standard normal quantiles (A, I) of the critical ratios at the arcs' targets."""
    from statistics import NormalDist

    p, shops = model.params, slice(-len(model.shops), None)
    waits = np.array([p.nodes[name].backorders for name in model.shops])[:, None]
    short = np.where(waits, model.per_node("backorder_cost")[shops], model.per_node("lost_sale_cost")[shops])
    short = short + np.where(waits, 0, model.per_node("price")[shops])
    holding = np.maximum(model.per_node("holding_cost"), 1e-9)
    ratio = np.clip(short.max(axis=0) / (short.max(axis=0) + holding), 0.01, 0.999)
    return np.vectorize(NormalDist().inv_cdf)(ratio)[model.target_of]


def _shang_song(model: SupplyChain) -> np.ndarray:
    problem = serial.from_network(model)
    demand = model.params.nodes[model.shops[0]].demand
    unit, (probabilities,) = 1.0, demand.pmfs(1)
    if not model.params.lot_size and demand.kind == "normal":
        unit = serial.STEP * demand.std
        probabilities = pmf.normal(demand.mean / unit, demand.std / unit)
    costs = (problem.echelon_holding * unit, problem.backorder_cost * unit)
    levels = np.zeros(len(model.arcs))
    levels[problem.arcs] = unit * serial.shang_song_levels(probabilities, problem.lead_times, *costs)
    return levels
