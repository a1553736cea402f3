"""The learning curve of a run's report, and why it may say something else than the table."""

import numpy as np
import pandas as pd

from ...evaluation import HINDSIGHT, REFERENCE, evaluate, mean_interval
from ..choice import Choice
from ..experiment import Experiment
from . import plots
from .page import bracket, figure, note, section

NEAR = 0.01  # of the reference's value: the gap whose first passing a report dates


def learning(experiment: Experiment, metrics: list[dict], table: pd.DataFrame, held_out: int) -> str:
    """Return the section.

    Args:
        experiment: with its learner.
        metrics: the curve's rows.
        table: of the held-out scenarios.
        held_out: how many these are.
    """
    task, agent, best = experiment.task, experiment.agent, table.attrs["best_heuristic"]
    seeds = experiment.curve_seeds()
    policies = {name: experiment.policies[name] for name in (agent, best)}
    if experiment.reference and experiment.reference.policy:
        policies[REFERENCE] = experiment.reference.policy
    episodes = evaluate(policies, task, seeds, split="train")
    values = episodes.pivot(index="seed", columns="policy", values="value")
    lines = {f"{best} (best tuned heuristic)": values[best].mean()}
    lines |= {name: values[name].mean() for name in (REFERENCE, HINDSIGHT) if name in values}
    drawn = plots.learning_curve(metrics, lines, agent, f"{task.objective}, {task.unit}")
    caption = f"Each point and band: mean and 95 % interval over the same {len(seeds)} training scenarios."
    said = [first_near(metrics, values[REFERENCE].mean(), task.objective)] if REFERENCE in values else []
    said += contradictions(values[[agent, best]], metrics, table, held_out, experiment.choice)
    return section("Learning curve", figure(drawn, caption), *map(note, said))


def near(metrics: list[dict], reference: float, objective: str) -> dict | None:
    """Return the first point of a curve within `NEAR` of the reference on the same scenarios; None: there is none."""
    sign = 1 if objective == "profit" else -1
    return next((point for point in metrics if sign * (reference - point["value"]) <= NEAR * abs(reference)), None)


def first_near(metrics: list[dict], reference: float, objective: str) -> str:
    """Return when the curve first came within `NEAR` of the reference, in a sentence."""
    if not (first := near(metrics, reference, objective)):
        return f"The curve never comes within {NEAR:.0%} of the reference on its scenarios."
    return (
        f"The curve first comes within {NEAR:.0%} of the reference on its scenarios at step {first['step']:,}, after "
        f"{first['seconds']:,.0f} s, the curve's evaluations included."
    )


def contradictions(
    values: pd.DataFrame, metrics: list[dict], table: pd.DataFrame, held_out: int, choice: Choice | None = None
) -> list[str]:
    """Return what a reader of the curve may take for a contradiction to the table, in sentences; mostly there is none.

    Args:
        values: of the learner and of the best heuristic (n, 2), in this order, on the curve's scenarios.
        metrics, table, held_out: as above.
        choice: which checkpoint the table's policy is; None: the last.
    """
    (agent, best), count = values, len(values)
    sign = 1 if table.attrs["objective"] == "profit" else -1
    kept = [point for point in metrics if choice is not None and point["step"] == choice.step]
    said, row, last = [], table.loc[agent], (kept or metrics)[-1]
    if choice is not None and choice.rule is not None:
        return []  # the table's policy is no point of the curve
    mean, (low, high) = values[agent].mean(), mean_interval(values[[agent]])[:, 0]
    if not np.isclose(mean, last["value"], rtol=1e-4, atol=1e-8):
        said.append(
            f"The curve has {last['value']:,.4g} at step {last['step']:,}, but the policy of the table has "
            f"{mean:,.4g} on the same scenarios: it is not the policy of this point."
        )
    top = max(metrics, key=lambda point: sign * point["value"])
    if sign * (top["value"] - last["value"]) > (high - low) / 2:
        said.append(
            f"The curve was best at step {top['step']:,}, with {top['value']:,.4g}. The table has the policy of "
            f"step {last['step']:,}, which is best on the validation scenarios; it has {last['value']:,.4g} on the "
            "curve's."
        )
    if mean < row["ci_low"] or mean > row["ci_high"]:
        said.append(
            f"{agent} has {mean:,.4g}{bracket(low, high, ',.4g')} on the curve's {count} training scenarios "
            f"and {row['value']:,.4g} [{row['ci_low']:,.4g}, {row['ci_high']:,.4g}] on the table's {held_out} "
            "held-out ones. The scenarios differ: compare a point with the heuristic's line here, not with the table."
        )
    ahead = sign * (values[agent] - values[best])
    least, most = mean_interval(ahead.to_frame())[:, 0]
    told = least > 0 or most < 0 or row["better_low"] > 0 or row["better_high"] < 0
    if told and ahead.mean() * row["better"] < 0:
        words = ["ahead of" if difference > 0 else "behind" for difference in (ahead.mean(), row["better"])]
        few = ", which is not significant" if least <= 0 <= most else ""
        said.append(
            f"{agent} ends {words[0]} {best} on the curve's {count} training scenarios ({ahead.mean():+,.4g}"
            f"{bracket(least, most, ',.4g', ', 95 % CI ')}{few}) and is {words[1]} it on the table's {held_out} "
            f"held-out ones ({row['better']:+,.4g}{bracket(row['better_low'], row['better_high'], ',.4g', ', ')}). The "
            "table is the result: nothing was trained, tuned or chosen on its scenarios but the best heuristic."
        )
    return said
