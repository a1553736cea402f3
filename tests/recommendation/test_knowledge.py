"""The graph beside a recommender: new items inherit, rules hold, stock-outs are substituted; kept, and served."""

import shutil

import numpy as np
import pandas as pd
import pytest
from storelab.errors import FieldError
from storelab.learning.base import Card
from storelab.recommendation import create
from storelab.recommendation.base import Histories, Log
from storelab.recommendation.graph import Graph
from storelab.recommendation.knowledge import Knowledge

ITEMS, KINDS, NEW = 48, 4, 4  # the last items are new, one of each kind
CARD = Card("made up", "none", {}, "a test", "none")
RULES = "never i44 beside i45  # two new ones\nnever kind=2 beside kind=3"


@pytest.fixture(scope="module")
def world() -> tuple[Log, Graph, pd.DataFrame]:
    """Customers who buy within one of four kinds, and what they buy; the kinds of all items."""
    rng = np.random.default_rng(0)
    rows = []
    for customer in range(200):
        for day in rng.integers(0, 100, 12):
            kind = customer % KINDS if rng.random() < 0.9 else rng.integers(KINDS)
            rows.append((f"c{customer}", f"i{KINDS * rng.integers((ITEMS - NEW) // KINDS) + kind}", day))
    frame = pd.DataFrame(rows, columns=["customer", "item", "day"])
    frame["timestamp"] = pd.Timestamp("2024-01-01") + pd.to_timedelta(frame["day"], unit="D")
    catalogue = pd.DataFrame({"item": [f"i{k}" for k in range(ITEMS)]})
    catalogue["kind"] = (np.arange(ITEMS) % KINDS).astype(str)
    return Log.from_frame(frame), Graph.from_catalogue(catalogue, ["kind"]), catalogue


@pytest.fixture(scope="module")
def known(world) -> Knowledge:
    log, graph, _ = world
    triples = pd.DataFrame([("i0", "substitute", "i7")], columns=["head", "relation", "tail"])
    return Knowledge.fit(log, graph.with_triples(triples), "kind", RULES)


def asked(log: Log) -> tuple[Histories, np.ndarray]:
    """Three customers, of the kinds 0, 1 and none, and a ranking of all the model's items for each."""
    bought = [[("i0", "2024-03-01"), ("i4", "2024-03-02")], [("i1", "2024-03-01")], []]
    return Histories.of(bought, log.items, "2024-05-01"), np.tile(np.arange(len(log.items)), (3, 1))


def test_new_items_inherit_and_say_from_what(world, known):
    histories, ranked = asked(world[0])
    lists, because = known.lists(ranked, histories, 5, 1)
    assert sorted(known.new) == ["i44", "i45", "i46", "i47"]
    assert [[item for item in row if item in known.new] for row in lists[:2]] == [["i44"], ["i45"]]  # as they buy
    assert because[0][0].startswith("i44 is new, like i")
    assert "kind 0" in because[0][0]
    plain, said = known.lists(ranked, histories, 5, 0)
    assert not set(known.new) & {item for row in plain for item in row}
    assert all("new" not in text.partition(":")[0] for row in said for text in row)


def test_rules_hold_over_lists_and_are_told(world, known):
    histories, ranked = asked(world[0])
    lists, because = known.lists(ranked, histories, 10, 4)
    kind = {f"i{k}": k % KINDS for k in range(ITEMS)}
    for row, said in zip(lists, because, strict=True):
        assert len(row) == 10
        assert not {"i44", "i45"} <= set(row)
        assert not {2, 3} <= {kind[item] for item in row}
        assert any("line 2" in text for text in said)


def test_what_is_out_of_stock_is_substituted(known):
    stock = np.ones(ITEMS, bool)
    offers = known.instead("i0", stock, 3)
    assert offers[0] == ("i7", ["substitute"])  # a user's own link goes before all else
    assert all(int(item[1:]) % KINDS == 0 for item, _ in offers[1:])
    stock[7] = False
    assert "i7" not in [item for item, _ in known.instead("i0", stock, 3)]
    with pytest.raises(FieldError, match="nowhere"):
        known.instead("nowhere", None, 3)


def test_stock_of_new_items(world, known):
    histories, ranked = asked(world[0])
    stock = np.ones(ITEMS, bool)
    stock[44] = False
    lists, _ = known.lists(ranked, histories, 5, 2, stock)
    assert all("i44" not in row for row in lists)


def test_a_folder_gives_the_same_answers(world, known, tmp_path):
    known.save(tmp_path, CARD)
    again = Knowledge.load(tmp_path)
    histories, ranked = asked(world[0])
    assert again.lists(ranked, histories, 8, 3) == known.lists(ranked, histories, 8, 3)
    assert again.instead("i5", None, 3) == known.instead("i5", None, 3)
    assert not any(name.startswith("c1") for name in (tmp_path / "config.json").read_text().split('"'))  # no customer
    alone = Knowledge.fit(world[0], Graph(world[0].items))
    alone.save(tmp_path / "alone", CARD)
    assert Knowledge.load(tmp_path / "alone").instead("i5", None, 3) == []
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    with pytest.raises(ValueError, match=r"model\.safetensors"):
        Knowledge.load(tmp_path)


def test_items_of_the_log_must_be_in_the_graph(world):
    with pytest.raises(FieldError, match="i"):
        Knowledge.fit(world[0], Graph(["i0"]))


def test_served_with_the_graph_beside_the_model(world, known, tmp_path):
    from storelab.experiments.serving.models import Recommend

    create("item_knn").fit(world[0]).save(tmp_path / "m", CARD)
    known.save(tmp_path / "m" / "knowledge", CARD)
    served = Recommend(tmp_path / "m")
    served.trial()
    assert served.about["new_items"] == 4
    bought = [{"item": "i0", "time": "2024-03-01T00:00:00Z"}]
    body = {"customers": [bought, []], "now": "2024-05-01T00:00:00Z", "k": 6, "new_items": 1, "instead_of": ["i0"]}
    answer = served.finished(served.read(served.Body.model_validate(body)))
    assert "i44" in answer.items[0]
    assert "kind 0" in answer.because[0][0]
    assert answer.substitutes["i0"][0].item == "i7"
    for wrong, message in (({"new_items": 7}, "new_items: 7"), ({"instead_of": ["nowhere"]}, "nowhere")):
        with pytest.raises(FieldError, match=message):
            served.read(served.Body.model_validate(body | wrong))
    shutil.rmtree(tmp_path / "m" / "knowledge")
    plain = Recommend(tmp_path / "m")
    plain.trial()
    with pytest.raises(FieldError, match="no graph"):
        plain.read(plain.Body.model_validate(body))


def test_a_dataset_of_purchases_keeps_the_graph(world, tmp_path):
    from storelab.experiments.fitting.datasets import Purchases

    log, _, catalogue = world
    h = log.histories
    table = pd.DataFrame({"customer": np.array(log.users)[h.user], "item": np.array(log.items)[h.item]})
    table["timestamp"] = pd.Timestamp("1970-01-01") + pd.to_timedelta(h.day, unit="D")
    files = {name: str(tmp_path / name) for name in ("p.csv", "c.csv", "t.csv", "r.txt")}
    table.to_csv(files["p.csv"], index=False)
    catalogue.to_csv(files["c.csv"], index=False)
    (tmp_path / "t.csv").write_text("head,relation,tail\ni0,substitute,i7\n")
    (tmp_path / "r.txt").write_text(RULES)
    given = dict(path=files["p.csv"], test_days=10, catalogue=files["c.csv"], attributes=["kind"])
    given |= dict(triples=files["t.csv"], rules=files["r.txt"], kind="kind")
    dataset = Purchases(**given)
    split = dataset.load(0)
    dataset.beside(split, 0, tmp_path / "model", CARD)
    kept = Knowledge.load(tmp_path / "model" / "knowledge")
    assert set(kept.new) >= {"i44", "i45", "i46", "i47"}
    assert kept.instead("i0", None, 1)[0][0] == "i7"
    (tmp_path / "r.txt").write_text("never kind=9 beside i0")
    with pytest.raises(ValueError, match="line 1"):
        dataset.load(0)
    with pytest.raises(FieldError, match=r"kind: .*colour"):
        Purchases(**given | dict(rules="", kind="colour")).load(0)
    with pytest.raises(FieldError, match="attributes"):
        Purchases(path=files["p.csv"], test_days=10, attributes=["kind"]).load(0)
