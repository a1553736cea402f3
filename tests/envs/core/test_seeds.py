"""The ledger of seed streams: no scenario of one purpose is ever one of another, nor of another learner."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from storelab.envs.core import seeds
from storelab.errors import FieldError

LEARNERS = st.one_of(
    st.sampled_from([0, 1, seeds.BLOCKS - 1, seeds.BLOCKS, seeds.BLOCKS + 1, seeds.LARGEST_SEED]),
    st.integers(0, seeds.LARGEST_SEED),
)


def edges(size: int):
    """Indices below a size, its ends among them often."""
    return st.one_of(st.sampled_from([0, size - 1]), st.integers(0, size - 1))


def keys(streams) -> set[tuple[int, int]]:
    """What bare seeds (n,) or keys (n, 2) are as keys."""
    array = np.asarray(streams, dtype=np.uint64)
    array = array if array.ndim == 2 else np.stack([array, np.zeros_like(array)], axis=1)
    return {tuple(row) for row in array.tolist()}


@st.composite
def scenarios(draw):
    """What draws scenarios (purpose, learner), and the keys of some of them."""
    purpose = draw(st.sampled_from(["training", "evolution", "start", "test", "imagined", *seeds.PURPOSES]))
    if purpose in seeds.PURPOSES:
        return (purpose, None), keys(seeds.purpose_seeds(purpose, 1, draw(edges(seeds.PURPOSES[purpose][1]))))
    learner = draw(LEARNERS)
    if purpose == "training":
        row, episode = draw(edges(seeds.BLOCK)), draw(edges(seeds.IMAGINED))
        return (purpose, learner), {(int(seeds.training_seeds(learner, row + 1)[-1]), episode)}
    if purpose == "evolution":  # of as many seasons as there may ever be
        season = draw(edges(2**61))
        return (purpose, learner), keys(seeds.evolution_keys(learner, season, 1))
    if purpose == "start":
        return (purpose, learner), keys(seeds.evolution_start(learner, draw(edges(seeds.START)) + 1)[-1:])
    if purpose == "test":
        return (purpose, None), keys(seeds.test_keys([learner]))
    return (purpose, None), keys(seeds.imagined_keys(learner, draw(edges(100)) + 1))


def test_no_two_purposes_share_a_scenario(share):
    @settings(max_examples=share(20_000))
    @given(scenarios(), scenarios())
    def each(one, other):
        if one[0] != other[0]:
            assert not one[1] & other[1]

    each()


def blocks(learner: int) -> list[tuple[int, int]]:
    """First and last seed of a learner's blocks, rising."""
    training, start = seeds.training_seeds(learner, seeds.BLOCK), seeds.evolution_start(learner, seeds.START)
    evolution = seeds.evolution_keys(learner, 0, seeds.BLOCK - seeds.START)[:, 0]
    assert (evolution[-1] + 1, len(evolution) + len(start)) == (start[0], seeds.BLOCK)
    return [(int(training[0]), int(training[-1])), (int(evolution[0]), int(start[-1]))]


def test_the_intervals_of_the_low_seeds_lie_apart():
    """All of them: the first learners' blocks and the purposes."""
    ends = [ends for learner in range(seeds.BLOCKS) for ends in blocks(learner)]
    for purpose, (_, size) in seeds.PURPOSES.items():
        first, last = seeds.purpose_seeds(purpose, 1), seeds.purpose_seeds(purpose, 1, size - 1)
        ends.append((int(first[0]), int(last[0])))
    ends.sort()
    assert all(last < first for (_, last), (first, _) in pairwise(ends))
    assert ends[-1][1] < seeds.BLOCKS << 32


def test_the_intervals_of_the_high_seeds_lie_apart(share):
    """A learner from `BLOCKS` on has 2^32 seeds that are its alone, and its two blocks lie apart in them."""

    @settings(max_examples=share(200))
    @given(LEARNERS.filter(lambda seed: seed >= seeds.BLOCKS))
    def each(learner):
        (first, last), (second, end) = blocks(learner)
        assert learner << 32 <= first <= last < second <= end < learner + 1 << 32
        assert end < 2**63

    each()


def test_what_is_played_what_is_imagined_and_what_is_held_out_differ_in_the_episode():
    seasons = seeds.evolution_keys(0, 2**61, 4)
    assert (seasons[:, 1] < seeds.IMAGINED).all()
    imagined, held_out = seeds.imagined_keys(7, 100), seeds.test_keys(np.arange(5))
    assert (imagined[:, 1] >= seeds.IMAGINED).all()
    assert (imagined[:, 1] < seeds.TEST).all()
    assert (held_out[:, 1] == seeds.TEST).all()


def test_numbers_that_results_rest_on():
    assert seeds.purpose_seeds("tuning", 2).tolist() == [1_000_000_000, 1_000_000_001]
    assert seeds.purpose_seeds("curve", 1).tolist() == [1_100_000_000]
    assert seeds.purpose_seeds("dataset", 2, 3).tolist() == [1_300_000_003, 1_300_000_004]
    assert seeds.purpose_seeds("history", 1, 5).tolist() == [900_000_005]
    assert seeds.test_keys([3]).tolist() == [[3, 2**63]]
    assert seeds.training_seeds(2, 2).tolist() == [2_000_000, 2_000_001]


@pytest.mark.parametrize(
    ("call", "field"),
    [
        (lambda: seeds.training_seeds(-1, 1), "seed"),
        (lambda: seeds.training_seeds(2**31, 1), "seed"),
        (lambda: seeds.training_seeds(1.5, 1), "seed"),
        (lambda: seeds.training_seeds(True, 1), "seed"),
        (lambda: seeds.training_seeds(0, seeds.BLOCK + 1), "num_envs"),
        (lambda: seeds.evolution_start(0, seeds.START + 1), "num_envs"),
        (lambda: seeds.purpose_seeds("tuning", 1, 100_000_000), "seeds"),
        (lambda: seeds.purpose_seeds("tuning", 1, -1), "seeds"),
    ],
)
def test_more_than_a_purpose_has_is_refused(call, field):
    with pytest.raises(FieldError) as refused:
        call()
    assert refused.value.field == field
