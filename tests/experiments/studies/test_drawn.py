"""Studies over drawn problems: the same options, and no finished run twice."""

import argparse

import pytest
from storelab.experiments.studies import fixed_cost_range, lost_sales_range
from storelab.experiments.studies.drawn import drawn, kept_or_run, learner_options, lines, options, told
from storelab.experiments.studies.lost_sales_table import settings_of


def given(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    options(parser, problems=3)
    learner_options(parser, "heuristics")
    return parser.parse_args(words)


def test_a_finished_run_is_not_run_again(tmp_path):
    ran, file = [], tmp_path / "results.jsonl"
    measure = lambda settings: ran.append(settings) or {"gap": 0.5, "seconds": 1.0}
    for seed in (0, 1, 0, 1):
        run = kept_or_run(settings_of("pathwise", [], 2, 9, seed), file, measure)
        assert (run["seed"], run["lead_time"], run["gap"]) == (seed, 2, 0.5)
    assert [settings.top.seed for settings in ran] == [0, 1]
    kept_or_run(settings_of("pathwise", ["agent.periods=8"], 2, 9, 0), file, measure)
    assert len(ran) == len(lines(file)) == 3


@pytest.mark.parametrize(("study", "task"), [(lost_sales_range, "LostSales"), (fixed_cost_range, "FixedCost")])
def test_problems_are_the_draws_own(study, task):
    """Problem 2 is the same whichever is the first one; every seed meets it."""
    runs = list(drawn(given("--first", "1", "--seeds", "2", "env.horizon=70"), study.problem, task))
    assert [(number, seed) for number, _, seed, _ in runs] == [(k, s) for k in (1, 2, 3) for s in (0, 1)]
    (_, changes, _, settings), *_ = drawn(given("--first", "2", "--problems", "1"), study.problem, task)
    assert changes == runs[2][1] == study.problem(0, 2)
    assert settings.env["demand"]["kind"] == changes["demand.kind"]
    assert runs[2][3].env["horizon"] == 70
    assert f"mean={changes['demand.mean']}" in told(changes)
    assert told({}) == "the task's own"
