"""Pre-train the sequence model on synthetic retail series: `python -m storelab.forecasting.pretrain`.

The series are made of the parts that retail series are made of, drawn far wider than any one store: weekday and
yearly waves, a rise towards Christmas, trends, level shifts, AR levels, promotions and price changes with elasticity,
flags and numbers that move demand (or do not), holidays, closed days; daily and weekly;
smooth, negative-binomial and intermittent counts and orders of packs with bulk buyers; launches, ends of life,
stock-outs and days not observed. Nothing here is shared with `data.synthetic`, on which forecasts are evaluated.
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from ..data import Panel
from .params import CHECKPOINTS, TransformerParams
from .transformer import Transformer
from .windows import COVARIATES, PAST_COVARIATES, Windows

DAYS = 294  # a context, a horizon, and room for origins
WEEKLY_SHARE = 0.2  # of the stores
STORES, STEPS = 150, 5000  # of the shipped checkpoint


def synthetic_panel(seed: int, items: int = 400, days: int = DAYS) -> Panel:
    """One made-up store of `items` series with a calendar of its own. The same seed gives the same panel."""
    rng = np.random.default_rng([seed, items, days])
    weekly = rng.random() < WEEKLY_SHARE
    start = pd.Timestamp("2001-01-01") + pd.Timedelta(days=int(rng.integers(3650)))
    dates = pd.date_range(start, periods=days, freq="7D" if weekly else "D")
    closed, holiday = _calendar(rng, days)
    closed &= not weekly
    price, promo, price_effect = _prices(rng, days, items)
    rate = _level(rng, days, items) * _season(rng, dates, items) * price_effect
    covariates, covariate_effect = _covariates(rng, promo)
    rate *= covariate_effect
    rate *= np.where(holiday[:, None], np.exp(rng.normal(0.1, 0.4) + rng.normal(0, 0.2, items)), 1.0)
    rate *= np.exp(rng.uniform(0, 0.25) * rng.normal(size=days))[:, None]  # the whole store's good and bad days
    rate[closed] = 0.0
    past_covariates = _signals(rng, rate)
    units = _demand(rng, rate)
    launch = np.where(rng.random(items) < 0.3, rng.integers(0, days, items), 0)
    end = np.where(rng.random(items) < 0.06, rng.integers(days // 4, 2 * days, items), days)
    day = np.arange(days)[:, None]
    units[(day >= end) | _spells(rng, days, items, share=0.15, length=14)] = 0.0  # ended, or out of stock
    units[_spells(rng, days, items, share=0.05, length=10)] = np.nan  # not observed
    before = day < launch
    return Panel(
        items=[str(item) for item in range(items)],
        dates=dates,
        units=np.where(before, np.nan, units),
        price=np.where(before, np.nan, price),
        promo=promo & ~before,
        closed=closed,
        holiday=holiday,
        covariates=covariates,
        past_covariates=past_covariates,
    )


def _some(rng: np.random.Generator, share: float, items: int) -> np.ndarray:
    """(I,) 0 or 1: an effect that a share of the items has."""
    return (rng.random(items) < share).astype(float)


def _log_uniform(rng: np.random.Generator, low: float, high: float, items: int) -> np.ndarray:
    return np.exp(rng.uniform(np.log(low), np.log(high), items))


def _spells(rng: np.random.Generator, days: int, items: int, share: float, length: float) -> np.ndarray:
    """(D, I) bool: one stretch of days in a share of the items."""
    start = np.where(rng.random(items) < share, rng.integers(0, days, items), days)
    day = np.arange(days)[:, None]
    return (day >= start) & (day < start + 1 + rng.geometric(1 / length, items))


def _calendar(rng: np.random.Generator, days: int) -> tuple[np.ndarray, np.ndarray]:
    holiday = rng.random(days) < rng.uniform(0.0, 0.04)
    closed = holiday & (rng.random() < 0.5)
    for weekday in range(7):
        if rng.random() < 0.08:
            closed[weekday::7] = True
    if rng.random() < 0.5:  # a break of some days, as over Christmas
        start = rng.integers(days)
        closed[start : start + rng.integers(2, 12)] = True
    return closed, holiday


def _ar(rng: np.random.Generator, days: int, memory: np.ndarray) -> np.ndarray:
    """(D, I) stationary AR(1) processes of variance 1."""
    noise = rng.normal(size=(days, len(memory)))
    noise[1:] *= np.sqrt(1 - memory**2)
    for day in range(1, days):
        noise[day] += memory * noise[day - 1]
    return noise


def _level(rng: np.random.Generator, days: int, items: int) -> np.ndarray:
    """(D, I) slow part of the rate: base, trend, shifts, AR, ramp-up after a start, decline."""
    day = np.arange(days)[:, None]
    log_level = np.log(_log_uniform(rng, 0.05, 50.0, items)) + _some(rng, 0.4, items) * rng.normal(0, 0.6, items) * (
        day / 365.0
    )
    for _ in range(2):
        shift = _some(rng, 0.25, items) * rng.normal(0, 0.7, items)
        log_level = log_level + shift * (day >= rng.integers(0, days, items))
    memory = np.exp(-1 / _log_uniform(rng, 3.0, 400.0, items))  # days: from moods to a random walk
    log_level += rng.uniform(0.0, 0.8, items) * _ar(rng, days, memory)
    log_level -= rng.uniform(1.0, 4.0, items) * _spells(rng, days, items, share=0.2, length=60)  # out of season
    shared = rng.uniform(0.0, 0.3) * _ar(rng, days, np.array([0.95]))  # the store's own level
    decline = (
        _some(rng, 0.1, items)
        * np.maximum(0, day - rng.integers(0, days, items))
        / _log_uniform(rng, 10.0, 100.0, items)
    )
    return np.exp(log_level + shared - decline)


def _season(rng: np.random.Generator, dates: pd.DatetimeIndex, items: int) -> np.ndarray:
    """(D, I) weekday and yearly factors, part the store's, part the item's."""
    weekday = rng.uniform(0.0, 0.6) * rng.normal(size=(7, 1)) + rng.uniform(0.0, 0.3) * rng.normal(size=(7, items))
    angle = 2 * np.pi * dates.dayofyear.to_numpy()[:, None] / 365.25
    amplitude = _some(rng, 0.5, items) * rng.uniform(0.0, 0.8, items)
    phase = rng.uniform(0, 2 * np.pi) + rng.normal(0, 0.7, items)
    # Towards Christmas demand rises for weeks, and falls within days.
    ahead = (dates.dayofyear.to_numpy()[:, None] - rng.uniform(325, 358) + 182) % 365 - 182
    width = np.where(ahead < 0, rng.uniform(15, 60), rng.uniform(3, 20))
    height = (rng.random() < 0.6) * np.maximum(0, rng.uniform(0, 0.9) + rng.uniform(0, 0.5) * rng.normal(size=items))
    christmas = height * np.exp(-0.5 * (ahead / width) ** 2)
    return np.exp(weekday[dates.dayofweek] + amplitude * np.cos(angle - phase) + christmas)


def _covariates(rng: np.random.Generator, promo: np.ndarray) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """What is known in advance beside price and promotion, each (D, I), and the factor that it puts on the rate.

    Flags as displays and leaflets are, of single items or of the whole store, often together with a promotion; and
    numbers as the weather is. Some do nothing.
    """
    days, items = promo.shape
    covariates, log_factor = {}, np.zeros((days, items))
    for slot in range(rng.integers(0, COVARIATES + 1) * (rng.random() < 0.6)):
        effect = (rng.random() < 0.8) * rng.normal(0.3, 0.6) * _some(rng, 0.8, items) * rng.uniform(0.5, 1.5, items)
        if rng.random() < 0.6:
            lasts, gap = rng.uniform(1, 10), rng.uniform(10, 120)
            starts = rng.random((days, items if rng.random() < 0.8 else 1)) < 1 / gap
            values = np.zeros((days, items)) + pd.DataFrame(starts).rolling(max(1, round(lasts)), 1).max().to_numpy()
            with_promo = promo & (rng.random(items) < rng.uniform(0, 1))
            values = np.maximum(values, with_promo * (rng.random() < 0.6))
        else:
            memory = np.full(items if rng.random() < 0.3 else 1, np.exp(-1 / rng.uniform(2, 100)))
            values = np.zeros((days, items)) + _ar(rng, days, memory)
            effect = effect * 0.5
        log_factor += effect * values
        covariates[f"covariate {slot}"] = values
    return covariates, np.exp(np.minimum(log_factor, 3.0))


def _signals(rng: np.random.Generator, rate: np.ndarray) -> dict[str, np.ndarray]:
    """What is known afterwards, each (D, I): visits, say, which follow the rate more closely than sales do."""
    count = rng.integers(0, PAST_COVARIATES + 1) * (rng.random() < 0.4)
    noise = rng.uniform(0.05, 1.0, count)
    return {f"signal {k}": np.log1p(rate * np.exp(noise[k] * rng.normal(size=rate.shape))) for k in range(count)}


def _prices(rng: np.random.Generator, days: int, items: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(D, I) price, promotion flag, and the factor that both put on the rate."""
    base = _log_uniform(rng, 0.5, 100.0, items)
    elasticity = _some(rng, 0.8, items) * rng.uniform(0.3, 4.0, items)
    lift = _some(rng, 0.7, items) * rng.uniform(0.0, 0.9, items)
    gap, length = rng.uniform(15, 150), int(rng.integers(2, 15))
    depth_low, depth_high = np.sort(rng.uniform(0.0, 0.5, 2))
    promo, discount = np.zeros((days, items), bool), np.zeros((days, items))
    active = _some(rng, 0.8, items) * (rng.random() < 0.8)  # some stores have no promotions
    starts = (rng.random((days, items)) < 1 / gap) * active
    left, current = np.zeros(items, int), np.zeros(items)
    for day in range(days):
        begins = (starts[day] > 0) & (left == 0)
        left = np.where(begins, length, np.maximum(left - 1, 0))
        current = np.where(begins, rng.uniform(depth_low, depth_high, items), current)
        promo[day], discount[day] = left > 0, current * (left > 0)
    log_price = np.log1p(-discount)
    for _ in range(3):  # new list prices
        step = _some(rng, 0.4, items) * rng.normal(0, 0.15, items)
        log_price += step * (np.arange(days)[:, None] >= rng.integers(0, days, items))
    return base * np.exp(log_price), promo, np.exp(-elasticity * log_price + lift * promo)


def _demand(rng: np.random.Generator, rate: np.ndarray) -> np.ndarray:
    """(D, I) units with mean about `rate`, each item of one kind; kinds differ in share from store to store."""
    items = rate.shape[1]
    kind = rng.choice(4, size=items, p=rng.dirichlet([0.5, 1.2, 0.8, 3.0]))
    units = np.zeros_like(rate)
    smooth, regular, rare, packs = (kind == k for k in range(4))

    def counts(mean: np.ndarray, size: np.ndarray) -> np.ndarray:
        return rng.poisson(mean * rng.gamma(size, 1 / size, mean.shape)).astype(float)

    shape = 1 / rng.uniform(0.03, 0.5, smooth.sum()) ** 2
    units[:, smooth] = np.round(rate[:, smooth] * rng.gamma(shape, 1 / shape, rate[:, smooth].shape))
    units[:, regular] = counts(rate[:, regular], _log_uniform(rng, 0.3, 50.0, regular.sum()))
    # Rare sales of some units each.
    size = _log_uniform(rng, 1.0, 30.0, rare.sum())
    chance = 1 - np.exp(-rate[:, rare] / size)
    units[:, rare] = (rng.random(chance.shape) < chance) * (1 + rng.poisson(size - 1, chance.shape))
    units[:, packs] = _orders(rng, rate[:, packs])
    return np.minimum(units, 1e5)


def _orders(rng: np.random.Generator, rate: np.ndarray) -> np.ndarray:
    """Orders arrive at random, each for a heavy-tailed number of units, often whole packs: households and trade."""
    days, items = rate.shape
    typical = _log_uniform(rng, 1.0, 15.0, items)  # median units of an order
    spread = rng.uniform(0.4, 1.7, items)  # of the log
    pack = rng.choice([1, 2, 3, 6, 10, 12, 24], size=items, p=[0.4, 0.1, 0.1, 0.15, 0.05, 0.15, 0.05])
    packed = rng.uniform(0.0, 0.9, items)  # share of orders in whole packs
    arrivals = rng.poisson(rate / (typical * np.exp(spread**2 / 2)))
    day, item = np.nonzero(arrivals)
    count = arrivals[day, item]
    day, item = np.repeat(day, count), np.repeat(item, count)
    bulk = rng.random(len(item)) < (_some(rng, 0.6, items) * _log_uniform(rng, 0.002, 0.05, items))[item]
    amount = np.exp(np.log(typical[item]) + spread[item] * rng.normal(size=len(item)))
    whole = np.where(rng.random(len(item)) < packed[item], pack[item], 1)
    amount = np.where(bulk, amount * _log_uniform(rng, 5.0, 100.0, len(item)), amount)
    amount = np.maximum(1, np.round(amount / whole)) * whole
    units = np.zeros((days, items))
    np.add.at(units, (day, item), amount)
    return units


def pretrain(params: TransformerParams, stores: int) -> Transformer:
    """A transformer trained on `stores` synthetic panels; half of them know price and promotion in advance."""
    panels = [
        Windows(synthetic_panel(seed), params.context, params.horizon, planned=seed % 2 == 0)
        for seed in tqdm(range(stores), desc="synthetic stores", disable=not params.progress or None)
    ]
    return Transformer(params).fit_windows(panels)


def settings(steps: int = STEPS, seed: int = 0) -> TransformerParams:
    """Hardly a window is seen twice: nothing to overfit, so neither dropout nor early stopping."""
    return TransformerParams(pretrained="", dropout=0.0, learning_rate=2e-3, steps=steps, patience=steps, seed=seed)


def main() -> None:
    parser = argparse.ArgumentParser(description="Pre-train the sequence model on synthetic retail series.")
    parser.add_argument("--folder", type=Path, default=CHECKPOINTS / "small", help="where the checkpoint goes")
    parser.add_argument("--stores", type=int, default=STORES, help=f"synthetic panels of 400 series (default {STORES})")
    parser.add_argument("--steps", type=int, default=STEPS, help=f"training steps (default {STEPS})")
    parser.add_argument("--seed", type=int, default=0, help="of weights and batches (default 0)")
    args = parser.parse_args()
    pretrain(settings(args.steps, args.seed), args.stores).save(args.folder)
    print(f"saved to {args.folder}")


if __name__ == "__main__":
    main()
