"""InventoryBench's own files: read, played, and the files to submit scored anew by the benchmark's rules, by hand."""

import csv
import json
import math
from pathlib import Path

import numpy as np
import pytest
from storelab.envs.inventory_game.games import LOST, Game
from storelab.errors import FieldError
from storelab.experiments.commands import inventorybench as command
from storelab.experiments.commands.outside import contest
from storelab.experiments.tasks.inventory_bench import play_games, read_games

STOCHASTIC = "synthetic_trajectory/lead_time_stochastic/p01_stationary_iid/v1_normal_100_25/r1_high"
REAL = "real_trajectory/lead_time_4/108775044"


def write(
    folder: Path, name: str, periods: int, leads: list, item="chips(Regular)", dates="Period_{}", **changes
) -> None:
    """Write a game; a change is a column's values, None leaves it out."""
    rng = np.random.default_rng(periods)
    columns = {
        f"holding_cost_{item}": [2] * periods,
        f"demand_{item}": rng.integers(80, 120, periods).tolist(),
        f"description_{item}": ["a thing, with a comma"] * periods,
        f"lead_time_{item}": [leads[t % len(leads)] for t in range(periods)],
        f"profit_{item}": [8] * periods,
        f"exact_dates_{item}": [dates.format(t + 1) for t in range(periods)],
    }
    columns = {k: changes.get(k.partition("_" + item)[0], v) for k, v in columns.items()}
    columns = {k: v for k, v in columns.items() if v is not None}
    train = {f"exact_dates_{item}": [dates.format(t + 1) for t in range(5)], f"demand_{item}": [90, 100, 110, 95, 105]}
    for file, table in (("test.csv", columns), ("train.csv", train)):
        place = folder / name / file
        place.parent.mkdir(parents=True, exist_ok=True)
        with place.open("w", newline="") as stream:
            rows = csv.writer(stream)
            rows.writerow(table)
            rows.writerows(zip(*table.values(), strict=True))


@pytest.fixture
def folder(tmp_path):
    write(tmp_path, STOCHASTIC, 12, [1, "inf", 3, 2])
    write(tmp_path, REAL, 9, [4], item="108775044", dates="2019-02-{:02}")
    return tmp_path


def test_games_are_read_as_they_are(folder):
    real, synthetic = read_games(folder)
    assert (real.name, synthetic.name) == (REAL, STOCHASTIC)
    assert (real.pattern, real.setting, real.promised, real.history_end) == ("real", "4", 4, 0)
    assert (synthetic.pattern, synthetic.setting, synthetic.promised) == ("p01_stationary_iid", "stochastic", 2)
    assert synthetic.history_end == 5  # its periods have the numbers of the game's first
    assert synthetic.profit == 4  # 8 per unit where a unit left costs 2
    assert synthetic.lead[:2].tolist() == [1, 1e6]
    assert len(real.demand) == 9


def by_hand(place: Path, game: Path) -> float:
    """The benchmark's score of a results.csv: its rules in a loop."""
    orders = [int(row["order_quantity"]) for row in csv.DictReader(place.open())]
    table = [{k.split("_")[0]: v for k, v in row.items()} for row in csv.DictReader(game.open())]
    stock, due, earned = 0, {}, 0.0
    for t, (order, row) in enumerate(zip(orders, table, strict=True)):
        if not math.isinf(lead := float(row["lead"])):
            due[t + lead] = due.get(t + lead, 0) + order
        stock += due.pop(t, 0)
        sold = min(stock, int(row["demand"]))
        stock -= sold
        earned += float(row["profit"]) * sold - float(row["holding"]) * stock
    return max(0.0, earned / (float(table[0]["profit"]) * sum(int(row["demand"]) for row in table)))


def test_the_files_to_submit_score_what_the_table_says(folder, tmp_path, capsys):
    output = tmp_path / "out"
    assert contest("inventorybench", [f"path={folder}", f"output={output}"]) == 0
    shown = capsys.readouterr().out
    for policy in ("adaptive", "recurrent"):
        scores = [
            by_hand(output / policy / "results" / g / "results.csv", folder / g / "test.csv")
            for g in (REAL, STOCHASTIC)
        ]
        summary = json.loads((output / policy / "scores.json").read_text())
        assert summary["overall_score"] == pytest.approx(np.mean(scores), abs=1e-6)
        assert summary["batches"]["real_trajectory/lead_time_4"] == {
            "num_instances": 1,
            "score": pytest.approx(scores[0]),
        }
        assert f"| {policy} | {np.mean(scores):.4f}" in shown
    assert "lead time 4" in shown
    assert "p01_stationary_iid" in shown


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"lead_time": None}, "lead_time"),
        ({"lead_time": [-1] * 6}, "row 1"),
        ({"lead_time": [1.5] * 6}, "whole number"),
        ({"demand": [5, 5, "many", 5, 5, 5]}, "row 3"),
        ({"demand": [5, 5, math.nan, 5, 5, 5]}, "row 3"),
        ({"profit": [1, 2, 1, 1, 1, 1]}, "profit"),
        ({"holding_cost": [0] * 6}, "holding_cost"),
    ],
)
def test_files_unlike_the_benchmarks_are_named(tmp_path, changes, said, capsys):
    write(tmp_path, "game", 6, [0], **changes)
    assert contest("inventorybench", [f"path={tmp_path}", f"output={tmp_path / 'out'}"]) == 2
    told = capsys.readouterr().err
    assert said in told
    assert told.count("\n") == 1


def test_a_file_that_was_not_fetched_is_said_to_be_one(folder):
    (folder / REAL / "train.csv").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 114\n")
    with pytest.raises(FieldError, match="git lfs pull"):
        read_games(folder)


def test_no_games_and_a_missing_history_are_named(folder, tmp_path):
    with pytest.raises(FieldError, match=r"test\.csv"):
        read_games(tmp_path / "nowhere")
    (folder / REAL / "train.csv").unlink()
    with pytest.raises(FieldError, match=r"train\.csv"):
        read_games(folder)


def test_new_games_stand_beside_the_published_scores(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(command, "draw_games", lambda k, draw=command.draw_games: draw(k)[k::48])
    assert contest("inventorybench", ["draws=2", f"output={tmp_path}"]) == 0
    shown = capsys.readouterr().out
    assert "| rule corrected by the best language model (published) | 0.5964 |" in shown
    assert "30 games" in shown
    assert len((tmp_path / "scores.csv").read_text().splitlines()) == 1 + 3 * 30


def test_games_of_any_size_are_played():
    """One period, no demand, a million a period, every order lost: scores from 0 to 1, and no warning."""
    lost, steady, history = np.full(9, LOST), np.full(9, 100.0), np.full(5, 100.0)
    games = [
        Game("one", "x", "0", history, steady[:1], np.zeros(1), 0, 4.0),
        Game("none", "x", "0", 0 * history, 0 * steady, 0 * steady, 0, 4.0),
        Game("huge", "x", "0", 5e3 * history, 5e3 * steady, 0 * steady, 0, 4.0),
        Game("lost", "x", "stochastic", history, steady, lost, 2, 4.0),
        Game("late", "x", "9", history, steady, 0 * steady + 9, 9, 4.0, 0),
    ]
    scores, orders = play_games(games, command.makers())
    table = scores.pivot(index="game", columns="policy", values="score")
    assert ((table >= 0) & (table <= 1)).to_numpy().all()
    assert (table.loc[["none", "lost"]] == 0).to_numpy().all()
    assert (table.loc["huge", ["adaptive", "capped base-stock"]] > 0.8).all()
    assert all(len(orders["adaptive"][game.name]) == len(game.demand) for game in games)


@pytest.mark.parametrize("word", ["draws=0", "draws=x", "nothing", "paths=a", "first=-1"])
def test_words_that_are_none_are_refused(word, capsys):
    assert contest("inventorybench", [word]) == 2
    assert capsys.readouterr().err.count("\n") == 1
