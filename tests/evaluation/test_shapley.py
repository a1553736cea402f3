"""Shapley values: the axioms, and a textbook's game."""

import numpy as np
import pytest
from storelab.errors import FieldError
from storelab.evaluation.shapley import coalitions, shapley


def test_the_glove_game():
    """Two left gloves and a right one: the right one is worth 2/3 of a pair (Osborne and Rubinstein 1994, 292.1)."""
    pair = lambda some: np.array([float("right" in some and len(some) > 1)])
    values = shapley(["left", "other left", "right"], pair)
    assert values["right"] == pytest.approx(2 / 3)
    assert values["left"] == pytest.approx(1 / 6) == values["other left"]


def test_axioms_hold_in_every_scenario():
    rng = np.random.default_rng(0)
    names = ["a", "b", "c", "d", "nobody"]
    table = {some: rng.normal(size=7) for some in coalitions(names[:4])}
    asked = []

    def worth(some):
        asked.append(some)
        return table[some - {"nobody"}]

    values = shapley(names, worth)
    assert len(asked) == len(set(asked)) == 32
    total = table[frozenset(names[:4])] - table[frozenset()]
    assert np.allclose(sum(values.values()), total)  # efficiency
    assert np.allclose(values["nobody"], 0)  # a null player


@pytest.mark.parametrize("players", [[], ["a", "a"], [str(k) for k in range(13)]])
def test_bad_players(players):
    with pytest.raises(FieldError, match="players"):
        coalitions(players)
