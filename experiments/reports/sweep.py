"""`storelab report SWEEP`: the finished runs of a folder in one HTML file, with the aggregates of Agarwal et al. 2021.

A run's score is what its policy is better by than the best tuned heuristic of the same run, in per cent of that one's
value: on one scale for all tasks. Runs whose configs differ in `agent` alone meet the same task; runs that differ in
the seed alone are repetitions. Of repetitions with the same seed (of older code, say) the newest one counts.
"""

import json
import sys
from html import escape
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd

from ...evaluation import (
    bootstrap_interval,
    interquartile_mean,
    performance_profile,
    probability_of_improvement,
    stratified_bootstrap,
)
from ...learning.base import write_atomic
from ..config.settings import ConfigError
from ..runs.folder import APART, Run
from ..runs.index import NAME, read_index
from . import fit, sweep_plots
from .page import aligned, figure, html_table, note, page, section
from .run import BOUND

SCORE = "score: better than the best tuned heuristic by, % of its value"
LEARNER = ("agent.", "model.", "checkpoint_every")  # keys of the learner; the others are the task's
OWN = (*APART, "choices.")  # of neither
NOTE = (
    "Intervals: 95 %, percentile bootstrap over the runs of each task (stratified); with few runs they are too narrow. "
    "Interquartile mean: of the middle half of all runs. Likely to beat the next: the probability of improvement, that "
    "a run of this learner scores higher than one of the next on a task drawn at random of those that both have."
)


def sweep_report(folder: str) -> int:
    """Write `sweep.html` into a folder of runs and print the leaderboard; return the exit status."""
    try:
        _present(Path(folder))
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def sweep_runs(folder: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The runs to report, of policies or, where there is none, of `storelab fit`; and those that are left out.

    To the index's columns come `score` (%), `learner` and `problem` (labels that name what was swept), `swept` (the
    key and value of each swept key) and `folder`.

    Raises:
        ConfigError: no finished run of a policy or of a fit is in the folder.
    """
    if NAME.fullmatch(folder.name):
        raise ConfigError(f"{folder}: one run, expected a folder of runs (storelab report run={folder} reports one)")
    single = any(NAME.fullmatch(path.name) for path in folder.glob("*"))
    root = folder.absolute().parent if single else folder
    index = read_index(root)
    index = index[index["experiment"] == folder.absolute().name] if single else index
    there = (index["state"] == "finished") & index["better"].notna()
    if not there.any():
        there = (index["state"] == "finished") & (index["command"] == "fit")
    index = index.assign(folder=[root / run for run in index["run"]])
    runs = index[there].sort_values("time", kind="stable").reset_index(drop=True)
    if runs.empty:
        raise ConfigError(
            f"{folder}: no finished run with results.json, expected some (storelab report run=RUN adds it)"
        )
    configs = [
        {key: json.dumps(value) for key, value in json.loads(text).items() if not key.startswith(OWN)}
        for text in runs["config"]
    ]
    best = runs["value"] + runs["better"].where(runs["objective"] == "cost", -runs["better"])
    runs["score"] = 100 * runs["better"] / best.abs()
    learning, problem = (_swept(configs, runs[name], name == "agent") for name in ("agent", "task"))
    runs["learner"], runs["problem"] = _labels(runs["agent"], learning), _labels(runs["task"], problem)
    runs["swept"] = [{**a, **b} for a, b in zip(learning, problem, strict=True)]
    kept = ~runs.duplicated(["learner", "problem", "seed"], keep="last")
    left = pd.concat([index[~there], runs[~kept].assign(state="superseded")])
    return runs[kept].sort_values(["problem", "learner", "seed"], kind="stable").reset_index(drop=True), left


def _swept(configs: list[dict], names: pd.Series, learner: bool) -> list[dict]:
    """Of each run the values of the keys that differ among the runs of the same agent, or of the same task."""
    swept = []
    for name in names:
        same = [config for config, other in zip(configs, names, strict=True) if other == name]
        keys = dict.fromkeys(key for config in same for key in config if key.startswith(LEARNER) == learner)
        swept.append([key for key in keys if len({config.get(key) for config in same}) > 1])
    return [{k: config.get(k, "unset") for k in keys} for config, keys in zip(configs, swept, strict=True)]


def _labels(names: pd.Series, swept: list[dict]) -> list[str]:
    short = [[f"{key.partition('.')[2] or key}={value}" for key, value in each.items()] for each in swept]
    return [" ".join([name, *words]) for name, words in zip(names, short, strict=True)]


def scores_of(runs: pd.DataFrame) -> dict[str, np.ndarray]:
    """Task -> scores (runs,)."""
    return {problem: of["score"].to_numpy() for problem, of in runs.groupby("problem")}


def leaderboard(runs: pd.DataFrame) -> pd.DataFrame:
    """A row per learner, best first: `runs`, `tasks`, `iqm` with `low` and `high`, `mean` (of the tasks' means), all
    in %; `beats_next`, `beats_low`, `beats_high`: the probability of improvement on the next one (NaN for the last,
    and where no task is common)."""
    scores = {learner: scores_of(of) for learner, of in runs.groupby("learner")}
    rows = []
    for learner, tasks in scores.items():
        values = list(tasks.values())
        low, high = stratified_bootstrap(interquartile_mean, values)
        row = {"learner": learner, "runs": sum(map(len, values)), "tasks": len(values)}
        row |= {"iqm": interquartile_mean(values), "low": low, "high": high}
        rows.append(row | {"mean": np.mean([value.mean() for value in values])})
    table = pd.DataFrame(rows).sort_values("iqm", ascending=False, kind="stable").set_index("learner")
    table[["beats_next", "beats_low", "beats_high"]] = np.nan
    for first, second in pairwise(table.index):
        common = [problem for problem in scores[first] if problem in scores[second]]
        if common:
            both = [[scores[learner][problem] for problem in common] for learner in (first, second)]
            interval = stratified_bootstrap(probability_of_improvement, *both)
            table.loc[first, ["beats_next", "beats_low", "beats_high"]] = [probability_of_improvement(*both), *interval]
    return table


def sensitivity(runs: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Swept key -> a row per agent and value: `iqm` of the scores with `low`, `high` (%), over all else."""
    tables = {}
    for key in dict.fromkeys(key for swept in runs["swept"] for key in swept):
        values = pd.Series([swept.get(key) for swept in runs["swept"]], index=runs.index)
        rows = []
        for (agent, value), of in runs[values.notna()].groupby(["agent", values.dropna()]):
            scores = list(scores_of(of).values())
            low, high = stratified_bootstrap(interquartile_mean, scores)
            rows.append({"agent": agent, "value": value, "iqm": interquartile_mean(scores), "low": low, "high": high})
        tables[key] = pd.DataFrame(rows).sort_values(["agent", "value"], key=_numbers_first, kind="stable")
    return tables


def _numbers_first(column: pd.Series) -> pd.Series:
    numbers = pd.to_numeric(column, errors="coerce")
    return column if numbers.isna().any() else numbers


def curves(runs: pd.DataFrame) -> dict[str, dict[str, np.ndarray]]:
    """Task -> learner -> steps, mean over runs, and its 95 % interval: an array (4, n), for the steps all runs have."""
    drawn: dict[str, dict[str, np.ndarray]] = {}
    for (problem, learner), of in runs.groupby(["problem", "learner"]):
        rows = [pd.DataFrame(Run(folder).metrics(), columns=["step", "value"]) for folder in of["folder"]]
        table = pd.concat([row.set_index("step")["value"] for row in rows], axis=1, join="inner").sort_index()
        if len(table):
            low, high = bootstrap_interval(table.to_numpy().T)
            drawn.setdefault(problem, {})[learner] = np.stack([table.index, table.mean(axis=1), low, high])
    return drawn


def trade_offs(runs: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Task -> a row per policy, the learners first: `fill_rate` and `value`, means over runs, and whether it is `best`
    (on the Pareto front: no other has as high a fill rate at as good a value). Tasks without a fill rate have none."""
    tables = {}
    for problem, of in runs.groupby("problem"):
        rows = []
        for learner, agent, folder in of[["learner", "policy", "folder"]].to_numpy():
            for name, row in Run(folder).read("results.json")["policies"].items():
                if row.get("fill_rate") is not None and name not in ("random", BOUND):
                    own = name == agent
                    rows.append((not own, learner if own else name, row["fill_rate"], row["value"]))
        if rows:
            table = pd.DataFrame(rows, columns=["rule", "policy", "fill_rate", "value"])
            table = table.groupby(["rule", "policy"]).mean().reset_index()
            better = table["value"] * (-1 if of["objective"].iloc[0] == "cost" else 1)
            x, y = table["fill_rate"].to_numpy(), better.to_numpy()
            beaten = (x >= x[:, None]) & (y >= y[:, None]) & ((x > x[:, None]) | (y > y[:, None]))
            tables[problem] = table.assign(best=~beaten.any(axis=1))
    return tables


def _columns(table: pd.DataFrame) -> list[tuple[str, list[str]]]:
    def interval(row, name, low, high, form):
        return "" if np.isnan(row[name]) else f"{row[name]:{form}} [{row[low]:{form}}, {row[high]:{form}}]"

    rows = [row for _, row in table.iterrows()]
    shown = [("learner", list(table.index))]
    shown += [(name, [f"{value:.0f}" for value in table[name]]) for name in ("tasks", "runs")]
    shown += [("score, %: interquartile mean", [interval(row, "iqm", "low", "high", "+,.2f") for row in rows])]
    shown += [("mean, %", [f"{value:+,.2f}" for value in table["mean"]])]
    beats = [interval(row, "beats_next", "beats_low", "beats_high", ".2f") for row in rows]
    return [*shown, ("likely to beat the next", beats)]


def _values(runs: pd.DataFrame) -> list[tuple[str, list[str]]]:
    """Per task and learner the mean value over runs, in money."""
    groups = list(runs.groupby(["problem", "learner"]))
    means = [of["value"].mean() for _, of in groups]
    intervals = [bootstrap_interval(of[["value"]])[:, 0] for _, of in groups]
    shown = [f"{mean:,.2f} [{low:,.2f}, {high:,.2f}]" for mean, (low, high) in zip(means, intervals, strict=True)]
    columns = [("task", [names[0] for names, _ in groups]), ("learner", [names[1] for names, _ in groups])]
    columns += [("runs", [str(len(of)) for _, of in groups]), ("mean over runs", shown)]
    return [*columns, ("unit", [f"{of['objective'].iloc[0]}, {of['unit'].iloc[0]}" for _, of in groups])]


def _units(runs: pd.DataFrame) -> dict[str, str]:
    """Task -> what its values are."""
    return {problem: f"{of['objective'].iloc[0]}, {of['unit'].iloc[0]}" for problem, of in runs.groupby("problem")}


def _present(folder: Path) -> None:
    runs, left = sweep_runs(folder)
    if (runs["command"] == "fit").all():
        fit.write_table(folder, runs)
        return
    table = leaderboard(runs)
    counts = ", ".join(f"{count} {state}" for state, count in left["state"].value_counts().items())
    heading = f"{len(runs)} runs, {runs['problem'].nunique()} tasks; {SCORE}, [95 % confidence interval]"
    without = f"Left out: {counts}." if counts else "No run of the folder is left out."
    title = f"Sweep: {folder.absolute().name}"
    parts = [note(heading), html_table(_columns(table)), note(NOTE), note(without)]
    failed = left[left["error"] != ""]
    if len(failed):
        parts.append(html_table([(name, list(failed[name])) for name in ("run", "state", "error")]))
    body = [f"<h1>{escape(title)}</h1>", section("Results", *parts), section("By task", html_table(_values(runs)))]
    thresholds = np.linspace(runs["score"].min() - 1, runs["score"].max() + 1, 200)
    profiles = {}
    for learner in table.index:
        scores = list(scores_of(runs[runs["learner"] == learner]).values())
        interval = stratified_bootstrap(lambda drawn: performance_profile(drawn, thresholds), scores, samples=500)
        profiles[learner] = np.stack([performance_profile(scores, thresholds), *interval])
    drawn = sweep_plots.profiles(thresholds, profiles, SCORE)
    body.append(section("Performance profiles", figure(drawn, "Share of runs above a score, mean over tasks.")))
    learned = curves(runs)
    if learned:
        drawn = sweep_plots.curves(learned, list(table.index), _units(runs))
        body.append(section("Learning curves", figure(drawn, "On training scenarios; mean over runs, 95 % interval.")))
    traded = trade_offs(runs)
    if traded:
        drawn = sweep_plots.pareto(traded, list(table.index), _units(runs))
        body.append(
            section("Profit against fill rate", figure(drawn, "Held-out scenarios; mean over runs. Line: front."))
        )
    swept = sensitivity(runs)
    if swept:
        drawn = sweep_plots.sensitivity(swept)
        caption = "Interquartile mean of the score over all else that was swept."
        body.append(section("Sensitivity", figure(drawn, caption)))
    write_atomic(folder / "sweep.html", page(title, body).encode())
    print("\n".join([heading, *aligned(_columns(table)), without, f"report: {folder / 'sweep.html'}"]))
