"""Pricing on recorded demand: an item's elasticity and its days from a panel, its future from a forecaster."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from ...data import Panel
from ...data.elasticity import price_elasticities
from ...data.online_retail import hold_out
from ...envs import Days, HistoryDemand, PathDemand, PriceDemandParams, Pricing, PricingParams
from ...envs.core.task import Task, override
from ...envs.pricing.references.hindsight import bounds
from ...errors import FieldError
from ...forecasting.base import known_future

HORIZON = 28  # days of a season
HELD_OUT_DAYS = 84  # the last twelve weeks
FORECASTER_SHARE = 0.5  # of the days before: the forecaster's alone, where its forecasts are observed
FORECAST_DAYS = 7  # that an observed forecast is of
STOCK_SHARE = 0.7  # of what a season would sell at the list price, on average: the stock
SALVAGE_SHARE = 0.2  # of the list price
RANGE = (0.6, 2.0)  # of the list price: the lowest and the highest of `PRICES` prices
PRICES = 15


def retail_pricing_task(
    data=None, forecaster=None, cache: str | Path | None = None, item: str = "", paths: int = 0, **changes
) -> Task:
    """A season of one item of the UCI Online Retail shop (or of a `Panel` of your own), the last twelve weeks held out.

    Demand at the list price (the median one) is the recorded units, cleared of the recorded prices' effect, and answers
    to the store's own price with the elasticity that all items' days before the held-out ones say
    (`data.elasticity`). Stock for `STOCK_SHARE` of a season's mean demand is bought already.

    Args:
        data: path of UCI's file, of the raw or ready Parquet, or of a folder with one of them; or a `Panel`.
        forecaster: a `forecasting.Forecaster`, for `forecast="model"` or `paths`.
        cache: folder for fine-tuned forecasters and their forecasts.
        item: of the panel; "": of the items with an estimated elasticity above 1 the one of highest revenue.
        paths: so many sample paths of the forecaster, of the first held-out season, are what policies train on; 0: the
            recorded days before it, replayed.
        changes: fields of `PricingParams`; with `forecast="model"` quantiles of the next week's demand at the list
            price are observed.

    Raises:
        FieldError: an unknown item, too few days, a forecaster that is missing.
    """
    data, held_out = hold_out(data, HELD_OUT_DAYS)
    observed = changes.get("forecast") == "model"
    if (observed or paths) and forecaster is None:
        raise FieldError("forecaster", None, "a Forecaster", "with forecast='model' or paths")
    if observed and paths:
        raise FieldError("paths", paths, "0: no forecast follows a path", "with forecast='model'")
    panel, elasticity = _item(data, held_out, item)
    listed = float(np.nanmedian(panel.price[:held_out]))
    factor = np.clip(panel.price / listed, *RANGE) ** elasticity
    units = np.nan_to_num(panel.units * factor)  # at the list price
    mean = float(units[:held_out].mean())
    prices = [round(listed * share, 4) for share in np.linspace(*RANGE, PRICES).tolist()]
    base = PricingParams(
        horizon=HORIZON,
        demand=PriceDemandParams(kind="elastic", size=mean, sensitivity=elasticity, list_price=listed),
        initial_stock=float(max(1, round(STOCK_SHARE * HORIZON * mean))),
        prices=prices,
        action="continuous",
        salvage_value=SALVAGE_SHARE * listed,
        forecast_periods=FORECAST_DAYS,
    )
    params = override(base, changes)
    start = round(FORECASTER_SHARE * held_out) if observed else 0
    stop = min(held_out, panel.days_of("validation").start)
    splits, known = [slice(start, stop), slice(held_out, len(units))], [{}, {}]
    shortest = min(days.stop - days.start for days in splits)
    if params.horizon + 1 > shortest:
        raise FieldError("horizon", params.horizon, f"<= {shortest - 1}")
    missing = np.isnan(panel.units), np.isnan(panel.price)
    at_list = np.where(missing[0], np.nan, units), np.where(missing[1], np.nan, listed)
    listed_panel = replace(panel, units=at_list[0], price=at_list[1])
    if observed:
        from .forecasts import forecast_splits

        window = np.array([FORECAST_DAYS - 1])
        known = forecast_splits(forecaster, listed_panel, splits, window, params.quantiles, cache)
    sources = [
        HistoryDemand(units[days], Days(forecast=forecast.get("forecast")))
        for days, forecast in zip(splits, known, strict=True)
    ]
    if paths:
        sources[0] = _paths(forecaster, listed_panel, held_out, params.horizon + 1, paths, cache)
    return Task("RetailPricing", params, Pricing, train=sources[0], test=sources[1], hindsight=bounds)


def _item(panel: Panel, held_out: int, item: str) -> tuple[Panel, float]:
    """Return the panel of the chosen item alone, and its elasticity."""
    past = panel.window(0, held_out)
    table = price_elasticities(past)
    revenue = dict(zip(panel.items, np.nansum(past.units * past.price, axis=0).tolist(), strict=True))
    allowed = [name for name in table.index if table.loc[name, "elasticity"] > 1]
    if item and item not in table.index:
        raise FieldError("item", item, f"one of {len(table)} with an estimated elasticity")
    if not item and not allowed:
        raise FieldError("item", "", "a name: no item's elasticity is above 1", "here")
    chosen = item or max(allowed, key=revenue.__getitem__)
    return panel.select([chosen]), float(np.clip(table.loc[chosen, "elasticity"], 0.1, 10))


def _paths(forecaster, panel: Panel, origin: int, days: int, paths: int, cache) -> PathDemand:
    """Return the forecaster's sample paths of the days from `origin` on, fine-tuned on those before it."""
    from .forecasts import fine_tuned

    past = panel.until(origin)
    tuned = fine_tuned(forecaster, past, cache)
    drawn = tuned.sample_paths(past, known_future(panel, origin, days), paths, seed=0)  # (1, P, H)
    return PathDemand(np.moveaxis(drawn, 0, 2))
