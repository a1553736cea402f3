"""What smaller and byte-wise networks cost in quality, and save in CPU time.

    python -m storelab.experiments.studies.cheap text
    python -m storelab.experiments.studies.cheap sequence

Each prints a table in Markdown, and with `--page` writes it into docs/cheap_inference.md. Times are CPU time of one
thread per row, the least of several turns in which all models are asked one after another, so that their ratios say
more than they themselves. `--results FOLDER` keeps models and figures, from which a killed run goes on.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from copy import deepcopy
from functools import partial
from pathlib import Path

import numpy as np

from ... import language, recommendation
from ...language import customers
from ...language.embedding import forget
from ...learning.base import Card, write_atomic
from ...learning.int8 import to_int8
from ...reading import read_json
from ...recommendation.protocol import leave_last_out, rank
from ...recommendation.sequences import SequenceParams, ordered
from .pages import block, markdown, put

MODULE = "storelab.experiments.studies.cheap"
PAGE = Path(__file__).parents[2] / "docs" / "cheap_inference.md"
CARD = Card("made up", "see docs/cheap_inference.md", {}, "a teacher", "made up")
LABELLED, UNLABELLED, ASKED, MANY = 400, 1200, 1000, 10_000  # texts
TURNS = 3
BAR = "encoder, 6 layers"


def least_ms(models: dict[str, Callable[[], object]], rows: int) -> dict[str, float]:
    """Return CPU milliseconds per row of each call, the least of several turns."""
    taken: dict[str, list[float]] = {name: [] for name in models}
    for _ in range(TURNS):
        for name, call in models.items():
            began = time.process_time()
            call()
            taken[name].append(1000 * (time.process_time() - began) / rows)
    return {name: min(values) for name, values in taken.items()}


def kept(folder: Path, load: Callable, make: Callable):
    """Return the model saved in a folder; where there is none it is made and saved."""
    if not (folder / "config.json").is_file():
        make().save(folder, CARD)
    return load(folder)


def measured(models: dict, quality: Callable, ask: Callable, many: int, alone: int) -> dict[str, dict[str, float]]:
    """Return quality and CPU time per row by model.

    Args:
        models: by name.
        quality: of a model.
        ask: a model, the first row and the one after the last, for its answers.
        many: rows that are asked at once.
        alone: rows that are asked one by one.
    """
    together = least_ms({name: partial(ask, model, 0, many) for name, model in models.items()}, many)
    single = {name: lambda m=model: [ask(m, row, row + 1) for row in range(alone)] for name, model in models.items()}
    one = least_ms(single, alone)
    return {name: {"quality": quality(models[name]), "many": together[name], "one": one[name]} for name in models}


# -- texts ------------------------------------------------------------------------------------------------------------


def text_row(seed: int, folder: Path) -> dict[str, dict[str, float]]:
    """Return accuracy and CPU time per review by model: English reviews of the marketplace, stars."""
    drawn = lambda count, part, *without: customers.reviews(count, 0.0, 5 * seed + part, without)
    train, more, test, many = drawn(LABELLED, 2, 3), drawn(UNLABELLED, 3, 3), drawn(ASKED, 0), drawn(MANY, 4, 3)
    texts, stars = train["text"].tolist(), train["stars"].tolist()

    def tuned(name: str, texts: list[str], stars: list, **params):
        common = {"tokens": 48, "seed": seed, "progress": False, "device": "cpu", "inference": "float32"}
        common["checkpoints"] = str(folder / "checkpoints")
        make = lambda: language.create("fine_tuned", **common, **params).fit(texts, stars)
        return kept(folder / f"text-{seed}-{name}", language.load, make)

    teacher = tuned("teacher", texts, stars)
    models = {BAR: teacher, f"{BAR}, int8": in_bytes(teacher)}
    models["encoder, 2 layers"] = tuned("small", texts, stars, layers=2)
    both, said = [*texts, *more["text"]], [*stars, *teacher.predict(more["text"].tolist())]
    student = tuned("student", both, said, layers=2, epochs=2, teacher=str(folder / f"text-{seed}-teacher"))
    models |= {"encoder, 2 layers, distilled": student, "encoder, 2 layers, distilled, int8": in_bytes(student)}
    for inference in ("float32", "int8"):
        frozen = language.create("embedding", tokens=48, seed=seed, device="cpu", inference=inference)
        models[f"frozen encoder, {inference}"] = frozen.fit(texts, stars)
    words = lambda: language.create("tfidf", unit="character", longest=4, strength=1.0, seed=seed)
    models["TF-IDF"] = words().fit(texts, stars)
    models["TF-IDF, 10,000 labels"] = words().fit(many["text"].tolist(), many["stars"].tolist())
    asked, true = test["text"].tolist(), test["stars"].to_numpy()

    def ask(model, first: int, stop: int) -> np.ndarray:
        forget()  # what a frozen encoder remembers of a text
        return model.predict_proba(asked[first:stop])

    return measured(models, lambda model: float(np.mean(np.array(model.predict(asked)) == true)), ask, 128, 16)


def in_bytes(model):
    """Return a copy of a fine-tuned classifier whose wide layers are bytes; its calibration stays."""
    made = deepcopy(model)
    to_int8(made.network.encoder)
    return made


# -- sequences --------------------------------------------------------------------------------------------------------


def sequence_row(seed: int, folder: Path) -> dict[str, dict[str, float]]:
    """Return NDCG@10 of what customers buy last and CPU time per customer, by model: made-up ordered sequences."""
    split = leave_last_out(ordered(SequenceParams(users=150, items=300, seed=seed)), whole=False)

    def fitted(name: str, **params):
        common = {"seed": seed, "progress": False, "device": "cpu", "order_search": False}
        common["checkpoints"] = str(folder / "checkpoints")
        make = lambda: recommendation.create("transformer", **common, **params).fit(split.log)
        return kept(folder / f"sequence-{seed}-{name}", recommendation.load, make)

    teacher = fitted("teacher")
    models = {"transformer": teacher, "transformer, int8": deepcopy(teacher)}
    for network in (models["transformer, int8"].network, models["transformer, int8"].order):
        if network is not None:
            to_int8(network, least=2)
    half = {"d_model": 32, "order_layers": 1}
    models["half as wide, one layer"] = fitted("small", **half)
    folder_of = str(folder / f"sequence-{seed}-teacher")
    models["half as wide, one layer, distilled"] = fitted("student", teacher=folder_of, **half)
    models["EASE"] = recommendation.create("ease", penalty=100.0).fit(split.log)
    ask = lambda model, first, stop: model.scores(split.histories.take(np.arange(first, stop)))
    return measured(models, lambda model: rank(model, split)["NDCG@10"], ask, len(split.histories), 16)


# -- tables -----------------------------------------------------------------------------------------------------------


def table(rows: list[dict[str, dict[str, float]]], what: str) -> str:
    """Return the table: means over seeds, lowest and highest quality, times as shares of the first model's too."""
    head = ["model", f"{what} [lowest, highest]", "CPU ms per row, many at once", "one at a time", "share of the time"]
    first, body = next(iter(rows[0])), []
    for name in rows[0]:
        quality = np.array([row[name]["quality"] for row in rows])
        mean = lambda key, name=name: float(np.mean([row[name][key] for row in rows]))
        shares = [np.mean([row[name][key] / row[first][key] for row in rows]) for key in ("many", "one")]
        cells = [name, f"{quality.mean():.3f} [{quality.min():.3f}, {quality.max():.3f}]"]
        body.append([*cells, f"{mean('many'):.3g}", f"{mean('one'):.3g}", f"{shares[0]:.2f}, {shares[1]:.2f}"])
    return markdown([head, *body])


PARTS = {"text": (text_row, "stars read rightly"), "sequence": (sequence_row, "NDCG@10")}
PARSER = argparse.ArgumentParser(prog=f"python -m {MODULE}", description="Measure cheaper inference.")
PARSER.add_argument("part", choices=tuple(PARTS))
PARSER.add_argument("--seeds", type=int, default=3, help="of data and models (default 3)")
PARSER.add_argument("--results", type=Path, help="folder of models and figures, from which a killed run goes on")
PARSER.add_argument("--page", action="store_true", help="write the table into docs/cheap_inference.md")


def rows_of(part: str, seeds: int, folder: Path) -> list[dict[str, dict[str, float]]]:
    """Return what is measured of each seed; what stands in the folder is not measured again."""
    rows = []
    for seed in range(seeds):
        file = folder / f"{part}-{seed}.json"
        if not file.is_file():
            write_atomic(file, json.dumps(PARTS[part][0](seed, folder)).encode())
        rows.append(read_json(file))
    return rows


def main(arguments: list[str] | None = None) -> None:
    """Print a table, and write it into the page if asked."""
    import torch

    given = PARSER.parse_args(arguments)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as own:
        rows = rows_of(given.part, given.seeds, given.results or Path(own))
    what = PARTS[given.part][1]
    text = table(rows, what)
    print(text)
    if given.page:
        options = [f"--seeds {given.seeds}"] if given.seeds != PARSER.get_default("seeds") else []
        content = block(" ".join(["OMP_NUM_THREADS=1 python -m", MODULE, given.part, *options]), text.strip())
        put(PAGE, given.part, MODULE, content)


if __name__ == "__main__":
    main()
