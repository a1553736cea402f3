"""Environments: scenarios, dynamics and references behind Gymnasium's interface. Names load when they are used."""

# ruff: noqa: F401 (the imports for editors)

from typing import TYPE_CHECKING

from ..plugins import load
from .registry import TASKS, environments, make_env, make_parallel_env, make_vector_env

if TYPE_CHECKING:  # what `__getattr__` gives, for editors
    from .core.adapters import StoreEnv
    from .core.contract import Model, Policy, Reference, Rule
    from .core.demand import (
        Days,
        DemandParams,
        DemandSource,
        HistoryDemand,
        NormalDemand,
        PathDemand,
        RateDemand,
        TableDemand,
    )
    from .core.rollout import rollout
    from .core.task import Task
    from .core.vector import StoreVectorEnv
    from .dispatch.model import Dispatch
    from .dispatch.params import DispatchParams
    from .duopoly.model import Duopoly
    from .duopoly.params import DuopolyParams
    from .inventory.model import Inventory
    from .inventory.params import InventoryParams
    from .inventory_game.model import InventoryGame
    from .inventory_game.params import InventoryGameParams
    from .marketplace.model import Marketplace
    from .marketplace.params import MarketplaceParams
    from .pricing.model import Pricing
    from .pricing.params import PriceDemandParams, PricingParams
    from .supply_chain.model import SupplyChain
    from .supply_chain.params import Arc, Node, SupplyChainParams, network

_CORE = {
    ".core.adapters": "StoreEnv",
    ".core.vector": "StoreVectorEnv",
    ".core.contract": "Model Policy Reference Rule",
    ".core.demand": "Days DemandParams DemandSource HistoryDemand NormalDemand PathDemand RateDemand TableDemand",
    ".core.rollout": "rollout",
    ".core.task": "Task",
}
_PLACES = {name: f"{__name__}{module}:{name}" for module, names in _CORE.items() for name in names.split()}
for _environment in environments().values():
    for _place in (_environment.model, _environment.params, *_environment.exports):
        _PLACES[_place.partition(":")[2]] = f"{_environment.package}.{_place}"
__all__ = ["TASKS", "make_env", "make_parallel_env", "make_vector_env", *_PLACES]


def __getattr__(name: str):
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return load(_PLACES[name])


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
