"""Saved models behind their routes: they answer as they do without HTTP, and what they remember is kept in order."""

import shutil
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from storelab.data.privacy import fingerprint, pseudonymise
from storelab.experiments.serving.models import Fraud
from storelab.recommendation.base import Histories
from storelab.risk import Layout, Scorer, Trees, TreesParams, features

from .conftest import CARD

FACTS = {"days": "14", "standard_days": "3", "express_days": "1"}
ORDER = {"status": "sent", "date": "2 May"}


def post(client, route, body, status=200):
    answer = client.post(f"/{route}", json=body)
    assert answer.status_code == status, answer.text
    return answer.json() if status == 200 else answer.json()["detail"]


def rows_of(table) -> list[dict]:
    """Transactions as JSON has them."""
    return [row | {"timestamp": row["timestamp"].isoformat()} for row in table.to_dict("records")]


def test_recommendations_are_the_models(models, saved):
    bought = [[("tea", "2024-01-01T10:00:00")], [], [("cup", "2024-01-02"), ("unheard of", "2024-01-03")]]
    customers = [[{"item": item, "time": time} for item, time in purchases] for purchases in bought]
    body = {"customers": customers, "now": "2024-02-01T00:00:00", "k": 2}
    knn = saved[0]["item_knn"]
    expected = knn.recommend(Histories.of(bought, knn.items, "2024-02-01"), 2)
    lists = post(models, "recommend", body)["items"]
    assert lists == [[knn.items[k] for k in row if k >= 0] for row in expected]
    assert "tea" not in lists[0]
    assert post(models, "recommend", body | {"in_stock": ["pot"], "k": 5})["items"] == [["pot"]] * 3
    zoned = [[purchase | {"time": "2024-01-01T12:00:00+02:00"} for purchase in customer] for customer in customers]
    assert post(models, "recommend", body | {"customers": zoned, "now": "2024-02-01T01:00:00+01:00"})["items"] == lists


def test_a_purchase_after_now_is_refused(models):
    body = {"customers": [[], [{"item": "tea", "time": "2024-03-01"}]], "now": "2024-02-01"}
    assert post(models, "recommend", body, 422).startswith("histories[1] holds a purchase after now")
    for time in (5, "5", False):  # else taken for seconds
        assert "expected ISO 8601" in post(models, "recommend", body | {"now": time}, 422)
    assert post(models, "recommend", body | {"repeats": 1}, 422).startswith("repeats: 1 is not allowed: ")
    for end in ("9999-12-31T00:00:00", "0001-01-01T00:00:00+14:00"):
        assert post(models, "recommend", body | {"now": end}, 422)


def test_sentiment_is_the_models(models, saved):
    texts = ["I love it", "", "broken and late", "👍"]
    found = post(models, "sentiment", {"texts": texts})
    assert found["labels"] == [0, 1]
    np.testing.assert_allclose(found["probabilities"], saved[0]["sentiment"].predict_proba(texts), rtol=1e-12)
    assert found["readable"] == [True] * 4
    assert post(models, "sentiment", {"texts": ["muy bueno, me encanta"]})["readable"] == [False]
    assert post(models, "sentiment", {"texts": ["x" * 10_001]}, 422).startswith("texts[0]: 'xxx")


def test_a_dialogue_over_two_requests(models):
    (first,) = post(models, "answer", {"messages": [{"text": "where is my order"}]})["turns"]
    assert (first["action"], first["intent"]) == ("ask", "order_status")
    message = {"text": "ab12345", "dialogue": first["dialogue"], "orders": {"AB12345": ORDER}}
    (second,) = post(models, "answer", {"messages": [message]})["turns"]
    assert second["text"] == "Order AB12345 is sent; it should reach you on 2 May."
    general = {"text": "what delivery options are there", "facts": FACTS}
    assert post(models, "answer", {"messages": [general]})["turns"][0]["action"] == "answer"


def test_a_dialogue_that_waits_for_nothing(models):
    """None of ours does, but anybody may send one; and JSON knows no whole numbers."""
    for dialogue in ({"intent": "invoice", "slots": {"order": "12345"}, "asked": 1.0}, {"intent": "delivery_options"}):
        (turn,) = post(models, "answer", {"messages": [{"text": "hm tja", "dialogue": dialogue}]})["turns"]
        assert (turn["action"], turn["reason"]) == ("person", "unsure")


def test_another_customers_order_is_not_answered_about(models):
    own = {"text": "where is my order 12345", "orders": {"12345": ORDER}}
    other = {"text": "where is my order 12345", "orders": {"67890": ORDER}}
    turns = post(models, "answer", {"messages": [own, other, {"text": own["text"]}]})["turns"]
    assert [turn["action"] for turn in turns] == ["answer", "person", "person"]
    assert [turn["reason"] for turn in turns] == ["", "no facts", "no facts"]


@pytest.mark.parametrize(
    ("dialogue", "field"),
    [
        (
            {"intent": "sing"},
            "messages[0].dialogue.intent: 'sing' is not allowed: Input should be '', 'order_status', ",
        ),
        ({"closed": 0}, "messages[0].dialogue.closed: 0 is not allowed: "),
        ({"language": "xx"}, "messages[0].dialogue.language: 'xx' is not allowed: "),
        ({"slots": {"password": "x"}}, "messages[0].dialogue.slots.password"),
        ({"asked": -1}, "messages[0].dialogue.asked: -1 is not allowed: "),
    ],
)
def test_a_made_up_dialogue_is_refused(dialogue, field, models):
    assert post(models, "answer", {"messages": [{"text": "hello", "dialogue": dialogue}]}, 422).startswith(field)


def test_scores_are_those_of_one_batch(serve, slot, saved, transactions):
    """However the transactions are cut into requests, and over a swap, which keeps what was seen."""
    table, trees = transactions.transactions.iloc[:300], saved[0]
    rows, client = rows_of(table), serve(slot(saved[1] / "trees", "risk"))
    found = [
        p for part in (rows[:1], rows[1:200]) for p in post(client, "fraud", {"transactions": part})["probabilities"]
    ]
    post(client, "swap", {"route": "fraud", "name": "more_trees"})
    found += post(client, "fraud", {"transactions": rows[200:]})["probabilities"]
    batch = features(table)
    expected = np.r_[trees["trees"].predict(batch[:200]), trees["more_trees"].predict(batch[200:])]
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_optional_columns_reports_and_entities_of_ones_own(serve, slot, transactions, tmp_path):
    """What a transaction lacks is the customer's own; a report counts from then on; a saved state is gone on with."""
    layout = Layout(("terminal", "kiosk"), late=True, delay=1)
    rows = transactions.transactions.iloc[:250].rename(columns={"merchant": "terminal"})
    rows, fraud = (
        rows[["timestamp", "customer", "amount", "terminal"]].assign(kiosk=rows["category"]),
        np.arange(250) % 9 == 0,
    )
    trees = Trees(TreesParams(rounds=5, leaf_rows=5), layout)
    trees.fit(features(rows, layout, fraud), fraud).calibrate(features(rows, layout, fraud), fraud)
    scorer = Scorer(trees, rows.iloc[:100].assign(fraud=fraud[:100]))
    scorer.save(tmp_path / "own", CARD)
    client = serve(slot(tmp_path / "own", "risk"))
    bodies = [row | {"entities": {"kiosk": row.pop("kiosk")}} for row in rows_of(rows)]
    told = {"customer": rows["customer"][3], "entities": {"kiosk": rows["kiosk"][3]}}
    found = post(client, "fraud", {"transactions": bodies[100:150]})["probabilities"]
    found += post(client, "fraud", {"transactions": bodies[150:], "reports": [told]})["probabilities"]
    given = rows.to_dict("records")
    expected = [scorer.score(row) for row in given[100:150]]
    scorer.report({"customer": rows["customer"][3], "kiosk": rows["kiosk"][3]})
    assert found == expected + [scorer.score(row) for row in given[150:]]
    last = bodies[-1]
    del last["terminal"]
    assert post(client, "fraud", {"transactions": [last | {"entities": {}}]})["probabilities"]
    for wrong in ({"shop": "x"}, {"customer": "x"}):
        words = post(client, "fraud", {"transactions": [last | {"entities": wrong}]}, 422)
        assert words.startswith(f"entities.{next(iter(wrong))}: 'x' is not allowed, expected an entity of this model")


def test_a_refused_request_leaves_no_trace(serve, slot, saved, transactions):
    client = serve(slot(saved[1] / "trees", "risk"))
    rows, scorer = rows_of(transactions.transactions.iloc[:20]), Scorer(saved[0]["trees"])
    future = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    for bad, words in (
        ([*rows[10:12], rows[0]], "time"),
        ([rows[0], rows[1] | {"timestamp": future}], "transactions[1].timestamp: "),
        ([rows[0], rows[1] | {"amount": -1}], "transactions[1].amount: -1 is not allowed: "),
        ([rows[0] | {"declined": 0}], "transactions[0].declined: 0 is not allowed: "),
        ([rows[0] | {"kind": "gift"}], "transactions[0].kind: 'gift' is not allowed: "),
    ):
        assert words in post(client, "fraud", {"transactions": bad}, 422)
    expected = [scorer.score(row) for row in transactions.transactions.iloc[:20].to_dict("records")]
    assert post(client, "fraud", {"transactions": rows})["probabilities"] == expected


@pytest.mark.parametrize(
    ("route", "name", "words"),
    [
        ("sentiment", "intents", "name: 'intents' is not allowed as it is for answer, expected one for sentiment"),
        ("fraud", "sentiment", "holds a"),
        ("price", "trees", "route: 'price' is not allowed: "),
    ],
)
def test_another_kind_is_not_put_in(route, name, words, models):
    assert words in post(models, "swap", {"route": route, "name": name}, 422)


def test_a_damaged_model_is_not_put_in(serve, slot, saved, tmp_path):
    for name in ("good", "bad"):
        shutil.copytree(saved[1] / "trees", tmp_path / name)
    weights = tmp_path / "bad" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"?")
    client = serve(slot(tmp_path / "good", "risk"))
    assert "checksum" in post(client, "swap", {"route": "fraud", "name": "bad"}, 422)
    assert client.get("/models").json()["fraud"]["model"] == "good"


def test_a_wrong_clock_shuts_nobody_out(serve, slot, saved, transactions):
    """A minute ahead is now, a minute late is the last one's time; the next ones are scored."""
    client = serve(slot(saved[1] / "trees", "risk"))
    table, now = transactions.transactions.iloc[:4], datetime.now(UTC).replace(tzinfo=None)
    shifts = [timedelta(0), timedelta(seconds=50), timedelta(seconds=-20), timedelta(seconds=2)]
    for (_, row), shift in zip(table.iterrows(), shifts, strict=True):
        given = row.to_dict() | {"timestamp": (now + shift).isoformat()}
        (found,) = post(client, "fraud", {"transactions": [given]})["probabilities"]
        assert 0 <= found <= 1
    late = row.to_dict() | {"timestamp": (now - timedelta(minutes=5)).isoformat()}
    assert "a time from" in post(client, "fraud", {"transactions": [late]}, 422)
    ahead = row.to_dict() | {"timestamp": (now + timedelta(days=400)).isoformat()}
    for _ in range(2):
        assert "a time until now" in post(client, "fraud", {"transactions": [ahead]}, 422)
    assert post(client, "fraud", {"transactions": [given]})["probabilities"]


def test_a_restart_goes_on_where_the_server_ended(transactions, tmp_path, monkeypatch):
    """What `fit` left is taken up, under the key of its pseudonyms; a fraud that is told twice counts once."""
    key = "0123abcd-sixteen-or-more"
    layout = Layout(("merchant",), late=True, delay=1)
    rows, fraud = transactions.transactions.iloc[:300], np.arange(300) % 9 == 0
    hidden = rows.assign(**{name: pseudonymise(rows[name], key.encode()) for name in ("customer", "merchant")})
    hidden = hidden[["timestamp", "customer", "merchant", "amount"]]
    trees = Trees(TreesParams(rounds=5, leaf_rows=5), layout)
    trees.fit(features(hidden, layout, fraud), fraud).calibrate(features(hidden, layout, fraud), fraud)
    scorer = Scorer(trees, hidden.iloc[:100].assign(fraud=fraud[:100]))
    scorer.stream.keyed = fingerprint(key.encode())
    scorer.save(tmp_path / "own", CARD)
    monkeypatch.delenv("STORELAB_KEY", raising=False)
    with pytest.raises(ValueError, match="STORELAB_KEY: not the key that own was fitted under"):
        Fraud(tmp_path / "own").trial()
    monkeypatch.setenv("STORELAB_KEY", key)
    given = rows_of(rows[["timestamp", "customer", "merchant", "amount"]])
    report = {"customer": rows["customer"][3], "merchant": rows["merchant"][3], "transaction": "T-3"}
    found = []
    for first in (100, 200):
        served = Fraud(tmp_path / "own")
        served.trial()
        for reports in ([report, report], [report]):
            body = {"transactions": given[first : first + 50], "reports": reports}
            found += served.answer(served.read(served.Body.model_validate(body)))["probabilities"]
            first += 50
        served.keep()
    expected = []
    for place, row in enumerate(hidden.iloc[100:].to_dict("records")):
        if place == 0:
            scorer.report(hidden.iloc[3][["customer", "merchant"]].to_dict())
        expected.append(scorer.score(row))
    assert found == expected


def test_a_server_that_ends_writes_what_it_remembers(serve, slot, saved, transactions):
    rows, scorer = rows_of(transactions.transactions.iloc[:40]), Scorer(saved[0]["trees"])
    expected = [scorer.score(row) for row in transactions.transactions.iloc[:40].to_dict("records")]
    for part in (slice(20), slice(20, 40)):
        one = slot(saved[1] / "trees", "risk")
        assert post(serve(one), "fraud", {"transactions": rows[part]})["probabilities"] == expected[part]
        one.stop()
        assert (saved[1] / "trees" / "stream.npz").is_file()
    assert not list((saved[1] / "trees").glob("*.part*"))
