"""The wide panel that everything else works on."""

import hashlib
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd

from ..errors import FieldError
from .contract import PANEL, SPLITS, Column, TableNote, read, shown
from .gaps import notes_on_gaps, refuse_gaps
from .values import Undecided, plain, refuse_zone, times

_ARRAYS = ("units", "price", "promo", "closed", "holiday", "stocked_out", "out_share", "split")
_GROUPS = ("covariates", "past_covariates", "supply")  # of arrays (D, I) by name
NO_ROW = ("refuse", "zero", "unobserved")  # what a day without a row is
SUPPLY = ("cost", "lead_time")  # columns of the contract
MAX_CELLS = 200_000_000  # days x items of one panel: M5 has 6e7; more is most likely a mistyped date


@dataclass(eq=False)
class Panel:
    """Units and covariates of I items over D contiguous days, or over D weeks.

    Units and price are NaN before an item's launch (its first row). Later, NaN units are days that were not observed,
    and a missing price is the last one known. On days on which the shop was shut, `closed` is true and units are what
    was recorded, usually 0.

    A panel is weekly when its dates are seven days apart. A "day" is then the week that begins on that date.
    """

    items: list[str]
    dates: pd.DatetimeIndex  # (D,) daily or weekly, no gaps
    units: np.ndarray  # (D, I) float64, units sold, NaN = before launch or not observed
    price: np.ndarray  # (D, I) float64, money per unit, NaN = before launch
    promo: np.ndarray  # (D, I) bool
    closed: np.ndarray  # (D,) bool, the shop was shut
    holiday: np.ndarray  # (D,) bool, public holiday
    category: list[str] | None = None  # (I,)
    covariates: dict[str, np.ndarray] = field(default_factory=dict)  # each (D, I) float64: known in advance, NaN = not
    past_covariates: dict[str, np.ndarray] = field(default_factory=dict)  # each (D, I): known when the day is over
    stocked_out: np.ndarray | None = None  # (D, I) bool, ran out that day: demand was at least `units`; None = never
    out_share: np.ndarray | None = None  # (D, I) float64, share of the day's open hours without stock, NaN = not known
    supply: dict[str, np.ndarray] = field(default_factory=dict)  # cost and lead_time, each (D, I), NaN = not known
    split: np.ndarray | None = None  # (D,) int8, place in SPLITS, never falling: the table's own split; None = all 0
    groups: dict[str, list[str]] = field(default_factory=dict)  # further labels of the items, each (I,): brand, store
    notes: list[str] = field(default_factory=list)  # what was understood of the table that it came from

    def __post_init__(self) -> None:
        days, count = len(self.dates), len(self.items)
        if len(set(self.items)) != count:
            raise ValueError("items: a name appears twice; expected unique names")
        self.dates = _index(self.dates)
        apart = 7 if days > 1 and (self.dates[1] - self.dates[0]).days == 7 else 1
        if days > 1:
            whole = pd.date_range(self.dates[0], periods=days, freq=f"{apart}D")
            if not self.dates.equals(whole):
                row = int(np.flatnonzero(self.dates != whole)[0])
                raise ValueError(
                    f"dates: {self.dates[0]} to {self.dates[-1]} has gaps or is out of order: row {row + 1} is "
                    f"{self.dates[row]} after {self.dates[row - 1]}; expected every day, or every week, once"
                )
            self.dates = whole
        if self.stocked_out is None:
            self.stocked_out = np.zeros((days, count), bool)
        if self.out_share is None:
            self.out_share = np.full((days, count), np.nan)
        if self.split is None:
            self.split = np.zeros(days, np.int8)
        for name, kind, shape in (
            ("units", float, (days, count)),
            ("price", float, (days, count)),
            ("promo", bool, (days, count)),
            ("stocked_out", bool, (days, count)),
            ("out_share", float, (days, count)),
            ("closed", bool, (days,)),
            ("holiday", bool, (days,)),
            ("split", np.int8, (days,)),
        ):
            array = np.asarray(getattr(self, name), dtype=kind)
            if array.shape != shape:
                raise ValueError(f"{name}: shape {array.shape}; expected {shape}")
            setattr(self, name, array)
        for group in _GROUPS:
            arrays = {name: np.asarray(array, dtype=float) for name, array in getattr(self, group).items()}
            setattr(self, group, arrays)
            for name, array in arrays.items():
                if array.shape != (days, count):
                    raise ValueError(f"{group}[{name!r}]: shape {array.shape}; expected {(days, count)}")
                if np.isinf(array).any():
                    raise ValueError(f"{group}[{name!r}]: holds an infinite value; expected finite numbers and NaN")
        if ((self.out_share < 0) | (self.out_share > 1)).any():
            raise ValueError("out_share: holds a number outside 0 to 1; expected shares of a day, and NaN")
        self.stocked_out = self.stocked_out | (self.out_share > 0)
        if (falls := np.flatnonzero(np.diff(self.split) < 0)).size:
            day = int(falls[0]) + 1
            raise ValueError(
                f"split: {SPLITS[self.split[day]]!r} on {self.dates[day].date()} follows "
                f"{SPLITS[self.split[day - 1]]!r}; expected {', then '.join(SPLITS)} in time"
            )
        if self.category is not None and len(self.category) != count:
            raise ValueError(f"category: {len(self.category)} names; expected {count}, one per item")
        for name, labels in self.groups.items():
            if len(labels) != count:
                raise ValueError(f"groups[{name!r}]: {len(labels)} names; expected {count}, one per item")

    @property
    def weekly(self) -> bool:
        """Whether a "day" of this panel is a week."""
        return self.dates.freq == pd.offsets.Day(7)

    def days_of(self, split: str) -> slice:
        """The days of a part of the table's own split, one of SPLITS; none of `test` where the table had no split."""
        start, stop = np.searchsorted(self.split, [SPLITS.index(split), SPLITS.index(split) + 1])
        return slice(int(start), int(stop))

    def first_test(self, days: int) -> int:
        """The first held-out day: of the table's own split, or, where it has no test, of the last `days`."""
        test = self.days_of("test")
        return test.start if test.start < test.stop else len(self.dates) - days

    def next_dates(self, count: int) -> pd.DatetimeIndex:
        """The `count` days after the panel's last one."""
        apart = 7 if self.weekly else 1
        return pd.date_range(self.dates[-1], periods=count + 1, freq=f"{apart}D")[1:]

    def fingerprint(self) -> str:
        """SHA-256 over all that the panel holds."""
        words = [*self.items, str(self.dates[0]), str(self.weekly), *(self.category or [])]
        words += [*self.covariates, "", *self.past_covariates, "", *self.supply]
        words += [word for name, labels in self.groups.items() for word in ("", name, *labels)]
        digest = hashlib.sha256("\0".join(words).encode())
        arrays = [getattr(self, name) for name in _ARRAYS]
        arrays += [array for group in _GROUPS for array in getattr(self, group).values()]
        for array in arrays:
            digest.update(f"{array.dtype}{array.shape}".encode() + np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()

    @classmethod
    def from_frame(
        cls,
        frame: str | Path | pd.DataFrame,
        covariates: Sequence[str] = (),
        past_covariates: Sequence[str] = (),
        day_first: bool | None = None,
        columns: dict[str, str] | None = None,
        encoding: str = "",
        price: float | None = None,
        no_row: str = "unobserved",
        groups: Sequence[str] = (),
    ) -> "Panel":
        """The panel of a table under the PANEL contract (see `read`), its items in order of appearance.

        A day without a row after an item's first one is not observed (NaN units), not a day without sales, unless
        `no_row="zero"` says that nothing was sold then; `no_row="refuse"` raises ValueError where most days have no
        row or are months apart (`gaps.refuse_gaps`). `price` is that of all items where the table has none.
        `columns` and `encoding`: see `contract.read`.
        `closed`, `holiday` and `split` are the day's, `category` is the item's: rows that disagree are an error. Where
        all dates are whole weeks apart, the panel is weekly. `covariates` and `past_covariates` name further columns of
        numbers, `groups` further columns of labels, one per item as `category`. `notes` says what was understood, and
        where most days are not observed.
        """
        _check_names(covariates=covariates, past_covariates=past_covariates, groups=groups)
        if no_row not in NO_ROW:
            raise FieldError("no_row", no_row, f"one of {', '.join(NO_ROW)}")
        extra = tuple(Column(name, "number", nullable=True) for name in (*covariates, *past_covariates))
        labels = tuple(Column(name, "text") for name in groups)
        schema = tuple(replace(c, required=price is None) if c.name == "price" else c for c in PANEL)
        table = read(frame, (*schema, *extra, *labels), day_first=day_first, columns=columns, encoding=encoding)
        if price is not None:
            if "price" in table:
                raise FieldError("price", price, "none: the table has a column of prices", "here")
            table["price"] = float(price)
        if table.empty:
            raise ValueError("the table has no rows; expected at least one")
        item, items = pd.factorize(table["item"])
        day = table["date"].to_numpy("datetime64[D]").astype(np.int64)  # days since 1970
        start, stop = table["date"].min(), table["date"].max()
        apart = 7 if start < stop and not ((day - day.min()) % 7).any() else 1
        day = day.min() + (day - day.min()) // apart
        days = int(day.max() - day.min()) + 1
        if days * len(items) > MAX_CELLS:
            raise ValueError(
                f"column 'date': runs from {start.date()} to {stop.date()}, which for {len(items)} items "
                f"makes {days * len(items)} cells; expected at most {MAX_CELLS}"
            )
        day -= day.min()
        wide = {}
        table["out_share"] = _out_share(table, 24.0 * apart)
        empty_values = {"units": np.nan, "price": np.nan, "promo": False, "stocked_out": False, "out_share": np.nan}
        numbers = [*(column.name for column in extra), *(name for name in SUPPLY if name in table)]
        for name, empty in (empty_values | dict.fromkeys(numbers, np.nan)).items():
            wide[name] = np.full((days, len(items)), empty)
            if name in table:
                wide[name][day, item] = table[name]
        wide["price"] = pd.DataFrame(wide["price"]).ffill().to_numpy()
        with_rows = np.unique(table["date"])
        refuse_gaps(wide["units"], wide["price"], with_rows, apart, no_row)
        there = np.zeros(wide["units"].shape, bool)
        there[day, item] = True
        if no_row == "zero":
            launched = there.cumsum(axis=0).astype(bool)
            wide["units"][launched & ~there] = 0.0
            there = launched
        for name in ("closed", "holiday"):
            wide[name] = _one_value(table, name, day, days, False)
        category = _one_value(table, "category", item, len(items), "") if "category" in table else None
        split = pd.Series(_one_value(table, "split", day, days, "")).map({name: k for k, name in enumerate(SPLITS)})
        notes = notes_on_gaps(wide["units"], wide["price"], with_rows, apart, there)
        if notes:
            warnings.warn("; ".join(notes), TableNote, stacklevel=2)
        return cls(
            items=list(items),
            dates=pd.date_range(start, stop, freq=f"{apart}D"),
            category=None if category is None else list(category),
            groups={name: list(_one_value(table, name, item, len(items), "")) for name in groups},
            covariates={name: wide.pop(name) for name in covariates},
            past_covariates={name: wide.pop(name) for name in past_covariates},
            supply={name: wide.pop(name) for name in SUPPLY if name in wide},
            split=split.ffill().fillna(0).to_numpy(np.int8),
            notes=[*table.attrs["notes"], *notes],
            **wide,
        )

    def to_frame(self) -> pd.DataFrame:
        """The table under the PANEL contract: item by item, from each item's launch on, covariates last."""
        item, day = np.nonzero(~np.isnan(self.price.T))
        frame = pd.DataFrame(
            {
                "item": np.array(self.items, dtype=object)[item],
                "date": self.dates[day],
                "units": self.units[day, item],
                "price": self.price[day, item],
                "promo": self.promo[day, item],
                "closed": self.closed[day],
                "holiday": self.holiday[day],
                "stocked_out": self.stocked_out[day, item],
            }
        )
        if not np.isnan(self.out_share).all():
            frame["open_hours"] = 24.0 * (7 if self.weekly else 1)
            frame["stockout_hours"] = self.out_share[day, item] * frame["open_hours"]
        if self.category is not None:
            frame["category"] = np.array(self.category, dtype=object)[item]
        for name, labels in self.groups.items():
            frame[name] = np.array(labels, dtype=object)[item]
        for name, array in (self.covariates | self.past_covariates | self.supply).items():
            frame[name] = array[day, item]
        if self.split.any():
            frame["split"] = np.array(SPLITS, dtype=object)[self.split[day]]
        return frame

    def window(self, start: int, stop: int) -> "Panel":
        """Days start .. stop - 1, copied: nothing outside them can be reached from the result."""
        if not 0 <= start <= stop <= len(self.dates):
            raise ValueError(f"start, stop: {start}, {stop}; expected 0 <= start <= stop <= {len(self.dates)}")
        return self._taken(slice(start, stop), slice(None))

    def by_week(self) -> "Panel":
        """The weekly panel of a daily one: whole weeks from the first day on, days that are left over dropped.

        Units are summed (NaN where a day is not observed), price and covariates averaged. A week has a promotion, a
        holiday or a stock-out if a day of it has, and is closed if all are; the covariate `promo_days` is the share of
        days with promotion.
        """
        if self.weekly:
            raise ValueError("the panel is weekly already: by_week needs a daily one")
        weeks = len(self.dates) // 7

        def cut(array: np.ndarray) -> np.ndarray:
            return array[: 7 * weeks].reshape(weeks, 7, *array.shape[1:])

        averaged = {name: cut(array).mean(axis=1) for name, array in self.covariates.items()}
        return Panel(
            items=list(self.items),
            dates=self.dates[: 7 * weeks : 7],
            units=cut(self.units).sum(axis=1),
            price=cut(self.price).mean(axis=1),
            promo=cut(self.promo).any(axis=1),
            stocked_out=cut(self.stocked_out).any(axis=1),
            out_share=cut(np.where(self.stocked_out | np.isnan(self.out_share).all(), self.out_share, 0.0)).mean(
                axis=1
            ),
            closed=cut(self.closed).all(axis=1),
            holiday=cut(self.holiday).any(axis=1),
            category=None if self.category is None else list(self.category),
            groups={name: list(labels) for name, labels in self.groups.items()},
            covariates=averaged | {"promo_days": cut(self.promo).mean(axis=1)},
            past_covariates={name: cut(array).mean(axis=1) for name, array in self.past_covariates.items()},
            supply={
                name: np.ceil(cut(array).max(axis=1) / 7) if name == "lead_time" else cut(array).mean(axis=1)
                for name, array in self.supply.items()
            },
            split=cut(self.split).max(axis=1),
        )

    def until(self, day_index: int) -> "Panel":
        """The first `day_index` days: the only history a forecaster is ever given."""
        return self.window(0, day_index)

    def select(self, items: Sequence[str]) -> "Panel":
        """The named items, in the order given."""
        position = {name: column for column, name in enumerate(self.items)}
        unknown = [name for name in items if name not in position]
        if unknown:
            raise ValueError(f"items: {unknown[0]!r} is not in the panel; it has {len(self.items)} items")
        return self._taken(slice(None), [position[name] for name in items])

    def beside(self, other: "Panel", suffix: str) -> "Panel":
        """The items of both, `other`'s with `suffix` to their names: one forecaster then learns and forecasts both.

        For a second series of the same items, such as orders beside units. Raises ValueError where dates, closed days,
        holidays, the split or the names of covariates differ, or where only one has categories.
        """
        for name in ("dates", "closed", "holiday", "split"):
            if not np.array_equal(getattr(self, name), getattr(other, name)):
                raise ValueError(f"{name}: not the same in both panels; expected the same")
        if (self.category is None) != (other.category is None):
            raise ValueError("category: only one of the panels has it; expected both or neither")
        if list(self.groups) != list(other.groups):
            raise ValueError(f"groups: {list(self.groups)} beside {list(other.groups)}; expected the same names")
        joined = {"category": None if self.category is None else [*self.category, *other.category]}
        joined["groups"] = {name: [*labels, *other.groups[name]] for name, labels in self.groups.items()}
        for group in _GROUPS:
            ours, theirs = getattr(self, group), getattr(other, group)
            if list(ours) != list(theirs):
                raise ValueError(f"{group}: {list(ours)} beside {list(theirs)}; expected the same names")
            joined[group] = {name: np.hstack([ours[name], theirs[name]]) for name in ours}
        for name in _ARRAYS:
            array = getattr(self, name)
            joined[name] = array.copy() if array.ndim == 1 else np.hstack([array, getattr(other, name)])
        items = [*self.items, *(f"{item}{suffix}" for item in other.items)]
        return Panel(items=items, dates=self.dates.copy(), **joined)

    def _taken(self, days: slice, columns: slice | list[int]) -> "Panel":
        """A copy of some days and items."""

        def taken(array: np.ndarray) -> np.ndarray:
            return (array[days] if array.ndim == 1 else array[days][:, columns]).copy()

        names = np.empty(len(self.items), object)
        names[:] = self.items
        category = None if self.category is None else np.array(self.category, object)[columns].tolist()
        return Panel(
            items=names[columns].tolist(),
            dates=self.dates[days].copy(),
            category=category,
            groups={name: np.array(labels, object)[columns].tolist() for name, labels in self.groups.items()},
            **{group: {name: taken(array) for name, array in getattr(self, group).items()} for group in _GROUPS},
            **{name: taken(getattr(self, name)) for name in _ARRAYS},
        )


def _index(dates) -> pd.DatetimeIndex:
    """Days in nanoseconds from an index, an array or a list, also of text; raises ValueError for what is no day."""
    refuse_zone(dates, "dates")
    if isinstance(dates, pd.DatetimeIndex):
        return dates.as_unit("ns")
    values = plain(pd.Series(dates))
    try:
        index = pd.DatetimeIndex(times(values)[0])
    except Undecided as error:
        raise ValueError(f"dates, row {error.position + 1}: {error.words}; expected days as YYYY-MM-DD") from None
    if index.hasnans:
        row = int(np.argmax(index.isna()))
        raise ValueError(f"dates, row {row + 1}: {shown(values.iloc[row])}; expected a day as YYYY-MM-DD")
    return index


def _check_names(**columns: Sequence[str]) -> None:
    """Raise FieldError where names of further columns are no list, the contract's own or twice there."""
    taken = {column.name for column in PANEL}
    for field_name, names in columns.items():
        if isinstance(names, str) or not all(isinstance(name, str) for name in names):
            raise FieldError(field_name, names, "a list of names of columns")
        for name in names:
            if name in taken:
                raise FieldError(field_name, name, f"each name once, and none of {', '.join(c.name for c in PANEL)}")
            taken.add(name)


def _out_share(table: pd.DataFrame, usual: float) -> pd.Series:
    """The share of each row's open hours, `usual` where the table has none, without stock; NaN = not known."""
    if "stockout_hours" not in table:
        return pd.Series(np.nan, table.index)
    open_hours = table["open_hours"] if "open_hours" in table else pd.Series(usual, table.index)
    wrong = np.flatnonzero(table["stockout_hours"] > open_hours)
    if len(wrong):
        row = int(wrong[0])
        raise ValueError(
            f"column 'stockout_hours', row {row + 1}: {shown(table['stockout_hours'].iloc[row])}; expected at most the "
            f"{open_hours.iloc[row]:g} hours of column 'open_hours'"
        )
    return table["stockout_hours"] / open_hours


def _one_value(table: pd.DataFrame, name: str, group: np.ndarray, size: int, empty: bool | str) -> np.ndarray:
    """One value of column `name` per group (a day or an item); rows of a group that disagree are an error."""
    values = np.full(size, empty, dtype=bool if empty is False else object)
    if name not in table:
        return values
    column = table[name].to_numpy()
    values[group] = column
    differs = np.flatnonzero(values[group] != column)
    if len(differs):
        row = int(differs[0])
        same = "date" if name in ("closed", "holiday") else "item"
        raise ValueError(
            f"column {name!r}, row {row + 1}: {shown(column[row])}, but another row of the same "
            f"{same} has {shown(values[group[row]])}; expected one value for all"
        )
    return values
