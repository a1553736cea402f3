"""`storelab fit`: one of the store's models trained on a dataset, measured on its test rows, saved, explained.

In the run folder: `model/`, the saved model with its card, of fraud what a server goes on from (`stream.npz`), of
purchases with a catalogue, triples or rules the graph of their items (`knowledge/`);
`figures.json`, figures by model (of a stack also its members', where there are any the references'), `groups.json`,
errors by group of the test rows, and `results.json`, the main one; `explanation.csv`, one held-out case taken apart;
of reviews with items `by_item.csv` and `.png`, with days `by_month`, shares of positive ones by aspect; `checkpoints/`,
from which a training that was killed goes on; `tensorboard/`.
"""

import time

from omegaconf import DictConfig

from ...data.sheets import write_csv
from ...language.writer import SERVICE
from ...learning.base import write_atomic
from ..config.settings import FitSettings, read_fit, within
from ..fitting import models
from ..fitting.datasets import Transactions, card
from ..inputs import data_hash
from ..reports.fit import present
from ..runs.folder import Run

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
        model, seconds = _trained(run, settings, data, source)
        run.status("running", stage="test")
        figures = dataset.figures(name, model, data)
        figures[name][SECONDS] = seconds
        groups = dataset.groups(name, model, data)
        told = card(dataset, figures[name], source, groups)
        model.save(run.folder / "model", told)
        if beside := getattr(dataset, "beside", None):
            beside(data, settings.seed, run.folder / "model", told)
        if isinstance(dataset, Transactions):
            models.remember(model, data, bool(dataset.path), run.folder / "model")
        for file, content in getattr(dataset, "more", lambda *_: {})(model, data).items():
            write_atomic(run.folder / file, content)
        if writer := getattr(dataset, "writer", ""):
            run.write(f"model/{SERVICE}", {"writer": writer})
        values = {model: {"value": row[dataset.figure]} for model, row in figures.items()}
        run.write("results.json", {"objective": dataset.figure, "unit": "", "agent": name, "policies": values})
        run.write("figures.json", figures)
        run.write("groups.json", groups)
        write_atomic(run.folder / "explanation.csv", write_csv(dataset.explain(model, data), index=False))
        present(run, settings)


def _trained(run: Run, settings: FitSettings, data, source: str) -> tuple[object, float]:
    """The model and the CPU seconds of its training, or what an earlier process saved of both."""
    name, folder, kept = settings.model_name, run.folder / "model", run.read("training.json")
    if kept and (folder / "config.json").is_file():
        return models.model_class(name).load(folder), kept["cpu_s"]
    with within("model"):
        params = models.params_of(name, vars(settings.model), settings.seed, str(run.folder))
        model, started = models.model_class(name)(params), time.process_time()
        settings.dataset.train(model, data)
        seconds = time.process_time() - started
    model.save(folder, card(settings.dataset, {}, source))
    run.write("training.json", {"cpu_s": seconds})
    return model, seconds
