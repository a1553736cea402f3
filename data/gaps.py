"""Days of a panel that no row tells of: what is said of them, and where they are too many to go on."""

import numpy as np
import pandas as pd

LEAST_OBSERVED = 0.5  # share of the days from launch on: below it, days without a sale are most likely left out
_MONTH = 28  # days, at least


def notes_on_gaps(units: np.ndarray, price: np.ndarray, dates: np.ndarray, apart: int, there: np.ndarray) -> list[str]:
    """Notes on the days (D, I) that no row tells of: those not `there`.

    `dates` are those with rows, a panel's days are `apart` days.
    """
    notes = []
    missing, days = missing_rows(there)
    if len(dates) < len(units):
        between = _between(dates) // apart
        last = pd.Timestamp(dates[np.argmax(between > 1)]).date()
        usual = f"; most rows lie {np.median(between) * apart:g} days apart" if np.median(between) > 1 else ""
        missing = len(units) - len(dates)
        notes.append(f"column 'date': {missing} of {len(units)} dates have no row, the first after {last}{usual}")
    share = observed_share(units, price)
    if share < LEAST_OBSERVED:
        notes.append(
            f"column 'units': observed on {share:.1%} of the days from launch on; if no row means no sale, "
            "add the row with 0 units"
        )
    elif missing:
        notes.append(
            f"column 'units': no row on {missing} of the items' {days} days with rows from launch on: not observed; "
            "if no row means no sale, set no_row=zero"
        )
    return notes


def missing_rows(there: np.ndarray) -> tuple[int, int]:
    """How many item-days from each item's first on have no row, and of how many; dates without any row don't count.

    `there` (D, I) bool: where there is a row.
    """
    since = there.cumsum(axis=0).astype(bool) & there.any(axis=1, keepdims=True)
    return int((since & ~there).sum()), int(since.sum())


def refuse_gaps(units: np.ndarray, price: np.ndarray, dates: np.ndarray, apart: int, no_row: str) -> None:
    """Raise ValueError for a panel that most days are missing from, unless `no_row` says what they are.

    Monthly dates are refused also where it says that no row is no sale: a month's sales are not those of its one day.
    """
    if no_row == "unobserved":
        return
    between = _between(dates)
    if monthly(dates):
        raise ValueError(
            f"column 'date': dates lie {between.min():g} to {between.max():g} days apart, as months or quarters do; "
            "expected every day, or every week, once"
        )
    if no_row == "zero":
        return
    settle = "expected no_row=zero if no row means no sale, or no_row=unobserved"
    if len(between) and np.median(between) > apart:
        raise ValueError(
            f"column 'date': most dates lie {np.median(between):g} days apart and {len(dates)} of {len(units)} "
            f"{'days' if apart == 1 else 'weeks'} have a row; {settle}"
        )
    share = observed_share(units, price)
    if share < LEAST_OBSERVED:
        raise ValueError(f"column 'units': observed on {share:.1%} of the days from launch on; {settle}")


def observed_share(units: np.ndarray, price: np.ndarray) -> float:
    """The share of the days (D, I) from each item's launch on whose units are known."""
    return float((~np.isnan(units)).sum() / max((~np.isnan(price)).sum(), 1))


def monthly(dates: np.ndarray) -> bool:
    """Whether three dates or more are the same day, or the last one, of different months."""
    days = pd.DatetimeIndex(dates)
    same = days.day.nunique() == 1 or bool(days.is_month_end.all())
    return len(days) > 2 and same and bool((_between(dates) >= _MONTH).all())


def _between(dates: np.ndarray) -> np.ndarray:
    return np.diff(dates) // np.timedelta64(1, "D")
