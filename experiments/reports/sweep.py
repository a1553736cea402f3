"""`storelab report SWEEP`: the finished runs of a folder in one HTML file: scores, policies by task, figures, links."""

import sys
from html import escape
from pathlib import Path

import numpy as np
import pandas as pd

from ...evaluation import FEW, HINDSIGHT, REFERENCE, performance_profile
from ...learning.base import write_atomic
from ...reading import check_writable
from ..config.settings import ConfigError, within
from . import fit, sweep_plots
from .page import Link, aligned, bracket, figure, html_table, note, page, section
from .standings import (
    bootstrapped,
    curves,
    known_scores,
    leaderboard,
    scores_of,
    sensitivity,
    standings,
    sweep_runs,
    trade_offs,
)

SCORE = "score: better than the best tuned heuristic by, % of its value"
NOTE = (
    "Intervals are 95 % and over runs; there are none where a task has one run. That of the mean is by Student's t "
    "(of the tasks' means, stratified), which is right for few runs. The interquartile mean is the mean of the middle "
    "half of all runs. Likely to beat the next is the probability of improvement: that a run of this learner scores "
    "higher than one of the next, on a random task that both have. "
    f"Both have an interval (stratified percentile bootstrap) where each task has {FEW} runs or more."
)
BY_TASK = (
    "Held-out scenarios. Intervals are 95 %: of learners over their runs (Student's t; none with one run), of other "
    "policies over scenarios. What a learner is better by is paired, with an interval over runs and scenarios. Gaps "
    f"are to the row '{REFERENCE}' where there is one, else to the {HINDSIGHT}, else to the reference's value."
)
KNOWN = (REFERENCE, HINDSIGHT)


def sweep_report(folder: str) -> int:
    """Write `sweep.html` into a folder of runs and print the leaderboard; return the exit status."""
    try:
        with within(""):
            check_writable(folder, "report")
        _present(Path(folder))
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def _present(folder: Path) -> None:
    runs, left = sweep_runs(folder)
    if (runs["command"] == "fit").all():
        fit.write_table(folder, runs)
        return
    table, tables = leaderboard(runs), standings(runs)
    shown = _leaders(table, known_scores(tables))
    counts = ", ".join(f"{count} {state}" for state, count in left["state"].value_counts().items())
    heading = f"{len(runs)} runs, {len(tables)} tasks; {SCORE}, [95 % confidence interval]"
    without = f"Left out: {counts}." if counts else "No run of the folder is left out."
    title = f"Sweep: {folder.absolute().name}"
    parts = [note(heading), html_table(shown, known=KNOWN), note(NOTE), note(without)]
    failed = left[left["error"] != ""]
    if len(failed):
        parts.append(html_table([(name, list(failed[name])) for name in ("run", "state", "error")]))
    body = [f"<h1>{escape(title)}</h1>", section("Results", *parts), *_by_task(runs, tables)]
    body += [*_figures(runs, table, tables), section("Runs", html_table(_runs(runs, folder)))]
    write_atomic(folder / "sweep.html", page(title, body).encode())
    print("\n".join([heading, *aligned(shown), without, f"report: {folder / 'sweep.html'}"]))


def _leaders(table: pd.DataFrame, known: dict[str, float]) -> list[tuple[str, list[str]]]:
    """The leaderboard as headed columns of text; below it what the learners are measured against."""

    def interval(row, name, low, high, form):
        return "" if np.isnan(row[name]) else f"{row[name]:{form}}{bracket(row[low], row[high], form)}"

    rows, blank = [row for _, row in table.iterrows()], [""] * len(known)
    shown = [("learner", [*table.index, *known])]
    shown += [(name, [*(f"{value:.0f}" for value in table[name]), *blank]) for name in ("tasks", "runs")]
    middle = [interval(row, "iqm", "iqm_low", "iqm_high", "+,.2f") for row in rows]
    shown += [("score, %: interquartile mean", [*middle, *blank])]
    means = [*(interval(row, "mean", "low", "high", "+,.2f") for row in rows), *(f"{v:+,.2f}" for v in known.values())]
    shown += [("mean, %", means)]
    beats = [interval(row, "beats_next", "beats_low", "beats_high", ".2f") for row in rows]
    return [*shown, ("likely to beat the next", [*beats, *blank])]


def _by_task(runs: pd.DataFrame, tables: dict[str, pd.DataFrame]) -> list[str]:
    """A section per task: all its policies in money, best first."""
    units, sections = _units(runs), []
    for problem, table in tables.items():

        def text(name: str, form: str, table=table) -> list[str]:
            return ["" if np.isnan(value) else format(value, form) for value in table[name]]

        form = ",.2f" if table["value"].abs().max() < 1000 else ",.0f"

        def money(name: str, low: str, high: str, sign: str = "", table=table, form=form) -> list[str]:
            rows = table[[name, low, high]].to_numpy()
            return ["" if np.isnan(v) else f"{v:{sign}{form}}{bracket(a, b, form)}" for v, a, b in rows]

        names = [
            f"{name} ({kind})" if kind == "learner" else name for name, kind in table[["policy", "kind"]].to_numpy()
        ]
        shown = [
            ("policy", names),
            (units[problem], money("value", "ci_low", "ci_high")),
            ("better than the best heuristic by", money("better", "better_low", "better_high", "+")),
        ]
        shown += [("gap, %", text("gap_percent", ".2f")), ("fill rate", text("fill_rate", ".2%"))]
        shown = [(head, cells) for head, cells in shown if any(cells)]
        counts = table["runs"].map(str).where(table["kind"] == "learner", "")
        shown.append(("runs", list(counts)))
        sections.append(section(problem, html_table(shown, known=KNOWN), note(BY_TASK)))
    return sections


def _runs(runs: pd.DataFrame, folder: Path) -> list[tuple[str, list[str]]]:
    """A row per run, with the way to its report."""
    rows = runs[["learner", "seed", "folder"]].to_numpy()
    names = [Link.to(f"{learner}, seed {seed}", run / "report.html", folder) for learner, seed, run in rows]
    units = _units(runs)
    shown = [("run", names), ("task", list(runs["problem"])), ("result is", [units[task] for task in runs["problem"]])]
    forms = {"result": ("value", ",.4g"), "score, %": ("score", "+,.2f"), "gap, %": ("gap_percent", ".2f")}
    for head, (name, form) in forms.items():
        shown.append((head, ["" if pd.isna(value) else format(value, form) for value in runs[name]]))
    return [*shown, ("folder", list(runs["run"]))]


def _units(runs: pd.DataFrame) -> dict[str, str]:
    """Task -> what its values are."""
    return {problem: f"{of['objective'].iloc[0]}, {of['unit'].iloc[0]}" for problem, of in runs.groupby("problem")}


def _figures(runs: pd.DataFrame, table: pd.DataFrame, tables: dict[str, pd.DataFrame]) -> list[str]:
    """The sections of figures; those by learner have the best learners alone where there are many."""
    units, best, sections = _units(runs), list(table.index[: sweep_plots.MOST]), []
    some = f" The {len(best)} best of {len(table)} learners." if len(table) > len(best) else ""
    thresholds = np.linspace(runs["score"].min() - 1, max(runs["score"].max(), *known_scores(tables).values()) + 1, 200)
    profiles = {}
    for learner in best:
        scores = list(scores_of(runs[runs["learner"] == learner]).values())
        interval = bootstrapped(lambda drawn: performance_profile(drawn, thresholds), scores, samples=500)
        profiles[learner] = np.stack([performance_profile(scores, thresholds), *interval])
    drawn = sweep_plots.profiles(thresholds, profiles, known_scores(tables), SCORE)
    caption = f"Share of runs above a score, mean over tasks; further right is better.{some}"
    sections.append(section("Performance profiles", figure(drawn, caption)))
    learned = curves(runs[runs["learner"].isin(best)])
    if learned:
        drawn = sweep_plots.curves(learned, tables, best, units)
        caption = (
            f"Learners on training scenarios, mean over runs and its 95 % interval (Student's t).{some} Horizontal "
            "lines are means on the held-out scenarios. These are other scenarios, so that a curve may end on another "
            "side of a line than its row of the table."
        )
        sections.append(section("Learning curves", figure(drawn, caption)))
    traded = trade_offs(tables, dict(runs[["problem", "objective"]].to_numpy()))
    if traded:
        caption = "Held-out scenarios; mean over runs. Dashed: the Pareto front."
        sections.append(
            section("Value against fill rate", figure(sweep_plots.pareto(traded, best, units), caption + some))
        )
    swept = sensitivity(runs)
    if swept:
        caption = "Mean score with its 95 % interval over runs (Student's t), over all else that was swept."
        sections.append(section("Sensitivity", figure(sweep_plots.sensitivity(swept), caption)))
    return sections
