"""The index of runs, never a second truth; and `storelab runs`, which reads it: list, filter, show, compare, clean."""

import json
import os
import shutil
import sys

import numpy as np
import pandas as pd
import pytest
import yaml
from storelab.experiments.commands.runs import runs
from storelab.experiments.config.settings import ConfigError
from storelab.experiments.runs.folder import Run
from storelab.experiments.runs.index import read_index, select


@pytest.fixture(scope="module")
def made(make, tmp_path_factory):
    folder = tmp_path_factory.mktemp("made") / "runs"
    make(folder, cost=8.0)
    make(folder, seed=1, cost=9.0)
    make(folder, agent={"gamma": 0.9, "net_arch": [8, 8]}, cost=6.5)
    make(folder, "FixedCost", error="broke\nsecond line")
    make(folder, seed=2, finish=False)
    return folder


@pytest.fixture
def folder(made, tmp_path):
    return shutil.copytree(made, tmp_path / "runs")


def test_a_row_says_what_the_folder_says(folder):
    index = read_index(folder)
    assert index["state"].value_counts().to_dict() == {"finished": 3, "failed": 1, "unfinished": 1}
    assert len(index) == len({*index["run"]}) == 5
    row = index[(index["seed"] == 1)].iloc[0]
    assert (folder / row["run"] / "DONE").is_file()
    assert (row["task"], row["agent"], row["policy"], row["objective"]) == ("LostSales", "PPO", "PPO", "cost")
    assert (row["value"], row["better"], row["unit"]) == (9.0, -2.0, "money per period")
    assert np.isnan(row["gap_percent"])
    failed = index[index["state"] == "failed"].iloc[0]
    assert (failed["experiment"], failed["error"]) == ("FixedCost", "RuntimeError: broke")
    config = yaml.safe_load((folder / row["run"] / "config.yaml").read_text())
    assert json.loads(row["config"])["agent.hyper.n_steps"] == config["agent"]["hyper"]["n_steps"]


def settle(folder):
    """Make all folders as old as runs are that ended a while ago."""
    for run in folder.glob("*/*-s*"):
        stamp = run.stat().st_mtime_ns - 60_000_000_000
        os.utime(run, ns=(stamp, stamp))


def test_only_what_changed_is_read_anew(folder, monkeypatch):
    settle(folder)
    first = read_index(folder)
    seen = []
    config = Run.config
    monkeypatch.setattr(Run, "config", lambda run: seen.append(run.folder.name) or config(run))
    pd.testing.assert_frame_equal(read_index(folder), first)
    assert not seen
    changed = folder / first["run"][first["seed"] == 2].iloc[0]
    Run(changed).status("failed", error="ValueError: late")
    shutil.rmtree(folder / first["run"][first["seed"] == 1].iloc[0])
    again = read_index(folder)
    assert seen == [changed.name]
    assert again.set_index("run").loc[f"LostSales/{changed.name}", ["state", "error"]].tolist() == [
        "failed",
        "ValueError: late",
    ]
    assert set(first["run"]) - set(again["run"]) == {first["run"][first["seed"] == 1].iloc[0]}
    read_index(folder)  # changed a moment ago: it could change again with the same time stamp
    assert seen == [changed.name] * 2


@pytest.mark.parametrize("content", [b"", b"PAR1 no parquet", None])
def test_a_damaged_or_foreign_index_is_made_anew(content, folder):
    whole = read_index(folder)
    path = folder / "index.parquet"
    path.write_bytes(content) if content is not None else pd.DataFrame({"run": ["x/y"]}).to_parquet(path)
    pd.testing.assert_frame_equal(read_index(folder).drop(columns="changed"), whole.drop(columns="changed"))
    assert len(pd.read_parquet(path)) == 5


@pytest.mark.parametrize("content", ["[1", "", "- 1", "task: 3"])
def test_a_damaged_run_is_named_and_the_others_stay(content, folder):
    run = Run(next(folder.glob("LostSales/*-s1")))
    (run.folder / "config.yaml").write_text(content)
    index = read_index(folder).set_index("run")
    row = index.loc[f"LostSales/{run.folder.name}"]
    assert row["state"] == "damaged"
    assert row["error"]
    assert (index["state"] == "finished").sum() == 2


def test_a_run_under_way_is_told_from_a_killed_one(folder):
    run = Run(next(folder.glob("LostSales/*-s2")))
    state = lambda: read_index(folder).set_index("seed").loc[2, "state"]
    assert state() == "unfinished"
    with run.alone():
        assert state() == "running"
    assert state() == "unfinished"


@pytest.mark.parametrize(
    ("filters", "count"),
    [
        ([], 5),
        (["state=finished"], 3),
        (["state=failed,unfinished"], 2),
        (["seed=0"], 3),
        (["seed=0", "state=finished"], 2),
        (["agent.gamma=0.9"], 1),
        (["agent.gamma=9e-1"], 1),
        (["agent.net_arch=[8,8]"], 1),
        (["agent.net_arch=[8,8],[64,64]"], 5),
        (["agent.normalize_reward=true"], 5),
        (["checkpoint_every=null", "task=FixedCost"], 1),
        (["task=Nothing"], 0),
    ],
)
def test_filters(filters, count, made):
    assert len(select(read_index(made), filters)) == count


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("agent.gama=1", "agent.gama: no such key, did you mean agent.gamma?"),
        ("x", "x: not readable, expected key=val"),
    ],
)
def test_bad_filters_end_in_one_line(text, line, made, capsys):
    with pytest.raises(ConfigError, match=f"^{line.replace('?', '[?]')}"):
        select(read_index(made), [text])
    assert runs(["list", f"runs={made}", text]) == 2
    assert capsys.readouterr().err.startswith(line)
    assert runs(["runs=nowhere"]) == 2
    assert capsys.readouterr().err == "runs: 'nowhere' is not allowed, expected a folder of experiments\n"


def test_the_list_has_units_and_first_lines_of_errors(made, capsys):
    assert runs([f"runs={made}"]) == 0
    out = capsys.readouterr().out
    assert out.count("cost, money per period") == 3
    assert "5 runs: 3 finished, 1 failed, 1 unfinished" in out
    assert out.rstrip().endswith(": RuntimeError: broke")


def test_compare_tells_what_differs_and_pairs_the_scenarios(made, capsys):
    index = read_index(made).query("state == 'finished'")
    first, second = (str(made / index["run"][index["seed"] == seed].iloc[0]) for seed in (1, 0))
    other = str(made / select(index, ["agent.gamma=0.9"])["run"].iloc[0])
    assert runs(["compare", first, other]) == 0
    out = capsys.readouterr().out
    assert "config: 3 differ" in out  # the seed as well
    assert "agent.gamma" in out
    assert "A's PPO less B's PPO: +2.5000 money per period (cost), 95 % CI [2.5000, 2.5000], paired over 40 sc" in out
    failed = str(made / index_of_failed(made))
    assert runs(["compare", second, failed]) == 0
    assert "results: not both have any" in capsys.readouterr().out
    assert runs(["compare", first]) == 2
    assert runs(["show", first]) == 0
    assert "agent.gamma: 0.95" in capsys.readouterr().out
    assert runs(["show", str(made)]) == 2
    assert "expected the folder of a run" in capsys.readouterr().err


def index_of_failed(folder):
    index = read_index(folder)
    return index["run"][index["state"] == "failed"].iloc[0]


def test_clean_deletes_what_failed_or_was_killed_and_only_when_told(folder, capsys):
    before = sorted(folder.glob("*/*-s*"))
    assert runs(["clean", f"runs={folder}"]) == 0
    assert "--yes deletes these" in capsys.readouterr().out
    assert sorted(folder.glob("*/*-s*")) == before
    with Run(next(folder.glob("LostSales/*-s2"))).alone():
        assert runs(["clean", f"runs={folder}", "--yes"]) == 0
    index = read_index(folder)
    assert index["state"].value_counts().to_dict() == {"finished": 3, "unfinished": 1}
    assert runs(["clean", f"runs={folder}", "state=finished", "--yes"]) == 0
    assert len(read_index(folder)) == 4
    assert runs(["clean", f"runs={folder}", "--yes"]) == 0
    assert set(read_index(folder)["state"]) == {"finished"}


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="needs a user whom permissions bind")
def test_runs_of_another_can_be_read(folder):
    folder.chmod(0o555)
    try:
        assert len(read_index(folder)) == 5
    finally:
        folder.chmod(0o755)
