"""`storelab evaluate --policy`: a user's policies in the table of the heuristics, named by the command line alone."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from storelab.experiments.commands.own import FLAGS, Own, take
from storelab.experiments.config.errors import ConfigError

from ..conftest import LOST_SALES

MINE = """
import numpy as np
import torch
from pathlib import Path
from storelab.envs.core.contract import Rule

Path("imported").touch()
LEVEL = 30.0


def batch(observation):
    return np.maximum(LEVEL - observation.sum(axis=1), 0)


def contract(observation, policy_state, seed):
    return batch(observation)[:, None], policy_state


def one(observation):
    return max(0.0, LEVEL - observation.sum())


def nothing(observation):
    return None


def branches(observation):
    return 3.0 if observation[0] > 4 else 0.0


def far(observation):
    return np.full(len(observation), 1e6)


class Heuristic:
    def __init__(self, model, level=LEVEL):
        self.model, self.level = model, level

    def __call__(self, observation, policy_state, seed):
        return contract(observation, policy_state, seed)


class Net(torch.nn.Module):
    def __init__(self, observation_space):
        super().__init__()
        self.layer = torch.nn.Linear(observation_space.shape[0], 1)

    def forward(self, observation):
        return torch.relu(self.layer(observation))


def position(named):
    return named["on_hand"] + named["pipeline"].sum(axis=1)


def to_level(model, named, seed, level):
    return np.maximum(level - position(named), 0)


RULE = Rule(to_level, lambda model, scenario: {"level": (0, 60, 8)})
"""
SMALL = (*LOST_SALES, "agent=heuristics")
TASK = ("evaluate", *(word for word in LOST_SALES if word != "train"))


@pytest.fixture(scope="module")
def base(storelab, tmp_path_factory):
    """A finished run of the heuristics alone."""
    return storelab(tmp_path_factory.mktemp("base"), *SMALL)


@pytest.fixture
def folder(base, tmp_path):
    shutil.copytree(base.folder / "runs", tmp_path / "runs")
    (tmp_path / "mine.py").write_text(MINE)
    return tmp_path


def evaluations(folder) -> list:
    return sorted(folder.glob("runs/*/*/evaluations/*"))


def test_each_kind_stands_in_the_table(folder, finished, storelab, base):
    import torch
    from safetensors.torch import save_file
    from stable_baselines3 import A2C
    from stable_baselines3.common.env_util import make_vec_env
    from stable_baselines3.common.vec_env import VecNormalize

    save_file({"layer.weight": -torch.ones(1, 4), "layer.bias": torch.full((1,), 30.0)}, folder / "net.safetensors")
    env = VecNormalize(make_vec_env("storelab/LostSales-v0", 2, env_kwargs={"horizon": 60}))
    A2C("MlpPolicy", env, seed=0, device="cpu").learn(20).save(folder / "a2c.zip")
    env.save(folder / "statistics.pkl")
    run = base.run.relative_to(base.folder)
    before = {path: path.read_bytes() for path in (folder / run).iterdir()}
    words = [
        *("--policy", "mine:batch", "--policy", "whole=mine:contract", "--policy=./mine.py:one", "--scalar"),
        *("--policy", "mine:Heuristic", "--policy", "mine:Net", "--weights", "net.safetensors"),
        *("--policy", "mine:RULE", "--policy", "a2c.zip", "--trust", "--vecnormalize", "statistics.pkl"),
        *("--policy", str(finished.run), "--policy", "far=mine:far"),
    ]
    done = storelab(folder, "evaluate", f"run={run}", "evaluation.episodes=8", *words)
    assert done.status == 0, done.err
    (found,) = evaluations(folder)
    episodes = pd.read_parquet(found / "eval.parquet")
    assert {path: path.read_bytes() for path in (folder / run).iterdir() if path.is_file()} == before
    own = pd.read_parquet(folder / run / "eval.parquet")
    pd.testing.assert_frame_equal(episodes[: len(own)], own)
    values = {name: rows["value"].to_numpy() for name, rows in episodes.groupby("policy")}
    names = {"batch", "whole", "one", "Heuristic", "Net", "RULE", "a2c", "PPO", "far"}
    assert names == set(values) - set(own["policy"])
    for name in ("whole", "one", "Heuristic", "Net"):
        assert np.array_equal(values[name], values["batch"]), name
    theirs = pd.read_parquet(finished.run / "eval.parquet").query("policy == 'PPO'")
    assert np.array_equal(values["PPO"], theirs["value"])
    results = json.loads((found / "results.json").read_text())["policies"]
    assert results["batch"]["better_low"] <= results["batch"]["better"] <= results["batch"]["better_high"]
    page = (found / "report.html").read_text()
    for name in names:
        assert f'<tr class="agent"><td>{name}</td>' in page
        assert f"{name} is " in done.out or f"{name} does not differ" in done.out
    assert "far: 1.00 of its 1 actions a period lay outside the action space and were clipped to it." in done.out
    came = json.loads((found / "provenance.json").read_text())["policies"]
    assert [one["names"] for one in came][:2] == [["batch"], ["whole"]]
    assert came[0]["from"] == "mine:batch"
    assert came[0]["files"] == [str(folder / "mine.py")]
    assert len({one["sha256"] for one in came[:2]}) == 1
    assert [len(one["sha256"]) for one in came] == [64] * 9
    assert all("mine" not in path.read_text() for path in (folder / run).glob("*.yaml"))


def test_a_task_makes_its_run_once(folder, base, storelab):
    kept = {path: path.stat().st_mtime_ns for path in folder.glob("runs/*/*/*.json")}
    first = storelab(folder, *TASK, "--policy", "mine:batch")
    assert first.status == 0, first.err
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    again = storelab(folder, *TASK, "--policy", "mine:batch")
    assert again.out == first.out
    assert len(evaluations(folder)) == 1
    (folder / "mine.py").write_text(MINE.replace("LEVEL = 30.0", "LEVEL = 12.0"))
    other = storelab(folder, *TASK, "--policy", "mine:batch")
    assert other.status == 0
    assert other.out != first.out
    assert len(evaluations(folder)) == 2
    elsewhere = storelab(folder, *TASK, "runs=others", "--policy", "mine:batch")
    assert elsewhere.out.replace("others/", "runs/") == other.out


def test_other_scenarios_are_played_anew(folder, base, storelab):
    run = base.run.relative_to(base.folder)
    other = ("evaluation.episodes=5", "evaluation.seed=40", "--policy", "mine:one", "--scalar")
    done = storelab(folder, "evaluate", f"run={run}", *other)
    assert done.status == 0, done.err
    (found,) = evaluations(folder)
    assert set(pd.read_parquet(found / "eval.parquet")["seed"]) == set(range(40, 45))


ACTIONS = "expected actions (8, 1) of MultiDiscrete from 0 to 12 at observations (8, 4)"
HINT = " (a function of one observation: --scalar)"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("mine:nothing",), f"policy nothing: None is not allowed as an action, {ACTIONS}{HINT}"),
        (("x=mine:nothing",), "policy x: None is not allowed"),
        (("mine:branches",), "policy branches: ValueError: The truth value of an array"),
        (("mine:batch", "--scalar"), "policy batch: AxisError: axis 1 is out of bounds"),
        (("mine:missing",), "policy mine:missing: mine has no 'missing', found: Heuristic, Net, "),
        (("mine:contrakt",), "policy mine:contrakt: mine has no 'contrakt', did you mean contract? found: "),
        (("mine",), "policy mine: names a whole module, expected mine:NAME (found: "),
        (("mine:LEVEL",), "policy LEVEL: 30.0 is not allowed, expected a function, a class, "),
        (("base_stock=mine:batch",), "policy base_stock: the name 'base_stock' is taken, expected another one: --pol"),
        (("reference policy=mine:batch",), "policy reference policy: the name 'reference policy' is taken, expected"),
        (("hindsight bound=mine:batch",), "policy hindsight bound: the name 'hindsight bound' is taken, expected"),
        (("mine:batch", "--policy", "./mine.py:batch"), "policy ./mine.py:batch: the name 'batch' is taken"),
        (("main:f",), "policy main:f: no module main, expected one that is installed or lies in "),
        (("mine.inner:f",), "policy mine.inner:f: no module mine.inner, expected one that is installed or lies in "),
        (("other.py:f",), "policy other.py:f: no file other.py, found: broken.py, ends.py, mine.py, needs.py"),
        (("broken:f",), "policy broken:f: broken cannot be imported (SyntaxError: "),
        (("ends:f",), "policy ends:f: ends cannot be imported (SystemExit: 3)"),
        (("needs:f",), "policy needs:f: needs cannot be imported (No module named 'nowhere_at_all')"),
        (("mine:Net", "--weights", "none.safetensors"), "policy mine:Net: weights: 'none.safetensors' is not allowed "),
        (("mine:batch", "--weights", "none.safetensors"), "policy mine:batch: weights: 'none.safetensors' is not all"),
        (("archive.zip",), "policy archive.zip: not opened without --trust, as an archive of Stable-Baselines3 is a "),
        (("none.zip", "--trust"), "policy none.zip: no such file"),
        (("archive.zip", "--trust"), "policy archive.zip: archive: 'archive.zip' is not allowed (ValueError: "),
        (("archive.zip", "--scalar"), "--scalar: not allowed with --policy archive.zip"),
        (("mine:batch", "--trust"), "--trust: not allowed with --policy mine:batch"),
        (("runs",), "policy runs: run: 'runs' is not allowed, expected the folder of a finished run"),
        (("a b:c",), "policy a b:c: not readable, expected module:name, file.py:name, an archive.zip, "),
        ((), "--policy: not set, expected module:name"),
    ],
)
def test_what_is_wrong_is_one_line(words, line, folder, base, storelab):
    (folder / "broken.py").write_text("def f(:")
    (folder / "ends.py").write_text("raise SystemExit(3)")
    (folder / "needs.py").write_text("import nowhere_at_all")
    (folder / "archive.zip").write_text("no zip")
    run = base.run.relative_to(base.folder)
    ended = storelab(folder, "evaluate", f"run={run}", "evaluation.episodes=8", "--policy", *words)
    said = [text for text in ended.err.splitlines() if text and not text.startswith("evaluate:")]
    assert ended.status == 2
    assert len(said) == 1
    assert said[0].startswith(line)
    assert not evaluations(folder)


def test_no_config_names_code(folder, base, finished, storelab):
    """Neither an override, a file of one's own, a sweep, nor a run's folder: each is refused, and nothing imported."""
    run = base.run.relative_to(base.folder)
    (folder / "conf" / "sweep").mkdir(parents=True)
    text = "# @package _global_\npolicy: mine:batch\n"
    (folder / "conf" / "sweep" / "bad.yaml").write_text(text)
    here = ("--config-dir", "conf", "+sweep=bad")
    lines = [
        *((*SMALL, word) for word in ("policy=mine:batch", "+policy=mine:batch", "+agent.policy=mine:batch")),
        *((*SMALL, word) for word in ("+evaluation.policy=mine:batch", "+own=[mine:batch]")),
        *(("evaluate", f"run={run}", word) for word in ("policy=mine:batch", "+policy=mine:batch")),
        ("evaluate", f"run={run}", "+evaluation.policy=mine:batch"),
        (*TASK, "+policy=mine:batch"),
        (*SMALL, *here),
        ("evaluate", f"run={run}", *here),
        (*SMALL, "+policy=mine:batch", "--multirun", "seed=0,1"),
        ("train", "--policy", "mine:batch"),
        ("report", f"run={run}", "--policy", "mine:batch"),
    ]
    for words in lines:
        ended = storelab(folder, *words)
        assert ended.status == 2, words
        assert "policy" in ended.err or "own" in ended.err, words
    path = folder / run / "config.yaml"
    path.write_text(path.read_text() + "policy: mine:batch\npolicies: [mine:batch]\n")
    for command in ("evaluate", "report"):
        ended = storelab(folder, command, f"run={run}")
        assert ended.status == 2
        assert ended.err.startswith(f"{run / 'config.yaml'} is damaged: ")
    assert not (folder / "imported").exists()


def test_what_was_evaluated_is_never_imported_again(folder, base, storelab):
    run = base.run.relative_to(base.folder)
    assert storelab(folder, "evaluate", f"run={run}", "--policy", "mine:batch").status == 0
    (folder / "imported").unlink()
    for words in (("evaluate", f"run={run}"), ("report", f"run={run}"), ("report", "runs/LostSales"), ("runs",)):
        assert storelab(folder, *words).status == 0
    assert not (folder / "imported").exists()


def test_words_are_split():
    found, rest = take(["run=x", "--policy", "a.b:c", "--scalar", "-m", "--policy=n o=d.py:e", "--weights", "w"])
    assert found == [Own("a.b:c", scalar=True), Own("d.py:e", "n o", weights="w")]
    assert rest == ["run=x", "-m"]
    for words in (["--scalar"], ["--policy"], ["--policy", "--scalar"], ["--policy", "a:b", "--weights"], ["--trust"]):
        with pytest.raises(ConfigError):
            take(words)


@given(st.lists(st.sampled_from([*FLAGS, "run=x", "a:b", "x.zip", "-m", "--weights=w", "--policy=a=b:c"]), max_size=7))
def test_words_are_split_or_refused(words):
    try:
        found, rest = take(words)
    except ConfigError:
        return
    assert not [word for word in rest if word.startswith(FLAGS)]
    assert [one.what for one in found] == [one.what for one in take([w for one in found for w in one.words()])[0]]


@pytest.mark.parametrize("flag", ["--policy", "--trust"])
def test_flags_of_policies_are_evaluates_alone(flag, storelab, tmp_path):
    ended = storelab(tmp_path, "train", flag)
    assert ended.status == 2
    assert ended.err.startswith(f"{flag}: no such flag, expected one of ")
