"""Rolling-origin backtest: every forecaster on the same items and days, by the metrics of forecasting research.

`python -m storelab.forecasting.backtest DATA` measures the table of docs/forecasting.md.
"""

import argparse
import copy
import time
from collections.abc import Sequence

import numpy as np
import pandas as pd
from tqdm import tqdm

from ..data import Panel, SyntheticStoreParams, generate, online_retail
from .base import DECILES, Forecaster, known_future

SEASON = 7  # days
SUM_DAYS = 7  # days whose total is measured, as a lead time's demand
_PATHS = 200


def backtest(
    forecasters: dict[str, Forecaster],
    panel: Panel,
    origins: Sequence[int],
    horizon: int,
    levels: Sequence[float] = DECILES,
    refit: bool = False,
    progress: bool = True,
) -> pd.DataFrame:
    """A row per forecaster and origin, and one pooled over the origins (`origin` "pooled").

    `origins` are the row numbers of first forecast days. A copy of each forecaster is fine-tuned on the days before
    the first origin, with `refit` before every origin anew; it never gets a day from its origin on. Columns: see
    `metrics` and `sum_metrics`; `seconds` are those of training, quantiles and mean, without the paths.

    Raises ValueError when a horizon ends after the panel, or `levels` lacks .1, .5 or .9.
    """
    origins = sorted(origins)
    if not origins or origins[-1] + horizon > len(panel.dates):
        raise ValueError(f"origins are {origins}: allowed are 1 .. {len(panel.dates) - horizon}, one or more")
    if not {0.1, 0.5, 0.9} <= set(levels):
        raise ValueError(f"levels is {list(levels)}: the metrics need .1, .5 and .9 among them")
    rows = []
    for name, forecaster in forecasters.items():
        parts, sums, seconds = [], [], 0.0
        trained = None
        for origin in tqdm(origins, desc=name, unit="origin", disable=not progress):
            started = time.perf_counter()
            history, known = panel.until(origin), known_future(panel, origin, horizon)
            if trained is None or refit:
                trained = copy.deepcopy(forecaster).fine_tune(history)
            quantiles = trained.predict_quantiles(history, known, levels)
            mean = trained.predict_mean(history, known)
            taken = time.perf_counter() - started
            seconds += taken
            actual = panel.units[origin : origin + horizon].T
            parts.append((actual, quantiles, mean, *error_scales(history)))
            drawn = trained.sample_paths(history, known, _PATHS, seed=origin)
            sums.append((actual[:, :SUM_DAYS], drawn[..., :SUM_DAYS]))
            measured = {**metrics(*parts[-1], levels), **sum_metrics(*sums[-1], levels)}
            rows.append({"forecaster": name, "origin": f"{panel.dates[origin]:%Y-%m-%d}", **measured, "seconds": taken})
        pooled, summed = ([np.concatenate(column) for column in zip(*rest, strict=True)] for rest in (parts, sums))
        measured = {**metrics(*pooled, levels), **sum_metrics(*summed, levels)}
        rows.append({"forecaster": name, "origin": "pooled", **measured, "seconds": seconds})
    return pd.DataFrame(rows)


def error_scales(history: Panel) -> tuple[np.ndarray, np.ndarray]:
    """In-sample error scales (I,): mean absolute lag-7 difference (MASE) and mean squared lag-1 one (RMSSE).

    Days not observed take no part; a scale of zero is NaN, and the series is left out of the mean.
    """
    units = history.units

    def mean_of(errors: np.ndarray) -> np.ndarray:
        count = (~np.isnan(errors)).sum(axis=0)
        mean = np.nansum(errors, axis=0) / np.maximum(count, 1)
        return np.where(mean > 0, mean, np.nan)

    return mean_of(np.abs(units[SEASON:] - units[:-SEASON])), mean_of((units[1:] - units[:-1]) ** 2)


def metrics(
    actual: np.ndarray,
    quantiles: np.ndarray,
    mean: np.ndarray,
    absolute_scale: np.ndarray,
    squared_scale: np.ndarray,
    levels: Sequence[float],
) -> dict[str, float]:
    """Of N series over H days: actual (N, H) with NaN = not observed, quantiles (N, H, Q), mean (N, H), scales (N,).

    MASE (Hyndman & Koehler 2006): absolute error of the median by the in-sample seasonal naive error, mean over series.
    RMSSE (M5, Makridakis et al. 2022): root of the squared error of the mean by the in-sample naive squared error.
    sMAPE: 2 |y - f| / (|y| + |f|) of the median, 0 where both are 0. WAPE: sum |y - f| / sum |y| of the median.
    wQL: twice the pinball loss, mean over levels, summed over all cells, by sum |y|. bias: sum (mean - y) / sum y.
    coverage_80: share of actuals between the first and the ninth decile, both included.
    """
    quantiles = np.sort(quantiles, axis=-1)
    levels = np.sort(np.asarray(levels, float))
    low, median, high = (quantiles[..., int(np.argmin(np.abs(levels - level)))] for level in (0.1, 0.5, 0.9))
    seen = ~np.isnan(actual)
    count = np.maximum(seen.sum(axis=1), 1)
    total = np.nansum(np.abs(actual))
    error = np.abs(actual - median)
    size = np.abs(actual) + np.abs(median)
    relative = np.where(size > 0, 2 * error / np.where(size > 0, size, 1), 0.0)
    return {
        "MASE": float(np.nanmean(np.nansum(error, axis=1) / count / absolute_scale)),
        "RMSSE": float(np.nanmean(np.sqrt(np.nansum((actual - mean) ** 2, axis=1) / count / squared_scale))),
        "sMAPE": float(relative[seen].mean()),
        "wQL": _weighted_quantile_loss(actual, quantiles, levels),
        "WAPE": float(np.nansum(error) / total),
        "bias": float(np.nansum(mean - actual) / total),
        "coverage_80": float(((actual >= low) & (actual <= high))[seen].mean()),
    }


def sum_metrics(actual: np.ndarray, paths: np.ndarray, levels: Sequence[float]) -> dict[str, float]:
    """Of the total over the first 7 days: actual (N, H), paths (N, P, H). Days not observed count in neither sum.

    wQL_7d and coverage_80_7d are as in `metrics`, of the quantiles of the paths' totals (inverted CDF).
    """
    levels = np.sort(np.asarray(levels, float))
    seen = ~np.isnan(actual)
    total = np.nansum(actual, axis=1)
    quantiles = np.quantile((paths * seen[:, None]).sum(axis=2), levels, axis=1, method="inverted_cdf").T
    low, high = (quantiles[:, int(np.argmin(np.abs(levels - level)))] for level in (0.1, 0.9))
    inside = ((total >= low) & (total <= high))[seen.any(axis=1)]
    return {
        "wQL_7d": _weighted_quantile_loss(total, quantiles, levels),
        "coverage_80_7d": float(inside.mean()),
    }


def _weighted_quantile_loss(actual: np.ndarray, quantiles: np.ndarray, levels: np.ndarray) -> float:
    deviation = actual[..., None] - quantiles
    loss = np.maximum(levels * deviation, (levels - 1) * deviation)
    return float(2 * np.nansum(loss) / len(levels) / np.nansum(np.abs(actual)))


def select_items(panel: Panel, origin: int, count: int) -> Panel:
    """At most `count` items, evenly spread, observed >= 120 days and sold on >= 40 days before `origin`."""
    past = panel.units[:origin]
    launch = np.argmax(~np.isnan(panel.units), axis=0)
    keep = np.flatnonzero((launch <= origin - 120) & ((past > 0).sum(axis=0) >= 40))
    if len(keep) > count:
        keep = keep[np.linspace(0, len(keep) - 1, count).astype(int)]
    return panel.select([panel.items[column] for column in keep])


def main() -> None:
    """The table of docs/forecasting.md: the baselines and the sequence model from scratch, zero-shot and fine-tuned."""
    from . import create

    parser = argparse.ArgumentParser(description="Backtest the forecasters by the reference protocol.")
    parser.add_argument("data", help="'synthetic', or a path that storelab.data.online_retail.load_panel reads")
    parser.add_argument("--items", type=int, default=1000, help="items at most (default 1000)")
    parser.add_argument("--origins", type=int, default=3, help="the last so many horizons (default 3)")
    parser.add_argument("--horizon", type=int, default=28, help="days (default 28)")
    parser.add_argument("--refit", action="store_true", help="fine-tune before every origin, not only the first")
    args = parser.parse_args()
    synthetic = args.data == "synthetic"
    panel = generate(SyntheticStoreParams()).panel if synthetic else online_retail.load_panel(args.data)
    panel = panel.select(sorted(panel.items))
    days = len(panel.dates)
    origins = [days - args.horizon * k for k in range(args.origins, 0, -1)]
    panel = select_items(panel, origins[0], args.items)
    # Recorded prices are what was paid: a bulk order's rebate would give it away.
    models = {
        "seasonal naive": create("seasonal_naive"),
        "moving average": create("moving_average"),
        "transformer, from scratch": create("transformer", pretrained="", planned=synthetic),
        "transformer, zero-shot": create("transformer", fine_tune_steps=0, planned=synthetic),
        "transformer, fine-tuned": create("transformer", planned=synthetic),
    }
    table = backtest(models, panel, origins, args.horizon, refit=args.refit)
    print(f"{len(panel.items)} items, {days} days, origins {origins}, horizon {args.horizon}")
    print(table.to_string(index=False, float_format="{:.4f}".format))


if __name__ == "__main__":
    main()
