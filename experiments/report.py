"""The report of a run: one HTML file that needs nothing else, neither network nor script; and the terminal's table."""

from html import escape
from textwrap import wrap

import numpy as np
import pandas as pd
import yaml

from ..envs import Dispatch, HistoryDemand, Inventory, Marketplace, SupplyChain, rollout
from ..envs.rollout import play
from ..evaluation import evaluate, scenario_keys
from . import plots
from .replay import replay

BOUND = "hindsight bound"
LONG = 40  # characters: a cell of more is broken into lines
CSS = """
body { font: 15px/1.5 system-ui, sans-serif; color: #222; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2.2rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; width: 100%; }
th, td { text-align: right; padding: .3rem .6rem; border-bottom: 1px solid #ddd; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; } td.text { white-space: normal; min-width: 14rem; }
tr.agent { font-weight: 600; background: #eef4fb; }
th { border-bottom: 2px solid #888; vertical-align: bottom; white-space: normal; }
pre { background: #f6f6f6; padding: .8rem; overflow-x: auto; font-size: 13px; } .scroll { overflow-x: auto; }
p.note, figcaption { color: #555; font-size: 14px; } figure { margin: 1rem 0; } svg { max-width: 100%; height: auto; }
"""


def columns(table: pd.DataFrame) -> list[tuple[str, list[str]]]:
    """The table of `summarise` as headed columns of text; the first one names the policies."""

    def money(name: str) -> list[str]:
        digits = 2 if table[name].abs().max() < 1000 else 0
        sign = "+" if name == "better" else ""
        low, high = ("ci_low", "ci_high") if name == "value" else (f"{name}_low", f"{name}_high")
        rows = zip(table[name], table[low], table[high], strict=True)
        return [f"{v:{sign},.{digits}f} [{a:,.{digits}f}, {b:,.{digits}f}]" for v, a, b in rows]

    def text(name: str, form: str) -> list[str]:
        return ["" if np.isnan(value) else format(value, form) for value in table[name]]

    shown = [("policy", list(table.index)), (table.attrs["objective"], money("value"))]
    shown.append((f"better than {table.attrs['best_heuristic']} by", money("better")))
    if "gap" in table:
        shown += [("gap to the reference", money("gap")), ("gap, %", text("gap_percent", ".2f"))]
    if "fill_rate" in table:
        shown += [("fill rate", text("fill_rate", ".2%")), ("stock-out rate", text("stockout_rate", ".2%"))]
        shown.append(("turns a year", text("turns", ".1f")))
    return shown


def heading(table: pd.DataFrame, unit: str) -> str:
    """What the numbers of the table are."""
    return f"Held-out scenarios; {table.attrs['objective']} and differences in {unit}, [95 % confidence interval]"


def text_table(table: pd.DataFrame, unit: str) -> str:
    """The table for a terminal: heads are broken over as many lines as their columns need."""
    return "\n".join([heading(table, unit), *aligned(columns(table))])


def aligned(shown: list[tuple[str, list[str]]]) -> list[str]:
    """The lines of headed columns of text."""
    blocks = []
    for place, (head, values) in enumerate(shown):
        width = max(9, *map(len, values))
        lines = wrap(head, width)
        align = str.ljust if place == 0 else str.rjust
        blocks.append([align(text, width) for text in [*[""] * (6 - len(lines)), *lines, "-" * width, *values]])
    rows = ("  ".join(row) for row in zip(*blocks, strict=True))
    return [row for row in rows if row.strip()]


def findings(table: pd.DataFrame, experiment, episodes: int) -> list[str]:
    """What the table says, in sentences that hold whoever wins."""
    task, agent, reference = experiment.task, experiment.agent, experiment.reference
    best, objective = table.attrs["best_heuristic"], table.attrs["objective"]
    said = []
    if agent:
        row = table.loc[agent]
        low, high, percent = row["better_low"], row["better_high"], 100 * row["better"] / abs(table.loc[best, "value"])
        verdict = "is better than" if low > 0 else "is worse than" if high < 0 else "cannot be told from"
        said.append(
            f"{agent} {verdict} the best tuned heuristic, {best}: {row['better']:+,.2f} {task.unit} ({percent:+.2f} % "
            f"of its {objective}), 95 % CI [{low:,.2f}, {high:,.2f}], paired over {episodes} scenarios."
        )
    if reference is not None:
        said.append(
            f"Reference: {reference.name}, {reference.value:,.4f} {task.unit} ({reference.kind}, "
            f"{reference.criterion}, tolerance {reference.tolerance:g}; {reference.source})."
        )
    elif BOUND in table.index:
        said.append(
            "Reference: a bound in hindsight, per scenario: what could have been earned at most by one who knew the "
            "scenario's demand beforehand. No policy need be able to reach it; the gap is not what is left to gain."
        )
    else:
        said.append("No reference is known for these parameters.")
    said.append(
        "The best heuristic is chosen on the scenarios of this table, which favours it; all were tuned on training "
        "scenarios."
    )
    if isinstance(task.test, HistoryDemand):
        said.append(
            f"The scenarios are the {episodes} different windows of {task.params.horizon} days found in "
            f"{task.test.days} held-out days of one recorded history. They overlap: the intervals are too narrow for "
            "another year or another store."
        )
    return said


def render(experiment, episodes: pd.DataFrame, metrics: list[dict], provenance: dict, config: dict) -> str:
    """Return the page.

    Args:
        experiment: with `task`, `reference`, `agent` (its name or None) and `policies` (name -> act).
        episodes: of `evaluate`, on held-out scenarios.
        metrics: the learning curve's rows.
        provenance, config: shown as they are.
    """
    task, agent = experiment.task, experiment.agent
    table = experiment.summary(episodes)
    said = findings(table, experiment, episodes["seed"].nunique())
    best = table.attrs["best_heuristic"]
    shown = [agent, best] if agent else [best]
    body = [f"<h1>{escape(task.name)}: {escape(' and '.join(filter(None, (agent, 'tuned heuristics'))))}</h1>"]
    body += [
        f"<p>{escape(said[0])}</p>",
        f"<h2>{escape(heading(table, task.unit))}</h2>",
        html_table(columns(table), agent),
    ]
    body += [f'<p class="note">{escape(text)}</p>' for text in (said[1:] if agent else said)]
    if agent and metrics:
        body.append("<h2>Learning curve</h2>")
        body.append(figure(_curve(experiment, metrics, best), "Mean over training scenarios, the same at every point."))
    picture = _routes if task.environment is Dispatch else _stock
    body += picture(experiment, shown, episodes)
    body += ["<h2>Configuration</h2>", f"<pre>{escape(yaml.safe_dump(config, sort_keys=False))}</pre>"]
    body += ["<h2>Provenance</h2>", f"<pre>{escape(yaml.safe_dump(provenance, sort_keys=False))}</pre>"]
    return page(task.name, body)


def _one_scenario(task, episodes: pd.DataFrame):
    seed = episodes["seed"].to_numpy()[:1]
    model = task.model("test")
    return model, model.scenarios(scenario_keys(seed, "test")), seed[0]


def _routes(experiment, shown: list[str], episodes: pd.DataFrame) -> list[str]:
    """The maps of one day under the policies shown."""
    model, scenario, seed = _one_scenario(experiment.task, episodes)
    body = ["<h2>Routes</h2>"]
    for name in shown:
        flows = [flow for _, flow, _ in play(model, experiment.policies[name], scenario)]
        cost = -sum(float(model.reward(model.money(flow))[0]) for flow in flows)
        caption = f"{name}, held-out day {seed}: {cost:,.0f} {experiment.task.unit}."
        body.append(figure(plots.route_maps(model, flows), caption))
    return body


def _stock(experiment, shown: list[str], episodes: pd.DataFrame) -> list[str]:
    """Stock or prices of one item in one scenario under the policies shown."""
    task, best = experiment.task, shown[-1]
    model, scenario, seed = _one_scenario(task, episodes)
    traces = {name: rollout(model, experiment.policies[name], scenario, trace=True) for name in shown}
    stocked = task.environment in (Inventory, SupplyChain)
    sold = traces[best].get("flow.demand", traces[best]["flow.sales"])
    item = int(sold[0].sum(axis=0).argmax()) % task.params.items  # shops have a column each
    title = f"Item {item + 1} of {task.params.items} (the most asked for), held-out scenario {seed}"
    body = ["<h2>Stock, orders and lost sales</h2>" if stocked else "<h2>Prices and sales</h2>"]
    chart = plots.stock_chart if stocked else plots.price_chart
    body.append(figure(chart(traces, item, title), "The same scenario for each policy."))
    if stocked and getattr(task.params, "forecast", "none") == "model":
        body.append("<h2>The forecast and what came</h2>")
        body.append(figure(*_fan(model, scenario, item)))
    if task.environment is Marketplace:
        named = {name: experiment.policies[name] for name in shown}
        body.append(f"<h2>The season, day by day</h2><figure>{replay(model, named, scenario)}</figure>")
    return body


def page(title: str, body: list[str]) -> str:
    """A whole HTML page."""
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head><meta charset="utf-8"><title>{escape(title)}</title>'
        f"<style>{CSS}</style></head>\n<body>\n{chr(10).join(body)}\n</body>\n</html>\n"
    )


def html_table(shown: list[tuple[str, list[str]]], agent: str | None = None) -> str:
    """Headed columns of text as a table; the row that is named `agent` stands out."""
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name, _ in shown)
    rows = []
    for k, name in enumerate(shown[0][1]):
        cells = "".join(_cell(values[k]) for _, values in shown)
        rows.append(f"<tr{' class=' + chr(34) + 'agent' + chr(34) if name == agent else ''}>{cells}</tr>")
    body = "\n".join(rows)
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>\n{body}\n</tbody></table></div>'


def _cell(text: str) -> str:
    return f"<td{' class=text' if len(text) > LONG else ''}>{escape(text)}</td>"


def figure(drawn, caption: str) -> str:
    return f"<figure>{plots.svg(drawn)}<figcaption>{escape(caption)}</figcaption></figure>"


def _curve(experiment, metrics: list[dict], best: str):
    task = experiment.task
    seeds = experiment.curve_seeds()
    value = evaluate({best: experiment.policies[best]}, task, seeds, split="train").query("policy == @best")["value"]
    return plots.learning_curve(metrics, (best, value.mean()), experiment.agent, f"{task.objective}, {task.unit}")


def _fan(model, scenario: dict, item: int):
    """The fan of one item over an episode, as far as what came is known within it."""
    lead, levels = int(model.lead[item]), list(model.params.quantiles)
    demand = scenario["demand"][0, :, item].astype(float)
    came = np.convolve(demand, np.ones(lead + 1), mode="valid")
    quantiles = scenario["forecast"][0, : len(came), item]
    inside = [
        f"{np.mean(came <= quantiles[:, k]):.0%} under the {level:.0%} quantile" for k, level in enumerate(levels)
    ]
    title = f"Demand of item {item + 1} over its lead time of {lead} and the review period"
    caption = "What came, in this one window: " + ", ".join(inside) + "."
    return plots.forecast_fan(quantiles, came, levels, lead, title), caption
