"""Quantiles of the demand over a lead time: what an order-up-to level is made from."""

import hashlib
import io
from pathlib import Path

import numpy as np
from tqdm import tqdm

from ..data import Panel
from ..errors import FieldError
from ..learning.base import write_atomic
from ..reading import read_arrays
from .base import Forecaster, known_future


def rolling_lead_time_quantiles(*given, **named) -> np.ndarray:
    """Quantiles of the demand of days t .. t + lead_time, for each day t of `days` and each item, (len(days), I, Q).

    The first of the two that `rolling_order_quantiles` returns, whose arguments it takes.
    """
    return rolling_order_quantiles(*given, **named)[0]


def rolling_order_quantiles(
    forecaster: Forecaster,
    panel: Panel,
    days: np.ndarray,
    lead_time: np.ndarray,
    levels,
    paths: int = 200,
    seed: int = 0,
    cache: str | Path | None = None,
    progress: bool = True,
) -> np.ndarray:
    """What an order is made from, (2, len(days), I, Q): quantiles of the demand over its lead time, and of its day.

    The first are those of the demand of days t .. t + lead_time, for each day t of `days` and each item; the second
    those of day t + lead_time alone, on which an order of day t arrives.

    `days` are row numbers of the panel, >= 14; `lead_time` (I,) is in days. The sum runs over lead_time + 1 days, the
    protection interval of a daily review. The forecast of day t has seen the days before t and no others. Quantiles
    are taken of summed sample paths: the sum of daily quantiles is no quantile of the sum.

    With a `cache` folder the result is kept under a hash of all that decides it, and read from there next time.
    """
    days, lead_time = np.asarray(days), np.asarray(lead_time)
    levels = np.asarray(levels, float)
    if (
        days.ndim != 1
        or days.dtype.kind not in "iu"
        or not days.size
        or days.min() < 1
        or days.max() > len(panel.dates)
    ):
        raise FieldError("days", days.tolist(), f"one or more day numbers from 1 to {len(panel.dates)}")
    if lead_time.shape != (len(panel.items),) or lead_time.dtype.kind not in "iu" or lead_time.min() < 0:
        raise FieldError("lead_time", lead_time.tolist(), f"{len(panel.items)} whole numbers >= 0, one per item")
    if levels.ndim != 1 or not levels.size or not ((levels > 0) & (levels < 1)).all():
        raise FieldError("levels", levels.tolist(), "numbers between 0 and 1, both excluded")
    if paths < 1:
        raise FieldError("paths", paths, "at least 1")
    file = cache and Path(cache) / f"{_key(forecaster, panel, days, lead_time, levels, paths, seed)}.npz"
    if file and (kept := _read(file)) is not None:
        return kept

    horizon = int(lead_time.max()) + 1
    counted = np.arange(horizon) <= lead_time[:, None, None]  # (I, 1, H)
    result = np.empty((2, len(days), len(panel.items), len(levels)), np.float32)
    place = np.clip(np.ceil(levels * paths).astype(int) - 1, 0, paths - 1)  # inverted CDF: a value that a path had
    for row, day in enumerate(tqdm(days, desc="forecast", unit="day", disable=not progress or None)):
        known = known_future(panel, int(day), horizon)
        # A seed per day of the calendar: a day's forecast doesn't depend on which other days were asked for.
        drawn = forecaster.sample_paths(panel.until(int(day)), known, paths, seed=seed * 1_000_003 + int(day))
        last = np.take_along_axis(drawn, lead_time[:, None, None], axis=2)[..., 0]
        for part, units in enumerate(((drawn * counted).sum(axis=2), last)):
            result[part, row] = np.sort(units, axis=1)[:, place]
    if file:
        buffer = io.BytesIO()
        np.savez_compressed(buffer, quantiles=result)
        write_atomic(file, buffer.getvalue())
    return result


def _key(forecaster: Forecaster, panel: Panel, *arrays) -> str:
    digest = hashlib.sha256(("order" + forecaster.fingerprint() + panel.fingerprint()).encode())
    for array in map(np.ascontiguousarray, arrays):
        digest.update(f"{array.dtype}{array.shape}".encode() + array.tobytes())
    return digest.hexdigest()


def _read(file: Path) -> np.ndarray | None:
    """The kept result; None when there is none or the file is damaged: it is then computed anew."""
    try:
        return read_arrays(file)["quantiles"]
    except (OSError, ValueError, KeyError):
        return None
