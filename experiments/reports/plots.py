"""The figures of reports, which `page.figure` puts into a page."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ...envs.dispatch.picture import draw_map
from ...evaluation import mean_interval
from .interactive import STYLE, band, named

AGENT, HEURISTIC, REFERENCE, LOST = "#0b5394", "#b45f06", "#555555", "#cc0000"


def learning_curve(metrics: list[dict], lines: dict[str, float], agent: str, unit: str) -> Figure:
    """The agent's value on training scenarios at each checkpoint, and lines across: others' values on the same ones."""
    with rc_context(STYLE):
        figure = Figure(figsize=(8, 3.2))
        axis = figure.subplots()
        steps, values = [row["step"] for row in metrics], [row["value"] for row in metrics]
        axis.plot(steps, values, "o-", ms=3, color=AGENT, label=named(agent))
        if all("low" in row for row in metrics):
            band(
                axis, steps, *([row[end] for row in metrics] for end in ("low", "high")), color=AGENT, alpha=0.15, lw=0
            )
        for (name, value), colour, style in zip(lines.items(), (HEURISTIC, REFERENCE), ("--", ":"), strict=False):
            axis.axhline(value, color=colour, linestyle=style, label=named(name))
        axis.set_ylim(*late([values], *lines.values()))
        axis.set_xlabel("steps of the learner")
        axis.set_ylabel(unit)
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        axis.xaxis.set_major_formatter(lambda x, _: f"{x:,.0f}")
        axis.legend(frameon=False)
        return figure


def paired_days(differences: np.ndarray, unit: str) -> Figure:
    """The mean of paired differences (n, T) up to each period, with its 95 % interval."""
    with rc_context(STYLE):
        figure = Figure(figsize=(8, 3))
        axis = figure.subplots()
        days = np.arange(differences.shape[1])
        axis.plot(days, differences.mean(axis=0), color=AGENT, label="changed, less as it was")
        if len(differences) > 1:
            band(axis, days, *mean_interval(differences), color=AGENT, alpha=0.15, lw=0)
        axis.axhline(0, color=REFERENCE, lw=0.8)
        axis.set_xlabel("period")
        axis.set_ylabel(unit)
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        axis.legend(frameon=False)
        return figure


def late(curves: list[Sequence[float]], *others: float) -> tuple[float, float]:
    """Return limits that show the second half of curves, and others: early values can be thousands of times worse."""
    shown = [value for curve in curves for value in curve[len(curve) // 2 :]] + [*others]
    margin = 0.3 * (max(shown) - min(shown)) or 1.0
    return min(shown) - margin, max(shown) + margin


def stock_chart(traces: dict[str, dict], item: int, title: str) -> Figure:
    """One item's stock, orders and lost sales under each policy of `traces` (name -> a traced `rollout`), first row.

    All policies saw the same scenario; the demand is drawn once for each, at the same scale.
    """
    with rc_context(STYLE):
        figure = Figure(figsize=(4 + 4 * len(traces), 5))
        axes = figure.subplots(2, len(traces), sharex=True, sharey="row", squeeze=False)
        for column, (name, trace) in enumerate(traces.items()):
            periods, items = trace["item_profit"].shape[1:]
            day, names = np.arange(periods), ("on_hand", "ordered", "demand", "unmet")
            # In a network the item has a column for each node, arc or shop.
            flow = {key: trace[f"flow.{key}"][0].reshape(periods, -1, items)[..., item].sum(axis=1) for key in names}
            stock, moved = axes[:, column]
            profit = trace["item_profit"][0, :, item].sum()
            stock.set_title(f"{name}: {profit:,.0f} money from this item", fontsize=10, loc="left")
            stock.fill_between(day, flow["on_hand"], step="mid", color=AGENT, alpha=0.25, linewidth=0)
            stock.step(day, flow["on_hand"], where="mid", color=AGENT, label="stock at the period's end")
            moved.bar(day, flow["ordered"], width=0.9, color=HEURISTIC, alpha=0.6, label="ordered")
            moved.step(day, flow["demand"], where="mid", color=REFERENCE, linewidth=1, label="demand")
            moved.bar(day, flow["unmet"], width=0.9, color=LOST, label="not served")
            moved.set_xlabel("period")
        axes[0, 0].set_ylim(0)
        axes[0, 0].set_ylabel("units")
        axes[1, 0].set_ylabel("units per period")
        handles = [handle for axis in axes[:, 0] for handle in axis.get_legend_handles_labels()[0]]
        figure.suptitle(title, x=0.01, ha="left", fontsize=11)
        figure.set_layout_engine("constrained")
        figure.legend(handles=handles, loc="outside lower left", ncols=4, frameon=False)
        return figure


def route_maps(model, flows: list) -> Figure:
    """A day of dispatch, the first row of each epoch's flow: a map an epoch, four in a line."""
    flows = [flow for flow in flows if flow.epoch[0, 0] >= 0]
    with rc_context(STYLE | {"axes.grid": False}):
        lines = -(-len(flows) // 4)
        figure = Figure(figsize=(12, 3.3 * lines + 0.4))
        axes = figure.subplots(lines, 4, squeeze=False).ravel()
        for axis, flow in zip(axes, flows, strict=False):
            draw_map(axis, model, flow)
            vehicles, lost = flow.vehicle[0].max() + 1, f", {flow.lost[0].sum()} lost" * model.limited
            axis.set_title(f"{int(flow.epoch[0, 0]) + 1:02}:00   {vehicles} vehicles{lost}", fontsize=9, loc="left")
        for axis in axes[len(flows) :]:
            axis.set_axis_off()
        figure.legend(*axes[0].get_legend_handles_labels(), loc="upper right", ncols=5, frameon=False)
        return figure


def price_chart(traces: dict[str, dict], item: int, title: str) -> Figure:
    """One item's prices and sales, and its stock where there is one, under each policy of `traces`, first row."""
    with rc_context(STYLE):
        figure = Figure(figsize=(4 + 4 * len(traces), 5))
        axes = figure.subplots(2, len(traces), sharex=True, sharey="row", squeeze=False)
        for column, (name, trace) in enumerate(traces.items()):
            flow = {key: trace[f"flow.{key}"][0] for key in ("price", "sales", "on_hand") if f"flow.{key}" in trace}
            flow = {key: values.reshape(len(values), -1)[:, item] for key, values in flow.items()}
            period, (above, below) = np.arange(len(flow["price"])), axes[:, column]
            profit = trace["item_profit"][0, :, item].sum()
            above.set_title(f"{name}: {profit:,.2f} money from this item", fontsize=10, loc="left")
            above.step(period, flow["price"], where="mid", color=AGENT, label="price")
            below.bar(period, flow["sales"], width=0.9, color=HEURISTIC, alpha=0.6, label="sold")
            if "on_hand" in flow:
                below.step(period, flow["on_hand"], where="mid", color=REFERENCE, label="stock at the period's end")
            below.set_xlabel("period")
        axes[0, 0].set_ylabel("price, money")
        axes[1, 0].set_ylabel("units")
        figure.suptitle(title, x=0.01, ha="left", fontsize=11)
        figure.set_layout_engine("constrained")
        figure.legend(
            handles=axes[1, 0].get_legend_handles_labels()[0], loc="outside lower left", ncols=2, frameon=False
        )
        return figure


def forecast_fan(quantiles: np.ndarray, came: np.ndarray, levels, lead_time: int, title: str) -> Figure:
    """Quantiles (T, Q) of the demand over the lead time, as forecast on each day, and what came (T,)."""
    with rc_context(STYLE):
        figure = Figure(figsize=(8, 3.4))
        axis = figure.subplots()
        day = np.arange(len(came))
        pairs = [(i, j) for i in range(len(levels)) for j in range(i) if abs(levels[i] + levels[j] - 1) < 1e-9]
        for place, (high, low) in enumerate(reversed(pairs)):
            style = {"color": AGENT, "alpha": 0.15 + 0.2 * place, "lw": 0}
            label = f"{levels[low]:.0%} to {levels[high]:.0%}"
            band(axis, day, quantiles[:, low], quantiles[:, high], label=label, **style)
        axis.plot(day, quantiles[:, -1], ":", color=AGENT, label=f"{levels[-1]:.0%} quantile")
        middle = int(np.argmin(np.abs(np.asarray(levels) - 0.5)))
        axis.plot(day, quantiles[:, middle], color=AGENT, label=f"{levels[middle]:.0%} quantile")
        axis.plot(day, came, "o-", ms=3, color=LOST, linewidth=1, label="what came")
        axis.set_xlabel("period")
        axis.set_ylabel(f"units in {lead_time + 1} periods")
        axis.set_title(title, fontsize=10, loc="left")
        axis.legend(frameon=False, ncols=3, fontsize=8)
        axis.set_ylim(0)
        return figure


def backtest_fans(items: dict[str, dict]) -> Figure:
    """Of each item (title -> arrays) the past, the fan of quantiles (H, Q) and what came (H,), over their dates."""
    with rc_context(STYLE):
        figure = Figure(figsize=(9, 2.6 * len(items)))
        for axis, (title, item) in zip(figure.subplots(len(items), squeeze=False)[:, 0], items.items(), strict=True):
            levels, quantiles = item["levels"], item["quantiles"]
            axis.plot(item["past_dates"], item["past"], color=REFERENCE, linewidth=1, label="history")
            for place in range(len(levels) // 2):
                label = f"{levels[place]:.0%} to {levels[-1 - place]:.0%}"
                style = {"color": AGENT, "alpha": 0.12 + 0.06 * place, "lw": 0, "step": "mid"}
                band(axis, item["dates"], quantiles[:, place], quantiles[:, -1 - place], label=label, **style)
            axis.step(item["dates"], quantiles[:, len(levels) // 2], where="mid", color=AGENT, label="median")
            axis.plot(item["dates"], item["came"], "o-", ms=2.5, linewidth=1, color=LOST, label="what came")
            axis.set_title(title, fontsize=10, loc="left")
            axis.set_ylabel("units per day")
            axis.set_ylim(0)
            axis.tick_params(axis="x", labelsize=8)
        figure.axes[0].legend(frameon=False, ncols=4, fontsize=8)
        figure.set_layout_engine("tight")
        return figure


def calibration(forecasters: dict[str, dict]) -> Figure:
    """Nominal against observed shares: of all forecasters' intervals first, then of each one's quantiles, as a band."""
    with rc_context(STYLE):
        count = 1 + len(forecasters)
        rows = -(-count // 3)
        figure = Figure(figsize=(9, 3.1 * rows))
        intervals, *others = figure.subplots(rows, 3, squeeze=False).ravel()
        for place, (name, shares) in enumerate(forecasters.items()):
            intervals.plot(shares["nominal"], shares["inside"], "o-", ms=3, color=f"C{place}", label=named(name))
            axis = others[place]
            style = {"color": f"C{place}", "alpha": 0.35, "lw": 0, "label": "below, and up to it"}
            band(axis, shares["levels"], shares["below"], shares["up_to"], **style)
            axis.set_title(name, fontsize=10, loc="left")
            axis.set_xlabel("level of the quantile")
        intervals.set_title("central intervals", fontsize=10, loc="left")
        intervals.set_xlabel("nominal coverage")
        intervals.set_ylabel("observed share of days")
        intervals.legend(frameon=False, fontsize=8)
        for axis in figure.axes[:count]:
            axis.plot([0, 1], [0, 1], color=REFERENCE, linestyle="--", linewidth=1)
            axis.set_xlim(0, 1)
            axis.set_ylim(0, 1)
        for axis in figure.axes[count:]:
            axis.set_visible(False)
        figure.set_layout_engine("tight")
        return figure


def explanation(table: pd.DataFrame, features: pd.Series) -> Figure:
    """Parts of a forecast in units, by feature; and where past days have any, theirs over what was sold on them."""
    past = table[table["feature"] == "units"]
    with rc_context(STYLE):
        count = 1 + bool(len(past))
        figure = Figure(figsize=(9, 0.3 * len(features) + 1 + 3.2 * (count - 1)))
        heights = [0.3 * len(features) + 1, *([3.2] if len(past) else [])]
        bars, *days = figure.subplots(count, 1, squeeze=False, height_ratios=heights)[:, 0]
        parts = features.drop("baseline")
        colours = [AGENT if part >= 0 else LOST for part in parts[::-1]]
        bars.barh(parts.index[::-1], parts[::-1], color=colours, label="units")
        bars.set_xlabel(f"units, on top of the baseline's {features['baseline']:,.2f}")
        for axis in days:
            sold = axis.twinx()
            sold.step(past["date"], past["value"], where="mid", color=REFERENCE, linewidth=1, label="units sold")
            sold.set_ylabel("units sold (line)")
            sold.grid(False)
            colours = [AGENT if part >= 0 else LOST for part in past["attribution"]]
            axis.bar(past["date"], past["attribution"], width=0.9, color=colours, label="part of the forecast")
            axis.set_ylabel("part of the forecast, units (bars)")
            axis.tick_params(axis="x", labelsize=8)
        figure.set_layout_engine("tight")
        return figure
