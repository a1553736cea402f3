"""Improvement by simulation on problems with a fixed order cost, drawn at random, against the exact optimum.

    python -m storelab.experiments.studies.fixed_cost_range --problems 5 --results fixed_cost.jsonl

Problem 0 of a draw is the shipped task; the others are the same for every learner: see `problem`. The lead time is 0,
so that a policy's average cost is computed exactly, on the Markov chain of the inventory positions that it reaches.
"""

import argparse
import sys
import time
from dataclasses import replace

import numpy as np

from ...agents import tune
from ...agents.core.residual import StartRule
from ...envs.core.batch import admit
from ...envs.core.contract import Policy
from ...envs.core.seeds import purpose_seeds
from ...envs.inventory.model import Inventory
from ...envs.inventory.references.newsvendor import expected_cost
from ...evaluation import t_interval
from ..config.settings import Settings
from ..inputs import build, learner_of
from .drawn import DEMANDS, drawn, evenly, kept_or_run, learner_options, options, told

MEANS, DISPERSIONS, CYCLES, COSTS, ROOMS = (2.0, 40.0), (2.0, 10.0), (1.5, 6.0), (4.0, 39.0), (1.0, 3.0)
TUNING = purpose_seeds("tuning", 64)
DOUBLINGS = 20  # of the periods after which the chain's states are those of the long run


def problem(draw: int, number: int) -> dict:
    """Return the parameters that differ from the task's own in problem `number` of a draw: {} for number 0.

    All but the kind of demand are drawn evenly in logarithms: the mean demand, the dispersion, the periods of a cycle
    of the classical lot size (which gives the fixed cost), the backorder cost, and `max_order` in multiples of the lot
    and twice the mean demand.
    """
    if not number:
        return {}
    rng = np.random.default_rng([draw, number])
    kind = DEMANDS[rng.integers(len(DEMANDS))]
    mean, dispersion, cycle, cost, room = (evenly(rng, ends) for ends in (MEANS, DISPERSIONS, CYCLES, COSTS, ROOMS))
    demand = {"demand.kind": kind, "demand.mean": mean, "demand.dispersion": dispersion}
    largest = float(np.ceil(room * (cycle + 2) * mean))
    fixed = float(f"{cycle**2 * mean / 2:.3g}")  # of the lot cycle x mean at a holding cost of 1 (Harris 1913)
    rest = {"fixed_cost": fixed, "backorder_cost": cost, "max_order": largest, "initial_stock": float(round(2 * mean))}
    return demand | rest


def average_cost(model: Inventory, act: Policy) -> float:
    """Return a policy's cost per period, exactly, on the chain of the inventory positions from the initial stock on.

    One item, a lead time of 0 and backorders, in whole units. A network may order nothing, or without end, in states
    that it never met: positions end at what no good policy reaches, up or down.
    """
    (pmf,), p = model.params.demand.pmfs(1), model.params
    holding, backorder, fixed = (float(p.per_item(n)[0]) for n in ("holding_cost", "backorder_cost", "fixed_cost"))
    start, demands = int(p.per_item("initial_stock")[0]), np.flatnonzero(pmf)
    room = start + len(pmf) + 2 * int(p.per_item("max_order")[0])
    order: dict[int, int] = {}
    frontier = [start]
    while frontier:
        position = np.array(frontier, np.float32)[:, None]
        state = replace(model.initial(len(position)), on_hand=np.maximum(position, 0), backlog=np.maximum(-position, 0))
        action, _ = act(model.observation(state, {}), None, 0)
        asked = model.orders(state, admit(model, action, len(position))[0])[:, 0].astype(int)
        order |= dict(zip(frontier, np.clip(room - position[:, 0].astype(int), 0, asked).tolist(), strict=True))
        reached = np.unique([np.maximum(x + order[x] - demands, -room) for x in frontier])
        frontier = sorted(set(reached.tolist()) - set(order))
    positions = np.array(sorted(order))
    orders = np.array([order[x] for x in positions.tolist()])
    chain = np.zeros((len(positions), len(positions)))
    for row, level in enumerate((positions + orders).tolist()):
        np.add.at(chain[row], np.searchsorted(positions, np.maximum(level - demands, -room)), pmf[demands])
    chain = (chain + np.eye(len(chain))) / 2  # the same shares of time, and no cycle of fixed length
    for _ in range(DOUBLINGS):
        chain = chain @ chain
        chain /= chain.sum(axis=1, keepdims=True)
    cost = fixed * (orders > 0) + expected_cost(pmf, positions + orders, holding, backorder)
    return float(chain[np.searchsorted(positions, start)] @ cost)


def measure(settings: Settings) -> dict:
    """Let a learner improve the tuned (s, S); return both gaps in per cent, and the CPU seconds of learning.

    `cut` is the gap of the optimal (s, S) itself where its orders end at `max_order`.
    """
    task = build(settings)
    assert task.reference is not None
    reference, model = task.reference(), task.model("test")
    optimum, policy = reference.value, reference.policy
    assert policy is not None
    rule = tune("s_S", task, TUNING)
    started = time.process_time()
    start = StartRule.of(rule, task.model("train"), TUNING)
    learner = learner_of(settings).Learner(task, settings.agent, settings.top.seed, rule=start)
    gaps = []
    learner.learn(lambda steps: gaps.append(average_cost(model, learner.policy())), 1, progress=sys.stderr.isatty())
    seconds = time.process_time() - started
    gap = lambda cost: 100 * (cost / optimum - 1)
    of_rules = {"start": gap(average_cost(model, rule)), "cut": gap(average_cost(model, policy))}
    return {"gap": gap(gaps[-1]), "by": [*map(gap, gaps)], **of_rules, "seconds": seconds}


def main() -> None:
    """Print the table of the problems, and the mean and the worst gap."""
    parser = argparse.ArgumentParser(prog="fixed_cost_range", description=str(__doc__).split("\n")[0])
    options(parser, problems=5)
    learner_options(parser, "improvement")
    args = parser.parse_args()
    gaps = []
    print("| problem | tuned (s, S) | gap, %, seed by seed | mean [95 % t-interval] | optimal (s, S), cut | CPU s |")
    print("|---|---|---|---|---|---|")
    of: dict[int, list[dict]] = {}
    for number, changes, seed, settings in drawn(args, problem, "FixedCost"):
        run = kept_or_run(settings, args.results, measure)
        by = " ".join(f"{gap:.3f}" for gap in run["by"])
        print(f"{number}, seed {seed}: {by}, by generation; {told(changes)}", file=sys.stderr, flush=True)
        gaps.append(run["gap"])
        of.setdefault(number, []).append(run)
        if len(of[number]) == args.seeds:
            print(f"| {number}: {told(changes)} | {_row(of[number])} |", flush=True)
    print(f"\n{len(gaps)} runs: mean {np.mean(gaps):.3f} %, worst {max(gaps):.3f} %.")


def _row(runs: list[dict]) -> str:
    gaps = np.array([run["gap"] for run in runs])
    low, high = t_interval(gaps)
    mean = f"{gaps.mean():.3f}" + (f" [{low:.3f}, {high:.3f}]" if len(runs) > 1 else "")
    seeds = ", ".join(f"{gap:.3f}" for gap in gaps)
    seconds = np.mean([run["seconds"] for run in runs])
    return f"{runs[0]['start']:.3f} | {seeds} | {mean} | {runs[0]['cut']:.3f} | {seconds:.0f}"


if __name__ == "__main__":
    sys.exit(main())
