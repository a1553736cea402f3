"""Runs and models to serve: tiny ones, trained here."""

import shutil
from contextlib import contextmanager

import pandas as pd
import pytest
from fastapi.testclient import TestClient
from storelab.experiments.serving.access import RIGHTS, Keys, add_key
from storelab.experiments.serving.app import Slot, create_app
from storelab.experiments.serving.command import LOADERS
from storelab.language import create as create_classifier
from storelab.language.answers import read_answers
from storelab.language.synthetic import synthetic_reviews
from storelab.learning.base import Card
from storelab.recommendation import create as create_recommender
from storelab.recommendation.base import Log
from storelab.risk import TransactionParams, Trees, TreesParams, features, generate

from ..conftest import EVALUATION, LOST_SALES

CARD = Card(data="made up", split="none", figures={}, intended_use="tests", limits="small")


@pytest.fixture(scope="session")
def runs(finished, storelab, tmp_path_factory):
    """A folder with finished runs: PPO and heuristics on lost sales, heuristics on another task and on pricing."""
    root = tmp_path_factory.mktemp("served")
    shutil.copytree(finished.run, root / "ppo")
    others = {"rules": LOST_SALES, "other": ("train", "task=Inventory"), "price": ("train", "task=Pricing")}
    for name, args in others.items():
        folder = tmp_path_factory.mktemp(name)
        done = storelab(folder, *args, *EVALUATION, "agent=heuristics")
        assert done.status == 0, done.err
        shutil.copytree(done.run, root / name)
    shutil.copytree(root / "rules", root / "unfinished", ignore=shutil.ignore_patterns("DONE"))
    return root


@pytest.fixture(scope="session")
def transactions():
    """300 customers over 40 days."""
    more = {"takeovers": 1.5, "promotion_rings": 0.2, "refund_rings": 0.2, "card_tests": 0.3}
    return generate(TransactionParams(customers=300, days=40, seed=1, **more))


@pytest.fixture(scope="session")
def purchases():
    rows = [("ann", "tea", 1), ("ann", "cup", 2), ("bob", "tea", 1), ("bob", "pot", 3), ("cid", "cup", 2)]
    table = pd.DataFrame(rows, columns=["customer", "item", "timestamp"])
    return table.assign(timestamp=pd.Timestamp("2024-01-01") + pd.to_timedelta(table["timestamp"], unit="D"))


@pytest.fixture
def saved(trained, tmp_path):
    """`trained`, in a folder of the test's own: a server writes into it what it remembers."""
    return trained[0], shutil.copytree(trained[1], tmp_path / "models")


@pytest.fixture(scope="session")
def trained(transactions, purchases, tmp_path_factory):
    """Name -> model, and the folder in which each is saved under its name."""
    root, reviews = tmp_path_factory.mktemp("models"), synthetic_reviews(200, seed=1)
    table, fraud = features(transactions.transactions), transactions.labels["fraud"].to_numpy()
    short = create_classifier("tfidf", unit="character", longest=4, least_texts=1, validation=0.0, strength=100.0)
    models = {
        "item_knn": create_recommender("item_knn").fit(Log.from_frame(purchases)),
        "sentiment": create_classifier("tfidf").fit(reviews["text"].tolist(), reviews["positive"].tolist()),
        "intents": short.fit(*read_answers().examples()),
        "trees": Trees(TreesParams(rounds=5)).fit(table, fraud).calibrate(table, fraud),
        "more_trees": Trees(TreesParams(rounds=10)).fit(table, fraud).calibrate(table, fraud),
    }
    for name, model in models.items():
        model.save(root / name, CARD)
    return models, root


@pytest.fixture
def slot(_server):
    """Return a function that begins a model's process: a folder, and what loads it, by the option's name."""
    with slots() as begin:
        yield begin


@contextmanager
def slots():
    begun = []

    def begin(folder, load="runs") -> Slot:
        begun.append(Slot(folder, LOADERS.get(load, load)))
        return begun[-1]

    yield begin
    for one in begun:
        one.stop()


@pytest.fixture(scope="session")
def ppo(_server, runs):
    """A slot that no test puts anything else in."""
    with slots() as begin:
        yield begin(runs / "ppo")


@pytest.fixture
def serve(tmp_path):
    """Return a function that serves some slots: a client with all rights, or with those of `rights`."""
    clients = []

    def begin(*slots: Slot, rights=RIGHTS, per_second=1e5) -> TestClient:
        key = add_key(tmp_path / "keys.json", f"caller{len(clients)}", rights, per_second)
        app = create_app(list(slots), Keys.read(tmp_path / "keys.json"))
        clients.append(TestClient(app, headers={"Authorization": f"Bearer {key}"}))
        return clients[-1]

    return begin


@pytest.fixture
def restock(serve, ppo) -> TestClient:
    return serve(ppo)


@pytest.fixture(scope="session")
def standing(_server, trained, tmp_path_factory):
    """A slot of each model that is no policy, which no test puts anything else in or tells anything."""
    root = shutil.copytree(trained[1], tmp_path_factory.mktemp("standing") / "models")
    loads = {"item_knn": "recommendation", "sentiment": "language", "intents": "language", "trees": "risk"}
    with slots() as begin:
        yield [begin(root / name, load) for name, load in loads.items()]


@pytest.fixture
def models(serve, standing) -> TestClient:
    """All the models that are no policies."""
    return serve(*standing)
