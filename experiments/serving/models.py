"""Saved models: recommendations, sentiment, customer service, fraud. Their folders hold safetensors and JSON alone."""

import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from ... import language, recommendation, risk
from ...data.privacy import default_key, fingerprint, pseudonym
from ...errors import FieldError
from ...language.answers import SLOTS, read_answers
from ...language.service import Dialogue, Service, default_retrieval
from ...language.writer import SERVICE, Writer
from ...reading import read_json
from ...recommendation.base import Histories
from ...recommendation.knowledge import FOLDER, SLACK, Knowledge
from ...risk import Scorer, Trees
from ...risk.scoring import REMEMBERED
from .served import ITEMS, MAX_ROWS, Answer, Body, Id, Served, Text, Time, Whole

AHEAD = timedelta(minutes=1)  # that a transaction's clock may be ahead of ours, or behind the last one's
OFFERS = 3  # in the place of an item
LISTED = 50_000  # items in the lists of one answer
SCORES = 2**24  # of items that are held at once
MESSAGES = 128  # of a request: each is answered for itself

Facts = Annotated[dict[Id, Annotated[str, Field(max_length=500)]], Field(max_length=50)]
Probability = Annotated[float, Field(ge=0, le=1)]


class Purchase(Body):
    item: Id
    time: Time


class RecommendBody(Body):
    customers: list[Annotated[list[Purchase], Field(max_length=1000, fail_fast=True)]] = Field(
        min_length=1,
        max_length=MAX_ROWS,
        fail_fast=True,
        description="purchases of each; items unknown to the model are left out",
    )
    now: Time = Field(description="the day that is recommended for; no purchase is later")
    k: Whole = Field(10, ge=1, le=1000, description=f"items per list, at most; {LISTED} in all lists")
    in_stock: Annotated[list[Id], Field(max_length=ITEMS, fail_fast=True)] | None = Field(
        None, description="the items to choose from; null: all"
    )
    repeats: bool = Field(False, description="also what was bought before")
    new_items: Whole = Field(0, ge=0, le=1000, description="how many of the k places are for new items")
    instead_of: list[Id] = Field(
        default_factory=list, max_length=MAX_ROWS, fail_fast=True, description="items that are out of stock"
    )


class Offer(Body):
    item: Id
    because: list[str] = Field(description="what links it to the item that is out of stock")


class Lists(Answer):
    items: list[list[str]] = Field(description="a list per customer, best first; shorter where fewer are to be had")
    because: list[list[str]] = Field(description="of each list: what new items inherit from, and which rules bind")
    substitutes: dict[str, list[Offer]] = Field(description="what to offer in the place of instead_of, best first")


class Recommend(Served):
    """Ranked lists of items."""

    route, Body, Answer, row = "recommend", RecommendBody, Lists, "items"

    def __init__(self, folder: Path):
        super().__init__(folder)
        self.model = recommendation.load(folder)
        self.about = {"kind": self.model.name, "items": len(self.model.items)}
        self.knowledge = Knowledge.load(folder / FOLDER) if (folder / FOLDER).is_dir() else None
        if self.knowledge is not None:
            names = [self.knowledge.graph.items[k] for k in self.knowledge.known]
            if names != self.model.items:
                raise ValueError(f"{folder / FOLDER}: the graph of another model's items")
            self.about |= {"new_items": len(self.knowledge.new), "rules": len(self.knowledge.held.rules)}
        bought = [{"item": item, "time": "2000-01-01T00:00:00Z"} for item in self.model.items[:2]]
        self.sample = {"customers": [[], bought[:1], bought], "now": "2000-02-01T00:00:00Z"}

    def read(self, body):
        if body.k * len(body.customers) > LISTED:
            raise FieldError("k", body.k, f"at most {LISTED // len(body.customers)} for as many customers")
        if self.knowledge is None:
            for field in ("new_items", "instead_of"):
                if getattr(body, field):
                    raise FieldError(field, getattr(body, field), "none, as this model has no graph of its items")
        else:
            for item in body.instead_of:
                self.knowledge.graph.number(item)  # raises where there is none
        if body.new_items > body.k:
            raise FieldError("new_items", body.new_items, f"at most k, {body.k}")
        purchases = [[(p.item, _utc(p.time)) for p in customer] for customer in body.customers]
        return Histories.of(purchases, self.model.items, _utc(body.now)), body

    def answer(self, inputs) -> dict:
        histories, body = inputs
        step = max(1, SCORES // len(self.model.items))
        parts = [np.arange(start, min(start + step, len(histories))) for start in range(0, len(histories), step)]
        made = [self._lists(histories.take(part), body) for part in parts]
        lists, because = ([row for part in made for row in part[k]] for k in (0, 1))
        return {"items": lists, "because": because, "substitutes": self._substitutes(body)}

    def _lists(self, histories: Histories, body: RecommendBody) -> tuple[list, list]:
        names, stock = self.model.items, body.in_stock
        there = None if stock is None else np.isin(names, stock)
        if self.knowledge is None:
            ranked = self.model.recommend(histories, body.k, there, body.repeats)
            return [[names[k] for k in row if k >= 0] for row in ranked], [[] for _ in ranked]
        more = SLACK if self.knowledge.held.never.nnz else 1
        ranked = self.model.recommend(histories, min(more * body.k, len(names)), there, body.repeats)
        return self.knowledge.lists(ranked, histories, body.k, body.new_items, _there(self.knowledge, stock))

    def _substitutes(self, body: RecommendBody) -> dict:
        if self.knowledge is None:
            return {}
        there = _there(self.knowledge, body.in_stock)
        offers = {item: self.knowledge.instead(item, there, OFFERS) for item in body.instead_of}
        return {item: [{"item": name, "because": why} for name, why in found] for item, found in offers.items()}


def _there(knowledge: Knowledge, stock: list[str] | None) -> np.ndarray | None:
    """Return which items of the graph are in stock."""
    return None if stock is None else np.isin(knowledge.graph.items, stock)


class SentimentBody(Body):
    texts: list[Text] = Field(min_length=1, max_length=MAX_ROWS, fail_fast=True)


class Probabilities(Answer):
    labels: list[str | int]
    probabilities: list[list[Probability]] = Field(description="a row per text, in the order of labels")
    readable: list[bool] = Field(description="false: in a language of no training text, the labels' shares are given")


class Sentiment(Served):
    """Calibrated probabilities of a text classifier's labels."""

    route, Body, Answer, row = "sentiment", SentimentBody, Probabilities, "probabilities"

    def __init__(self, folder: Path):
        super().__init__(folder)
        self.model = language.load(folder)
        self.about = {"kind": self.model.name, "labels": self.model.labels}
        self.width = len(self.model.labels)
        self.sample = {"texts": ["I love it", "", "broken, and two days late", "不错"]}

    def read(self, body) -> list[str]:
        return body.texts

    def answer(self, inputs) -> dict:
        probabilities, readable = self.model.predict_proba(inputs), self.model.readable(inputs)
        return {"labels": self.model.labels, "probabilities": probabilities.tolist(), "readable": readable.tolist()}

    def follow(self, about: dict, memory) -> None:
        if self.model.labels != about["labels"]:
            labels, expected = self.model.labels, about["labels"]
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
        max_length=200,
        description="this customer's, by number; no other is answered about",
    )


class AnswerBody(Body):
    messages: list[Message] = Field(min_length=1, max_length=MESSAGES, fail_fast=True)


class Turn(Body):
    action: Literal["answer", "passage", "ask", "person"]
    text: str
    intent: str
    confidence: Probability
    reason: str
    source: str = Field("", description="the passage that a generative model worded; empty: it is quoted")
    dialogue: DialogueBody = Field(description="to be sent with the customer's next message")


class Turns(Answer):
    turns: list[Turn] = Field(description="one per message")


class CustomerService(Served):
    """Replies to customers' messages: it says what templates and facts say, and does nothing of it itself."""

    route, Body, Answer, row = "answer", AnswerBody, Turns, "turns"

    def __init__(self, folder: Path, writer: str = ""):
        """`writer`: of passages, a name that `language.writer` takes; "": that of the folder's service.json, if any."""
        super().__init__(folder)
        self.model, self.answers = language.load(folder), read_answers()
        writer = writer or writer_of(folder)
        self.writer = Writer(writer) if writer else None
        # Words alone beside a model that needs no encoder either.
        self.retrieval = default_retrieval(self.answers, False if self.model.name == "tfidf" else None)
        self.about = {"kind": self.model.name, "intents": self.model.labels, "writer": Path(writer).name}
        self.sample = {"messages": [{"text": text} for text in ("where is my order 12345", "", "退货")]}

    def read(self, body) -> list[tuple[Dialogue, Message]]:
        return [(Dialogue(**message.dialogue.model_dump()), message) for message in body.messages]

    def answer(self, inputs) -> dict:
        turns = []
        for dialogue, message in inputs:  # each with its own facts: one customer's order is no other's to ask about
            service = Service(self.model, self.answers, self.retrieval, self._lookup(message), writer=self.writer)
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


class Entities(Body):
    """Whose a transaction is. What is not given is the customer's own."""

    customer: Id
    device: Id | None = None
    address: Id | None = None
    card: Id | None = None
    merchant: Id | None = None
    terminal: Id | None = None
    entities: Annotated[dict[Id, Id], Field(max_length=50)] = Field(
        default_factory=dict, description="further ids, by the names of the columns that the model was trained with"
    )


class Report(Entities):
    transaction: Id | None = Field(None, description="its own id: told again, it counts once")


class Transaction(Entities):
    timestamp: Time = Field(description="at most a minute from now, and as little before the last transaction's")
    amount: float = Field(ge=0, le=1e9, description="money")
    kind: Literal["purchase", "refund"] = "purchase"
    category: Id = "any"
    promotion: bool = False
    declined: bool = False


class FraudBody(Body):
    transactions: list[Transaction] = Field(min_length=1, max_length=MAX_ROWS, fail_fast=True, description="by time")
    reports: list[Report] = Field(
        default_factory=list,
        max_length=MAX_ROWS,
        fail_fast=True,
        description="earlier transactions that turned out to be frauds, known from now on; without an id of its own "
        "each counts as another one",
    )


class Frauds(Answer):
    probabilities: list[Probability] = Field(description="of fraud, one per transaction")


class Fraud(Served):
    """Scores of transactions as they come. Each is part of the history of those after it, in a request and across."""

    route, Body, Answer, row = "fraud", FraudBody, Frauds, "probabilities"

    def __init__(self, folder: Path):
        super().__init__(folder)
        self.model = risk.load(folder)
        self.scorer, self.about = Scorer(self.model, most=REMEMBERED), {"kind": self.model.name}
        self.about["entities"] = list(self.model.layout.entities)
        ids = dict.fromkeys(("customer", "device", "address", "card", "category"), "sample")
        first = ids | {"timestamp": "2000-01-01T00:00:00Z", "amount": 10.0}
        second = {"timestamp": "2000-01-02T00:00:00Z", "kind": "refund", "amount": 0.0}
        self.sample = {"transactions": [first, first | second], "reports": [{"customer": "sample"}]}

    def trial(self) -> None:
        """As any model's; the history is then what was saved with the model, if anything, without the sample."""
        super().trial()
        self.scorer = Scorer.restored(self.model, self.folder, REMEMBERED)
        keyed = self.scorer.stream.keyed
        if keyed and (not os.environ.get("STORELAB_KEY") or fingerprint(default_key()) != keyed):
            raise ValueError(
                f"STORELAB_KEY: not the key that {self.folder.name} was fitted under; its history knows customers by "
                "pseudonyms under that key alone"
            )

    def read(self, body) -> tuple[list[dict], list[dict]]:
        """Rows by time, and reports. A row ahead of our clock counts as now, a late one as at the last time."""
        now = _utc(datetime.now(UTC)).replace(microsecond=0)
        last = self.scorer.stream.time
        last = datetime.min if last is None else datetime(1970, 1, 1) + timedelta(seconds=last)
        rows = [self._row(row) | {"timestamp": _utc(row.timestamp)} for row in body.transactions]
        for place, row in enumerate(rows):
            time, field = row["timestamp"], f"transactions[{place}].timestamp"
            if time > now + AHEAD:  # one of next year would shut out all others until then
                raise FieldError(field, time.isoformat(), "a time until now")
            if time < last and last - time > AHEAD:
                raise FieldError(field, time.isoformat(), f"a time from {last.isoformat()} on: transactions by time")
            last = row["timestamp"] = max(last, min(time, now))
        return rows, [self._row(row) for row in body.reports]

    def _row(self, row: Entities) -> dict:
        """A transaction as the scorer takes it."""
        given = row.model_dump(exclude_none=True)
        further, known = given.pop("entities"), self.model.layout.entities
        for name in further:
            if name not in known or name in given:
                free = ", ".join(known)
                raise FieldError(f"entities.{name}", further[name], f"an entity of this model, {free}, given once")
        row = given | further
        if self.scorer.stream.keyed:
            ids = {"customer", "device", "address", "card", *known}.intersection(row)
            row |= {name: pseudonym(row[name], default_key()) for name in ids}
        return row

    def answer(self, inputs) -> dict:
        rows, reports = inputs
        for row in reports:
            self.scorer.report(row)
        return {"probabilities": [self.scorer.score(row) for row in rows]}

    def memory(self):
        return self.scorer.stream

    def keep(self) -> None:
        self.scorer.save_state(self.folder)

    def follow(self, about: dict, memory) -> None:
        """Go on with the old one's sums. A sequence model's memory is in its own terms: it follows trees alone."""
        if about["kind"] != Trees.name or not isinstance(self.scorer.model, Trees):
            raise FieldError("name", self.folder.name, f"{Trees.name} after {Trees.name}")
        if self.model.layout != memory.layout:
            raise FieldError("name", self.folder.name, f"a model of the features {memory.layout}")
        self.scorer.stream = memory


def load_language(folder: Path, writer: str = "") -> Served:
    """What a text classifier's labels make it: intents answer customers, all else is sentiment, which has no writer."""
    labels = set(language.load(folder).labels)
    if labels <= read_answers().labels:
        return CustomerService(folder, writer)
    if writer:
        raise FieldError(
            "--writer", writer, "a classifier of intents behind --language", f"as {folder.name} has others"
        )
    return Sentiment(folder)


def writer_of(folder: Path) -> str:
    """The writer that `storelab fit dataset.writer=NAME` left beside a classifier of intents; "": none."""
    path = folder / SERVICE
    content = read_json(path) if path.is_file() else {}
    if not isinstance(content, dict) or not isinstance(content.get("writer", ""), str):
        raise FieldError(SERVICE, content, "an object with the name of a writer")
    return content.get("writer", "")


def _utc(time: datetime) -> datetime:
    """A time without zone, in UTC; one without a zone is taken to be that."""
    return time if time.tzinfo is None else time.astimezone(UTC).replace(tzinfo=None)
