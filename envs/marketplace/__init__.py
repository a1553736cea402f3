"""The whole store: stock, prices, page, fraud, delivery and marketing, which act on one another."""

from ...plugins import Environment

ENVIRONMENT = Environment(
    name="marketplace",
    package=__name__,
    model="model:Marketplace",
    parallel="parallel:MarketplaceParallel",
    params="params:MarketplaceParams",
    agent="evolution",
    picture="Marketplace",
    route="store",
    tasks={},  # its one task, whose visits may come from data, is declared with the stores
)
