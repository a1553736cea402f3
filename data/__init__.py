"""Data of a store: readers of tables, the `Panel`, and the synthetic store. It imports no other part of storelab."""

from . import complete_journey, online_retail
from .contract import PANEL, TRANSACTIONS, Column, Schema, read
from .panel import Panel
from .privacy import pseudonymise
from .synthetic import SyntheticStore, SyntheticStoreParams, generate

__all__ = [
    "PANEL",
    "TRANSACTIONS",
    "Column",
    "Panel",
    "Schema",
    "SyntheticStore",
    "SyntheticStoreParams",
    "complete_journey",
    "generate",
    "online_retail",
    "pseudonymise",
    "read",
]
