"""All models of fraud on the synthetic store, measured: docs/risk.md.

`python -m storelab.risk.evaluate [FOLDER]` writes tables and the two models of the first seed into the folder.
"""

import argparse
import json
import time
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pandas as pd

from ..data.sheets import write_csv
from ..learning.base import Card, write_atomic
from ..learning.intervals import intervals
from .features import STORE, Layout, features
from .metrics import Costs, average_precision, by_group, calibration_error, threshold_of_least_cost, within_budget
from .scoring import Scorer
from .sequence import SequenceModel, SequenceParams
from .synthetic import PATTERNS, FraudData, TransactionParams, generate
from .tabular import Calibration, Trees, TreesParams, baselines, late
from .transactions import Split, columns, split_by_time

PLAIN, LEARNED = "LightGBM", "sequence model"
BUDGET = 0.01  # of each day's transactions are reviewed
_STREAMED = 500  # transactions whose latency is measured


def figures(
    data: FraudData, table: np.ndarray, layout: Layout, split: Split, margins: dict, costs: Costs
) -> tuple[list, list]:
    """Rows of figures per model, and per model and group of customers, on the test rows.

    `margins` has per model those of the validation and of the test rows.
    """
    fraud, seen = data.labels["fraud"].to_numpy(), columns(data.transactions)
    amount, declined, moment = seen["amount"], seen["declined"], seen["time"]
    known, test = split.validation, split.test
    labels = data.labels["pattern"].to_numpy()[test] if "pattern" in data.labels else None
    kind = data.customers.columns[1]  # household, or group of a user's table
    group_of = data.transactions["customer"].map(data.customers.set_index("customer")[kind]).fillna("")
    age = table[test, layout.names.index("own first: days since")]
    tenure = np.where(age >= 30, "known for 30 days or more", "known for less")
    homes = f"{kind}: " + group_of.to_numpy()[test].astype(object)
    rows, groups = [], []
    for model, (before, now) in margins.items():
        calibration = Calibration.fit(before, fraud[known])
        chance, past = calibration(now), calibration(before)
        reviewed = within_budget(now, moment[test], BUDGET)
        fixed = threshold_of_least_cost(costs, past, fraud[known], amount[known], declined[known])
        by_amount = costs.worth_review(chance, amount[test], declined[test])
        money = lambda chosen: costs.total(chosen, fraud[test], amount[test], declined[test])
        row = {"model": model, "AUPRC": average_precision(fraud[test], now)}
        row["recall at 1 %"] = (fraud[test] & reviewed).sum() / fraud[test].sum()
        row |= {"cost, fixed threshold": money(chance >= fixed), "cost, by amount": money(by_amount)}
        row |= {"cost, no review": money(np.zeros(len(now), bool))}
        row |= {"calibration error": calibration_error(fraud[test], chance)}
        row |= {"Brier": float(((chance - fraud[test]) ** 2).mean())}
        for pattern in PATTERNS[1:] if labels is not None else ():
            kept = np.isin(labels, ("", pattern))
            row[f"AUPRC, {pattern}"] = average_precision(labels[kept] == pattern, now[kept])
        rows.append(row)
        for group in (tenure, homes):
            by = by_group(group, fraud[test], reviewed).reset_index()
            groups += [{"model": model} | line for line in by.to_dict("records") if line["group"] != f"{kind}: "]
    return rows, groups


def run(
    params: TransactionParams, sequence: SequenceParams, layout: Layout = STORE
) -> tuple[list, list, dict, FraudData, Split]:
    """Train all models on one store; rows of figures, rows of groups, the models to keep, the data, its split."""
    data = generate(params)
    fraud = data.labels["fraud"].to_numpy()
    table = features(data.transactions, layout, fraud)
    split = split_by_time(columns(data.transactions)["time"])
    train, parts = split.train, (split.validation, split.test)
    learned = SequenceModel(sequence, layout=layout)
    learned.fit(data.transactions, table, fraud, train, split.validation)
    trees = Trees(learned.trees.params, layout)
    trees.booster = learned.trees.booster  # grown on the same rows with the same parameters
    trees.calibrate(table[split.validation], fraud[split.validation])
    more = [replace(trees.params, seed=trees.params.seed + k) for k in range(1, sequence.members)]
    several = [trees, *(Trees(one, layout).fit(table[train], fraud[train]) for one in more)]
    mean = lambda rows: np.mean([one.margins(rows) for one in several], axis=0)  # as the networks' is one
    plain = {PLAIN: trees.margins, f"{PLAIN}, mean of {len(several)}": mean}
    plain |= baselines(table[train], fraud[train], params.seed, layout)
    margins = {LEARNED: tuple(learned.margins(data.transactions, table, part) for part in parts)}
    margins |= {name: tuple(margin(table[part]) for part in parts) for name, margin in plain.items()}
    rows, groups = figures(data, table, layout, split, margins, Costs())
    best = {PLAIN: trees, LEARNED: learned}
    return rows, groups, best, data, split


def run_trees(params: TransactionParams) -> tuple[list, list, dict, FraudData, Split]:
    """As `run`, of LightGBM alone: with known frauds, and without."""
    data = generate(params)
    fraud = data.labels["fraud"].to_numpy()
    table, split = features(data.transactions, STORE, fraud), split_by_time(columns(data.transactions)["time"])
    blind, parts = np.where(late(STORE), np.float32(np.nan), table), (split.validation, split.test)
    models, margins = {}, {}
    for name, rows in ((PLAIN, table), (f"{PLAIN}, no late labels", blind)):
        models[name] = Trees(TreesParams(seed=params.seed), STORE).fit(rows[split.train], fraud[split.train])
        models[name].calibrate(rows[split.validation], fraud[split.validation])
        margins[name] = tuple(models[name].margins(rows[part]) for part in parts)
    rows, groups = figures(data, table, STORE, split, margins, Costs())
    return rows, groups, {PLAIN: models[PLAIN]}, data, split


def speeds(models: dict, data: FraudData, split: Split) -> pd.DataFrame:
    """CPU time on one thread: ms per transaction in a stream, transactions/s in a batch, its features counted in."""
    labelled = data.transactions.assign(fraud=data.labels["fraud"])
    history = labelled.iloc[: split.test.start].tail(5000)
    coming = data.transactions.iloc[split.test].head(_STREAMED).to_dict("records")
    batch = data.transactions.head(100_000)
    rows = []
    for name, model in models.items():
        scorer, seconds = Scorer(model, history), []
        for transaction in coming:
            started = time.process_time()
            scorer.score(transaction)
            seconds.append(time.process_time() - started)
        started = time.process_time()
        table = features(batch, model.layout, data.labels["fraud"].to_numpy()[: len(batch)])
        counted = time.process_time()
        if name == PLAIN:
            model.predict(table)
        else:
            model.predict(batch, table)
        ended = time.process_time()
        row = {"model": name, "median ms": 1000 * np.median(seconds), "99 % ms": 1000 * np.quantile(seconds, 0.99)}
        row["features/s"], row["scores/s"] = len(batch) / (counted - started), len(batch) / (ended - counted)
        rows.append(row | {"both/s": len(batch) / (ended - started)})
    return pd.DataFrame(rows).set_index("model")


def with_gain(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows with `better`: AUPRC above the trees' of the same seed."""
    base = rows[rows["model"] == PLAIN].set_index("seed")["AUPRC"]
    rows = rows.copy()
    rows.insert(3, "better", rows["AUPRC"] - rows["seed"].map(base))
    return rows


def card_of(data: FraudData, figure: dict) -> Card:
    """The card of a model that was trained here."""
    return Card(
        data=f"Synthetic transactions of risk.synthetic, {json.dumps(asdict(data.params))}: none is real.",
        split="By time: 75 % of the days, then the test; labels known 7 days late, the last 20 known days validate.",
        figures={name: value for name, value in figure.items() if name != "model"},
        intended_use="Simulation and research: ranking transactions for review by a person.",
        limits="Knows the six patterns of its generator alone. Not for decisions about people.",
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the models of fraud on the synthetic store.")
    parser.add_argument("folder", nargs="?", default="runs/risk", help="where tables and models go (runs/risk)")
    parser.add_argument("--seeds", type=int, default=3, help="how many, each another store (default 3)")
    parser.add_argument("--customers", type=int, default=TransactionParams.customers)
    parser.add_argument("--epochs", type=int, default=SequenceParams.epochs, help="of the sequence model")
    few = parser.add_mutually_exclusive_group()
    few.add_argument("--trees", action="store_true", help="LightGBM alone, with and without late labels")
    few.add_argument("--four", action="store_true", help="the four patterns that no late label is needed for, and none")
    args = parser.parse_args()
    folder, rows, groups = Path(args.folder), [], []
    for seed in range(args.seeds):
        without = {"compromised_merchants": 0.0, "stolen_cards": 0.0} if args.four else {}
        params = TransactionParams(customers=args.customers, seed=seed, **without)
        sequence = SequenceParams(seed=seed, epochs=args.epochs, progress=False)
        by_model, by, models, data, split = (
            run_trees(params) if args.trees else run(params, sequence, Layout() if args.four else STORE)
        )
        rows += [{"model": row["model"], "seed": seed} | row for row in by_model]
        groups += [{"seed": seed} | row for row in by]
        for row in by_model:
            print(f"seed {seed}, {row['model']}: AUPRC {row['AUPRC']:.4f}", flush=True)
        if seed == 0:
            speed = speeds(models, data, split)
            for row in by_model:
                if row["model"] in models:
                    models[row["model"]].save(folder / row["model"].replace(" ", "-"), card_of(data, row))
    tables = {"figures": intervals(with_gain(pd.DataFrame(rows)), ["model"]), "speed": speed}
    tables["groups"] = intervals(pd.DataFrame(groups), ["model", "group"])
    tables["seeds"] = pd.DataFrame(rows).set_index(["model", "seed"])
    for name, table in tables.items():
        write_atomic(folder / f"{name}.csv", write_csv(table))
        print(f"\n{table.T.to_string(float_format='{:.4f}'.format)}")


if __name__ == "__main__":
    main()
