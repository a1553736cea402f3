"""`storelab benchmark euro_neurips` and `gym_invmgmt`: their tables, the form of solutions, and what is missing."""

import json
import sys

import numpy as np
import pytest
from storelab.experiments.commands import euro_neurips, gym_invmgmt
from storelab.experiments.commands.outside import contest


@pytest.fixture
def small():
    """Generated days, routed with next to no budget."""
    pytest.importorskip("numba")
    from storelab.envs import Dispatch, DispatchParams

    return Dispatch(DispatchParams(action="weights", requests=12.0, cities=2, customers=30, iterations=5))


def test_solutions_replayed_cost_what_they_say(small):
    """Routes in the competition's numbers, driven again: the same seconds, every request once."""
    days = np.array([[3, 0], [4, 0]], np.uint64)
    costs, solutions = euro_neurips.played(small, days)[euro_neurips.LEARNED]
    scenario = small.scenarios(days)
    for row in range(2):
        text = euro_neurips.solution_file(costs[row], solutions[row]).decode()
        assert text.splitlines()[1] == f"Cost of solution: {costs[row]:.0f}"
        routes = json.loads(text.splitlines()[3])
        slot = np.flatnonzero(scenario["customer"][row, : small.horizon])
        state, total = small.initial(1), 0.0
        for t in range(small.horizon):
            shock = {name: block[row : row + 1, t] for name, block in scenario.items()}
            sent = routes.get(str(shock["epoch"][0, 0]), [])
            state, flow = small.replay(state, shock, [[slot[np.array(route) - 1] for route in sent]])
            total += flow.duration[0]
        assert total == costs[row]
        assert sorted(k for part in routes.values() for route in part for k in route) == list(range(1, len(slot) + 1))


def test_generated_days_have_a_table(tmp_path, capsys):
    pytest.importorskip("numba")
    assert contest("euro_neurips", ["days=2", "iterations=0", f"output={tmp_path}"]) == 0
    shown = capsys.readouterr().out
    assert all(f"| {name} |" in shown for name in ("greedy", "lazy", euro_neurips.LEARNED))
    assert (tmp_path / "costs.csv").is_file()


def test_a_folder_of_the_competition_is_read(tmp_path):
    (tmp_path / "ORTEC-a.txt").write_text("")
    (tmp_path / "ORTEC-57977bd6-b.txt").write_text("")
    assert [(number, seed) for number, _, seed in euro_neurips.instances(tmp_path, 7)] == [
        ("ORTEC-57977bd6-b", 7),
        ("ORTEC-a", 7),
    ]
    config = {"1": {"instance": "ORTEC-57977bd6-b.txt", "instance_seed": 473}}
    (tmp_path / "configs.json").write_text(json.dumps(config))
    ((number, file, seed),) = euro_neurips.instances(tmp_path, 7)
    assert (number, seed) == ("1", 473)
    assert euro_neurips.known(file, seed)["Kleopatra (winner)"] == 199_921
    assert euro_neurips.known(file, 1) == {}


@pytest.mark.parametrize("entry", [{"instance": "gone.txt", "instance_seed": 1}, {"instance": 3}, []])
def test_a_bad_list_of_days_is_named(tmp_path, entry, capsys):
    (tmp_path / "configs.json").write_text(json.dumps({"1": entry}))
    assert contest("euro_neurips", [f"path={tmp_path}", f"output={tmp_path}"]) == 2
    assert "configs.json 1" in capsys.readouterr().err


def test_an_empty_folder_is_named(tmp_path, capsys):
    assert contest("euro_neurips", [f"path={tmp_path}", f"output={tmp_path}"]) == 2
    assert capsys.readouterr().err.startswith("path: ")


def test_without_the_package_it_is_asked_for(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "gym_invmgmt", None)
    assert contest("gym_invmgmt", [f"output={tmp_path}"]) == 2
    told = capsys.readouterr().err
    assert "pip install gym-invmgmt" in told
    assert told.count("\n") == 1


@pytest.mark.parametrize("scenario", list(gym_invmgmt.IDS))
def test_the_packages_environment_is_our_model(scenario):
    """Its profit and stock in every period are ours, or `play` raises; only where the package is installed."""
    pytest.importorskip("gym_invmgmt")
    from storelab.agents import rules_of

    model = gym_invmgmt.task_of(gym_invmgmt.made(scenario).unwrapped.network).model("test")
    rule = rules_of(model).tune("newsvendor", gym_invmgmt.task_of(gym_invmgmt.made(scenario).unwrapped.network), [0])
    rows = gym_invmgmt.play(scenario, model, {"newsvendor": rule}, 42)
    assert rows[0]["profit"] < rows[1]["profit"]
    assert rows[1]["profit"] == pytest.approx({"network": 857.9, "serial": 1032.1}[scenario], abs=0.1)


@pytest.mark.parametrize(
    ("name", "word"),
    [("gym_invmgmt", "scenario=star"), ("gym_invmgmt", "policies=[]"), ("euro_neurips", "router=best"), ("vn2", "x")],
)
def test_words_that_are_none_are_refused(name, word, capsys):
    assert contest(name, [word]) == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize("name", ["vn2", "inventorybench", "euro_neurips", "gym_invmgmt"])
def test_help_says_what_there_is(name, capsys):
    assert contest(name, ["--help"]) == 0
    assert capsys.readouterr().out.startswith(f"usage: storelab benchmark {name}")
