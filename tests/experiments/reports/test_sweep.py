"""`storelab report SWEEP`: which runs repeat which, scores on one scale, and one page that needs no other."""

import json
import re
import shutil

import numpy as np
import pandas as pd
import pytest
from storelab.experiments.config.settings import ConfigError
from storelab.experiments.reports.page import html_table
from storelab.experiments.reports.standings import (
    curves,
    known_scores,
    leaderboard,
    scores_of,
    sensitivity,
    standings,
    sweep_runs,
    trade_offs,
)
from storelab.experiments.reports.sweep import sweep_report
from storelab.experiments.reports.sweep_plots import MOST, WIDTH, profiles
from storelab.experiments.reports.sweep_plots import curves as sweep_curves
from storelab.experiments.reports.sweep_plots import sensitivity as sensitivity_figure
from storelab.experiments.runs.folder import Run

HALF = 12.706205  # Student's t of one degree of freedom, .975
COSTS = {("0.9", 1): (8.4, 9.1), ("0.9", 2): (7.7, 7.0), ("0.99", 1): (6.3, 6.3), ("0.99", 2): (7.0, 10.5)}


@pytest.fixture(scope="module")
def made(make, tmp_path_factory):
    folder = tmp_path_factory.mktemp("sweep") / "runs"
    for (gamma, lead), costs in COSTS.items():
        for seed, cost in enumerate(costs):
            make(folder, seed=seed, agent={"gamma": float(gamma)}, env={"lead_time": lead}, cost=cost)
    make(folder, seed=5, error="broke")
    return folder


@pytest.fixture
def folder(made, tmp_path):
    return shutil.copytree(made, tmp_path / "runs")


@pytest.fixture(scope="module")
def found(made):
    return sweep_runs(made)[0]


def test_scores_are_shares_of_the_best_heuristic(found):
    """Its cost is 7."""
    assert len(found) == 8
    for (gamma, lead), costs in COSTS.items():
        of = found[found["learner"].eq(f"PPO gamma={gamma}") & found["problem"].eq(f"LostSales lead_time={lead}")]
        assert of["seed"].tolist() == [0, 1]
        np.testing.assert_allclose(of["score"], [100 * (7 - cost) / 7 for cost in costs])


def test_a_profit_counts_the_other_way(folder):
    """A profit of 8 that is better by 3 than the heuristic's 5: 60 %."""
    for path in folder.glob("*/*/results.json"):
        told = json.loads(path.read_text()) | {"objective": "profit"}
        told["policies"]["PPO"] |= {"value": 8.0, "better": 3.0}
        Run(path.parent).write("results.json", told)
    np.testing.assert_allclose(sweep_runs(folder)[0]["score"], 60)


def test_the_leaderboard_by_hand(found):
    table = leaderboard(found)
    assert table.index.tolist() == ["PPO gamma=0.99", "PPO gamma=0.9"]
    first, second = table.iloc[0], table.iloc[1]
    # Scores -20, -30 | -10, 0 and 10, 10 | 0, -50: of the four the middle two.
    assert (first["iqm"], second["iqm"]) == pytest.approx((5, -15))
    assert (first["mean"], second["mean"]) == pytest.approx((-7.5, -15))
    # Two runs a task are too few for a bootstrap. The mean's variance is 25 ** 2 / 4, of one task with one degree.
    assert table[["iqm_low", "iqm_high", "beats_low", "beats_high"]].isna().all(axis=None)
    assert (first["low"], first["high"]) == pytest.approx((-7.5 - HALF * 12.5, -7.5 + HALF * 12.5))


def test_many_runs_have_an_interval_of_the_middle(found):
    """Twenty of each learner on one task, and nineteen, which are too few."""
    many = pd.concat([found[found["problem"] == "LostSales lead_time=1"]] * 10, ignore_index=True)
    assert np.isfinite(leaderboard(many)[["iqm_low", "iqm_high"]]).all(axis=None)
    assert leaderboard(many.iloc[2:])["iqm_low"].isna().any()


def test_one_run_has_no_interval(found):
    """Neither in the tables nor in the figures."""
    single = found[found["seed"] == 0]
    assert leaderboard(single)["low"].isna().all()
    tables = standings(single)
    learners = tables["LostSales lead_time=1"].query("kind == 'learner'")
    assert learners[["ci_low", "ci_high", "better_low", "better_high"]].isna().all(axis=None)
    assert np.isnan(curves(single)["LostSales lead_time=1"]["PPO gamma=0.9"][2:]).all()


def test_the_next_one_is_compared_within_tasks(found):
    """gamma=0.99 beats both runs on the first task; on the second 0 ties once, and -50 never does."""
    scores = [scores_of(of) for _, of in found.groupby("learner")]
    assert [list(tasks) for tasks in scores] == [["LostSales lead_time=1", "LostSales lead_time=2"]] * 2
    table = leaderboard(found)
    assert table["beats_next"].iloc[:1].tolist() == pytest.approx([(1 + 1.5 / 4) / 2])
    assert np.isnan(table["beats_next"].iloc[1])


def test_sensitivity_is_told_of_each_swept_key(found):
    tables = sensitivity(found)
    assert set(tables) == {"agent.gamma", "env.lead_time"}
    assert tables["agent.gamma"]["value"].tolist() == ["0.9", "0.99"]
    assert tables["agent.gamma"]["mean"].tolist() == pytest.approx([-15, -7.5])
    assert tables["env.lead_time"]["mean"].tolist() == pytest.approx([-7.5, -15])


def test_the_front_has_whom_none_beats_in_both(found):
    """PPO fills 90 %, the heuristic 95 %: where PPO costs less both are on the front, else the heuristic alone."""
    tables = trade_offs(standings(found), dict.fromkeys(found["problem"], "cost"))
    assert set(tables) == {"LostSales lead_time=1", "LostSales lead_time=2"}
    first = tables["LostSales lead_time=1"].set_index("policy")
    assert first["value"].to_dict() == pytest.approx({"PPO gamma=0.9": 8.75, "PPO gamma=0.99": 6.3, "base_stock": 7})
    assert first["best"].to_dict() == {"PPO gamma=0.9": False, "PPO gamma=0.99": True, "base_stock": True}


def test_curves_are_means_over_seeds(found):
    steps, mean, low, high = curves(found)["LostSales lead_time=1"]["PPO gamma=0.9"]
    assert steps.tolist() == [1, 2, 3]
    np.testing.assert_allclose(mean, 8.75 + 9 / steps)
    half = HALF * 0.35  # of two numbers half their difference is their standard error
    np.testing.assert_allclose([low, high], [8.75 - half + 9 / steps, 8.75 + half + 9 / steps], rtol=1e-6)


def test_repetitions_of_older_code_are_left_out(folder):
    """The same config and seed in another folder, as changed code leaves it: the newest counts."""
    run = next(path.parent for path in folder.glob("*/*-s1/DONE"))
    twin = shutil.copytree(run, run.with_name("0123456789ab-s1"))
    Run(twin).write("status.json", {"state": "finished", "time": "2000-01-01T00:00:00+0000"})
    found, left = sweep_runs(folder)
    assert len(found) == 8
    assert left["state"].value_counts().to_dict() == {"failed": 1, "superseded": 1}
    assert left[left["state"] == "superseded"]["run"].tolist() == ["LostSales/0123456789ab-s1"]


def test_one_page_that_needs_no_other(folder, capsys, self_contained):
    assert sweep_report(str(folder / "LostSales")) == 0
    out = capsys.readouterr().out
    assert out.startswith("8 runs, 2 tasks; score: better than the best tuned heuristic by, % of its value")
    assert "Left out: 1 failed." in out
    page = (folder / "LostSales" / "sweep.html").read_text()
    heads = re.findall(r"<h2>(.*?)</h2>", page)
    tasks = ["LostSales lead_time=1", "LostSales lead_time=2"]
    figures = ["Performance profiles", "Learning curves", "Value against fill rate", "Sensitivity"]
    assert heads == ["Results", *tasks, *figures, "Runs"]
    assert page.count("<svg") == 4
    assert "RuntimeError: broke" in page
    assert "cost, money per period" in page
    self_contained(page)


def test_all_policies_stand_by_task_with_links_to_the_runs(folder, self_contained):
    """The reference policy costs 6.2: it is no heuristic."""
    for path in folder.glob("*/*/results.json"):
        told = json.loads(path.read_text())
        told["policies"]["reference policy"] = {"value": 6.2, "better": 0.8, "gap_percent": 0.0}
        told["policies"]["PPO"]["gap_percent"] = 12.5
        Run(path.parent).write("results.json", told)
        (path.parent / "report.html").write_text("its report")
    runs, _ = sweep_runs(folder)
    tables = standings(runs)
    first = tables["LostSales lead_time=1"].set_index("policy")
    assert list(first.index) == ["reference policy", "PPO gamma=0.99", "base_stock", "PPO gamma=0.9"]
    assert first["kind"].tolist() == ["known", "learner", "heuristic", "learner"]
    assert first["runs"].tolist() == [4, 2, 4, 2]
    half = HALF * 0.35
    assert first.loc["PPO gamma=0.9", ["ci_low", "ci_high"]].tolist() == pytest.approx([8.75 - half, 8.75 + half])
    # Paired: 40 common scenarios, whose noise falls out of the difference; the seeds' remains.
    ends = [-1.75 - half, -1.75 + half]
    assert first.loc["PPO gamma=0.9", ["better_low", "better_high"]].tolist() == pytest.approx(ends)
    assert first.loc["base_stock", ["better_low", "better_high"]].isna().all()
    assert known_scores(tables) == {"best tuned heuristic": 0, "reference policy": pytest.approx(80 / 7)}
    sweep_report(str(folder / "LostSales"))
    page = (folder / "LostSales" / "sweep.html").read_text()
    self_contained(page)
    links = re.findall(r'<a href="([^#"][^"]*)">(.*?)</a>', page)
    assert len(links) == 8
    assert all((folder / "LostSales" / link).read_text() == "its report" for link, _ in links)
    assert links[0][1] == "PPO gamma=0.9, seed 0"
    assert page.count('<tr class="known"><td>reference policy</td>') == 3  # of the leaderboard, and by task
    assert page.count("<td>base_stock</td>") == 2
    assert "reference policy (held-out)" in page


def test_an_old_run_has_no_report_to_lead_to(folder):
    sweep_report(str(folder))
    assert not re.findall(r'<a href="[^#]', (folder / "sweep.html").read_text())


def overlap(boxes) -> bool:
    """Whether any two of some boxes lie on one another."""
    return any(a.overlaps(b) for k, a in enumerate(boxes) for b in boxes[:k])


def test_labels_do_not_overlap_and_curves_can_be_told_apart():
    """Many learners with long names, and swept values that are long lists."""
    learners = [f"PPO hyper.a_long_key={k} hyper.another_key=[64,64]" for k in range(MOST)]
    steps = np.arange(50.0)
    of = {name: np.stack([steps, 9 - k / 9 + 5 / (1 + steps), steps, steps]) for k, name in enumerate(learners)}
    rows = {"kind": ["known", "heuristic"], "policy": ["reference policy", "base_stock"], "value": [7.0, 7.1]}
    figure = sweep_curves({"task": of}, {"task": pd.DataFrame(rows)}, learners, {"task": "cost, money per period"})
    figure.draw_without_rendering()
    (axis,) = figure.axes
    lines = [(line.get_color(), line.get_marker()) for line in axis.lines]
    assert len(set(lines)) == MOST + 2
    assert axis.get_xlabel() == "steps of the learner"
    assert not overlap([axis.get_legend().get_window_extent(), axis.get_window_extent()])
    assert not overlap([text.get_window_extent() for text in axis.get_legend().get_texts()])
    values = [f"[{2**k}, {2**k}, {2**k}]" for k in range(9)]
    table = pd.DataFrame({"agent": "PPO", "value": values, "mean": 1.0, "low": 0.0, "high": 2.0})
    figure = sensitivity_figure({"agent.net_arch": table})
    figure.draw_without_rendering()
    (axis,) = figure.axes
    labels = [label for label in axis.get_xticklabels() if label.get_text()]
    assert len(labels) == 9
    spans = [label.get_window_extent() for label in labels]
    assert labels[0].get_rotation() or not overlap(spans)


def test_a_search_s_many_values_stand_on_an_axis_of_numbers():
    rates = [f"{10 ** (-k / 10):.6g}" for k in range(30)]
    table = pd.DataFrame({"agent": "PPO", "value": rates, "mean": 1.0, "low": 0.0, "high": 2.0})
    (axis,) = sensitivity_figure({"agent.learning_rate": table}).axes
    assert axis.get_xscale() == "log"
    np.testing.assert_allclose(axis.lines[0].get_xdata(), [float(rate) for rate in rates])


def test_long_names_are_broken_into_lines():
    name = "PPO " + " ".join(f"hyper.key_{number}=0.001" for number in range(8))
    assert html_table([("learner", ["PPO", name])]).count("<td class=text>") == 1
    figure = profiles(np.zeros(2), {name: np.zeros((3, 2))}, {}, "score")
    assert max(map(len, figure.axes[0].get_legend().get_texts()[0].get_text().split("\n"))) <= WIDTH


def test_what_is_no_sweep_is_refused(folder, tmp_path, capsys):
    run = next(folder.glob("*/*-s0"))
    with pytest.raises(ConfigError, match="one run, expected a folder of runs"):
        sweep_runs(run)
    (tmp_path / "empty").mkdir()
    assert sweep_report(str(tmp_path / "empty")) == 2
    assert "no finished run with results.json, expected some" in capsys.readouterr().err
    assert sweep_report("nowhere") == 2
    assert capsys.readouterr().err.count("\n") == 1
