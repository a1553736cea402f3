"""The files of the VN2 Inventory Planning Challenge (N. Vandeput, 2025), and what a store is at the start of a contest.

A folder holds `Week X - DATE - Sales.csv` for X = 0 (the history) and, as they come in, 1, 2, ... (the contest's own
weeks, each file with the history before it or with its week alone), `Week 0 - In Stock.csv` (and later ones),
`Week 0 - Master.csv` and `Week 0 - DATE - Initial State.csv`.
"""

import io
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from ..errors import FieldError
from ..reading import plain_bytes
from .panel import Panel

INDEX = ["Store", "Product"]
GROUPS = ("Product", "Store", "ProductGroup", "Division", "Department", "DepartmentGroup", "StoreFormat")
WEEKS = 8  # of a contest
ROUNDS = 6  # orders of a contest, at the end of weeks 0 to 5
LEAD_TIME = 2  # an order at the end of week X arrives before week X + 3: it meets that week's demand, two periods on
HOLDING, SHORTAGE = 0.2, 1.0  # money per unit left at a week's end, and per unit of lost sales
UNCHARGED = 2  # weeks 1 and 2 are the same whatever is ordered, and do not count
_RECENT = 4  # weeks whose mean is the start of a pseudo-contest


@dataclass
class Contest:
    """A contest: what is known at its start, and its weeks as far as they are known.

    The panel's weeks before `start` are the history; the weeks from it on are the contest's. Prices are not known: 1.
    """

    panel: Panel  # (D, I), units as recorded; `stocked_out` where a week was out of stock
    start: int  # row of the contest's first week
    on_hand: np.ndarray  # (I,) units at its start
    in_transit: np.ndarray  # (2, I) units that come in before its first and its second week

    @property
    def weeks(self) -> int:
        """Return how many of the contest's weeks are known."""
        return len(self.panel.dates) - self.start

    def demand(self) -> np.ndarray:
        """Return the units of the contest's weeks (weeks, I), as recorded."""
        return np.nan_to_num(self.panel.units[self.start :])


def read_contest(folder: str | Path) -> Contest:
    """Return the contest of a folder.

    Raises:
        FieldError: a file that is missing, or unlike the contest's; two files that disagree.
    """
    folder = Path(folder)
    sales = _weeks(folder, "Sales")
    index = sales.index
    stock = _weeks(folder, "In Stock").loc[index]
    master = _table(_one(folder, "Week 0*Master.csv")).set_index(INDEX).reindex(index)
    state = _table(_one(folder, "Week 0*Initial State.csv")).set_index(INDEX)
    history = len(_columns(_table(_one(folder, "Week 0*Sales.csv"))))
    dates = pd.DatetimeIndex(sales.columns)
    if missing := index.difference(state.index).tolist():
        raise FieldError("Initial State", missing[0], "a row for each store and product of the sales")
    state = state.loc[index]
    on_hand, first, second = (_numbers(state, name) for name in ("End Inventory", "In Transit W+1", "In Transit W+2"))
    # A week that no file says to be out of stock was in stock.
    in_stock = stock.map(_flag).reindex(columns=sales.columns, fill_value=True).to_numpy(bool)
    units = sales.to_numpy(float)
    if np.isnan(units).any() or (units < 0).any():
        row, column = np.argwhere(np.isnan(units) | (units < 0))[0]
        raise FieldError(f"Sales {index[row]}, {dates[column].date()}", units[row, column], "units >= 0")
    codes = {"Store": index.get_level_values(0), "Product": index.get_level_values(1)} | dict(master.items())
    panel = Panel(
        items=[f"{store}-{product}" for store, product in index],
        dates=dates,
        units=units.T,
        price=np.ones(units.T.shape),
        promo=np.zeros(units.T.shape, bool),
        closed=np.zeros(len(dates), bool),
        holiday=np.zeros(len(dates), bool),
        stocked_out=~in_stock.T,
        groups={name: [str(value) for value in codes[name]] for name in GROUPS if name in codes},
    )
    return Contest(panel, history, on_hand, np.stack([first, second]))


def pseudo_contest(contest: Contest, start: int) -> Contest:
    """Return a contest on the history: its first week is row `start`, its stock the mean of the four weeks before.

    On hand at its start, and in transit for its first and its second week, is each round(mean of the last four weeks'
    units) of an item.

    Raises:
        FieldError: a start without four weeks before and eight weeks of the history from it on.
    """
    last = contest.start - WEEKS
    if isinstance(start, bool) or not isinstance(start, int | np.integer) or not _RECENT <= start <= last:
        raise FieldError("start", start, f"a whole number from {_RECENT} to {last}")
    usual = contest.panel.units[start - _RECENT : start].mean(axis=0).round()
    return Contest(contest.panel.until(start + WEEKS), int(start), usual, np.stack([usual, usual]))


def order_file(contest: Contest, order: np.ndarray) -> pd.DataFrame:
    """Return an order (I,) in the form that the contest takes: Store, Product and the units of the round."""
    pairs = [item.rsplit("-", 1) for item in contest.panel.items]
    return pd.DataFrame([(int(s), int(p), int(units)) for (s, p), units in zip(pairs, order, strict=True)],
                        columns=[*INDEX, "0"])  # fmt: skip


def _weeks(folder: Path, what: str) -> pd.DataFrame:
    """Return the weeks (I, D) of all files of a kind, joined by date; later files must agree with earlier ones."""
    files = sorted(folder.glob(f"Week *{what}.csv"), key=lambda file: _number(file))
    if not files:
        raise FieldError("path", str(folder), f"a folder with 'Week 0 ... {what}.csv'")
    joined: pd.DataFrame | None = None
    for file in files:
        table = _table(file).set_index(INDEX)
        if table.index.has_duplicates:
            raise FieldError(file.name, table.index[table.index.duplicated()][0], "each store and product once")
        columns = _columns(table)
        table = table[columns].set_axis(pd.to_datetime(columns), axis=1)
        if joined is None:
            joined = table
            continue
        if missing := joined.index.difference(table.index).tolist():
            raise FieldError(file.name, missing[0], "a row for each store and product of week 0")
        table = table.loc[joined.index]
        both = joined.columns.intersection(table.columns)
        if not (joined[both] == table[both]).to_numpy().all():
            raise FieldError(file.name, "other values", f"those of the earlier files for {both[0].date()} and on")
        joined = joined.join(table[table.columns.difference(both)])
    assert joined is not None
    return joined.sort_index(axis=1)


def _number(file: Path) -> int:
    found = re.match(r"Week (\d+)\b", file.name)
    if not found:
        raise FieldError("file", file.name, "a name that begins with 'Week' and a number")
    return int(found[1])


def _one(folder: Path, pattern: str) -> Path:
    files = sorted(folder.glob(pattern))
    if len(files) != 1:
        raise FieldError("path", str(folder), f"a folder with one file '{pattern}'", f"which has {len(files)}")
    return files[0]


def _table(file: Path) -> pd.DataFrame:
    try:
        table = pd.read_csv(io.BytesIO(plain_bytes(file)))
    except (OSError, ValueError) as error:
        raise FieldError("file", file.name, f"a CSV file: {error}") from None
    if missing := [name for name in INDEX if name not in table]:
        raise FieldError(file.name, missing[0], f"a column {missing[0]}; there are {', '.join(map(str, table))[:80]}")
    return table


def _columns(table: pd.DataFrame) -> list[str]:
    return [name for name in table if re.fullmatch(r"\d{4}-\d{2}-\d{2}", str(name))]


def _numbers(table: pd.DataFrame, name: str) -> np.ndarray:
    if name not in table:
        raise FieldError("Initial State", name, f"a column of it; there are {', '.join(map(str, table))}")
    return table[name].to_numpy(float)


def _flag(value) -> bool:
    return value if isinstance(value, bool | np.bool_) else str(value).strip().lower() in ("true", "1", "1.0")
