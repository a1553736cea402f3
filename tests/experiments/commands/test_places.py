"""What cannot be written is told in one line before the work; names of items are text wherever they are shown."""

import os
import re

import pandas as pd
import pytest
from storelab.data import SyntheticStoreParams, generate
from storelab.errors import FieldError
from storelab.reading import check_writable

NAMES = ("$5", r"$\frac{$", "=1+1", "<b>&x", "_a", "@x", "-1", "a$b$c", "\\", "{}", "%s")
BACKTEST = (
    "backtest",
    "data=panel",
    "forecaster=moving_average",
    "baselines=[seasonal_naive]",
    "horizon=7",
    "origins=2",
)


def one_line(done) -> None:
    assert (done.status, len(done.err.splitlines())) == (2, 1), done.err


@pytest.fixture(scope="module")
def sales(tmp_path_factory):
    """A file of sales of items with names that mean something to other programs."""
    table = generate(SyntheticStoreParams(items=len(NAMES), days=300)).panel.to_frame()
    table["item"] = table["item"].map(dict(zip(sorted(table["item"].unique()), NAMES, strict=True)))
    path = tmp_path_factory.mktemp("data") / "sales.csv"
    table.to_csv(path, index=False)
    return path


def test_names_of_items_are_text_in_a_backtests_report(tmp_path, storelab, sales):
    done = storelab(tmp_path, *BACKTEST, f"data.path={sales}", "least_sales=1")
    assert done.status == 0, done.err
    page = (done.run / "report.html").read_text()
    assert "<b>&x" not in page
    kept = pd.read_parquet(done.run / "forecasts" / "moving_average.parquet")
    assert set(kept["item"]) <= set(NAMES)
    assert len(set(kept["item"])) >= len(NAMES) - 2  # younger ones stay out


def test_names_of_items_are_text_in_an_explanation(tmp_path, storelab, sales):
    words = ("explain", "data=panel", f"data.path={sales}", "forecaster=lightgbm", r"item='$\frac{$'", "horizon=7")
    done = storelab(tmp_path, *words, "forecaster.planned=false")
    assert done.status == 0, done.err
    assert r"item $\frac{$," in done.out
    assert (done.run / "report.html").is_file()


@pytest.mark.parametrize("place", ["file/runs", "/proc/runs", "/dev/null/runs"])
def test_runs_that_cannot_be_written_are_told_before_the_work(tmp_path, storelab, sales, place):
    (tmp_path / "file").write_text("x")
    done = storelab(tmp_path, *BACKTEST, f"data.path={sales}", f"runs={place}")
    one_line(done)
    assert re.match(r"runs: .* is not allowed as .*expected a folder that can be written", done.err)
    assert "run:" not in done.out


def test_a_tables_place_is_tried_before_the_runs(tmp_path, storelab):
    (tmp_path / "file").write_text("x")
    done = storelab(tmp_path, "benchmark", "inventory", "output=file/table.md")
    one_line(done)
    assert done.err.startswith("output: ")
    assert not (tmp_path / "runs").exists()


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root can become another user")
def test_permission_bits_bind_who_is_not_root(tmp_path):
    folder = tmp_path / "own"
    folder.mkdir(mode=0o500)
    check_writable(folder, "runs")  # root may
    child = os.fork()
    if child == 0:
        os.setuid(65534)
        try:
            check_writable(folder / "below" / "it", "runs")
        except FieldError as error:
            os._exit(0 if "Permission denied" in str(error) else 2)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
