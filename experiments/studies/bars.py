"""The bars that learners are measured against: the best policies without training on every task, and a slow rule.

    python -m storelab.experiments.studies.bars

Heuristics are tuned on training scenarios; the generalist's networks ship. All play the same held-out scenarios as a
run's policies do. `stochastic_program`, which takes a second or more a season, plays the first few of them.
"""

import argparse
import sys

import numpy as np
import pandas as pd

from ...agents import rules_of, tune
from ...agents.generalist import pretrained
from ...envs import Task
from ...envs.core.seeds import purpose_seeds
from ...envs.registry import entries
from ...evaluation import HINDSIGHT, REFERENCE, evaluate, summarise
from ..experiment import reference
from ..inputs import build
from .drawn import compose_settings

APART = ("Dispatch", "Marketplace", "ManyItems")  # whose rules take minutes to tune
SLOW, SLOW_ON = "stochastic_program", ("NetworkManagement", "InvManagement")
HEAD = "| task | policy | value [95 % CI] | gap, % [95 % CI] |\n|---|---|---|---|"


def own_tasks() -> list[str]:
    """Return storelab's tasks that bring their data; `Inventory` is none, where to be out of stock costs nothing."""
    own = [name for name, entry in entries().items() if entry.factory.startswith("storelab.") and not entry.panel]
    return [name for name in own if name not in ("Inventory", "VN2")]


def tasks() -> list[str]:
    """Return those of `own_tasks` whose rules are tuned in seconds."""
    return [name for name in own_tasks() if name not in APART]


def played(name: str, best: int, slow: int) -> list[str]:
    """Return the rows of a task: what it is measured against, and its best policies without training.

    Args:
        name: of the task.
        best: policies, at the most.
        slow: held-out scenarios that `SLOW` plays too; 0: it does not, and the others play all.
    """
    settings = compose_settings("heuristics", [], name)
    task, evaluation = build(settings), settings.evaluation
    known, kinds = reference(task), rules_of(task.model("train")).available(task.model("train"))
    heuristics = {kind: tune(kind, task, purpose_seeds("tuning", evaluation.tuning_episodes)) for kind in kinds}
    policies = heuristics | pretrained(task)
    if slow:
        policies |= {SLOW: tune(SLOW, task, purpose_seeds("tuning", 1))}
    if known and known.policy:
        policies |= {REFERENCE: known.policy}
    episodes = evaluate(policies, task, evaluation.seed + np.arange(slow or evaluation.episodes))
    table = summarise(episodes, task.objective, known, list(heuristics))
    shown = table.drop(index="random", errors="ignore")
    aims = [row for row in shown.index if row in (REFERENCE, HINDSIGHT)]
    rows = [*aims, *[row for row in shown.index if row not in aims][:best]]
    return [_row(task, table.attrs["objective"], policy, table.loc[policy]) for policy in rows]


def _row(task: Task, objective: str, policy: str, row: pd.Series) -> str:
    form = ",.3f" if abs(row["value"]) < 100 else ",.1f"
    money = "{value:FORM} [{ci_low:FORM}, {ci_high:FORM}]".replace("FORM", form).format(**row)
    gap = ""
    if "gap" in row and policy not in (REFERENCE, HINDSIGHT):
        scale = row["gap_percent"] / row["gap"] if row["gap"] else 0.0
        gap = f"{row['gap_percent']:.2f} [{scale * row['gap_low']:.2f}, {scale * row['gap_high']:.2f}]"
    return f"| {task.name}, {objective} | {policy} | {money} | {gap} |"


def main() -> None:
    """Print the tables as Markdown."""
    parser = argparse.ArgumentParser(prog="bars", description=str(__doc__).split("\n")[0])
    parser.add_argument("--tasks", nargs="+", choices=tasks(), default=tasks())
    parser.add_argument("--best", type=int, default=3, help="policies of a task, at the most")
    parser.add_argument("--episodes", type=int, default=24, help=f"held-out scenarios that {SLOW} plays")
    args = parser.parse_args()
    lines = [HEAD]
    for name in args.tasks:
        lines += played(name, args.best, 0)
    if again := [name for name in args.tasks if name in SLOW_ON]:
        lines += ["", f"The first {args.episodes} of these scenarios, with `{SLOW}`:", "", HEAD]
        lines += [line for name in again for line in played(name, args.best, args.episodes)]
    print("\n".join(lines))


if __name__ == "__main__":
    sys.exit(main())
