"""Environments: scenarios, dynamics and references, as Gymnasium sees them."""

from .adapters import StoreEnv, StoreVectorEnv
from .demand import Days, DemandParams, DemandSource, HistoryDemand, NormalDemand, PathDemand, RateDemand, TableDemand
from .dispatch import Dispatch
from .dispatch_params import DispatchParams
from .duopoly import Duopoly, DuopolyParams
from .inventory import Inventory, InventoryParams
from .marketplace import Marketplace
from .marketplace_params import MarketplaceParams
from .network import Arc, Node, SupplyChainParams, network
from .pricing import Pricing
from .pricing_params import PriceDemandParams, PricingParams
from .rollout import Policy, rollout
from .supply_chain import SupplyChain
from .tasks import TASKS, Task

__all__ = [
    "network",
    "SupplyChainParams",
    "SupplyChain",
    "NormalDemand",
    "Node",
    "Arc",
    "Days",
    "DemandParams",
    "DemandSource",
    "Duopoly",
    "DuopolyParams",
    "Dispatch",
    "DispatchParams",
    "HistoryDemand",
    "Inventory",
    "InventoryParams",
    "Marketplace",
    "MarketplaceParams",
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
