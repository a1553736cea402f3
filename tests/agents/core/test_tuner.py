"""The one tuner: it finds the best parameters, of items apart and together, and scores all on the same scenarios."""

import numpy as np
import pytest
from storelab.agents.core.tuner import Score, coordinates, halved, neighbourhood, pattern_search, tiled

PEAKS = np.array([[3.0, -1.0], [0.5, 2.5]])  # (parameters, items)


def apart(candidates):
    """A smooth hill for each item, with its two parameters entangled."""
    first, second = np.moveaxis(candidates - PEAKS, 1, 0)
    return -(first**2) - second**2 - 1.5 * first * second


def together(candidates):
    return apart(candidates).sum(axis=1, keepdims=True)


def free(values):
    return values


@pytest.mark.parametrize("options", [{}, {"joint": 4, "sweeps": 40}])
@pytest.mark.parametrize("score", [apart, together])
def test_a_search_ends_at_the_top_of_the_hill(score, options):
    moves = coordinates([2], (-3, -1, 1, 3)) if options else neighbourhood(2)
    groups = [moves * group for group in (np.eye(2) if score is together else np.ones((1, 2)))]
    steps = halved(np.ones((2, 2)), 1e-4)
    best = pattern_search(score, np.zeros((1, 2, 2)), groups, steps, free, **options)
    assert np.allclose(best, PEAKS, atol=0.01)


def test_a_search_begins_at_each_items_best_candidate():
    candidates = np.array([[[3.0, 0.0], [0.5, 0.0]], [[0.0, -1.0], [0.0, 2.5]]])
    assert np.array_equal(pattern_search(apart, candidates, [neighbourhood(2)], [], free), PEAKS)


def test_only_allowed_parameters_are_tried():
    seen = []

    def score(candidates):
        seen.append(candidates)
        return apart(candidates)

    whole = lambda values: np.clip(np.round(values), 0, 2)
    best = pattern_search(score, np.zeros((1, 2, 2)), [neighbourhood(2)], [1.0], whole)
    assert np.array_equal(np.unique(np.concatenate(seen)), [0, 1, 2])
    assert best[0].tolist() == [2, 0]


def test_moves_change_what_they_say():
    assert len(neighbourhood(3)) == 26
    moves = coordinates([2, 3], (-1, 2))
    assert moves.shape == (12, 2, 3, 1)
    assert (np.count_nonzero(moves.reshape(12, -1), axis=1) == 1).all()
    assert moves[3, 0, 1, 0] == 2


def test_steps_are_halved_down_to_the_smallest():
    assert halved(8.0, 1.0) == [8, 4, 2]
    assert np.array_equal(halved(np.array([8.0, 1.0]), 3.0), [[8, 1], [4, 0.5]])
    assert halved(1.0, 1.0) == []


def test_all_candidates_are_scored_on_the_same_scenarios():
    scenario = {"demand": np.arange(6.0).reshape(3, 2), "left": np.ones((3, 2, 1))}
    assert np.array_equal(tiled(scenario, 2)["demand"], [[0, 1], [2, 3], [4, 5], [0, 1], [2, 3], [4, 5]])
    batches = []

    def earned(levels, scenario):
        batches.append(len(levels))
        return levels * scenario["demand"].sum(axis=1)[:, None]

    candidates = np.arange(5.0).reshape(5, 1, 1)
    score = Score(["level"], lambda values: values["level"], earned, scenario, rows=6)
    assert np.array_equal(score(candidates), 5 * candidates[:, 0])  # sums of 1, 5 and 9: 5 on average
    assert batches == [6, 6, 3]
