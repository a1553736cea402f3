"""What pictures of items are worth where nobody has bought the item yet: ranked lists, and the first order of stock.

    python -m storelab.experiments.studies.images cold
    python -m storelab.experiments.studies.images first_month
    python -m storelab.experiments.studies.images draw FOLDER

The first two draw stores that nothing was chosen on, print a table in Markdown, and with `--page` write it into
docs/images.md; `--results FILE` keeps what is measured, from which a killed run goes on. `draw` writes the
pictures and orders of a store into a folder, as a user would bring them.
"""

import argparse
import json
from collections.abc import Callable, Collection
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from ...data import Panel, SyntheticStore, SyntheticStoreParams, generate
from ...data.images import Pictures, png
from ...data.pictures import draw
from ...data.sheets import write_csv
from ...evaluation import t_interval
from ...forecasting import create
from ...forecasting.base import known_future
from ...forecasting.first_month import MONTH, FirstMonth, first_months
from ...learning.base import write_atomic
from ...learning.images import PIXELS, ImageParams
from ...recommendation.content import Content, ContentParams
from ...recommendation.protocol import cold, split_by_time
from ...recommendation.text import text_features
from .knowledge import ndcg
from .pages import block, markdown, put

MODULE = "storelab.experiments.studies.images"
PAGE = Path(__file__).parents[2] / "docs" / "images.md"
FIRST_SEED = 1000  # of the stores that are measured; below it stores were looked at while this was made
SHOWN = 0.7  # share of the variance of taste and quality that a picture shows
COLD_SHARE, TEST_DAYS = 0.2, 60
SIZES = {"items": 300, "days": 365, "customers": 1000, "appeal": 2.0, "top_rate": 8.0, "zipf_exponent": 0.5}


def store_of(seed: int, **more: float) -> tuple[SyntheticStore, Pictures, list[str]]:
    """Return a store, its pictures and the descriptions of its items: each names the category."""
    store = generate(SyntheticStoreParams(**SIZES, **more, seed=seed))
    return store, draw(store, shown=SHOWN), store.catalogue["category"].str.replace("-", "").tolist()


# -- lists ------------------------------------------------------------------------------------------------------------


WAYS = {  # of Content and FirstMonth: whether they read descriptions, pictures, and the pictures' encoder
    "text": (True, False, ""),
    "image, colours alone": (False, True, PIXELS),
    "image": (False, True, ""),
    "text and image, colours alone": (True, True, PIXELS),
    "text and image": (True, True, ""),
}
NEITHER = "neither"
TRAINED = tuple(name for name, (_, looks, encoder) in WAYS.items() if looks and not encoder)  # take most of the time


Row = dict[str, Callable[[], float]]  # of one store: name -> what measures it


def cold_row(seed: int) -> Row:
    """Return what measures NDCG@10 of one store's new items, among themselves for those who bought one, by model."""
    store, pictures, text = store_of(seed)
    names = store.catalogue["item"].tolist()
    first = str(store.panel.dates[-TEST_DAYS].date())
    whole = split_by_time(store.orders, first, TEST_DAYS, dict(zip(names, text, strict=True)))
    split = cold(whole, COLD_SHARE, seed)
    place, new = pd.Index(names).get_indexer(split.log.items), np.flatnonzero(split.ranked)
    users = pd.Index(store.customers["customer"]).get_indexer(np.array(split.log.users)[split.users])
    known, size = store.satisfaction, len(split.log.items)
    judged = lambda scores: ndcg(scores, new, size, split.histories, split.bought)

    def fitted(words: bool, looks: bool, encoder: str) -> float:
        images = pictures.take(place) if looks else None
        log = replace(split.log, text=split.log.text if words else None, images=images)
        model = Content(ContentParams(encoder=encoder, seed=seed, progress=False)).fit(log)
        return judged(model.scores(split.histories).numpy()[:, new])

    def truth() -> float:
        # Demand grows with quality; taste only says who buys, so an item that few like much is no less sold.
        taste = SIZES["appeal"] * known.taste @ known.feature[place[new]].T
        share = taste - np.log(np.exp(taste).mean(axis=0))
        return judged(share[users] + SIZES["appeal"] * known.quality[place[new]])

    found: Row = {NEITHER: lambda: judged(np.random.default_rng([seed, 1]).random((len(users), len(new))))}
    found |= {name: partial(fitted, *way) for name, way in WAYS.items()}
    return found | {"true taste and quality": truth}


# -- first orders -----------------------------------------------------------------------------------------------------


def month_row(seed: int) -> Row:
    """Return what measures the mean profit per new item of its first 28 days, by what the first order is based on.

    Half way through the days a store orders for every item that is launched later, once, at the newsvendor's level: an
    unsold unit is worth nothing.
    """
    store, pictures, text = store_of(seed, new_share=0.3)
    cut = SIZES["days"] // 2
    panel, launch = store.panel, store.catalogue["launch"].to_numpy()
    history, words = panel.until(cut), text_features(text, 0)
    months = first_months(history)
    new = np.flatnonzero((launch >= cut) & (launch + MONTH <= len(panel.dates)))
    sold = np.array([np.nansum(panel.units[launch[i] : launch[i] + MONTH, i]) for i in new])
    price, cost = (store.catalogue[name].to_numpy()[new] for name in ("price", "cost"))
    level = (price - cost) / price
    earned = lambda order: float((price * np.minimum(np.rint(order), sold) - cost * np.rint(order)).mean())

    def fitted(reads: bool, looks: bool, encoder: str) -> float:
        model = FirstMonth(ImageParams(encoder=encoder, seed=seed))
        model.fit(months, words if reads else None, pictures if looks else None)
        levels = np.full(len(launch), 0.5)
        levels[new] = level
        return earned(model.predict(levels)[new])

    found: Row = {name: partial(fitted, *way) for name, way in {NEITHER: (False, False, ""), **WAYS}.items()}
    found["the forecaster: one of its category"] = lambda: earned(_mixture(history, panel, cut, new, level))
    return found | {"true mean demand": lambda: earned(_truth(store, launch, new, level))}


def _mixture(history: Panel, panel: Panel, cut: int, new: np.ndarray, level: np.ndarray) -> np.ndarray:
    """Orders (n,) by the shipped forecaster, to which a new item is one of its category, not known which."""
    paths = create("transformer").sample_paths(history, known_future(panel, cut, MONTH), 200, 0)
    return np.array([np.quantile(paths[i].sum(axis=1), q) for i, q in zip(new, level, strict=True)])


def _truth(store: SyntheticStore, launch: np.ndarray, new: np.ndarray, level: np.ndarray) -> np.ndarray:
    """Orders (n,) by the demand's true distribution, which nobody knows."""
    rng, orders = np.random.default_rng([store.params.seed, 2]), []
    for i, q in zip(new, level, strict=True):
        rate, size = store.rate[launch[i] : launch[i] + MONTH, i], store.dispersion[i]
        drawn = rng.negative_binomial(size, size / (size + rate), (4000, MONTH)).sum(axis=1)
        orders.append(np.quantile(drawn, q))
    return np.array(orders)


# -- tables -----------------------------------------------------------------------------------------------------------


def measured(
    row: Callable[[int], Row], stores: int, results: Path | None, without: Collection[str] = ()
) -> pd.DataFrame:
    """Return a row of values per store; what stands in the file of results is not measured again."""
    known: dict[int, dict[str, float]] = {}
    if results and results.is_file():
        known = {line.pop("store"): line for line in map(json.loads, results.read_text().splitlines())}
    seeds = range(FIRST_SEED, FIRST_SEED + stores)
    for seed in seeds:
        mine = known.setdefault(seed, {})
        for name, measure in row(seed).items():
            if name in mine or name in without:
                continue
            mine[name] = measure()
            if results:
                lines = [json.dumps({"store": store} | values) for store, values in known.items()]
                write_atomic(results, ("\n".join(lines) + "\n").encode())
    return pd.DataFrame([known[seed] for seed in seeds]).drop(columns=list(without), errors="ignore")


def table(values: pd.DataFrame, what: str, form: str) -> str:
    """Return the table: means over stores, and paired differences to neither and to text."""
    rows = []
    for name in values:
        cells = [name, format(values[name].mean(), form)]
        for bar in (NEITHER, "text"):
            low, high = t_interval((values[name] - values[bar]).to_numpy())
            gap = (values[name] - values[bar]).mean()
            cells.append("" if name == bar else f"{gap:+{form}} [{low:+{form}}, {high:+{form}}]")
        rows.append(cells)
    return markdown([["known of the new items", what, "more than neither, 95 % CI", "more than text, 95 % CI"], *rows])


def drawn(folder: Path, seed: int) -> None:
    """Write a store's pictures and, in `orders.csv`, its orders, as a user would bring them."""
    store, pictures, _ = store_of(seed)
    for item, pixels in zip(store.catalogue["item"], pictures.pixels, strict=True):
        write_atomic(folder / f"{item}.png", png(pixels))
    write_atomic(folder / "orders.csv", write_csv(store.orders, index=False))


PARTS = {"cold": (cold_row, "NDCG@10", ".3f"), "first_month": (month_row, "profit per new item", ".1f")}
PARSER = argparse.ArgumentParser(prog=f"python -m {MODULE}", description="Measure what pictures of items are worth.")
PARSER.add_argument("part", choices=(*PARTS, "draw"))
PARSER.add_argument("folder", nargs="?", type=Path, help="draw: where the pictures go")
PARSER.add_argument("--stores", type=int, default=8, help="drawn anew (default 8)")
PARSER.add_argument("--plain", action="store_true", help="without the encoder from scratch: a tenth of the time")
PARSER.add_argument("--results", type=Path, help="file of a line per store, from which a killed run goes on")
PARSER.add_argument("--page", action="store_true", help="write the table into docs/images.md")


def main(arguments: list[str] | None = None) -> None:
    """Print a table, and write it into the page if asked."""
    given = PARSER.parse_args(arguments)
    if (given.part == "draw") != (given.folder is not None):
        PARSER.error("draw needs a folder, and it alone")
    if given.folder:
        drawn(given.folder, 0)
        return
    row, what, form = PARTS[given.part]
    text = table(measured(row, given.stores, given.results, TRAINED if given.plain else ()), what, form)
    print(text)
    if given.page:
        options = [f"--stores {given.stores}"] if given.stores != PARSER.get_default("stores") else []
        options += ["--plain"] if given.plain else []
        content = block(" ".join(["python -m", MODULE, given.part, *options]), text.strip())
        put(PAGE, given.part, MODULE, content)


if __name__ == "__main__":
    main()
