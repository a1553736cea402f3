"""The configs: every YAML composes to its object, every bad one ends in one line with key and bound."""

import io
import os
import re
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import asdict
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

import pytest
import storelab.conf
from hydra import compose, initialize_config_module
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from storelab.envs.registry import entries, environments
from storelab.experiments import cli
from storelab.experiments.commands import compose as commands
from storelab.experiments.config.options import COMMANDS as TOPS
from storelab.experiments.config.options import keys, options, register
from storelab.experiments.config.settings import read
from storelab.experiments.inputs import build, started
from storelab.experiments.runs.folder import from_config, to_config
from storelab.forecasting import FORECASTERS

CONF = Path(storelab.conf.__file__).parent
COMMANDS = ("train", "tune", "demo", "backtest", "explain", "fit")
COMMANDS += ("benchmark", "evaluate", "dataset", "report", "watch", "mcp")
GROUPS = ("env", "task", "data", "forecaster", "agent", "evaluation")
FILES = [(path.parent.name, path.stem) for path in sorted(CONF.glob("*/*.yaml"))]
OPTIONS = [(group, option) for group, option in FILES if group not in ("sweep", "suite")]
OPTIONS += [*(("env", name) for name in environments()), *(("task", name) for name in entries())]
TASK_OF = {}  # environment -> a task that needs no data
for _name, _entry in entries().items():
    if _entry.optional_data or not _entry.data:
        TASK_OF.setdefault(_entry.environment, _name)
DATA_OF = {"synthetic": "SyntheticStore", "online_retail": "OnlineRetail", "vn2": "VN2", "panel": "Store"}
SWEEPS = [option for group, option in FILES if group == "sweep"]
SUITES = [option for group, option in FILES if group == "suite"]


def composed(command: str, *overrides: str):
    register()
    with initialize_config_module("storelab.conf", version_base="1.3"):
        return compose(command, overrides=list(overrides))


def test_the_groups_are_there():
    assert {group for group, _ in OPTIONS} == set(GROUPS)
    assert SWEEPS
    assert {path.stem for path in CONF.glob("*.yaml")} == {*COMMANDS, "common", "vn2"}


@pytest.mark.slow
@pytest.mark.parametrize(("group", "option"), OPTIONS)
def test_every_option_makes_its_object(group, option):
    extra = ["data.path=some/file.xlsx"] if "etail" in option or option in ("Store", "VN2", "vn2") else []
    extra += ["env.forecast=model"] if group == "forecaster" else []
    extra += [f"task={TASK_OF[option]}"] if group == "env" else []
    extra += [f"task={DATA_OF[option]}"] if group == "data" else []
    found = read(composed("train", f"{group}={option}", *extra))
    value = getattr(found, group)
    if group == "env":
        assert value == {}
    else:
        assert type(value) in options(group).values()
    if group == "agent" and option != "heuristics":
        assert value.name.lower() == option.partition("_")[0]
    if group == "task":
        assert value.name == option


@pytest.mark.parametrize("sweep", SWEEPS)
def test_every_job_of_a_sweep_composes(sweep):
    """With each first value and with each last one; its runs have a folder of the sweep's name."""
    register()
    with initialize_config_module("storelab.conf", version_base="1.3"):
        params = compose("train", [f"+sweep={sweep}"], return_hydra_config=True).hydra.sweeper.params
        for end in (0, -1):
            values = {key: value.split(",")[end] for key, value in params.items()}
            found = read(compose("train", [f"+sweep={sweep}", *(f"{key}={value}" for key, value in values.items())]))
            told = to_config(found)
            assert told["experiment"] == sweep
            for key, value in values.items():
                at = told
                for part in key.split("."):
                    at = at[part]
                assert str(at) == value


@pytest.mark.slow
@pytest.mark.parametrize("suite", SUITES)
def test_every_line_of_a_suite_is_a_task_with_a_learner_that_fits(suite, tmp_path):
    lines = composed("benchmark", f"suite={suite}").suite.entries
    assert len(set(lines)) == len(lines) > 0
    for line in lines:
        build(read(composed("train", *line.split(), "forecaster=moving_average", f"runs={tmp_path}")))


@pytest.mark.parametrize("path", sorted(CONF.rglob("*.yaml")), ids=lambda path: path.stem)
def test_every_field_is_commented(path):
    """Each file says what it is, each value what it means."""
    lines = path.read_text().splitlines()
    assert lines[0].startswith("# ")
    for line in "\n".join(lines).split("\nhydra:")[0].splitlines():
        value = re.fullmatch(r"\s*[\w]+: (?![|>]$)\S.*", line)
        assert not value or "  # " in line, f"{path.name}: {line}"


@pytest.mark.parametrize("option", list(FORECASTERS))
def test_forecasters_values_are_the_defaults(option):
    found = read(composed("train", f"forecaster={option}", "env.forecast=model"))
    assert found.forecaster == options("forecaster")[option]()


def test_values_of_data_and_evaluation_are_the_defaults():
    found = read(composed("train", "task=SyntheticStore"))
    default = options("data")["synthetic"]()
    assert asdict(found.data) == asdict(default) | {"items": found.data.items}
    assert found.evaluation == options("evaluation")["evaluation"]()


def test_settings_survive_the_run_folder():
    found = read(composed("train", "task=SyntheticStore", "env.lead_time=[1,2]", "env.capacity=inf", "agent=sac"))
    assert from_config(to_config(found)) == found


def test_what_is_not_needed_does_not_count():
    plain, other = composed("train"), composed("train", "forecaster=moving_average")
    assert to_config(read(plain)) == to_config(read(other))


def command_line(*args: str) -> tuple[int, str]:
    """Run `storelab train` up to what it starts from; return the exit status and what stderr got."""

    def prepared(config):
        chosen = read(config)
        build(chosen)
        started(chosen)

    before, argv = commands.work_of, sys.argv
    commands.work_of, sys.argv = lambda command: prepared, ["storelab", "train", *args]
    errors = io.StringIO()
    try:
        os.environ.pop("HYDRA_FULL_ERROR", None)
        with redirect_stderr(errors), redirect_stdout(io.StringIO()):
            return cli.main(), errors.getvalue()
    finally:
        commands.work_of, sys.argv = before, argv


EXACT = {
    "env.horizon=0": "env.horizon: 0 is not allowed, expected an integer >= 1 and <= 100000",
    "env.horizon=abc": "env.horizon: 'abc' is not allowed, expected an integer >= 1 and <= 100000",
    "env.horizn=5": "env.horizn: no such key, did you mean env.horizon?",
    "+env.horizn=5": "env.horizn: no such key, did you mean env.horizon?",
    "hydra.launcher.jobs=2": "hydra.launcher.jobs: no such key of Hydra's, expected one of "
    "`storelab train --cfg hydra`, or +hydra.launcher.jobs for a new one",
    "env.demand.meen=5": "env.demand.meen: no such key, did you mean env.demand.mean?",
    "env.lead_time=[1,x]": "env.lead_time: [1, 'x'] is not allowed, expected an integer >= 0 and <= 100",
    "env.action=push": "env.action: 'push' is not allowed, expected one of continuous, multi_discrete, discrete, base",
    "task.name=''": "task.name: '' is not allowed, expected one of ",
    "task=LostSale": "task: 'LostSale' is not allowed, expected one of ",
    "agent=pppo": "agent: 'pppo' is not allowed, expected one of ",
    "agent=1": "agent: '1' is not allowed, expected one of a2c, ",
    "agent=false": "agent: 'False' is not allowed, expected one of a2c, ",
    "data=0.5": "data: '0.5' is not allowed, expected one of online_retail, ",
    "agent=null": "agent: not an option, expected agent=NAME",
    "seed=-1": "seed: -1 is not allowed, expected an integer >= 0",
    "seed=0,1": "seed=0,1: several values are not allowed, expected one, or --multirun to sweep over them",
    "experiment=../x": "experiment: '../x' is not allowed, expected letters, digits",
    "env.horizon==3": "env.horizon==3: not readable, expected key=value",
    "env.horizon=${nothing}": "${nothing}: Interpolation key 'nothing' not found",
    "--experimental-rerun=x": "--experimental-rerun=x: no such flag, expected one of ",
    "data=online_retail": "data.path: not set, expected data.path=VALUE",
    "data=synthetic": "data: synthetic is not allowed with task=LostSales, expected data=null",
    "env=pricing": "env: pricing is not allowed with task=LostSales, expected env=inventory",
    "env.forecast=model": "env.forecast: 'model' is not allowed, expected a source with forecasts of shape (1, 7), not",
    "~agent": "agent: not an option, expected agent=NAME",
    "agent.gamma=2": "agent.gamma: 2.0 is not allowed, expected a number >= 0 and <= 1",
    "agent=sac": "agent.algorithm: 'SAC' is not allowed with actions Discrete(13), expected action=continuous",
    "evaluation.episodes=0": "evaluation.episodes: 0 is not allowed, expected an integer >= 2",
    "forecaster.d_model=7": "forecaster.d_model: 7 is not allowed, expected a multiple of heads (4)",
}


@pytest.mark.slow
@pytest.mark.parametrize(("override", "line"), EXACT.items(), ids=EXACT)
def test_errors_are_one_line(override, line):
    status, errors = command_line(override)
    assert (status, errors.count("\n")) == (2, 1)
    assert errors.startswith(line)


def test_recorded_prices_are_no_plan():
    """A bulk order's rebate would give the order away."""
    status, errors = command_line("task=OnlineRetail", "data.path=nowhere.csv", "env.forecast=model")
    assert status == 2
    assert errors.startswith("forecaster.planned: true is not allowed with data=online_retail, expected false")


def test_valid_ones_pass():
    assert command_line("env.horizon=60", "env.lead_time=2", "agent=a2c", "env.demand.mean=3") == (0, "")
    assert command_line("task=SyntheticStore", "data.items=4", "env.holding_cost=[1,2,3,4]", "agent=sac") == (0, "")


def test_a_traceback_for_who_asks(tmp_path):
    command = [sys.executable, "-m", "storelab.experiments.cli", "train", "env.horizon=0"]
    plain = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert plain.returncode == 2
    assert plain.stderr.splitlines() == ["env.horizon: 0 is not allowed, expected an integer >= 1 and <= 100000"]
    assert plain.stdout == ""
    ask = os.environ | {"STORELAB_TRACEBACK": "1"}
    asked = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=ask)
    assert "Traceback" in asked.stderr
    assert not list(tmp_path.iterdir())


def keys_of(prefix: str, kind: type) -> set[str]:
    """All keys of a schema."""
    hints = get_type_hints(kind)
    nested = [keys_of(f"{prefix}{n}.", h) for n, h in hints.items() if hasattr(h, "__dataclass_fields__")]
    return {prefix + name for name in hints}.union(*nested)


def _hints() -> dict[str, Any]:
    """Key -> type, of all values that can be wrong: free text can't."""
    found = {}
    for group in ("", *GROUPS):
        for kind in options(group).values() if group else [TOPS["train"]]:
            for name, hint in get_type_hints(kind).items():
                key = f"{group}.{name}" if group else name
                if hasattr(hint, "__dataclass_fields__"):
                    found |= {f"{key}.{n}": h for n, h in get_type_hints(hint).items()}
                elif key not in (*GROUPS, "runs", "experiment", *FOLDERS):  # any text names a folder
                    found[key] = hint
    return found


NEEDS = {"data.path": ["task=OnlineRetail"], "data": ["task=SyntheticStore"], "forecaster": ["forecaster=transformer"]}
FOLDERS = ("data.path", "forecaster.checkpoint", "forecaster.checkpoints", "forecaster.tensorboard")
KEYS = {name: keys_of("env.", schema) for name, schema in options("env").items()}
UNBOUNDED = ("env.capacity", "env.budget")
EMPTY, NEGATIVE = ["''"], ["-1", "-0.5"]
ALLOWED = {"agent.start": EMPTY, "forecaster.pretrained": EMPTY, "env.models": EMPTY, "forecaster.leaves": ["3"]}
ALLOWED |= {"agent.log_std_init": NEGATIVE, "env.outside": NEGATIVE}
HUGE = ["1e300", "99999999999999999999", "-1e300", "inf"]


def bad_values(key: str, hint) -> list[str]:
    """Overrides' values that a key of this type can't take."""
    allowed = [*ALLOWED.get(key, []), *(["null"] if type(None) in get_args(hint) else [])]
    return [value for value in _odd_values(key, hint) if value not in allowed]


def _odd_values(key: str, hint) -> list[str]:
    if get_origin(hint) in (list, tuple) or hint is dict or get_origin(hint) is dict:
        inner = [] if get_origin(hint) is dict else ["[a]", "[nan]", "[-1]", "[{a: 1}]", "[null]", "[-1,2]", "[1e300]"]
        return ["abc", "3", "null", *inner]
    if hint is bool:
        return ["abc", "[]", "null", "{a: 1}", "1.5x"]
    if hint is str:
        return ["abc", "[a]", "{a: 1}", "null", "''"]
    huge = HUGE[:3] if key not in UNBOUNDED else HUGE[2:3]
    if key in ("env.demand.utility", "env.restock"):
        return ["abc", "nan", "null", "{a: 1}", "[x]", "[[1]]", *huge]
    return ["abc", "nan", "-1", "-0.5", "null", "{a: 1}", "[x]", "[[1]]", "''", *huge]


@st.composite
def hostile(draw, hints):
    """A bad override with those that it needs, and the key that is at fault."""
    key = draw(st.sampled_from(sorted(hints)))
    group = key.partition(".")[0]
    having = {name for name, schema in options("forecaster").items() if key.split(".")[-1] in get_type_hints(schema)}
    needs = [f"forecaster={sorted(having)[0]}"] if group == "forecaster" else NEEDS.get(group, [])
    if group == "env" and key not in KEYS["inventory"]:
        needs = [f"task={next(task for name, task in TASK_OF.items() if key in KEYS[name])}"]
    if draw(st.integers(0, 4)) == 0:  # a key that isn't there
        place = draw(st.integers(len(group) + 1 if "." in key else 0, len(key)))
        key = key[:place] + draw(st.sampled_from("xq")) + key[place:]
        return [*needs, draw(st.sampled_from(["", "+"])) + f"{key}=1"], key
    return [*needs, f"{key}={draw(st.sampled_from(bad_values(key, hints[key])))}"], key


def test_hostile_configs(share):
    @settings(max_examples=share(500), phases=[Phase.generate])  # a line is short already, and costs some tenths
    @given(hostile(_hints()))
    def each(case):
        overrides, key = case
        status, errors = command_line(*overrides)
        assert status == 2, overrides
        assert errors.count("\n") == 1, errors
        named = re.match(r"[\w.]+", errors)[0]  # the key, or the part of it that is wrong
        assert key.startswith(named.rstrip(".")) or named.startswith(f"{key}."), (overrides, errors)
        assert re.search(r"expected|allowed|did you mean|only with", errors), errors

    each()


def test_keys_are_those_of_the_schemas():
    assert {"seed", "env.demand.mean", "agent.total_steps", "forecaster.season", "data.items"} <= set(keys())
    assert all(get_args(hint) != () or hint is not None for hint in _hints().values())
