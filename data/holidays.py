"""Public holidays of England and Wales (where the Online Retail shop is, and the synthetic store)."""

from datetime import date, timedelta

import numpy as np
import pandas as pd

# gov.uk/bank-holidays: Mondays moved, and days proclaimed once.
_MOVED = {
    date(1995, 5, 1): date(1995, 5, 8),
    date(2002, 5, 27): date(2002, 6, 4),
    date(2012, 5, 28): date(2012, 6, 4),
    date(2020, 5, 4): date(2020, 5, 8),
    date(2022, 5, 30): date(2022, 6, 2),
}
_ONCE = {
    date(1999, 12, 31),
    date(2002, 6, 3),
    date(2011, 4, 29),
    date(2012, 6, 5),
    date(2022, 6, 3),
    date(2022, 9, 19),
    date(2023, 5, 8),
}


def bank_holidays(dates: pd.DatetimeIndex) -> np.ndarray:
    """(D,) bool: bank holidays of England and Wales, by the rules in force since 1982.

    Where Christmas, Boxing Day or New Year's Day is on a weekend, both that day and the weekday
    given in lieu count: customers behave differently on both.
    """
    days = {day for year in dates.year.unique() for day in _year(int(year))}
    return dates.isin(pd.to_datetime(sorted(days)))


def _year(year: int) -> set[date]:
    fixed = [date(year, 1, 1), date(year, 12, 25), date(year, 12, 26)]
    days = set(fixed)
    for day in fixed:
        if day.weekday() >= 5:
            while day.weekday() >= 5 or day in days:
                day += timedelta(days=1)
            days.add(day)
    easter = _easter(year)
    mondays = (_monday_from(date(year, 5, 1)), _monday_from(date(year, 5, 25)), _monday_from(date(year, 8, 25)))
    days |= {easter - timedelta(days=2), easter + timedelta(days=1)}
    days |= {_MOVED.get(day, day) for day in mondays}
    return days | {day for day in _ONCE if day.year == year}


def _monday_from(day: date) -> date:
    return day + timedelta(days=-day.weekday() % 7)


def _easter(year: int) -> date:
    """Gregorian Easter Sunday (T. H. O'Beirne, New Scientist, 30 March 1961)."""
    a, (b, c) = year % 19, divmod(year, 100)
    d, e = divmod(b, 4)
    g = (8 * b + 13) // 25
    h = (19 * a + b - d - g + 15) % 30
    i, k = divmod(c, 4)
    m = (32 + 2 * e + 2 * i - h - k) % 7
    n = (a + 11 * h + 19 * m) // 433
    month = (h + m - 7 * n + 90) // 25
    return date(year, month, (h + m - 7 * n + 33 * month + 19) % 32)
