"""PPO with each task's default settings, on every task that brings its own data: the table of docs/defaults.md.

    python -m storelab.experiments.studies.defaults --results ppo.jsonl --page

A run is `storelab train task=TASK seed=SEED`, from tuning to the held-out scenarios, without its report. The file has a
line for each finished run, which is not run again; one that was killed begins anew.
"""

import argparse
import sys
import time
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd

from ...evaluation import REFERENCE, evaluate, t_interval
from ..config.agents import own_agent
from ..config.settings import Settings
from ..experiment import Experiment, learn, prepare
from ..inputs import build, data_hash
from ..reports.learning import NEAR, near
from ..runs.folder import Run
from . import pages
from .bars import own_tasks
from .drawn import compose_settings, kept_or_run, lines
from .pages import ROOT, block, put

MODULE = "storelab.experiments.studies.defaults"
PAGE = ROOT / "docs" / "defaults.md"
FIRST = ("DualSourcing", "Perishable", "LostSales")  # the others follow as the registry has them


def tasks() -> list[str]:
    """Return storelab's tasks that bring their data and whose default learner is PPO."""
    return sorted(
        filter(lambda name: agent_of(name).startswith("ppo"), own_tasks()), key=lambda name: name not in FIRST
    )


def agent_of(task: str) -> str:
    """Return the option of `agent` that a task is trained with by default."""
    return own_agent(task) or "ppo"


def measure(settings: Settings) -> dict:
    """Train and evaluate in a folder that goes afterwards; return the figures of the table.

    Gaps and leads in per cent: of the reference's value, or of the best heuristic's. Times are CPU seconds.
    """
    with TemporaryDirectory() as folder:
        settings = replace(settings, top=replace(settings.top, runs=folder))
        data = data_hash(settings)
        run, task = Run.of(settings, data), build(settings)
        whole = time.process_time()
        with run.open(settings, data, MODULE):
            experiment = prepare(run, task, settings)
            points, began = [], time.process_time()
            see = lambda rows: points.append(rows[-1] | {"cpu": time.process_time() - began})
            experiment.add(learn(run, experiment, see), experiment.choice)
            table = experiment.summary(experiment.episodes(settings.evaluation))
        figures = {"seconds": time.process_time() - whole, "learning": points[-1]["cpu"]}
    return figures | _judged(experiment, table) | _near(experiment, points)


def _judged(experiment: Experiment, table: pd.DataFrame) -> dict:
    """Return the figures of the held-out scenarios, and what is kept of the learner."""
    name, choice, best = experiment.settings.agent.name, experiment.choice, table.attrs["best_heuristic"]
    assert choice is not None
    gaps = table["gap_percent"] if "gap_percent" in table else pd.Series(np.nan, table.index)
    gap, of_best = (None if np.isnan(gaps[row]) else float(gaps[row]) for row in (name, best))
    lead = 100 * table.loc[name, "better"] / abs(table.loc[best, "value"])
    told = {"task": experiment.task.name, "to": table.attrs["gap_to"], "best": best, "best_gap": of_best, "gap": gap}
    return told | {"lead": float(lead), "start": choice.start, "rule": choice.rule, "attempts": choice.attempt + 1}


def _near(experiment: Experiment, points: list[dict]) -> dict:
    """Return when the learning curve first was within `NEAR` of the reference's policy on the same scenarios."""
    known = experiment.reference and experiment.reference.policy
    if not known:
        return {"near_step": None, "near_cpu": None}
    played = evaluate({REFERENCE: known}, experiment.task, experiment.curve_seeds(), split="train")
    value = played.loc[played["policy"] == REFERENCE, "value"].mean()
    first = near(points, float(value), experiment.task.objective) or {}
    return {"near_step": first.get("step"), "near_cpu": first.get("cpu")}


def markdown(rows: list[dict]) -> str:
    """Return the table of finished runs, a row per task."""
    head = (
        *("task", "gap is to", "best heuristic, its gap in %", "PPO's gap in % [95 % CI]", "worst seed"),
        *("ahead of the best heuristic by % [95 % CI]", "worst seed", "runs that kept their start", "CPU s"),
        f"within {NEAR:.0%} after CPU s",
    )
    table: list[tuple[str, ...]] = [head]
    for task in dict.fromkeys(row["task"] for row in rows):
        of = [row for row in rows if row["task"] == task]
        gaps, leads = ([row[name] for row in of if row[name] is not None] for name in ("gap", "lead"))
        best_gap = [row["best_gap"] for row in of if row["best_gap"] is not None]
        firsts = [row["near_cpu"] for row in of if row["near_cpu"] is not None]
        after = [f"{np.mean(firsts):.0f}"] if firsts else []
        if of[0]["to"] == REFERENCE and len(firsts) < len(of):
            after.append(f"{len(of) - len(firsts)} of {len(of)} never")
        table.append(
            (
                f"{task} (`{agent_of(task)}`)",
                of[0]["to"] or "",
                of[0]["best"] + (f", {np.mean(best_gap):.2f}" if best_gap else ""),
                _mean(gaps),
                f"{max(gaps):.2f}" if gaps else "",
                _mean(leads),
                f"{min(leads):.2f}",
                f"{sum(row['rule'] is not None for row in of)} of {len(of)}",
                f"{np.mean([row['seconds'] for row in of]):.0f}",
                ", ".join(after),
            )
        )
    return pages.markdown(table).rstrip()


def _mean(values: list[float]) -> str:
    if not values:
        return ""
    low, high = t_interval(np.array(values))
    return f"{np.mean(values):.2f}" + (f" [{low:.2f}, {high:.2f}]" if len(values) > 1 else "")


def finished(results: Path | None) -> list[dict]:
    """Return the lines of a file of results, by task in the order of `tasks` and by seed."""
    order = tasks()
    known = [row for row in lines(results) if row["task"] in order]
    return sorted(known, key=lambda row: (order.index(row["task"]), row["seed"]))


def main() -> None:
    """Run what is left, then print the table of all that is there."""
    parser = argparse.ArgumentParser(prog=f"python -m {MODULE}", description=str(__doc__).split("\n")[0])
    parser.add_argument("--tasks", nargs="+", choices=tasks(), default=tasks())
    parser.add_argument("--seeds", type=int, default=5, help="how many, from 0")
    parser.add_argument("--minutes", type=float, default=np.inf, help="CPU minutes after which no run begins any more")
    parser.add_argument("--results", type=Path, required=True, help="file of finished runs, a line of JSON each")
    parser.add_argument("--page", action="store_true", help=f"write the table into docs/{PAGE.name}")
    args = parser.parse_args()
    for seed in range(args.seeds):
        for task in args.tasks:
            if time.process_time() < 60 * args.minutes:
                settings = compose_settings(agent_of(task), [f"seed={seed}"], task)
                row = kept_or_run(settings, args.results, measure)
                print(f"{task}, seed {seed}: {row['gap']} % to the {row['to']}, {row['seconds']:.0f} s", flush=True)
    rows = finished(args.results)
    print(markdown(rows))
    if args.page:
        content = block(f"python -m {MODULE} --results ppo.jsonl --page", markdown(rows))
        put(PAGE, "ppo", MODULE, content)


if __name__ == "__main__":
    sys.exit(main())
