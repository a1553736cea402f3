"""Pickle gadgets offered to every loader: prints how many were offered and how many ran; exits with 1 where one did.

    python -P bench/gadgets.py

A gadget leaves a file when something executes it. Each file of what storelab writes or reads (checkpoints, run folders,
saved models, data, keys) is replaced by one in every form below, with its checksums made right, and loaded. First the
gadgets themselves are tried on loaders that do run code, so that a count of none says something.
"""

import contextlib
import hashlib
import io
import json
import os
import pickle
import shutil
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np
import torch
import yaml
from storelab import forecasting, language, recommendation
from storelab.agents.pathwise import learner as pathwise
from storelab.agents.sb3 import learner as sb3
from storelab.data import SyntheticStoreParams, generate
from storelab.data.online_retail import load_panel
from storelab.envs import TASKS
from storelab.envs.dispatch.city import read_city
from storelab.experiments.experiment import restore
from storelab.experiments.reports.standings import sweep_runs
from storelab.experiments.runs import checkpoints
from storelab.experiments.runs.folder import Run
from storelab.experiments.runs.index import read_index
from storelab.experiments.serving.access import Keys
from storelab.language.answers import read_answers
from storelab.language.synthetic import synthetic_reviews
from storelab.learning.base import Card
from storelab.recommendation.base import Log
from storelab.risk import TransactionParams, Trees, TreesParams, features
from storelab.risk import generate as generate_transactions
from storelab.risk.sequence import SequenceModel
from storelab.risk.transactions import read_transactions

CARD = Card(data="made up", split="none", figures={}, intended_use="this", limits="small")


class Gadget:
    """Leaves a file where it is unpickled."""

    def __init__(self, marker: Path):
        self.marker = marker

    def __reduce__(self):
        return os.mkdir, (str(self.marker),)


def forms(marker: Path) -> dict[str, bytes]:
    """Form -> the bytes of a file with a gadget in it."""
    gadget, files = Gadget(marker), {}
    files["pickle"], files["old pickle"] = pickle.dumps(gadget), pickle.dumps(gadget, protocol=0)
    one = np.empty(1, object)
    one[0] = gadget
    for name, save in {"npy": lambda file: np.save(file, one), "npz": lambda file: np.savez(file, a=one)}.items():
        save(buffer := io.BytesIO())
        files[name] = buffer.getvalue()
    for name, zipped in {"torch": True, "old torch": False}.items():
        torch.save(gadget, buffer := io.BytesIO(), _use_new_zipfile_serialization=zipped)
        files[name] = buffer.getvalue()
    files["yaml"] = f"!!python/object/apply:os.mkdir ['{marker}']\n".encode()
    files["hydra"] = json.dumps({"_target_": "os.mkdir", "_args_": [str(marker)]}).encode()
    files["parquet"] = _parquet(gadget)
    return files


def _parquet(gadget) -> bytes:
    """A column whose type is a pickle, as old versions of Arrow loaded them (CVE-2023-47248)."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    extension = {"ARROW:extension:name": "arrow.py_extension_type", "ARROW:extension:metadata": pickle.dumps(gadget)}
    table = pa.table({"a": [1]}, schema=pa.schema([pa.field("a", pa.int64(), metadata=extension)]))
    pq.write_table(table, buffer := io.BytesIO())
    return buffer.getvalue()


def check_gadgets(marker: Path) -> None:
    """Each form runs in a loader that lets it."""
    unsafe = {
        **dict.fromkeys(("pickle", "old pickle"), pickle.loads),
        **dict.fromkeys(("npy", "npz"), lambda data: [*np.atleast_1d(_opened(np.load(io.BytesIO(data), **PICKLED)))]),
        **dict.fromkeys(("torch", "old torch"), lambda data: torch.load(io.BytesIO(data), weights_only=False)),
        "yaml": yaml.unsafe_load,
        "hydra": lambda data: _instantiate(json.loads(data)),
    }
    for name, load in unsafe.items():
        load(forms(marker)[name])
        if not marker.is_dir():
            raise SystemExit(f"the gadget in {name} does not work")
        marker.rmdir()


PICKLED = {"allow_pickle": True}


def _opened(archive):
    return archive["a"] if hasattr(archive, "files") else archive


def _instantiate(config: dict):
    from hydra.utils import instantiate

    return instantiate(config)


def made(root: Path) -> dict:
    """Name -> a folder with good files, and the loaders that read it."""
    targets = {}
    task = TASKS["LostSales"](horizon=60, action="continuous")
    small = {"net_arch": [8], "num_envs": 8, "device": "cpu"}
    learners = {
        "PPO": (sb3, sb3.SB3Params(total_steps=128, hyper={"n_steps": 16, "batch_size": 64}, **small)),
        "SAC": (sb3, sb3.SB3Params(algorithm="SAC", total_steps=160, hyper={"buffer_size": 500}, **small)),
        "pathwise": (pathwise, pathwise.PathwiseParams(total_steps=2, held_out=8, **small)),
    }
    for name, (module, params) in learners.items():
        learner = module.Learner(task, params)
        learner.learn(progress=False)
        folder = checkpoints.write_checkpoint(root / name, learner.steps, learner.save)
        whole = lambda path, name=name: checkpoints.newest_whole(path.parent, lambda said: None)
        goes_on = lambda path, module=module, params=params: module.Learner(task, params).load(path)
        acts = lambda path, module=module: module.load_policy(path, task)
        targets[f"checkpoint of {name}"] = (folder, [whole, goes_on, acts])
    run = _run(root)
    at = lambda path: Run(path)
    loaders = [lambda path: restore(at(path)), lambda path: at(path).episodes(), lambda path: at(path).metrics()]
    loaders += [lambda path: read_index(path.parents[1]), lambda path: sweep_runs(path.parents[1])]
    targets["run"] = (run, loaders)

    store = generate(SyntheticStoreParams(items=12, days=200, customers=40, top_rate=8.0))
    panel = store.panel
    for name in ("moving_average", "lightgbm"):
        forecaster = forecasting.create(name)
        forecaster.fit(panel)
        forecaster.save(root / name)
        targets[f"forecaster {name}"] = (root / name, [forecasting.load])
    shipped = Path(forecasting.__file__).parent / "checkpoints" / "small"
    targets["forecaster transformer"] = (shipped, [forecasting.load])
    log = Log.from_frame(store.orders)
    for name, params in {"item_knn": {}, "ials": {"factors": 4}}.items():
        recommendation.create(name, **params).fit(log).save(root / name, CARD)
        targets[f"recommender {name}"] = (root / name, [recommendation.load])
    reviews = synthetic_reviews(200, seed=1)
    language.create("tfidf").fit(reviews["text"].tolist(), reviews["positive"].tolist()).save(root / "tfidf", CARD)
    targets["classifier"] = (root / "tfidf", [language.load])
    drawn = generate_transactions(TransactionParams(customers=200, days=30, seed=1, takeovers=1.5))
    table, fraud = features(drawn.transactions), drawn.labels["fraud"].to_numpy()
    Trees(TreesParams(rounds=2)).fit(table, fraud).calibrate(table, fraud).save(root / "trees", CARD)
    targets["trees"] = (root / "trees", [Trees.load, SequenceModel.load])

    files = root / "data"
    files.mkdir()
    for name in ("answers.json", "keys.json", "city.txt", "transactions.csv", "transactions.parquet"):
        (files / name).write_bytes(b"nothing")
    for name in ("OnlineRetail.csv", "data.parquet", "online_retail_daily_panel.parquet", "Online Retail.xlsx"):
        (files / name).write_bytes(b"nothing")
    loaders = [load_panel, lambda path: Keys(path / "keys.json"), lambda path: read_answers(path / "answers.json")]
    loaders += [lambda path: read_city(path / "city.txt")]
    loaders += [lambda path, end=end: read_transactions(path / f"transactions.{end}") for end in ("csv", "parquet")]
    loaders += [lambda path, name=name: load_panel(path / name) for name in sorted(p.name for p in files.iterdir())]
    targets["data, answers, keys, cities"] = (files, loaders)
    return targets


def _run(root: Path) -> Path:
    """A finished run of heuristics."""
    from storelab.experiments import cli

    small = ("evaluation.episodes=8", "evaluation.tuning_episodes=4")
    sys.argv = ["storelab", "train", "agent=heuristics", "env.horizon=60", *small, f"runs={root / 'runs'}"]
    cli.main()
    (done,) = (root / "runs").glob("*/*/DONE")
    return done.parent


def sealed(folder: Path) -> None:
    """Make the checksums of a folder right again."""
    if (folder / checkpoints.SEAL).is_file():
        lines = []
        for path in sorted(p for p in folder.rglob("*") if p.is_file() and p != folder / checkpoints.SEAL):
            lines.append(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(folder).as_posix()}\n")
        (folder / checkpoints.SEAL).write_text("".join(lines))
    config = folder / "config.json"
    with contextlib.suppress(ValueError, OSError, TypeError):
        saved = json.loads(config.read_text())
        if "weights_sha256" in saved:
            saved["weights_sha256"] = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
            config.write_text(json.dumps(saved))


def offer(name: str, folder: Path, loaders: list, place: Path, marker: Path) -> tuple[int, int, int]:
    """Loads tried, refused by an exception, and gadgets that ran."""
    tried = refused = ran = 0
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        for form, content in forms(marker).items():
            spoilt = shutil.copytree(folder, place / "runs" / "some" / folder.name)
            target = spoilt / path.relative_to(folder)
            target.write_bytes(content)
            if target.name != checkpoints.SEAL:
                sealed(spoilt)
            for load in loaders:
                tried += 1
                try:
                    load(spoilt)
                except Exception:
                    refused += 1
                if marker.exists():
                    ran += 1
                    print(f"{name}: the {form} gadget in {target.name} ran")
                    marker.rmdir()
            shutil.rmtree(place / "runs")
    return tried, refused, ran


def main() -> int:
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder:
        root, marker = Path(folder), Path(folder) / "ran"
        check_gadgets(marker)
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            targets = made(root / "good")
        total = np.zeros(3, int)
        for name, (good, loaders) in targets.items():
            with contextlib.redirect_stderr(io.StringIO()):
                counts = offer(name, good, loaders, root / "spoilt", marker)
            total += counts
            print(f"{name}: {counts[0]} loads with a gadget, {counts[1]} refused, {counts[2]} gadgets ran", flush=True)
    print(f"{total[0]} loads with a gadget in {len(targets)} kinds of files: {total[2]} gadgets ran")
    return int(total[2] > 0)


if __name__ == "__main__":
    sys.exit(main())
