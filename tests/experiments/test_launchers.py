"""Sweeps through Hydra's other launchers: workers do the runs, and a repetition skips them."""

import importlib.util

import pytest

from .conftest import EVALUATION

SWEEP = ("train", "agent=heuristics", "env.horizon=60", *EVALUATION, "seed=0,1", "--multirun")
LAUNCHERS = {
    "joblib": ("hydra.launcher.n_jobs=2",),
    "submitit_local": ("hydra.launcher.timeout_min=10", "hydra.launcher.cpus_per_task=1"),
    "ray": ("+hydra.launcher.ray.init.num_cpus=2",),
}


@pytest.mark.slow
@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_a_sweep_through_workers(launcher, storelab, tmp_path):
    if importlib.util.find_spec(f"hydra_plugins.hydra_{launcher.removesuffix('_local')}_launcher") is None:
        pytest.skip(f"hydra-{launcher.removesuffix('_local')}-launcher is not installed")
    args = (*SWEEP, f"hydra/launcher={launcher}", *LAUNCHERS[launcher])
    first = storelab(tmp_path, *args, fresh=True)
    assert first.status == 0, first.err
    done = {path: path.stat().st_mtime_ns for path in tmp_path.glob("runs/LostSales/*/DONE")}
    assert len(done) == 2
    again = storelab(tmp_path, *args, fresh=True)
    assert again.status == 0, again.err
    assert {path: path.stat().st_mtime_ns for path in tmp_path.glob("runs/LostSales/*/DONE")} == done


@pytest.mark.slow
def test_a_worker_that_fails_is_told(storelab, tmp_path):
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    bad = ("evaluation.episodes=1,8", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2")
    args = [arg for arg in SWEEP if not arg.startswith(("evaluation.episodes", "seed"))]
    ended = storelab(tmp_path, *args, *bad, fresh=True)
    assert ended.status == 2
    assert ended.err.splitlines()[-1].startswith("evaluation.episodes: 1 is not allowed, expected an integer >= 2")
    assert len(list(tmp_path.glob("runs/LostSales/*/DONE"))) == 1
