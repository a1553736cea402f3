"""The command line: help, unknown commands, completion as a shell asks for it, and what stays unloaded."""

import importlib.metadata
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

COMMANDS = (
    "train",
    "tune",
    "backtest",
    "explain",
    "fit",
    "benchmark",
    "evaluate",
    "watch",
    "mcp",
    "dataset",
    "report",
    "demo",
    "runs",
    "serve",
    "check",
    "audit",
    "forget",
    "encrypt",
    "doctor",
)
GROUPS = ("agent", "data", "env", "evaluation", "forecaster", "task")
LEARNING = ("torch", "transformers", "stable_baselines3")
HEAVY = (*LEARNING, "hydra", "omegaconf", "matplotlib")
SCRIPT = Path(sys.executable).with_name("storelab")


@pytest.mark.parametrize("args", [(), ("--help",), ("-h",), ("help",)])
def test_help_names_every_command(args, storelab, tmp_path):
    shown = storelab(tmp_path, *args)
    assert (shown.status, shown.err) == (0, "")
    for name in COMMANDS:
        assert f"\n  {name} " in shown.out


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_each_command(command, storelab, tmp_path):
    shown = storelab(tmp_path, command, "--help")
    assert (shown.status, shown.err) == (0, "")
    assert f"storelab {command}" in shown.out
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_help_of_train_lists_groups_options_and_keys(storelab, tmp_path):
    shown = storelab(tmp_path, "train", "--help").out
    for group in GROUPS:
        assert f"\n{group}: " in shown
    for words in ("ppo_store, rollout, sac, td3", "InventoryBench, LostSales", "checkpoint_every: null", "--multirun"):
        assert words in shown
    chosen = storelab(tmp_path, "train", "--help", "agent=sac").out
    assert "algorithm: SAC" in chosen


@pytest.mark.parametrize(
    ("args", "line"),
    [
        (("trian",), "trian: no such command, did you mean train?"),
        (
            ("xyz", "a=1"),
            f"xyz: no such command, expected one of {', '.join(COMMANDS)}",
        ),
        (("evaluate",), "run: not set, expected run=VALUE"),
        (("report", "run=nowhere"), "run: 'nowhere' is not allowed, expected the folder of a finished run"),
        (("report", "rn=x"), "rn: no such key, did you mean run?"),
        (("evaluate", "run=x", "evaluation.episods=3"), "evaluation.episods: no such key, did you mean "),
    ],
)
def test_bad_lines_end_in_one_line(args, line, storelab, tmp_path):
    ended = storelab(tmp_path, *args)
    assert ended.status == 2
    assert ended.err.startswith(line)
    assert ended.err.count("\n") == 1
    assert ended.out == ""


def completed(storelab, folder, line: str) -> list[str]:
    """What the shell is offered for a line, asked as Hydra's bash function does."""
    shown = storelab(folder, "-sc", "query=bash", COMP_LINE=line, COMP_POINT=str(len(line)))
    assert (shown.status, shown.err) == (0, "")
    return shown.out.split()


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("storelab ", list(COMMANDS)),
        ("storelab t", ["train", "tune"]),
        ("storelab d", ["dataset", "demo", "doctor"]),
        ("storelab x", []),
        ("storelab train agent=s", ["agent=sac"]),
        ("storelab b", ["backtest", "benchmark"]),
        ("storelab backtest forecaster=t", ["forecaster=transformer", "forecaster=tsb"]),
        ("storelab backtest hor", ["horizon="]),
        ("storelab train task=LostSales agent=ppo_s", ["agent=ppo_store"]),
        ("storelab train data=", ["data=online_retail", "data=panel", "data=synthetic", "data=vn2"]),
        ("storelab train agent=sac agent.thr", ["agent.threads="]),
        ("storelab train env.dem", ["env.demand."]),
        ("storelab report ru", ["run="]),
        ("storelab nonsense agent=", []),
        ("storelab doctor ", []),
    ],
)
def test_completion(line, offered, storelab, tmp_path):
    assert completed(storelab, tmp_path, line) == offered


def test_completion_offers_groups_and_keys(storelab, tmp_path):
    offered = completed(storelab, tmp_path, "storelab train ")
    assert {f"{group}=" for group in GROUPS} | {"seed=", "runs=", "checkpoint_every="} <= set(offered)


@pytest.mark.skipif(not (shutil.which("bash") and SCRIPT.exists()), reason="needs bash and the console script")
def test_completion_in_bash(tmp_path):
    """What `--help` tells to evaluate, evaluated; then a line is completed as bash does it."""
    script = """
eval "$(storelab -sc install=bash)" && complete -p storelab
COMP_LINE="storelab train agent=t" COMP_POINT=22 COMP_WORDS=(storelab train agent=t) COMP_CWORD=2
hydra_bash_completion
echo "${COMPREPLY[@]}"
"""
    env = os.environ | {"PATH": f"{SCRIPT.parent}:{os.environ['PATH']}"}
    bash = subprocess.run(["bash", "-c", script], capture_output=True, text=True, cwd=tmp_path, env=env)
    assert bash.returncode == 0, bash.stderr
    assert "hydra_bash_completion storelab" in bash.stdout
    assert bash.stdout.splitlines()[-1] == "agent=td3"


@pytest.mark.parametrize(
    ("args", "unloaded"),
    [
        (["--help"], HEAVY),
        (["nonsense"], HEAVY),
        (["doctor", "--help"], HEAVY),
        (["check", "--help"], HEAVY),
        (["train", "--help"], LEARNING),
        (["-sc", "query=bash"], LEARNING),
    ],
)
def test_what_needs_no_library_loads_none(args, unloaded):
    code = (
        "import atexit, sys; import storelab.experiments.cli as cli;"
        f"atexit.register(lambda: print('\\nloaded', [name for name in {unloaded} if name in sys.modules]));"
        f"sys.argv = ['storelab', *{args}]; cli.main()"
    )
    env = os.environ | {"COMP_LINE": "storelab train agent=", "COMP_POINT": "21"}
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env)
    assert shown.stdout.splitlines()[-1] == "loaded []", shown.stderr


def test_flags_may_stand_anywhere(storelab, tmp_path):
    """Also between overrides, where Hydra's own parser refuses the rest of them."""
    for args in (("--cfg", "job", "seed=3", "agent=sac"), ("seed=3", "--cfg", "job", "agent=sac")):
        shown = storelab(tmp_path, "train", *args)
        assert (shown.status, shown.err) == (0, "")
        assert "seed: 3" in shown.out
        assert "algorithm: SAC" in shown.out


def test_a_reader_that_leaves_gets_no_traceback(tmp_path):
    """`storelab train --help | head -1`"""
    command = [sys.executable, "-m", "storelab.experiments.cli", "train", "--help"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=tmp_path, text=True)
    process.stdout.close()
    assert process.stderr.read() == ""
    process.stderr.close()
    assert process.wait() == 1


DEMO = (
    *("demo", "data.items=2", "data.days=400", "forecaster.params.transformer.fine_tune_steps=2"),
    *("env.horizon=28", "agent.num_envs=4"),
    *("evaluation.episodes=4", "evaluation.tuning_episodes=2", "evaluation.curve_episodes=2", "agent.total_steps=900"),
    *("checkpoint_every=100", "agent.hyper.batch_size=56"),
)


@pytest.mark.slow
def test_what_a_demo_writes_to_a_file_is_short(storelab, tmp_path):
    """Bars are for terminals: neither learner nor forecaster, tuning nor evaluation draws one here."""
    ended = storelab(tmp_path, *DEMO)
    assert ended.status == 0, ended.err
    assert len((ended.out + ended.err).encode()) < 10_000
    assert "\r" not in ended.out + ended.err
    assert "it/s" not in ended.err
    assert "%|" not in ended.out + ended.err


def test_the_module_is_the_command(tmp_path):
    for command in ([sys.executable, "-m", "storelab"], [str(SCRIPT)] if SCRIPT.exists() else []):
        if command:
            shown = subprocess.run([*command, "--version"], capture_output=True, text=True, cwd=tmp_path)
            assert (shown.returncode, shown.stdout) == (0, f"storelab {importlib.metadata.version('storelab')}\n")


def test_benchmark_without_a_suite_says_which_there_are(storelab, tmp_path):
    ended = storelab(tmp_path, "benchmark")
    assert (ended.status, ended.err.count("\n")) == (2, 1)
    assert ended.err.startswith(
        "suite: not set, expected benchmark SUITE, one of dispatch, inventory, marketplace, pricing, "
        "or vn2, inventorybench, euro_neurips, gym_invmgmt"
    )
