"""Transactions in, the probability of fraud out."""

from .features import FEATURES, Stream, features
from .synthetic import FraudData, TransactionParams, generate
from .transactions import TRANSACTIONS, Split, read_transactions, split_by_time

__all__ = [
    "FEATURES",
    "FraudData",
    "Split",
    "Stream",
    "TRANSACTIONS",
    "TransactionParams",
    "features",
    "generate",
    "read_transactions",
    "split_by_time",
]
