"""Environments: scenarios, dynamics and references, as Gymnasium sees them."""

from .adapters import StoreEnv, StoreVectorEnv
from .demand import Days, DemandParams, DemandSource, HistoryDemand, PathDemand, RateDemand, TableDemand
from .inventory import Inventory, InventoryParams
from .rollout import Policy, rollout
from .tasks import TASKS, Task

__all__ = [
    "Days",
    "DemandParams",
    "DemandSource",
    "HistoryDemand",
    "Inventory",
    "InventoryParams",
    "PathDemand",
    "Policy",
    "RateDemand",
    "StoreEnv",
    "StoreVectorEnv",
    "TASKS",
    "TableDemand",
    "Task",
    "rollout",
]
