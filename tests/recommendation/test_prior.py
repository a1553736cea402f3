"""Demand of new items through the graph: what attributes say is found, what they do not say is shrunk away."""

import numpy as np
import pandas as pd
import pytest
from storelab.errors import FieldError
from storelab.recommendation.graph import Graph
from storelab.recommendation.prior import DemandPrior

ITEMS, NEW = 240, 60


def world(strength: float, seed: int = 0):
    """Items whose log demand is a sum over kind and brand, and noise; colours say nothing."""
    rng = np.random.default_rng(seed)
    table = pd.DataFrame({"item": [f"i{k}" for k in range(ITEMS)]})
    for name, values in (("kind", 12), ("brand", 8), ("colour", 30)):
        table[name] = rng.integers(0, values, ITEMS).astype(str)
    effect = strength * (
        rng.normal(size=12)[table["kind"].astype(int)] + rng.normal(size=8)[table["brand"].astype(int)]
    )
    demand = np.exp(2 + effect + 0.3 * rng.normal(size=ITEMS))
    return Graph.from_catalogue(table, ["kind", "brand", "colour"]), demand


def test_new_items_inherit_from_kind_and_brand():
    graph, demand = world(0.6)
    known, new = np.arange(NEW, ITEMS), np.arange(NEW)
    told = np.log(DemandPrior.fit(graph, known, demand[known]).predict(new))
    truth = np.log(demand[new])
    plain = np.log(demand[known]).mean()
    assert ((told - truth) ** 2).mean() < 0.35 * ((plain - truth) ** 2).mean()


def test_where_links_say_nothing_the_mean_is_told():
    graph, demand = world(0.0)
    known, new = np.arange(NEW, ITEMS), np.arange(NEW)
    prior = DemandPrior.fit(graph, known, demand[known])
    assert prior.penalty >= 10
    assert np.log(prior.predict(new)).std() < 0.1
    assert prior.predict(new).mean() == pytest.approx(demand[known].mean(), rel=0.05)  # units, not logs


def test_substitutes_of_ones_own_are_inherited_from():
    items = [f"i{k}" for k in range(40)]
    pairs = [(f"i{k}", "substitute", f"i{k + 1}") for k in range(0, 40, 2)]
    graph = Graph(items).with_triples(pd.DataFrame(pairs, columns=["head", "relation", "tail"]))
    demand = np.exp(np.repeat(np.random.default_rng(0).normal(3, 1, 20), 2))
    new, known = np.arange(0, 10, 2), np.setdiff1d(np.arange(40), np.arange(0, 10, 2))
    told = DemandPrior.fit(graph, known, demand[known]).predict(new)
    assert np.corrcoef(np.log(told), np.log(demand[new]))[0, 1] > 0.95


def test_what_cannot_be_learnt_from_is_refused():
    graph, demand = world(1.0)
    with pytest.raises(FieldError, match="known: 2"):
        DemandPrior.fit(graph, np.arange(2), demand[:2])
    with pytest.raises(FieldError, match="demand"):
        DemandPrior.fit(graph, np.arange(5), np.r_[0.0, demand[:4]])
    with pytest.raises(FieldError, match="graph"):
        DemandPrior.fit(Graph(graph.items), np.arange(5), demand[:5])
