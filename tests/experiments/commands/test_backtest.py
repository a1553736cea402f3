"""`storelab backtest` as a user runs it: what it leaves, how it goes on, what it refuses; and its numbers."""

import re
import shutil
from dataclasses import asdict

import numpy as np
import pandas as pd
import pytest
from hydra import compose, initialize_config_module
from storelab.data import SyntheticStoreParams, generate
from storelab.experiments.commands.backtest import _forecasters
from storelab.experiments.config.options import register
from storelab.experiments.config.schemas import BacktestParams
from storelab.experiments.config.settings import read_backtest
from storelab.experiments.reports.backtest import comparison
from storelab.experiments.runs.folder import to_config
from storelab.forecasting import create
from storelab.forecasting.backtest import backtest, measure, rolling_forecasts, table

SMALL = (
    *("backtest", "data.items=8", "data.days=200", "least_days=50", "least_sales=10", "origins=2", "horizon=14"),
    *("baselines=[seasonal_naive,tsb]", "forecaster=moving_average"),
)
NAMES = ["moving_average", "seasonal_naive", "tsb"]


@pytest.fixture(scope="module")
def done(storelab, tmp_path_factory):
    """A finished backtest of three quick forecasters."""
    command = storelab(tmp_path_factory.mktemp("backtest"), *SMALL)
    assert command.status == 0, command.err
    return command


def forecasts(command) -> dict:
    return {path.stem: pd.read_parquet(path) for path in sorted(command.run.glob("forecasts/*.parquet"))}


def test_the_run_folder(done):
    names = {path.relative_to(done.run).as_posix() for path in done.run.rglob("*") if path.is_file()}
    kept = {f"forecasts/{name}.parquet" for name in NAMES}
    files = {"config.yaml", "provenance.json", "status.json", "metrics.parquet", "report.html", "DONE", ".lease-1"}
    assert names == files | kept


def test_the_numbers_are_those_of_the_api(done):
    panel = generate(SyntheticStoreParams(items=8, days=200)).panel
    first = forecasts(done)["tsb"]
    panel = panel.select(sorted(set(first["item"])))
    expected = backtest({"tsb": create("tsb")}, panel, [172, 186], 14, progress=False).drop(columns="seconds")
    found = table(first).drop(columns="seconds")
    pd.testing.assert_frame_equal(found, expected)
    metrics = pd.read_parquet(done.run / "metrics.parquet").set_index(["forecaster", "by", "group"])
    assert metrics.loc[("tsb", "origin", "pooled"), "wQL"] == expected["wQL"].iloc[-1]
    assert {"origin", "demand_class", "age"} == set(metrics.index.get_level_values("by"))


def test_the_terminal_has_the_table_with_units(done):
    for words in ("wQL,", "share of", "naive", "seconds", "2 x 14 days from 20", "by demand class", "by age"):
        assert words in done.out
    assert re.search(
        r"moving_average (is better|is worse|does not differ) .* difference [+-]0\.\d+, 95 % CI \[", done.out
    )
    rows = [line.split() for line in done.out.splitlines()]
    pooled = measure(forecasts(done)["moving_average"])
    assert any(row[:1] == ["moving_average"] and f"{pooled['wQL']:.4f}" in row for row in rows)


def test_the_report_needs_nothing_else(done, self_contained):
    page = (done.run / "report.html").read_text()
    assert page.count("<svg") == 2
    self_contained(page)
    for words in ("Calibration", "Forecasts and what came", "By demand class", "Provenance", "least_sales: 10"):
        assert words in page


def test_a_finished_run_is_left_as_it_is(done, storelab):
    before = {path: path.stat().st_mtime_ns for path in done.run.rglob("*")}
    again = storelab(done.folder, *SMALL)
    assert again.status == 0
    assert "is finished: nothing to do" in again.out
    assert {path: path.stat().st_mtime_ns for path in done.run.rglob("*")} == before


def test_a_stopped_run_goes_on(done, storelab, tmp_path):
    """As after kill -9: a forecaster done, one damaged, one not begun. It ends as the run that was never stopped."""
    first = storelab(tmp_path, *SMALL)
    (first.run / "DONE").unlink()
    (first.run / "forecasts" / "tsb.parquet").unlink()
    (first.run / "forecasts" / "seasonal_naive.parquet").write_bytes(b"PAR1 cut off")
    kept = (first.run / "forecasts" / "moving_average.parquet").stat().st_mtime_ns
    again = storelab(tmp_path, *SMALL)
    assert again.status == 0, again.err
    assert "seasonal_naive.parquet is damaged" in again.out
    assert (again.run / "forecasts" / "moving_average.parquet").stat().st_mtime_ns == kept
    for name, frame in forecasts(done).items():
        pd.testing.assert_frame_equal(frame.drop(columns="seconds"), forecasts(again)[name].drop(columns="seconds"))


def test_a_killed_run_goes_on(done, start, storelab, tmp_path):
    """kill -9 when the first forecaster is done: it is kept, and the numbers are those of the run never stopped."""
    killed = start(tmp_path, *SMALL)
    first = f"forecasts/{NAMES[0]}.parquet"
    killed.until(lambda: list(tmp_path.glob(f"runs/*/*/{first}")))
    killed.kill()
    assert not (killed.run / "DONE").exists()
    kept = (killed.run / first).stat().st_mtime_ns
    again = storelab(tmp_path, *SMALL)
    assert again.status == 0, again.err
    assert killed.run.name == again.run.name == done.run.name
    assert (again.run / first).stat().st_mtime_ns == kept
    without = lambda frame: frame.drop(columns="seconds")
    for name, frame in forecasts(done).items():
        pd.testing.assert_frame_equal(without(frame), without(forecasts(again)[name]))
    metrics = [without(pd.read_parquet(command.run / "metrics.parquet")) for command in (done, again)]
    pd.testing.assert_frame_equal(*metrics)


def test_report_makes_table_and_report_anew(done, storelab, tmp_path):
    shutil.copytree(done.folder / "runs", tmp_path / "runs")
    run = tmp_path / done.run.relative_to(done.folder)
    page = (run / "report.html").read_bytes()
    (run / "report.html").unlink()
    report = storelab(tmp_path, "report", f"run={run}")
    assert report.status == 0, report.err
    tables = done.out.partition("\n")[2].rpartition("report: ")[0]
    assert report.out == f"{tables}report: {run}/report.html\n"
    assert (run / "report.html").read_bytes() == page
    (run / "forecasts" / "tsb.parquet").unlink()
    refused = storelab(tmp_path, "report", f"run={run}")
    assert refused.status == 2
    assert refused.err == f"run: {run} has no whole forecasts/tsb.parquet, expected one\n"
    refused = storelab(tmp_path, "evaluate", f"run={run}")
    assert refused.status == 2
    assert refused.err.endswith("is not allowed, expected a run with policies, of storelab train\n")


def test_a_calibrated_forecaster_beside_its_own(storelab, tmp_path):
    args = [*SMALL[:-2], "baselines=[moving_average]", "forecaster=conformal", "forecaster.base=moving_average"]
    both = storelab(tmp_path, *args, "forecaster.horizon=14")
    assert both.status == 0, both.err
    found = forecasts(both)
    assert set(found) == {"conformal", "moving_average"}
    assert (found["conformal"]["q0.9"] != found["moving_average"]["q0.9"]).any()
    assert found["conformal"]["mean"].equals(found["moving_average"]["mean"])


def test_no_baseline_is_given_recorded_prices():
    register()
    with initialize_config_module("storelab.conf", version_base="1.3"):
        changes = [
            "data=online_retail",
            "data.path=x",
            "forecaster=tsb",
            "baselines=[lightgbm,conformal,seasonal_naive]",
        ]
        made = _forecasters(read_backtest(compose("backtest", overrides=changes)))
    assert not made["lightgbm"].params.planned
    assert not made["conformal"].params.planned


def test_a_sweep_makes_a_run_each(storelab, tmp_path):
    swept = storelab(tmp_path, *SMALL[:-2], "baselines=[]", "forecaster=seasonal_naive,croston_sba", "--multirun")
    assert swept.status == 0, swept.err
    found = {path.stem for path in tmp_path.glob("runs/backtest/*/forecasts/*.parquet")}
    assert found == {"seasonal_naive", "croston_sba"}
    assert len(list(tmp_path.glob("runs/backtest/*/DONE"))) == 2


@pytest.mark.slow
@pytest.mark.parametrize(
    ("args", "line"),
    [
        (["horizon=x"], "horizon: 'x' is not allowed, expected an integer >= 1"),
        (["horizon=0"], "horizon: 0 is not allowed, expected an integer >= 1"),
        (["baselines=[arima]"], "baselines: 'arima' is not allowed, expected some of seasonal_naive, "),
        (["origins=20"], "origins: 20 x 14 days are not allowed, expected < 200 days in all"),
        (["least_sales=1000"], "least_days, least_sales: no item has 50 days and 1000 days with a sale"),
        (["experiment=../x"], "experiment: '../x' is not allowed"),
        (["data=online_retail"], "data.path: not set, expected data.path=VALUE"),
        (["horizn=3"], "horizn: no such key, did you mean horizon?"),
        (
            ["data=online_retail", "data.path=nowhere.csv", "forecaster=lightgbm"],
            "forecaster.planned: true is not allowed with data=online_retail, expected false",
        ),
        (
            ["data=online_retail", "data.path=nowhere.csv", "forecaster=conformal"],
            "forecaster.params.planned: true is not allowed with data=online_retail, expected false",
        ),
        (
            ["forecaster=conformal", "forecaster.base=arima"],
            "forecaster.base: 'arima' is not allowed, expected one of seasonal_naive, ",
        ),
        (["data=online_retail", "data.path=nowhere.csv"], "data.path: 'nowhere.csv' is not allowed"),
        (
            ["horizon=35", "origins=1", "forecaster=transformer", "forecaster.fine_tune_steps=1"],
            "forecaster: the horizon",
        ),
    ],
)
def test_what_is_refused_in_one_line(args, line, storelab, tmp_path):
    base = [word for word in SMALL if not ("online" in args[0] and word.startswith("data."))]
    refused = storelab(tmp_path, *base, *args)
    assert refused.status == 2, refused.err
    last = refused.err.splitlines()[-1]  # progress bars may stand before it
    assert last.startswith(line), refused.err
    assert "Traceback" not in refused.err


def test_values_are_the_defaults():
    register()
    with initialize_config_module("storelab.conf", version_base="1.3"):
        found = read_backtest(compose("backtest"))
    assert found.top == BacktestParams(experiment="backtest", data=found.top.data, forecaster=found.top.forecaster)
    assert found.seed == found.forecaster.seed
    assert to_config(found)["forecaster"] == asdict(found.forecaster)


def test_the_comparison_goes_with_the_numbers():
    """The same forecasts can't be told apart; ones that know what came are better, whichever stands first."""
    panel = generate(SyntheticStoreParams(items=20, days=200)).panel
    average = rolling_forecasts("average", create("moving_average"), panel, [172], 28, progress=False)
    twin, wise = (average.assign(forecaster=name) for name in ("twin", "wise"))
    quantiles = [f"q{level / 10:g}" for level in range(1, 10)]
    wise[quantiles] = np.tile(wise[["actual"]].fillna(0.0), 9)

    def said(*frames):
        return comparison(list(frames), pd.concat([table(frame).iloc[-1:] for frame in frames]))

    assert said(average, twin).startswith("average does not differ significantly from twin")
    assert said(average, twin, wise).startswith("average is worse than wise")
    assert said(wise, average).startswith("wise is better than average")
    assert said(average) == "No baseline to compare with."
