"""A graph of items: made of a catalogue, baskets and a user's triples; bad rows are named."""

import numpy as np
import pandas as pd
import pytest
from storelab.errors import FieldError
from storelab.recommendation.graph import Graph

CATALOGUE = pd.DataFrame(
    {
        "item": ["tea", "green tea", "cup", "pan"],
        "kind": ["drink", "drink", "ware", None],
        "brand": ["A", "B", "A", "A"],
    }
)


@pytest.fixture
def graph():
    return Graph.from_catalogue(CATALOGUE, ["kind", "brand"])


def triples(*rows, columns=("head", "relation", "tail")):
    return pd.DataFrame(rows, columns=list(columns))


def test_attributes_link_items(graph):
    assert graph.shared("tea", "green tea") == ["kind drink"]
    assert graph.shared("tea", "pan") == ["brand A"]
    assert graph.members("brand=A").tolist() == [0, 2, 3]
    assert graph.members("pan").tolist() == [3]
    with pytest.raises(FieldError, match="brand=C"):
        graph.members("brand=C")


def test_triples_come_in_from_a_file_and_go_both_ways(graph, tmp_path):
    path = tmp_path / "triples.csv"
    path.write_text("head,relation,tail,weight\ntea,complement,cup,2\ntea,colour,green,1\ngreen tea,colour,green,1\n")
    made = graph.with_triples(path)
    assert made.edges["complement"][0, 2] == made.edges["complement"][2, 0] == 2
    assert made.shared("tea", "green tea") == ["kind drink", "colour green"]
    assert made.shared("cup", "tea") == ["complement", "brand A"]
    assert graph.edges["complement"].nnz == 0  # the first one stays as it was
    again = made.with_triples(triples(("pan", "kind", "ware"), ("pan", "kind", "steel")))
    assert again.members("kind=steel").tolist() == [3]
    assert again.shared("pan", "cup") == ["kind ware", "brand A"]


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([("tea", "complement", "cup"), ("coffee", "kind", "drink")], "column 'head', row 2: 'coffee' is no item"),
        ([("tea", "substitute", "coffee")], "column 'tail', row 1: 'coffee' is no item"),
        ([("tea", "substitute", "tea")], "row 1: 'tea' is the head itself"),
        ([("tea", "complement", "cup"), ("cup", "substitute", "tea")], "row 2: 'cup' and 'tea' are substitutes"),
        ([("tea", "colour", "")], "column 'tail', row 1"),
    ],
)
def test_bad_triples_are_named(graph, rows, said):
    with pytest.raises(ValueError, match=said):
        graph.with_triples(triples(*rows))


def test_bad_weights_and_columns_are_named(graph):
    columns = ("head", "relation", "tail", "weight")
    with pytest.raises(ValueError, match="weight"):
        graph.with_triples(triples(("tea", "complement", "cup", -1.0), columns=columns))
    rows = [("tea", "complement", "cup", 2.0), ("cup", "complement", "tea", 3.0)]
    with pytest.raises(ValueError, match="row 2: 3 for the same triple, expected the weight of row 1, 2"):
        graph.with_triples(triples(*rows, columns=columns))
    with pytest.raises(ValueError, match="relation"):
        graph.with_triples(triples(("tea", "cup"), columns=("head", "tail")))
    with pytest.raises(FieldError, match="row 2 of item"):
        Graph.from_catalogue(pd.DataFrame({"item": ["tea", None]}), [])
    with pytest.raises(FieldError, match="colour"):
        Graph.from_catalogue(CATALOGUE, ["colour"])
    with pytest.raises(FieldError, match="tea"):
        Graph(["tea", "tea"])


def test_baskets_show_complements_but_not_chance(graph):
    rng = np.random.default_rng(0)
    baskets = [["tea", "cup"] if k % 4 == 0 else [["tea"], ["cup"], ["pan"]][k % 3] for k in range(200)]
    baskets += [[name for name in CATALOGUE["item"][[1, 3]] if rng.random() < 0.3] for _ in range(200)]
    made = graph.with_baskets(baskets)
    assert made.edges["complement"][0, 2] > 0
    assert made.edges["complement"][1, 3] == 0
    told = graph.with_triples(triples(("tea", "substitute", "cup"))).with_baskets(baskets)
    assert told.edges["complement"][0, 2] == 0  # what the user says goes first
