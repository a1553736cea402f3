"""Trackers: each is told the learning curve and the held-out result, offline, and a run that goes on stays one run."""

import json
import os
import re

import pytest


def told(run) -> dict[int, float]:
    """Step -> value of a run's own learning curve."""
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return {row["step"]: row["value"] for row in rows}


def test_tensorboard_has_the_learners_own(finished):
    assert list((finished.run / "tensorboard").glob("events.*"))


def test_what_is_not_installed_is_named(finished, storelab, tmp_path):
    """A package of that name without anything in it stands for none: it raises what none would."""
    (tmp_path / "wandb.py").write_text("raise ModuleNotFoundError('no', name='wandb')")
    args = [arg for arg in finished.args if not arg.startswith("agent.total_steps")]
    ended = storelab(
        tmp_path, *args, "tracker=wandb", fresh=True, PYTHONPATH=f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}"
    )
    assert ended.status == 2
    assert ended.err == "tracker: wandb is not installed, expected it: pip install 'storelab[wandb]'\n"


def test_mlflow_in_a_local_store(finished, storelab, tmp_path):
    mlflow = pytest.importorskip("mlflow")
    pytest.importorskip("sqlalchemy")
    ended = storelab(tmp_path, *finished.args, "tracker=mlflow")
    assert ended.status == 0, ended.err
    assert ended.run.name == finished.run.name  # the tracker is of no account for the result
    client = mlflow.MlflowClient(f"sqlite:///{tmp_path}/runs/mlflow.db")
    (run,) = client.search_runs([client.get_experiment_by_name("LostSales").experiment_id])
    history = client.get_metric_history(run.info.run_id, "value")
    assert {metric.step: metric.value for metric in history} == told(ended.run)
    assert (run.info.status, run.info.run_name) == ("FINISHED", ended.run.name)
    assert run.data.params["agent.hyper.n_steps"] == "16"
    results = json.loads((ended.run / "results.json").read_text())
    assert run.data.metrics["held_out_value"] == results["policies"]["PPO"]["value"]


def test_wandb_offline(finished, storelab, tmp_path):
    pytest.importorskip("wandb")
    ended = storelab(tmp_path, *finished.args, "tracker=wandb", WANDB_MODE="offline")
    assert ended.status == 0, ended.err
    (file,) = ended.run.glob("wandb/offline-run-*/*.wandb")
    assert re.fullmatch(rf"run-{ended.run.name}\.wandb", file.name)
    told_of = file.read_bytes()
    assert all(f"{value}".encode() in told_of for value in told(ended.run).values())
    assert b"held_out_value" in told_of
