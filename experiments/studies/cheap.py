"""What smaller and byte-wise networks cost in quality, and save in CPU time.

    python -m storelab.experiments.studies.cheap text
    python -m storelab.experiments.studies.cheap sequence

Each prints a table in Markdown, and with `--page` writes it into docs/cheap_inference.md. Times are CPU time of one
thread per row, the least of several turns in which all models are asked one after another, so that their ratios say
more than they themselves. `--results FILE` keeps a line of JSON per seed, from which a killed run goes on.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path

import numpy as np

from ...language import create as classifier
from ...language import customers
from ...language.embedding import forget
from ...learning.base import Card, write_atomic
from ...recommendation import create as recommender
from ...recommendation.protocol import leave_last_out, rank
from ...recommendation.sequences import SequenceParams, ordered
from .pages import block, filled, markdown

MODULE = "storelab.experiments.studies.cheap"
PAGE = Path(__file__).parents[2] / "docs" / "cheap_inference.md"
CARD = Card("made up", "see docs/cheap_inference.md", {}, "a teacher", "made up")
LABELLED, UNLABELLED, ASKED, MANY = 800, 2400, 1500, 10_000  # texts
TURNS = 5
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


# -- texts ------------------------------------------------------------------------------------------------------------


def text_row(seed: int) -> dict[str, dict[str, float]]:
    """Return accuracy and CPU time per review by model: English reviews of the marketplace, stars."""
    drawn = lambda count, part, *without: customers.reviews(count, 0.0, 5 * seed + part, without)
    train, more, test = drawn(LABELLED, 2, 3), drawn(UNLABELLED, 3, 3), drawn(ASKED, 0)
    many = drawn(MANY, 4, 3)
    texts, stars = train["text"].tolist(), train["stars"].tolist()
    common = {"tokens": 48, "seed": seed, "progress": False, "device": "cpu"}
    words = lambda: classifier("tfidf", unit="character", longest=4, strength=1.0, seed=seed)
    teacher = classifier("fine_tuned", **common).fit(texts, stars)
    models = {BAR: teacher, "encoder, 6 layers, int8": in_bytes(teacher)}
    models["encoder, 2 layers"] = classifier("fine_tuned", layers=2, **common).fit(texts, stars)
    with tempfile.TemporaryDirectory() as folder:
        teacher.save(folder, CARD)
        both = [*texts, *more["text"]]
        said = [*stars, *teacher.predict(more["text"].tolist())]
        student = classifier("fine_tuned", layers=2, teacher=folder, **(common | {"epochs": 2})).fit(both, said)
    models |= {"encoder, 2 layers, distilled": student, "encoder, 2 layers, distilled, int8": in_bytes(student)}
    for inference in ("float32", "int8"):
        frozen = classifier("embedding", tokens=48, seed=seed, device="cpu", inference=inference)
        models[f"frozen encoder, {inference}"] = frozen.fit(texts, stars)
    models["TF-IDF"] = words().fit(texts, stars)
    models["TF-IDF, 10,000 labels"] = words().fit(many["text"].tolist(), many["stars"].tolist())
    asked, true = test["text"].tolist(), test["stars"].to_numpy()
    quality = {name: float(np.mean(np.array(model.predict(asked)) == true)) for name, model in models.items()}

    def fresh(model, batch: list[str]) -> Callable[[], object]:
        return lambda: (forget(), model.predict_proba(batch))

    many_ms = least_ms({name: fresh(model, asked[:128]) for name, model in models.items()}, 128)
    one_ms = least_ms(
        {name: lambda m=model: [fresh(m, [text])() for text in asked[:16]] for name, model in models.items()}, 16
    )
    return {name: {"quality": quality[name], "many": many_ms[name], "one": one_ms[name]} for name in models}


def in_bytes(model):
    """Return a copy of a fine-tuned classifier whose wide layers are bytes; its calibration stays."""
    from ...learning.int8 import to_int8

    made = deepcopy(model)
    to_int8(made.network.encoder)
    return made


# -- sequences --------------------------------------------------------------------------------------------------------


def sequence_row(seed: int) -> dict[str, dict[str, float]]:
    """Return NDCG@10 of what customers buy last and CPU time per customer, by model: made-up ordered sequences."""
    from ...learning.int8 import to_int8

    split = leave_last_out(ordered(SequenceParams(users=150, items=300, seed=seed)), whole=False)
    common = {"seed": seed, "progress": False, "device": "cpu", "order_search": False}
    teacher = recommender("transformer", **common).fit(split.log)
    half = {"d_model": 32, "order_layers": 1, **common}
    models = {"transformer": teacher, "transformer, int8": deepcopy(teacher)}
    for network in (models["transformer, int8"].network, models["transformer, int8"].order):
        if network is not None:
            to_int8(network, least=1)
    models["half as wide, one layer"] = recommender("transformer", **half).fit(split.log)
    with tempfile.TemporaryDirectory() as folder:
        teacher.save(folder, CARD)
        models["half as wide, one layer, distilled"] = recommender("transformer", teacher=folder, **half).fit(split.log)
    models["EASE"] = recommender("ease", penalty=100.0).fit(split.log)
    quality = {name: rank(model, split)["NDCG@10"] for name, model in models.items()}
    histories = split.histories
    many = least_ms({name: lambda m=model: m.scores(histories) for name, model in models.items()}, len(histories))
    alone = [histories.take(np.array([user])) for user in range(16)]
    one = least_ms({name: lambda m=model: [m.scores(h) for h in alone] for name, model in models.items()}, 16)
    return {name: {"quality": quality[name], "many": many[name], "one": one[name]} for name in models}


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
PARSER.add_argument("--results", type=Path, help="file of a line per seed, from which a killed run goes on")
PARSER.add_argument("--page", action="store_true", help="write the table into docs/cheap_inference.md")


def main(arguments: list[str] | None = None) -> None:
    """Print a table, and write it into the page if asked."""
    import torch

    given = PARSER.parse_args(arguments)
    torch.set_num_threads(1)
    row, what = PARTS[given.part]
    known = given.results.read_text().splitlines() if given.results and given.results.is_file() else []
    rows = [json.loads(line) for line in known][: given.seeds]
    for seed in range(len(rows), given.seeds):
        rows.append(row(seed))
        if given.results:
            write_atomic(given.results, ("\n".join(map(json.dumps, rows)) + "\n").encode())
    text = table(rows, what)
    print(text)
    if given.page:
        options = [f"--seeds {given.seeds}"] if given.seeds != PARSER.get_default("seeds") else []
        content = block(" ".join(["OMP_NUM_THREADS=1 python -m", MODULE, given.part, *options]), text.strip())
        write_atomic(PAGE, filled(PAGE.read_text(), given.part, f"python -m {MODULE}", content).encode())


if __name__ == "__main__":
    main()
