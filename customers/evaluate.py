"""One encoder for several tasks against single-task networks, gradient boosting and rules.

    python -m storelab.customers.evaluate synthetic --seeds 5      # made-up customers; the campaign's money too
    python -m storelab.customers.evaluate FILE --seeds 3           # purchases of your own, under `histories.EVENTS`
    python -m storelab.customers.evaluate FILE --kind lines        # lines of invoices, under `data.TRANSACTIONS`
    python -m storelab.customers.evaluate PATH --kind online_retail

Samples are made on days: what came before is known, the 90 days after are told. Training days end 90 days before the
validation day, which is 90 days before the test day. Models stop on the validation day; the test day is read once.
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score

from ..data import TRANSACTIONS, online_retail, read
from ..learning.intervals import intervals
from .campaign import Campaign
from .histories import TASKS, Samples, cuts, days_of, read_events, samples
from .network import BehaviourNetwork, BehaviourParams
from .synthetic import CustomerParams, Customers, generate
from .trees import BehaviourTrees, rules

FREQUENT = 30  # items of lines that are categories of their own
FIGURES = {"next": "next, NDCG@5", "rating": "rating, MAE", "churn": "churn, AUC", "spend": "log spend, R²"}


def of_lines(lines: pd.DataFrame) -> pd.DataFrame:
    """Return purchases from lines of invoices under `data.TRANSACTIONS`: the category is the dearest item's.

    Items but the most frequent ones are one category, `other`. Lines without a customer are left out.
    """
    lines = lines[lines["customer"].notna()].assign(amount=lines["quantity"] * lines["price"])
    lines = lines.sort_values("amount", kind="stable")
    whole = lines.groupby(["customer", "invoice"], sort=False).agg(
        timestamp=("timestamp", "min"), category=("item", "last"), amount=("amount", "sum")
    )
    usual = whole["category"].value_counts().index[:FREQUENT]
    whole["category"] = whole["category"].where(whole["category"].isin(usual), "other")
    return whole.reset_index().sort_values("timestamp", kind="stable").reset_index(drop=True).assign(rating=np.nan)


READERS = {
    "purchases": read_events,
    "lines": lambda path: of_lines(read(path, TRANSACTIONS)),
    "online_retail": lambda path: of_lines(online_retail.load(path)[0]),
}


def split(events: pd.DataFrame) -> tuple[Samples, Samples, Samples, list[str]]:
    """Return training, validation and test rows, and the categories of the training days."""
    day = days_of(events)
    at = cuts(float(day.max()))
    known = sorted(events["category"][day < at["train"][-1]].unique())
    return *(samples(events, at[part], known) for part in ("train", "validation", "test")), known


def figures(told: dict[str, np.ndarray], rows: Samples) -> dict[str, float]:
    """Return a figure per task that was told and is known of some rows; see FIGURES."""
    found = {}
    for name in TASKS:
        known = ~np.isnan(rows.target[name])
        if name not in told or not known.any():
            continue
        wanted, answer = rows.target[name][known], told[name][known]
        if name == "next":
            own = answer[np.arange(len(answer)), wanted.astype(int) - 1][:, None]
            place = (answer > own).sum(axis=1) + ((answer == own).sum(axis=1) - 1) / 2  # ties: in the middle of them
            value = np.where(place < 5, 1 / np.log2(place + 2), 0).mean()
        elif name == "rating":
            value = np.abs(wanted - answer).mean()
        elif name == "churn":
            value = roc_auc_score(wanted, answer) if len(np.unique(wanted)) == 2 else np.nan
        else:
            wanted, answer = np.log1p(wanted), np.log1p(answer.clip(0))
            value = 1 - ((wanted - answer) ** 2).sum() / ((wanted - wanted.mean()) ** 2).sum()
        found[FIGURES[name]] = float(value)
    return found


def models(parts: tuple[Samples, Samples, Samples, list[str]], seed: int, **params) -> dict[str, dict[str, np.ndarray]]:
    """Return what each model tells of the test rows, trained anew."""
    training, validation, test, categories = parts
    fit = lambda tasks: BehaviourNetwork(BehaviourParams(tasks=tasks, seed=seed, progress=False, **params)).fit(
        training, validation, categories
    )
    usable = [name for name in TASKS if not np.isnan(training.target[name]).all()]
    told = {"rules": rules(training, test, len(categories))}
    told["gradient boosting"] = BehaviourTrees(seed=seed).fit(training, validation, categories).predict(test)
    told["single-task networks"] = {name: fit(name).predict(test)[name] for name in usable}
    told["multi-task network"] = fit("+".join(usable)).predict(test)
    return told


def money(
    told: dict[str, dict[str, np.ndarray]], test: Samples, truth: Customers, campaign: Campaign
) -> dict[str, float]:
    """Return what the campaign earns by whom it writes to, money per 1,000 customers."""
    worth = campaign.earned(truth, test.customer, float(test.day[0]))
    letters = {name: campaign.expected(test, answer["churn"]) > 0 for name, answer in told.items()}
    count = int(letters["multi-task network"].sum())
    earned = {name: worth[sent].sum() for name, sent in letters.items()}
    earned |= {
        "everybody": worth.sum(),
        "as many, at random": worth.mean() * count,
        "who had left, known": worth[worth > 0].sum(),
    }
    return {name: 1000 * float(value) / len(worth) for name, value in earned.items()}


def study(source: str, seeds: int, kind: str = "purchases", customers: int = 4000, **params) -> dict[str, pd.DataFrame]:
    """Return the tables: figures by model, and, of made-up customers, the campaign's money by whom it writes to."""
    if source == "synthetic":
        made = [generate(CustomerParams(customers=customers, seed=seed)) for seed in range(seeds)]
        data = [(split(one.events), one) for one in made]
    else:
        data = [(split(READERS[kind](Path(source))), None)] * seeds
    rows, earned = [], []
    for seed, (parts, truth) in enumerate(data):
        told = models(parts, seed, **params)
        rows += [{"model": name, "seed": seed, **figures(answer, parts[2])} for name, answer in told.items()]
        if truth is not None:
            by_whom = money(told, parts[2], truth, Campaign())
            earned += [
                {"letters to those chosen by": name, "seed": seed, "money": value} for name, value in by_whom.items()
            ]
    tables = {"figures": intervals(pd.DataFrame(rows), ["model"])}
    if earned:
        table = pd.DataFrame(earned)
        even = table[table.iloc[:, 0] == "as many, at random"].set_index("seed")["money"]
        table["more than at random"] = table["money"] - table["seed"].map(even)
        tables["campaign"] = intervals(table, ["letters to those chosen by"])
    return tables


def markdown(table: pd.DataFrame, digits: int) -> str:
    """Return a table of means and half intervals as Markdown."""
    names = [name for name in table if not name.startswith("±") and name != "seeds"]
    lines = [[table.index.name, *names], ["---"] * (len(names) + 1)]
    for key, row in table.iterrows():
        told = [
            f"{row[n]:,.{digits}f} ± {row[f'± {n}']:,.{digits}f}" if row["seeds"] > 1 else f"{row[n]:,.{digits}f}"
            for n in names
        ]
        lines.append([str(key), *("" if "nan" in one else one for one in told)])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", help="synthetic, or a file of purchases")
    parser.add_argument("--kind", choices=list(READERS), default="purchases", help="what the file holds")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--customers", type=int, default=4000, help="of a made-up population")
    options = parser.parse_args()
    tables = study(options.source, options.seeds, options.kind, options.customers)
    for name, table in tables.items():
        print(f"\n{markdown(table, 3 if name == 'figures' else 0)}")


if __name__ == "__main__":
    main()
