"""The run folder: what its name depends on, who may work in it, and what a failure leaves."""

import errno
import json
import re
from functools import cache

import pytest
from hydra import compose, initialize_config_module
from storelab.experiments.config.options import register
from storelab.experiments.config.settings import ConfigError, read
from storelab.experiments.runs.folder import Pruned, Run, RunBusy


@cache
def composed(*overrides: str):
    register()
    with initialize_config_module("storelab.conf", version_base="1.3"):
        return read(compose("train", overrides=list(overrides)))


def folder(*overrides: str, data: str = "data"):
    return Run.of(composed("agent=heuristics", *overrides), data).folder


def test_the_name_is_where_how_and_which():
    run = folder("runs=some/where", "experiment=first", "seed=7")
    assert run.parent.as_posix() == "some/where/first"
    assert run.name.endswith("-s7")
    assert len(run.name) == 12 + len("-s7")


def test_the_hash_goes_by_what_a_result_depends_on():
    plain = folder()
    same = [folder("runs=elsewhere"), folder("experiment=other"), folder("seed=1"), folder("forecaster=moving_average")]
    assert {run.name.partition("-")[0] for run in same} == {plain.name.partition("-")[0]}
    others = [
        folder("env.horizon=70"),
        folder("env.demand.mean=4"),
        folder("task=FixedCost"),
        folder("agent=ppo"),
        folder("agent=ppo", "agent.hyper.n_steps=8"),
        folder("evaluation.episodes=9"),
        folder("evaluation.seed=9"),
        folder("checkpoint_every=9"),
        folder(data="other"),
    ]
    assert len({run.name for run in (plain, *others)}) == 10


SETTINGS = ("agent=heuristics",)


@pytest.fixture
def run(tmp_path):
    return Run.of(composed(*SETTINGS, f"runs={tmp_path}"), "data")


def test_a_run_is_finished_when_all_went_well(run):
    settings = composed(*SETTINGS)
    assert not run.done
    with run.open(settings, "data"):
        assert json.loads((run.folder / "provenance.json").read_text())["data"] == "data"
        assert not run.done
    assert run.done
    assert run.read("status.json")["state"] == "finished"
    assert run.settings() == settings


ENDS = {
    "failed": RuntimeError("broke"),  # the rest may go well when tried again
    "stopped": KeyboardInterrupt("stop"),
    "pruned": Pruned("enough"),
}


@pytest.mark.parametrize(("state", "error"), [*ENDS.items(), ("stopped", OSError(errno.ENOSPC, "full"))])
def test_a_failure_is_told_and_not_finished(run, state, error):
    with pytest.raises(type(error), match=re.escape(str(error))), run.open(composed(*SETTINGS), "data"):
        raise error
    status = run.read("status.json")
    assert (status["state"], status["error"]) == (state, f"{type(error).__name__}: {error}")
    assert not run.done
    with pytest.raises(ConfigError, match="expected the folder of a finished run"):
        run.settings()
    with run.open(composed(*SETTINGS), "data"):  # and may be started again
        pass
    assert run.done


def test_two_at_once_are_refused(run):
    with run.open(composed(*SETTINGS), "data"):
        other = Run(run.folder)
        with (
            pytest.raises(ConfigError, match="another process works on this run"),
            other.open(composed(*SETTINGS), "x"),
        ):
            pass
        assert run.read("provenance.json")["data"] == "data"
        assert not run.done


def test_a_process_that_lost_its_run_ends(run):
    """Another machine took the run over: nothing more is told of the first one's work."""
    run.folder.mkdir(parents=True)
    run.status("running", stage="agent")
    with pytest.raises(RunBusy, match="took the run over"), run.open(composed(*SETTINGS), "data"):
        (run.folder / ".lease-2").touch()
    assert run.read("status.json")["stage"] == "agent"
    assert not run.done


def test_metrics_up_to_a_step(run):
    rows = [{"step": step, "value": step / 3} for step in (10, 20, 30)]
    assert run.metrics() == []
    run.write_metrics(rows)
    assert run.metrics() == rows
    assert run.metrics(up_to=20) == rows[:2]
