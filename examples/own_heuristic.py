"""A heuristic of your own against the tuned ones and the optimum, on the same held-out scenarios.

pip install .
python examples/own_heuristic.py
"""

import sys
from itertools import product

from storelab.agents import available, tune
from storelab.envs import TASKS
from storelab.evaluation import REFERENCE, evaluate, summarise


def smoothed(level: float, gain: float):
    """Return a policy: the mean demand, and a share `gain` of what stock and orders under way lack to `level` units."""

    def act(observation, policy_state, seed):
        position = observation.sum(axis=1, keepdims=True)  # (n, features): in stock, then under way
        return (5.0 + gain * (level - position)).round(), policy_state

    return act


def main(tuning: int = 64, held_out: int = 256) -> None:
    task = TASKS["LostSales"](lead_time=2, lost_sale_cost=19.0)
    grid = product(range(10, 20), (0.2, 0.4, 0.6, 0.8))
    candidates = {f"smoothed{numbers}": smoothed(*numbers) for numbers in grid}
    tried = evaluate(candidates, task, seeds=range(tuning), split="train")
    best = min(candidates, key=tried.groupby("policy")["value"].mean().__getitem__)
    policies = {best: candidates[best]}
    heuristics = available(task.model())
    policies |= {name: tune(name, task, range(tuning)) for name in heuristics}
    known = task.reference()
    episodes = evaluate(policies | {REFERENCE: known.policy}, task, seeds=range(held_out))
    table = summarise(episodes, task.objective, known, heuristics=heuristics)
    print(table[["value", "ci_low", "ci_high", "gap_percent", "better", "better_low"]].round(3).to_string())


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
