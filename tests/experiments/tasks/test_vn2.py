"""The VN2 contest: its rules by hand, its files, the organiser's benchmark, the orders on sample paths."""

import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from storelab.agents.heuristics.paths import order_on_paths
from storelab.data.vn2 import Contest, pseudo_contest, read_contest
from storelab.envs.core.rollout import rollout
from storelab.errors import FieldError
from storelab.evaluation import evaluate
from storelab.experiments.commands.outside import contest
from storelab.experiments.tasks.vn2 import BOUND, benchmark, play, policy_of, vn2_task

SHARED = Path(__file__).parents[3].parent / "shared" / "data" / "vn2"
NAMES = ["Store", "Product"]


@pytest.fixture
def folder(contest_folder, tmp_path):
    """Return a copy of the folder of a contest, for a test to change."""
    return shutil.copytree(contest_folder, tmp_path / "contest")


def test_the_rules_by_hand(tmp_path, write_contest):
    units = np.concatenate([np.full((1, 30), 4.0), [[3, 5, 6, 2, 0, 4, 1, 7]]], axis=1)
    write_contest(tmp_path, units, 30, [2], [[4], [1]], later=[8])
    contest = read_contest(tmp_path)
    orders = iter([5, 0, 3, 0, 9, 2])
    result, _ = play(contest, {"by hand": lambda past, on_hand, first, second: np.array([next(orders)])})
    # Stock met by week's demand: 6-3=3; 3+1-5: 1 lost; 0+5-6: 1 lost; 0-2: 2 lost; 3-0=3; 3-4: 1 lost; 9-1=8; 8+2-7=3.
    row = result.set_index("policy").loc["by hand"]
    assert row["lost_sale_cost"] == pytest.approx(1 + 2 + 0 + 1)
    assert row["holding_cost"] == pytest.approx(0.2 * (3 + 8 + 3))
    # With the weeks known, what is ordered is what is sold: nothing is left over, nothing is lost.
    assert result.set_index("policy").loc[BOUND, "cost"] == 0


def test_the_plan_sees_the_past_and_the_contests_state(folder):
    contest, seen = read_contest(folder), []
    play(contest, {"spy": lambda *state: seen.append(state) or np.full(6, 2.0)})
    assert [len(past.dates) for past, *_ in seen] == [60, 61, 62, 63, 64, 65]
    _, on_hand, first, second = seen[0]
    assert (on_hand == contest.on_hand).all()
    assert (first == contest.in_transit[0]).all()
    assert (second == contest.in_transit[1]).all()
    assert (seen[2][2] == 2).all()  # the order at the end of week 0 comes in before week 3
    left = np.maximum(contest.on_hand + contest.in_transit[0] - contest.demand()[0], 0)
    assert (seen[1][1] == left).all()
    assert (seen[1][2] == contest.in_transit[1]).all()


def test_weeks_are_played_as_they_come_in(tmp_path, write_contest):
    units = np.random.default_rng(1).poisson(3, (4, 43)).astype(float)
    results = []
    for weeks in (3, 8):
        folder = tmp_path / str(weeks)
        folder.mkdir()
        units_known = np.concatenate([units, np.ones((4, 5))], axis=1)
        write_contest(folder, units_known, 40, [5, 5, 5, 5], np.ones((2, 4)), later=range(1, weeks + 1))
        results.append(play(read_contest(folder), {"b": benchmark})[1]["b"])
    assert len(results[0]) == 4
    assert len(results[1]) == 6
    assert all((known == later).all() for known, later in zip(results[0], results[1], strict=False))


def test_the_table_of_the_task_is_that_of_the_contest(folder):
    contest = read_contest(folder)
    task = vn2_task(folder)
    episodes = evaluate({"b": policy_of(contest, benchmark, task.model("test"))}, task, [0]).set_index("policy")
    result = play(contest, {"b": benchmark})[0].set_index("policy")
    assert episodes.loc["b", "value"] == pytest.approx(result.loc["b", "cost"])
    assert episodes.loc["hindsight bound", "value"] == pytest.approx(result.loc[BOUND, "cost"])
    assert result.loc[BOUND, "cost"] <= result.loc["b", "cost"]


def test_a_folder_of_week_0_alone_is_a_pseudo_contest(tmp_path, write_contest):
    units = np.random.default_rng(0).poisson(3, (4, 40)).astype(float)
    write_contest(tmp_path, units, 40, [5] * 4, np.ones((2, 4)))
    model = vn2_task(tmp_path).model("test")
    demand = model.scenarios(np.array([0]))["demand"][0, :8]
    assert (demand == units.T[32:40]).all()
    assert model.initial(1).on_hand[0] == pytest.approx(2 * units[:, 28:32].mean(axis=1).round())


@pytest.mark.parametrize("start", [3, 33, True, 1.5])
def test_a_start_outside_the_history_is_refused(tmp_path, write_contest, start):
    write_contest(tmp_path, np.ones((2, 40)), 40, [1, 1], np.ones((2, 2)))
    with pytest.raises(FieldError, match="start"):
        pseudo_contest(read_contest(tmp_path), start)


def _damaged(folder: Path, case: str) -> None:
    sales = next(folder.glob("Week 0*Sales.csv"))
    table = pd.read_csv(sales)
    if case == "no sales":
        sales.unlink()
    elif case == "no state":
        next(folder.glob("*Initial State.csv")).unlink()
    elif case == "a series twice":
        pd.concat([table, table.head(1)]).to_csv(sales, index=False)
    elif case == "a negative number":
        table.iloc[1, 5] = -2
        table.to_csv(sales, index=False)
        for later in folder.glob("Week [1-8]*Sales.csv"):
            later.unlink()
    elif case == "a later file disagrees":
        later = next(folder.glob("Week 3*Sales.csv"))
        other = pd.read_csv(later)
        other.iloc[0, 4] += 1
        other.to_csv(later, index=False)
    elif case == "another header":
        table.rename(columns={"Store": "Shop"}).to_csv(sales, index=False)


@pytest.mark.parametrize(
    "case",
    ["no sales", "no state", "a series twice", "a negative number", "a later file disagrees", "another header"],
)
def test_damaged_files_end_in_one_line(folder, capsys, case):
    _damaged(folder, case)
    assert contest("vn2", [f"path={folder}"]) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1


@pytest.mark.parametrize("argument", ["fractile=1.5", "paths=0", "nothing", "colour=red", "paths=many"])
def test_wrong_keys_end_in_one_line(folder, capsys, argument):
    assert contest("vn2", [f"path={folder}", argument]) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1


def test_the_command_plays_and_writes(folder, tmp_path, capsys):
    output = tmp_path / "out"
    keys = [f"path={folder}", f"output={output}", "paths=20", "params.rounds=5", "params.leaf_rows=5"]
    assert contest("vn2", keys) == 0
    shown = capsys.readouterr().out
    assert "cost of weeks 3 to 8" in shown
    assert "perfect foresight" in shown
    orders = [pd.read_csv(output / f"Week {week} - Order.csv") for week in range(6)]
    assert list(orders[0]) == [*NAMES, "0"]
    assert len(orders[0]) == 6
    assert contest("vn2", keys) == 0  # the same again, from the kept forecaster
    again = [pd.read_csv(output / f"Week {week} - Order.csv") for week in range(6)]
    assert all(one.equals(two) for one, two in zip(orders, again, strict=True))


def test_orders_on_paths_minimise_the_arrival_periods_cost():
    rng = np.random.default_rng(0)
    paths = rng.poisson(4, (3, 2000, 3)).astype(float)
    on_hand, pipeline = np.array([0.0, 5.0, 30.0]), np.array([[2.0, 0.0, 1.0]])
    order = order_on_paths(paths, on_hand, pipeline, 1 / 1.2)
    stock = np.maximum(on_hand[:, None] - paths[:, :, 0], 0) + pipeline[0][:, None]
    stock = np.maximum(stock - paths[:, :, 1], 0)

    def cost(units):
        left = stock + units[:, None] - paths[:, :, 2]
        return (0.2 * np.maximum(left, 0) + np.maximum(-left, 0)).mean(axis=1)

    candidates = np.array([cost(np.full(3, float(units))) for units in range(20)])
    assert (cost(order) <= candidates.min(axis=0) + 1e-9).all()
    none = order_on_paths(paths[:, :, :1], on_hand, pipeline[:0], 0.5)
    assert none[0] == np.median(paths[0, :, 0])
    assert none[2] == 0


@pytest.mark.skipif(not SHARED.is_dir(), reason="the contest's files are not here")
def test_the_organisers_benchmark_on_the_pseudo_contests():
    contest = read_contest(SHARED)  # the numbers: the contest's rules played independently of storelab
    costs = []
    for start, cost in ((85, 8680.2), (93, 4853.0), (133, 8949.8), (149, 4049.0)):
        played = play(pseudo_contest(contest, start), {"b": benchmark})[0]
        costs.append((played.set_index("policy").loc["b", "cost"], cost))
    assert [round(ours, 1) for ours, _ in costs] == [theirs for _, theirs in costs]


def test_a_stock_on_order_at_the_start_comes_in():
    contest = Contest(_panel(), 20, np.array([3.0]), np.array([[0.0], [7.0]]))
    model = vn2_task(contest).model("test")
    run = rollout(model, lambda o, p, s: (0 * o[:, :1], p), model.scenarios(np.array([0])), trace=True)
    assert run["flow.received"][0, :, 0].tolist() == [7, 0, 0, 0, 0, 0, 0, 0]


def _panel():
    from storelab.data import Panel

    units = np.full((28, 1), 2.0)
    dates = pd.date_range("2022-01-03", periods=28, freq="7D")
    flags = np.zeros((28, 1), bool)
    return Panel(["0-1"], dates, units, np.ones((28, 1)), flags, flags[:, 0], flags[:, 0])


def test_the_pages_example_runs(contest_folder):
    page = (Path(__file__).parents[3] / "docs" / "vn2.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", page, re.S)
    names = {"my_plan": benchmark}
    exec(code.replace("FOLDER", str(contest_folder)), names)
    assert set(names["table"]["policy"]) == {"mine", "organiser's benchmark", BOUND}
