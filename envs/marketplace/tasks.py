"""The whole store as a task."""

from ..core.task import Task, override
from .model import Marketplace
from .params import MarketplaceParams
from .references import bounds


def marketplace_task(**changes) -> Task:
    """The whole store, on generated visits; a bound on its profit, given the visits."""
    return Task("Marketplace", override(MarketplaceParams(), changes), Marketplace, hindsight=bounds)
