"""The whole store: stock, prices, page, fraud, delivery and marketing, which act on one another."""

from ...plugins import Environment, TaskEntry

ENVIRONMENT = Environment(
    name="marketplace",
    package=__name__,
    model="model:Marketplace",
    parallel="parallel:MarketplaceParallel",
    params="params:MarketplaceParams",
    agent="evolution",
    picture="Marketplace",
    route="store",
    tasks={  # `Marketplace`, whose visits may come from data, is declared with the stores
        "MarketplaceMarkets": TaskEntry(
            "tasks:markets_task",
            "the whole store across borders: currencies, value-added tax, duty and a price for each market",
            "tuned composite of heuristics",
        ),
    },
)
