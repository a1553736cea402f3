"""Completion without Hydra: its options are those that there are, its keys are keys, and it loads little."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import storelab.conf
from hydra import compose, initialize_config_module
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf
from storelab.envs.registry import entries, environments
from storelab.experiments.completion import MADE, complete
from storelab.experiments.config.options import keys, options, register

CONF = Path(storelab.conf.__file__).parent


def written(group: str) -> set[str]:
    """Return the options that files make."""
    return {path.stem for path in (CONF / group).glob("*.yaml")}


@pytest.mark.parametrize("group", ["data", "env", "task", "forecaster", "agent", "dataset", "model", "suite"])
def test_the_options_are_those_that_there_are(group):
    command = "fit" if group in MADE and group != "data" else "benchmark" if group == "suite" else "train"
    offered = {word.partition("=")[2] for word in complete(command, [], f"{group}=")}
    known = {"task": set(entries()), "env": set(environments()), "agent": set(), "suite": set()}
    assert offered == known.get(group, set(options(group)) if group not in known else set()) | written(group)


def test_what_is_offered_goes_on():
    assert complete("train", [], "agent=s") == ["agent=sac"]
    assert complete("train", [], "agent=sac,t") == ["agent=sac,td3"]
    assert complete("train", ["agent=pathwise"], "agent.look") == ["agent.lookahead="]
    assert complete("train", ["agent=sac"], "agent.look") == []
    assert complete("train", ["task=Pricing"], "env.prices") == ["env.prices="]
    assert complete("train", [], "+agent.gam") == ["+agent.gamma="]
    assert complete("train", [], "--dry") == ["--dry-run"]
    assert "agent.normalize_reward=true" in complete("train", [], "agent.normalize_reward=")


def test_options_of_a_folder_of_ones_own(tmp_path):
    (tmp_path / "agent").mkdir()
    (tmp_path / "agent" / "quick.yaml").write_text("")
    for words in (["--config-dir", str(tmp_path)], [f"--config-dir={tmp_path}"], ["-cd", str(tmp_path)]):
        assert complete("train", words, "agent=q") == ["agent=quick"]


COMMANDS = ["train", "tune", "demo", "backtest", "explain", "fit", "evaluate", "dataset", "report"]


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(COMMANDS),
    st.sampled_from(["", "e", "agent.", "env.d", "forecaster.", "data.", "run", "evaluation."]),
)
def test_the_keys_are_keys(command, last):
    for word in complete(command, [], last):
        assert word.startswith(last)
        assert word.rstrip("=.") in keys(command)


def test_every_key_of_the_whole_config_is_offered():
    register()
    with initialize_config_module("storelab.conf", version_base="1.3"):
        config = OmegaConf.to_container(compose("train", ["task=LostSales"]))
    for group in ("env", "agent", "evaluation"):
        offered = {word.rstrip("=.") for word in complete("train", ["task=LostSales"], f"{group}.")}
        assert offered == {f"{group}.{key}" for key in config[group]} - ({f"{group}.hyper"} - offered)


def test_a_key_loads_neither_hydra_nor_pandas_nor_torch():
    code = (
        "import atexit, sys; import storelab.experiments.cli as cli;"
        "heavy = ('hydra', 'omegaconf', 'torch', 'pandas', 'scipy');"
        "atexit.register(lambda: print([m for m in heavy if m in sys.modules]));"
        "sys.argv = ['storelab', '-sc', 'query=bash']; cli.main()"
    )
    env = os.environ | {"COMP_LINE": "storelab train env.dem", "COMP_POINT": "22"}
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env)
    assert shown.stdout.splitlines() == ["env.demand.", "[]"], shown.stderr
