"""Learners against the exact optimum on 16 lost-sales problems.

    python -m storelab.experiments.studies.lost_sales_table

Poisson demand of mean 5, holding cost 1, lead times 1 to 4, lost-sale costs 4, 9, 19 and 39 (Zipkin 2008, Operations
Research 56(5)). A learnt policy's average cost is computed exactly, on the Markov chain of the states it reaches.
"""

import argparse
import sys
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from ...envs.core.batch import admit
from ...envs.inventory.model import Inventory
from ...envs.inventory.references import lost_sales
from ...evaluation import stratified_t_interval
from ..config.settings import Settings
from ..inputs import build, learner_of
from .drawn import compose_settings, kept_or_run, learner_options

LEAD_TIMES, LOST_SALE_COSTS = (1, 2, 3, 4), (4.0, 9.0, 19.0, 39.0)  # as they are named in a file of results
ROOM = 60  # units in stock and on order up to which is ordered: nearly twice the highest optimal level, 33


def orders(model: Inventory, act, states: np.ndarray, room: int = ROOM) -> np.ndarray:
    """Return a policy's orders (n,) at integer states (n, lead time): on hand, then by period of arrival.

    Orders are cut where stock and orders would pass `room`. Networks may order in states that they never met, such as
    ever more stock after ever no demand, and the chain of states would not end.
    """
    units = np.asarray(states, dtype=np.float32)
    pipeline = tuple(units[:, k : k + 1] for k in range(1, units.shape[1]))
    state = replace(model.initial(len(units)), on_hand=units[:, :1], pipeline=pipeline)
    action, _ = act(model.observation(state, {}), None, 0)
    asked = model.orders(state, admit(model, action, len(units))[0])[:, 0].astype(int)
    return np.clip(room - np.sum(states, axis=1), 0, asked)


def settings_of(agent: str, overrides: list[str], lead_time: int, lost_sale_cost: float, seed: int) -> Settings:
    """Return the settings of one run of the table."""
    changes = [f"env.lead_time={lead_time}", f"env.lost_sale_cost={lost_sale_cost}", f"seed={seed}"]
    return compose_settings(agent, [*changes, *overrides])


def gap(settings: Settings) -> dict:
    """Train an agent; return its gap to the optimum in per cent, and the CPU seconds that it learnt."""
    task = build(settings)
    started = time.process_time()
    learner = learner_of(settings).Learner(task, settings.agent, settings.top.seed)
    learner.learn(progress=sys.stderr.isatty())
    seconds = time.process_time() - started
    model = task.model("test")
    (demand,) = task.params.demand.pmfs(1)
    lead, holding, lost = (task.params.per_item(n)[0] for n in ("lead_time", "holding_cost", "lost_sale_cost"))
    costs = (demand, int(lead), float(holding), float(lost))
    value = lost_sales.evaluate(*costs, partial(orders, model, learner.policy()))
    return {"gap": 100 * (value / lost_sales.solve(*costs).cost - 1), "seconds": seconds}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="lost_sales_table", description=__doc__.split("\n")[0])
    parser.add_argument("--lead-times", type=int, nargs="+", default=LEAD_TIMES)
    parser.add_argument("--lost-sale-costs", type=float, nargs="+", default=LOST_SALE_COSTS)
    parser.add_argument("--results", type=Path, help="file of finished runs, a line of JSON each; none is run twice")
    learner_options(parser, "pathwise", seeds=3)
    args = parser.parse_args()
    problems = [(lead_time, cost) for lead_time in args.lead_times for cost in args.lost_sale_costs]
    runs = np.empty((len(problems), args.seeds, 2))
    for seed in range(args.seeds):
        for i, problem in enumerate(problems):
            run = kept_or_run(settings_of(args.agent, args.overrides, *problem, seed), args.results, gap)
            runs[i, seed] = run["gap"], run["seconds"]
            done = f"lead time {problem[0]}, lost-sale cost {problem[1]:g}, seed {seed}"
            print(f"{done}: {run['gap']:.3f} %, {run['seconds']:.0f} s", file=sys.stderr, flush=True)
    print(f"{args.agent} {' '.join(args.overrides)}: gap to the optimum in %, and CPU seconds of learning")
    print("lead time  lost-sale cost     mean    worst  seconds (worst)  by seed")
    gaps, seconds = runs[..., 0], runs[..., 1]
    for (lead_time, cost), row, time_ in zip(problems, gaps, seconds, strict=True):
        numbers = f"{row.mean():8.3f} {row.max():8.3f} {time_.max():16.0f}"
        print(f"{lead_time:9} {cost:15g} {numbers}  {' '.join(f'{value:.3f}' for value in row)}")
    low, high = stratified_t_interval(gaps)  # the problems' own levels are no chance
    interval = f", 95 % CI [{low:.3f}, {high:.3f}]" if args.seeds > 1 else ""
    print(f"all: mean {gaps.mean():.3f} %{interval}, worst {gaps.max():.3f} %")


if __name__ == "__main__":
    main()
