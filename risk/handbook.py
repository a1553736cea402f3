"""Transactions as the Fraud Detection Handbook simulates them, and what known frauds of terminals are worth on them.

`python -m storelab.risk.handbook [FOLDER] --seeds 3` writes the tables as files, reads them as anybody's own, and
measures LightGBM without and with late labels. By the published description (Le Borgne, Siblini, Lebichot & Bontempi
2022, Reproducible Machine Learning for Credit Card Fraud Detection, chapter 3, "Transaction data simulator"); drawn
anew here, by another order of draws: the numbers are not the Handbook's own.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from ..data.sheets import write_csv
from ..errors import FieldError
from ..learning.base import write_atomic
from ..learning.intervals import intervals
from .features import Layout, features
from .metrics import average_precision
from .synthetic import DAY
from .tabular import Trees, TreesParams
from .transactions import read_labelled, split_labelled

COLUMNS = {"customer": "CUSTOMER_ID", "timestamp": "TX_DATETIME", "amount": "TX_AMOUNT", "fraud": "TX_FRAUD"}
RADIUS = 5.0  # of the terminals that a customer uses, where customers and terminals live on 100 x 100
DEAR, LOST, COPIED = 1, 2, 3  # scenarios
_DAYS = {LOST: 28, COPIED: 14}  # that a terminal, a customer's card stays compromised


@dataclass
class HandbookParams:
    """Sizes, the Handbook's own by default."""

    customers: int = 5000
    terminals: int = 10_000
    days: int = 183
    seed: int = 0
    lost: float = 2.0  # terminals/day that are compromised
    copied: float = 3.0  # customers/day whose cards are

    def __post_init__(self):
        for name in ("lost", "copied"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1000:
                raise FieldError(name, value, "a number per day from 0 to 1000")
        for name, least in (("customers", 3), ("terminals", 2), ("days", 1), ("seed", 0)):
            value = getattr(self, name)
            if type(value) is not int or value < least:
                raise FieldError(name, value, f"a whole number >= {least}")


def scaled(scale: float, seed: int) -> HandbookParams:
    """A smaller or larger shop of the same kind: as many payments per terminal, as large a share of frauds."""
    p = HandbookParams()
    sizes = round(scale * p.customers), round(scale * p.terminals)
    return HandbookParams(*sizes, p.days, seed, scale * p.lost, scale * p.copied)


def simulate(params: HandbookParams) -> pd.DataFrame:
    """TRANSACTION_ID, TX_DATETIME, CUSTOMER_ID, TERMINAL_ID, TX_AMOUNT, TX_TIME_SECONDS, TX_TIME_DAYS, TX_FRAUD,
    TX_FRAUD_SCENARIO, by time. The same parameters give the same table.
    """
    rng = np.random.default_rng(params.seed)
    home, place = rng.uniform(0, 100, (params.customers, 2)), rng.uniform(0, 100, (params.terminals, 2))
    mean, rate = rng.uniform(5, 100, params.customers), rng.uniform(0, 4, params.customers)
    near = [np.flatnonzero(((place - own) ** 2).sum(axis=1) < RADIUS**2) for own in home]
    count = rng.poisson(rate[:, None], (params.customers, params.days))
    count[[len(terminals) == 0 for terminals in near]] = 0
    customer = np.repeat(np.repeat(np.arange(params.customers), params.days), count.ravel())
    day = np.repeat(np.tile(np.arange(params.days), params.customers), count.ravel())
    second = rng.normal(DAY / 2, 20_000, len(day)).astype(np.int64)
    amount = rng.normal(mean[customer], mean[customer] / 2)
    amount = np.where(amount < 0, rng.uniform(0, 2 * mean[customer]), amount).round(2)
    first = np.cumsum([0, *map(len, near)])[customer]  # of a customer's terminals, one list after the other
    width = np.array([len(terminals) for terminals in near])[customer]
    terminal = np.concatenate(near)[first + (rng.random(len(day)) * width).astype(np.int64)]
    kept = np.flatnonzero((second > 0) & (second < DAY))
    order = kept[np.argsort((day * DAY + second)[kept], kind="stable")]
    customer, terminal, amount, day, second = (part[order] for part in (customer, terminal, amount, day, second))
    amount, scenario = _frauds(params, customer, terminal, amount, day, rng)
    time = day * DAY + second
    stamp = np.datetime64("2018-04-01", "s") + time.astype("timedelta64[s]")
    columns = {"TRANSACTION_ID": np.arange(len(day)), "TX_DATETIME": stamp, "CUSTOMER_ID": customer}
    columns |= {"TERMINAL_ID": terminal, "TX_AMOUNT": amount, "TX_TIME_SECONDS": time, "TX_TIME_DAYS": day}
    return pd.DataFrame(columns | {"TX_FRAUD": (scenario > 0).astype(int), "TX_FRAUD_SCENARIO": scenario})


def _frauds(params: HandbookParams, customer, terminal, amount, day, rng) -> tuple[np.ndarray, np.ndarray]:
    """Amounts and scenarios: what is dearer than 220; some terminals and customers a day."""
    scenario = np.where(amount > 220, DEAR, 0)
    bounds = np.searchsorted(day, np.arange(params.days + 1))
    daily = lambda rate: np.diff(np.floor(rate * np.arange(params.days) + 1e-9)).astype(int)
    for start, count in enumerate(daily(params.lost)):
        end = bounds[min(start + _DAYS[LOST], params.days)]
        taken = rng.choice(params.terminals, count, replace=False)
        rows = bounds[start] + np.flatnonzero(np.isin(terminal[bounds[start] : end], taken))
        scenario[rows] = LOST
    for start, count in enumerate(daily(params.copied)):
        end = bounds[min(start + _DAYS[COPIED], params.days)]
        taken = rng.choice(params.customers, count, replace=False)
        rows = bounds[start] + np.flatnonzero(np.isin(customer[bounds[start] : end], taken))
        rows = rng.choice(rows, len(rows) // 3, replace=False)
        amount[rows] *= 5
        scenario[rows] = COPIED
    return amount.round(2), scenario


def measure(path: Path, scenario: np.ndarray, seed: int) -> list[dict]:
    """Test AUPRC of LightGBM on a file, without and with known frauds, by scenario too."""
    read = read_labelled(path, entities=["TERMINAL_ID"], columns=COLUMNS)
    split, known = split_labelled(read)
    rows = []
    for name, late in (("LightGBM", False), ("LightGBM, known frauds 7 days late", True)):
        layout = Layout(read.entities, late)
        table = features(read.transactions, layout, read.fraud, read.known)
        trees = Trees(TreesParams(seed=seed), layout).fit(table[split.train], known[split.train])
        margin, kinds = trees.margins(table[split.test], threads=2), scenario[split.test]
        row = {"model": name, "seed": seed, "AUPRC": average_precision(kinds > 0, margin)}
        for kind, called in ((DEAR, "dear"), (LOST, "terminal"), (COPIED, "card")):
            rest = (kinds == 0) | (kinds == kind)
            row[f"AUPRC, {called}"] = average_precision(kinds[rest] > 0, margin[rest])
        rows.append(row | {"frauds": read.fraud.mean(), "transactions": len(table)})
        print(f"seed {seed}, {name}: AUPRC {row['AUPRC']:.4f}", flush=True)
    return rows


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description="Late labels on the Fraud Detection Handbook's simulated transactions."
    )
    parser.add_argument("folder", nargs="?", default="runs/handbook", help="where tables go (runs/handbook)")
    parser.add_argument("--seeds", type=int, default=3, help="how many, each another simulation (default 3)")
    parser.add_argument(
        "--scale", type=float, default=1.0, help="times the Handbook's customers, terminals and attacks"
    )
    args = parser.parse_args(argv)
    folder, rows = Path(args.folder), []
    for seed in range(args.seeds):
        table = simulate(scaled(args.scale, seed))
        path = folder / f"transactions-{seed}.csv"
        write_atomic(path, write_csv(table, index=False))
        rows += measure(path, table["TX_FRAUD_SCENARIO"].to_numpy(), seed)
    result = intervals(pd.DataFrame(rows), ["model"])
    write_atomic(folder / "figures.csv", write_csv(result))
    print(f"\n{result.T.to_string(float_format='{:.4f}'.format)}")


if __name__ == "__main__":
    main()
