"""A synthetic store's customers, orders and ratings across borders: where customers live, and what they pay there."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from ..markets import Market

STREAM = 100  # of the store's seed, apart from those that draw the store


def across(
    markets: Sequence[Market],
    elasticity: float,
    seed: int,
    customers: pd.DataFrame,
    orders: pd.DataFrame,
    ratings: pd.DataFrame,
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Return the tables with the markets in them; what was sold, when, and net prices stay as they were.

    As many people live in each market, and demand there falls with the price with tax: a customer is from a market with
    a chance in proportion to (gross price / net price)^-elasticity.

    Args:
        markets: the first one is home.
        elasticity: of demand to the price, the items' mean.
        seed: of the store.
        customers: gets `market`, `currency` and `language`.
        orders: gets these, `tax` and `duty` (home money per unit, on top of the net `price`), and `shown`, the price
            with both in the market's currency, at the rate of `markets`, to two decimals. Guests live at home.
        ratings: gets `language`.
    """
    chance = np.array([market.factor for market in markets]) ** -float(elasticity)
    rng = np.random.default_rng([seed, STREAM])
    lives = rng.choice(len(markets), len(customers), p=chance / chance.sum())
    named = {name: np.array([getattr(m, name) for m in markets]) for name in ("currency", "language", "rate")}
    named["market"] = np.array([market.name for market in markets])
    number = pd.Index(customers["customer"])
    of_order = np.r_[lives, 0][number.get_indexer(orders["customer"])]
    net = orders["price"].to_numpy(float)
    rates = np.array([market.taxes(1.0) for market in markets])[of_order]  # duty and tax of a net price of 1
    told = ("market", "currency", "language")
    customers = customers.assign(**{name: named[name][lives] for name in told})
    orders = orders.assign(
        **{name: named[name][of_order] for name in told},
        tax=net * rates[:, 1],
        duty=net * rates[:, 0],
        shown=np.round(net * (1 + rates.sum(axis=1)) / named["rate"][of_order], 2),
    )
    ratings = ratings.assign(language=named["language"][np.r_[lives, 0][number.get_indexer(ratings["customer"])]])
    return customers, orders, ratings
