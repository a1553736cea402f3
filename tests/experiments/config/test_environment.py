"""Values of the environment are used, and written nowhere: each file of a run and all that is printed is searched."""

import json
import os

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from storelab.data import SyntheticStoreParams, generate
from storelab.errors import FieldError
from storelab.experiments.config.environment import expanded, opened, sealed, texts

SECRET = "s3cr3t-pl4ce"
BACKTEST = (
    *("backtest", "data=panel", "data.path=${oc.env:SHOP}/days.csv", "forecaster=moving_average"),
    *("baselines=[seasonal_naive]", "horizon=7", "origins=2", "least_sales=1", "runs=${oc.env:PLACE}/runs"),
)


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / SECRET
    folder.mkdir()
    panel = generate(SyntheticStoreParams(items=3, days=300)).panel
    panel.to_frame().to_csv(folder / "days.csv", index=False)
    return folder


def written(folder) -> list[str]:
    """The files below a folder that hold the secret."""
    return [str(path) for path in folder.rglob("*") if path.is_file() and SECRET.encode() in path.read_bytes()]


@pytest.mark.slow
def test_a_run_with_data_of_the_environment(tmp_path, storelab, shop):
    place = tmp_path / "place"
    around = {"SHOP": str(shop), "PLACE": str(place)}
    done = storelab(tmp_path, *BACKTEST, **around)
    assert done.status == 0, done.err
    assert SECRET not in done.out + done.err
    assert not written(tmp_path)
    (run,) = place.glob("runs/backtest/*")
    config = yaml.safe_load((run / "config.yaml").read_text())
    assert config["data"]["path"] == "${oc.env:SHOP}/days.csv"
    assert config["runs"] == "${oc.env:PLACE}/runs"
    assert list(config["environment"]) == ["data.path"]
    assert "nothing to do" in storelab(tmp_path, *BACKTEST, **around).out  # the same value: the same run
    again = storelab(tmp_path, "report", f"run={run}", SHOP=str(shop))  # PLACE is not needed to read it
    assert again.status == 0, again.err
    other = storelab(tmp_path, "report", f"run={run}", SHOP=str(tmp_path))
    assert (other.status, other.err.count("\n")) == (2, 1)
    assert "data.path" in other.err
    assert "stands for another value" in other.err
    unset = storelab(tmp_path, "report", f"run={run}")
    assert "the variable SHOP in the environment" in unset.err
    index = storelab(tmp_path, "runs", "list", f"runs={place / 'runs'}")
    assert SECRET not in index.out + index.err
    assert not written(tmp_path)


def test_another_value_is_another_run(tmp_path, storelab, shop):
    around = {"SHOP": str(shop), "PLACE": str(tmp_path)}
    first = storelab(tmp_path, *BACKTEST, "--dry-run", **around)
    (tmp_path / "days.csv").write_bytes((shop / "days.csv").read_bytes())
    second = storelab(tmp_path, *BACKTEST, "--dry-run", **around | {"SHOP": str(tmp_path)})
    assert "would start" in first.out
    assert first.out != second.out


@pytest.mark.slow
def test_jobs_of_a_sweep_and_runs_done_anew_write_no_value(tmp_path, storelab, shop):
    place = tmp_path / "place"
    around = {"SHOP": str(shop), "PLACE": str(place)}
    would = storelab(tmp_path, *BACKTEST, "--dry-run", **around)
    for more in (["--multirun", "origins=2,1"], ["--rerun"]):
        done = storelab(tmp_path, *BACKTEST, *more, **around)
        assert done.status == 0, done.err
        assert SECRET not in done.out + done.err
    assert not written(tmp_path)
    runs = sorted(path.name for path in place.glob("runs/backtest/*-s0*"))
    assert len(runs) == 3, runs  # two of the sweep, one of them done anew
    assert would.out.split(" would start")[0].rpartition("/")[2] in runs


def test_the_runs_of_a_search_write_no_value(tmp_path, storelab, shop):
    pytest.importorskip("optuna")
    small = ("agent.total_steps=64", "agent.num_envs=4", "agent.net_arch=[8]", "agent.device=cpu")
    hyper = ("agent.hyper.n_steps=8", "agent.hyper.batch_size=32", "agent.hyper.n_epochs=1")
    words = ("data=panel", "data.path=${oc.env:SHOP}/days.csv", "runs=${oc.env:PLACE}/runs", "env.horizon=14")
    episodes = ("evaluation.episodes=4", "evaluation.tuning_episodes=4", "evaluation.curve_episodes=4")
    space = "tune.space={agent.gamma: {low: 0.9, high: 1}}"
    done = storelab(
        tmp_path,
        *("tune", "task=Store", "agent=ppo", "tune.trials=1", space, *words, *small, *hyper, *episodes),
        **{"SHOP": str(shop), "PLACE": str(tmp_path / "place")},
    )
    assert done.status == 0, done.err
    assert SECRET not in done.out + done.err
    assert not written(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize(
    "words", [["--cfg", "job"], ["--cfg", "job", "--resolve"], ["--cfg", "all"], ["--info", "all"]]
)
def test_a_config_that_is_shown_shows_no_value(tmp_path, storelab, words):
    done = storelab(tmp_path, *BACKTEST, *words, SHOP=f"/{SECRET}", PLACE=f"/{SECRET}")
    assert done.status == 0, done.err
    assert "${oc.env:SHOP}/days.csv" in done.out
    assert SECRET not in done.out + done.err


def test_errors_show_no_value(tmp_path, storelab):
    for value in (f"/nowhere/{SECRET}", f"{SECRET}\0", "/dev/zero"):
        if "\0" not in value:
            done = storelab(tmp_path, *BACKTEST, SHOP=value, PLACE=str(tmp_path))
            assert done.status == 2
            assert len(done.err.splitlines()) == 1, done.err
            assert SECRET not in done.out + done.err
    assert not written(tmp_path)


@pytest.mark.parametrize(
    "word", ["experiment=${oc.env:NAME}", "agent.device=x${oc.env:NAME}", "env.action=${oc.env:NAME}"]
)
def test_where_text_would_be_written_it_is_refused(tmp_path, storelab, word):
    done = storelab(tmp_path, "train", "task=LostSales", "agent=ppo", word, NAME=SECRET)
    assert (done.status, len(done.err.splitlines())) == (2, 1), done.err
    assert "numbers from the environment" in done.err
    assert SECRET not in done.out + done.err
    assert not (tmp_path / "runs").exists()


def test_numbers_are_taken_as_numbers(tmp_path, storelab):
    done = storelab(tmp_path, "train", "task=LostSales", "agent=heuristics", "seed=${oc.env:N}", "--dry-run", N="7")
    assert "-s7 would start" in done.out, done.err


NAMES = st.sampled_from(["ONE", "TWO"])
VALUES = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=20)


@pytest.mark.slow
@given(
    st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=20),
    NAMES,
    st.text("abc /", max_size=4),
)
def test_what_is_sealed_is_opened_with_the_same_value_alone(value, name, after):
    os.environ[name] = value
    bare = f"${{oc.env:{name}}}"
    text = bare + after
    config = {"data": {"path": value + after, "covariates": ["x", value]}, "runs": value, "seed": 3}
    shown = {
        "data": {"path": text, "covariates": ["x", f"${{oc.env:{name}}}"]},
        "runs": f"${{oc.env:{name}}}",
        "seed": 3,
    }
    found = texts(config, shown)
    kept = sealed(json.loads(json.dumps(config)), found)
    assert {k: v for k, v in kept.items() if k != "environment"} == shown
    assert opened(json.loads(json.dumps(kept)), value) == (config, found)
    os.environ[name] = value + "x"
    with pytest.raises(FieldError, match="another value"):
        opened(json.loads(json.dumps(kept)), "runs")
    del os.environ[name]
    with pytest.raises(FieldError, match="not set"):
        expanded("data.path", text)
