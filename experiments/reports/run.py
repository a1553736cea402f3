"""The report of a run: one HTML file that needs nothing else, neither network nor script; and the terminal's table."""

import json
from html import escape

import numpy as np
import pandas as pd

from ...envs import HistoryDemand, Reference
from ...evaluation import HINDSIGHT, REFERENCE
from ...learning.base import write_atomic
from ..config.schemas import ReportParams
from ..config.settings import Settings
from ..experiment import Experiment, restore
from ..runs.folder import Run
from .effect import effect_section
from .learning import learning
from .page import aligned, bracket, html_table, listing, note, page, section
from .pictures import pictures
from .replay import animation, with_animation

GAP_TO = {  # what a table's gap is paired with, or taken to -> the column's head
    REFERENCE: "gap to the reference policy",
    HINDSIGHT: "gap to the hindsight bound",
    "reference value": "gap to the reference's value, not paired",
}
SHOWN = 2  # policies that are drawn beside the best heuristic


def present(
    run: Run,
    experiment: Experiment,
    episodes: pd.DataFrame,
    home: Run | None = None,
    effect: ReportParams | None = None,
) -> None:
    """Write the report and the results of a run, or of an evaluation with its run as `home`, and print its table.

    An animation of `storelab watch` stays in a report that is made anew. With `effect` the report shows what a decision
    causes.
    """
    home = home or run
    caused, lines = effect_section(experiment, episodes, effect) if effect else ("", [])
    parts = run.read("provenance.json"), home.config(), home.read("heuristics.json")
    text, report = render(experiment, episodes, run.metrics(), *parts, caused), run.folder / "report.html"
    if report.is_file() and (watched := animation(report.read_text(errors="replace"))):
        text = with_animation(text, watched)
    write_atomic(report, text.encode())
    task, table = experiment.task, experiment.summary(episodes)
    results = {"objective": task.objective, "unit": task.unit, "agent": experiment.agent}
    results |= {"best_heuristic": table.attrs["best_heuristic"]}
    run.write("results.json", results | {"policies": json.loads(table.to_json(orient="index", double_precision=15))})
    print(text_table(table, task.unit))
    for line in (*findings(table, experiment, episodes["seed"].nunique()), *clipped(experiment, episodes), *lines):
        print(line)
    print(f"report: {report}")


def present_anew(run: Run, settings: Settings, effect: ReportParams | None = None) -> None:
    """Write the report and the results of a finished run anew, from its episodes and policies; see `present`."""
    present(run, restore(run), run.episodes(), effect=effect)


def columns(table: pd.DataFrame) -> list[tuple[str, list[str]]]:
    """The table of `summarise` as headed columns of text; the first one names the policies."""

    def money(name: str) -> list[str]:
        digits = digits_of(table, name)
        sign = "+" if name == "better" else ""
        low, high = ("ci_low", "ci_high") if name == "value" else (f"{name}_low", f"{name}_high")
        rows = zip(table[name], table[low], table[high], strict=True)
        return [f"{v:{sign},.{digits}f}{bracket(a, b, f',.{digits}f')}" for v, a, b in rows]

    def text(name: str, form: str) -> list[str]:
        return ["" if np.isnan(value) else format(value, form) for value in table[name]]

    shown = [("policy", list(table.index)), (table.attrs["objective"], money("value"))]
    shown.append((f"better than {table.attrs['best_heuristic']} by", money("better")))
    if "gap" in table:
        shown += [(GAP_TO[table.attrs["gap_to"]], money("gap")), ("gap, %", text("gap_percent", ".2f"))]
    if "fill_rate" in table:
        shown += [("fill rate", text("fill_rate", ".2%")), ("stock-out rate", text("stockout_rate", ".2%"))]
        shown.append(("turns a year", text("turns", ".1f")))
    if "questions" in table:
        shown += [("questions", text("questions", ",.1f")), ("tokens", text("tokens", ",.0f"))]
        shown += [("spend", text("spend", ",.4f")), ("fallback periods", text("fallback", ".1f"))]
        shown += [("refused calls", text("refused", ".1f")), ("unusable replies", text("unusable", ".1f"))]
        shown.append(("forced periods", text("forced", ".1f")))
    if "injected_shown" in table:
        shown += [("hidden orders read", text("injected_shown", ".1f")), ("withheld", text("withheld", ".1f"))]
    return shown


def digits_of(table: pd.DataFrame, name: str) -> int:
    """Decimals of a column of money: none of large numbers, four where the values themselves are below 1."""
    return 0 if table[name].abs().max() >= 1000 else 2 if table["value"].abs().max() >= 1 else 4


def heading(table: pd.DataFrame, unit: str) -> str:
    """What the numbers of the table are."""
    return f"Held-out scenarios; {table.attrs['objective']} and differences in {unit}, [95 % confidence interval]"


def text_table(table: pd.DataFrame, unit: str) -> str:
    """The table for a terminal: heads are broken over as many lines as their columns need."""
    return "\n".join([heading(table, unit), *aligned(columns(table))])


def findings(table: pd.DataFrame, experiment: Experiment, episodes: int) -> list[str]:
    """What the table says, in sentences that hold whoever wins."""
    task, reference = experiment.task, experiment.reference
    best, objective = table.attrs["best_heuristic"], table.attrs["objective"]
    said = []
    for name in [*experiment.compared, *table.index.intersection(experiment.pretrained)]:  # older runs have none
        row, form = table.loc[name], f",.{max(2, digits_of(table, 'better'))}f"
        low, high, percent = row["better_low"], row["better_high"], 100 * row["better"] / abs(table.loc[best, "value"])
        verdict = "is better than" if low > 0 else "is worse than" if high < 0 else "does not differ significantly from"
        said.append(
            f"{name} {verdict} the best tuned heuristic, {best}: {row['better']:+{form}} {task.unit} ({percent:+.2f} "
            f"% of its {objective}){bracket(low, high, form, ', 95 % CI ')}, paired over {episodes} scenarios."
        )
    said += experiment.choice.said if experiment.choice else []
    if reference is not None:
        said.append(
            f"Reference: {reference.name}, {reference.value:,.4f} {task.unit} ({reference.kind}, "
            f"{reference.criterion}, tolerance {reference.tolerance:g}; {reference.source}). "
            + _played(table, reference)
        )
    elif HINDSIGHT in table.index:
        said.append(
            "Reference: a bound in hindsight for each scenario, the most that a planner who knew its demand beforehand "
            "could have earned. A policy may be unable to reach it, so that the gap is more than what is left to gain."
        )
    else:
        said.append("No reference is known for these parameters.")
    said.append(
        "The best heuristic is chosen on the scenarios of this table, which favours it. All heuristics were tuned on "
        "training scenarios."
    )
    if isinstance(task.test, HistoryDemand):
        said.append(
            f"The scenarios are the {episodes} different windows of {task.params.horizon} days found in "
            f"{task.test.days} held-out days of one recorded history. They overlap, so that the intervals are too "
            "narrow for another year or another store."
        )
    return said


def _played(table: pd.DataFrame, reference: Reference) -> str:
    """How the gap is taken to a reference."""
    if REFERENCE in table.index:
        value, low, high = table.loc[REFERENCE, ["value", "ci_low", "ci_high"]]
        return (
            f"Its policy is the row '{REFERENCE}', with {value:,.4f}{bracket(low, high, ',.4f')} on these scenarios. "
            "Gaps are paired with it, scenario by scenario, which removes the randomness of the scenarios. In per cent "
            f"they are of {reference.value:,.4f}."
        )
    why = "was not played on these scenarios" if reference.policy else "has no policy that could be played"
    return f"It {why}: gaps are to this number and not paired, so that a policy may seem to beat it."


def clipped(experiment: Experiment, episodes: pd.DataFrame) -> list[str]:
    """How often a user's own policies left the action space, a sentence each."""
    mean = episodes.groupby("policy")["clipped_actions"].mean()
    return [
        f"{name}: {mean[name]:,.2f} of its {len(experiment.task.model().action_low)} actions a period lay outside the "
        "action space and were clipped to it."
        for name in experiment.own
        if mean[name] > 0
    ]


def render(
    experiment: Experiment,
    episodes: pd.DataFrame,
    metrics: list[dict],
    provenance: dict,
    config: dict,
    tuned: dict | None = None,
    effect: str = "",
) -> str:
    """Return the page.

    Args:
        experiment: with all policies of the episodes.
        episodes: of `evaluate`, on held-out scenarios.
        metrics: the learning curve's rows.
        provenance, config: shown as they are.
        tuned: the heuristics' parameters, as tuned.
        effect: a section on what a decision causes, HTML.
    """
    task, agent = experiment.task, experiment.agent
    table = experiment.summary(episodes)
    said = findings(table, experiment, episodes["seed"].nunique())
    said += clipped(experiment, episodes)
    said += [f"{provenance['agent']}."] if "agent" in provenance else []
    best, compared = table.attrs["best_heuristic"], experiment.compared
    shown = [*compared[:SHOWN], best]
    body = [f"<h1>{escape(task.name)}: {escape(' and '.join([*compared, 'tuned heuristics']))}</h1>"]
    body.append(f"<p>{escape(said[0])}</p>")
    notes = map(note, said[1:])
    body.append(
        section(
            "Results",
            note(heading(table, task.unit)),
            html_table(columns(table), *compared, known=(REFERENCE, HINDSIGHT)),
            *notes,
        )
    )
    if task.notes:
        body.append(section("What the data says, and what is assumed", *map(note, task.notes)))
    if agent and metrics:
        body.append(learning(experiment, metrics, table, episodes["seed"].nunique()))
    policies = {name: experiment.policies[name] for name in shown}
    body += pictures(task, policies, int(episodes["seed"].iloc[0]))
    body += [effect] if effect else []
    parts = {"Configuration": config, "Heuristics, as tuned": tuned, "Provenance": provenance}
    body += [listing(head, values) for head, values in parts.items() if values]
    return page(task.name, body)
