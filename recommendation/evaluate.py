"""What recommenders are worth, measured: docs/recommendation.md.

`python -m storelab.recommendation.evaluate long_tail DATA`, `... cold_items DATA`, `... order [DATA]`, `... causes
[DATA]` or `... speed`. DATA is a folder with Online Retail's raw file, of `order` and `causes` one with Complete
Journey's files; these two without a folder rank made-up sequences. Ranking and ratings are measured by `storelab fit`.
"""

import argparse
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import torch
import yaml

from ..learning.intervals import intervals
from . import RANKERS, create
from .base import Histories, Log, top
from .longtail import rerank
from .metrics import ranking_metrics
from .neighbours import RowSums
from .protocol import Split, complete_journey_frame, leave_last_out, online_retail_frame, rank, split_by_time
from .sasrec import SASRec, SASRecParams
from .sequences import SequenceParams, ordered
from .text import text_features

MONTHS = {"validation": "2011-10-10", "test": "2011-11-09"}  # 30 days from these
SPEED = tuple(name for name in RANKERS if name != "content")  # whose catalogue needs no content
COLD_SHARE = 0.1  # of the items, hidden from the training


def long_tail(split: Split, seeds: int, settings: dict) -> Iterator[dict]:
    """A row per treatment and seed: re-ranking of EASE's and the Transformer's lists by weight, its training debiased,
    and its purchases replaced by rarer ones.
    """
    histories, wanted = split.relevant(repeats=False)
    buyers = np.asarray(split.log.histories.bought(len(split.log.items)).sum(axis=0))
    treatments = [("ease", {})]
    treatments += [("transformer", more) for more in ({}, {"debias": 0.5}, {"augment": 0.1}, {"augment": 0.3})]
    for name, more in treatments:
        for seed in range(seeds if name == "transformer" else 1):
            model = create(name, **({**settings, **more, "seed": seed} if name == "transformer" else {})).fit(split.log)
            for weight in (0.0,) if more else (0.0, 0.1, 0.3, 1.0):
                lists = rerank(model.scores(histories), histories, 10, weight)
                treatment = "".join(f", {key} {value}" for key, value in (more or {"rerank": weight}).items())
                yield {"model": name + treatment, "seed": seed, **ranking_metrics(lists, wanted, buyers)}


def cold_items(split: Split, seeds: int, settings: dict) -> Iterator[dict]:
    """A tenth of the items hidden from the training, and ranked among themselves for those who bought any of them."""
    for seed in range(seeds):
        hidden = np.random.default_rng(seed).random(len(split.log.items)) < COLD_SHARE
        log = split.log
        warm = Log(log.users, log.items, log.histories.where(~hidden[log.histories.item]), log.text)
        users = [user for user, items in enumerate(split.bought) if hidden[items].any()]
        bought = [split.bought[user][hidden[split.bought[user]]] for user in users]
        histories = split.histories.take(np.array(users))
        shown = histories.where(~hidden[histories.item])
        before = np.split(histories.item, histories.start[1:-1])
        bought = [np.setdiff1d(items, known) for items, known in zip(bought, before, strict=True)]
        keep = np.array([k for k, items in enumerate(bought) if len(items)])
        bought, shown, histories = [bought[k] for k in keep], shown.take(keep), histories.take(keep)
        features = torch.from_numpy(text_features(log.text, 0))
        tables = {"random": torch.rand(len(keep), len(hidden), generator=torch.Generator().manual_seed(seed))}
        tables["nearest text"] = RowSums(features).of(shown) @ features.T
        tables["transformer"] = create("transformer", **{**settings, "seed": seed}).fit(warm).scores(shown)
        for name, scores in tables.items():
            scores[:, torch.from_numpy(~hidden)] = -torch.inf
            lists = top(scores, histories, 10)
            measured = ranking_metrics(lists, bought, np.ones(len(hidden)))
            yield {"model": name, "seed": seed, **{m: measured[m] for m in ("NDCG@10", "Recall@10", "MRR@10")}}


def order(split: Split, seeds: int, settings: dict) -> Iterator[dict]:
    """What each customer buys last, ranked by the Transformer, a plain SASRec, and models that know of no order."""
    models = {"popularity": lambda seed: create("popularity"), "sasrec": lambda seed: SASRec(SASRecParams(seed=seed))}
    models |= {
        f"ease {penalty:g}": lambda seed, p=penalty: create("ease", penalty=p) for penalty in (30.0, 100.0, 300.0)
    }
    models["transformer"] = lambda seed: create("transformer", **{**settings, "seed": seed})
    for seed in range(seeds):
        for name in models if seed == 0 else ("sasrec", "transformer"):
            started = time.process_time()
            model = models[name](seed).fit(split.log)
            row = {"model": name, "seed": seed, "fit, CPU s": time.process_time() - started}
            yield row | {m: rank(model, split)[m] for m in ("NDCG@10", "Recall@10", "MRR@10")}


def causes(frame: pd.DataFrame, seeds: int, settings: dict) -> Iterator[dict]:
    """What each customer buys last, by one change after the other: from the network over days' baskets to the one over
    single purchases. A row is what the rows above it have, and its own change.
    """
    by_time = leave_last_out(frame, whole=False)
    by_day = replace(by_time, log=replace(by_time.log, histories=_days(by_time.log.histories)))
    by_day = replace(by_day, histories=_days(by_time.histories))
    apart = leave_last_out(_apart(frame), whole=False)
    old, order = {"order_epochs": 0}, {"order_search": False}
    steps = [("EASE", by_time, None), ("days' baskets", by_time, old)]
    steps += [("each time a basket of its own", apart, old := old | {})]
    steps += [("the next basket alone is learned", apart, old := old | {"horizon": 1})]
    steps += [("the last 100 baskets are read", apart, old := old | {"length": 100})]
    steps += [("40 epochs", apart, old := old | {"epochs": 40}), ("two layers", apart, old := old | {"layers": 2})]
    steps += [("without EASE and sales", apart, old | {"residual": False})]
    steps += [("single purchases, by days", by_day, order), ("single purchases, by times", by_time, order)]
    for name, split, more in steps:
        for seed in range(seeds if more else 1):
            model = create("ease") if more is None else create("transformer", **{**settings, **more, "seed": seed})
            model.fit(split.log)
            shares = (model.share, 1.0) if more is order else (None,)
            for share in dict.fromkeys(shares):
                if share is not None:
                    model.share = share
                called = f"{name}, with the baskets" if share not in (None, 1.0) else name
                yield {"model": called, "seed": seed, "NDCG@10": rank(model, split)["NDCG@10"]}


def _days(histories: Histories) -> Histories:
    """The same purchases with their days alone."""
    day = np.floor(histories.day)
    return Histories.sorted(histories.user, histories.item, day, len(histories), histories.now)


def _apart(frame: pd.DataFrame) -> pd.DataFrame:
    """The same with a day for each of a customer's times: the last one stays, each before is a day earlier."""
    time = frame.groupby("customer")["timestamp"]
    back = time.transform("max").dt.normalize(), time.rank("dense"), time.transform("nunique")
    return frame.assign(timestamp=back[0] - pd.to_timedelta(back[2] - back[1], unit="D"))


def speed(
    users: int = 1000,
    items: int = 5000,
    bought: int = 30,
    threads: int = 2,
    models: Sequence[str] = SPEED,
) -> Iterator[dict]:
    """A row per model: milliseconds of `recommend` for all users, best and median of 10 calls."""
    torch.set_num_threads(threads)
    rng = np.random.default_rng(0)
    item = (items * rng.random(users * bought) ** 2).astype(int)
    user, day = np.repeat(np.arange(users), bought), np.floor(rng.uniform(0, 360, users * bought) / 36) * 36
    names = [f"I{number}" for number in range(items)]
    log = Log([f"U{number}" for number in range(users)], names, Histories.sorted(user, item, day, users, 360.0))
    stock = rng.random(items) < 0.9
    for name in models:
        few = {"epochs": 1, "order_epochs": 1, "progress": False}
        model = create(name, **(few if name == "transformer" else {})).fit(log)
        for share in (0.0, 0.5) if name == "transformer" else (0.0,):
            model.share = share  # by baskets alone, and with the order beside
            taken, cpu = [], []
            for _ in range(10):
                began, began_cpu = time.perf_counter(), time.process_time()
                model.recommend(log.histories, 10, stock)
                taken.append(time.perf_counter() - began)
                cpu.append(time.process_time() - began_cpu)
            times = {"best ms": min(taken), "median ms": float(np.median(taken)), "best CPU ms": min(cpu)}
            called = f"{name}, both networks" if share else name
            yield {"model": called, **{key: 1000 * value for key, value in times.items()}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("long_tail", "cold_items", "order", "causes", "speed"))
    parser.add_argument(
        "data", nargs="?", help="folder with Online Retail's raw file; of order with Complete Journey's"
    )
    parser.add_argument("--users", type=int, default=943, help="of the sequences that order makes up")
    parser.add_argument("--items", type=int, default=1682, help="of these sequences")
    parser.add_argument("--customers", type=int, default=0, help="of Online Retail, drawn at random; 0: all")
    parser.add_argument("--days", action="store_true", help="order: with days in the place of times")
    parser.add_argument("--month", choices=tuple(MONTHS), default="test")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2, help="of speed")
    parser.add_argument("--models", nargs="+", default=[*SPEED], choices=SPEED, help="of speed")
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="the Transformer's parameters")
    args = parser.parse_args()
    settings = {"progress": False}
    for text in args.set:
        key, _, value = text.partition("=")
        settings[key] = yaml.safe_load(value)
    if args.data is None and args.what not in ("order", "causes", "speed"):
        parser.error("data: missing, expected the folder with Online Retail's raw file")
    split = frame = None
    if args.what in ("order", "causes"):
        frame = complete_journey_frame(args.data) if args.data else ordered(SequenceParams(args.users, args.items))
        frame["timestamp"] = frame["timestamp"].dt.normalize() if args.days else frame["timestamp"]
        split = leave_last_out(frame, whole=args.data is not None)
    elif args.data is not None:
        frame, text = online_retail_frame(args.data)
        if args.customers:
            drawn = np.random.default_rng(0).permutation(frame["customer"].unique())[: args.customers]
            frame = frame[frame["customer"].isin(drawn)]
        split = split_by_time(frame, MONTHS[args.month], 30, text)
    rows = {
        "long_tail": lambda: long_tail(split, args.seeds, settings),
        "cold_items": lambda: cold_items(split, args.seeds, settings),
        "order": lambda: order(split, args.seeds, settings),
        "causes": lambda: causes(frame, args.seeds, settings),
        "speed": lambda: speed(threads=args.threads, models=args.models),
    }[args.what]()
    shown = []
    for row in rows:
        shown.append(row)
        print({key: round(value, 4) if isinstance(value, float) else value for key, value in row.items()}, flush=True)
    if "seed" in shown[0]:
        print(intervals(pd.DataFrame(shown), ["model"]).to_string(float_format="{:.4f}".format))


if __name__ == "__main__":
    main()
