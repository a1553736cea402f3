"""The whole store as a task, at home and across borders."""

from dataclasses import replace

from ..core.task import Task, override
from .model import Marketplace
from .params import MarketplaceParams
from .references import bounded, bounds


def marketplace_task(**changes) -> Task:
    """The whole store, on generated visits; a bound on its profit, given the visits, where there is one."""
    params = override(MarketplaceParams(), changes)
    return Task("Marketplace", params, Marketplace, hindsight=bounds if bounded(params) else None)


def markets_task(**changes) -> Task:
    """A shop in Great Britain that also sells to the United States and to China, at prices of each market's own.

    With its value-added tax of 20 % the home market is as sensitive to net prices as the segments of `Marketplace`.
    """
    abroad = {"markets": ["gb", "us", "cn"], "market_prices": "own", "price_sensitivity": 0.1}
    return replace(marketplace_task(**abroad | changes), name="MarketplaceMarkets")
