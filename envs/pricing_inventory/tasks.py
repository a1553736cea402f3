"""The task of deciding price and order together."""

from ..core.task import Task, override
from .model import PricingInventory
from .params import PricingInventoryParams
from .references import reference


def pricing_inventory_task(**changes) -> Task:
    """Price and order of one item over 20 periods: linear Poisson demand, backorders, a fixed order cost of 30.

    With `fixed_cost=0` the problem of Federgruen and Heching 1999, else that of Chen and Simchi-Levi 2004.
    """
    params = override(PricingInventoryParams(fixed_cost=30.0), changes)
    return Task("PricingInventory", params, PricingInventory, lambda: reference(PricingInventory(params)))
