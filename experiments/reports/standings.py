"""The finished runs of a folder as figures: which repeat which, scores on one scale, how each policy stood.

A run's score is what its policy is better by than the best tuned heuristic of the same run, in per cent of that one's
value: on one scale for all tasks. Runs whose configs differ in `agent` alone meet the same task; runs that differ in
the seed alone are repetitions. Of repetitions with the same seed (of older code, say) the newest one counts.
"""

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd

from ...evaluation import (
    FEW,
    HINDSIGHT,
    REFERENCE,
    hierarchical_interval,
    interquartile_mean,
    probability_of_improvement,
    stratified_bootstrap,
    stratified_t_interval,
    t_interval,
)
from ..config.settings import ConfigError
from ..runs.folder import APART, PARAMETERS, Run
from ..runs.index import NAME, read_index

LEARNER = ("agent.", "model.", "checkpoint_every")  # keys of the learner; the others are the task's
OWN = (*APART, "choices.", f"{PARAMETERS}.")  # of neither
FIGURES = ("value", "ci_low", "ci_high", "better", "better_low", "better_high", "gap_percent", "fill_rate")


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


def bootstrapped(statistic, *scores: list[np.ndarray], samples: int = 2000) -> np.ndarray:
    """`stratified_bootstrap`; NaN where a task has fewer than 20 runs, as of so few it is too narrow."""
    if min(len(task) for each in scores for task in each) >= FEW:
        return stratified_bootstrap(statistic, *scores, samples=samples)
    return np.full((2, *np.shape(statistic(*scores))), np.nan)


def leaderboard(runs: pd.DataFrame) -> pd.DataFrame:
    """A row per learner, best first by `iqm`: `runs`, `tasks`, `iqm` with `iqm_low` and `iqm_high` (`bootstrapped`),
    `mean` (of the tasks' means) with `low` and `high` (by Student's t), all in %; `beats_next`, `beats_low`,
    `beats_high`: the probability of improvement on the next one, with its interval (NaN for the last, and where no
    task is common)."""
    scores = {learner: scores_of(of) for learner, of in runs.groupby("learner")}
    rows = []
    for learner, tasks in scores.items():
        values = list(tasks.values())
        (iqm_low, iqm_high), (low, high) = bootstrapped(interquartile_mean, values), stratified_t_interval(values)
        row = {"learner": learner, "runs": sum(map(len, values)), "tasks": len(values)}
        row |= {"iqm": interquartile_mean(values), "iqm_low": iqm_low, "iqm_high": iqm_high}
        rows.append(row | {"mean": np.mean([value.mean() for value in values]), "low": low, "high": high})
    table = pd.DataFrame(rows).sort_values("iqm", ascending=False, kind="stable").set_index("learner")
    table[["beats_next", "beats_low", "beats_high"]] = np.nan
    for first, second in pairwise(table.index):
        common = [problem for problem in scores[first] if problem in scores[second]]
        if common:
            both = [[scores[learner][problem] for problem in common] for learner in (first, second)]
            interval = bootstrapped(probability_of_improvement, *both)
            table.loc[first, ["beats_next", "beats_low", "beats_high"]] = [probability_of_improvement(*both), *interval]
    return table


def sensitivity(runs: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Swept key -> a row per agent and value: `mean` of the tasks' mean scores with `low`, `high` (%), over all else.

    The interval is over runs, by Student's t; runs on one task that differ in other swept keys count as repetitions.
    """
    tables = {}
    for key in dict.fromkeys(key for swept in runs["swept"] for key in swept):
        values = pd.Series([swept.get(key) for swept in runs["swept"]], index=runs.index)
        rows = []
        for (agent, value), of in runs[values.notna()].groupby(["agent", values.dropna()]):
            scores = list(scores_of(of).values())
            mean, (low, high) = np.mean([score.mean() for score in scores]), stratified_t_interval(scores)
            rows.append({"agent": agent, "value": value, "mean": mean, "low": low, "high": high})
        tables[key] = pd.DataFrame(rows).sort_values(["agent", "value"], key=_numbers_first, kind="stable")
    return tables


def _numbers_first(column: pd.Series) -> pd.Series:
    numbers = pd.to_numeric(column, errors="coerce")
    return column if numbers.isna().any() else numbers


def curves(runs: pd.DataFrame) -> dict[str, dict[str, np.ndarray]]:
    """Task -> learner -> steps, mean over runs, and its 95 % interval by Student's t (NaN of one run): an array (4, n),
    for the steps all runs have."""
    drawn: dict[str, dict[str, np.ndarray]] = {}
    for (problem, learner), of in runs.groupby(["problem", "learner"]):
        rows = [pd.DataFrame(Run(folder).metrics(), columns=["step", "value"]) for folder in of["folder"]]
        table = pd.concat([row.set_index("step")["value"] for row in rows], axis=1, join="inner").sort_index()
        if len(table):
            low, high = t_interval(table.to_numpy().T)
            drawn.setdefault(problem, {})[learner] = np.stack([table.index, table.mean(axis=1), low, high])
    return drawn


def standings(runs: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Task -> a row per policy, best first: learners, heuristics, and what they are measured against.

    `policy`; `kind` (learner, heuristic or known: the reference's policy or the bound in hindsight); `runs`; and means
    over these of `value`, `better` (than the best heuristic), `gap_percent` and `fill_rate` (NaN where there is none).
    `ci_low` and `ci_high`: of learners over runs by Student's t (NaN of one run), of the others over held-out
    scenarios, as any run has them. `better_low` and `better_high`: of learners over runs and scenarios (`lead`).
    """
    tables = {}
    for problem, of in runs.groupby("problem"):
        rows = []
        for learner, folder in of[["learner", "folder"]].to_numpy():
            results = Run(folder).read("results.json")
            for name, figures in results["policies"].items():
                known = "known" if name in (HINDSIGHT, REFERENCE) else "heuristic"
                kind, label = ("learner", learner) if name == results["agent"] else (known, name)
                rows.append({"kind": kind, "policy": label, **{key: figures.get(key) for key in FIGURES}})
        table = pd.DataFrame(rows).astype(dict.fromkeys(FIGURES, float))
        grouped = table.groupby(["kind", "policy"], sort=False)
        table = grouped.mean().assign(runs=grouped.size())
        for place in (place for place in table.index if place[0] == "learner"):
            table.loc[place, ["ci_low", "ci_high"]] = t_interval(grouped.get_group(place)["value"].to_numpy())
            own = of.loc[of["learner"] == place[1], "folder"]
            table.loc[place, ["better_low", "better_high"]] = lead([Run(folder) for folder in own])
        best = (table["better"] == 0) & (table.index.get_level_values("kind") == "heuristic")
        table.loc[best, ["better_low", "better_high"]] = np.nan
        cost = of["objective"].iloc[0] == "cost"
        tables[problem] = table.reset_index().sort_values("value", ascending=cost, kind="stable", ignore_index=True)
    return tables


def lead(runs: list[Run]) -> np.ndarray:
    """The 95 % interval (2,) of what a learner's runs are better by than the best heuristic, in money.

    It is over seeds and held-out scenarios (`hierarchical_interval`), paired on the scenarios that all runs have. NaN
    of one run, and where a run has no episodes.
    """
    if len(runs) < 2 or not all((run.folder / "eval.parquet").is_file() for run in runs):
        return np.full(2, np.nan)
    ahead = []
    for run in runs:
        told, values = run.read("results.json"), run.episodes().pivot(index="seed", columns="policy", values="value")
        sign = 1 if told["objective"] == "profit" else -1
        ahead.append(sign * (values[told["agent"]] - values[told["best_heuristic"]]))
    return hierarchical_interval(pd.concat(ahead, axis=1, join="inner").to_numpy().T)


def known_scores(tables: dict[str, pd.DataFrame]) -> dict[str, float]:
    """The score (%) of what learners are measured against, the mean over tasks, where every task has it."""
    scores = {"best tuned heuristic": 0.0}
    for name in (REFERENCE, HINDSIGHT):
        found = []
        for table in tables.values():
            rows = table.set_index("policy")
            if name in rows.index and np.isfinite(rows.loc[name, "better"]):
                best = rows.loc[(rows["kind"] == "heuristic") & (rows["better"] == 0), "value"]
                found += list(100 * rows.loc[name, "better"] / best.abs())[:1]
        if len(found) == len(tables):
            scores[name] = float(np.mean(found))
    return scores


def trade_offs(tables: dict[str, pd.DataFrame], objectives: dict[str, str]) -> dict[str, pd.DataFrame]:
    """Task -> the rows of `standings` that have a fill rate, but for random actions, and whether each is `best`
    (on the Pareto front: no other has as high a fill rate at as good a value). Tasks without a fill rate have none."""
    traded = {}
    for problem, table in tables.items():
        table = table[table["fill_rate"].notna() & (table["policy"] != "random") & (table["policy"] != HINDSIGHT)]
        x, y = table["fill_rate"].to_numpy(), table["value"].to_numpy() * (-1 if objectives[problem] == "cost" else 1)
        beaten = (x >= x[:, None]) & (y >= y[:, None]) & ((x > x[:, None]) | (y > y[:, None]))
        if len(table):
            traded[problem] = table.assign(best=~beaten.any(axis=1))
    return traded
