"""The examples run as they are, with fewer steps, and the list of them is whole."""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1] / "examples"
SHORT = {  # example -> arguments of a short run, and what it needs
    "own_heuristic": (["16", "16"], "pandas"),
    "torch_pathwise": (["3", "16"], "torch"),
    "sb3_ppo": (["4096", "16"], "stable_baselines3"),
    "cleanrl_ppo": (["16384"], "torch"),
    "pettingzoo_duopoly": (["2000"], "pettingzoo"),
    "torchrl_ppo": (["1000"], "torchrl"),
    "rllib_ppo": (["1", "200"], "ray"),
    "openenv_store": (["LostSales"], "openenv"),
}
SERVERS = {"stand_in_server"}  # that run until they are ended: tests/agents/llm has them
HEAVY = {"torchrl_ppo", "rllib_ppo", "openenv_store"}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] if name in HEAVY else []) for name in SHORT]
)
def test_an_example_runs(name, tmp_path):
    arguments, package = SHORT[name]
    if find_spec(package) is None:
        pytest.skip(f"{package} is not installed")
    command = [sys.executable, FOLDER / f"{name}.py", *arguments]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) >= 1


def test_every_example_is_run_and_listed():
    files = {path.stem for path in FOLDER.glob("*.py")}
    assert files == {*SHORT, *SERVERS}
    listed = (FOLDER / "README.md").read_text()
    assert all(f"[{name}.py]({name}.py)" in listed for name in files)
