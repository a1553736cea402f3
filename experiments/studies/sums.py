"""Are forecasts of sums calibrated: what share of a week's totals came below their quantiles, and of whose totals?

    python -m storelab.experiments.studies.sums synthetic
    python -m storelab.experiments.studies.sums TABLE

Policies order for the demand of several days at once, so it is the quantiles of sums that decide money. `synthetic` is
a number of small stores, drawn by seed; else a table under the contract PANEL is read. The ensemble, which is what
`task=Store` uses, is trained before the first origin, and forecasts from each origin on. Shares are given by demand
class, by growth (the last eight weeks by the same ones a year before, or the eight weeks before where there is no year)
and by season (the forecast days a year before, by the mean of that year). A right forecast has a share of .1 below
its 10 % quantile, within its interval: by t over stores where there are several, and else over origins.
"""

import argparse
import warnings
from collections.abc import Iterator

import numpy as np
import pandas as pd

from ...data import Panel, SyntheticStoreParams, generate
from ...evaluation.intervals import t_interval
from ...forecasting import create
from ...forecasting.backtest import SUM_DAYS, rolling_forecasts, select_items
from . import pages

LEVELS = (0.1, 0.5, 0.9)
RECENT = 8  # weeks that growth is told by
BANDS = (0.8, 1.25)  # of a ratio: below it is low, above it high


def ratios(panel: Panel, origin: int, days: int) -> tuple[np.ndarray, np.ndarray]:
    """Growth and season (I,) of a panel's items before a forecast of `days` days or weeks; NaN: nothing says it."""
    week, year = (1, 52) if panel.weekly else (7, 364)
    mean = lambda first, last: _mean(panel.units[max(0, first) : max(0, last)])
    recent = mean(origin - RECENT * week, origin)
    whole_year = origin >= year + RECENT * week
    before = origin - (year if whole_year else RECENT * week)
    usual = mean(before - RECENT * week, before)
    season = mean(origin - year, origin - year + days) / mean(origin - year, origin) if origin >= year else None
    return recent / usual, np.full(len(panel.items), np.nan) if season is None else season


def _mean(units: np.ndarray) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of an item without a day
        mean = np.nanmean(units, axis=0) if len(units) else np.full(units.shape[1], np.nan)
    return np.where(mean > 0, mean, np.nan)


def _band(ratio: np.ndarray, words: tuple[str, str, str]) -> np.ndarray:
    band = np.array(words, object)[np.searchsorted(BANDS, ratio)]
    return np.where(np.isnan(ratio), "", band)


def below(panel: Panel, origins: list[int], horizon: int, forecaster) -> pd.DataFrame:
    """A row per origin and item: its groups, and whether its total came below each quantile (1, ties .5, 0)."""
    frame = rolling_forecasts("ensemble", forecaster, panel, origins, horizon, LEVELS)
    rows = frame[(frame["ahead"] == 1) & frame["total_7d"].notna()].copy()
    parts = []
    for origin in sorted(origins):
        growth, season = ratios(panel, origin, min(SUM_DAYS, horizon))
        bands = {"growth": _band(growth, ("falling", "steady", "growing"))}
        bands |= {"season": _band(season, ("low season", "usual season", "high season"))}
        parts.append(pd.DataFrame({"item": panel.items, "origin": panel.dates[origin]} | bands))
    rows = rows.merge(pd.concat(parts), on=["item", "origin"], validate="one_to_one")
    for level in LEVELS:
        less, tie = (op(rows["total_7d"], rows[f"q{level:g}_7d"]) for op in (np.less, np.isclose))
        rows[f"under {level:g}"] = np.where(tie, 0.5, less)
    return rows


def summary(rows: pd.DataFrame) -> Iterator[dict]:
    """A row per group, and one over all: totals, and the share of them below each quantile with its 95 % interval."""
    cluster = "store" if rows["store"].nunique() > 1 else "origin"
    groups = [("all", rows)]
    groups += [
        (name, part)
        for column in ("demand_class", "growth", "season")
        for name, part in rows.groupby(column)
        if name and rows[column].nunique() > 1
    ]
    for name, part in groups:
        row = {"group": name, "totals": len(part)}
        for level in LEVELS:
            share = part[f"under {level:g}"]
            each = share.groupby(part[cluster]).mean().to_numpy()
            interval = t_interval(each) if len(each) > 2 else None
            row |= {f"under {level:g}": share.mean(), f"interval {level:g}": interval}
        yield row


def markdown(rows: list[dict]) -> str:
    """A table for a page: shares with their intervals."""
    head = ["", "totals", *(f"under {level:g}".replace("0.", ".") for level in LEVELS)]
    lines = [head]
    for row in rows:
        cells = [row["group"], f"{row['totals']:,}"]
        for level in LEVELS:
            low, high = row[f"interval {level:g}"] if row[f"interval {level:g}"] is not None else (None, None)
            words = "" if low is None else f" ({max(0.0, low):.3f} to {min(1.0, high):.3f})"
            cells.append(f"{row[f'under {level:g}']:.3f}{words}".replace("0.", "."))
        lines.append(cells)
    return pages.markdown(lines).rstrip()


def main(arguments: list[str] | None = None) -> None:
    """Print the table of a panel, or of some synthetic stores."""
    parser = argparse.ArgumentParser(description="Measure whether forecasts of sums are calibrated.")
    parser.add_argument("data", help="'synthetic', or a table under the contract PANEL")
    parser.add_argument("--stores", type=int, default=10, help="synthetic stores (default 10)")
    parser.add_argument("--items", type=int, help="of a store (default 8), or of the table at most (default 200)")
    parser.add_argument("--origins", type=int, default=5, help="the last so many horizons (default 5)")
    parser.add_argument("--horizon", type=int, default=28, help="days or weeks ahead (default 28)")
    parser.add_argument("--refit", action="store_true", help="train before every origin, not before the first alone")
    parser.add_argument("--columns", nargs="*", default=[], metavar="NAME=COLUMN", help="how the table calls a column")
    parser.add_argument("--key", nargs="*", default=[], help="columns that are an item together")
    parser.add_argument("--price", type=float, help="of all items, where the table has none")
    parser.add_argument("--no-row", default="unobserved", help="what a day without a row is: unobserved or zero")
    parser.add_argument("--steps", type=int, default=100, help="of fine-tuning, at most (default 100)")
    given = parser.parse_args(arguments)
    if given.data == "synthetic":
        stores = [
            generate(SyntheticStoreParams(items=given.items or 8, seed=seed)).panel for seed in range(given.stores)
        ]
    else:
        stores = [_table(given)]
    rows = []
    for number, panel in enumerate(stores):
        origins = [len(panel.dates) - given.horizon * k for k in range(given.origins, 0, -1)]
        if given.data != "synthetic":
            panel = select_items(panel, origins[0], given.items or 200, least_days=30, least_sales=10)
        quiet = {"progress": False}
        params = {"transformer": quiet | {"fine_tune_steps": given.steps}, "lightgbm": quiet, "lightgbm_mean": quiet}
        forecaster = create("ensemble", horizon=given.horizon, params=params)
        found = below(panel, origins, given.horizon, forecaster) if not given.refit else None
        if found is None:
            found = pd.concat([below(panel, [origin], given.horizon, forecaster) for origin in origins])
        rows.append(found.assign(store=number))
    print(markdown([*summary(pd.concat(rows, ignore_index=True))]))


def _table(given) -> Panel:
    """The table of the command line; columns of a key are joined to the item's name."""
    columns = dict(pair.split("=", 1) for pair in given.columns)
    source = given.data
    if given.key:
        source = pd.read_parquet(given.data) if given.data.endswith(".parquet") else pd.read_csv(given.data)
        source["item"] = source[given.key].astype(str).agg("-".join, axis=1)
    return Panel.from_frame(source, columns=columns, price=given.price, no_row=given.no_row)


if __name__ == "__main__":
    main()
