"""The figures of a sweep's report."""

from textwrap import fill

import numpy as np
import pandas as pd
from matplotlib import rc_context
from matplotlib.figure import Figure

from .interactive import STYLE, band
from .plots import REFERENCE

WIDTH = 48  # characters of a legend's line: a learner's name has all keys that tell it from the others


def profiles(thresholds: np.ndarray, shares: dict[str, np.ndarray], score: str) -> Figure:
    """Learner -> its share of runs above each threshold and the interval's ends (3, n)."""
    with rc_context(STYLE):
        figure = Figure(figsize=(8, 3.4))
        axis = figure.subplots()
        for place, (learner, (share, low, high)) in enumerate(shares.items()):
            axis.step(thresholds, share, where="post", color=f"C{place % 10}", label=fill(learner, WIDTH))
            band(axis, thresholds, low, high, step="post", color=f"C{place % 10}", alpha=0.15, lw=0)
        axis.set_xlabel(score)
        axis.set_ylabel("share of runs")
        axis.set_ylim(0, 1.02)
        axis.legend(frameon=False, fontsize=8)
        return figure


def curves(tasks: dict[str, dict[str, np.ndarray]], learners: list[str], units: dict[str, str]) -> Figure:
    """Task -> learner -> steps, mean and interval (4, n): a plot per task, a colour per learner."""
    with rc_context(STYLE):
        figure = Figure(figsize=(8, 3.0 * len(tasks)))
        for axis, (task, of) in zip(figure.subplots(len(tasks), squeeze=False)[:, 0], tasks.items(), strict=True):
            shown = []
            for learner, (steps, mean, low, high) in of.items():
                colour = f"C{learners.index(learner) % 10}"
                axis.plot(steps, mean, "o-", ms=3, color=colour, label=fill(learner, WIDTH))
                band(axis, steps, low, high, color=colour, alpha=0.15, lw=0)
                late = slice(len(steps) // 10, None)  # early values can be thousands of times worse
                shown += [*low[late], *high[late]]
            margin = 0.08 * (max(shown) - min(shown)) or 1.0
            axis.set_ylim(min(shown) - margin, max(shown) + margin)
            axis.set_title(task, fontsize=10, loc="left")
            axis.set_ylabel(units[task])
            axis.xaxis.set_major_formatter(lambda x, _: f"{x:,.0f}")
            axis.legend(frameon=False, fontsize=8)
        axis.set_xlabel("steps of the learner")
        figure.tight_layout()
        return figure


def pareto(tasks: dict[str, pd.DataFrame], learners: list[str], units: dict[str, str]) -> Figure:
    """Task -> `trade_offs`: a plot per task, a colour per learner, the heuristics grey, a line along the front."""
    with rc_context(STYLE):
        figure = Figure(figsize=(8, 3.0 * len(tasks)))
        for axis, (task, table) in zip(figure.subplots(len(tasks), squeeze=False)[:, 0], tasks.items(), strict=True):
            front = table[table["best"]].sort_values("fill_rate")
            axis.plot(front["fill_rate"], front["value"], color=REFERENCE, lw=1, ls="--")
            for rule, policy, fill_rate, value in table[["rule", "policy", "fill_rate", "value"]].to_numpy():
                colour = REFERENCE if rule else f"C{learners.index(policy) % 10}"
                label = None if rule else fill(policy, WIDTH)
                axis.plot(fill_rate, value, "s" if rule else "o", ms=5, color=colour, label=label)
                if rule:
                    axis.annotate(policy, (fill_rate, value), (4, 3), textcoords="offset points", fontsize=7)
            axis.set_title(task, fontsize=10, loc="left")
            axis.set_ylabel(units[task])
            axis.xaxis.set_major_formatter(lambda x, _: f"{x:.0%}")
            axis.legend(frameon=False, fontsize=8)
        axis.set_xlabel("fill rate")
        figure.tight_layout()
        return figure


def sensitivity(keys: dict[str, pd.DataFrame]) -> Figure:
    """Swept key -> a row per agent and value: the score with its interval against the value."""
    with rc_context(STYLE):
        figure = Figure(figsize=(8, 2.8 * len(keys)))
        for axis, (key, table) in zip(figure.subplots(len(keys), squeeze=False)[:, 0], keys.items(), strict=True):
            places = {value: place for place, value in enumerate(dict.fromkeys(table["value"]))}
            for agent, of in table.groupby("agent"):
                error = np.abs(of[["low", "high"]].to_numpy().T - of["iqm"].to_numpy())
                axis.errorbar(
                    of["value"].map(places), of["iqm"], error, fmt="o-", ms=4, capsize=3, label=fill(agent, WIDTH)
                )
            axis.set_xticks(list(places.values()), list(places))
            axis.set_xlabel(key)
            axis.set_ylabel("score, %")
            axis.legend(frameon=False, fontsize=8)
        figure.tight_layout()
        return figure
