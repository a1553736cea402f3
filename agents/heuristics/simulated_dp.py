"""Prices learned by simulated backward induction: a table of prices by period and stock, from training scenarios alone.

The learner knows neither the demand curve nor its kind. From the last period to the first, it tries prices at every
stock, on the model's own transitions under the same sampled shocks for all of them, and keeps what earned most on
average together with what the next period's stock is worth (sample average approximation of the dynamic program;
Powell 2011, Approximate Dynamic Programming, chapter 4). Prices are searched around those of the following period.
"""

import math
from itertools import product

import numpy as np

from ...envs import Pricing
from ...envs.pricing.model import State
from ..core.tuner import tiled

STATES = 5_000  # stocks at the most
ROWS = 400_000  # transitions in one batch
REFINEMENTS = 3  # of continuous prices, each at half the step


def fits(model: Pricing) -> bool:
    """Return whether a model is small enough: a season from whole stocks, no price remembered, at most 3 items."""
    p = model.params
    stock = p.per_item("initial_stock")
    plain = model.limited and not p.continuing and not model.tracks_price and p.demand.kind != "linear"
    return bool(
        plain
        and p.items <= 3
        and p.forecast == "none"
        and (stock == np.rint(stock)).all()
        and np.prod(stock + 1) <= STATES
        and (p.action == "continuous" or len(p.prices) ** p.items <= 2_000)
    )


def learn(model: Pricing, scenario: dict) -> np.ndarray:
    """Return the learned prices (T, S, items), S the combinations of stocks in C order.

    Args:
        model: that `fits`.
        scenario: of `model.scenarios`; where demand has no source, all its periods are alike and shared.
    """
    shape = tuple((model.params.per_item("initial_stock") + 1).astype(int))
    stocks = np.stack(np.unravel_index(np.arange(math.prod(shape)), shape), axis=1).astype(np.float32)
    value = (stocks * model.params.per_item("salvage_value")).sum(axis=1)
    low, high = model.action_low, model.action_high
    grid, span = model.params.on_grid, high - low
    coarse = np.arange(len(model.prices)) if grid else np.linspace(0, 1, 9) * span[0] + low[0]
    first = np.array(list(product(coarse, repeat=model.params.items)))
    around = np.array(list(product((-2, -1, 0, 1, 2), repeat=model.params.items)), dtype=float)
    best, table = None, np.empty((model.horizon, len(stocks), model.params.items))
    for t in reversed(range(model.horizon)):
        shock = _shocks(model, scenario, t)
        search = lambda actions, shock=shock, value=value: _best(model, stocks, actions, shock, value, shape)
        if best is None:
            best, earned = search(np.broadcast_to(first, (len(stocks), *first.shape)))
        steps = [1.0] if grid else [float(span[0]) / 16 / 2**k for k in range(REFINEMENTS)]
        for step in steps:
            best, earned = search(np.clip(best[:, None] + step * around, low, high))
        value, table[t] = earned, best
    return model.prices[table.astype(int)] if grid else table


def _shocks(model: Pricing, scenario: dict, t: int) -> dict:
    names = [name for name in ("uniform", "customers", "taste", "demand") if name in scenario]
    if model.source is not None:
        return {name: scenario[name][:, t] for name in names}
    # Thin rows of all periods, spread over the batch: as many as the scenarios, eight times over.
    flat = {name: scenario[name][:, :-1].reshape(-1, scenario[name].shape[2]) for name in names}
    return {name: block[:: max(1, model.horizon // 8)] for name, block in flat.items()}


def _best(model: Pricing, stocks, actions, shock: dict, value: np.ndarray, shape):
    """Return each stock's best action (S, items) of `actions` (S, C, items), and its mean money to go (S,)."""
    n, (states, count, items) = len(next(iter(shock.values()))), actions.shape
    best, earned = np.empty((states, items)), np.empty(states)
    rows = max(1, ROWS // (count * n))
    for start in range(0, states, rows):
        part = slice(start, start + rows)
        action, stock = actions[part], stocks[part]
        size = len(stock) * count * n
        state = State(np.repeat(stock, count * n, axis=0), None, None, None, np.zeros((size, 1), np.float32))
        played, all_shocks = np.repeat(action.reshape(-1, items), n, axis=0), tiled(shock, len(stock) * count)
        after, flow = model.transition(state, played.astype(np.float32), all_shocks)
        at = np.ravel_multi_index(tuple(np.asarray(after.on_hand, int).T), shape)
        money = (model.reward(model.money(flow)) + value[at]).reshape(len(stock), count, n).mean(axis=2)
        pick, each = money.argmax(axis=1), np.arange(len(stock))
        best[part], earned[part] = action[each, pick], money[each, pick]
    return best, earned


def look_up(model: Pricing, named: dict, table: np.ndarray) -> np.ndarray:
    """Return the prices (n, items) of a table (T, S, items), flattened, at named features."""
    p = model.params
    shape = tuple((p.per_item("initial_stock") + 1).astype(int))
    period = np.round((1 - named["time_left"][:, 0]) * model.horizon).astype(int)
    period = np.minimum(period, model.horizon - 1)
    at = np.ravel_multi_index(tuple(np.rint(named["on_hand"]).astype(int).T), shape)
    return table.reshape(model.horizon, -1, p.items)[period, at]
