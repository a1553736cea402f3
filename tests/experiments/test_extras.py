"""Without a library: one line says which extra brings it, whatever the command; `doctor` says what it is for."""

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import storelab
from storelab.experiments.extras import OF_COMMAND, WHAT, absent, extras, missing

ROOT = Path(storelab.__path__[0])
BLOCK = """
import sys
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {names}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Block())
from storelab.experiments.cli import main
sys.argv = ["storelab", *{args}]
sys.exit(main())
"""
HEURISTICS = ("agent=heuristics", "evaluation.episodes=2", "evaluation.tuning_episodes=2", "env.horizon=110")
CASES = [
    *((name, command, "sweep") for name in ("hydra", "omegaconf") for command in ("train", "fit", "runs", "report")),
    ("yaml", "runs", "sweep"),
    ("torch", "train task=LostSales", "learn"),
    ("stable_baselines3", "train task=LostSales", "learn"),
    ("torch", "backtest", "forecast"),
    ("torch", "fit dataset=purchases model=transformer", "models"),
    ("matplotlib", f"train {' '.join(HEURISTICS)}", "learn"),
    ("numba", "train task=Dispatch agent=heuristics", "dispatch"),
    ("optuna", "tune tune.space={agent.gamma:{low:.9,high:.99}}", "tune"),
    ("minari", "dataset run=x", "dataset"),
    ("sb3_contrib", "train task=Dispatch env.action=dispatch agent=maskableppo", "maskable"),
    ("captum", "explain data.days=300 forecaster.fine_tune_steps=1", "explain"),
    ("statsforecast", "backtest forecaster=auto_ets data.days=400", "baselines"),
    ("pyarrow", f"train {' '.join(HEURISTICS)}", "parquet"),
]


def without(folder: Path, names, *args: str) -> subprocess.CompletedProcess:
    """Run a command where libraries are not installed."""
    code = BLOCK.format(names=set(names), args=list(args))
    env = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.run([sys.executable, "-c", code], cwd=folder, env=env, capture_output=True, text=True)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "line", "extra"), CASES, ids=[f"{name}-{line[:20]}" for name, line, _ in CASES])
def test_one_line_names_the_extra(name, line, extra, tmp_path):
    ended = without(tmp_path, [name], *line.split())
    assert (ended.returncode, ended.stderr.count("\n")) == (2, 1), ended.stderr[-2000:]
    assert "pip install 'storelab[" in ended.stderr
    brought = ended.stderr.partition("storelab[")[2].partition("]")[0].split(",")
    assert extra in brought or any(set(extras()[extra]) <= set(extras()[one]) for one in brought), ended.stderr


def test_a_sweep_says_it_as_well(tmp_path):
    ended = without(tmp_path, ["matplotlib"], "train", *HEURISTICS, "seed=0,1", "--multirun")
    assert ended.returncode == 2
    assert "Traceback" not in ended.stderr
    assert ended.stderr.count("pip install 'storelab[") == 4  # each, and the list at the end


def test_doctor_says_what_is_missing_and_what_for(tmp_path):
    code = BLOCK.format(names=set(), args=["doctor"]).replace(
        "from storelab.experiments.cli",
        "import importlib.metadata as metadata\n"
        "known = metadata.version\n"
        "def version(name):\n"
        "    if name in ('numba', 'hydra-core'): raise metadata.PackageNotFoundError(name)\n"
        "    return known(name)\n"
        "metadata.version = version\n"
        "from storelab.experiments.cli",
    )
    shown = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert shown.returncode == 0, shown.stderr
    assert "all is well" not in shown.stdout
    assert f"    for {WHAT['dispatch']} (pip install 'storelab[dispatch]')" in shown.stdout
    assert f"    for {WHAT['sweep']} (pip install 'storelab[sweep]')" in shown.stdout
    assert shown.stdout.splitlines()[-1].startswith("what is installed is well; ")


def test_every_extra_says_what_it_is_for():
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert set(WHAT) == set(extras()) == set(declared) - {"all", "dev"}
    assert {extra for needed in OF_COMMAND.values() for extra in needed} <= set(WHAT)
    assert all(set(names) <= set(extras()[extra]) for extra, names in absent().items())


def test_only_libraries_of_extras_are_told():
    assert missing(ModuleNotFoundError("No module named 'lemonade'", name="lemonade"), "train") is None
    told = missing(ModuleNotFoundError("No module named 'fastapi'", name="fastapi"), "serve")
    assert told == "serve: fastapi is not installed, expected it: pip install 'storelab[learn,serve]'"
    assert missing(ImportError("cannot import name 'x' from 'y'"), "train") is None
