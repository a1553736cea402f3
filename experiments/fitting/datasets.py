"""What `storelab fit` trains on: each dataset loads its rows, trains a model of its kind, measures and explains it.

A dataset's fields are the keys of its config. What `load` returns is the argument `data` of the other methods; its
test rows are seen by `figures` and `explain` alone.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from omegaconf import MISSING

from ...data import SyntheticStoreParams, generate
from ...data.contract import Reading
from ...data.images import SIZES, read_pictures
from ...data.pictures import DRAWN, draw
from ...envs.core.checks import check_choice, check_number
from ...errors import FieldError
from ...learning.base import Card
from ...recommendation import RANKERS, RATING_MODELS
from ...risk import FRAUD_MODELS
from .behaviour import CustomerEvents
from .graphs import ItemGraph
from .groups import Groups, of_lists, of_ratings
from .texts import UNLABELLED, Questions, Reviews


class Ranking:
    """Purchases, whose last days' new items are ranked among all items."""

    models: ClassVar = RANKERS
    figure: ClassVar = "NDCG@10"
    split: ClassVar = (
        "By time: all before the test days trains; items with 5 buyers, customers with 5 items. last_out True: all but "
        "each customer's last purchase."
    )
    use: ClassVar = "Ranking what a customer may buy next, in simulation and research."
    limits: ClassVar = "Knows the items of its training days alone. Lists lean to what sells; see coverage and tail."

    def train(self, model, data):
        if data.log.images is not None and model.name != "content":
            raise FieldError("images", "pictures", "none, or model=content: no other model reads them")
        return model.fit(data.log)

    def figures(self, name: str, model, data) -> dict[str, dict[str, float]]:
        from ...recommendation.protocol import rank

        return {name: rank(model, data) | {"all NDCG@10": rank(model, data, repeats=True)["NDCG@10"]}}

    def groups(self, name: str, model, data) -> Groups:
        from ...recommendation.protocol import lists_of

        histories, wanted = data.relevant(repeats=False)
        buyers = np.asarray(data.log.histories.bought(len(data.log.items)).sum(axis=0)).ravel()
        own = data.groups_of(repeats=False)
        return of_lists(lists_of(model, histories, ranked=data.ranked), wanted, np.diff(histories.start), buyers, own)

    def explain(self, model, data) -> pd.DataFrame:
        one = data.relevant(repeats=False)[0].take(np.array([0]))
        item = int(model.recommend(one, 1, data.ranked)[0, 0])
        rows = [(model.items[item], model.items[other], fall) for other, fall in model.explain(one, 0, item)]
        return pd.DataFrame(rows, columns=["recommended", "because of", "score falls by"])


@dataclass
class Purchases(Ranking, ItemGraph, Reading):
    """Purchases of the synthetic store, each seed another, or a file's: customer, item, timestamp[, group, split].

    With a catalogue, triples, rules or a kind, a graph of the items is kept beside the model: see `ItemGraph`.
    """

    path: str = ""  # CSV, Excel or Parquet file; "": the synthetic store, with as many items, customers and days
    items: int = 200
    customers: int = 1000
    days: int = 365
    test_days: int = 30  # the last ones
    last_out: bool = False  # each customer's last purchase is the test, not the last days
    cold: float = 0.0  # share of the items that are hidden from the training, and alone ranked: new ones
    images: str = ""  # folder of pictures ITEM.png, .jpg, .webp; drawn: the synthetic store's; "": none
    image_size: int = 32  # pixels, height and width that pictures are brought to
    appeal: float = 0.0  # synthetic: how much quality and taste, which pictures show, decide (docs/images.md)

    def __post_init__(self):
        super().__post_init__()
        _store(self, self.days, 0)
        check_number("test_days", self.test_days, 1, 10_000 if self.path else self.days - 1, integer=True)
        check_number("cold", self.cold, 0, 0.9)
        check_number("image_size", self.image_size, *SIZES, integer=True)
        if self.path and (self.appeal or self.images == DRAWN):
            name = "appeal" if self.appeal else "images"
            raise FieldError(name, getattr(self, name), "none with dataset.path: it is the synthetic store's")

    def load(self, seed: int):
        from ...recommendation.protocol import cold

        split, pictures = self._of_file() if self.path else self._made_up(seed)
        if self.given:
            self.graph(split.log.items, self._catalogue(seed))  # what is wrong with it is said before the training
        if self.images:
            split.log.images = pictures or read_pictures(self.images, split.log.items, self.image_size)
            print(f"dataset: {int(split.log.images.known.sum())} of {len(split.log.items)} items have a picture")
        return cold(split, self.cold, seed) if self.cold else split

    def _of_file(self):
        from .tables import purchases

        return purchases(self.path, self, self.test_days, self.last_out), None

    def _made_up(self, seed: int):
        """The split, and the pictures of its items if they are to be drawn."""
        from ...recommendation.protocol import leave_last_out, split_by_time

        store = generate(_store(self, self.days, seed))
        first = store.panel.dates[-self.test_days]
        words = store.catalogue["category"].str.replace("-", "" if self.appeal else " ")
        text = dict(zip(store.catalogue["item"], words, strict=True))
        if self.last_out:
            split = leave_last_out(store.orders, text, whole=False)
        else:
            split = split_by_time(store.orders, str(first.date()), self.test_days, text)
        place = pd.Index(store.catalogue["item"]).get_indexer(split.log.items)
        return split, draw(store, self.image_size).take(place) if self.images == DRAWN else None

    def _catalogue(self, seed: int) -> pd.DataFrame | None:
        return None if self.path else generate(_store(self, self.days, seed)).catalogue[["item", "category"]]

    def beside(self, data, seed: int, folder: Path, card: Card) -> None:
        """Write what belongs beside the model in its folder: a graph of the items, if one is given."""
        if self.given:
            graph, rules = self.graph(data.log.items, self._catalogue(seed))
            self.keep(data.log, graph, rules, seed, folder, card)


@dataclass
class OnlineRetailPurchases(Ranking):
    """Online Retail's purchases by known customers."""

    path: str = MISSING  # folder with Online Retail's raw file
    first: str = "2011-11-09"  # day of the test, YYYY-MM-DD; 2011-10-10 is the validation month's
    test_days: int = 30  # from the first one

    def __post_init__(self):
        check_number("test_days", self.test_days, 1, 365, integer=True)
        if pd.isna(pd.to_datetime(self.first, format="%Y-%m-%d", errors="coerce")) or len(self.first) != 10:
            raise FieldError("first", self.first, "a day as YYYY-MM-DD")

    def load(self, seed: int):
        from ...recommendation.protocol import online_retail_frame, split_by_time

        frame, text = online_retail_frame(self.path)
        return split_by_time(frame, self.first, self.test_days, text)


@dataclass
class Ratings(Reading):
    """Stars of the synthetic store, each seed another one: those of the last fifth of the days are predicted.

    Or those of a file: customer, item, rating[, timestamp, group, split].
    """

    path: str = ""  # CSV, Excel or Parquet file; "": the synthetic store
    items: int = 200
    customers: int = 1000
    days: int = 730

    models: ClassVar = RATING_MODELS
    figure: ClassVar = "RMSE"
    split: ClassVar = "By time: the first four fifths of the days train, the last fifth is the test."
    use: ClassVar = "Predicting the stars that a customer would give, in simulation and research."
    limits: ClassVar = "Stars that are made up come from a bilinear model: no measure of how people rate."

    def __post_init__(self):
        super().__post_init__()
        _store(self, self.days, 0)

    def load(self, seed: int) -> dict[str, Any]:
        if self.path:
            from .tables import ratings

            return ratings(self.path, self)
        from ...recommendation.base import Log

        store = generate(_store(self, self.days, seed))
        frame = store.ratings.sort_values("timestamp", kind="stable")
        first, end = frame["timestamp"].min(), frame["timestamp"].max()
        last = frame["timestamp"] >= first + 0.8 * (end - first)
        log = Log.from_frame(frame[~last])
        test = frame[last & frame["item"].isin(log.items) & frame["customer"].isin(log.users)]
        places = pd.Index(store.catalogue["item"]).get_indexer(test["item"])
        people = pd.Index(store.customers["customer"]).get_indexer(test["customer"])
        known = store.satisfaction
        true = 3.6 + known.quality[places] + known.leniency[people]
        true += (known.taste[people] * known.feature[places]).sum(axis=1)
        user, item = pd.Index(log.users).get_indexer(test["customer"]), pd.Index(log.items).get_indexer(test["item"])
        return {
            "log": log,
            "user": user,
            "item": item,
            "stars": test["rating"].to_numpy(float),
            "true": true.clip(1, 5),
        }

    def train(self, model, data):
        return model.fit(data["log"])

    def figures(self, name: str, model, data) -> dict[str, dict[str, float]]:
        from ...recommendation.metrics import rating_metrics

        histories = data["log"].histories
        guesses = {name: model.predict(histories, data["user"], data["item"])}
        guesses["mean of all"] = np.full(len(data["stars"]), np.nanmean(histories.rating))
        if "true" in data:
            guesses["true mean"] = data["true"]  # knows the parameters that the stars were drawn with
        return {name: rating_metrics(guess, data["stars"]) for name, guess in guesses.items()}

    def groups(self, name: str, model, data) -> Groups:
        histories, user, item = data["log"].histories, data["user"], data["item"]
        error = np.abs(model.predict(histories, user, item) - data["stars"])
        received = np.bincount(histories.item, minlength=len(data["log"].items))
        return of_ratings(error, np.diff(histories.start)[user], received[item], data.get("group"))

    def explain(self, model, data) -> pd.DataFrame:
        return pd.DataFrame()


def _store(sizes, days: int, seed: int) -> SyntheticStoreParams:
    appeal = getattr(sizes, "appeal", 0.0)
    return SyntheticStoreParams(items=sizes.items, customers=sizes.customers, days=days, seed=seed, appeal=appeal)


@dataclass
class Transactions(Reading):
    """Synthetic transactions, each seed another store; the last quarter of the days is the test.

    Or those of a file: timestamp, customer, amount, fraud, what it has of the contract's other columns, and `entities`.
    """

    path: str = ""  # CSV, Excel or Parquet file; "": synthetic
    customers: int = 5000
    days: int = 180
    entities: list[str] = field(default_factory=list)  # a file's further columns of ids, such as a terminal
    late_labels: bool = True  # known frauds are counted, of the customer and of each entity
    label_delay: float = 7.0  # days until it is known whether a transaction was fraud
    unlabelled: str = "refuse"  # a file's rows whose fraud is empty: refuse, leave_out, honest, self_training

    models: ClassVar = FRAUD_MODELS
    figure: ClassVar = "AUPRC"
    split: ClassVar = "By time: 75 % of the days, then the test; labels come late, the last 20 known days validate."
    use: ClassVar = "Simulation and research: ranking transactions for review by a person."
    limits: ClassVar = "Knows the frauds of its own data alone. Not for decisions about people."

    def __post_init__(self):
        super().__post_init__()
        self._params(0)
        if not isinstance(self.entities, list) or (self.entities and not self.path):
            raise FieldError("entities", self.entities, "names of columns of ids, with dataset.path")
        self._layout(tuple(self.entities))
        check_choice("unlabelled", self.unlabelled, (*UNLABELLED, "honest"))

    def _params(self, seed: int):
        from ...risk import TransactionParams

        return TransactionParams(customers=self.customers, days=self.days, seed=seed)

    def _layout(self, entities: tuple[str, ...]):
        from ...risk import Layout

        check_number("label_delay", self.label_delay, 0, 365)
        return Layout(entities, self.late_labels, self.label_delay)

    def load(self, seed: int) -> dict[str, Any]:
        from ...risk import features, generate
        from ...risk.features import STORE
        from ...risk.synthetic import FraudData
        from ...risk.transactions import Labelled, split_labelled

        if self.path:
            from .tables import transactions

            read = transactions(self.path, self, self.entities, self.unlabelled != "refuse")
            data = FraudData(self._params(seed), read.transactions, pd.DataFrame({"fraud": read.fraud}), read.groups)
        else:
            data = generate(self._params(seed))
            fraud = data.labels["fraud"].to_numpy()
            read = Labelled(data.transactions, STORE.entities, fraud, None, None, data.customers, [])
        try:
            split, known = split_labelled(read, self.label_delay)
        except ValueError as error:
            if self.path or "all alike" not in str(error):
                raise
            raise FieldError("customers", self.customers, f"more of them: {error}") from None
        layout = self._layout(read.entities)
        table = features(read.transactions, layout, read.fraud, read.known)
        found = {"data": data, "layout": layout, "table": table, "split": split, "known": known, "told": read.known}
        return found | {"bare": np.empty(0, int)} if read.labelled is None else self._set_apart(found, read.labelled)

    def _set_apart(self, data: dict[str, Any], labelled: np.ndarray) -> dict[str, Any]:
        """Parts have their labelled rows alone; `bare` are the training rows without a label."""
        from ...risk import Split

        split, rows = data["split"], np.arange(len(labelled))
        train, late, test = (rows[part][labelled[part]] for part in (split.train, split.validation, split.test))
        bare = rows[split.train][~labelled[split.train]]
        print(f"dataset: {len(bare)} training rows without a label: {self.unlabelled}, beside {len(train)} with one")
        if self.unlabelled == "honest":
            train, bare = rows[split.train], bare[:0]
        return data | {"split": Split(train, late, test), "bare": bare}

    def train(self, model, data):
        fraud, table, split = data["known"], data["table"], data["split"]
        model.layout = data["layout"]
        if not isinstance(split.train, slice) and model.name != "risk-trees":
            raise FieldError("unlabelled", self.unlabelled, "no row without a label", "with model fraud_sequence")
        if self.unlabelled == "self_training":
            from ...risk.self_training import self_train

            train, late = split.train, split.validation
            model = self_train(model, table[train], fraud[train], table[data["bare"]])
            return model.calibrate(table[late], fraud[late])
        if model.name == "risk-trees":
            train, late = split.train, split.validation
            return model.fit(table[train], fraud[train]).calibrate(table[late], fraud[late])
        return model.fit(data["data"].transactions, table, fraud, split.train, split.validation)

    def figures(self, name: str, model, data) -> dict[str, dict[str, float]]:
        rows, _ = self._measured(name, model, data)
        return {row.pop("model"): row for row in rows}

    def groups(self, name: str, model, data) -> Groups:
        _, rows = self._measured(name, model, data)
        names = {"transactions": "rows", "frauds": "frauds", "recall": "recall", "false_alarms": "false alarms"}
        return {row["group"]: {names[key]: float(row[key]) for key in names if row[key] == row[key]} for row in rows}

    def _measured(self, name: str, model, data) -> tuple[list[dict], list[dict]]:
        """Rows of figures, and of figures by group of customers."""
        from ...risk.evaluate import figures
        from ...risk.metrics import Costs

        table, parts = data["table"], (data["split"].validation, data["split"].test)
        if model.name == "risk-trees":
            margins = tuple(model.margins(table[part]) for part in parts)
        else:
            margins = tuple(model.margins(data["data"].transactions, table, part) for part in parts)
        return figures(data["data"], table, data["layout"], data["split"], {name: margins}, Costs())

    def explain(self, model, data) -> pd.DataFrame:
        """Of the transaction that the trees suspect most."""
        trees, test = getattr(model, "trees", model), data["table"][data["split"].test]
        return trees.explain(test[int(trees.margins(test).argmax())])


DATASETS = {
    "purchases": Purchases,
    "online_retail": OnlineRetailPurchases,
    "ratings": Ratings,
    "reviews": Reviews,
    "questions": Questions,
    "transactions": Transactions,
    "customers": CustomerEvents,
}


def card(dataset, figures: dict[str, float], source: str, groups: Groups | None = None) -> Card:
    """The card of a model that was trained on a dataset; `source` is the hash of its data."""
    said = {name: value for name, value in vars(dataset).items() if name != "path" and value not in ("", {}, None)}
    sizes = ", ".join(f"{name} {value}" for name, value in said.items())
    path = getattr(dataset, "path", "")
    made = f"file {Path(path).name}, SHA-256 {source}" if path else "made up, no real data"
    about = f"{type(dataset).__name__}: {made} ({sizes})"
    return Card(about, dataset.split, figures, dataset.use, dataset.limits, groups or {})
