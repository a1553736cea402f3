"""Points for what is suspicious: more for frauds, none for what is unknown."""

import numpy as np
from storelab.risk import FEATURES, TransactionParams, features, generate
from storelab.risk.metrics import average_precision
from storelab.risk.rules import RULES, suspicion


def test_frauds_get_more_points():
    data = generate(TransactionParams(customers=800, days=60, seed=3))
    fraud, score = data.labels["fraud"].to_numpy(), suspicion(features(data.transactions))
    assert average_precision(fraud, score) > 5 * fraud.mean()
    assert score.min() == 0
    assert score.max() <= 1


def test_points_add_up_and_the_unknown_gets_none():
    table = np.full((3, len(FEATURES)), np.nan)
    table[1] = 1e6
    table[2, FEATURES.index("own declined, day")] = 2
    total = sum(points for points, _, _ in RULES)
    np.testing.assert_allclose(suspicion(table), [0, 1, 3 / total])
