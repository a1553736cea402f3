"""Saved models: recommendations, sentiment, customer service, fraud. Their folders hold safetensors and JSON alone."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from ... import language, recommendation, risk
from ...errors import FieldError
from ...language.answers import SLOTS, read_answers
from ...language.retrieval import Retrieval
from ...language.service import Dialogue, Service
from ...recommendation.base import Histories
from ...risk import Scorer, Trees
from ...risk.features import check_order
from ...risk.transactions import columns
from .served import MAX_ROWS, Answer, Body, Id, Served, Text, Time, Whole

AHEAD = timedelta(minutes=1)  # that a transaction's clock may be ahead of ours

Facts = Annotated[dict[Id, Annotated[str, Field(max_length=500)]], Field(max_length=50)]


class Purchase(Body):
    item: Id
    time: Time


class RecommendBody(Body):
    customers: list[Annotated[list[Purchase], Field(max_length=1000)]] = Field(
        min_length=1, max_length=MAX_ROWS, description="purchases of each; items unknown to the model are left out"
    )
    now: Time = Field(description="the day that is recommended for; no purchase is later")
    k: Whole = Field(10, ge=1, le=1000, description="items per list, at most")
    in_stock: list[Id] | None = Field(None, max_length=100_000, description="the items to choose from; null: all")
    repeats: bool = Field(False, description="also what was bought before")


class Lists(Answer):
    items: list[list[str]] = Field(description="a list per customer, best first; shorter where fewer are to be had")


class Recommend(Served):
    """Ranked lists of items."""

    route, Body, Answer = "recommend", RecommendBody, Lists

    def __init__(self, folder: Path):
        super().__init__(folder)
        self.model = recommendation.load(folder)
        self.about = {"kind": self.model.name, "items": len(self.model.items)}

    def read(self, body):
        purchases = [[(p.item, _utc(p.time)) for p in customer] for customer in body.customers]
        histories = Histories.of(purchases, self.model.items, _utc(body.now))
        stock = None if body.in_stock is None else np.isin(self.model.items, body.in_stock)
        return histories, body.k, stock, body.repeats

    def answer(self, inputs) -> dict:
        names = self.model.items
        return {"items": [[names[k] for k in row if k >= 0] for row in self.model.recommend(*inputs)]}


class SentimentBody(Body):
    texts: list[Text] = Field(min_length=1, max_length=MAX_ROWS)


class Probabilities(Answer):
    labels: list[str | int]
    probabilities: list[list[float]] = Field(description="a row per text, in the order of labels")


class Sentiment(Served):
    """Calibrated probabilities of a text classifier's labels."""

    route, Body, Answer = "sentiment", SentimentBody, Probabilities

    def __init__(self, folder: Path):
        super().__init__(folder)
        self.model = language.load(folder)
        self.about = {"kind": self.model.name, "labels": self.model.labels}

    def read(self, body) -> list[str]:
        return body.texts

    def answer(self, inputs) -> dict:
        return {"labels": self.model.labels, "probabilities": self.model.predict_proba(inputs).tolist()}

    def follow(self, old) -> None:
        if self.model.labels != old.model.labels:
            labels, expected = self.model.labels, old.model.labels
            raise FieldError("name", self.folder.name, f"labels {expected}, not {labels}")


class DialogueBody(Body):
    """A dialogue as the answer before gave it back; empty at first."""

    intent: Literal[("", *read_answers().intents)] = ""
    slots: dict[Literal[SLOTS], Annotated[str, Field(max_length=500)]] = Field(default_factory=dict)
    asked: Whole = Field(0, ge=0, le=1000)
    language: Literal["en", "zh"] = "en"
    closed: bool = False


class Message(Body):
    text: Text
    dialogue: DialogueBody = Field(default_factory=DialogueBody)
    facts: Facts = Field(default_factory=dict, description="of the store, by the names in the templates")
    orders: dict[Id, Facts] = Field(
        default_factory=dict,
        max_length=1000,
        description="this customer's, by number; no other is answered about",
    )


class AnswerBody(Body):
    messages: list[Message] = Field(min_length=1, max_length=MAX_ROWS)


class Turn(Body):
    action: Literal["answer", "passage", "ask", "person"]
    text: str
    intent: str
    confidence: float
    reason: str
    dialogue: DialogueBody = Field(description="to be sent with the customer's next message")


class Turns(Answer):
    turns: list[Turn] = Field(description="one per message")


class CustomerService(Served):
    """Replies to customers' messages: it says what templates and facts say, and does nothing of it itself."""

    route, Body, Answer = "answer", AnswerBody, Turns

    def __init__(self, folder: Path):
        super().__init__(folder)
        self.model, self.answers = language.load(folder), read_answers()
        self.retrieval = Retrieval([f"{entry['title']}: {entry['text']}" for entry in self.answers.help])
        self.about = {"kind": self.model.name, "intents": self.model.labels}

    def read(self, body) -> list[tuple[Dialogue, Message]]:
        return [(Dialogue(**message.dialogue.model_dump()), message) for message in body.messages]

    def answer(self, inputs) -> dict:
        turns = []
        for dialogue, message in inputs:  # each with its own facts: one customer's order is no other's to ask about
            service = Service(self.model, self.answers, self.retrieval, self._lookup(message))
            (reply,), (after,) = service.reply([dialogue], [message.text])
            turns.append(vars(reply) | {"dialogue": vars(after)})
        return {"turns": turns}

    def _lookup(self, message: Message) -> Callable:
        orders = {number.upper(): facts for number, facts in message.orders.items()}

        def lookup(intent: str, slots: dict[str, str]) -> dict[str, str] | None:
            if "order" not in self.answers.intents[intent]["needs"]:
                return message.facts
            facts = orders.get(slots["order"])
            return None if facts is None else message.facts | facts

        return lookup


class Transaction(Body):
    timestamp: Time = Field(description="not before the last transaction's")
    customer: Id
    device: Id
    address: Id
    card: Id
    kind: Literal["purchase", "refund"]
    category: Id
    amount: float = Field(ge=0, le=1e9, description="money")
    promotion: bool
    declined: bool


class FraudBody(Body):
    transactions: list[Transaction] = Field(min_length=1, max_length=MAX_ROWS, description="by time")


class Frauds(Answer):
    probabilities: list[float] = Field(description="of fraud, one per transaction")


class Fraud(Served):
    """Scores of transactions as they come. Each is part of the history of those after it, in a request and across."""

    route, Body, Answer = "fraud", FraudBody, Frauds

    def __init__(self, folder: Path):
        super().__init__(folder)
        model = risk.load(folder)
        self.scorer, self.about = Scorer(model), {"kind": model.name}

    def read(self, body) -> list[dict]:
        rows = [row.model_dump() | {"timestamp": _utc(row.timestamp)} for row in body.transactions]
        latest = _utc(datetime.now(UTC)) + AHEAD
        for place, row in enumerate(rows):  # one of next year would shut out all others until then
            if row["timestamp"] > latest:
                field = f"transactions[{place}].timestamp"
                raise FieldError(field, row["timestamp"].isoformat(), "a time until now")
        last = self.scorer.stream.time
        times = columns({name: [row[name] for row in rows] for name in rows[0]})["time"]
        check_order(times if last is None else np.r_[last, times])
        return rows

    def answer(self, inputs) -> dict:
        return {"probabilities": [self.scorer.score(row) for row in inputs]}

    def follow(self, old) -> None:
        """Go on with the old one's sums. A sequence model's memory is in its own terms: it follows trees alone."""
        if not isinstance(old.scorer.model, Trees) or not isinstance(self.scorer.model, Trees):
            raise FieldError("name", self.folder.name, f"{Trees.name} after {Trees.name}")
        self.scorer.stream = old.scorer.stream


def load_language(folder: Path) -> Served:
    """What a text classifier's labels make it: intents answer customers, all else is sentiment."""
    labels = set(language.load(folder).labels)
    return (CustomerService if labels <= set(read_answers().intents) else Sentiment)(folder)


def _utc(time: datetime) -> datetime:
    """A time without zone, in UTC; one without a zone is taken to be that."""
    return time if time.tzinfo is None else time.astimezone(UTC).replace(tzinfo=None)
