"""`storelab explain`: what drove one item's forecast, as a table and a plot.

In the run folder: `explanation.csv`, a row per feature and day with its part of the forecast in units
(`forecasting.explain`), and `report.html`. The trained forecaster is kept in the cache beside the run folders, so that
other items, days and levels of the same origin come at once.
"""

from pathlib import Path

import pandas as pd
from omegaconf import DictConfig

from ...data.sheets import write_csv
from ...forecasting import create, known_future
from ...learning.base import write_atomic
from ..config.schemas import ExplainParams
from ..config.settings import BacktestSettings, ConfigError, read_backtest, within
from ..inputs import data_hash, panel_of
from ..reports.explain import present
from ..runs.folder import Run
from ..tasks.forecasts import fine_tuned


def explain_forecast(config: DictConfig) -> None:
    """Train or take the forecaster from the cache, explain one forecast, write and print."""
    from ...forecasting.explain import EXPLAINED, explain  # here, for it loads torch

    settings = read_backtest(config, ExplainParams)
    if settings.forecaster_name not in EXPLAINED:
        allowed = ", ".join(EXPLAINED)
        raise ConfigError(f"forecaster: {settings.forecaster_name!r} is not allowed, expected one of {allowed}")
    data = data_hash(settings)
    run = Run.of(settings, data)
    if run.done:
        print(f"{run.folder} is finished: nothing to do (its report: {run.folder / 'report.html'})")
        return
    run.check_writable()
    top = settings.top
    history, known, item = _cut(settings)
    with run.open(settings, data):
        print(f"run: {run.folder}")
        with within("forecaster"):
            forecaster = create(settings.forecaster_name, **vars(settings.forecaster))
            forecaster = fine_tuned(forecaster, history, Path(top.runs) / "cache")
            table = explain(forecaster, history, known, item, top.first, top.last, top.level)
        write_atomic(run.folder / "explanation.csv", write_csv(table.assign(item=item), index=False))
        present(run, settings)


def _cut(settings: BacktestSettings):
    """The history, the known future and the item."""
    top = settings.top
    panel = panel_of(settings)
    last = min(len(panel.dates) - top.horizon, panel.first_test(top.horizon))
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
