"""`storelab backtest`: a forecaster and baselines on rolling origins of a store's data, tables and a report.

In the run folder: `forecasts/NAME.parquet`, all that a forecaster said and what came (`rolling_forecasts`), written as
soon as it is done, so that the same command goes on with those that are left; `metrics.parquet`, a row per forecaster
and origin, all origins, demand class and age; `report.html`.
"""

import numpy as np
import pandas as pd
from omegaconf import DictConfig

from ...data import Panel
from ...data.files import read_parquet
from ...forecasting import Forecaster, create
from ...forecasting.backtest import rolling_forecasts, select_items
from ..config.settings import BacktestSettings, ConfigError, one_line, read_backtest, within
from ..inputs import data_hash, panel_of
from ..reports.backtest import present
from ..runs.folder import Run


def backtest(config: DictConfig) -> None:
    """Forecast, measure and report, from where an earlier process left it."""
    settings = read_backtest(config)
    data = data_hash(settings)
    run = Run.of(settings, data)
    if run.done:
        print(f"{run.folder} is finished: nothing to do (its report: {run.folder / 'report.html'})")
        return
    run.check_writable()
    forecasters = _forecasters(settings)
    panel, origins = _panel(settings)
    with run.open(settings, data):
        print(f"run: {run.folder}")
        forecasts = []
        for name, forecaster in forecasters.items():
            run.status("running", stage=name)
            forecasts.append(_kept(run, name))
            if forecasts[-1] is None:
                with within("forecaster" if name == settings.forecaster_name else f"baselines: {name}"):
                    forecasts[-1] = rolling_forecasts(
                        name, forecaster, panel, origins, settings.top.horizon, refit=settings.top.refit
                    )
                run.write_episodes(forecasts[-1], f"forecasts/{name}.parquet")
        present(run, settings, panel, forecasts)


def present_anew(run: Run, settings: BacktestSettings) -> None:
    """Tables and report of a finished run, from its forecasts and its data."""
    forecasts = []
    for name in _forecasters(settings):
        forecasts.append(_kept(run, name))
        if forecasts[-1] is None:
            raise ConfigError(f"run: {run.folder} has no whole forecasts/{name}.parquet, expected one")
    present(run, settings, _panel(settings)[0], forecasts)


def _forecasters(settings: BacktestSettings) -> dict:
    """Name -> forecaster, the chosen one first."""
    with within("forecaster"):
        chosen = create(settings.forecaster_name, **vars(settings.forecaster))
    paid = getattr(settings.data, "paid_prices", False)
    others = [name for name in settings.top.baselines if name != settings.forecaster_name]
    return {settings.forecaster_name: chosen} | {name: _baseline(name, paid) for name in others}


def _baseline(name: str, paid: bool) -> Forecaster:
    """By its defaults, but without the prices of the horizon where these are what was paid."""
    forecaster = create(name)
    if paid and getattr(forecaster.params, "planned", False):
        own = "planned" in vars(forecaster.params)
        forecaster = create(name, **({"planned": False} if own else {"params": {"planned": False}}))
    return forecaster


def _panel(settings: BacktestSettings) -> tuple[Panel, list[int]]:
    """The items that are forecast, and the origins: row numbers of first forecast days."""
    top = settings.top
    panel = panel_of(settings)
    days = len(panel.dates)
    first = panel.first_test(top.horizon * top.origins)
    if first < 1:
        raise ConfigError(f"origins: {top.origins} x {top.horizon} days are not allowed, expected < {days} days in all")
    origins = list(range(first, days - top.horizon + 1, top.horizon))[: top.origins]
    if not origins:
        raise ConfigError(f"horizon: {top.horizon} days are not allowed, expected <= {days - first}, the test days")
    if top.refit and panel.split.any():
        raise ConfigError("refit: true is not allowed, expected false: the data's column split has test days")
    whole = panel.select(sorted(panel.items))
    panel = select_items(whole, first, top.items, top.least_days, top.least_sales)
    if not panel.items:
        wanted = f"{top.least_days} days and {top.least_sales} days with a sale"
        launch = np.argmax(~np.isnan(whole.units), axis=0).min()
        sold = (whole.units[:first] > 0).sum(axis=0).max()
        raise ConfigError(
            f"least_days, least_sales: no item has {wanted} before the first origin, {whole.dates[first].date()}, "
            f"expected <= {max(first - launch, 0)} and <= {sold}, or fewer origins"
        )
    return panel, origins


def _kept(run: Run, name: str) -> pd.DataFrame | None:
    """What an earlier process left of a forecaster; None where there is nothing whole."""
    path = run.folder / "forecasts" / f"{name}.parquet"
    if not path.is_file():
        return None
    try:
        return read_parquet(path)
    except (OSError, ValueError) as error:
        print(f"{path} is damaged ({one_line(error)})")
        return None
