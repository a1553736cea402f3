"""What another package adds: its environment, task, learner, forecaster, data and configs are options like ours."""

import json
import os
import shutil
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
import storelab

EXAMPLE = Path(storelab.__path__[0]) / "examples" / "lemonade" / "lemonade"
TINY = ("evaluation.episodes=8", "evaluation.tuning_episodes=4", "evaluation.curve_episodes=4", "env.horizon=5")


@pytest.fixture
def lemonade(tmp_path):
    """Return a function that runs storelab where the example is installed: its package, and what names it."""
    shutil.copytree(EXAMPLE, tmp_path / "site" / "lemonade", ignore=shutil.ignore_patterns("__pycache__"))
    named = tmp_path / "site" / "storelab_lemonade-0.1.0.dist-info"
    named.mkdir()
    (named / "METADATA").write_text("Metadata-Version: 2.1\nName: storelab-lemonade\nVersion: 0.1.0\n")
    (named / "entry_points.txt").write_text("[storelab]\nlemonade = lemonade.plugin:PLUGIN\n")

    def run(*args: str) -> subprocess.CompletedProcess:
        command = [sys.executable, "-m", "storelab.experiments.cli", *args]
        env = os.environ | {"PYTHONPATH": str(tmp_path / "site"), "OMP_NUM_THREADS": "1"}
        return subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=env)

    return run


@pytest.mark.slow
def test_a_plug_ins_parts_are_options(lemonade, tmp_path):
    shown = lemonade("train", "--help").stdout
    for words in ("cross_entropy", "ppo_lemonade", "lemonade", "drift", "kiosk", "Lemonade"):
        assert words in shown
    chosen = lemonade("train", "task=Lemonade", "--cfg", "job").stdout
    for line in ("candidates: 40", "max_brew: ", "name: Lemonade"):
        assert line in chosen
    (tmp_path / "till.csv").write_text("day,flavour,litres,price\n")
    store = ("task=OnlineRetail", "data=kiosk", "data.path=till.csv", "forecaster=drift", "env.forecast=model")
    assert "window: 182" in lemonade("train", *store, "--cfg", "job").stdout
    assert lemonade("train", *store, "--dry-run").stdout.endswith("would start\n")


HOSTILE = {  # files of a plug-in's folder of configs -> what is typed to meet them
    "a learner": ("agent", "_target_: os.mkdir\npath: RAN\n", ("agent=x",)),
    "a learner with a schema": (
        *("agent", "defaults: [/schema/sb3@_here_, _self_]\nhyper: {a: {_target_: os.mkdir, path: RAN}}\n"),
        ("agent=x",),
    ),
    "a callback": ("hydra/callbacks", "x: {_target_: os.mkdir, path: RAN}\n", ("hydra/callbacks=x",)),
    "a callback out of a group": (
        *("agent", "# @package hydra.callbacks\nx: {_target_: pandas.read_pickle, filepath_or_buffer: GADGET}\n"),
        ("+agent@hydra.callbacks=x",),
    ),
    "the whole of Hydra": (
        "sweep",
        "# @package _global_\nhydra: {callbacks: {x: {_target_: os.mkdir, path: RAN}}}\n",
        ("+sweep=x",),
    ),
    "a launcher": ("hydra/launcher", "_target_: os.mkdir\npath: RAN\n", ("hydra/launcher=x", "--multirun")),
    "a sweeper": ("hydra/sweeper", "_target_: os.mkdir\npath: RAN\n", ("hydra/sweeper=x", "--multirun")),
    "part of a launcher": (
        *("sweep", "# @package hydra.launcher\nx: {_target_: pandas.read_pickle, filepath_or_buffer: GADGET}\n"),
        ("+sweep=x", "--multirun"),
    ),
    "a resolver": (
        *("sweep", "# @package hydra.launcher\nx: '${oc.create:{_target_:os.mkdir,path:RAN}}'\n"),
        ("+sweep=x", "--multirun"),
    ),
    "logging": (
        *("hydra/job_logging", "version: 1\nhandlers: {x: {class: subprocess.Popen, args: [mkdir, RAN]}}\n"),
        ("hydra/job_logging=x",),
    ),
    "a search path": ("sweep", "# @package hydra\nsearchpath: [pkg://evil]\n", ("+sweep=x",)),
    "variables": ("sweep", "# @package hydra\njob: {env_set: {PYTHONPATH: RAN}}\n", ("+sweep=x",)),
    "a tag": ("agent", "!!python/object/apply:os.mkdir [RAN]\n", ("agent=x",)),
    "an alias bomb": (
        "agent",
        "a: &a [1, 1, 1, 1, 1, 1]\n"
        + "".join(f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]\n" for a, b in pairwise("abcdefghijkl")),
        ("agent=x",),
    ),
    "deep": ("agent", "a: " + "[" * 5000 + "]" * 5000 + "\n", ("agent=x",)),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", HOSTILE)
def test_a_plug_ins_config_runs_no_code(lemonade, tmp_path, pickled, kind):
    """What is in its folder of configs is read like any other: its code is installed, its YAML is data."""
    group, text, words = HOSTILE[kind]
    site = tmp_path / "site"
    (site / "evil").mkdir()
    (site / "evil" / "__init__.py").write_text(f"import os\nos.mkdir({str(tmp_path / 'ran')!r})\n")
    file = site / "lemonade" / "conf" / group / "x.yaml"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text.replace("RAN", str(tmp_path / "ran")).replace("GADGET", str(pickled)))
    done = lemonade("train", "task=Lemonade", *words, *TINY, "--dry-run")
    assert done.returncode == 2, done.stdout
    assert done.stderr.count("\n") == 1, done.stderr
    assert not (tmp_path / "ran").exists()
    assert not (tmp_path / "runs").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("args", "line"),
    [
        (("task=Lemonade", "env=pricing"), "env: pricing is not allowed with task=Lemonade, expected env=lemonade"),
        (("task=Lemonade", "data=kiosk", "data.path=x"), "data: kiosk is not allowed with task=Lemonade, expected"),
        (("task=Lemonade", "env.max_brew=0"), "env.max_brew: 0 is not allowed, expected an integer >= 1 and <= 100"),
        (("task=Lemonade", "env.max_brw=1"), "env.max_brw: no such key, did you mean env.max_brew?"),
        (("task=Lemonade", "agent.best=1"), "agent.best: 1 is not allowed, expected an integer >= 2 and <= 40"),
    ],
)
def test_what_does_not_fit_is_named(args, line, lemonade):
    refused = lemonade("train", *args)
    assert refused.returncode == 2
    assert refused.stderr.startswith(line)
    assert refused.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("file", "name", "of", "field"),
    [
        ("rules.py", "every_day_alike", "reference policy", "rules"),
        ("rules.py", "every_day_alike", "hindsight bound", "rules"),
        ("cross_entropy.py", "cross-entropy", "hindsight bound", "agent.name"),
        ("cross_entropy.py", "cross-entropy", "by_weather", "agent.name"),
    ],
)
def test_a_row_of_the_table_has_its_name_alone(file, name, of, field, lemonade, tmp_path):
    path = tmp_path / "site" / "lemonade" / file
    assert f'"{name}"' in path.read_text()
    path.write_text(path.read_text().replace(f'"{name}"', f'"{of}"'))
    refused = lemonade("train", "task=Lemonade", *TINY)
    assert refused.returncode == 2
    assert refused.stderr == f"{field}: {of!r} is not allowed, expected a name that no other row of the table has\n"
    assert not list(tmp_path.glob("runs/Lemonade/*"))


@pytest.mark.slow
def test_a_run_of_a_plug_ins_environment_is_whole_and_its_code_counts(lemonade, tmp_path):
    job = ("train", "task=Lemonade", "agent.total_steps=2", "agent.candidates=4", "agent.best=2", *TINY)
    first = lemonade(*job)
    assert first.returncode == 0, first.stderr
    (run,) = tmp_path.glob("runs/Lemonade/*-s0")
    assert "<h2>Prices and sales</h2>" in (run / "report.html").read_text()
    results = json.loads((run / "results.json").read_text())
    assert {"cross-entropy", "by_weather", "every_day_alike"} <= set(results["policies"])
    assert json.loads((run / "provenance.json").read_text())["versions"]["storelab-lemonade"] == "0.1.0"
    assert "is finished: nothing to do" in lemonade(*job).stdout
    with (tmp_path / "site" / "lemonade" / "model.py").open("a") as file:
        file.write("\n# another version\n")
    assert lemonade(*job, "--dry-run").stdout.endswith("would start\n")
