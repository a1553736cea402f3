"""Sweeps: pairs, the list of their configs, whose lines are whose, and what `storelab runs` shows of them."""

import io
import os
import subprocess
import sys

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from storelab.experiments.commands.runs import runs
from storelab.experiments.config.errors import ConfigError
from storelab.experiments.sweeps import Labelled, sweep_configs

HEURISTICS = ("agent=heuristics", "evaluation.episodes=2", "evaluation.tuning_episodes=2", "env.horizon=110")
PAIRED = ("env.lead_time=1,2", "env.holding_cost=1,3", "--multirun", "--pairs=env.lead_time,env.holding_cost")


@pytest.mark.slow
def test_a_python_call_lists_the_configs():
    found = sweep_configs(["task=LostSales,FixedCost", "agent=heuristics", "seed=0,1,2"])
    assert [(config["task"]["name"], config["seed"]) for config in found] == [
        (task, seed) for task in ("LostSales", "FixedCost") for seed in range(3)
    ]
    assert len(sweep_configs(["+sweep=ppo_lost_sales", "seed=0,1"])) == 16
    assert len(sweep_configs(["agent=heuristics"])) == 1
    assert [
        c["forecaster"]["window"]
        for c in sweep_configs(["forecaster=moving_average", "forecaster.window=7,14"], "backtest")
    ] == [7, 14]
    with pytest.raises(ConfigError, match=r"^seed: -1 is not allowed"):
        sweep_configs(["seed=0,-1"])


@pytest.mark.slow
@settings(max_examples=15, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9), st.integers(0, 5)), min_size=1, max_size=4, unique=True)
)
def test_pairs_go_together_and_the_rest_is_crossed(rows):
    columns = list(zip(*rows, strict=True))
    words = [
        f"{key}={','.join(map(str, of))}"
        for key, of in zip(("env.lead_time", "env.holding_cost", "seed"), columns, strict=True)
    ]
    if len(rows) == 1:
        with pytest.raises(ConfigError, match="expected a key with several values"):
            sweep_configs(words, pairs=[["env.lead_time", "env.holding_cost", "seed"]])
        return
    found = sweep_configs(
        [*words, "agent=heuristics", "evaluation.seed=7,8"], pairs=[["env.lead_time", "env.holding_cost", "seed"]]
    )
    expected = [(a, float(b), seed, other) for a, b, seed in rows for other in (7, 8)]
    told = [(c["env"]["lead_time"], c["env"]["holding_cost"], c["seed"], c["evaluation"]["seed"]) for c in found]
    assert told == expected


@pytest.mark.slow
def test_pairs_on_the_command_line(storelab, tmp_path):
    dry = storelab(tmp_path, "train", *HEURISTICS, *PAIRED, "--dry-run")
    assert dry.status == 0, dry.err
    assert dry.out.count("would start") == 2
    for words, line in {
        ("--multirun", "--pairs=env.lead_time"): "--pairs=env.lead_time: not readable, expected --pairs=KEY,KEY",
        ("--pairs=env.lead_time,seed",): "--pairs=env.lead_time,seed: not readable",
        (
            "--multirun",
            "--pairs=seed,env.lead_time",
            "seed=0,1",
        ): "--pairs: 'env.lead_time' is not allowed, expected a key",
        ("--multirun", "--pairs=seed,env.lead_time", "seed=0,1", "env.lead_time=1,2,3"): "--pairs: 2 of seed, 3 of env",
    }.items():
        ended = storelab(tmp_path, "train", *HEURISTICS, *words)
        assert (ended.status, ended.err.count("\n")) == (2, 1), ended.err
        assert ended.err.startswith(line)


@pytest.mark.slow
def test_lines_of_parallel_runs_tell_their_run(storelab, tmp_path, monkeypatch, capsys):
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    ended = storelab(
        tmp_path, "train", *HEURISTICS, *PAIRED, "hydra/launcher=joblib", "hydra.launcher.n_jobs=2", fresh=True
    )
    assert ended.status == 0, ended.err
    names = {f"LostSales/{folder.name}" for folder in (tmp_path / "runs" / "LostSales").iterdir()}
    assert len(names) == 2
    tables = [line for line in ended.out.splitlines() if "base_stock " in line or "report: " in line]
    assert len(tables) >= 4
    assert {line.partition(" | ")[0] for line in tables} == names
    monkeypatch.chdir(tmp_path)
    assert runs([]) == 0
    shown = capsys.readouterr().out
    for pair in ("env.lead_time=1 env.holding_cost=1", "env.lead_time=2 env.holding_cost=3"):
        assert pair in shown
    for config in (tmp_path / "runs").glob("*/*/config.yaml"):  # all parameters, set or not
        told = yaml.safe_load(config.read_text())
        assert told["parameters"]["lead_time"] == told["env"]["lead_time"]
        assert told["parameters"]["lost_sale_cost"] > 0
        report = (config.parent / "report.html").read_text()
        assert "lost_sale_cost" in report
        assert "Heuristics, as tuned" in report


def test_labelled_lines_are_whole():
    stream = io.StringIO()
    one, other = Labelled(stream, "a"), Labelled(stream, "b")
    print("x\ny", file=one)
    one.write("half ")
    print("z", file=other)
    one.write("and half\n")
    one.flush()
    assert stream.getvalue() == "a | x\na | y\nb | z\na | half and half\n"


@pytest.mark.parametrize("task", ["LostSales", "SyntheticStore"])
def test_cfg_job_has_the_tasks_own_parameters(task, storelab, tmp_path):
    shown = storelab(tmp_path, "train", f"task={task}", "--cfg", "job", "--resolve")
    assert shown.status == 0, shown.err
    told = yaml.safe_load(shown.out)
    assert "???" not in shown.out
    assert told["env"]["lead_time"] is not None
    assert told["experiment"] == task
    assert not list(tmp_path.iterdir())
    unready = storelab(tmp_path, "train", "task=OnlineRetail", "--cfg", "job")
    assert unready.status == 0, unready.err
    assert yaml.safe_load(unready.out)["data"]["path"] == "???"


@pytest.mark.slow
def test_settings_of_another_environment_are_refused_and_the_general_ones_are_told(storelab, tmp_path):
    ended = storelab(tmp_path, "train", "task=LostSales", "agent=ppo_pricing", "--dry-run")
    assert ended.status == 2
    assert ended.err.startswith("agent: 'ppo_pricing' is not allowed with task=LostSales, expected agent=")
    small = ("agent.total_steps=64", "agent.num_envs=2", "agent.hyper.n_steps=8", "agent.hyper.batch_size=8")
    made = storelab(
        tmp_path, "train", "task=FixedCost", "agent=ppo", *HEURISTICS[1:], *small, "evaluation.curve_episodes=2"
    )
    assert made.status == 0, made.err
    note = "agent=ppo: its settings are the general ones; found for FixedCost are those of agent=ppo_fixed_cost"
    assert note in made.out
    assert note in (made.run / "report.html").read_text()
    plain = storelab(tmp_path, "train", "task=LostSales", "agent=ppo", "--dry-run")
    assert plain.status == 0


MINE = """
defaults:
  - train
  - override task: FixedCost
  - override agent: heuristics
  - _self_
hydra: {searchpath: ["pkg://storelab.conf"]}
evaluation: {episodes: 2, tuning_episodes: 2}
"""
APP = """
import hydra
from storelab.experiments.commands.train import train

@hydra.main(version_base="1.3", config_path="conf", config_name="mine")
def main(config):
    train(config)

main()
"""


@pytest.mark.slow
def test_a_search_path_in_a_config_of_ones_own(tmp_path):
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "mine.yaml").write_text(MINE)
    (tmp_path / "app.py").write_text(APP)

    def run(*words):
        env = os.environ | {"OMP_NUM_THREADS": "1"}
        return subprocess.run([sys.executable, "app.py", *words], cwd=tmp_path, env=env, capture_output=True, text=True)

    ended = run("env.horizon=120", "env.fixed_cost=20")
    assert ended.returncode == 0, ended.stderr
    (config,) = tmp_path.glob("runs/FixedCost/*/config.yaml")
    assert yaml.safe_load(config.read_text())["env"] == {"horizon": 120, "fixed_cost": 20}
    assert "horizn" in run("env.horizn=3").stderr
