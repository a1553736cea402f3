"""Learners against the exact optimum on 16 lost-sales problems: `python -m storelab.experiments.lost_sales_table`.

Poisson demand of mean 5, holding cost 1, lead times 1 to 4, lost-sale costs 4, 9, 19 and 39 (Zipkin 2008, Operations
Research 56(5)). A learnt policy's average cost is computed exactly, on the Markov chain of the states it reaches.
"""

import argparse
import sys
import time
from functools import partial

import numpy as np

from ..envs.batch import admit
from ..envs.inventory import Inventory, State
from ..envs.references import lost_sales

LEAD_TIMES, LOST_SALE_COSTS = (1, 2, 3, 4), (4, 9, 19, 39)
ACTION = {"pathwise": "continuous"}  # by option of the group `agent`; the task's own otherwise


def orders(model: Inventory, act, states: np.ndarray) -> np.ndarray:
    """Return a policy's orders (n,) at integer states (n, lead time): on hand, then by period of arrival."""
    units = np.asarray(states, dtype=np.float32)
    state = State(units[:, :1], tuple(units[:, k : k + 1] for k in range(1, units.shape[1])), None, None)
    action, _ = act(model.observe(state, {}), None, 0)
    return model.orders(state, admit(model, action, len(units))[0])[:, 0].astype(int)


def gap(agent: str, overrides: list[str], lead_time: int, lost_sale_cost: float, seed: int) -> tuple[float, float]:
    """Train an agent of `conf/agent`; return its gap to the optimum in per cent, and the CPU seconds it learnt."""
    from hydra import compose, initialize_config_module

    from .config import read
    from .schemas import register
    from .work import build, learner_module

    register()
    changes = [f"env.lead_time={lead_time}", f"env.lost_sale_cost={lost_sale_cost}"]
    changes += [f"env.action={ACTION[agent]}"] if agent in ACTION else []
    with initialize_config_module("storelab.conf", version_base="1.3"):
        settings = read(compose("train", ["task=LostSales", f"agent={agent}", *changes, *overrides]))
    task = build(settings)
    started = time.process_time()
    learner = learner_module(settings.agent).Learner(task, settings.agent, seed)
    learner.learn(progress=sys.stderr.isatty())
    seconds = time.process_time() - started
    model = task.model("test")
    (demand,) = task.params.demand.pmfs(1)
    costs = (demand, lead_time, 1.0, float(lost_sale_cost))
    value = lost_sales.evaluate(*costs, partial(orders, model, learner.policy()))
    return 100 * (value / lost_sales.solve(*costs).cost - 1), seconds


def interval(gaps: np.ndarray) -> tuple[float, float]:
    """Return the 95 % interval over seeds of the mean of gaps (instances, seeds), by Student's t.

    The variance is that within the instances, pooled: their own levels are no chance.
    """
    from scipy.stats import t

    instances, seeds = gaps.shape
    error = np.sqrt(gaps.var(axis=1, ddof=1).mean() / gaps.size)
    half = t.ppf(0.975, instances * (seeds - 1)) * error
    return gaps.mean() - half, gaps.mean() + half


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="lost_sales_table", description=__doc__.split("\n")[0])
    parser.add_argument("--agent", default="pathwise", help="option of the config group `agent`")
    parser.add_argument("--seeds", type=int, default=3, help="how many, from 0")
    parser.add_argument("--lead-times", type=int, nargs="+", default=LEAD_TIMES)
    parser.add_argument("--lost-sale-costs", type=float, nargs="+", default=LOST_SALE_COSTS)
    parser.add_argument("overrides", nargs="*", help="key=value, as for `storelab train`")
    args = parser.parse_args()
    print(f"{args.agent} {' '.join(args.overrides)}: gap to the optimum in %, and CPU seconds of learning")
    print("lead time  lost-sale cost     mean    worst  seconds (worst)  by seed", flush=True)
    gaps = []
    for lead_time in args.lead_times:
        for cost in args.lost_sale_costs:
            found = np.array([gap(args.agent, args.overrides, lead_time, cost, seed) for seed in range(args.seeds)])
            gaps.append(found[:, 0])
            each = " ".join(f"{value:.3f}" for value in gaps[-1])
            numbers = f"{gaps[-1].mean():8.3f} {gaps[-1].max():8.3f} {found[:, 1].max():16.0f}"
            print(f"{lead_time:9} {cost:15g} {numbers}  {each}", flush=True)
    low, high = interval(np.array(gaps)) if args.seeds > 1 else (np.nan, np.nan)
    print(f"all: mean {np.mean(gaps):.3f} %, 95 % CI [{low:.3f}, {high:.3f}], worst {np.max(gaps):.3f} %")


if __name__ == "__main__":
    main()
