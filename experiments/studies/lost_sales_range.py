"""A learner on lost-sales problems drawn at random, against the exact optimum or the best heuristic.

    python -m storelab.experiments.studies.lost_sales_range --problems 100

Problem i of a draw is the same for every learner: see `problem`. Where the dynamic program is small enough the gap is
that to the optimum under the problem's `max_order`; elsewhere it is that to the heuristic with the lowest cost on the
held-out scenarios. Costs are exact where the chain of the policy's states is small enough, else a paired simulation's.
"""

import argparse
import sys
import time
from functools import partial

import numpy as np

from ...agents import available, tune
from ...envs.core.seeds import purpose_seeds
from ...envs.inventory.references import lost_sales
from ...errors import FieldError
from ...evaluation import evaluate, mean_interval
from ..config.settings import Settings
from ..inputs import build, learner_of
from .drawn import DEMANDS, drawn, evenly, kept_or_run, learner_options, options, told
from .lost_sales_table import orders

MEANS, DISPERSIONS, FACTORS, COSTS = (2.0, 200.0), (0.5, 10.0), (1.5, 10.0), (4.0, 39.0)  # drawn evenly in logarithms
LEAD_TIMES = range(9)
ASTRAY = 5.0  # per cent
EPISODES, HORIZON = 256, 800  # of a simulation: its first 50 periods are left out


def problem(draw: int, number: int) -> dict:
    """Return the parameters that differ from the task's own in problem `number` of a draw."""
    rng = np.random.default_rng([draw, number])
    kind, lead_time = DEMANDS[rng.integers(len(DEMANDS))], int(rng.integers(len(LEAD_TIMES)))
    mean, dispersion, factor, cost = (evenly(rng, ends) for ends in (MEANS, DISPERSIONS, FACTORS, COSTS))
    demand = {"demand.kind": kind, "demand.mean": mean, "demand.dispersion": dispersion}
    rest = {"lost_sale_cost": cost, "max_order": float(np.ceil(mean * factor)), "initial_stock": lead_time * mean}
    return demand | {"lead_time": lead_time} | rest


def measure(settings: Settings) -> dict:
    """Train an agent; return its gap in per cent, half its interval (0: exact), to what, and the CPU seconds."""
    task = build(settings)
    started = time.process_time()
    learner = learner_of(settings).Learner(task, settings.agent, settings.top.seed)
    learner.learn(progress=False)
    result: dict = {"seconds": time.process_time() - started, "restarts": getattr(learner, "restarts", 0)}
    (demand,), p = task.params.demand.pmfs(1), task.params
    costs = (demand, int(p.lead_time), float(p.holding_cost), float(p.lost_sale_cost))
    task = build(settings)
    task.params.horizon = HORIZON
    try:
        solution = lost_sales.solve(*costs, max_order=int(p.max_order))
    except FieldError:
        others = {kind: tune(kind, task, purpose_seeds("tuning", 64)) for kind in available(task.model("train"))}
        return result | _simulated(task, learner.policy(), others)
    room = 2 * solution.policy.shape[0]
    try:
        value = lost_sales.evaluate(*costs, partial(orders, task.model(), learner.policy(), room=room))
        return result | {"to": "optimum", "gap": 100 * (value / solution.cost - 1), "half": 0.0}
    except FieldError:  # too many states, or orders that lead beyond them
        reference = task.reference
        assert reference is not None
        return result | _simulated(task, learner.policy(), {"optimum": reference().policy})


def _simulated(task, policy, others: dict) -> dict:
    """Return the gap to the cheapest of some policies on held-out scenarios, and half its 95 % interval, per cent."""
    episodes = evaluate({"learnt": policy} | others, task, np.arange(EPISODES))
    values = episodes.pivot(index="seed", columns="policy", values="value")
    best = min(others, key=lambda name: values[name].mean())
    difference = 100 * (values[["learnt"]] - values[[best]].to_numpy()) / values[best].mean()
    (low,), (high,) = mean_interval(difference)
    return {"to": best, "gap": float(difference["learnt"].mean()), "half": float(high - low) / 2}


def main() -> None:
    """Print the table of the problems, and the mean and the worst gap to the optimum and to heuristics."""
    parser = argparse.ArgumentParser(prog="lost_sales_range", description=__doc__.split("\n")[0])
    options(parser, problems=100)
    learner_options(parser, "pathwise")
    args = parser.parse_args()
    runs, rows = [], []
    for number, changes, seed, settings in drawn(args, problem, "LostSales"):
        runs.append(run := kept_or_run(settings, args.results, measure))
        rows.append(f"| {number} | {_row(changes, run)} |")
        print(f"{number}, seed {seed}: {run['gap']:.3f} % to {run['to']}, {told(changes)}", file=sys.stderr, flush=True)
    print(f"| number | {' | '.join(HEAD)} |\n|{'---|' * (len(HEAD) + 1)}")
    print("\n".join(rows), end="\n\n")
    print("\n".join(summary(runs)))


HEAD = ("demand", "mean", "lead time", "lost-sale cost", "`max_order`", "gap, % (half of its 95 % CI)", "to", "CPU s")


def _row(changes: dict, run: dict) -> str:
    kind, mean, _, lead, cost, largest = (changes[name] for name in changes if name != "initial_stock")
    half = f" ({run['half']:.3f})" if run["half"] else ""
    cells = (kind, f"{mean:g}", lead, f"{cost:g}", f"{largest:g}", f"{run['gap']:.3f}{half}", run["to"])
    return " | ".join(map(str, (*cells, f"{run['seconds']:.0f}")))


def summary(runs: list[dict]) -> list[str]:
    """Return the mean and worst gaps in words, how many runs are astray, and the times."""
    said, gaps = (
        [],
        {to: np.array([run["gap"] for run in runs if (run["to"] == "optimum") == to]) for to in (True, False)},
    )
    for name, found in (("the optimum", gaps[True]), ("the best heuristic", gaps[False])):
        if len(found):
            said.append(f"{len(found)} problems, gap to {name}: mean {found.mean():.3f} %, worst {found.max():.3f} %.")
    lost = sum(run["gap"] > ASTRAY for run in runs)
    seconds = [run["seconds"] for run in runs]
    said.append(f"{lost} of {len(runs)} are astray, more than {ASTRAY:g} % above the one or the other.")
    return [*said, f"CPU seconds of learning: mean {np.mean(seconds):.0f}, most {max(seconds):.0f}."]


if __name__ == "__main__":
    sys.exit(main())
