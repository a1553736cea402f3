"""`storelab report ... effect=`: what a decision causes, in the report and the terminal."""

import shutil

import pytest


@pytest.fixture
def run(finished, tmp_path):
    shutil.copytree(finished.folder / "runs", tmp_path / "runs")
    return tmp_path / finished.run.relative_to(finished.folder)


def test_an_effect_stands_in_the_report_that_asked_for_it(run, storelab, tmp_path):
    done = storelab(tmp_path, "report", f"run={run}", "effect=action", "change=1", "policy=base_stock")
    assert done.status == 0, done.err
    assert "base_stock with +1 added to its decision 'action' in every period" in done.out
    section = '<section id="what-the-decision-action-causes">'
    assert (run / "report.html").read_text().count(section) == 1
    agent = storelab(tmp_path, "report", f"run={run}", "effect=action", "change=-1", "period=3")
    assert "PPO with -1 added to its decision 'action' in period 3 alone" in agent.out
    assert storelab(tmp_path, "report", f"run={run}").status == 0
    assert section not in (run / "report.html").read_text()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["effect=price", "change=1"], "effect: 'price' is not allowed, expected one of action"),
        (["effect=action"], "change: 0 is not allowed, expected what is added to action, not 0"),
        (["change=1"], "effect: '' is not allowed with change, period or policy"),
        (["effect=action", "change=x"], "change: 'x' is not allowed"),
        (["effect=action", "change=1", "policy=nobody"], "policy: 'nobody' is not allowed, expected one of the run's"),
        (["effect=action", "change=1", "period=60"], "period: 60 is not allowed, expected 0 to 59"),
    ],
)
def test_what_is_not_there_is_named(run, storelab, tmp_path, words, said):
    done = storelab(tmp_path, "report", f"run={run}", *words)
    assert done.status == 2
    assert done.err.startswith(said)
