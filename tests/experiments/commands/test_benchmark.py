"""`storelab benchmark`: every learner with its seeds and every heuristic in a table; what is done is not done again."""

import re

import numpy as np
import pytest
from scipy import stats
from storelab.evaluation import hierarchical_interval
from storelab.experiments.commands.benchmark import _changes
from storelab.experiments.runs.folder import Run
from storelab.experiments.runs.index import read_index

from ..conftest import EVALUATION


@pytest.fixture(scope="module")
def suite(storelab, finished, tmp_path_factory):
    """Two lines and two seeds, of a suite of the user's own."""
    folder = tmp_path_factory.mktemp("benchmark")
    learner = " ".join(arg for arg in finished.args if arg.startswith(("agent.", "checkpoint_every")))
    short = learner.replace("total_steps=2048", "total_steps=256")
    lines = [f"task=LostSales agent=ppo {short}", "task=LostSales agent=heuristics"]
    (folder / "conf" / "suite").mkdir(parents=True)
    text = "defaults: [/schema/suite@_here_, _self_]\nseeds: 2\nentries:\n" + "".join(f"  - {line}\n" for line in lines)
    (folder / "conf" / "suite" / "mine.yaml").write_text(text)
    more = f"overrides={['env.horizon=60', *EVALUATION]}"
    return storelab(folder, "benchmark", "mine", "--config-dir", "conf", more)


@pytest.mark.slow
def test_the_table_has_learner_and_heuristics(suite):
    assert suite.status == 0, suite.err
    text = (suite.folder / "runs" / "mine.md").read_text()
    index = read_index(suite.folder / "runs")
    assert index["state"].tolist() == ["finished"] * 3  # heuristics have no seed
    ppo = index[index["agent"] == "PPO"]
    row = re.search(r"\| \*\*PPO\*\*.* \| ([\d.,]+) \[([\d.,]+), ([\d.,]+)\] \| .* \| 2 \|", text)
    low, mean, high = (float(row[k].replace(",", "")) for k in (2, 1, 3))
    assert mean == pytest.approx(ppo["value"].mean(), abs=0.51)
    assert low <= mean <= high
    half = stats.t.ppf(0.975, 1) * ppo["value"].std() / np.sqrt(2)
    assert high - low == pytest.approx(2 * half, abs=0.02)
    assert re.search(r"\| base_stock \| [\d.,]+ \[", text)
    assert "| policy | cost, money per period [95 % CI] |" in text
    assert text.splitlines()[4].startswith(
        "    $ storelab benchmark mine \"overrides=['env.horizon=60'"
    )  # they change the table


def test_what_learners_are_better_by_has_an_interval_over_seeds_and_scenarios(suite):
    """Paired with the best heuristic of the same scenarios; that one itself has none."""
    text = (suite.folder / "runs" / "mine.md").read_text()
    runs = [Run(path.parent) for path in sorted((suite.folder / "runs").glob("*/*/DONE"))]
    runs = [run for run in runs if run.read("results.json")["agent"] == "PPO"]
    tables = [run.episodes().pivot(index="seed", columns="policy", values="value") for run in runs]
    best = runs[0].read("results.json")["best_heuristic"]
    ahead = np.stack([values[best] - values["PPO"] for values in tables])
    shown = re.search(r"\| \*\*PPO\*\*.*\] \| (-[\d.,]+) \[([-\d.,]+), ([-\d.,]+)\] \| ", text)
    assert [float(number) for number in shown.groups()] == pytest.approx(
        [ahead.mean(), *hierarchical_interval(ahead)], abs=0.011
    )
    assert re.search(rf"\| {best} \| [^|]*\] \| \+0.00 \| ", text)
    assert re.search(r"\| random \| [^|]*\] \| -[\d.,]+ \[-[\d.,]+, -[\d.,]+\] \| ", text)


def test_heuristics_are_tuned_once_for_a_problem(suite):
    """Seeds and learners of the same problem take over what the first run tuned."""
    runs = [Run(path.parent) for path in sorted((suite.folder / "runs").glob("*/*/DONE"))]
    tuned = [run.read("heuristics.json") for run in runs]
    assert tuned[0]
    assert all(one == tuned[0] for one in tuned)
    made = re.findall(r"heuristics of (\S+)", suite.out)
    assert len(made) == 2
    assert len(set(made)) == 1


def test_what_a_line_changes_of_the_task_is_another_problem():
    entry = "task=Marketplace agent=ppo_marketplace env.resolution=item agent.gamma=0.9"
    assert _changes(entry, of_task=True) == " env.resolution=item"
    assert _changes(entry) == " agent.gamma=0.9"


def test_one_seed_has_no_interval(suite, storelab):
    alone = storelab(suite.folder, *suite.args, "suite.seeds=1", "output=one.md")
    assert alone.status == 0, alone.err
    (row,) = re.findall(r"\| \*\*PPO\*\*.*", (suite.folder / "one.md").read_text())
    assert "[" not in row.replace("net_arch=[8]", "")


def test_an_override_that_a_line_does_not_know_names_the_line(suite, storelab):
    bad = storelab(suite.folder, *suite.args[:-1], "overrides=['agent.gamma=0.5']")
    assert bad.status == 2
    assert bad.err.startswith("task=LostSales agent=heuristics: agent.gamma: no such key")


def test_a_second_time_nothing_is_done(suite, storelab):
    again = storelab(suite.folder, *suite.args)
    assert again.out.count("is finished: nothing to do") == 3
    assert again.out.partition("# Benchmark")[2] == suite.out.partition("# Benchmark")[2]
