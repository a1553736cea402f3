"""The report of what drove a forecast: its parts by feature and by day."""

from html import escape

import pandas as pd

from ...data.sheets import read_csv
from ...learning.base import write_atomic
from ..config.settings import BacktestSettings
from ..runs.folder import Run, to_config
from . import plots
from .page import aligned, figure, html_table, listing, page, section

SHOWN = 15  # days with the largest parts
CAPTION = (
    "Parts of the forecast in units. With the baseline, the forecast without any of them, they sum to it. Correlated "
    "features may share their effects arbitrarily: the model is explained, not the world."
)


def present(run: Run, settings: BacktestSettings) -> None:
    """Print the table and write the report, from `explanation.csv`."""
    top = settings.top
    table = read_csv(run.folder / "explanation.csv", ("feature", "item"), ("date",))
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
    body.append(section("By day, the largest parts", html_table(_day_columns(days))))
    body += [listing("Configuration", to_config(settings)), listing("Provenance", run.read("provenance.json"))]
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
