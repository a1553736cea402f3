"""What people type: whatever it is, a command line composes or ends in one line that says what is allowed."""

import io
import os
import shlex
import sys
from contextlib import redirect_stderr, redirect_stdout

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from storelab.experiments import cli
from storelab.experiments.commands import compose as commands
from storelab.experiments.config.settings import read
from storelab.experiments.config.words import override
from storelab.experiments.inputs import build


@pytest.fixture
def line(tmp_path, monkeypatch):
    """Return a function that runs `storelab train` up to the built task: its status, its errors, its configs."""
    monkeypatch.chdir(tmp_path)

    def run(*args: str, command: str = "train"):
        seen, errors = [], io.StringIO()

        def work(config):
            seen.append(read(config))
            build(seen[-1])

        monkeypatch.setattr(commands, "work_of", lambda command: work)
        monkeypatch.setattr(sys, "argv", ["storelab", command, *args])
        os.environ.pop("HYDRA_FULL_ERROR", None)
        with redirect_stderr(errors), redirect_stdout(io.StringIO()):
            status = cli.main()
        return status, errors.getvalue(), seen

    return run


ONE_LINE = {
    "data=null env=null": "env: not an option, expected env=NAME",
    "env=[1,2]": "env: [1,2] is not allowed, expected names of options",
    "agent=[]": "agent: [] is not allowed, expected names of options",
    "=3": "=3: not readable, expected key=value",
    "seed": "seed: not readable, expected key=value",
    "+seed=3": "seed: there already, expected seed=3 without +",
    "+agent=sac": "agent: chosen already, expected agent=NAME without +",
    "~nothing": "~nothing: no such key, expected one that there is",
    "agent.periods=3": "agent.periods: no such key here, only with agent=pathwise",
    "agent.horizon=3": "agent.horizon: no such key, did you mean env.horizon?",
    "env.gamma=.9": "env.gamma: no such key, did you mean agent.gamma?",
    "agent.gama=.9": "agent.gama: no such key, did you mean agent.gamma?",
    "agent.hyper.clip_range=.1": "agent.hyper.clip_range: not in the file, expected +agent.hyper.clip_range=VALUE",
    "--config-dir": "argument --config-dir/-cd: expected one argument",
    "--cfg nonsense": "argument --cfg/-c: invalid choice: 'nonsense'",
    "-cn other": "-cn: no such flag, expected one of ",
    "--config-path=x": "--config-path=x: no such flag, expected one of ",
    "--config-dir nowhere": "train: the configuration cannot be composed: Additional config directory '",
    "hydra.sweeper.foo=1": "hydra.sweeper.foo: no such key of Hydra's",
    "hydra/sweeper=none": "hydra/sweeper: 'none' is not allowed, expected one of basic",
    "hydra/launcher=nope": "hydra/launcher: 'nope' is not allowed, expected one of basic",
    "task=LostSales env=pricing": "env: pricing is not allowed with task=LostSales, expected env=inventory",
    "seed=${oc.env:STORELAB_NOT_SET}": "seed: the environment variable STORELAB_NOT_SET is not set",
    "env.price=${env.holding_cost} env.holding_cost=${env.price}": "env.price: Recursive interpolation detected",
    "runs=${nothing}": "${nothing}: Interpolation key 'nothing' not found",
}


@pytest.mark.slow
@pytest.mark.parametrize("words", ONE_LINE)
@pytest.mark.parametrize("sweep", [[], ["--multirun", "seed=0,1"]], ids=["one", "sweep"])
def test_one_line_says_what_is_allowed(words, sweep, line):
    if sweep and words.startswith(("+seed", "seed", "--config-dir", "env.price", "runs")):
        sweep = ["--multirun"]
    status, errors, _ = line(*sweep, *words.split(" "))
    assert status == 2, errors
    assert errors.startswith(ONE_LINE[words]), errors
    assert "did you mean " + words.partition("=")[0] + "?" not in errors
    told = errors.splitlines()
    assert len(told) == 1 or (sweep and "of the sweep's jobs failed:" in errors), errors
    assert "Traceback" not in errors


@pytest.mark.slow
@pytest.mark.parametrize(
    ("written", "value"),
    [(".inf", float("inf")), ("inf", float("inf")), (".Inf", float("inf")), ("1e3", 1000.0), ("+.inf", float("inf"))],
)
def test_numbers_as_yaml_writes_them(written, value, line, tmp_path):
    status, errors, (on_line,) = line(f"env.capacity={written}")
    assert (status, errors) == (0, "")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "own.yaml").write_text(f"# @package _global_\nenv:\n  capacity: {written}\n")
    status, errors, (in_file,) = line("--config-dir", str(tmp_path), "+mine=own")
    assert (status, errors) == (0, "")
    assert on_line.env["capacity"] == in_file.env["capacity"] == value
    for refused in ("-.inf", ".nan", "-inf", "nan"):
        assert line(f"env.capacity={refused}")[1].startswith("env.capacity: "), refused


def test_whole_numbers_may_be_written_as_powers_of_ten(line, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "own.yaml").write_text(
        "# @package _global_\nagent:\n  total_steps: 3e4\n  hyper: {n_steps: 2e1}\n"
    )
    _, _, (in_file,) = line("--config-dir", str(tmp_path), "+mine=own")
    _, _, (on_line,) = line("agent.total_steps=3e4", "agent.hyper.n_steps=2e1")
    for found in (in_file, on_line):
        assert found.agent.total_steps == 30_000
        assert found.agent.hyper["n_steps"] == 20
        assert type(found.agent.total_steps) is type(found.agent.hyper["n_steps"]) is int
    assert line("agent.total_steps=1.5")[1].startswith("agent.total_steps: '1.5' is not allowed, expected an integer")


@pytest.mark.parametrize("name", ["Sales (2).csv", "Données.csv", "a b.csv", "x[1].csv", "a'b.csv", 'say "x".csv'])
def test_paths_that_need_quotes(name, line, tmp_path):
    """The line that is told works as it stands in a shell."""
    (tmp_path / name).write_text("")
    status, errors, _ = line("task=OnlineRetail", f"data.path={tmp_path / name}")
    assert status == 2
    told = errors.strip().partition("needs quotes: ")[2]
    assert bool(told) == ("not readable, expected key=value" in errors), errors
    (word,) = shlex.split(told) if told else (f"data.path={tmp_path / name}",)  # blanks alone need none
    errors = line("task=OnlineRetail", word)[1]
    assert "not readable, expected key=value" not in errors


def test_a_tilde_is_the_home_folder(line, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    for word in ("runs=~/elsewhere", 'runs="~/elsewhere"', "runs='~/elsewhere'"):
        _, _, (found,) = line(word)
        assert found.top.runs == str(tmp_path / "elsewhere")
    assert override("runs=a/b") == "runs=a/b"


BROKEN = {
    "defaults: [": "agent",
    "a: b: c": "agent",
    "algorithm: PPO\nalgorithm: A2C\n": "agent",
    "- 1\n- 2\n": "agent",
    "algorithm: PPO\nlearning_rate: 0.1\n": "agent: a mapping without a schema, expected a file that begins with ",
    "defaults: [/schema/sb3@_here_, nowhere]\n": "agent/nowhere",
    "defaults: 3\n": "",
    "defaults: [/schema/sb3@_here_, _self_]\nlearning_rate: ${learning}\n": "${learning}",
    "defaults: [/schema/sb3@_here_, _self_]\nlearning_rate: fast\n": "agent.learning_rate: 'fast' is not allowed",
    "defaults: [/schema/sb3@_here_, _self_]\nlearning_rte: 0.1\n": "agent.learning_rte: no such key, did you mean",
    "": "agent: not an option",
    "\x00": "",
    "3\n": "",
}


@pytest.mark.parametrize("text", BROKEN)
def test_a_broken_file_of_ones_own(text, line, tmp_path):
    (tmp_path / "agent").mkdir()
    (tmp_path / "agent" / "own.yaml").write_text(text)
    status, errors, _ = line("--config-dir", str(tmp_path), "agent=own")
    assert (status, errors.count("\n")) == (2, 1), errors
    assert BROKEN[text] in errors


GROUPS = ["task", "data", "env", "forecaster", "agent", "evaluation", "hydra/launcher", "hydra/sweeper", "sweep"]
KEYS = (
    *("seed", "runs", "experiment", "env.lead_time", "env.demand.mean", "env.demand", "agent.gamma", "agent.net_arch"),
    *("agent.hyper", "agent.hyper.n_steps", "evaluation.episodes", "forecaster.window", "task.name", "env", "tracker"),
    *("hydra.sweeper.params", "hydra.launcher", "hydra.mode", "hydra.job.name", "hydra.sweep.dir", "nothing", "data.x"),
    *("hydra.job.num", "hydra.verbose", "hydra.searchpath", "hydra.sweeper.max_batch_size", "_self_", "defaults"),
)
VALUES = (
    *("", "null", "1", "-1", "1e3", ".inf", "nan", "true", "[]", "{}", "[1,2]", "{a:1}", "'", '"', "'x", "a b", "é"),
    *("${seed}", "${oc.env:NOPE}", "${oc.env:NOPE,3}", "${a", "$", "~", "~/x", "a=b", "0,1", "range(3)", "choice(1,2)"),
    *(
        "interval(0,1)",
        "glob(*)",
        "sort(1,2)",
        "shuffle(1,2)",
        "int(3)",
        "str(x)",
        "\\",
        "a,b",
        "ppo",
        "sac,ppo",
        "(1)",
    ),
    *("@x", "???", "_global_", "1_000", "0x10", "nul\x00", "\n", "x" * 300, "${env}", "${hydra:job.num}", "${now:%Y}"),
)
FLAGS = ["--multirun", "-m", "--dry-run", "--fail-fast", "--resolve", "--run", "-p", "-cd", "-c", "--package=env", "-i"]
WORD = st.builds(
    lambda mark, key, package, equals, value: f"{mark}{key}{package}{equals}{value}",
    st.sampled_from(["", "", "", "+", "++", "~"]),
    st.sampled_from([*GROUPS, *KEYS]),
    st.sampled_from(["", "", "", "", "@env", "@", "@_global_"]),
    st.sampled_from(["=", "=", "=", "=", "", "=="]),
    st.one_of(st.sampled_from(VALUES), st.text(max_size=8)),
)


def test_no_command_line_ends_in_a_traceback(line, share):
    @settings(max_examples=share(300), suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(st.lists(st.one_of(WORD, WORD, WORD, st.sampled_from(FLAGS)), min_size=1, max_size=3))
    def each(words):
        os.environ.pop("NOPE", None)
        status, errors, _ = line(*words, command="train")
        assert status in (0, 2), (words, errors)
        assert "Traceback" not in errors, (words, errors)
        told = errors.splitlines()
        assert bool(told) == bool(status), (words, errors)
        assert len(told) <= 1 or "of the sweep's jobs failed:" in errors, (words, errors)

    each()


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("data.day_first=perhaps", "true or false or null"),
        ("data.covariates=display", "a list such as [a,b], each text"),
        ("data.columns=sku", "a mapping such as {a: b}"),
        ("data.price=dear", "a number"),
    ],
)
def test_a_value_of_another_type_is_told_what_is_allowed(line, word, expected):
    status, errors, _ = line("task=Store", "data.path=sales.csv", word)
    key, _, value = word.partition("=")
    assert (status, errors.count("\n")) == (2, 1)
    assert errors.startswith(f"{key}: {value!r} is not allowed, expected {expected}")


@pytest.mark.parametrize("word", ["hydra.sweeper.params.seed=1", "+hydra.sweeper.params.seed=1", "hydra=null"])
def test_a_key_of_hydras_own_that_cannot_be_set_is_named(line, word):
    status, errors, _ = line(word)
    assert (status, errors.count("\n")) == (2, 1)
    assert errors.startswith(f"{word.lstrip('+').partition('=')[0]}: cannot be set so")
