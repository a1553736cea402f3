"""Commands as processes of their own, and the small runs that several tests look at."""

import multiprocessing
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field, replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hydra import compose, initialize_config_module
from storelab.experiments.config.options import register
from storelab.experiments.config.schemas import TaskParams
from storelab.experiments.config.settings import read
from storelab.experiments.runs.checkpoints import steps
from storelab.experiments.runs.folder import Run

CLI = [sys.executable, "-m", "storelab.experiments.cli"]
# A process that has loaded the libraries already: most of a small command's time is imports.
PRELOADED = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # a suite in the background ignores it
os.chdir(folder)
os.environ.update(environment)
for number, path in ((1, out), (2, err)):
    os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
sys.argv = ["storelab", *args]
from storelab.experiments.cli import main
sys.exit(main())
"""
MODULES = [
    *("storelab.experiments.commands.compose", "storelab.experiments.reports.plots", "storelab.agents.sb3.learner"),
    *("storelab.forecasting.transformer", "torch.utils.tensorboard", "matplotlib.backends.backend_svg"),
    *("storelab.experiments.serving.policies", "storelab.experiments.serving.models", "lightgbm", "scipy.sparse"),
    *("sklearn.feature_extraction.text", "storelab.recommendation.neighbours"),
]

EVALUATION = ("evaluation.episodes=8", "evaluation.tuning_episodes=4", "evaluation.curve_episodes=4")
LOST_SALES = ("train", "task=LostSales", "env.horizon=60", *EVALUATION)
LEARNER = ("agent.device=cpu", "agent.threads=1", "agent.net_arch=[8]", "checkpoint_every=256", "restarts=0")
PPO = (
    *(*LOST_SALES, "agent=ppo", *LEARNER, "agent.total_steps=2048", "agent.num_envs=8"),
    *("agent.hyper.n_steps=16", "agent.hyper.batch_size=64", "agent.hyper.n_epochs=2"),
)
STORE = (
    *("train", "task=SyntheticStore", "agent=heuristics", "env.forecast=model", "forecaster=moving_average"),
    *("data.items=3", "data.days=400", "env.horizon=28", *EVALUATION),
)


@dataclass
class Command:
    """A command on its way, or ended."""

    pid: int
    folder: Path
    args: tuple[str, ...]
    poll: object  # () -> exit status, None while it runs
    texts: tuple[Path, Path] = field(repr=False)

    def wait(self, seconds: float = 300) -> "Command":
        """Wait for its end."""
        self.until(lambda: False, seconds, ends=True)
        return self

    def until(self, condition, seconds: float = 300, ends: bool = False) -> None:
        """Wait for a condition, which has to come before the end."""
        stop = time.monotonic() + seconds
        while not condition():
            if self.status is not None:
                if ends:
                    return
                pytest.fail(f"ended with {self.status} before it: {self.out}{self.err}")
            if time.monotonic() > stop:
                self.kill()
                pytest.fail(f"took longer than {seconds} s: {self.out}{self.err}")
            time.sleep(0.005)

    def ended_within(self, seconds: float) -> bool:
        """Wait for its end, but no longer than some seconds."""
        stop = time.monotonic() + seconds
        while self.status is None and time.monotonic() < stop:
            time.sleep(0.005)
        return self.status is not None

    def kill(self) -> None:
        """kill -9"""
        os.kill(self.pid, signal.SIGKILL)
        while self.status is None:
            time.sleep(0.005)

    @property
    def status(self) -> int | None:
        """Return the exit status, None while it runs."""
        return self.poll()

    @property
    def out(self) -> str:
        """Return what it printed."""
        return self.texts[0].read_text()

    @property
    def err(self) -> str:
        """Return its errors and progress bars."""
        return self.texts[1].read_text()

    @property
    def run(self) -> Path:
        """Return the one run folder that there is under its folder."""
        (config,) = self.folder.glob("*/*/*/config.yaml")
        return config.parent

    @property
    def checkpoints(self) -> list[int]:
        """Return the steps that have a checkpoint."""
        return [step for root in self.folder.glob("*/*/*/checkpoints") for step in steps(root)]


class Loads(HTMLParser):
    """What a page loads, and where it leads."""

    def __init__(self, text: str):
        super().__init__()
        self.tags, self.loads, self.links, self.ids = set(), [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        for name, value in attrs:
            if name in ("src", "href", "xlink:href", "srcset", "data", "poster", "action", "background"):
                (self.links if tag == "a" else self.loads).append(value)
            self.ids += [value] if name == "id" else []


@pytest.fixture(scope="session")
def self_contained():
    """Return a check of a page's text: it has all that it shows, one script, and leads to what is there alone."""

    def check(text: str) -> None:
        page = Loads(text)
        assert all(link.startswith(("#", "data:")) for link in page.loads)
        assert all(link.partition("#")[2] in page.ids for link in page.links if link.startswith("#"))
        assert not any("//" in link or link.startswith("/") for link in page.links)
        assert all(place.startswith("#") for place in re.findall(r"url\(\s*['\"]?([^)]*)", text))
        assert "@import" not in text
        assert not page.tags & {"link", "iframe", "object", "embed", "audio", "base", "form"}
        assert len(re.findall("<script", text)) == 1
        assert "default-src 'none'" in text
        assert '<meta name="viewport"' in text
        tables = re.findall(r"(.*)<table", text)
        assert all(before.startswith('<div class="scroll"') for before in tables)

    return check


@pytest.fixture(scope="session")
def _server():
    """The process that others are forked from; one thread each, as many tests may run beside one another."""
    before = os.environ.get("OMP_NUM_THREADS")
    os.environ["OMP_NUM_THREADS"] = "1"
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(MODULES)
    yield context
    os.environ.pop("OMP_NUM_THREADS")
    os.environ.update({"OMP_NUM_THREADS": before} if before else {})


@pytest.fixture(scope="session")
def start(_server, tmp_path_factory):
    """Return a function that starts a command in a folder; `fresh` loads everything anew, as a shell would."""
    started = []

    def begin(folder: Path, *args: str, fresh: bool = False, **environment: str) -> Command:
        texts = tmp_path_factory.mktemp("command")
        out, err = texts / "out", texts / "err"
        out.touch(), err.touch()
        if fresh:
            with out.open("w") as stdout, err.open("w") as stderr:
                env = os.environ | environment
                # A suite that runs in the background ignores SIGINT, and what it starts would inherit that.
                heeds = lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)
                command = [*CLI, *args]
                process = subprocess.Popen(command, cwd=folder, stdout=stdout, stderr=stderr, env=env, preexec_fn=heeds)
            poll = process.poll
        else:
            names = {"folder": str(folder), "out": str(out), "err": str(err), "environment": environment, "args": args}
            process = _server.Process(target=exec, args=(PRELOADED, names))
            process.start()
            poll = lambda: process.exitcode
        started.append(Command(process.pid, folder, args, poll, (out, err)))
        return started[-1]

    yield begin
    for command in started:
        if command.status is None:
            command.kill()


@pytest.fixture(scope="session")
def storelab(start):
    """Return a function that runs a command in a folder to its end."""
    return lambda folder, *args, **more: start(folder, *args, **more).wait()


@pytest.fixture(scope="session")
def finished(storelab, tmp_path_factory) -> Command:
    """PPO on lost sales, never stopped."""
    return storelab(tmp_path_factory.mktemp("finished"), *PPO)


@pytest.fixture(scope="session")
def killed(start, tmp_path_factory) -> Command:
    """The same run, killed while it learnt, after its second checkpoint."""
    command = start(tmp_path_factory.mktemp("killed"), *PPO, "runs=elsewhere")
    command.until(lambda: len(command.checkpoints) > 1)
    command.kill()
    return command


@pytest.fixture(scope="session")
def store(storelab, tmp_path_factory) -> Command:
    """Heuristics on a store with forecasts."""
    return storelab(tmp_path_factory.mktemp("store"), *STORE)


@pytest.fixture(scope="session")
def make():
    """Return a function that leaves a run whose episodes are given: PPO costs `cost` more or less, base_stock 7."""
    register()
    with initialize_config_module("storelab.conf", version_base="1.3"):
        plain = read(compose("train", overrides=["env.horizon=60"]))

    def leave(folder, task="LostSales", seed=0, agent=None, env=None, cost=8.0, error=None, finish=True):
        top = replace(plain.top, runs=str(folder), experiment=task, seed=seed)
        settings = replace(
            plain, top=top, task=TaskParams(task), agent=replace(plain.agent, **agent or {}), env=env or {}
        )
        run = Run.of(settings, "data")
        try:
            with run.open(settings, "data"):
                run.status("running", stage="agent")
                if error:
                    raise RuntimeError(error)
                noise = np.random.default_rng(0).normal(size=40)
                values = {"PPO": cost + noise, "base_stock": 7 + noise}
                episodes = [pd.DataFrame({"policy": k, "seed": range(40), "value": v}) for k, v in values.items()]
                run.write_episodes(pd.concat(episodes, ignore_index=True))
                run.write_metrics([{"step": k, "seconds": k, "value": cost + 9 / k} for k in (1, 2, 3)])
                policies = {"PPO": {"value": cost, "better": 7 - cost}, "base_stock": {"value": 7.0, "better": 0.0}}
                policies = {name: {**row, "ci_low": None, "ci_high": None} for name, row in policies.items()}
                policies["PPO"]["fill_rate"], policies["base_stock"]["fill_rate"] = 0.9, 0.95
                told = {"objective": "cost", "unit": "money per period", "agent": "PPO", "best_heuristic": "base_stock"}
                run.write("results.json", told | {"policies": policies})
        except RuntimeError:
            pass
        if not finish:  # as a kill leaves it
            (run.folder / "DONE").unlink()
            run.status("running", stage="agent")
        return run

    return leave
