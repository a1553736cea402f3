"""Stores as tasks: demand, prices and calendar of `data`, made into sources for the environments.

Days are split by date. The last ones are held out: policies are judged on them and nothing is fitted, tuned or
chosen on them. Where recorded days are replayed, the first of the others are the forecaster's alone, and policies are
trained on the rest: so every forecast that a policy ever sees is one of days the forecaster had not seen, as it will
be in use. (Before the held-out days the forecaster is fine-tuned once more, on all days before them.)

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
from ...envs.marketplace.scenario import MEAN_VISITS
from ...envs.marketplace.tasks import marketplace_task as generated_visits
from ...errors import FieldError
from .hindsight import hindsight_bound
from .learning import learnt_on

HORIZON = 56  # days in an episode, where they leave `WINDOWS` different ones in the shorter split
WINDOWS = 21  # days on which an episode can begin
LEAST_HORIZON = 7  # days or weeks
HELD_OUT_SHARE = 0.2  # of a store's days: the last ones
HELD_OUT_DAYS = 84  # of Online Retail: the last twelve weeks
AUTUMN_DAYS = 100  # of Online Retail II: from 2011-09-01 on
FORECASTER_SHARE = 0.5  # of the days before: the forecaster's alone, where recorded days are replayed
YEAR = 365  # days
REFIT = 182  # days of training, or about as many, after which a forecaster is fine-tuned on all days until then
CAPITAL_COST = 0.002  # of the purchase cost per day: capital, insurance, obsolescence
STORAGE_COST = 0.02  # money per unit and day
GOODWILL_SHARE = 0.1  # of the price: what a customer sent away costs beside the margin
COST_SHARE = 0.6  # purchase cost over price, where the data knows no cost
LEAD_TIME = 7  # days, where the data knows none
ITEMS = 50  # of a recorded store, at most
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
    panel = store.panel
    held_out = _held_out(panel)
    recorded = changes.get("forecast") == "model"
    start = _half(held_out) if recorded else 0
    params, _ = _store(panel.window(0, held_out), min(held_out - start, len(panel.dates) - held_out), changes)

    def source(days: slice, known: Days) -> DemandSource:
        if recorded:
            return HistoryDemand(np.nan_to_num(panel.units[days]), known)
        return RateDemand(store.rate[days], store.dispersion, known)

    splits = [slice(start, held_out), slice(held_out, len(panel.dates))]
    return _task("SyntheticStore", params, panel, splits, source, forecaster, cache)


def store_task(data=None, forecaster=None, cache: str | Path | None = None, **changes) -> Task:
    """A store of your own: the days of a `Panel`, replayed, the last fifth of them held out, or the file's own test.

    Policies learn on whole years before the held-out days, so that no season counts twice: on as many as there are in
    the second half of the days before, on one where at least half a year before it is left to the forecaster, and else
    on the second half. The forecaster is fine-tuned on the days before them, and again about every `REFIT` days.

    Of the items on sale within the first `LAUNCHED_WITHIN` days and observed on every day since, those with the
    highest revenue before the held-out days are taken, `ITEMS` at most. Prices are the recorded ones and demand does
    not answer to them. Unmet demand was never recorded: sales stand for demand. An item's purchase cost and lead time
    are the medians of the panel's before the held-out days; where it has none, `COST_SHARE` of the median price, and
    `LEAD_TIME` days (one period of a weekly panel). A fact that is assumed stands in the task's `notes`.

    Args:
        data: a `Panel`, or the path of a file under the contract PANEL.
        forecaster: a `forecasting.Forecaster`, for `forecast="model"`.
        cache: folder for fine-tuned forecasters and their forecasts.
        changes: fields of `InventoryParams`; `items` is how many to take.
    """
    data = Panel.from_frame(data, no_row="refuse") if isinstance(data, str | Path) and str(data) else data
    if not isinstance(data, Panel):
        raise FieldError("data", data, "a Panel or the path of a file")
    held_out = data.first_test(len(data.dates) - _held_out(data))
    return _replayed("Store", data, held_out, _whole_years(data, held_out), REFIT, forecaster, cache, changes)


def online_retail_task(data=None, forecaster=None, cache: str | Path | None = None, **changes) -> Task:
    """Real demand, replayed: the UCI Online Retail shop (or a `Panel` of your own), the last twelve weeks held out.

    Policies learn on the second half of the days before. See `store_task` for all else.

    Args:
        data: path of UCI's file, of the raw or ready Parquet, or of a folder with one of them; or a `Panel`.
        forecaster: a `forecasting.Forecaster`, for `forecast="model"`.
        cache: folder for fine-tuned forecasters and their forecasts.
        changes: fields of `InventoryParams`; `items` is how many to take.
    """
    panel, held_out = hold_out(data, HELD_OUT_DAYS)
    return _replayed(
        "OnlineRetail", panel, held_out, _half(held_out), None, forecaster, cache, {"items": ITEMS} | changes
    )


def online_retail_ii_task(data=None, forecaster=None, cache: str | Path | None = None, **changes) -> Task:
    """The same shop over two years, UCI's Online Retail II: judged on its second autumn, the last 100 days.

    Policies learn on the year before, which has the first autumn. See `store_task`, of which this is an instance.

    Args:
        data: path of UCI's file, of the ready Parquet, or of a folder with one of them; or a `Panel`.
        forecaster: a `forecasting.Forecaster`, for `forecast="model"`.
        cache: folder for fine-tuned forecasters and their forecasts.
        changes: fields of `InventoryParams`; `items` is how many to take.
    """
    panel, held_out = hold_out(data, AUTUMN_DAYS)
    start = _whole_years(panel, held_out)
    if held_out - start < YEAR:
        least = YEAR + YEAR // 2 + len(panel.dates) - held_out
        raise FieldError("data", f"{len(panel.dates)} days", f"at least {least}, as it has two autumns", "here")
    return _replayed("OnlineRetail-v1", panel, held_out, start, REFIT, forecaster, cache, {"items": ITEMS} | changes)


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
    splits = [slice(_half(held_out), held_out), slice(held_out, len(panel.dates))]
    forecasts = _forecasts(task.params, forecaster, panel, splits, np.array([task.params.lead_time]), cache)
    calendar = _calendar(panel, yearly=held_out - splits[0].start >= 365)
    sources = [
        HistoryDemand(panel.units[days], Days(calendar=calendar[days], forecast=forecast.get("forecast")))
        for days, forecast in zip(splits, forecasts, strict=True)
    ]
    return learnt_on(replace(task, train=sources[0], test=sources[1]), task.params.lead_time + 1)


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


def _half(held_out: int) -> int:
    """The day that the second half of the days before the held-out ones begins on."""
    return round(FORECASTER_SHARE * held_out)


def _whole_years(panel: Panel, held_out: int) -> int:
    """The day from which on policies learn whole years, or one, or the second half of the days: see `store_task`."""
    year = YEAR // 7 if panel.weekly else YEAR
    start = held_out - year * max(1, (held_out - _half(held_out)) // year)
    return start if start >= year // 2 else _half(held_out)


def _replayed(
    name: str, panel: Panel, held_out: int, start: int, refit: int | None, forecaster, cache, changes: dict
) -> Task:
    """A task that replays a panel's best sellers; policies learn from the day `start` on."""
    changes, notes = dict(changes), list(panel.notes)
    panel = _best_sellers(panel, held_out, changes.pop("items", None), notes)
    days = panel.dates.strftime("%Y-%m-%d")
    stop = min(held_out, panel.days_of("validation").start)
    notes.append(
        f"split {'as the column split says' if panel.split.any() else 'by time'}: {days[0]} to {days[start - 1]} for "
        f"a forecaster alone, {days[start]} to {days[stop - 1]} to train policies, held out from {days[held_out]} on"
    )
    params, assumed = _store(panel.window(0, held_out), min(stop - start, len(days) - held_out), changes)

    def source(days: slice, known: Days) -> DemandSource:
        return HistoryDemand(np.nan_to_num(panel.units[days]), known)

    splits = [slice(start, stop), slice(held_out, len(days))]
    refit = refit and -(-refit // 7) if panel.weekly else refit
    task = _task(name, params, panel, splits, source, forecaster, cache, refit)
    return replace(task, notes=(*notes, *assumed, *task.notes))


def _best_sellers(panel: Panel, held_out: int, items: int | None, notes: list[str]) -> Panel:
    """The items that are taken; what is left out is added to the notes."""
    launched = ~np.isnan(panel.price[: min(LAUNCHED_WITHIN, held_out)]).all(axis=0)
    first = np.argmax(~np.isnan(panel.price), axis=0)
    observed = ~(np.isnan(panel.units) & (np.arange(len(panel.dates))[:, None] >= first)).any(axis=0)
    eligible = np.flatnonzero(launched & observed)
    if not len(eligible):
        raise ValueError(
            f"none of {len(panel.items)} items is on sale within the first {LAUNCHED_WITHIN} days and observed on "
            f"every day since ({observed.sum()} are observed so); if no row means no sale, set no_row=zero"
        )
    items = min(ITEMS, len(eligible)) if items is None else items
    if not isinstance(items, int) or isinstance(items, bool) or not 1 <= items <= len(eligible):
        raise FieldError("items", items, f"an integer >= 1 and <= {len(eligible)}")
    revenue = np.nansum((panel.units * panel.price)[:held_out, eligible], axis=0)
    if not revenue.any():
        raise ValueError(
            f"none of {len(eligible)} items is sold before the held-out days; expected units > 0 on some day"
        )
    best = eligible[np.argsort(-revenue, kind="stable")[:items]]
    if len(best) < len(panel.items):
        late = len(panel.items) - len(eligible)
        notes.append(
            f"items: {len(best)} of {len(panel.items)}, those of the highest revenue before the held-out days; "
            f"{late} were launched late or not observed on some day"
        )
    return panel.select([panel.items[i] for i in best])


def _known(past: Panel, name: str) -> np.ndarray:
    """The median (I,) of what a panel says of an item's supply; NaN where it says nothing."""
    values = past.supply.get(name, np.full(past.units.shape, np.nan))
    known = ~np.isnan(values).all(axis=0)
    return np.where(known, np.nanmedian(np.where(known, values, 0.0), axis=0), np.nan)


def _store(past: Panel, shortest: int, changes: dict) -> tuple[InventoryParams, list[str]]:
    """The parameters of a store, from its days before the held-out ones, and what was assumed for lack of data.

    What follows from a change follows it. `shortest` is the length of the shorter split.
    """
    for name in ("demand", "price"):
        if name in changes:
            raise FieldError(name, changes[name], "none: the store's days say it", "here")
    price = np.nan_to_num(np.nanmedian(np.where(np.isnan(past.price).all(axis=0), 0.0, past.price), axis=0))
    days, period = (7, "weeks") if past.weekly else (1, "days")
    usual = {"cost": COST_SHARE * price, "lead_time": np.full(len(past.items), -(-LEAD_TIME // days))}
    known, notes = {name: _known(past, name) for name in usual}, []
    for name, key, words in (
        ("cost", "purchase_cost", f"{COST_SHARE:g} of its median price"),
        ("lead_time", "lead_time", f"{usual['lead_time'][0]} {period}"),
    ):
        unknown = int(np.isnan(known[name]).sum())
        if unknown and key not in changes and not (key == "lead_time" and changes.get("lead_time_pmf")):
            which = "every item" if unknown == len(past.items) else f"{unknown} of {len(past.items)} items"
            notes.append(f"{key}: {words}, of {which}: neither a column {name} nor env.{key} says it")
    for name in ("purchase_cost", "lead_time"):
        given = np.asarray(changes.get(name, 0.0))
        if given.dtype.kind not in "iuf" or given.shape not in ((), (1,), (len(past.items),)):
            raise FieldError(name, changes[name], f"one number, or {len(past.items)} of them, one per item")
    cost = np.where(np.isnan(known["cost"]), usual["cost"], known["cost"])
    cost = np.broadcast_to(np.asarray(changes.get("purchase_cost", cost), dtype=float), len(past.items))
    lead_time = np.ceil(np.where(np.isnan(known["lead_time"]), usual["lead_time"], known["lead_time"])).astype(int)
    pmf = changes.get("lead_time_pmf")
    lead = np.asarray(len(pmf) if pmf else changes.get("lead_time", lead_time), dtype=float)
    horizon = -(-HORIZON // days)
    if "horizon" not in changes and (fits := shortest - WINDOWS // days - int(lead.max())) < horizon:
        arrivals = min(2 * (int(lead.max()) + 1), _longest(shortest, lead))  # half of them at least can be sold
        horizon = max(fits, arrivals, LEAST_HORIZON)
        notes.append(f"horizon: {horizon} {period} in an episode, as the shorter split has {shortest}")
    units = np.nan_to_num(past.units)
    cover = (lead + 1) * units.mean(axis=0)  # mean demand over the protection interval
    largest = np.ceil(np.maximum(np.maximum(2 * np.quantile(units, 0.99, axis=0), cover), 1))
    base = InventoryParams(
        items=len(past.items),
        horizon=horizon,
        continuing=False,
        lead_time=lead_time.tolist(),
        price=price.tolist(),
        purchase_cost=cost.tolist(),
        holding_cost=(days * (CAPITAL_COST * cost + STORAGE_COST)).tolist(),
        lost_sale_cost=(GOODWILL_SHARE * price).tolist(),
        salvage_value=cost.tolist(),
        initial_stock=np.round(cover).tolist(),
        max_order=largest.tolist(),
        action="base_stock",
    )
    return override(base, changes), notes


def _calendar(panel: Panel, yearly: bool) -> np.ndarray:
    """Features of each day (D, C): weekday and season as sine and cosine, closed, holiday."""
    angles = [2 * np.pi * panel.dates.dayofweek.to_numpy() / 7]
    if yearly:  # a season never seen in training would only mislead
        angles.append(2 * np.pi * panel.dates.dayofyear.to_numpy() / 365.25)
    waves = [wave(angle) for angle in angles for wave in (np.sin, np.cos)]
    return np.stack([*waves, panel.closed, panel.holiday], axis=1)


def _task(name, params, panel, splits: list[slice], source, forecaster, cache, refit: int | None = None) -> Task:
    """Put the splits, days to train on and held-out ones, together."""
    lead = np.broadcast_to(len(params.lead_time_pmf) or np.asarray(params.lead_time, dtype=int), params.items)
    shortest = min(days.stop - days.start for days in splits)
    _check_horizon(params.horizon, shortest, lead, "weeks" if panel.weekly else "days")
    calendar = _calendar(panel, yearly=splits[0].stop - splits[0].start >= 365)
    # An item has no price before its launch, and no demand: the first one known stands there.
    price = np.nan_to_num(np.where(np.isnan(panel.price), _first_known(panel.price), panel.price))
    forecasts = _forecasts(params, forecaster, panel, splits, lead, cache, refit)
    sources = [
        source(days, Days(price=price[days], calendar=calendar[days], **forecast))
        for days, forecast in zip(splits, forecasts, strict=True)
    ]
    unbounded = params.backorder_share or params.substitution_share or params.initial_pipeline
    unbounded = unbounded or np.isfinite(params.per_item("shelf_life")).any()
    hindsight = None if unbounded else hindsight_bound
    task = Task(name, params, Inventory, train=sources[0], test=sources[1], hindsight=hindsight)
    return learnt_on(task, lead + 1, panel.weekly)


def _longest(shortest: int, lead: np.ndarray) -> int:
    """The longest episode that finds a day to begin on in the shorter split, with a lead time of days after it."""
    return shortest - 1 - int(lead.max())


def _check_horizon(horizon: int, shortest: int, lead: np.ndarray, period: str) -> None:
    """Raise ValueError for an episode that the days don't hold, or in which no order arrives."""
    least, most = int(lead.min()) + 1, _longest(shortest, lead)
    why = f"the shorter split has {shortest} {period} and the longest lead time is {lead.max()}"
    if most < least:
        raise ValueError(
            f"{why}: too few for an episode in which an order arrives; "
            f"expected more {period} (a split of {least + 1 + int(lead.max())}), or a shorter lead_time"
        )
    if horizon > most:
        raise FieldError("horizon", horizon, f"<= {most}, as {why}")
    if horizon < least:
        raise FieldError("horizon", horizon, f">= {least}, as an order arrives after {lead.min()} {period} or more")


def _forecasts(params, forecaster, panel: Panel, splits: list[slice], lead: np.ndarray, cache, refit=None) -> list:
    """Return the forecasts of `Days` of each split with `forecast="model"`, else none for each."""
    if params.forecast != "model":
        return [{}] * len(splits)
    if forecaster is None:
        raise FieldError("forecaster", None, "a Forecaster", "with forecast='model'")
    from .forecasts import forecast_splits

    return forecast_splits(forecaster, panel, splits, lead, params.quantiles, cache, refit)


def _held_out(panel: Panel) -> int:
    """Return the first held-out day of a synthetic store."""
    return len(panel.dates) - max(1, round(HELD_OUT_SHARE * len(panel.dates)))


def _first_known(price: np.ndarray) -> np.ndarray:
    return price[np.argmax(~np.isnan(price), axis=0), np.arange(price.shape[1])]
