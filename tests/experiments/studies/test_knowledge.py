"""The study of knowledge, on small tables: what is measured, and that each part writes its table."""

import numpy as np
import pandas as pd
from storelab.experiments.studies import knowledge


def folder(path):
    """A shop with Complete Journey's columns: customers who buy mostly one type, of one maker."""
    rng = np.random.default_rng(0)
    size = 240
    table = pd.DataFrame({"product_id": [str(1000 + k) for k in range(size)]})
    table["manufacturer_id"] = rng.integers(0, 4, size).astype(str)
    table["department"], table["brand"], table["package_size"] = "GROCERY", "National", "1 LB"
    table["product_type"] = [f"TYPE {k % 8}" for k in range(size)]
    table["product_category"] = [f"CATEGORY {k % 4}" for k in range(size)]
    table.to_parquet(path / "complete_journey_products.parquet")
    rows = []
    for customer in range(120):
        likes = np.flatnonzero(np.arange(size) % 8 == customer % 8)
        for visit in range(20):
            day = pd.Timestamp("2017-01-02") + pd.Timedelta(days=int(18 * visit + rng.integers(0, 7)))
            for item in {*rng.choice(likes, 2), *rng.choice(size, 1)}:
                rows.append((str(customer), f"{customer}-{visit}", table["product_id"][item], 1.0, 2.0, 0.0, day))
    names = ["household_id", "basket_id", "product_id", "quantity", "sales_value", "retail_disc"]
    lines = pd.DataFrame(rows, columns=[*names, "transaction_timestamp"])
    lines.to_parquet(path / "complete_journey_transactions_sample.parquet")
    return path


def test_the_graph_finds_new_items(tmp_path):
    table = knowledge.cold_journey(folder(tmp_path), 2).splitlines()
    found = {row.split("|")[1].strip(): float(row.split("|")[2]) for row in table[2:]}
    assert found["graph"] > found["random"] + 0.1
    assert set(found) == {"random", "nearest text", "nearest text and popularity of the kind", "graph"}


def test_substitutes_and_rules_make_tables(tmp_path, monkeypatch):
    monkeypatch.setattr(knowledge, "MARKUPS", np.array([1.0, 1.2]))
    monkeypatch.setattr(knowledge, "TUNING", 2)
    table = knowledge.substitutes(folder(tmp_path), 3).splitlines()
    shares = {row.split("|")[1].strip(): float(row.split("|")[2]) for row in table[2:]}
    assert 0 < shares["random"] < 1
    assert len(shares) == 6
    text = knowledge.rules(4, 2).splitlines()
    broken = {row.split("|")[1].strip(): float(row.split("|")[2]) for row in text[2:]}
    assert broken["no rules"] > 0
    assert all(value == 0 for name, value in broken.items() if name != "no rules")
