"""What is inherited through a graph: new items are ranked by what their values have shown, substitutes are found."""

from functools import partial
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from storelab.errors import FieldError
from storelab.recommendation.graph import Graph
from storelab.recommendation.inherit import Logit, cold_features, fit_cold
from storelab.recommendation.substitutes import Substitutes, switches

ITEMS, KINDS = 60, 6


def world(seed: int = 0):
    """Customers who buy within one of six kinds each; brands that mean nothing."""
    rng = np.random.default_rng(seed)
    kind = np.arange(ITEMS) % KINDS
    catalogue = pd.DataFrame({"item": [f"i{k}" for k in range(ITEMS)], "kind": kind.astype(str)})
    catalogue["brand"] = rng.integers(0, 4, ITEMS).astype(str)
    likes = rng.integers(0, KINDS, 300)
    chance = np.where(kind == likes[:, None], 0.25, 0.01)
    early, late = (sparse.csr_array((rng.random(chance.shape) < chance).astype(float)) for _ in range(2))
    return Graph.from_catalogue(catalogue, ["kind", "brand"]), likes, kind, early, late


def test_logit_finds_the_weights():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(500, 10, 2))
    utility = features @ np.array([1.5, 0.0]) + rng.gumbel(size=(500, 10))
    chosen = (utility == utility.max(axis=1, keepdims=True)).astype(float)
    found = Logit.fit(["a", "b"], features.reshape(-1, 2), np.repeat(np.arange(500), 10), chosen.ravel())
    assert found.weight / found.deviation == pytest.approx([1.5, 0.0], abs=0.15)
    with pytest.raises(FieldError, match="chosen"):
        Logit.fit(["a", "b"], features.reshape(-1, 2), np.repeat(np.arange(500), 10), np.zeros(5000))


def test_new_items_go_to_those_who_like_their_kind():
    graph, likes, kind, early, late = world()
    new = np.arange(12)  # two of each kind
    warm = np.arange(ITEMS) >= 12
    weights = fit_cold(partial(cold_features, graph), early, late, warm, seed=0)
    shown = sparse.csr_array(early @ sparse.diags_array(warm.astype(float)))
    _, features = cold_features(graph, shown, shown, new)
    best = weights.utility(features).argmax(axis=1)
    assert (kind[new][best] == likes).mean() > 0.8
    again = fit_cold(partial(cold_features, graph), early, late, warm, seed=0)
    assert np.array_equal(again.weight, weights.weight)


def test_a_candidates_own_buyers_are_not_looked_at():
    graph, _, _, early, _ = world()
    new = np.array([0, 7])
    changed = early.tolil()
    changed[:50, 0] = 1.0
    hidden = sparse.csr_array(early @ sparse.diags_array((np.arange(ITEMS) > 7).astype(float)))
    names, first = cold_features(graph, hidden, early, new)
    _, second = cold_features(graph, hidden, changed.tocsr(), new)
    popular = [k for k, name in enumerate(names) if name.startswith("popularity")]
    assert np.allclose(first[:, 0, popular], second[:, 0, popular])


def purchases(seed: int = 0, days: int = 200) -> pd.DataFrame:
    """Everybody buys one of four teas a week; two brands, and customers mostly stay within one."""
    rng = np.random.default_rng(seed)
    rows = []
    for customer in range(60):
        for day in range(0, days, 7):
            own = customer % 2
            item = 2 * (own if rng.random() < 0.9 else 1 - own) + rng.integers(0, 2)
            rows.append(
                (
                    f"c{customer}",
                    f"tea{item}",
                    f"b{customer}-{day}",
                    pd.Timestamp("2024-01-01") + pd.Timedelta(days=day),
                )
            )
    return pd.DataFrame(rows, columns=["customer", "item", "basket", "timestamp"])


TEAS = Graph.from_catalogue(
    pd.DataFrame({"item": [f"tea{k}" for k in range(5)], "kind": "tea", "brand": ["A", "A", "B", "B", "B"]}),
    ["kind", "brand"],
)


def test_switches_are_to_another_item_of_the_kind():
    frame = purchases()
    found = switches(frame, TEAS, "kind")
    assert (found["gone"] != found["item"]).all()
    one = frame[frame["customer"] == "c0"]
    names = one["item"].tolist()
    assert len(found[found["customer"] == "c0"]) == sum(a != b for a, b in pairwise(names))


@pytest.mark.parametrize("personal", [False, True])
def test_offers_stay_in_the_brand(personal):
    model = Substitutes.fit(purchases(), TEAS, "kind", pd.Timestamp("2024-05-01"), personal)
    stock = np.array([False, True, True, True, True])
    offers = model.offers("tea0", stock, 3, customer="c0")
    assert offers[0] == ("tea1", ["kind tea", "brand A"])
    assert len(offers) == 3
    stock[1] = False
    assert "tea1" not in [name for name, _ in model.offers("tea0", stock, 3)]
    told = TEAS.with_triples(pd.DataFrame([("tea0", "substitute", "tea4")], columns=["head", "relation", "tail"]))
    model.graph = told
    assert model.offers("tea0", np.ones(5, bool))[0] == ("tea4", ["substitute", "kind tea"])


def test_bad_asks_are_named():
    model = Substitutes.fit(purchases(), TEAS, "kind", pd.Timestamp("2024-05-01"))
    with pytest.raises(FieldError, match="in_stock"):
        model.offers("tea0", np.ones(3, bool))
    with pytest.raises(FieldError, match="coffee"):
        model.offers("coffee", np.ones(5, bool))
    with pytest.raises(FieldError, match="within"):
        switches(purchases(), TEAS, "colour")
