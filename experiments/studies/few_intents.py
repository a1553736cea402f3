"""Customers' intents from 5, 10 and 20 examples each: contrastive fine-tuning, and regressions on frozen vectors.

    python -m storelab.experiments.studies.few_intents ours
    python -m storelab.experiments.studies.few_intents bitext PATH
    python -m storelab.experiments.studies.few_intents banking77 PATH

Each prints a table in Markdown, and with `--page` writes it into docs/few_shots.md. A seed draws the examples from the
training rows; a fifth of them calibrates, then all train. Measured are the first 400 of the test rows, permuted.
Answered is what the service answers by itself, being at least .65 sure; the rest goes to a person. With `--rows FILE`
what was measured is kept there, a line of JSON each, and not measured again.
"""

import argparse
import json
import shlex
from pathlib import Path

import numpy as np
import pandas as pd

from ...evaluation.intervals import t_interval
from ...language import create
from ...language.answers import read_answers
from ...language.evaluate import per_class
from ...language.service import LEAST_SURE
from ...language.tables import read, split
from .pages import block, markdown, put

MODULE = "storelab.experiments.studies.few_intents"
PAGE = Path(__file__).parents[2] / "docs" / "few_shots.md"
EXAMPLES, SEEDS, TEST_ROWS = (5, 10, 20), (0, 1, 2), 400
WORDS = {"unit": "character_in_word", "longest": 4, "least_texts": 1, "strength": 100.0}
STEPS = 40  # of the contrastive training, chosen with the other settings on training rows of Bitext
CONTRASTIVE = {"loss": "contrastive", "frozen_layers": 4, "learning_rate": 3e-4, "batch_size": 64}
CONTRASTIVE |= {"head_strength": 30.0, "progress": False}
MODELS = {
    "regression, character n-grams": ("tfidf", WORDS),
    "regression, frozen MiniLM": ("embedding", {"strength": 30.0}),
    "contrastive, MiniLM": ("fine_tuned", CONTRASTIVE),
}
BASE, OURS = "regression, frozen MiniLM", "contrastive, MiniLM"


def questions(data: str, path: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rows to draw examples from, and rows to measure on."""
    if data == "ours":
        texts, intents = read_answers().examples()
        table = pd.DataFrame({"text": texts, "intent": intents})
    else:
        table = read(path)
    train, test = split(table, held=True)
    test = test[test["intent"].isin(train["intent"].unique())]
    return train, test.iloc[np.random.default_rng(0).permutation(len(test))[:TEST_ROWS]]


def figures(model, test: pd.DataFrame) -> dict[str, float]:
    """Accuracy, and the shares of the questions that are answered rightly and wrongly at the service's confidence."""
    texts, truth = test["text"].tolist(), test["intent"].to_numpy()
    labels, sure = model.decide(texts)
    right, answered = np.array(labels) == truth, np.array(sure) >= LEAST_SURE
    return {
        "accuracy": float(right.mean()),
        "answered rightly": float((right & answered).mean()),
        "answered wrongly": float((~right & answered).mean()),
    }


def measured(data: str, path: str, kept: Path | None, models: list[str], seeds: tuple[int, ...]) -> pd.DataFrame:
    """A row per number of examples, seed and model. Those in the file `kept` are taken from there."""
    rows = [json.loads(line) for line in kept.read_text().splitlines()] if kept and kept.exists() else []
    found = {(row["data"], row["examples"], row["seed"], row["model"]): row for row in rows}
    train, test = questions(data, path)
    wanted = [(data, count, seed, name) for count in EXAMPLES for seed in seeds for name in models]
    for key in wanted:
        if key not in found:
            _, count, seed, name = key
            chosen = train.iloc[per_class(train["intent"].tolist(), count, seed)]
            kind, params = MODELS[name]
            more = {"epochs": max(1, round(STEPS / -(-len(chosen) // 64)))} if kind == "fine_tuned" else {}
            model = create(kind, **params, **more, validation=0.2, seed=seed)
            model.fit(chosen["text"].tolist(), chosen["intent"].tolist())
            found[key] = dict(zip(("data", "examples", "seed", "model"), key, strict=True)) | figures(model, test)
            if kept:
                with kept.open("a") as file:
                    file.write(json.dumps(found[key]) + "\n")
    return pd.DataFrame([found[key] for key in wanted])


def table(rows: pd.DataFrame) -> str:
    """A row per number of examples and model: means over seeds, and what the contrastive one adds, 95 %."""
    names = ("accuracy", "answered rightly", "answered wrongly")
    lines = [["examples", "model", *names, "accuracy, more than the frozen MiniLM's, 95 %"]]
    for (count, model), of in rows.groupby(["examples", "model"], sort=False):
        base = rows[(rows["examples"] == count) & (rows["model"] == BASE)].set_index("seed")["accuracy"]
        gain = ""
        if model != BASE and len(base) > 1:
            more = of.set_index("seed")["accuracy"] - base
            low, high = t_interval(more.to_numpy()[:, None])[:, 0]
            gain = f"{more.mean():+.3f} [{low:+.3f}, {high:+.3f}]"
        lines.append([str(count), str(model), *(f"{of[name].mean():.3f}" for name in names), gain])
    return markdown(lines)


def main() -> None:
    """Print one table, or write it into the page."""
    parser = argparse.ArgumentParser(prog=f"python -m {MODULE}", description=str(__doc__).split("\n")[0])
    parser.add_argument("data", choices=("ours", "bitext", "banking77"))
    parser.add_argument("path", nargs="?", default="", help="file of the questions")
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--seeds", nargs="+", type=int, default=list(SEEDS))
    parser.add_argument("--rows", type=Path, help="file that keeps what was measured")
    parser.add_argument("--page", action="store_true", help="write the table into docs/few_shots.md")
    args = parser.parse_args()
    if args.data != "ours" and not args.path:
        parser.error(f"{args.data} needs the path of its data")
    made = table(measured(args.data, args.path, args.rows, args.models, tuple(args.seeds)))
    print(made)
    if args.page:
        command = f"python -m {MODULE}"
        words = [args.data, *(["PATH"] if args.path else [])]
        content = block(f"{command} {shlex.join(words)}", made)
        put(PAGE, args.data, MODULE, content)


if __name__ == "__main__":
    main()
