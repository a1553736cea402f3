"""Fraud: the probability that a transaction is fraudulent."""

from ..learning.registry import Registry
from .features import FEATURES, Layout, features
from .scoring import Scorer
from .stream import Stream
from .synthetic import FraudData, TransactionParams, generate
from .tabular import Calibration, Trees, TreesParams
from .transactions import TRANSACTIONS, Split, read_transactions, split_by_time

FRAUD_MODELS = Registry(
    __name__,
    "fraud model",
    {"fraud_trees": ".tabular:Trees", "fraud_sequence": ".sequence:SequenceModel"},
    saved={"risk-trees": "fraud_trees", "risk-sequence": "fraud_sequence"},
)
create, load = FRAUD_MODELS.create, FRAUD_MODELS.load

__all__ = [
    "Calibration",
    "FEATURES",
    "FRAUD_MODELS",
    "FraudData",
    "Layout",
    "Scorer",
    "Split",
    "Stream",
    "TRANSACTIONS",
    "TransactionParams",
    "Trees",
    "TreesParams",
    "create",
    "features",
    "generate",
    "load",
    "read_transactions",
    "split_by_time",
]
