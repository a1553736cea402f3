"""Environments: scenarios, dynamics and references, as Gymnasium sees them."""

from .adapters import StoreEnv, StoreVectorEnv
from .demand import Days, DemandParams, DemandSource, HistoryDemand, PathDemand, RateDemand, TableDemand
from .dispatch import Dispatch
from .dispatch_params import DispatchParams
from .inventory import Inventory, InventoryParams
from .pricing import Pricing
from .pricing_params import PriceDemandParams, PricingParams
from .rollout import Policy, rollout
from .tasks import TASKS, Task

__all__ = [
    "Days",
    "DemandParams",
    "DemandSource",
    "Dispatch",
    "DispatchParams",
    "HistoryDemand",
    "Inventory",
    "InventoryParams",
    "PathDemand",
    "Policy",
    "PriceDemandParams",
    "Pricing",
    "PricingParams",
    "RateDemand",
    "StoreEnv",
    "StoreVectorEnv",
    "TASKS",
    "TableDemand",
    "Task",
    "rollout",
]
