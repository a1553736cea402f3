"""Agents: heuristics and learners, all of them policies of the same form. `agents.sb3` needs the extra `learn`."""

from ..envs import Dispatch, Duopoly, Marketplace, Pricing, SupplyChain
from . import dispatch, duopoly, heuristics, marketplace, network_heuristics, pricing
from .heuristics import HEURISTICS, Heuristic, available, tune

__all__ = ["HEURISTICS", "Heuristic", "available", "rules_of", "tune"]


def rules_of(model):
    """Return the module with the heuristics of a model: `Heuristic`, `available` and `tune`."""
    own = {
        Pricing: pricing,
        Duopoly: duopoly,
        Dispatch: dispatch,
        SupplyChain: network_heuristics,
        Marketplace: marketplace,
    }
    return own.get(type(model), heuristics)
