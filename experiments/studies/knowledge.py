"""What a graph of items is worth: for new items, for what is out of stock, and what rules over it cost.

    python -m storelab.experiments.studies.knowledge cold FOLDER
    python -m storelab.experiments.studies.knowledge retail FOLDER
    python -m storelab.experiments.studies.knowledge prior FOLDER
    python -m storelab.experiments.studies.knowledge substitutes FOLDER
    python -m storelab.experiments.studies.knowledge rules

FOLDER has Complete Journey's files (`retail`: Online Retail's). Each prints a table in Markdown, and with `--page`
writes it into docs/knowledge.md. Weights are learnt before the test days; for new items on known ones in their place.
"""

import argparse
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from ...data import Column, complete_journey, read
from ...envs import TASKS
from ...envs.core.rollout import rollout
from ...evaluation import mean_interval, scenario_keys, t_interval
from ...evaluation.causal import clustered_mean
from ...recommendation.base import Histories, top
from ...recommendation.graph import Graph
from ...recommendation.inherit import Describe, cold_features, fit_cold
from ...recommendation.metrics import ranking_metrics
from ...recommendation.neighbours import RowSums
from ...recommendation.prior import DemandPrior
from ...recommendation.protocol import Split, online_retail_frame, split_by_time
from ...recommendation.rules import Rules
from ...recommendation.substitutes import Substitutes, switches
from ...recommendation.text import text_features
from .marketplace_log import training_keys
from .pages import block, markdown, put

MODULE = "storelab.experiments.studies.knowledge"
PAGE = Path(__file__).parents[2] / "docs" / "knowledge.md"
DAY, DAYS = "2017-10-01", 92  # Complete Journey's last quarter: the test
RETAIL_DAY, RETAIL_DAYS = "2011-11-09", 30  # Online Retail's test month, as in docs/recommendation.md
ATTRIBUTES = ("product_category", "product_type", "manufacturer_id", "brand", "package_size")
WORDS = ("department", "product_category", "product_type", "brand", "package_size")  # the text of a product
KIND = "product_type"
FREQUENT = 10  # buyers of a product whose demand is told, at least
COLD_SHARE = 0.1  # of the items, hidden from the training
BAR, TUNED = "nearest text", "nearest text and popularity of the kind"
MARKUPS, TUNING = np.arange(0.7, 1.61, 0.05), 32  # multiples tried on so many training seasons


def products(folder: str | Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return Complete Journey's purchases (customer, item, basket, timestamp, money) and its catalogue."""
    folder = Path(folder)
    table = pd.read_parquet(complete_journey.find(folder, (complete_journey.PRODUCTS_FILE,)))
    table = table.astype({name: object for name in table}).rename(columns={"product_id": "item"})
    table = table[table[KIND].notna() & ~table["department"].isin(complete_journey.NOT_GOODS)]
    schema = (Column("household_id", "text"), Column("basket_id", "text"), *complete_journey.LINES)
    lines = read(complete_journey.find(folder, complete_journey.TRANSACTIONS_FILES), schema)
    lines = lines[(lines["quantity"] > 0) & lines["product_id"].isin(table["item"])]
    names = {"household_id": "customer", "basket_id": "basket", "product_id": "item", "sales_value": "money"}
    lines = lines.rename(columns=names | {"transaction_timestamp": "timestamp"}).sort_values("timestamp", kind="stable")
    lines = lines.drop_duplicates(["basket", "item"]).reset_index(drop=True)
    return lines, table.drop_duplicates("item").sort_values("item").reset_index(drop=True)


# -- new items --------------------------------------------------------------------------------------------------------


def by_text(text: list[str], graph: Graph, kind: str) -> Describe:
    """Return what a tuned text-based ranking looks at: nearness of texts, and how popular the items of the kind are."""
    table = torch.from_numpy(text_features(text, 0))
    only = Graph(graph.items, {kind: graph.values[kind]}, {kind: graph.links[kind]})

    def describe(history, log, candidates):
        near = history @ table.numpy() @ table.numpy()[candidates].T
        near = near / np.maximum(np.asarray(history.sum(axis=1)).reshape(-1, 1), 1)
        names, features = cold_features(only, history, log, candidates)
        return ["nearness", names[0]], np.stack([near, features[:, :, 0]], axis=2)

    return describe


def hidden_items(split: Split, seed: int) -> tuple[np.ndarray, Histories, Histories, list[np.ndarray]]:
    """Hide a tenth of the items; return which, the histories of who bought one afterwards, whole and without the hidden
    items, and what of these they bought."""
    hidden = np.random.default_rng(seed).random(len(split.log.items)) < COLD_SHARE
    before = np.split(split.histories.item, split.histories.start[1:-1])
    fresh = [np.setdiff1d(new[hidden[new]], old) for new, old in zip(split.bought, before, strict=True)]
    keep = np.array([k for k, items in enumerate(fresh) if len(items)], int)
    whole = split.histories.take(keep)
    return hidden, whole, whole.where(~hidden[whole.item]), [fresh[k] for k in keep]


def cold(split: Split, graph: Graph, days: int, seeds: int, kind: str) -> pd.DataFrame:
    """Return NDCG@10 of new items, a row per seed and a column per model."""
    size, log, rows = len(split.log.items), split.log.histories, []
    cut = float(split.histories.now[0]) - days
    describes = {"graph": partial(cold_features, graph)}
    if kind:
        describes = {TUNED: by_text(split.log.text or [], graph, kind)} | describes
    features = torch.from_numpy(text_features(split.log.text or [], 0))
    for seed in range(seeds):
        hidden, whole, shown, bought = hidden_items(split, seed)
        new, warm = np.flatnonzero(hidden), log.where(~hidden[log.item])
        scores = {"random": np.random.default_rng([seed, 1]).random((len(bought), len(new)))}
        scores[BAR] = (RowSums(features).of(shown) @ features.T).numpy()[:, new]
        earlier, later = (log.where(keep).bought(size) for keep in (log.day < cut, log.day >= cut))
        history, known = shown.bought(size), warm.bought(size)
        for name, describe in describes.items():
            weights = fit_cold(describe, earlier, later, ~hidden, seed)
            _, found = describe(history, known, new)
            scores[name] = weights.utility(found)
        rows.append({name: ndcg(values, new, size, whole, bought) for name, values in scores.items()})
    return pd.DataFrame(rows)


def ndcg(scores: np.ndarray, new: np.ndarray, size: int, whole: Histories, bought: list[np.ndarray]) -> float:
    """Return NDCG@10 of scores (U, C) of the new items among themselves."""
    table = torch.full((len(bought), size), -torch.inf)
    table[:, torch.from_numpy(new)] = torch.from_numpy(np.asarray(scores, np.float32))
    return ranking_metrics(top(table, whole, 10), bought, np.ones(size))["NDCG@10"]


def cold_table(values: pd.DataFrame) -> str:
    """Return the table of `cold`: means over hidden sets, and the differences to the bars."""
    rows, bars = [], [name for name in (BAR, TUNED) if name in values]
    for name in values:
        cells = [name, f"{values[name].mean():.3f}"]
        for bar in bars:
            low, high = t_interval((values[name] - values[bar]).to_numpy())
            gain = f"{(values[name] - values[bar]).mean():+.3f} [{low:+.3f}, {high:+.3f}]"
            cells.append("" if name == bar else gain)
        rows.append(cells)
    return markdown([["model", "NDCG@10", *(f"more than {bar}, 95 % CI" for bar in bars)], *rows])


def cold_journey(folder: str | Path, seeds: int) -> str:
    """Return the table of new items of Complete Journey."""
    lines, catalogue = products(folder)
    words = catalogue[list(WORDS)].astype(str).agg(" ".join, axis=1)
    split = split_by_time(lines, DAY, DAYS, dict(zip(catalogue["item"], words, strict=True)))
    catalogue = catalogue.set_index("item").loc[split.log.items].reset_index()
    return cold_table(cold(split, Graph.from_catalogue(catalogue, ATTRIBUTES), DAYS, seeds, KIND))


def cold_retail(folder: str | Path, seeds: int) -> str:
    """Return the table of new items of Online Retail: its graph has the words of descriptions, and nothing else."""
    split = split_by_time(*_retail(folder))
    words = [(item, "word", word) for item, text in zip(split.log.items, split.log.text or [], strict=True)
             for word in sorted(set(text.lower().split()))]  # fmt: skip
    triples = pd.DataFrame(words, columns=["head", "relation", "tail"])
    triples = triples[triples.groupby("tail")["head"].transform("nunique") > 1]
    return cold_table(cold(split, Graph(split.log.items).with_triples(triples), RETAIL_DAYS, seeds, ""))


def _retail(folder: str | Path) -> tuple:
    frame, text = online_retail_frame(folder)
    return frame, RETAIL_DAY, RETAIL_DAYS, text


def prior(folder: str | Path, seeds: int) -> str:
    """Return the table of new items' demand: errors of each way to tell it, over sets of hidden items.

    Known items are told by their units in the quarter before the test's, hidden ones are held to theirs in the test's.
    """
    lines, catalogue = products(folder)
    day = pd.Timestamp(DAY)
    buyers = lines[lines["timestamp"] < day].groupby("item")["customer"].nunique()
    catalogue = catalogue[catalogue["item"].isin(buyers.index[buyers >= FREQUENT])]
    graph = Graph.from_catalogue(catalogue, ATTRIBUTES)
    spans = [(day - pd.Timedelta(days=DAYS), day), (day, day + pd.Timedelta(days=DAYS))]
    before, after = (_monthly(lines, graph, *span) for span in spans)
    only = lambda name: Graph(graph.items, {name: graph.values[name]}, {name: graph.links[name]})
    ways = {f"mean of the {name}": only(name) for name in (ATTRIBUTES[0], KIND)} | {"graph": graph}
    rows = []
    for seed in range(seeds):
        hidden = np.random.default_rng(seed).random(len(graph.items)) < COLD_SHARE
        known, new = np.flatnonzero(~hidden & (before > 0)), np.flatnonzero(hidden & (after > 0))
        told = {"mean of all": np.full(len(new), np.exp(np.log(before[known]).mean()))}
        for name, some in ways.items():
            made = DemandPrior.fit(some, known, before[known])
            told[name] = made.predict(new) / made.smear  # the geometric mean, as errors are those of logs
        rows.append({name: float(np.sqrt(np.mean(np.log(v / after[new]) ** 2))) for name, v in told.items()})
    values, bars = pd.DataFrame(rows), ["mean of all", *list(ways)[:2]]
    out = [["demand told by", "RMS error of logs", *(f"less than {bar}, 95 % CI" for bar in bars[1:])]]
    for name in values:
        cells = [name, f"{values[name].mean():.3f}"]
        for bar in bars[1:]:
            low, high = t_interval((values[bar] - values[name]).to_numpy())
            gain = f"{(values[bar] - values[name]).mean():+.3f} [{low:+.3f}, {high:+.3f}]"
            cells.append("" if name == bar else gain)
        out.append(cells)
    return markdown(out)


def _monthly(lines: pd.DataFrame, graph: Graph, first: pd.Timestamp, end: pd.Timestamp) -> np.ndarray:
    """Return the units (I,) that each item sold per 28 days of a span."""
    some = lines[(lines["timestamp"] >= first) & (lines["timestamp"] < end)]
    place = pd.Index(graph.items).get_indexer(some["item"])
    units = np.bincount(place[place >= 0], some["quantity"].to_numpy(float)[place >= 0], len(graph.items))
    return units * 28 / (end - first).days


# -- out of stock -----------------------------------------------------------------------------------------------------


def substitutes(folder: str | Path, count: int) -> str:
    """Return the table of substitutes: the share of switches, and of their money, that `count` offers hold."""
    lines, catalogue = products(folder)
    graph = Graph.from_catalogue(catalogue, ATTRIBUTES[1:])
    day = pd.Timestamp(DAY)
    train = lines[lines["timestamp"] < day]
    graph = graph.with_baskets(train.groupby("basket")["item"].agg(list))
    since = day - pd.Timedelta(days=DAYS)
    models = {name: Substitutes.fit(train, graph, KIND, since, own) for name, own in
              (("graph", False), ("graph and the customer's purchases", True))}  # fmt: skip
    known = models["graph"]
    events = switches(lines, graph, KIND)
    events = events[events["timestamp"] >= day]
    choice, gone, candidate = known.choices(events)
    user = known.customers.get_indexer(events["customer"])[choice]
    names, found = known.features(gone, candidate, user)
    column = {name: found[:, k] for k, name in enumerate(names)}
    popular, small = column["popularity"], 1e-3
    scores = {
        "random": np.random.default_rng(0).random(len(candidate)),
        "most popular of the kind": popular,
        "most switched to": column["switches"] + small * popular,
        "the customer's own, then most popular": column["bought before"] + small * popular,
    }
    for name, model in models.items():
        features = model.features(gone, candidate, user if "customer" in name else None)[1]
        scores[name] = model.logit.utility(features) if model.logit else popular
    hit = candidate == events["item"].to_numpy()[choice]
    held = {name: _held(choice, score, hit, len(events), count) for name, score in scores.items()}
    money, customer = lines["money"].to_numpy()[events["row"]], events["customer"].to_numpy()
    return _offers_table(held, money, pd.factorize(customer)[0])


def _held(choice: np.ndarray, score: np.ndarray, hit: np.ndarray, events: int, count: int) -> np.ndarray:
    """Return for each event whether its best `count` candidates hold what was bought."""
    order = np.lexsort((-score, choice))
    sizes = np.bincount(choice, minlength=events)
    rank = np.arange(len(order)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    return np.bincount(choice[order], (hit[order] & (rank < count)).astype(float), events)


def _offers_table(held: dict[str, np.ndarray], money: np.ndarray, customer: np.ndarray) -> str:
    rows = []
    plain, own = held["most popular of the kind"], held["the customer's own, then most popular"]
    for name, value in held.items():
        bar = own if "customer" in name else plain
        cells = [name, f"{value.mean():.3f}"]
        for weights in (None, money):
            found = clustered_mean(value - bar, customer, weights)
            words = f"{found.value:+.3f} [{found.low:+.3f}, {found.high:+.3f}]"
            cells.append("" if value is bar or name == "random" else words)
            if weights is None:
                cells.append(f"{clustered_mean(value, customer, money).value:.3f}")
        rows.append(cells)
    head = [
        "offers",
        "share of switches",
        "gain over its baseline, 95 % CI",
        "share of money",
        "gain over its baseline, 95 % CI",
    ]
    return markdown([head, *rows])


# -- rules ------------------------------------------------------------------------------------------------------------


def rules(seasons: int, stores: int) -> str:
    """Return the table of price ladders in the whole store: pairs of items, the first never dearer than the second.

    Prices have the multiple of the Lambert-W markup that is best on training seasons; ways to hold the ladders are
    compared on the same seasons, over several stores.
    """
    found: dict[str, list[np.ndarray]] = {}
    for store in range(stores):
        task = TASKS["Marketplace"](decides=["price"], resolution="item", catalogue_seed=store)
        model = task.model("test")
        names = [f"item{k}" for k in range(model.params.items)]
        lines = [f"price {names[k]} <= {names[k + 1]}" for k in range(0, len(names) - 1, 2)]
        held = Rules("\n".join(lines), Graph(names))
        training = model.scenarios(training_keys(0, TUNING))
        earned = [_profit(model, model.cost + markup * model.markup, training) for markup in MARKUPS]
        free = np.asarray(model.cost + MARKUPS[int(np.argmax(earned))] * model.markup, float)
        pairs = free.reshape(-1, 2)
        cut, lifted = pairs.copy(), pairs.copy()
        cut[:, 0], lifted[:, 1] = pairs.min(axis=1), pairs.max(axis=1)
        ways = {"no rules": free, "the dearer one cut": cut.ravel(), "the cheaper one lifted": lifted.ravel()}
        ways["nearest prices"] = held.hold_prices(free)[0]
        scenario = model.scenarios(scenario_keys(np.arange(seasons), "test"))
        for name, prices in ways.items():
            found.setdefault(name, []).append(np.array([_profit(model, prices, scenario), held.broken(prices)]))
    rows = []
    best = np.array([value[0] for value in found["nearest prices"]])
    for name, values in found.items():
        money, broken = np.array(values).T
        low, high = mean_interval((best - money)[:, None])[:, 0]
        gain = "" if name == "nearest prices" else f"{(best - money).mean():+,.0f} [{low:,.0f}, {high:,.0f}]"
        rows.append([name, f"{broken.mean():.1f}", f"{money.mean():,.0f}", gain])
    return markdown([["prices", "ladders broken", "profit per season", "nearest prices earn more by, 95 % CI"], *rows])


def _profit(model, prices: np.ndarray, scenario: dict) -> float:
    """The mean profit of a season at constant prices (I,)."""
    act = lambda observation, state, seed: (np.tile(prices, (len(observation), 1)), state)
    return float(rollout(model, act, scenario)["reward"].sum(axis=1, dtype=float).mean())


PARSER = argparse.ArgumentParser(prog=f"python -m {MODULE}", description="Measure what a graph of items is worth.")
PARSER.add_argument("part", choices=("cold", "retail", "prior", "substitutes", "rules"))
PARSER.add_argument("folder", nargs="?", help="with Complete Journey's files, or Online Retail's")
PARSER.add_argument("--seeds", type=int, default=10, help="sets of hidden items (default 10)")
PARSER.add_argument("--offers", type=int, default=3, help="substitutes offered (default 3)")
PARSER.add_argument("--seasons", type=int, default=256, help="held-out ones of each store (default 256)")
PARSER.add_argument("--stores", type=int, default=20, help="catalogues of the whole store (default 20)")
PARSER.add_argument("--page", action="store_true", help="write the table into docs/knowledge.md")


def main(arguments: list[str] | None = None) -> None:
    """Print a table, and write it into the page if asked."""
    given = PARSER.parse_args(arguments)
    if given.part != "rules" and not given.folder:
        PARSER.error(f"{given.part} needs a folder")
    if given.part == "rules":
        text = rules(given.seasons, given.stores)
    elif given.part == "substitutes":
        text = substitutes(given.folder, given.offers)
    else:
        parts = {"cold": cold_journey, "retail": cold_retail, "prior": prior}
        text = parts[given.part](given.folder, given.seeds)
    print(text)
    if given.page:
        usual = {name: PARSER.get_default(name) for name in ("seeds", "offers", "seasons", "stores")}
        options = [f"--{name} {getattr(given, name)}" for name in usual if getattr(given, name) != usual[name]]
        words = [given.part, *(["FOLDER"] if given.folder else []), *options]
        content = block(" ".join(["python -m", MODULE, *words]), text.strip())
        put(PAGE, given.part, MODULE, content)


if __name__ == "__main__":
    main()
