"""The section of a report on what a decision causes: the run's scenarios with it changed, paired."""

import numpy as np
import pandas as pd

from ...envs import Policy
from ...envs.core.rollout import rollout
from ...evaluation import mean_interval, scenario_keys
from ...evaluation.effects import AS_IT_WAS, CHANGED, Changed, decision_effect
from ..config.errors import ConfigError
from ..config.schemas import ReportParams
from ..config.settings import within
from ..experiment import Experiment
from .page import aligned, bracket, figure, html_table, note, section
from .plots import paired_days

DRAWN = 64  # scenarios of the picture


def effect_section(experiment: Experiment, episodes: pd.DataFrame, params: ReportParams) -> tuple[str, list[str]]:
    """Return the section of a report, and its lines for a terminal.

    Raises:
        ConfigError: a policy, a decision, a change or a period that does not fit the run.
    """
    name, act = _policy(experiment, episodes, params.policy)
    task, seeds = experiment.task, episodes["seed"].unique()
    with within(""):
        before, after = decision_effect(act, task, seeds, params.effect, params.change, params.period)
    when = "in every period" if params.period is None else f"in period {params.period} alone"
    head = f"What the decision '{params.effect}' causes"
    about = (
        f"{name} with {params.change:+g} added to its decision '{params.effect}' {when} (within its bounds), and as it "
        f"was, on the same {len(seeds)} held-out scenarios; {task.objective} in {task.unit}, differences paired, 95 % "
        "confidence intervals. The policy's later decisions react to the change."
    )
    shown = columns(before, after, task.objective)
    drawn = paired_days(_by_day(task, act, seeds[:DRAWN], params), task.unit)
    caption = f"Difference in profit up to each period, mean of {min(DRAWN, len(seeds))} scenarios."
    text = section(head, note(about), html_table(shown), figure(drawn, caption))
    return text, [f"{head}: {about}", *aligned(shown)]


def columns(before: pd.DataFrame, after: pd.DataFrame, objective: str) -> list[tuple[str, list[str]]]:
    """Return what changed, and by how much, as headed columns of text: the value first, rows of nothing left out."""
    names = [name for name in before if before[name].any() or after[name].any()]
    difference = (after - before)[names]
    low, high = mean_interval(difference)
    cells: dict[str, list[str]] = {"": [], AS_IT_WAS: [], CHANGED: [], "difference": []}
    for k, name in enumerate(names):
        size = max(abs(before[name].mean()), abs(after[name].mean()))
        form = f",.{0 if size >= 1000 else 2 if size >= 1 else 4}f"
        cells[""].append(objective if name == "value" else name.replace("_", " "))
        cells[AS_IT_WAS].append(f"{before[name].mean():{form}}")
        cells[CHANGED].append(f"{after[name].mean():{form}}")
        cells["difference"].append(f"{difference[name].mean():+{form}}{bracket(low[k], high[k], form)}")
    return list(cells.items())


def _policy(experiment: Experiment, episodes: pd.DataFrame, wanted: str) -> tuple[str, Policy]:
    """The policy of a name; without one the agent, or the best heuristic."""
    best = experiment.summary(episodes).attrs["best_heuristic"]
    name = wanted or (experiment.compared[0] if experiment.compared else best)
    if name not in experiment.policies:
        allowed = ", ".join(experiment.policies)
        raise ConfigError(f"policy: {name!r} is not allowed, expected one of the run's: {allowed}")
    return name, experiment.policies[name]


def _by_day(task, act: Policy, seeds, params: ReportParams) -> np.ndarray:
    """The differences in profit (n, T) up to each period."""
    model = task.model("test")
    scenario = model.scenarios(scenario_keys(seeds, "test"))
    changed = Changed(act, model, params.effect, params.change, params.period)
    first, second = (rollout(model, policy, scenario)["reward"].astype(float) for policy in (act, changed))
    return np.cumsum(second - first, axis=1)
