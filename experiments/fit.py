"""`storelab fit`: one of the store's models trained on a dataset, measured on its test rows, saved, explained.

In the run folder: `model/`, the saved model with its card; `figures.json`, figures by model (of a stack also its
members', where there are any the references'), and `results.json`, the main one; `explanation.csv`, one held-out case
taken apart; `checkpoints/`, from which a training that was killed goes on; `tensorboard/`.
"""

import time
from html import escape
from pathlib import Path

import numpy as np
import pandas as pd
from omegaconf import DictConfig

from ..learning.base import write_atomic
from ..learning.intervals import intervals
from . import models
from .config import FitSettings, read_fit, within
from .datasets import card
from .report import aligned, html_table, page
from .runs import Run
from .work import data_hash

SECONDS = "fit, CPU s"


def fit(config: DictConfig) -> None:
    """Train, measure, save and explain, from where an earlier process left it."""
    settings = read_fit(config)
    source = data_hash(settings)
    run = Run.of(settings, source)
    if run.done:
        print(f"{run.folder} is finished: nothing to do (storelab report run={run.folder} shows it)")
        return
    name, dataset = settings.model_name, settings.dataset
    with run.open(settings, source), within("dataset"):
        print(f"run: {run.folder}")
        run.status("running", stage="data")
        data = dataset.load(settings.seed)
        run.status("running", stage="training")
        model, seconds = _trained(run, settings, data)
        run.status("running", stage="test")
        figures = dataset.figures(name, model, data)
        figures[name][SECONDS] = seconds
        model.save(run.folder / "model", card(dataset, figures[name]))
        found = {model: {"value": row[dataset.figure]} for model, row in figures.items()}
        run.write("results.json", {"objective": dataset.figure, "unit": "", "agent": name, "policies": found})
        run.write("figures.json", figures)
        write_atomic(run.folder / "explanation.csv", dataset.explain(model, data).to_csv(index=False).encode())
        present(run)


def _trained(run: Run, settings: FitSettings, data) -> tuple[object, float]:
    """The model and the CPU seconds of its training, or what an earlier process saved of both."""
    name, folder, kept = settings.model_name, run.folder / "model", run.read("training.json")
    if kept and (folder / "config.json").is_file():
        return models.load(name, folder), kept["cpu_s"]
    with within("model"):
        params = models.params_of(name, vars(settings.model), settings.seed, str(run.folder))
        model, started = models.model_class(name)(params), time.process_time()
        settings.dataset.train(model, data)
        seconds = time.process_time() - started
    model.save(folder, card(settings.dataset, {}))
    run.write("training.json", {"cpu_s": seconds})
    return model, seconds


def present(run: Run) -> None:
    """Print the figures of a finished run."""
    figures = pd.DataFrame(run.read("figures.json")).T
    print("\n".join(aligned(_columns(figures, "model"))))
    print(f"model, with its card: {run.folder / 'model'}\nall runs side by side: storelab report {run.folder.parent}")


def _columns(table: pd.DataFrame, head: str) -> list[tuple[str, list[str]]]:
    shown = [(head, list(map(str, table.index)))]
    return shown + [(name, ["" if pd.isna(v) else f"{v:,.4g}" for v in table[name]]) for name in table]


def table(found: pd.DataFrame) -> pd.DataFrame:
    """`intervals` of finished runs, rows of the index with `folder`, `problem` (dataset) and `learner` (model)."""
    rows = []
    for run in found.to_dict("records"):
        for name, figures in Run(run["folder"]).read("figures.json").items():
            label = run["learner"] if name == run["agent"] else name
            rows.append({"dataset": run["problem"], "model": label, "seed": run["seed"], **figures})
    return intervals(pd.DataFrame(rows), ["dataset", "model"])


def write_table(folder: Path, found: pd.DataFrame) -> None:
    """Print the runs of a folder side by side, a table per dataset; write `sweep.html` and `sweep.csv`."""
    whole = table(found)
    title, note = f"Fits: {folder.absolute().name}", "Mean over seeds ± half the 95 % interval (Student's t)."
    body = [f"<h1>{escape(title)}</h1>", f'<p class="note">{note}</p>']
    print(note)
    for dataset, part in whole.groupby(level="dataset", sort=False):
        part = part.droplevel("dataset").dropna(axis=1, how="all")
        names = [name for name in part if not name.startswith("± ") and name != "seeds"]
        shown = [("model", list(part.index)), ("seeds", [f"{count:.0f}" for count in part["seeds"]])]
        shown += [(name, _with_interval(part, name)) for name in names]
        print("\n".join(["", dataset, *aligned(shown)]))
        body += [f"<h2>{escape(dataset)}</h2>", html_table(shown)]
    write_atomic(folder / "sweep.csv", whole.to_csv().encode())
    write_atomic(folder / "sweep.html", page(title, body).encode())
    print(f"\nreport: {folder / 'sweep.html'}")


def _with_interval(part: pd.DataFrame, name: str) -> list[str]:
    half = part.get(f"± {name}", pd.Series(np.nan, part.index))
    return [
        "" if pd.isna(mean) else f"{mean:,.4g}" if pd.isna(width) else f"{mean:,.4g} ± {width:,.2g}"
        for mean, width in zip(part[name], half, strict=True)
    ]
