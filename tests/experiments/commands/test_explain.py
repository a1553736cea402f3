"""`storelab explain` as a user runs it: the table adds up, the report stands alone, the forecaster is kept."""

import pandas as pd
import pytest
from storelab.data import SyntheticStoreParams, generate
from storelab.forecasting import known_future, load
from storelab.forecasting.explain import explain

SMALL = (
    *("explain", "data.items=4", "data.days=200", "horizon=7", "last=3", "forecaster=lightgbm", "forecaster.rounds=5"),
    *("forecaster.horizon=7", "forecaster.progress=false"),
)


@pytest.fixture(scope="module")
def done(storelab, tmp_path_factory):
    """A finished explanation."""
    command = storelab(tmp_path_factory.mktemp("explain"), *SMALL)
    assert command.status == 0, command.err
    return command


def test_the_run_folder_and_its_numbers(done):
    files = {path.name for path in done.run.iterdir()}
    own = {"config.yaml", "provenance.json", "status.json", "explanation.csv", "report.html", "DONE"}
    assert files == own | {".lease-1"}
    panel = generate(SyntheticStoreParams(items=4, days=200)).panel
    (kept,) = done.folder.glob("runs/cache/forecasters/*")
    found = pd.read_csv(done.run / "explanation.csv", parse_dates=["date"])
    item = panel.items[int(panel.units[:193].sum(axis=0).argmax())]
    assert set(found.pop("item")) == {item}
    expected = explain(load(kept), panel.until(193), known_future(panel, 193, 7), item, last=3)
    pd.testing.assert_frame_equal(found, expected)
    assert f"summed: {expected['attribution'].sum():,.2f} units" in done.out


def test_the_report_needs_nothing_else(done, self_contained):
    page = (done.run / "report.html").read_text()
    assert page.count("<svg") == 1
    self_contained(page)
    for words in ("lightgbm, item", "mean of days ahead 1 to 3", "baseline", "same weekday", "Provenance"):
        assert words in page


def test_another_day_takes_the_forecaster_from_the_cache(done, storelab):
    (kept,) = done.folder.glob("runs/cache/forecasters/*")
    before = (kept / "config.json").stat().st_mtime_ns
    other = storelab(done.folder, *SMALL, "experiment=other", "first=2", "last=2", "level=0.9")
    assert other.status == 0, other.err
    assert "quantile at 0.9 of days ahead 2 to 2" in other.out
    assert (kept / "config.json").stat().st_mtime_ns == before
    assert len(list(kept.parent.iterdir())) == 1


def test_report_makes_it_anew(done, storelab):
    run = next(done.folder.glob("runs/explain/*"))
    page = (run / "report.html").read_bytes()
    (run / "report.html").unlink()
    report = storelab(done.folder, "report", f"run={run}")
    assert report.status == 0, report.err
    assert report.out == f"{done.out.partition(chr(10))[2].rpartition('report: ')[0]}report: {run}/report.html\n"
    assert (run / "report.html").read_bytes() == page


@pytest.mark.slow
@pytest.mark.parametrize(
    ("args", "line"),
    [
        (["item=nothing"], "item: 'nothing' is not allowed, expected one of the 4 of the data"),
        (["origin=2023-07-30"], "origin: '2023-07-30' is not allowed, expected 2023-01-02 .. 2023-07-13"),
        (["origin=july"], "origin: 'july' is not allowed, expected a day as YYYY-MM-DD"),
        (["last=8"], "last: 8 is not allowed, expected an integer >= 1 and <= 7"),
        (["level=1"], "level: 1.0 is not allowed, expected a number >= 0.001 and <= 0.999"),
        (["level=high"], "level: 'high' is not allowed, expected a number >= 0.001 and <= 0.999"),
        (["horizn=7"], "horizn: no such key, did you mean horizon?"),
    ],
)
def test_what_is_refused_in_one_line(args, line, storelab, tmp_path):
    refused = storelab(tmp_path, *SMALL, *args)
    assert refused.status == 2, refused.err
    assert refused.err.startswith(line), refused.err
    assert refused.err.count("\n") == 1


def test_a_forecaster_without_explanations_is_refused(storelab, tmp_path):
    refused = storelab(tmp_path, "explain", "forecaster=tsb")
    assert (refused.status, refused.out) == (2, "")
    assert refused.err == "forecaster: 'tsb' is not allowed, expected one of lightgbm, transformer\n"
