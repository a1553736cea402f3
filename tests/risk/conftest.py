"""Transactions that the tests share, small enough to train on in seconds."""

import pytest
from storelab.risk import TransactionParams, features, generate


@pytest.fixture(scope="session")
def data():
    """1,000 customers over 100 days with five times the usual attacks."""
    more = {"takeovers": 1.5, "promotion_rings": 0.2, "refund_rings": 0.2, "card_tests": 0.3}
    return generate(TransactionParams(customers=1000, days=100, seed=1, **more))


@pytest.fixture(scope="session")
def table(data):
    """The features of all transactions of `data`."""
    return features(data.transactions)
