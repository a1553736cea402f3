"""A synthetic store: catalogue, daily demand, customers and orders, all drawn from one seed (docs/data.md)."""

import math
from dataclasses import dataclass, fields

import numpy as np
import pandas as pd

from .holidays import bank_holidays
from .panel import Panel


@dataclass
class SyntheticStoreParams:
    items: int = 100  # items in the catalogue
    days: int = 730  # days
    seed: int = 0  # non-negative integer
    start: str = "2023-01-01"  # first day, YYYY-MM-DD
    categories: int = 8  # categories
    customers: int = 2000  # customers known by the last day
    top_rate: float = 40.0  # units/day of the best-selling item, before all effects
    zipf_exponent: float = 1.0  # the item of rank k sells top_rate / k^exponent
    intermittent_share: float = 0.2  # share of items, from the tail, that sell in rare lumps
    new_share: float = 0.1  # share of items launched in the middle half of the history
    ramp_days: float = 30.0  # days until a new item reaches its full rate, linear
    weekday_amplitude: float = 0.25  # of the mean rate, standard deviation of the seven factors
    yearly_amplitude: float = 0.3  # of the mean rate, amplitude of the yearly wave
    level_sd: float = 0.15  # stationary sd of a category's log level, an AR(1) process
    level_days: float = 30.0  # days after which the log level's autocorrelation is 1/e
    holiday_lift: float = 1.2  # factor on bank holidays
    promo_gap: float = 60.0  # days, mean time from one promotion's end to the next one's start
    promo_days: int = 7  # days a promotion lasts
    promo_lift: float = 1.15  # factor of being displayed, beside the price effect
    discount: tuple[float, float] = (0.1, 0.4)  # share of the list price taken off, lowest and highest
    elasticity: tuple[float, float] = (1.2, 3.0)  # demand ~ price^-elasticity, lowest and highest
    dispersion: tuple[float, float] = (3.0, 30.0)  # NB size r of regular items, lowest and highest
    lumpy_dispersion: tuple[float, float] = (0.1, 0.4)  # NB size r of intermittent items
    median_price: float = 12.0  # money/unit, list prices are log-normal around it
    margin: tuple[float, float] = (0.3, 0.6)  # (price - cost) / price at list price, lowest and highest
    lead_time: tuple[int, int] = (2, 14)  # days, lowest and highest
    units_per_line: float = 2.0  # units, mean of an order line
    lines_per_order: float = 3.0  # lines, mean of an order

    def __post_init__(self) -> None:
        for f in fields(self):
            _check(f.name, getattr(self, f.name))
        for name in ("discount", "margin"):
            if getattr(self, name)[1] >= 1:
                raise ValueError(f"{name}: {getattr(self, name)}; expected both below 1")
        if self.intermittent_share > 1 or self.new_share > 1:
            raise ValueError("intermittent_share, new_share: expected at most 1")


_WHOLE = {"items": 1, "days": 1, "seed": 0, "categories": 1, "customers": 1, "promo_days": 1}  # smallest value
_AT_LEAST_ZERO = {"intermittent_share", "new_share", "weekday_amplitude", "yearly_amplitude", "level_sd"}


def _check(name: str, value: object) -> None:
    pass


@dataclass(eq=False)
class SyntheticStore:
    params: SyntheticStoreParams
    catalogue: pd.DataFrame  # a row per item: item, category, price, cost, lead_time, launch, demand_class
    panel: Panel
    rate: np.ndarray  # (D, I) float64, mean units/day; 0 before launch and on closed days
    dispersion: np.ndarray  # (I,) negative-binomial size r: variance = rate + rate^2 / r
    customers: pd.DataFrame  # customer, joined (day), activity (relative order rate)
    orders: pd.DataFrame  # a row per order line, under the TRANSACTIONS contract


def generate(params: SyntheticStoreParams) -> SyntheticStore:
    """Draw the store. The same parameters give the same store."""
    # One stream per part: a change in how orders are drawn leaves the demand as it was.
    streams = [np.random.default_rng([params.seed, part]) for part in range(4)]
    dates = pd.date_range(params.start, periods=params.days, freq="D")
    catalogue = _catalogue(params, streams[0])
    closed = ((dates.month == 12) & (dates.day == 25)) | ((dates.month == 1) & (dates.day == 1))
    holiday = bank_holidays(dates)
    price, promo = _prices(params, catalogue, streams[1])
    rate = _rates(params, catalogue, dates, holiday, price, promo, streams[2])
    rate[closed] = 0.0
    launched = np.arange(params.days)[:, None] >= catalogue["launch"].to_numpy()
    rate *= launched
    size = catalogue.pop("dispersion").to_numpy()
    catalogue["demand_class"] = demand_class(catalogue.pop("base_rate").to_numpy(), size)
    units = streams[2].negative_binomial(size, size / (size + rate)).astype(float)
    panel = Panel(
        items=catalogue["item"].tolist(),
        dates=dates,
        units=np.where(launched, units, np.nan),
        price=np.where(launched, price, np.nan),
        promo=promo & launched,
        closed=np.asarray(closed),
        holiday=holiday,
        category=catalogue["category"].tolist(),
    )
    catalogue = catalogue.drop(columns="elasticity")
    customers, orders = _orders(params, panel, streams[3])
    return SyntheticStore(params, catalogue, panel, rate, size, customers, orders)


def _catalogue(params: SyntheticStoreParams, rng: np.random.Generator) -> pd.DataFrame:
    count = params.items
    rank = np.arange(1, count + 1)
    lumpy = rank > count - round(params.intermittent_share * count)
    price = np.round(params.median_price * np.exp(rng.normal(0.0, 0.6, count)), 2).clip(0.5)
    launch = np.zeros(count, dtype=int)
    new = rng.permutation(count)[: round(params.new_share * count)]
    launch[new] = rng.integers(params.days // 4, max(3 * params.days // 4, params.days // 4 + 1), len(new))
    frame = pd.DataFrame(
        {
            "item": [f"I{number:05d}" for number in rank],
            "category": [f"category-{number}" for number in rng.integers(0, params.categories, count)],
            "price": price,
            "cost": np.round(price * (1.0 - rng.uniform(*params.margin, count)), 2),
            "lead_time": rng.integers(params.lead_time[0], params.lead_time[1] + 1, count),
            "launch": launch,
            "elasticity": rng.uniform(*params.elasticity, count),
            "base_rate": params.top_rate / rank**params.zipf_exponent,
            "dispersion": np.where(
                lumpy, _log_uniform(rng, params.lumpy_dispersion, count), _log_uniform(rng, params.dispersion, count)
            ),
        }
    )
    return frame


def _log_uniform(rng: np.random.Generator, bounds: tuple[float, float], size: int) -> np.ndarray:
    return np.exp(rng.uniform(math.log(bounds[0]), math.log(bounds[1]), size))


def _prices(
    params: SyntheticStoreParams, catalogue: pd.DataFrame, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """(D, I) price and promotion: an alternating renewal process per item, one discount per promotion."""
    shape = (params.days, params.items)
    starts = rng.random(shape) < 1.0 / params.promo_gap
    depth = rng.uniform(*params.discount, shape)
    discount = np.zeros(shape)
    left = np.zeros(params.items, dtype=int)
    current = np.zeros(params.items)
    for day in range(params.days):
        begins = starts[day] & (left == 0)
        left = np.where(begins, params.promo_days, np.maximum(left - 1, 0))
        current = np.where(begins, depth[day], current)
        discount[day] = current * (left > 0)
    price = np.round(catalogue["price"].to_numpy() * (1.0 - discount), 2)
    return price, discount > 0


def _rates(
    params: SyntheticStoreParams,
    catalogue: pd.DataFrame,
    dates: pd.DatetimeIndex,
    holiday: np.ndarray,
    price: np.ndarray,
    promo: np.ndarray,
    rng: np.random.Generator,
) -> np.ndarray:
    names, category = np.unique(catalogue["category"], return_inverse=True)
    weekday = np.exp(rng.normal(0.0, params.weekday_amplitude, (7, len(names))))
    weekday /= weekday.mean(axis=0)
    phase = rng.uniform(0.0, 2 * np.pi, len(names))
    angle = 2 * np.pi * dates.dayofyear.to_numpy()[:, None] / 365.25
    yearly = np.exp(params.yearly_amplitude * np.cos(angle - phase))
    level = _levels(params, len(names), rng)
    by_category = weekday[dates.dayofweek] * yearly * level
    age = np.arange(params.days)[:, None] - catalogue["launch"].to_numpy()
    ramp = np.where(catalogue["launch"].to_numpy() > 0, np.clip((age + 1) / params.ramp_days, 0.0, 1.0), 1.0)
    price_effect = (price / catalogue["price"].to_numpy()) ** -catalogue["elasticity"].to_numpy()
    rate = catalogue["base_rate"].to_numpy() * by_category[:, category] * ramp * price_effect
    rate *= np.where(promo, params.promo_lift, 1.0)
    return rate * np.where(holiday, params.holiday_lift, 1.0)[:, None]


def _levels(params: SyntheticStoreParams, count: int, rng: np.random.Generator) -> np.ndarray:
    """(D, count) positive levels with mean 1: exp of a stationary AR(1) process."""
    memory = math.exp(-1.0 / params.level_days)
    noise = rng.normal(0.0, params.level_sd, (params.days, count))
    noise[1:] *= math.sqrt(1.0 - memory**2)
    for day in range(1, params.days):
        noise[day] += memory * noise[day - 1]
    return np.exp(noise - params.level_sd**2 / 2)


def demand_class(mean: np.ndarray, size: np.ndarray) -> np.ndarray:
    """smooth, erratic, intermittent or lumpy (Syntetos, Boylan and Croston 2005, JORS 56: average interval
    between sales 1.32 days, squared coefficient of variation of the amounts sold 0.49), for NB(mean, size)."""
    sale = 1.0 - (size / (size + mean)) ** size
    first = mean / sale
    second = (mean + mean**2 * (1.0 + 1.0 / size)) / sale
    rare, varied = 1.0 / sale >= 1.32, second / first**2 - 1.0 >= 0.49
    return np.select([rare & varied, rare, varied], ["lumpy", "intermittent", "erratic"], "smooth")


def _orders(params: SyntheticStoreParams, panel: Panel, rng: np.random.Generator) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Cut every item's units of a day into lines, shuffle the day's lines and cut them into orders."""
    units = np.nan_to_num(panel.units).astype(np.int64)
    day, item = np.nonzero(units)
    unit_cell = np.repeat(np.arange(len(day)), units[day, item])
    first = np.r_[True, unit_cell[1:] != unit_cell[:-1]][: len(unit_cell)]
    line_start = np.flatnonzero(first | (rng.random(len(unit_cell)) < 1.0 / params.units_per_line))
    quantity = np.diff(np.r_[line_start, len(unit_cell)])
    cell = unit_cell[line_start]
    shuffled = np.lexsort((rng.random(len(cell)), day[cell]))
    cell, quantity = cell[shuffled], quantity[shuffled]
    new_day = np.r_[True, day[cell][1:] != day[cell][:-1]][: len(cell)]
    order = np.cumsum(new_day | (rng.random(len(cell)) < 1.0 / params.lines_per_order)) - 1

    # An item stands once in an order.
    pair, where = np.unique(order * params.items + item[cell], return_inverse=True)
    quantity = np.bincount(where, weights=quantity, minlength=len(pair)).astype(np.int64)
    line_order, line_item = np.divmod(pair, params.items)
    count = int(order[-1]) + 1 if len(order) else 0
    order_day = np.zeros(count, dtype=int)
    order_day[order] = day[cell]

    customers, buyer = _customers(params, panel.dates, order_day, rng)
    # Most orders come in the afternoon and evening; the shop never sleeps, the clock is the customer's.
    seconds = np.minimum(rng.beta(4.0, 2.5, count) * 86_400, 86_399).astype("timedelta64[s]")
    time = panel.dates.to_numpy()[order_day] + seconds
    orders = pd.DataFrame(
        {
            "invoice": np.char.add("O", np.char.zfill(np.arange(count).astype(str), 8)).astype(object)[line_order],
            "item": np.array(panel.items, dtype=object)[line_item],
            "customer": customers["customer"].to_numpy()[buyer][line_order],
            "timestamp": time[line_order],
            "quantity": quantity,
            "price": panel.price[order_day[line_order], line_item],
        }
    )
    return customers, orders


def _customers(
    params: SyntheticStoreParams, dates: pd.DatetimeIndex, order_day: np.ndarray, rng: np.random.Generator
) -> tuple[pd.DataFrame, np.ndarray]:
    """Customers, half of them there on the first day, and who placed each order (index into customers)."""
    count = params.customers
    joined = np.sort(np.where(rng.random(count) < 0.5, 0, rng.integers(0, params.days, count)))
    joined[0] = 0
    activity = rng.gamma(0.8, size=count)
    weight = np.cumsum(activity)
    known = np.searchsorted(joined, np.arange(params.days), side="right")
    drawn = rng.random(len(order_day)) * weight[known[order_day] - 1]
    buyer = np.minimum(np.searchsorted(weight, drawn, side="right"), known[order_day] - 1)
    frame = pd.DataFrame(
        {
            "customer": [f"C{number:06d}" for number in range(count)],
            "joined": dates[joined],
            "activity": activity / activity.mean(),
        }
    )
    return frame, buyer
