"""A synthetic store: catalogue, daily demand, customers and orders, all drawn from one seed (docs/data.md)."""

import math
import re
from dataclasses import Field, dataclass, fields

import numpy as np
import pandas as pd

from ..errors import FieldError
from ..markets import MARKETS, Market, markets_of
from .abroad import across
from .holidays import bank_holidays
from .panel import Panel
from .taste import Satisfaction, drawn_to, ratings, satisfaction

MAX_CELLS = 20_000_000  # items x days
MAX_UNITS = 20_000_000  # units in the whole history: orders are cut from single units


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
    weekday_amplitude: float = 0.25  # standard deviation of the log of a category's seven factors
    yearly_amplitude: float = 0.3  # amplitude of the log of the yearly wave
    level_sd: float = 0.15  # stationary sd of a category's log level, an AR(1) process
    level_days: float = 30.0  # days after which the log level's autocorrelation is 1/e
    holiday_lift: float = 1.2  # factor on bank holidays
    promo_gap: float = 60.0  # days, mean time from one promotion's end to the next one's start
    promo_days: int = 7  # days a promotion lasts
    promo_lift: float = 1.15  # factor of being displayed, beside the price effect
    discount: tuple[float, float] = (0.1, 0.4)  # share of the list price taken off, lowest and highest
    elasticity: tuple[float, float] = (1.2, 3.0)  # demand ~ price^-elasticity, lowest and highest
    dispersion: tuple[float, float] = (1.0, 30.0)  # NB size r of regular items, lowest and highest
    lumpy_dispersion: tuple[float, float] = (0.1, 0.4)  # NB size r of intermittent items
    median_price: float = 12.0  # money/unit, list prices are log-normal around it
    margin: tuple[float, float] = (0.3, 0.6)  # (price - cost) / price at list price, lowest and highest
    lead_time: tuple[int, int] = (2, 14)  # days, lowest and highest
    units_per_line: float = 2.0  # units, mean of an order line
    lines_per_order: float = 3.0  # lines, mean of an order
    taste_factors: int = 4  # latent dimensions in which customers' tastes and items differ
    rating_share: float = 0.3  # share of the (customer, item) pairs sold that are rated, at their first purchase
    markets: tuple[str, ...] = ()  # names of `storelab.markets.MARKETS` where customers live; (): at home alone
    appeal: float = 0.0  # per star: quality moves the log of an item's demand, taste who buys it

    def __post_init__(self) -> None:
        for field in fields(self):
            if field.name not in ("start", "markets"):
                setattr(self, field.name, _checked(field, getattr(self, field.name)))
        self.markets = tuple(market.name for market in self.countries())
        if not isinstance(self.start, str) or not re.fullmatch(r"(19|20|21)\d\d-\d\d-\d\d", self.start):
            raise FieldError("start", self.start, "a day YYYY-MM-DD between 1900 and 2199")
        try:
            pd.Timestamp(self.start)
        except ValueError:
            raise FieldError("start", self.start, "a day that exists") from None
        if self.items * self.days > MAX_CELLS:
            raise FieldError("days", self.days, f"at most {MAX_CELLS} items x days", f"for {self.items} items")

    def countries(self) -> list[Market]:
        """Return the markets, the first one at home.

        Raises:
            FieldError: what is no list of names of `MARKETS`.
        """
        found = markets_of(self.markets)
        for market in found:
            if MARKETS.get(market.name) != market:
                raise FieldError("markets", market.name, f"names: {', '.join(MARKETS)}")
        return found

    def panel(self) -> Panel:
        """Return the days of the store that these parameters make."""
        return generate(self).panel


_BOUNDS = {  # lowest and highest value allowed; of both values where a field is a pair
    "items": (1, 100_000),
    "days": (1, 20_000),
    "seed": (0, 2**63 - 1),
    "categories": (1, 10_000),
    "customers": (1, 10_000_000),
    "top_rate": (1e-6, 1e6),
    "zipf_exponent": (0, 5),
    "intermittent_share": (0, 1),
    "new_share": (0, 1),
    "ramp_days": (1, 10_000),
    "weekday_amplitude": (0, 1),
    "yearly_amplitude": (0, 2),
    "level_sd": (0, 1),
    "level_days": (0.1, 10_000),
    "holiday_lift": (0, 10),
    "promo_gap": (1, 1e6),
    "promo_days": (1, 365),
    "promo_lift": (0, 10),
    "discount": (0.01, 0.9),
    "elasticity": (0, 10),
    "dispersion": (0.01, 1e6),
    "lumpy_dispersion": (0.01, 1e6),
    "median_price": (0.1, 1e6),
    "margin": (0, 0.95),
    "lead_time": (0, 365),
    "units_per_line": (1, 1e6),
    "lines_per_order": (1, 1e6),
    "taste_factors": (1, 100),
    "rating_share": (0, 1),
    "appeal": (0, 10),
}
_LOOKING = 16  # customers of whom one places an order, where taste says who


def _checked(field: Field, value: object) -> object:
    """The value of a field of SyntheticStoreParams, or a ValueError; a list (from YAML) becomes a pair."""
    low, high = _BOUNDS[field.name]
    pair = isinstance(field.default, tuple)
    kind = type(field.default[0] if pair else field.default)
    number = (int, np.integer) if kind is int else (int, float, np.integer, np.floating)
    values = tuple(value) if pair and isinstance(value, tuple | list) else (value,)
    good = len(values) == (2 if pair else 1)
    good = good and all(isinstance(v, number) and not isinstance(v, bool) and low <= v <= high for v in values)
    if not good or values[0] > values[-1]:
        noun = "whole number" if kind is int else "number"
        what = f"a pair (lowest, highest) of {noun}s" if pair else f"a {noun}"
        raise FieldError(field.name, value, f"{what} from {low} to {high}")
    values = tuple(kind(v) for v in values)
    return values if pair else values[0]


@dataclass(eq=False)
class SyntheticStore:
    params: SyntheticStoreParams
    catalogue: pd.DataFrame  # a row per item, columns below
    # item, category, price and cost (money/unit), lead_time (days), launch (index of the first day on sale),
    # elasticity (demand ~ price^-elasticity), demand_class (see `demand_class`)
    panel: Panel
    rate: np.ndarray  # (D, I) float64, mean units/day; 0 before launch and on closed days
    dispersion: np.ndarray  # (I,) negative-binomial size r: variance = rate + rate^2 / r
    customers: pd.DataFrame  # customer, joined (day), activity (relative order rate); with markets see `across`
    orders: pd.DataFrame  # a row per order line, under the TRANSACTIONS contract; with markets see `across`
    satisfaction: Satisfaction
    ratings: pd.DataFrame  # customer, item, timestamp, rating (stars, 1 to 5)


def generate(params: SyntheticStoreParams) -> SyntheticStore:
    """Draw the store. The same parameters give the same store."""
    # One stream per part: a change in how orders are drawn leaves the demand as it was.
    streams = [np.random.default_rng([params.seed, part]) for part in range(6)]
    dates = pd.date_range(params.start, periods=params.days, freq="D")
    catalogue = _catalogue(params, streams[0])
    closed = ((dates.month == 12) & (dates.day == 25)) | ((dates.month == 1) & (dates.day == 1))
    holiday = bank_holidays(dates)
    price, promo = _prices(params, catalogue, streams[1])
    rate = _rates(params, catalogue, dates, holiday, price, promo, streams[2])
    rate[closed] = 0.0
    launched = np.arange(params.days)[:, None] >= catalogue["launch"].to_numpy()
    rate *= launched
    known = satisfaction(params.taste_factors, params.customers, catalogue, streams[5])
    attraction = np.exp(params.appeal * known.quality)
    rate *= attraction
    size = catalogue.pop("dispersion").to_numpy()
    catalogue["demand_class"] = demand_class(catalogue.pop("base_rate").to_numpy() * attraction, size)
    if rate.sum() > MAX_UNITS:
        sold = f"for zipf_exponent, items and days: {rate.sum():.3g} units are sold"
        expected = f"at most {MAX_UNITS} units (discount x elasticity multiplies them, too)"
        raise FieldError("top_rate", params.top_rate, expected, sold)
    units = streams[3].negative_binomial(size, size / (size + rate)).astype(float)
    panel = Panel(
        items=catalogue["item"].tolist(),
        dates=dates,
        units=np.where(launched, units, np.nan),
        price=np.where(launched, price, np.nan),
        promo=promo & launched,
        closed=np.asarray(closed),
        holiday=holiday,
        category=catalogue["category"].tolist(),
        supply={name: np.broadcast_to(catalogue[name].to_numpy(float), price.shape) for name in ("cost", "lead_time")},
    )
    customers, orders = _orders(params, panel, known, streams[4])
    stars = ratings(params.rating_share, catalogue, customers, orders, known, streams[5])
    if params.markets:
        customers, orders, stars = across(
            params.countries(), catalogue["elasticity"].mean(), params.seed, customers, orders, stars
        )
    return SyntheticStore(params, catalogue, panel, rate, size, customers, orders, known, stars)


def _catalogue(params: SyntheticStoreParams, rng: np.random.Generator) -> pd.DataFrame:
    count = params.items
    rank = np.arange(1, count + 1)
    lumpy = rank > count - round(params.intermittent_share * count)
    category = rng.integers(0, params.categories, count)
    spread = rng.normal(0.0, 0.4, params.categories)[category] + rng.normal(0.0, 0.4, count)
    price = np.round(params.median_price * np.exp(spread), 2).clip(0.01)
    launch = np.zeros(count, dtype=int)
    new = rng.permutation(count)[: round(params.new_share * count)]
    launch[new] = rng.integers(params.days // 4, max(3 * params.days // 4, params.days // 4 + 1), len(new))
    return pd.DataFrame(
        {
            "item": [f"I{number:05d}" for number in rank],
            "category": [f"category-{number}" for number in category],
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
    price = np.round(catalogue["price"].to_numpy() * (1.0 - discount), 2).clip(0.01)
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
    peak = rng.normal(345.0, 45.0, len(names))  # day of year: most categories peak before Christmas
    angle = 2 * np.pi * (dates.dayofyear.to_numpy()[:, None] - peak) / 365.25
    # exp(a cos x) has mean I0(a) over a period.
    yearly = np.exp(params.yearly_amplitude * np.cos(angle)) / np.i0(params.yearly_amplitude)
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


def _orders(
    params: SyntheticStoreParams, panel: Panel, known: Satisfaction, rng: np.random.Generator
) -> tuple[pd.DataFrame, pd.DataFrame]:
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

    # What an order's items look like, summed over its lines: (orders, K).
    feature = np.zeros((count if params.appeal else 0, known.feature.shape[1]))
    if params.appeal:
        np.add.at(feature, line_order, known.feature[line_item])
    customers, buyer = _customers(params, panel.dates, order_day, feature, known.taste, rng)
    # Most orders come in the afternoon and evening; the shop never sleeps, the clock is the customer's.
    seconds = np.minimum(rng.beta(4.0, 2.5, count) * 86_400, 86_399).astype("timedelta64[s]")
    time = panel.dates.to_numpy()[order_day] + seconds
    orders = pd.DataFrame(
        {
            "invoice": np.array([f"O{number:08d}" for number in range(count)], dtype=object)[line_order],
            "item": np.array(panel.items, dtype=object)[line_item],
            "customer": customers["customer"].to_numpy()[buyer][line_order],
            "timestamp": time[line_order],
            "quantity": quantity,
            "price": panel.price[order_day[line_order], line_item],
        }
    )
    return customers, orders


def _customers(
    params: SyntheticStoreParams,
    dates: pd.DatetimeIndex,
    order_day: np.ndarray,
    feature: np.ndarray,
    taste: np.ndarray,
    rng: np.random.Generator,
) -> tuple[pd.DataFrame, np.ndarray]:
    """Customers, half of them there on the first day, and who placed each order (index into customers).

    With `appeal` it is one of some who look, drawn by activity: by the logit of what the items are to their tastes.
    """
    count = params.customers
    joined = np.sort(np.where(rng.random(count) < 0.5, 0, rng.integers(0, params.days, count)))
    joined[0] = 0
    activity = rng.gamma(0.8, size=count)
    weight = np.cumsum(activity)
    known = np.searchsorted(joined, np.arange(params.days), side="right")
    looking = (_LOOKING,) if params.appeal else ()
    last = known[order_day].reshape(-1, *(1 for _ in looking)) - 1
    drawn = rng.random((len(order_day), *looking)) * weight[last]
    buyer = np.minimum(np.searchsorted(weight, drawn, side="right"), last)
    if params.appeal:
        buyer = drawn_to(params.appeal, feature, buyer, taste, rng)
    frame = pd.DataFrame(
        {
            "customer": [f"C{number:06d}" for number in range(count)],
            "joined": dates[joined],
            "activity": activity / activity.mean(),
        }
    )
    return frame, buyer
