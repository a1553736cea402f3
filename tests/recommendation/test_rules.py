"""Rules over a graph: read, checked against one another, held, and explained when they bind."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from storelab.errors import FieldError
from storelab.recommendation.graph import Graph
from storelab.recommendation.rules import Rules, main

CATALOGUE = pd.DataFrame(
    {"item": ["small", "large", "pump", "refill a", "22423"], "category": ["x", "x", "y", "refill", "z"]}
)
GRAPH = Graph.from_catalogue(CATALOGUE, ["category"])
PRICES = np.array([5.0, 4.0, 10.0, 7.0, 3.0])


def test_ladders_and_bounds_are_held_and_explained():
    text = "# shelf\nprice small <= large\nprice category=refill <= 0.5 * pump  # half\nprice small >= 1"
    rules = Rules(text, GRAPH)
    held, bound = rules.hold_prices(PRICES)
    assert held[:2] == pytest.approx(np.sqrt([20, 20]))  # the geometric mean is nearest in logs
    assert held[3] == pytest.approx(0.5 * held[2])
    assert held[2] * held[3] == pytest.approx(70)
    assert held[4] == 3.0
    assert rules.broken(PRICES) == 2
    assert rules.broken(held) == 0
    assert [b.rule.line for b in bound] == [2, 3]
    assert str(bound[0]) == "price of small 5.00 -> 4.47, price of large 4.00 -> 4.47: line 2 (price small <= large)"
    assert rules.hold_prices(held)[1] == []


def _impossible(ladders) -> bool:
    """Whether a cycle's factors come to less than 1: by all paths (Floyd and Warshall)."""
    reach = np.full((6, 6), np.inf)
    np.fill_diagonal(reach, 0.0)
    for a, b, factor in ladders:
        if a != b:
            reach[a, b] = min(reach[a, b], np.log(float(f"{factor:.3f}")))
    for k in range(6):
        reach = np.minimum(reach, reach[:, [k]] + reach[[k]])
    return bool((np.diag(reach) < -1e-6).any())


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5), st.floats(0.3, 3)), max_size=8), st.integers(0, 99))
def test_held_prices_hold_and_none_are_nearer(ladders, seed):
    names = [f"i{k}" for k in range(6)]
    lines = [f"price {names[a]} <= {factor:.3f} * {names[b]}" for a, b, factor in ladders if a != b]
    text = "\n".join(lines)
    if _impossible(ladders):
        with pytest.raises(ValueError, match="contradict"):
            Rules(text, Graph(names))
        return
    rules = Rules(text, Graph(names))
    rng = np.random.default_rng(seed)
    price = np.exp(rng.normal(size=6))
    held, _ = rules.hold_prices(price)
    assert rules.broken(held) == 0
    size = ((np.log(held) - np.log(price)) ** 2).sum()
    for _ in range(50):
        other = held * np.exp(rng.normal(0, 0.05, 6))
        if rules.broken(other) == 0:
            assert ((np.log(other) - np.log(price)) ** 2).sum() >= size - 1e-4


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("price small <= large\nprice large <= 0.9 * small", [1, 2]),
        ("price pump <= 4\nprice 'refill a' <= 2\nprice small >= 5\nprice small <= pump", [1, 3, 4]),
        ("price small >= 5\nprice small <= 4", [1, 2]),
    ],
)
def test_contradictions_are_named_and_nothing_else(text, lines):
    with pytest.raises(ValueError, match="contradict") as told:
        Rules(text, GRAPH)
    assert [k for k in range(1, 5) if f"line {k} (" in str(told.value)] == lines


def test_a_cycle_that_can_be_held_is_no_contradiction():
    held, _ = Rules("price small <= large\nprice large <= small", GRAPH).hold_prices(PRICES)
    assert held[0] == pytest.approx(held[1])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("never small near large", "line 1 .* is no rule"),
        ("\n\nprice small < large", "line 3 .* is no rule"),
        ("price small <= -3", "is no rule"),
        ("price small <= 0 * large", "is no rule"),
        ("price small <= nothing", "'nothing' is not allowed, expected an item"),
        ("never category=w beside small", "category=w"),
        ("price small <= small", "one item alone"),
        ('never "small beside large', "no closing quotation"),
        ("price small <= 22423", "an item and a number, expected 1 \\* 22423 for the item"),
    ],
)
def test_bad_lines_are_named(text, said):
    with pytest.raises(ValueError, match=said):
        Rules(text, GRAPH)


def test_pages_keep_what_is_better():
    rules = Rules("never category=x beside 'refill a'", GRAPH)
    lists, said = rules.hold_lists(np.array([[0, 3, 1, 2, 4], [3, 0, 1, 2, -1]]), 3)
    assert lists.tolist() == [[0, 1, 2], [3, 2, -1]]
    assert [str(one) for one in said[0]] == [
        "refill a left out beside small: line 1 (never category=x beside 'refill a')"
    ]
    assert len(said[1]) == 2
    free, none = Rules("", GRAPH).hold_lists(np.array([[4, 3, 0]]), 2)
    assert free.tolist() == [[4, 3]]
    assert none == [[]]


def test_at_most_one_of_a_kind():
    lists, _ = Rules("never category=x beside category=x", GRAPH).hold_lists(np.array([[1, 0, 2]]), 3)
    assert lists.tolist() == [[1, 2, -1]]


def test_the_first_of_two_rules_is_told():
    _, said = Rules("never small beside large\nnever large beside small", GRAPH).hold_lists(np.array([[0, 1]]), 2)
    assert [one.rule.line for one in said[0]] == [1]


def test_a_file_of_another_encoding(tmp_path):
    (tmp_path / "rules.txt").write_bytes("price größe <= 2".encode("latin-1"))
    with pytest.raises(ValueError, match=r"rules\.txt: not UTF-8"):
        Rules(tmp_path / "rules.txt", GRAPH)


def test_bad_prices_are_named():
    with pytest.raises(FieldError, match="price"):
        Rules("", GRAPH).hold_prices(np.array([1.0, 2.0, 3.0, 4.0, 0.0]))


def test_the_command(tmp_path, capsys):
    rules, catalogue = tmp_path / "rules.txt", tmp_path / "items.csv"
    rules.write_text("price small <= large\nprice colour=red <= 2\n")
    CATALOGUE.assign(price=PRICES).to_csv(catalogue, index=False)
    triples = tmp_path / "triples.csv"
    triples.write_text("head,relation,tail\n22423,colour,red\n")
    words = [str(rules), str(catalogue), "--attributes", "category", "--triples", str(triples)]
    assert main(words) == 1
    out = capsys.readouterr().out
    assert out.startswith("2 rules, 2 bind\n")
    assert "22423,2.0\n" in out
    assert main(words[:-2]) == 2
    assert "colour=red" in capsys.readouterr().err
