"""Logged decisions of the whole store, whose effects are known: the same day is shopped again with one changed.

A manager decides every day, by lot with chances that react to the state of the store: a price level for all items, and
for each item a promotion, the first places of the page, and a promise of delivery a day sooner. What sells, when it
sells and what it costs decide both the chances and the orders, so that days and items differ by more than the decision.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ...envs.core.random import as_keys
from ...envs.marketplace.model import Marketplace
from ...envs.marketplace.params import MarketplaceParams
from ...envs.marketplace.scenario import WEEK
from ...evaluation.causal import Log

LEVELS = (0.75, 1.0, 1.25)  # of the markup, for all items on a day
DISCOUNT = 0.15  # of the price, in a promotion
SOONER = 1.0  # days that the promise is shortened by
TREATMENTS = ("promotion", "rank", "promise")  # by item and day


class Window(Marketplace):
    """The whole store with a window that is set by item and day: `featured` first, `sooner` promised."""

    def relevance(self, state, shock: dict) -> np.ndarray:
        return super().relevance(state, shock) + shock["rank"][:, None]

    def shop(self, state, given: dict, shock: dict):
        """Let a day's visitors shop; see `Marketplace`."""
        return super().shop(replace(state, delivery=state.delivery - SOONER * shock["promise"]), given, shock)


@dataclass
class Season:
    """What was logged in n seasons of T days and I items, and what would have come of other decisions.

    Attributes:
        store: (n, T, F) what was known of the store; item: (n, T, I, G) of each item, the day's level included.
        level: (n, T) price levels taken, places in `LEVELS`; level_chance: (n, T, K) their probabilities.
        orders: (n, T, I) placed; margin: (n, T) money, price less cost of all orders.
        given: treatment -> (n, T, I) 0 or 1; chance: treatment -> (n, T, I) probability of 1.
        effect: treatment -> (n, T, I) orders with it less orders without it, on the same day and noise.
        by_level: (n, T, K) orders; margin_by_level: (n, T, K) money, each level on the same day and noise.
    """

    store: np.ndarray
    item: np.ndarray
    level: np.ndarray
    level_chance: np.ndarray
    orders: np.ndarray
    margin: np.ndarray
    given: dict[str, np.ndarray]
    chance: dict[str, np.ndarray]
    effect: dict[str, np.ndarray]
    by_level: np.ndarray
    margin_by_level: np.ndarray

    def levels(self, outcome: str = "orders") -> Log:
        """Return the price levels as a log of days: the outcome is all `orders` or the `margin`."""
        n, days = self.level.shape
        values = self.orders.sum(axis=2) if outcome == "orders" else self.margin
        group = np.repeat(np.arange(n), days)
        chance = self.level_chance.reshape(n * days, -1)
        return Log(self.store.reshape(n * days, -1), self.level.ravel(), values.ravel(), group, chance)

    def treatment(self, name: str) -> Log:
        """Return one treatment of items as a log of items and days, the other treatments among its features."""
        n, days, items = self.orders.shape
        others = [self.given[other][..., None] for other in TREATMENTS if other != name]
        features = np.concatenate([self.item, *others], axis=3).reshape(n * days * items, -1)
        group = np.repeat(np.arange(n), days * items)
        return Log(features, self.given[name].ravel(), self.orders.ravel(), group)


def model_of(params: MarketplaceParams) -> Window:
    """Return the store whose prices are decided by item, all else by the heuristics' parameters."""
    return Window(replace(params, decides=["price"], resolution="item"))


def simulate(
    model: Window,
    keys: np.ndarray,
    seed: int,
    truth: bool = False,
    act: Callable[[np.ndarray], np.ndarray] | None = None,
) -> Season:
    """Let the manager run the store over the seasons of the given keys (n, 2).

    Args:
        model: of `model_of`.
        keys: of the scenarios.
        seed: of the manager's lots.
        truth: also shop each day again with each treatment of each item changed, which takes 6 I days a day.
        act: another policy of the price level in the manager's place, features of the store (n, F) -> probabilities.
    """
    scenario, rng = model.scenarios(keys), np.random.default_rng([seed, 26])
    state, rows = model.initial(len(keys)), []
    for t in range(model.horizon):
        shock = {name: block[:, t] for name, block in scenario.items()}
        store, item = _known(model, state, shock)
        chance = _chances(model, store, item)
        chance["level"] = chance["level"] if act is None else act(store)
        level = (rng.random((len(keys), 1)) > np.cumsum(chance["level"], axis=1)[:, :-1]).sum(axis=1)
        given = {name: (rng.random(chance[name].shape) < chance[name]).astype(int) for name in TREATMENTS}
        row = {"store": store, "level": level, "level_chance": chance["level"]}
        row["item"] = np.concatenate([item, np.repeat(level[:, None, None], item.shape[1], axis=1)], axis=2)
        row |= {f"given {name}": given[name] for name in TREATMENTS}
        row |= {f"chance {name}": chance[name] for name in TREATMENTS}
        row["orders"], row["margin"] = orders_of(model, state, shock, level, given)
        both = [orders_of(model, state, shock, np.full_like(level, k), given) for k in range(len(LEVELS))]
        row["by_level"] = np.stack([orders.sum(axis=1) for orders, _ in both], axis=1)
        row["margin_by_level"] = np.stack([margin for _, margin in both], axis=1)
        if truth:
            row |= {f"effect {name}": _effect(model, state, shock, level, given, name) for name in TREATMENTS}
        rows.append(row)
        state, _ = model.transition(state, _prices(model, level, given["promotion"]), shock | given)
    joined: dict[str, Any] = {name: np.stack([row[name] for row in rows], axis=1) for name in rows[0]}
    nested = {
        kind: {name: joined.pop(f"{kind} {name}") for name in TREATMENTS if f"{kind} {name}" in joined}
        for kind in ("given", "chance", "effect")
    }
    return Season(**joined, **nested)


def _known(model: Window, state, shock: dict) -> tuple[np.ndarray, np.ndarray]:
    """Return what the manager knows of the store (n, F), and of each item (n, I, G), the store's in front."""
    sine, cosine = shock["calendar"].T
    day = np.rint(np.arctan2(sine, cosine) / (2 * np.pi) * 7).astype(int) % 7
    demand = np.maximum(state.demand, 1e-3)
    cover = np.clip(state.on_hand / (demand * (model.params.lead_time + 1)), 0, 3)
    sold = demand.sum(axis=1) / model.expected.sum()
    columns = [WEEK[day], np.log(sold), cover.mean(axis=1), model.ratings(state).mean(axis=1)]
    columns += [state.customers.sum(axis=1) / model.params.population, state.delivery[:, 0]]
    store = np.stack(columns, axis=1).astype(float)
    share = np.log(state.popularity)
    share = share - share.mean(axis=1, keepdims=True)
    cost = np.broadcast_to(np.log(model.cost), demand.shape)
    own = np.stack([share, np.log(demand / demand.mean(axis=1, keepdims=True)), cover, model.ratings(state), cost], 2)
    wide = np.broadcast_to(store[:, None], (*demand.shape, store.shape[1]))
    return store, np.concatenate([wide, own], axis=2).astype(float)


def _chances(model: Window, store: np.ndarray, item: np.ndarray) -> dict[str, np.ndarray]:
    """Return the manager's chances: prices rise on busy days and in good times, what sells little is promoted, what
    sells is featured, and a day sooner is promised on quiet days for what is in stock."""
    busy, good = (store[:, 0] - 1) / 0.15, store[:, 1]
    push = np.clip(1.2 * busy + 2.0 * good, -2, 2)
    level = np.exp(np.clip(push[:, None] * np.array([-1.0, 0.0, 1.0]), -2, 2))
    share, cover = item[..., store.shape[1]], item[..., store.shape[1] + 2]
    odds = {
        "promotion": -0.8 - 1.5 * share + 0.5 * busy[:, None],
        "rank": -1.0 + 1.5 * share,
        "promise": -0.3 - 0.7 * busy[:, None] + 0.8 * (cover - 1),
    }
    return {"level": level / level.sum(axis=1, keepdims=True)} | {
        name: np.clip(1 / (1 + np.exp(-value)), 0.05, 0.95) for name, value in odds.items()
    }


def _prices(model: Window, level: np.ndarray, promotion: np.ndarray) -> np.ndarray:
    """Return the prices (n, I) of a day, money."""
    return (model.cost + np.array(LEVELS)[level][:, None] * model.markup) * (1 - DISCOUNT * promotion)


def orders_of(model: Window, state, shock: dict, level, given: dict) -> tuple[np.ndarray, np.ndarray]:
    """Return the orders (n, I) and the margin (n,), money, of a day under decisions, without moving on."""
    decided = model.decisions(_prices(model, level, given["promotion"]))
    price, _, orders, _ = model.shop(state, decided, shock | given)
    return orders.demand, ((price - model.cost) * orders.demand).sum(axis=1)


def _effect(model: Window, state, shock: dict, level, given: dict, name: str) -> np.ndarray:
    """Return each item's orders (n, I) with a treatment less those without it, all other decisions as they were."""
    n, items = given[name].shape
    rows = np.repeat(np.arange(n), items)
    own = np.tile(np.arange(items), n)
    many = _taken(state, rows)
    noise = {key: value[rows] for key, value in shock.items()}
    counts = []
    for value in (0, 1):
        changed = {key: value_[rows].copy() for key, value_ in given.items()}
        changed[name][np.arange(n * items), own] = value
        orders, _ = orders_of(model, many, noise, level[rows], changed)
        counts.append(orders[np.arange(n * items), own].reshape(n, items))
    return counts[1] - counts[0]


def _taken(state, rows: np.ndarray):
    """Return the state of some rows, repeated."""
    take = lambda value: tuple(map(take, value)) if isinstance(value, tuple) else value[rows]
    return type(state)(*(take(getattr(state, name)) for name in state.__slots__))


def training_keys(first: int, count: int) -> np.ndarray:
    """Return the keys of `count` training seasons from the given one on."""
    return as_keys(np.arange(first, first + count))
