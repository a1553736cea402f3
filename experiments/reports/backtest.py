"""The report of a backtest: tables of errors, fans of quantiles, calibration."""

from html import escape

import numpy as np
import pandas as pd

from ...data import Panel
from ...forecasting.backtest import differences, levels_of, table, table_by
from ...learning.base import write_atomic
from ..config.settings import BacktestSettings
from ..runs.folder import Run, to_config
from . import plots
from .page import aligned, figure, html_table, listing, note, page, section

METRICS = {  # column -> its head with the unit, and how it is written
    "MASE": ("MASE, naive errors", ".3f"),
    "RMSSE": ("RMSSE, naive errors", ".3f"),
    "sMAPE": ("sMAPE, 0 to 2", ".3f"),
    "wQL": ("wQL, share of units", ".4f"),
    "WAPE": ("WAPE, share of units", ".3f"),
    "bias": ("bias, share of units", "+.3f"),
    "coverage_80": ("in the 80 % interval", ".1%"),
    "wQL_7d": ("wQL of 7 days' sum", ".4f"),
    "coverage_80_7d": ("in its 80 % interval", ".1%"),
}
NOTE = (
    "MASE and WAPE are errors of the median, RMSSE and bias of the mean forecast, wQL of the nine deciles. MASE and "
    "RMSSE are relative to naive errors in each item's history: those of the same weekday a week before (MASE) and of "
    "the day before (RMSSE). Demand classes (Syntetos, Boylan and Croston) and ages are those before each origin."
)
SHOWN_DAYS = 56  # of history, before a fan
CALIBRATION_CAPTION = (
    "Shares of days, over all items and origins. Left: central intervals, observed against nominal. Other panels: for "
    "each quantile the share of days below it, and below or at it. Demand comes in whole units and is often zero, so "
    "that a forecast is calibrated where the diagonal is inside the band."
)


def present(run: Run, settings: BacktestSettings, panel: Panel, forecasts: list[pd.DataFrame]) -> None:
    """Write the tables and the report of forecasts, and print the tables."""
    by_origin = pd.concat([table(frame) for frame in forecasts], ignore_index=True)
    whole = pd.concat(forecasts, ignore_index=True)
    groups = {column: table_by(whole, column) for column in ("demand_class", "age")}
    tidy = [by_origin.rename(columns={"origin": "group"}).assign(by="origin")]
    tidy += [rows.rename(columns={column: "group"}).assign(by=column) for column, rows in groups.items()]
    run.write_episodes(pd.concat(tidy, ignore_index=True), "metrics.parquet")

    pooled = by_origin[by_origin["origin"] == "pooled"]
    said, what = comparison(forecasts, pooled), _what(settings, panel, forecasts[0])
    print(what)
    print("\n".join(aligned(_columns(pooled, ["forecaster"]))))
    for column, rows in groups.items():
        print(f"\nby {column.replace('_', ' ')}")
        print(
            "\n".join(aligned(_columns(rows, [column, "forecaster", "series"], ("MASE", "wQL", "bias", "coverage_80"))))
        )
    print(f"\n{said}")

    title = f"Backtest: {settings.forecaster_name}"
    whole_table = html_table(_columns(pooled, ["forecaster"]), settings.forecaster_name)
    body = [
        f"<h1>{escape(title)}</h1>",
        f"<p>{escape(said)}</p>",
        section("Results", note(what), whole_table, note(NOTE)),
    ]
    for column, rows in groups.items():
        shown = html_table(_named_together(_columns(rows, [column, "forecaster", "series"])))
        body.append(section(f"By {column.replace('_', ' ')}", shown))
    body.append(section("By origin", html_table(_named_together(_columns(by_origin, ["origin", "forecaster"])))))
    fans, calibration = plots.backtest_fans(_fans(panel, forecasts[0])), _calibration(forecasts)
    caption = f"The item with most sales of each demand class, {settings.forecaster_name}, last origin."
    body.append(section("Forecasts and what came", figure(fans, caption)))
    body.append(section("Calibration", figure(plots.calibration(calibration), CALIBRATION_CAPTION)))
    body += [listing("Configuration", to_config(settings)), listing("Provenance", run.read("provenance.json"))]
    write_atomic(run.folder / "report.html", page(title, body).encode())
    print(f"report: {run.folder / 'report.html'}")


def comparison(forecasts: list[pd.DataFrame], pooled: pd.DataFrame) -> str:
    """The first forecaster against the best other one by wQL, with a bootstrap over items, in a sentence."""
    if len(forecasts) < 2:
        return "No baseline to compare with."
    wql = pooled.set_index("forecaster")["wQL"]
    name, rest = wql.index[0], wql.iloc[1:]
    best = rest.idxmin()
    other = next(frame for frame in forecasts if frame["forecaster"].iloc[0] == best)
    low, high = differences(forecasts[0], other)["wQL"]
    verdict = "is better than" if high < 0 else "is worse than" if low > 0 else "does not differ significantly from"
    return (
        f"{name} {verdict} {best}, the best of the others on these days: wQL {wql[name]:.4f} against {rest[best]:.4f}, "
        f"difference {wql[name] - rest[best]:+.4f}, 95 % CI [{low:+.4f}, {high:+.4f}] (bootstrap over "
        f"{forecasts[0]['item'].nunique():,} items)."
    )


def _what(settings: BacktestSettings, panel: Panel, forecasts: pd.DataFrame) -> str:
    top = settings.top
    trained = "fine-tuned before every origin" if top.refit else "fine-tuned before the first origin"
    days, item = len(panel.dates), f"{len(panel.items):,} items"
    origins = forecasts["origin"]
    forecast = f"{origins.nunique()} x {top.horizon} days from {origins.min():%Y-%m-%d} on forecast"
    return f"{item}, {days} days; {forecast}, {trained}"


def _columns(rows: pd.DataFrame, names: list[str], metrics=tuple(METRICS)) -> list[tuple[str, list[str]]]:
    """Headed columns of text: names, metrics with their units, seconds."""
    shown = [(name.replace("_", " "), [f"{v:,}" if name == "series" else str(v) for v in rows[name]]) for name in names]
    for name in metrics:
        head, form = METRICS[name]
        shown.append((head, ["" if np.isnan(value) else format(value, form) for value in rows[name]]))
    if "seconds" in rows:
        shown.append(("seconds", [f"{value:,.1f}" for value in rows["seconds"]]))
    return shown


def _named_together(shown: list[tuple[str, list[str]]]) -> list[tuple[str, list[str]]]:
    """The first two columns as one, which stays in sight when a narrow page is scrolled."""
    (group, groups), (what, names), *others = shown
    return [(f"{group}, {what}", [", ".join(pair) for pair in zip(groups, names, strict=True)]), *others]


def _fans(panel: Panel, forecasts: pd.DataFrame) -> dict[str, dict]:
    """Title -> arrays of `plots.backtest_fans`: of each demand class the item with most units, at the last origin."""
    last = forecasts[forecasts["origin"] == forecasts["origin"].max()]
    sold = last.groupby(["demand_class", "item"], sort=False)["actual"].sum()
    chosen = {}
    for demand_class, units in sold.groupby(level=0):
        item = units.droplevel(0).idxmax()
        rows = last[last["item"] == item]
        origin = int(panel.dates.get_loc(rows["origin"].iloc[0]))
        past = slice(max(0, origin - SHOWN_DAYS), origin)
        levels = levels_of(rows)
        chosen[f"{item} ({demand_class})"] = {
            "past": panel.units[past, panel.items.index(item)],
            "past_dates": panel.dates[past],
            "dates": rows["date"].to_numpy(),
            "came": rows["actual"].to_numpy(),
            "levels": levels,
            "quantiles": rows[[f"q{level:g}" for level in levels]].to_numpy(),
        }
    return chosen


def _calibration(forecasts: list[pd.DataFrame]) -> dict[str, dict]:
    """Forecaster -> levels (Q,), and the shares of days below, at or below each quantile, and inside each interval."""
    shares = {}
    for frame in forecasts:
        seen = frame[frame["actual"].notna()]
        levels = levels_of(seen)
        actual, quantiles = seen[["actual"]].to_numpy(), seen[[f"q{level:g}" for level in levels]].to_numpy()
        pairs = [(k, len(levels) - 1 - k) for k in range(len(levels) // 2)]
        inside = [((actual[:, 0] >= quantiles[:, k]) & (actual[:, 0] <= quantiles[:, j])).mean() for k, j in pairs]
        shares[frame["forecaster"].iloc[0]] = {
            "levels": levels,
            "below": (actual < quantiles).mean(axis=0),
            "up_to": (actual <= quantiles).mean(axis=0),
            "nominal": [levels[j] - levels[k] for k, j in pairs],
            "inside": inside,
        }
    return shares
