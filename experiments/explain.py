"""`storelab explain`: what drove one item's forecast, as a table and a plot.

In the run folder: `explanation.csv`, a row per feature and day with its part of the forecast in units
(`forecasting.explain`), and `report.html`. The trained forecaster is kept in the cache beside the run folders, so that
other items, days and levels of the same origin come at once.
"""

from html import escape
from pathlib import Path

import pandas as pd
import yaml
from omegaconf import DictConfig

from ..forecasting import create, known_future
from ..learning.base import write_atomic
from . import plots
from .config import BacktestSettings, ConfigError, read_backtest, within
from .forecasts import fine_tuned
from .report import aligned, figure, html_table, page
from .runs import Run, to_config
from .schemas import ExplainParams
from .work import data_hash, panel_of

SHOWN = 15  # days with the largest parts
CAPTION = (
    "Parts of the forecast in units; with the baseline, the forecast without any of them, they sum to it. Of features "
    "that go together one may show what is the other's due: the model is explained, not the world."
)


def explain_forecast(config: DictConfig) -> None:
    """Train or take the forecaster from the cache, explain one forecast, write and print."""
    from ..forecasting.explain import EXPLAINED, explain  # here, for it loads torch

    settings = read_backtest(config, ExplainParams)
    if settings.forecaster_name not in EXPLAINED:
        allowed = ", ".join(EXPLAINED)
        raise ConfigError(f"forecaster: {settings.forecaster_name!r} is not allowed, expected one of {allowed}")
    data = data_hash(settings)
    run = Run.of(settings, data)
    if run.done:
        print(f"{run.folder} is finished: nothing to do (its report: {run.folder / 'report.html'})")
        return
    top = settings.top
    history, known, item = _cut(settings)
    with run.open(settings, data):
        print(f"run: {run.folder}")
        with within("forecaster"):
            forecaster = create(settings.forecaster_name, **vars(settings.forecaster))
            forecaster = fine_tuned(forecaster, history, Path(top.runs) / "cache")
            table = explain(forecaster, history, known, item, top.first, top.last, top.level)
        write_atomic(run.folder / "explanation.csv", table.assign(item=item).to_csv(index=False).encode())
        present_anew(run, settings)


def _cut(settings: BacktestSettings):
    """The history, the known future and the item."""
    top = settings.top
    panel = panel_of(settings)
    last = len(panel.dates) - top.horizon
    days = {f"{date:%Y-%m-%d}": day for day, date in enumerate(panel.dates[: last + 1]) if day}
    origin = top.origin or next(reversed(days), "")
    if origin not in days:
        shown = f"{next(iter(days))} .. {next(reversed(days))}" if days else f"more than {top.horizon} days of data"
        raise ConfigError(f"origin: {origin!r} is not allowed, expected {shown}")
    history = panel.until(days[origin])
    item = top.item or panel.items[int(pd.DataFrame(history.units).sum().argmax())]
    if item not in panel.items:
        raise ConfigError(f"item: {item!r} is not allowed, expected one of the {len(panel.items):,} of the data")
    return history, known_future(panel, days[origin], top.horizon), item


def present_anew(run: Run, settings: BacktestSettings) -> None:
    """Print the table and write the report, from `explanation.csv`."""
    top = settings.top
    table = pd.read_csv(run.folder / "explanation.csv", dtype={"item": str}, parse_dates=["date"])
    what = "mean" if top.level is None else f"quantile at {top.level:g}"
    total, item = table["attribution"].sum(), table["item"].iloc[0]
    said = (
        f"{settings.forecaster_name}, item {item}, {what} of days ahead {top.first} to {top.last}, summed: "
        f"{total:,.2f} units"
    )
    features, days = by_feature(table), by_day(table)
    shown = [("feature", list(features.index)), ("units", [f"{value:+,.2f}" for value in features])]
    print("\n".join([said, *aligned(shown), "", "by day, the largest parts", *aligned(_day_columns(days))]))
    body = [f"<h1>{escape(said)}</h1>", html_table(shown)]
    body += [figure(plots.explanation(table, features), CAPTION)]
    body += ["<h2>By day, the largest parts</h2>", html_table(_day_columns(days))]
    for head, content in (("Configuration", to_config(settings)), ("Provenance", run.read("provenance.json"))):
        body += [f"<h2>{head}</h2>", f"<pre>{escape(yaml.safe_dump(content, sort_keys=False))}</pre>"]
    write_atomic(run.folder / "report.html", page(said, body).encode())
    print(f"report: {run.folder / 'report.html'}")


def by_feature(table: pd.DataFrame) -> pd.Series:
    """Parts summed over days, the baseline first, then the largest."""
    parts = table.groupby("feature")["attribution"].sum()
    order = parts.drop("baseline").abs().sort_values(ascending=False, kind="stable").index
    return parts[["baseline", *order]]


def by_day(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of days with the largest parts."""
    dated = table[table["date"].notna()]
    return dated.loc[dated["attribution"].abs().sort_values(ascending=False, kind="stable").index[:SHOWN]]


def _day_columns(days: pd.DataFrame) -> list[tuple[str, list[str]]]:
    return [
        ("feature", list(days["feature"])),
        ("day", [f"{date:%Y-%m-%d %a}" for date in days["date"]]),
        ("its value", ["" if pd.isna(value) else f"{value:,.2f}" for value in days["value"]]),
        ("units", [f"{part:+,.2f}" for part in days["attribution"]]),
    ]
