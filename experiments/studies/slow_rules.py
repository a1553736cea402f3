"""A rule that takes too long for every held-out scenario, beside the policies of finished runs, on the first scenarios.

    python -m storelab.experiments.studies.slow_rules RUN [RUN ...] --episodes 24

The runs are of one task and have met the same held-out scenarios. The rule runs on the first of them; all policies are
then compared on these, paired. A learner that several runs have is the mean of its runs.
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

from ...agents import rules_of
from ...envs.core.seeds import purpose_seeds
from ...evaluation import evaluate, summarise
from ..config.settings import ConfigError
from ..inputs import build
from ..runs.folder import Run


def episodes_of(folders: list[Path], kind: str, count: int) -> tuple[pd.DataFrame, str]:
    """Return the first episodes of finished runs and of a rule (policy, seed, value), and the objective.

    Raises:
        ConfigError: a folder without a finished run, or runs of different tasks.
    """
    runs = [Run(folder) for folder in folders]
    for run in runs:
        if not run.done:
            raise ConfigError(f"{run.folder}: no finished run, expected one of storelab train")
    settings = [run.settings() for run in runs]
    if any((one.task, one.env) != (settings[0].task, settings[0].env) for one in settings):
        raise ConfigError(f"{folders}: runs of several tasks, expected runs of one")
    task = build(settings[0])
    columns = ["policy", "seed", "value"]
    kept = pd.concat([pd.read_parquet(run.folder / "eval.parquet", columns=columns) for run in runs])
    kept = kept.groupby(["policy", "seed"], as_index=False, sort=False)["value"].mean()
    seeds = np.sort(kept["seed"].unique())[:count]
    rules = rules_of(task.model("train"))
    rule = rules.tune(kind, task, purpose_seeds("tuning", settings[0].evaluation.tuning_episodes))
    played = evaluate({kind: rule}, task, seeds, progress=True)
    kept = kept[kept["seed"].isin(seeds) & (kept["policy"] != kind)]
    return pd.concat([kept, played.loc[played["policy"] == kind, columns]], ignore_index=True), task.objective


def table(episodes: pd.DataFrame, objective: str) -> str:
    """Return the comparison as Markdown, best first."""
    rows = [f"| policy | {objective} [95 % CI] | below the bound [95 % CI] | % |", "|---|---|---|---|"]
    for policy, row in summarise(episodes, objective).iterrows():
        value = f"{row['value']:,.1f} [{row['ci_low']:,.1f}, {row['ci_high']:,.1f}]"
        gap = f"{row['gap']:,.1f} [{row['gap_low']:,.1f}, {row['gap_high']:,.1f}]" if "gap" in row else ""
        rows.append(f"| {policy} | {value} | {gap} | {row.get('gap_percent', float('nan')):.2f} |")
    return "\n".join(rows)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="slow_rules", description=__doc__.split("\n")[0])
    parser.add_argument("runs", type=Path, nargs="+", help="folders of finished runs of one task")
    parser.add_argument("--rule", default="stochastic_program", help="of the task's environment")
    parser.add_argument("--episodes", type=int, default=24, help="held-out scenarios, the runs' first ones")
    args = parser.parse_args()
    print(table(*episodes_of(args.runs, args.rule, args.episodes)))


if __name__ == "__main__":
    main()
