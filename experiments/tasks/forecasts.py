"""Forecasts for a task's days: a forecaster, fine-tuned on the days before each split, and what it forecasts."""

import copy
import hashlib
import json
from dataclasses import asdict
from pathlib import Path

import numpy as np

from ...data import Panel
from ...forecasting import Forecaster, load
from ...forecasting.lead_time import rolling_order_quantiles
from ..runs.provenance import code_hash


def forecast_splits(
    forecaster: Forecaster, panel: Panel, splits: list[slice], lead_time, levels, cache=None, refit: int | None = None
) -> list[dict[str, np.ndarray]]:
    """The forecasts of `Days` for each day of each split: see `rolling_order_quantiles`.

    Before each split the forecaster is fine-tuned on all days before it; within the first one, which policies learn
    on, again about every `refit` days. With a `cache` folder, both the fine-tuned forecaster and its forecasts are kept
    under a hash of all that decides them.
    """
    folder, forecasts = cache and Path(cache) / "quantiles" / code_hash("forecasting", "data")[:16], []
    for place, days in enumerate(splits):
        rows = np.arange(days.start, days.stop)
        parts = max(1, round(len(rows) / refit)) if refit and place == 0 else 1
        made = []
        for part in np.array_split(rows, parts):
            tuned = fine_tuned(forecaster, panel.until(int(part[0])), cache)
            made.append(rolling_order_quantiles(tuned, panel, part, lead_time, levels, cache=folder))
        forecasts.append(dict(zip(("forecast", "arrival"), np.concatenate(made, axis=1), strict=True)))
    return forecasts


def fine_tuned(forecaster: Forecaster, past: Panel, cache: str | Path | None = None) -> Forecaster:
    """A copy of the forecaster, fine-tuned on `past`; read from the cache where it is kept there."""
    if cache is None:
        return copy.deepcopy(forecaster).fine_tune(past)
    parts = [_identity(forecaster), past.fingerprint(), code_hash("forecasting", "data")]
    key = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]
    folder = Path(cache) / "forecasters" / key
    try:
        return load(folder)
    except ValueError:  # not kept, or damaged
        tuned = copy.deepcopy(forecaster).fine_tune(past)
        tuned.save(folder)
        return tuned


def _identity(forecaster: Forecaster) -> list:
    try:
        return [forecaster.fingerprint()]
    except ValueError:  # no weights yet: the parameters say it all
        return [forecaster.name, asdict(forecaster.params)]
