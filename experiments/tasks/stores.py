"""Stores as tasks: demand, prices and calendar of `data`, made into sources for the environments.

Days are split by date. The last ones are held out: policies are judged on them and nothing is fitted, tuned or
chosen on them. Where recorded days are replayed, the first half of the others is the forecaster's alone, and policies
are trained on the second half: so every forecast that a policy ever sees is one of days the forecaster had not seen,
as it will be in use. (Before the held-out days the forecaster is fine-tuned once more, on all days before them.)

Recorded days are few: windows overlap, and an interval over them says nothing of another year.
"""

from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from ...data import Panel, SyntheticStoreParams, generate
from ...data.online_retail import hold_out
from ...envs.core.demand import Days, DemandSource, HistoryDemand, RateDemand
from ...envs.core.task import Task, override
from ...envs.inventory.model import Inventory
from ...envs.inventory.params import InventoryParams
from ...envs.marketplace.model import MEAN_VISITS
from ...envs.marketplace.tasks import marketplace_task as generated_visits
from ...errors import FieldError
from .hindsight import hindsight_bound

HORIZON = 56  # days in an episode
HELD_OUT_SHARE = 0.2  # of the synthetic store's days
HELD_OUT_DAYS = 84  # of Online Retail: the last twelve weeks
FORECASTER_SHARE = 0.5  # of the days before: the forecaster's alone, where recorded days are replayed
CAPITAL_COST = 0.002  # of the purchase cost per day: capital, insurance, obsolescence
STORAGE_COST = 0.02  # money per unit and day
GOODWILL_SHARE = 0.1  # of the price: what a customer sent away costs beside the margin
COST_SHARE = 0.6  # purchase cost over price, where the data knows no cost
ONLINE_RETAIL_LEAD_TIME = 7  # days
ONLINE_RETAIL_ITEMS = 50
LAUNCHED_WITHIN = 28  # days from the history's start


def synthetic_store_task(data=None, forecaster=None, cache: str | Path | None = None, **changes) -> Task:
    """The synthetic store of `storelab.data.generate`: lost sales, prices and lead times per item.

    Demand is drawn afresh from the store's true process (its rate and dispersion of each day), on windows of the
    training days or of the held-out ones. With `forecast="model"` the days are replayed as recorded instead, since a
    forecaster has to see the history of the very demand that it forecasts.

    An item costs per day what `CAPITAL_COST` and `STORAGE_COST` say, a lost sale `GOODWILL_SHARE` of the price.
    What is left at an episode's end is worth what it cost, so that the end of the window changes no decision.

    Args:
        data: `SyntheticStoreParams`, or a dict of some of its fields; its `items` and `lead_time` are the store's.
        forecaster: a `forecasting.Forecaster`, for `forecast="model"`.
        cache: folder for fine-tuned forecasters and their forecasts.
        changes: fields of `InventoryParams`.
    """
    if "items" in changes:
        raise FieldError("items", changes["items"], "data.items for this task", "here")
    store = generate(_store_params(data))
    panel, catalogue = store.panel, store.catalogue
    held_out = _held_out(panel)
    recorded = changes.get("forecast") == "model"
    start = round(FORECASTER_SHARE * held_out) if recorded else 0
    params = _store(panel.window(0, held_out), catalogue["cost"].to_numpy(), catalogue["lead_time"].tolist(), changes)

    def source(days: slice, known: Days) -> DemandSource:
        if recorded:
            return HistoryDemand(np.nan_to_num(panel.units[days]), known)
        return RateDemand(store.rate[days], store.dispersion, known)

    return _task("SyntheticStore", params, panel, start, held_out, source, forecaster, cache)


def online_retail_task(data=None, forecaster=None, cache: str | Path | None = None, **changes) -> Task:
    """Real demand, replayed: the UCI Online Retail shop (or a `Panel` of your own), the last twelve weeks held out.

    Of the items on sale within the first `LAUNCHED_WITHIN` days and observed on every day since, those with the
    highest revenue before the held-out days are taken. Prices are the recorded ones and demand does not answer to
    them; the data knows no costs, so that an item costs `COST_SHARE` of its median price. Unmet demand was never
    recorded: sales stand for demand.

    Args:
        data: path of UCI's file, of the raw or ready Parquet, or of a folder with one of them; or a `Panel`.
        forecaster: a `forecasting.Forecaster`, for `forecast="model"`.
        cache: folder for fine-tuned forecasters and their forecasts.
        changes: fields of `InventoryParams`; `items` is how many to take.
    """
    data, held_out = hold_out(data, HELD_OUT_DAYS)
    changes = dict(changes)
    panel = _best_sellers(data, held_out, changes.pop("items", ONLINE_RETAIL_ITEMS))
    cost = COST_SHARE * np.nanmedian(panel.price[:held_out], axis=0)
    params = _store(panel.window(0, held_out), cost, ONLINE_RETAIL_LEAD_TIME, changes)

    def source(days: slice, known: Days) -> DemandSource:
        return HistoryDemand(np.nan_to_num(panel.units[days]), known)

    start = round(FORECASTER_SHARE * held_out)
    return _task("OnlineRetail", params, panel, start, held_out, source, forecaster, cache)


def marketplace_task(data=None, forecaster=None, cache: str | Path | None = None, **changes) -> Task:
    """The whole store; with `data`, its visits are recorded days of the synthetic store, the last fifth held out.

    Without `data`, visits are drawn with a weekly pattern and noise. With it, a day's visits are in proportion to the
    units that the synthetic store's customers asked for in all that day, replayed: so days can be forecast.

    Args:
        data: None, `SyntheticStoreParams`, or a dict of some of its fields.
        forecaster: a `forecasting.Forecaster`, for `forecast="model"`, which needs `data`.
        cache: folder for fine-tuned forecasters and their forecasts.
        changes: fields of `MarketplaceParams`.
    """
    task = generated_visits(**changes)
    if data is None:
        if task.params.forecast == "model":
            raise FieldError("forecast", "model", "data of days to forecast", "without data")
        return task
    panel = visits(_store_params(data))
    held_out = _held_out(panel)
    splits = [slice(round(FORECASTER_SHARE * held_out), held_out), slice(held_out, len(panel.dates))]
    forecasts = _forecasts(task.params, forecaster, panel, splits, np.array([task.params.lead_time]), cache)
    calendar = _calendar(panel, yearly=held_out - splits[0].start >= 365)
    sources = [
        HistoryDemand(panel.units[days], Days(calendar=calendar[days], forecast=forecast))
        for days, forecast in zip(splits, forecasts, strict=True)
    ]
    return replace(task, train=sources[0], test=sources[1])


def visits(store: SyntheticStoreParams) -> Panel:
    """Return a panel of one item, a store's visits: the units asked for that day, `MEAN_VISITS` on a mean day."""
    panel = generate(store).panel
    units = np.nansum(panel.units, axis=1, keepdims=True)
    scaled, ones = np.round(units / units.mean() * MEAN_VISITS), np.ones(units.shape)
    return Panel(["visits"], panel.dates, scaled, ones, ones == 0, panel.closed, panel.holiday)


def _store_params(data) -> SyntheticStoreParams:
    if data is None or isinstance(data, SyntheticStoreParams):
        return data or SyntheticStoreParams()
    if not isinstance(data, dict):
        raise FieldError("data", data, "SyntheticStoreParams or a dict of its fields")
    allowed = asdict(SyntheticStoreParams())
    for name in data:
        if name not in allowed:
            raise FieldError(f"data.{name}", data[name], f"one of {', '.join(allowed)}")
    return SyntheticStoreParams(**data)


def _best_sellers(panel: Panel, held_out: int, items: int) -> Panel:
    launched = ~np.isnan(panel.price[LAUNCHED_WITHIN - 1])
    first = np.argmax(~np.isnan(panel.price), axis=0)
    observed = ~(np.isnan(panel.units) & (np.arange(len(panel.dates))[:, None] >= first)).any(axis=0)
    eligible = np.flatnonzero(launched & observed)
    if not isinstance(items, int) or isinstance(items, bool) or not 1 <= items <= len(eligible):
        raise FieldError("items", items, f"an integer >= 1 and <= {len(eligible)}")
    revenue = np.nansum((panel.units * panel.price)[:held_out, eligible], axis=0)
    best = eligible[np.argsort(-revenue, kind="stable")[:items]]
    return panel.select([panel.items[i] for i in best])


def _store(past: Panel, cost: np.ndarray, lead_time, changes: dict) -> InventoryParams:
    """The parameters of a store, from its days before the held-out ones; what follows from a change follows it."""
    for name in ("demand", "price"):
        if name in changes:
            raise FieldError(name, changes[name], "none: the store's days say it", "here")
    cost = np.broadcast_to(np.asarray(changes.get("purchase_cost", cost), dtype=float), len(past.items))
    pmf = changes.get("lead_time_pmf")
    lead = np.asarray(len(pmf) if pmf else changes.get("lead_time", lead_time), dtype=float)
    units = np.nan_to_num(past.units)
    cover = (lead + 1) * units.mean(axis=0)  # mean demand over the protection interval
    largest = np.ceil(np.maximum(np.maximum(2 * np.quantile(units, 0.99, axis=0), cover), 1))
    price = np.nan_to_num(np.nanmedian(np.where(np.isnan(past.price).all(axis=0), 0.0, past.price), axis=0))
    base = InventoryParams(
        items=len(past.items),
        horizon=HORIZON,
        continuing=False,
        lead_time=lead_time,
        price=price.tolist(),
        purchase_cost=cost.tolist(),
        holding_cost=(CAPITAL_COST * cost + STORAGE_COST).tolist(),
        lost_sale_cost=(GOODWILL_SHARE * price).tolist(),
        salvage_value=cost.tolist(),
        initial_stock=np.round(cover).tolist(),
        max_order=largest.tolist(),
        action="base_stock",
    )
    return override(base, changes)


def _calendar(panel: Panel, yearly: bool) -> np.ndarray:
    """Features of each day (D, C): weekday and season as sine and cosine, closed, holiday."""
    angles = [2 * np.pi * panel.dates.dayofweek.to_numpy() / 7]
    if yearly:  # a season never seen in training would only mislead
        angles.append(2 * np.pi * panel.dates.dayofyear.to_numpy() / 365.25)
    waves = [wave(angle) for angle in angles for wave in (np.sin, np.cos)]
    return np.stack([*waves, panel.closed, panel.holiday], axis=1)


def _task(name, params, panel, start, held_out, source, forecaster, cache) -> Task:
    """Put the splits `start .. held_out` (training) and `held_out ..` together."""
    lead = np.broadcast_to(len(params.lead_time_pmf) or np.asarray(params.lead_time, dtype=int), params.items)
    splits = [slice(start, held_out), slice(held_out, len(panel.dates))]
    needed = params.horizon + 1 + int(lead.max())
    shortest = min(days.stop - days.start for days in splits)
    if needed > shortest:
        why = f"as the shorter split has {shortest} days and the longest lead time is {lead.max()}"
        raise FieldError("horizon", params.horizon, f"<= {shortest - needed + params.horizon}, {why}")
    calendar = _calendar(panel, yearly=held_out - start >= 365)
    # An item has no price before its launch, and no demand: the first one known stands there.
    price = np.nan_to_num(np.where(np.isnan(panel.price), _first_known(panel.price), panel.price))
    forecasts = _forecasts(params, forecaster, panel, splits, lead, cache)
    sources = [
        source(days, Days(price=price[days], calendar=calendar[days], forecast=forecast))
        for days, forecast in zip(splits, forecasts, strict=True)
    ]
    unbounded = params.backorder_share or params.substitution_share or np.isfinite(params.per_item("shelf_life")).any()
    hindsight = None if unbounded else hindsight_bound
    return Task(name, params, Inventory, train=sources[0], test=sources[1], hindsight=hindsight)


def _forecasts(params, forecaster, panel: Panel, splits: list[slice], lead: np.ndarray, cache) -> list:
    """Return the quantiles (days, I, Q) of each split with `forecast="model"`, else None for each."""
    if params.forecast != "model":
        return [None] * len(splits)
    if forecaster is None:
        raise FieldError("forecaster", None, "a Forecaster", "with forecast='model'")
    from .forecasts import forecast_splits

    return forecast_splits(forecaster, panel, splits, lead, params.quantiles, cache)


def _held_out(panel: Panel) -> int:
    """Return the first held-out day of a synthetic store."""
    return len(panel.dates) - max(1, round(HELD_OUT_SHARE * len(panel.dates)))


def _first_known(price: np.ndarray) -> np.ndarray:
    return price[np.argmax(~np.isnan(price), axis=0), np.arange(price.shape[1])]
