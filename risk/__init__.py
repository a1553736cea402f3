"""Transactions in, the probability of fraud out."""

from .features import FEATURES, Stream, features
from .scoring import Scorer
from .synthetic import FraudData, TransactionParams, generate
from .tabular import Calibration, Trees, TreesParams
from .transactions import TRANSACTIONS, Split, read_transactions, split_by_time

__all__ = [
    "Calibration",
    "FEATURES",
    "FraudData",
    "Scorer",
    "Split",
    "Stream",
    "TRANSACTIONS",
    "TransactionParams",
    "Trees",
    "TreesParams",
    "features",
    "generate",
    "read_transactions",
    "split_by_time",
]
