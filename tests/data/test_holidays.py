import pandas as pd
from dateutil.easter import easter
from storelab.data.holidays import _easter, bank_holidays


def listed(start: str, stop: str) -> list[str]:
    dates = pd.date_range(start, stop, freq="D")
    return [f"{day:%m-%d}" for day in dates[bank_holidays(dates)]]


def test_easter_agrees_with_dateutil():
    assert [_easter(year) for year in range(1900, 2200)] == [easter(year) for year in range(1900, 2200)]


def test_years_with_days_in_lieu_and_moved_days():
    # gov.uk/bank-holidays, England and Wales; weekend days themselves beside the days in lieu
    assert listed("2021-12-01", "2022-12-31") == (
        ["12-25", "12-26", "12-27", "12-28"]
        + ["01-01", "01-03", "04-15", "04-18", "05-02", "06-02", "06-03", "08-29", "09-19"]
        + ["12-25", "12-26", "12-27"]
    )
    assert listed("2020-01-01", "2020-12-31") == (
        ["01-01", "04-10", "04-13", "05-08", "05-25", "08-31", "12-25", "12-26", "12-28"]
    )
