"""The figures of a sweep's report."""

from textwrap import fill

import numpy as np
import pandas as pd
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from .interactive import STYLE, band, named
from .plots import HEURISTIC, REFERENCE, late

WIDTH = 40  # characters of a legend's line: a learner's name has all keys that tell it from the others
MOST = 8  # learners in a figure, each in a colour and with a mark of its own
COLOURS = ("#0b5394", "#d9822b", "#2e8b57", "#a4307e", "#6a51a3", "#1ba1b5", "#8c6d31", "#c0392b")
MANY = 12  # values of a swept key: more numbers stand on an axis of numbers
MARKS = "osD^vPX*"
KNOWN = {"heuristic": (HEURISTIC, "--"), "known": (REFERENCE, ":")}  # kind of a policy -> the line across


def _of(learner: str, learners: list[str]) -> dict:
    place = learners.index(learner) % MOST
    return {"color": COLOURS[place], "marker": MARKS[place], "label": _label(learner)}


def _label(name: str) -> str:
    """A name as a legend shows it, in lines."""
    return fill(named(name), WIDTH)


def _legend(axis: Axes) -> None:
    """Beside the plot, where it hides nothing."""
    axis.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1.01, 1.02), borderaxespad=0)


def profiles(thresholds: np.ndarray, shares: dict[str, np.ndarray], known: dict[str, float], score: str) -> Figure:
    """Learner -> its share of runs above each threshold and the interval's ends (3, n); the known scores across."""
    with rc_context(STYLE):
        figure = Figure(figsize=(7.5, 3.4))
        axis = figure.subplots()
        for learner, (share, low, high) in shares.items():
            style = _of(learner, list(shares)) | {"markevery": 0.12, "ms": 4}
            axis.step(thresholds, share, where="post", **style)
            band(axis, thresholds, low, high, step="post", color=style["color"], alpha=0.12, lw=0)
        for (name, value), line in zip(known.items(), ("--", ":", "-."), strict=False):
            axis.axvline(value, color=REFERENCE, ls=line, lw=1.2, label=name)
        axis.set_xlabel(score)
        axis.set_ylabel("share of runs with a higher score")
        axis.set_ylim(0, 1.02)
        _legend(axis)
        return figure


def _stacked(count: int, height: float) -> tuple[Figure, list[Axes]]:
    figure = Figure(figsize=(7.5, height * count), layout="constrained")
    return figure, list(figure.subplots(count, squeeze=False)[:, 0])


def curves(
    tasks: dict[str, dict[str, np.ndarray]], tables: dict[str, pd.DataFrame], learners: list[str], units: dict[str, str]
) -> Figure:
    """Task -> learner -> steps, mean and interval (4, n): a plot per task, with the best heuristic's value and that of
    what is known (`standings`) across."""
    with rc_context(STYLE):
        figure, axes = _stacked(len(tasks), 3.2)
        for axis, (task, of) in zip(axes, tasks.items(), strict=True):
            for learner, (steps, mean, low, high) in of.items():
                style = _of(learner, learners)
                axis.plot(steps, mean, ms=4, lw=1.4, markevery=max(1, len(steps) // 12), **style)
                band(axis, steps, low, high, color=style["color"], alpha=0.12, lw=0)
            across = tables[task].groupby("kind", sort=False).head(1)
            across = across[across["kind"].isin(KNOWN)]
            for kind, name, value in across[["kind", "policy", "value"]].to_numpy():
                colour, line = KNOWN[kind]
                label = f"{name} ({'best heuristic, ' if kind == 'heuristic' else ''}held-out)"
                axis.axhline(value, color=colour, ls=line, lw=1.4, label=_label(label))
            axis.set_ylim(*late([curve[1] for curve in of.values()], *across["value"]))
            axis.set_title(task, fontsize=10, loc="left")
            axis.set_xlabel("steps of the learner")
            axis.set_ylabel(units[task])
            axis.xaxis.set_major_locator(MaxNLocator(integer=True))
            axis.xaxis.set_major_formatter(lambda x, _: f"{x:,.0f}")
            _legend(axis)
        return figure


def pareto(tasks: dict[str, pd.DataFrame], learners: list[str], units: dict[str, str]) -> Figure:
    """Task -> `trade_offs`: a plot per task, the learners in colours, the others grey with a mark each."""
    with rc_context(STYLE):
        figure, axes = _stacked(len(tasks), 3.4)
        for axis, (task, table) in zip(axes, tasks.items(), strict=True):
            front = table[table["best"]].sort_values("fill_rate")
            axis.plot(front["fill_rate"], front["value"], color=REFERENCE, lw=1, ls="--")
            rules = list(table.loc[table["kind"] != "learner", "policy"])
            for policy, kind, fill_rate, value in table[["policy", "kind", "fill_rate", "value"]].to_numpy():
                if kind != "learner":
                    style = {"marker": MARKS[rules.index(policy) % MOST], "mfc": "none", "label": _label(policy)}
                    style |= {"color": HEURISTIC if kind == "heuristic" else REFERENCE}
                elif policy in learners:
                    style = _of(policy, learners)
                else:
                    continue
                axis.plot([fill_rate], [value], ms=6, ls="", **style)
            axis.set_title(task, fontsize=10, loc="left")
            axis.set_xlabel("fill rate, share of the demand served from stock")
            axis.set_ylabel(units[task])
            axis.xaxis.set_major_formatter(lambda x, _: f"{x:.1%}")
            _legend(axis)
        return figure


def sensitivity(keys: dict[str, pd.DataFrame]) -> Figure:
    """Swept key -> a row per agent and value: the score with its interval against the value."""
    with rc_context(STYLE):
        figure, axes = _stacked(len(keys), 2.9)
        for axis, (key, table) in zip(axes, keys.items(), strict=True):
            names, numbers = list(dict.fromkeys(table["value"])), pd.to_numeric(table["value"], errors="coerce")
            many = len(names) > MANY and numbers.notna().all()
            agents = list(dict.fromkeys(table["agent"]))
            for agent, of in table.groupby("agent"):
                style = _of(agent, agents)
                shift = 0.08 * (agents.index(agent) - (len(agents) - 1) / 2)  # intervals side by side
                places = numbers[of.index] if many else [names.index(value) + shift for value in of["value"]]
                axis.plot(places, of["mean"], ms=5, lw=1.2, **style)
                axis.vlines(places, of["low"], of["high"], color=style["color"], lw=1.2)
            axis.axhline(0, color=HEURISTIC, ls="--", lw=1.2, label="best tuned heuristic")
            if many and numbers.min() > 0 and numbers.max() > 50 * numbers.min():
                axis.set_xscale("log")
            elif not many:
                ticks = [fill(name, 16) for name in names]
                long = sum(max(map(len, tick.split("\n"))) for tick in ticks) > 60
                axis.set_xticks(range(len(ticks)), ticks, **({"rotation": 30, "ha": "right"} if long else {}))
                axis.set_xlim(-0.5, len(ticks) - 0.5)
            axis.set_xlabel(key)
            axis.set_ylabel("score, % better than\nthe best heuristic")
            _legend(axis)
        return figure
