"""Plug-ins: the example package beside storelab, as installed: it trains, is swept and reported; its code counts.

The tutorial's code is the example's, and its commands run.
"""

import doctest
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
from importlib import import_module
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from storelab import plugins
from storelab.envs import TASKS, registry, rollout
from storelab.envs.core.conformance import check_task
from storelab.errors import FieldError
from storelab.forecasting import known_future

from .test_readme import EXAMPLES, commands

ROOT = Path(__file__).parents[1]
EXAMPLE, TUTORIAL = ROOT / "examples" / "lemonade", ROOT / "docs" / "tutorial_add_environment.md"
PROJECT = tomllib.loads((EXAMPLE / "pyproject.toml").read_text())["project"]
COMMANDS = """
import json, os, sys
from storelab.experiments.cli import main
for words in json.loads(sys.argv[1]):
    sys.argv = ["storelab", *words]
    print("@", main(), flush=True)
    os.environ.pop("HYDRA_FULL_ERROR", None)  # which the command sets for its process
"""
EVALUATION = ["evaluation.episodes=8", "evaluation.tuning_episodes=4", "evaluation.curve_episodes=4"]
SMALL = {  # what a command of the tutorial is given besides, so that it ends at once
    "heuristics": [*EVALUATION, "env.horizon=60"],
    "ppo_lemonade": [*EVALUATION, "agent.total_steps=2000", "agent.num_envs=16", "agent.device=cpu"],
    "cross_entropy": [*EVALUATION, "agent.total_steps=2", "agent.candidates=8", "agent.seasons=4"],
    "drift": ["baselines=[seasonal_naive]", "horizon=14", "origins=2", "least_days=60"],
}


def install(folder: Path, name: str = PROJECT["name"], points: dict | None = None) -> Path:
    """Leave in a folder what pip would of the package's metadata, so that it counts as installed where it is found."""
    points = PROJECT["entry-points"]["storelab"] if points is None else points
    info = folder / f"{name.replace('-', '_')}-{PROJECT['version']}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {PROJECT['version']}\n")
    lines = [f"{key} = {value}" for key, value in points.items()]
    (info / "entry_points.txt").write_text("\n".join(["[storelab]", *lines, ""]))
    return folder


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Return a folder with a copy of the example, installed for the processes that look into it."""
    folder = install(tmp_path_factory.mktemp("site"))
    shutil.copytree(EXAMPLE / "lemonade", folder / "lemonade", ignore=shutil.ignore_patterns("__pycache__"))
    return folder


@pytest.fixture
def lemonade(site, monkeypatch):
    """Return a function that imports a module of the example, which is a plug-in of this process as well."""
    caches = (plugins.plugins, registry.environments, registry.entries)
    monkeypatch.syspath_prepend(site)
    for cache in caches:
        cache.cache_clear()
    yield lambda name: import_module(f"lemonade.{name}")
    monkeypatch.undo()
    for name in [name for name in sys.modules if name.partition(".")[0] == "lemonade"]:
        del sys.modules[name]
    for cache in caches:
        cache.cache_clear()


def storelab(site: Path, folder: Path, *lines: list[str], status: int = 0) -> list[str]:
    """Run command lines in a folder, in one process with the plug-ins of a site; return what each printed."""
    command = [sys.executable, "-u", "-P", "-c", COMMANDS, json.dumps(lines)]
    env = os.environ | {"PYTHONPATH": str(site), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=folder, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    *outs, rest = done.stdout.split(f"@ {status}\n")
    assert (len(outs), rest) == (len(lines), ""), done.stdout
    return outs


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """Return a folder for runs, with the till of a kiosk in it."""
    folder, rng = tmp_path_factory.mktemp("work"), np.random.default_rng(0)
    days = pd.date_range("2025-01-01", periods=140).strftime("%Y-%m-%d")
    sold = {flavour: rng.poisson(np.linspace(10, 20, len(days))) for flavour in ("classic", "mint")}
    parts = [pd.DataFrame({"day": days, "flavour": name, "litres": sold[name], "price": 2.0}) for name in sold]
    pd.concat(parts).to_csv(folder / "till.csv", index=False)
    return folder


# -- the parts ---------------------------------------------------------------------------------------------------------


def test_the_plug_ins_task_keeps_the_contract(lemonade):
    check_task(TASKS["Lemonade"]())
    result = doctest.testmod(lemonade("model"), globs={"gym": None})
    assert result.attempted >= 3


def test_the_optimum_is_the_newsvendors_on_the_last_day_and_is_attained(lemonade):
    task = TASKS["Lemonade"](horizon=1, prices=[2.0], weather=[0.0, 1.0, 0.0], max_brew=40)
    model, ratio = task.model(), (2.0 - 0.6) / 2.0
    _, decisions = lemonade("tasks").solve(model)
    assert decisions[0, 1, 0] == np.searchsorted(model.chances[1, 0].cumsum(), ratio)  # the critical fractile
    task = TASKS["Lemonade"]()
    reference, model = task.reference(), task.model("test")
    profit = rollout(model, reference.policy, model.scenarios(np.arange(4000)))["reward"].sum(axis=1)
    assert abs(profit.mean() - reference.value) < 4 * profit.std() / np.sqrt(len(profit))


def test_a_learner_goes_on_exactly(lemonade, tmp_path):
    module, task = lemonade("cross_entropy"), TASKS["Lemonade"]()
    params = module.Params(total_steps=6, candidates=10, best=3, seasons=4)
    whole, first, second = (module.Learner(task, params, seed=3) for _ in range(3))
    whole.learn()
    first.learn(total_steps=2)
    first.save(tmp_path)
    second.load(tmp_path)
    second.learn()
    assert np.array_equal(whole.mean, second.mean)
    second.save(tmp_path)
    assert np.array_equal(module.load_policy(tmp_path, task).weights, whole.mean)
    with pytest.raises(FieldError, match=r"seed: 4 is not allowed, expected 3 as in the checkpoint"):
        module.Learner(task, params, seed=4).load(tmp_path)


def test_the_learner_comes_near_the_optimum(lemonade):
    """Better than one price and level for every day, which the tuned heuristic has, and within 5 % of the optimum."""
    module, task = lemonade("cross_entropy"), TASKS["Lemonade"]()
    learner, model = module.Learner(task, module.Params()), task.model("test")
    learner.learn()
    profit = rollout(model, learner.policy(), model.scenarios(np.arange(2000)))["reward"].sum(axis=1)
    assert profit.mean() > 0.95 * task.reference().value


def test_the_forecaster_draws_a_line(lemonade, work):
    panel = lemonade("kiosk").KioskParams(str(work / "till.csv")).panel()
    assert panel.items == ["classic", "mint"]
    panel.units[:] = 5 + 0.25 * np.arange(len(panel.dates))[:, None]  # without noise the line is exact
    drift = lemonade("drift").Drift().fit(panel)
    known, history = known_future(panel, 100, 14), panel.until(100)
    assert np.allclose(drift.predict_mean(history, known), panel.units[100:114].T)
    assert np.allclose(drift.predict(history, known)[..., 0], panel.units[100:114].T)
    assert drift.sample_paths(history, known, 3, seed=0).shape == (2, 3, 14)


# -- the command line --------------------------------------------------------------------------------------------------


def small(words: list[str]) -> list[str]:
    """Return a command of the tutorial that ends at once."""
    chosen = {word.partition("=")[2] for word in words}
    return [*words, *next(more for name, more in SMALL.items() if name in chosen)]


def test_the_tutorials_commands_run_and_a_change_of_code_makes_a_new_run(site, work, tmp_path):
    lines = commands(TUTORIAL)
    again = ["train", "task=Lemonade", "agent=cross_entropy", "seed=1"]
    *outs, unchanged = storelab(site, work, *map(small, (*lines, again)))
    for words, out in zip(lines, outs, strict=True):
        assert out.count("report: ") == (2 if "--multirun" in words else 1), out
        if words[0] == "train":
            own = (
                ("r_Q",) if "task=LostSales" in words else ("by_weather", "every_day_alike", "optimal price and litres")
            )
            assert all(name in out for name in own), out
    assert {(words[0], *words[-1:]) for words in lines} >= {("train", "--multirun"), ("backtest", "data.path=till.csv")}
    assert "is finished: nothing to do" in unchanged

    runs = lambda: set((work / "runs" / "Lemonade").glob("*-s*"))
    changed, before = shutil.copytree(site, tmp_path / "site"), runs()
    module = changed / "lemonade" / "rules.py"
    module.write_text(module.read_text().replace("(Hadley and", "(see Hadley and"))
    (out,) = storelab(changed, work, small(again))
    assert "report: " in out
    (new,) = runs() - before
    assert f'"{PROJECT["name"]}": "{PROJECT["version"]}"' in (new / "provenance.json").read_text()
    report = (new / "report.html").read_text()
    assert all(name in report for name in ("by_weather", "cross-entropy"))


def test_a_plug_ins_errors_are_a_line(site, tmp_path):
    errors = {
        ("agent.best=100",): "agent.best: 100 is not allowed, expected an integer >= 2 and <= 40",
        ("env.max_brew=1000",): "env.max_brew: 1000 is not allowed, expected an integer >= 1 and <= 100",
        ("env.max_bew=10",): "env.max_bew: no such key, did you mean env.max_brew?",
        ("data=kiosk", "data.path=x.csv"): "data: kiosk is not allowed with task=Lemonade, expected data=null",
    }
    outs = storelab(site, tmp_path, *(["train", "task=Lemonade", *words] for words in errors), status=2)
    assert [out.strip() for out in outs] == list(errors.values())


@pytest.mark.parametrize(
    ("points", "message"),
    [
        ({"other": "lemonade.plugin:PLUGIN"}, "plug-in other: environments: 'lemonade' is not allowed"),
        ({"wrong": "lemonade.plugin:STAND"}, "entry point wrong: 'lemonade.plugin:STAND' is not allowed"),
        ({"gone": "lemonade.nowhere:PLUGIN"}, "entry point gone: 'lemonade.nowhere:PLUGIN' is not allowed"),
    ],
)
def test_a_plug_in_that_cannot_be_is_named(site, tmp_path, points, message):
    folder = install(tmp_path / "more", "another", points)
    env = os.environ | {"PYTHONPATH": f"{site}{os.pathsep}{folder}"}
    run = lambda *words: subprocess.run(words, cwd=tmp_path, env=env, capture_output=True, text=True)
    code = "import storelab; print(len(storelab.envs.TASKS), 'Lemonade' in storelab.envs.TASKS)"
    done = run(sys.executable, "-P", "-c", code)  # ours go on without plug-ins
    assert done.returncode == 0, done.stderr
    assert f"UserWarning: no plug-in of storelab is loaded: {message}" in done.stderr
    assert done.stdout.split()[1] == "False"
    done = run(sys.executable, "-P", "-W", "ignore", "-m", "storelab.experiments.cli", "train")
    assert done.returncode == 2
    assert done.stderr.startswith(message)
    assert len(done.stderr.splitlines()) == 1


# -- the tutorial ------------------------------------------------------------------------------------------------------


def test_the_tutorials_code_is_the_examples():
    """Each block with a file's name is a part of that file; some files stand there whole."""
    shown: dict[str, str] = {}
    for name, block in re.findall(r'```\w+ title="([^"]+)"\n(.*?)```', TUTORIAL.read_text(), re.S):
        assert block in (EXAMPLE / name).read_text(), f"{name}: a block differs from the file: {block[:80]}"
        shown[name] = shown.get(name, "") + block
    lines = lambda text: [line for line in text.splitlines() if line]
    for name in ("pyproject.toml", *(f"lemonade/{part}.py" for part in ("model", "tasks", "rules", "plugin"))):
        assert lines(shown[name]) == lines((EXAMPLE / name).read_text()), f"{name}: the tutorial leaves something out"


def test_the_tutorials_python_runs(lemonade):
    (code,) = EXAMPLES[TUTORIAL]
    exec(code, {})


@pytest.mark.slow
def test_the_example_installs_into_a_fresh_environment(tmp_path):
    """By pip, editable, beside the packages that are here; its environment is Gymnasium's too."""
    pytest.importorskip("setuptools", "77")  # no build isolation, which would ask the network
    source = shutil.copytree(EXAMPLE, tmp_path / "source", ignore=shutil.ignore_patterns("*.egg-info", "__pycache__"))
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv"], check=True)
    python = tmp_path / "venv" / "bin" / "python"
    (packages,) = (tmp_path / "venv" / "lib").glob("*/site-packages")
    (packages / "here.pth").write_text(f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})\n")
    pip = [python, "-m", "pip", "install", "-q", "--no-deps", "--no-build-isolation", "--no-index", "-e", source]
    subprocess.run(pip, check=True, cwd=tmp_path)
    code = "import gymnasium, storelab; print(gymnasium.make('storelab/Lemonade-v0').reset(seed=0)[0].shape)"
    done = subprocess.run([python, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout.strip() == "(5,)", done.stderr
    words = ["train", "task=Lemonade", "agent=cross_entropy", *SMALL["cross_entropy"]]
    module = ["-m", "storelab.experiments.cli"]
    done = subprocess.run([python, *module, *words], cwd=tmp_path, capture_output=True, text=True)
    assert "report: " in done.stdout, done.stderr
