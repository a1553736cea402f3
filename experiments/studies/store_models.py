"""The models inside the marketplace, as tables.

    python -m storelab.experiments.studies.store_models OUT --history H.parquet

Given what a customer lived through, reviews, tickets and orders are independent draws: to read a large sample of them
beforehand, in batches, and to draw from what the models answered is the same distribution as to read them one by one
in the loop. Every table is computed from texts, orders and days that its model was not fitted on (docs/marketplace.md).
`rules` needs neither torch nor scikit-learn; `fit` trains the models of `language`, `risk` and `recommendation`.
"""

import argparse
import json
import os
import shutil
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ...data.files import read_parquet
from ...envs.marketplace.params import StoreModels
from ...errors import FieldError
from ...language import customers
from ...language.rules import reasons, stars
from ...learning.base import Card
from ...risk import TransactionParams, Trees, TreesParams, features, generate, split_by_time
from ...risk.rules import suspicion

BINS = 1001  # thresholds of the fraud score
RIGHT, WRONG, PERSON = range(3)  # what became of a ticket
INTENTS = {"late": "order_status", "return": "return_item", "refund": "refund_status", "damaged": "damaged_item"}
SERVICE = {"late": 0, "return": 1, "refund": 1, "damaged": 1}  # rows of the table: late parcels, goods
_PRECISION = 0.95  # share of the service's answers that are to be right on validation tickets
# What the store's records give for an answer.
_FACTS = dict.fromkeys(("status", "date", "amount", "days", "minutes", "standard_days", "express_days"), "2")
_ADDRESS = {"en": "12 Long Acre Road", "zh": "北京市海淀区中关村路1号"}


@dataclass
class SampleParams:
    """How much is drawn to fit the models, and to measure them."""

    reviews: int = 10_000  # that sentiment is trained on
    tickets: int = 4_000  # that intents are trained on, and as many that set the thresholds
    held_out: int = 10_000  # reviews, and as many tickets, that the tables are computed from
    customers: int = 4_000  # of the synthetic transactions, honest ones
    days: int = 150  # of transactions; a quarter is held out
    chinese: float = 0.4  # share of the texts
    seed: int = 0

    def __post_init__(self):
        least = {"reviews": 100, "tickets": 100, "held_out": 100, "customers": 100, "days": 90, "seed": 0}
        for name, low in least.items():
            value = getattr(self, name)
            if type(value) is not int or value < low:
                raise FieldError(name, value, f"a whole number of at least {low}")


class Samples:
    """What is read: held-out texts, and transactions, of which a part is held out."""

    def __init__(self, params: SampleParams):
        self.params = params
        self.reviews = self.texts(customers.reviews, params.held_out, 0)
        self.tickets = self.texts(customers.tickets, params.held_out, 1)
        without = {"compromised_merchants": 0.0, "stolen_cards": 0.0}  # orders at the store's own checkout
        data = generate(TransactionParams(params.customers, params.days, params.seed, **without))
        table = data.transactions
        self.features, self.fraud = features(table), data.labels["fraud"].to_numpy()
        self.split = split_by_time(table["timestamp"].to_numpy().astype("datetime64[s]").astype(np.int64))
        order = (table["kind"] == "purchase") & ~table["declined"]
        self.orders = self.split.test.start + np.flatnonzero(order.to_numpy()[self.split.test])  # held out

    def texts(self, make, count: int, part: int, *without: int) -> pd.DataFrame:
        """Reviews or tickets: each `part` draws others. Phrases at the places `without` are left out."""
        return make(count, self.params.chinese, 5 * self.params.seed + part, without)


@dataclass
class Answers:
    """What models said to the held-out samples."""

    stars: np.ndarray  # (R,) read from `reviews`, 1 to 5
    outcome: np.ndarray  # (T,) of `tickets`: RIGHT, WRONG or PERSON
    score: np.ndarray  # (O,) of fraud, 0 to 1, of `orders`


def rules(params: SampleParams | None = None) -> StoreModels:
    """Popularity, a lexicon, keywords and points for what is suspicious."""
    samples = Samples(params or SampleParams())
    return tables(rule_answers(samples), samples)


def rule_answers(samples: Samples) -> Answers:
    guess, reason = np.array(reasons(samples.tickets["text"])), samples.tickets["reason"].to_numpy()
    outcome = np.where(guess == "", PERSON, np.where(guess == reason, RIGHT, WRONG))
    return Answers(stars(samples.reviews["text"]), outcome, suspicion(samples.features[samples.orders]))


def tables(answers: Answers, samples: Samples, relevance: np.ndarray | None = None) -> StoreModels:
    """The answers counted: shares by true stars, by what a ticket is about, and above each threshold.

    Tickets on the goods are of their reasons equally often; those out of scope are in no table.
    """
    fraud, row = samples.fraud[samples.orders], samples.tickets["reason"].map(SERVICE)
    above = lambda score: (score[:, None] >= np.linspace(0, 1, BINS)).mean(0)
    return StoreModels(
        relevance,
        above(answers.score[~fraud]),
        above(answers.score[fraud]),
        _shares(samples.reviews["stars"].to_numpy() - 1, answers.stars - 1, 5, 5),
        _shares(row[row.notna()].to_numpy(int), answers.outcome[row.notna()], 2, 3),
    )


def _shares(row: np.ndarray, column: np.ndarray, rows: int, columns: int) -> np.ndarray:
    counts = np.bincount(row * columns + column, minlength=rows * columns).reshape(rows, columns)
    if not counts.sum(1).all():
        raise FieldError("held_out", len(row), "larger samples: a row of a table is empty")
    return counts / counts.sum(1, keepdims=True)


@dataclass
class Fitted:
    """The learned models, each with `save(folder, card)`, and what they answered."""

    models: dict[str, Any]  # sentiment, intents, fraud and, with a history, relevance
    service: dict[str, float]  # ServiceParams' thresholds
    answers: Answers
    relevance: np.ndarray | None
    ranking: dict[str, float]  # NDCG@10 on the history's last days, as `relevance_of` gives it


def learned(history: pd.DataFrame | None = None, params: SampleParams | None = None, **sizes: int) -> StoreModels:
    """The tables of fitted models; `sizes` are those of `relevance_of`."""
    samples = Samples(params or SampleParams())
    fitted = fit(samples, history, **sizes)
    return tables(fitted.answers, samples, fitted.relevance)


def fit(samples: Samples, history: pd.DataFrame | None = None, **sizes: int) -> Fitted:
    """Train sentiment, intents and fraud on the samples, and relevance on the store's purchases, if there are any."""
    from ...language import create

    seed = samples.params.seed
    sentiment = create("tfidf", unit="character", longest=4, strength=1.0, seed=seed)
    train = samples.texts(customers.reviews, samples.params.reviews, 2, 3)
    sentiment.fit(train["text"].tolist(), train["stars"].tolist())
    read = np.array(sentiment.predict(samples.reviews["text"].tolist()))
    service = fit_service(samples)
    split = samples.split
    trees = Trees(TreesParams(seed=seed)).fit(samples.features[split.train], samples.fraud[split.train])
    trees.calibrate(samples.features[split.validation], samples.fraud[split.validation])
    answers = Answers(read, outcomes(service, samples.tickets), trees.predict(samples.features[samples.orders]))
    models = {"sentiment": sentiment, "intents": service.classifier, "fraud": trees}
    table, ranking = None, {}
    if history is not None:
        from ...recommendation.segments import relevance_of

        table, models["relevance"], ranking = relevance_of(history, seed=seed, **sizes)
    return Fitted(models, asdict(service.params), answers, table, ranking)


def fit_service(samples: Samples):
    """Customer service with an intent classifier.

    Its thresholds are set by one that has seen fewer phrases, on tickets with some that are new to it.
    """
    from ...language.answers import read_answers
    from ...language.retrieval import Retrieval
    from ...language.service import Service, ServiceParams, threshold_for

    answers, count = read_answers(), samples.params.tickets
    train, fewer = (samples.texts(customers.tickets, count, 3, *without) for without in ((3,), (2, 3)))
    asked = samples.texts(customers.tickets, count, 4, 3)
    tentative = _intents(answers, fewer, samples.params.seed)
    probability = tentative.predict_proba(asked["text"].tolist())
    right = np.array(tentative.labels)[probability.argmax(1)] == asked["reason"].map(INTENTS)
    confidence = threshold_for(probability.max(1), right.to_numpy(), _PRECISION)
    retrieval = Retrieval(answers.passages)
    order, close = retrieval.rank(asked["text"].tolist())
    title = np.array([entry["title"] for entry in answers.help])[order[:, 0]]
    unsure = probability.max(1) < confidence
    passage = threshold_for(close[unsure], (title == asked["passage"])[unsure].to_numpy(), _PRECISION)
    thresholds = ServiceParams(confidence=confidence, passage_confidence=passage)
    classifier = _intents(answers, train, samples.params.seed)
    return Service(classifier, answers, retrieval, lambda intent, slots: _FACTS, thresholds)


def _intents(answers, tickets: pd.DataFrame, seed: int):
    """A classifier of the answers' examples, without small talk, and of the tickets in scope."""
    from ...language import create

    wanted = {name for name, intent in answers.intents.items() if not intent.get("talk")}
    pairs = [pair for pair in zip(*answers.examples(), strict=True) if pair[1] in wanted]
    (texts, intents), known = zip(*pairs, strict=True), tickets[tickets["reason"] != "other"]
    classifier = create("tfidf", unit="character", longest=4, strength=20.0, seed=seed)
    return classifier.fit([*texts, *known["text"]], [*intents, *known["reason"].map(INTENTS)])


def outcomes(service, tickets: pd.DataFrame) -> np.ndarray:
    """(N,) RIGHT, WRONG or PERSON: what becomes of tickets whose customers tell what they are asked for."""
    from ...language.service import Dialogue

    titles = {f"{entry['title']}: {entry['text']}": entry["title"] for entry in service.answers.help}
    replies, dialogues = service.reply([Dialogue()] * len(tickets), tickets["text"].tolist())
    texts = {"order": tickets["order"].tolist(), "address": tickets["language"].map(_ADDRESS).tolist()}
    while asking := [row for row, reply in enumerate(replies) if reply.action == "ask"]:
        asks_address = [
            replies[row].text == service.answers.phrases[dialogues[row].language]["address"] for row in asking
        ]
        said = [texts["address" if place else "order"][row] for row, place in zip(asking, asks_address, strict=True)]
        after = service.reply([dialogues[row] for row in asking], said)
        for row, reply, dialogue in zip(asking, *after, strict=True):
            replies[row], dialogues[row] = reply, dialogue
    outcomes = []
    for reply, reason, passage in zip(replies, tickets["reason"], tickets["passage"], strict=True):
        right = reply.intent == INTENTS.get(reason) if reply.action == "answer" else titles.get(reply.text) == passage
        outcomes.append(PERSON if reply.action == "person" else RIGHT if right else WRONG)
    return np.array(outcomes)


def figures(answers: Answers, samples: Samples) -> dict[str, float]:
    """Held-out measures of one set of models."""
    from ...risk.metrics import average_precision

    true, fraud = samples.reviews["stars"].to_numpy(), samples.fraud[samples.orders]
    values = {}
    for language in customers.LANGUAGES:
        rows = (samples.reviews["language"] == language).to_numpy()
        gap = answers.stars[rows] - true[rows]
        values[f"stars read rightly, {language}"] = np.mean(gap == 0)
        values[f"stars' mean absolute error, {language}"] = np.abs(gap).mean()
    values["mean stars read less true"] = (answers.stars - true).mean()
    outside = (samples.tickets["reason"] == "other").to_numpy()
    for place, rows in (("in scope", ~outside), ("out of scope", outside)):
        for name, code in (("rightly", RIGHT), ("wrongly", WRONG)):
            values[f"tickets answered {name}, {place}"] = np.mean(answers.outcome[rows] == code)
        values[f"tickets handed over, {place}"] = np.mean(answers.outcome[rows] == PERSON)
    values["fraud, AUPRC"] = average_precision(fraud, answers.score)
    order = np.argsort(-answers.score, kind="stable")
    alarms = np.cumsum(~fraud[order]) <= 0.01 * (~fraud).sum()
    values["fraud found at 1 % false alarms"] = fraud[order][alarms].sum() / fraud.sum()
    return {name: float(value) for name, value in values.items()}


def save(
    folder: str | Path, tables: StoreModels, fitted: Fitted | None = None, measured: pd.DataFrame | None = None
) -> None:
    """Write tables.npz and, of fitted models, figures.json, service.json and a folder each: beside, then renamed.

    Raises ValueError when `folder` is there and was not written by this function.
    """
    folder = Path(folder).absolute()
    if folder.exists() and not (folder / "tables.npz").is_file():
        raise FieldError("folder", str(folder), "a new folder, or one with store models")
    part, old = (folder.with_name(f".{folder.name}.{os.getpid()}.{kind}") for kind in ("part", "old"))
    try:
        part.mkdir(parents=True)
        with open(part / "tables.npz", "wb") as file:
            np.savez(file, **{name: table for name, table in vars(tables).items() if table is not None})
        if fitted is not None:
            for name, model in fitted.models.items():
                model.save(part / name, _card(name, measured))
            (part / "service.json").write_text(json.dumps(fitted.service, indent=1))
            figures = {name: column.dropna().to_dict() for name, column in measured.items()}
            (part / "figures.json").write_text(json.dumps(figures, indent=1))
        if folder.exists():
            os.replace(folder, old)
        os.replace(part, folder)
        shutil.rmtree(old, ignore_errors=True)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _card(name: str, measured: pd.DataFrame) -> Card:
    said = "texts of a grammar (language.customers)"
    other = "measured on other texts, a quarter of whose phrases no training text has"
    data, split, figures = {
        "sentiment": (said, other, "stars"),
        "intents": (said, other, "tickets"),
        "fraud": ("transactions of risk.generate", "by time, labels known 7 days late (risk.split_by_time)", "fraud"),
        "relevance": ("the store's purchases", "measured without the last fifth of days, then fitted on all", "NDCG"),
    }[name]
    own = {key: value for key, value in measured["learned"].dropna().items() if figures in key}
    return Card(data, split, own, "inside storelab/Marketplace-v0", "made-up customers: nothing is said of real ones")


def main(argv: list[str] | None = None) -> None:
    """Fit, print the held-out figures of rules and models, save."""
    parser = argparse.ArgumentParser(prog="store_models", description=__doc__.split("\n")[0])
    parser.add_argument("out", help="folder to write")
    parser.add_argument("--history", help="Parquet file of the store's purchases: customer, segment, item, day")
    parser.add_argument("--items", type=int, default=0, help="in the catalogue (default: those that were bought)")
    parser.add_argument("--segments", type=int, default=0, help="of customers (default: those that bought)")
    parser.add_argument("--rules", action="store_true", help="rules alone, for want of torch and scikit-learn")
    parser.add_argument("--model", default="ials", help="recommender behind the relevance (default ials)")
    for field in fields(SampleParams):
        name = f"--{field.name.replace('_', '-')}"
        parser.add_argument(name, type=type(field.default), default=field.default, help=f"default {field.default}")
    args = parser.parse_args(argv)
    samples = Samples(SampleParams(**{field.name: getattr(args, field.name) for field in fields(SampleParams)}))
    if args.rules:
        save(args.out, tables(rule_answers(samples), samples))
        return
    history = read_parquet(args.history) if args.history else None
    fitted = fit(samples, history, items=args.items, segments=args.segments, model=args.model)
    measured = compare(fitted, samples)
    save(args.out, tables(fitted.answers, samples, fitted.relevance), fitted, measured)
    print("on held-out texts, orders and days")
    print(measured.to_string(float_format="{:.4f}".format, na_rep=""))


def compare(fitted: Fitted, samples: Samples) -> pd.DataFrame:
    """A row per held-out measure, columns rules and learned."""
    columns = {"rules": figures(rule_answers(samples), samples), "learned": figures(fitted.answers, samples)}
    for name, value in fitted.ranking.items():
        kind = "rules" if name in ("popularity", "purchases of the segment") else "learned"
        columns[kind][f"NDCG@10 by {name}"] = value
    order = list(dict.fromkeys([*columns["rules"], *columns["learned"]]))
    return pd.DataFrame(columns).reindex(order)


if __name__ == "__main__":
    main()
