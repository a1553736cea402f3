"""Customers: next purchase, rating, churn and spend from a customer's history."""

from ..learning.registry import Registry
from .campaign import Campaign
from .histories import EVENTS, TASKS, Samples, read_events, samples
from .synthetic import CustomerParams, Customers, generate

BEHAVIOUR_MODELS = Registry(
    __name__,
    "behaviour model",
    {"behaviour_network": ".network:BehaviourNetwork"},
    saved={"customers-network": "behaviour_network"},
)
create, load = BEHAVIOUR_MODELS.create, BEHAVIOUR_MODELS.load

__all__ = [
    "BEHAVIOUR_MODELS",
    "Campaign",
    "CustomerParams",
    "Customers",
    "EVENTS",
    "Samples",
    "TASKS",
    "create",
    "generate",
    "load",
    "read_events",
    "samples",
]
