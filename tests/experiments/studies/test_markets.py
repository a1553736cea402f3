"""Prices for each market against one price: multiples are chosen on training seasons, the table is over stores."""

import numpy as np
from storelab.agents.heuristics import marketplace
from storelab.envs import TASKS
from storelab.experiments.studies import markets

SMALL = dict(items=5, horizon=12, population=600.0, page_size=3, fleet_capacity=12.0)


def test_chosen_multiples_are_no_worse_than_a_common_one(monkeypatch):
    monkeypatch.setattr(markets, "GRID", np.array([0.5, 0.8, 1.1, 1.4]))
    earned = {}
    for way in ("net", "own"):
        model = TASKS["MarketplaceMarkets"](**SMALL, market_prices=way).model("train")
        rule = marketplace.Heuristic("composite", marketplace.textbook(model), model)
        seasons = model.scenarios(range(8))
        rule.params["price"] = markets.chosen(rule, seasons)
        assert len(rule.params["price"]) == (3 if way == "own" else 1)
        assert set(rule.params["price"]) <= set(markets.GRID)
        earned[way] = marketplace.profits(model, rule, seasons, 1)[0]
    assert earned["own"] >= earned["net"]


def test_the_table_has_paired_intervals_over_stores():
    rows = [
        {"way": way, "store": store, "price": [1.0], "earned": [100.0 * store + gain, 100.0 * store + gain + 2]}
        for store in range(3)
        for gain, way in enumerate(markets.WAYS)
    ]
    text = markets.table([*rows, {"way": next(iter(markets.WAYS)), "store": 9, "price": [1.0], "earned": [1e6]}])
    assert "| a markup for each market | 1.00 | 103 | +2 [+2, +2] | +1 [+1, +1] |" in text
