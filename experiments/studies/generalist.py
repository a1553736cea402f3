"""The generalist policy: its training, and its gap to the exact optimum on problems that it was not trained on.

    python -m storelab.experiments.studies.generalist train lost_sales
    python -m storelab.experiments.studies.generalist judge lost_sales --results FILE

Problem i of a draw is drawn from the documented ranges (`RANGES`), lead times in turn; one that the exact solver does
not reach is drawn anew. Draw 0 was used to choose the network; the others were not.
"""

import argparse
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ...agents import tune
from ...agents.generalist import RANGES, generalist, training
from ...agents.generalist.policy import CHECKPOINTS, KINDS
from ...envs import TASKS, Task
from ...envs.core import pmf as pmfs
from ...envs.core.demand import DemandParams
from ...envs.core.seeds import purpose_seeds
from ...envs.inventory.references import lost_sales
from ...envs.inventory.references.newsvendor import critical_level
from ...errors import FieldError
from ...evaluation import REFERENCE, evaluate, mean_interval
from .drawn import evenly, kept, options
from .lost_sales_table import orders

EPISODES, HORIZON = 128, 850  # of a simulation: its first 50 periods are left out
REACH = {"lost_sales": 2e8, "dual_sourcing": 1e6}  # operations of a sweep of the exact solver, at most
RULES = {"lost_sales": ("capped_base_stock",), "dual_sourcing": ("capped_dual_index",)}  # tuned for each, beside it


def problem(family: str, draw: int, number: int) -> Task:
    """Return problem `number` of a draw."""
    rng = np.random.default_rng([draw, number])
    while True:
        task, work = DRAWS[family](rng, number)
        if work <= REACH[family]:
            return task


def _demand(rng: np.random.Generator, ranges: dict) -> DemandParams:
    kind = KINDS[rng.integers(len(KINDS))]
    return DemandParams(kind, evenly(rng, ranges["demand.mean"]), dispersion=evenly(rng, ranges["demand.dispersion"]))


def _lost_sales(rng: np.random.Generator, number: int) -> tuple[Task, float]:
    ranges, lead = RANGES["lost_sales"], number % (lost_sales.MAX_LEAD_TIME + 1)
    demand, ratio = _demand(rng, ranges), evenly(rng, ranges["lost_sale_cost"])
    top = float(np.ceil(demand.mean * evenly(rng, (ranges["max_order"][0], 10.0))))
    (pmf,) = demand.pmfs(1)
    level, position = critical_level(pmf, 1.0, ratio), critical_level(pmfs.total(pmf, lead + 1), 1.0, ratio)
    largest = min(level, top) + 1
    changes = {"demand": demand, "lead_time": lead, "lost_sale_cost": ratio, "max_order": top}
    task = TASKS["LostSales"](**changes, initial_stock=float(np.ceil(demand.mean)), horizon=HORIZON)
    return task, largest ** max(lead, 1) * (position + largest) * position


def _dual_sourcing(rng: np.random.Generator, number: int) -> tuple[Task, float]:
    ranges, saved, express = RANGES["dual_sourcing"], 1 + number % 3, int(rng.integers(3))
    demand, ratio = _demand(rng, ranges), evenly(rng, ranges["backorder_cost"])
    premium = float(f"{evenly(rng, ranges['premium']) * saved:.3g}")
    top = float(np.ceil(demand.mean * evenly(rng, (ranges["max_order"][0], 10.0))))
    (pmf,) = demand.pmfs(1)
    shop = {"demand": demand, "backorder_cost": ratio, "initial_stock": float(np.ceil(demand.mean))}
    arcs = {
        "express-shop": {"lead_time": express, "unit_cost": premium, "max_order": float(20 * np.ceil(demand.mean))},
        "regular-shop": {"lead_time": express + saved, "unit_cost": 0.0, "max_order": top},
    }
    support = int(np.count_nonzero(np.cumsum(pmf[::-1])[::-1] >= 1e-9))
    work = ((express + saved + 4) * support) ** 2 * (min(top, support - 1) + 1) ** (saved - 1)
    return TASKS["DualSourcing"](nodes={"shop": shop}, arcs=arcs, horizon=HORIZON), work


DRAWS: dict[str, Callable] = {"lost_sales": _lost_sales, "dual_sourcing": _dual_sourcing}


def measure(family: str, task: Task, rules: bool) -> dict:
    """Return the gaps of the generalist and of tuned rules to the optimum in per cent, and half of each interval."""
    assert task.reference is not None
    reference, began = task.reference(), time.process_time()
    policies: dict[str, Any] = {"generalist": generalist(task)}
    policies |= {kind: tune(kind, task, purpose_seeds("tuning", 64)) for kind in RULES[family] if rules}
    gaps = {}
    if family == "lost_sales":
        gaps = {name: exact for name, policy in policies.items() if (exact := _exact(task, policy, reference.value))}
    if rest := {name: policy for name, policy in policies.items() if name not in gaps}:
        episodes = evaluate(rest | {REFERENCE: reference.policy}, task, np.arange(EPISODES))
        values = episodes.pivot(index="seed", columns="policy", values="value")
        percent = 100 * (values.sub(values[REFERENCE], axis=0) / reference.value)[list(rest)]
        low, high = mean_interval(percent)
        gaps |= {name: (float(percent[name].mean()), float(high[k] - low[k]) / 2) for k, name in enumerate(rest)}
    return {"optimum": reference.value, "seconds": time.process_time() - began, "gaps": gaps}


def _exact(task: Task, policy, optimum: float) -> tuple[float, float] | None:
    """Return a policy's gap by the Markov chain of the states it reaches; None where these are too many."""
    p = task.params
    (pmf,) = p.demand.pmfs(1)
    room = 2 * critical_level(pmfs.total(pmf, int(p.lead_time) + 1), 1.0, max(p.lost_sale_cost, 9.0)) + int(p.max_order)
    act = partial(orders, task.model(), policy, room=room)
    try:
        value = lost_sales.evaluate(pmf, int(p.lead_time), float(p.holding_cost), float(p.lost_sale_cost), act)
    except FieldError:
        return None
    return 100 * (value / optimum - 1), 0.0


def described(family: str, task: Task) -> dict:
    """Return what tells a problem of a draw from others, by name."""
    p = task.params
    demand = p.demand if family == "lost_sales" else p.nodes["shop"].demand
    told = {"kind": demand.kind, "mean": demand.mean, "dispersion": demand.dispersion}
    if family == "lost_sales":
        return told | {"lead_time": p.lead_time, "ratio": p.lost_sale_cost, "max_order": p.max_order}
    fast, slow = p.arcs.values()
    leads = {"lead_time": slow.lead_time - fast.lead_time, "express": fast.lead_time}
    return (
        told | leads | {"ratio": p.nodes["shop"].backorder_cost, "premium": fast.unit_cost, "max_order": slow.max_order}
    )


def judge(args: argparse.Namespace) -> pd.DataFrame:
    """Return a row per problem of a draw; those that stand in a file of results are not measured again."""
    rows, family = [], args.family
    for number in range(args.first, args.first + args.problems):
        key = {"family": family, "draw": args.draw, "number": number}

        def measured(key: dict = key, number: int = number) -> dict:
            task = problem(family, args.draw, number)
            return {**key, **described(family, task), **measure(family, task, args.rules)}

        row = kept(args.results, key, measured)
        rows.append(row)
        gaps = ", ".join(f"{name} {gap:.3f} (±{half:.3f})" for name, (gap, half) in row["gaps"].items())
        print(f"{number}: {described_row(row)}: {gaps}", file=sys.stderr, flush=True)
    return pd.DataFrame([row | {name: gap for name, (gap, _) in row["gaps"].items()} for row in rows])


def described_row(row: dict) -> str:
    """Return a row's problem in words."""
    names = ("kind", "mean", "dispersion", "lead_time", "express", "ratio", "premium", "max_order")
    return " ".join(f"{name}={row[name]}" for name in names if name in row)


def table(rows: pd.DataFrame, names: list[str]) -> str:
    """Return gaps in per cent, mean and worst, by lead time and by kind of demand, in Markdown."""
    lines = [
        "| problems | number |" + "".join(f" {name}: mean | worst |" for name in names),
        "|---|---|" + "---|---|" * len(names),
    ]
    groups = [("all", rows)]
    groups += [
        (f"{by.replace('_', ' ')} {value}", part) for by in ("lead_time", "kind") for value, part in rows.groupby(by)
    ]
    for what, part in groups:
        numbers = "".join(f" {part[name].mean():.2f} | {part[name].max():.2f} |" for name in names)
        lines.append(f"| {what} | {len(part)} |{numbers}")
    return "\n".join(lines)


def main() -> None:
    """Train a network, or print the table of its gaps."""
    parser = argparse.ArgumentParser(prog="generalist", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("do", choices=("train", "judge"))
    parser.add_argument("family", choices=tuple(DRAWS))
    parser.add_argument("--out", type=Path, help="train: file of the weights (by default the one that ships)")
    parser.add_argument("--steps", type=int, help="train: gradient steps")
    parser.add_argument("--seed", type=int, default=0, help="train: of everything")
    options(parser, problems=100, draw=1)
    parser.add_argument("--rules", action="store_true", help="judge: a tuned rule beside it")
    args = parser.parse_args()
    if args.do == "train":
        training.train(args.family, args.out or CHECKPOINTS / f"{args.family}.safetensors", args.steps, args.seed)
        return
    rows = judge(args)
    print(table(rows, ["generalist", *(RULES[args.family] if args.rules else ())]))


if __name__ == "__main__":
    main()
