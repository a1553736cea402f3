"""Dispatch on the user's copy of the competition's instances: prizes learned on train/, policies on the final ones.

    python -P bench/dispatch.py FOLDER learn [--generations 25] [--iterations 800] [--seed 0]
    python -P bench/dispatch.py FOLDER table [--router pyvrp] [--iterations 100] [--weights "[...]"] [--days 1] [--plan]

`learn` prints the weights after every generation. `table` prints the driving time in seconds of every policy on the
instances of configs.json, all under one router and one budget of iterations per epoch: means over so many days, the
first the competition's, and the mean difference to the best fixed prize with its standard error; `--plan`
adds the consensus over sampled futures and hindsight, which take minutes.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
from storelab.agents.heuristics.dispatch import Consensus, Heuristic, costs, learn_prizes
from storelab.envs import TASKS
from storelab.envs.core.rollout import play
from storelab.envs.dispatch.references import hindsight

LEVELS = (0.2, 0.3, 0.4, 0.5, 0.6, 0.8)


def learn(folder: Path, generations: int, iterations: int, seed: int) -> None:
    """Learn the weights of linear prizes on the instances of train/, by the fast router."""
    paths = sorted(str(path) for path in (folder / "train").glob("*.txt"))
    task = TASKS["Dispatch"](instances=paths, action="weights", iterations=iterations)
    start = time.process_time()

    def tell(generation: int, weights: list[float], mean: float) -> None:
        seconds = time.process_time() - start
        print(f"{generation:3} {mean:.4f} {json.dumps(np.round(weights, 3).tolist())} {seconds:.0f} s CPU", flush=True)

    learn_prizes(task, generations, 16, seed, on_generation=tell)


def table(folder: Path, router: str, iterations: int, weights: list[float] | None, days: int, plan: bool) -> None:
    """Print the costs of the policies, an instance a column, and their mean."""
    rows: dict[str, list[np.ndarray]] = {}
    for config in json.loads((folder / "configs.json").read_text()).values():
        common = {"instances": [str(folder / config["instance"])], "router": router, "iterations": iterations}
        model = TASKS["Dispatch"](action="weights", **common).model()
        scenario = model.scenarios(config["instance_seed"] + np.arange(days))
        rules = {kind: Heuristic(kind, {}, model) for kind in ("greedy", "lazy", "random")}
        rules |= {f"prize {level}": Heuristic("fixed_prize", {"level": [level]}, model) for level in LEVELS}
        if weights:
            rules["linear prize"] = Heuristic("linear_prize", {"weights": weights}, model)
        for name, rule in rules.items():
            rows.setdefault(name, []).append(costs(model, rule, scenario))
        if plan:
            other = TASKS["Dispatch"](action="dispatch", **common).model()
            rows.setdefault("consensus", []).append(costs(other, Consensus(other), scenario))
            flows = [flow for _, flow, _ in play(model, list(rules.values())[-1], scenario)]
            best = [hindsight(model, scenario, row, flows, 10 * iterations)[0] for row in range(days)]
            rows.setdefault("hindsight", []).append(np.array(best))
    best = min((name for name in rows if name.startswith("prize")), key=lambda name: np.mean(rows[name]))
    for name, row in rows.items():
        means, less = np.mean(row, axis=1), np.ravel(row) - np.ravel(rows[best])
        error = f"{less.mean():+10,.0f} +- {less.std() / np.sqrt(less.size):,.0f}"
        print(f"{name:14}", *(f"{cost:10,.0f}" for cost in means), f"{means.mean():12,.0f}", error)


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("what", choices=("learn", "table"))
    parser.add_argument("--generations", type=int, default=25)
    parser.add_argument("--iterations", type=int, default=None)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--router", choices=("fast", "pyvrp"), default="pyvrp")
    parser.add_argument("--weights", type=json.loads, default=None)
    parser.add_argument("--days", type=int, default=1)
    parser.add_argument("--plan", action="store_true")
    given = parser.parse_args()
    if given.what == "learn":
        learn(given.folder, given.generations, given.iterations or 800, given.seed)
    else:
        table(given.folder, given.router, given.iterations or 100, given.weights, given.days, given.plan)


if __name__ == "__main__":
    main()
