"""Rolling-origin backtest: every forecaster on the same items and days, by the metrics of forecasting research.

`python -m storelab.forecasting.backtest DATA` measures the table of docs/forecasting_results.md.
"""

import argparse
import copy
import time
from collections.abc import Sequence

import numpy as np
import pandas as pd
from tqdm import tqdm

from ..data import Panel, SyntheticStoreParams, generate, online_retail
from ..errors import FieldError
from .base import DECILES, Forecaster, known_future
from .censored import treated

SEASON = 7  # days
SUM_DAYS = 7  # days whose total is measured, as a lead time's demand
_PATHS = 200
_RESAMPLES = 2000
CLASSES = ("smooth", "erratic", "intermittent", "lumpy")
AGES = ("under 28 days", "28 to 89 days", "90 to 179 days", "180 to 364 days", "365 days and more")
_AGE_EDGES = (28, 90, 180, 365)  # days


def backtest(
    forecasters: dict[str, Forecaster],
    panel: Panel,
    origins: Sequence[int],
    horizon: int,
    levels: Sequence[float] = DECILES,
    refit: bool = False,
    progress: bool = True,
) -> pd.DataFrame:
    """A row per forecaster and origin, and one pooled over the origins (`origin` "pooled"): see `table`."""
    forecasts = [
        rolling_forecasts(name, forecaster, panel, origins, horizon, levels, refit, progress)
        for name, forecaster in forecasters.items()
    ]
    return pd.concat([table(frame) for frame in forecasts], ignore_index=True)


def rolling_forecasts(
    name: str,
    forecaster: Forecaster,
    panel: Panel,
    origins: Sequence[int],
    horizon: int,
    levels: Sequence[float] = DECILES,
    refit: bool = False,
    progress: bool = True,
) -> pd.DataFrame:
    """What a forecaster says from each origin on, and what came: a row per origin, item and day ahead, in that order.

    `origins` are the row numbers of first forecast days. A copy of the forecaster is fine-tuned on the days before
    the first origin, with `refit` before every origin anew; it never gets a day from its origin on.

    Columns: forecaster, origin, item, ahead (1 .. H), date; actual, mean and quantiles (q0.1, ...) in units/day;
    total_7d and its quantiles (q0.1_7d, ...), units of the first 7 days; of the history before the origin:
    demand_class, age (see `demand_classes`, `ages`), absolute_scale, squared_scale (see `error_scales`); seconds of the
    origin for training, quantiles and mean, without the paths.

    Raises ValueError when a horizon ends after the panel, or `levels` lacks .1, .5 or .9.
    """
    origins = sorted(origins)
    if not origins or origins[-1] + horizon > len(panel.dates):
        raise FieldError("origins", origins, f"one or more day numbers in 1 .. {len(panel.dates) - horizon}")
    if not {0.1, 0.5, 0.9} <= set(levels):
        raise FieldError("levels", list(levels), "levels with .1, .5 and .9, which the metrics need")
    levels, frames, trained = sorted(levels), [], None
    for origin in tqdm(origins, desc=name, unit="origin", disable=not progress or None):
        started = time.perf_counter()
        history, known = panel.until(origin), known_future(panel, origin, horizon)
        if trained is None or refit:
            trained = copy.deepcopy(forecaster).fine_tune(history)
        quantiles = trained.predict(history, known, levels)
        mean = trained.predict_mean(history, known)
        seconds = time.perf_counter() - started
        drawn = trained.sample_paths(history, known, _PATHS, seed=origin)
        days = slice(origin, origin + horizon)
        actual = np.where(panel.stocked_out[days], np.nan, panel.units[days]).T
        total, total_quantiles = sum_quantiles(actual[:, :SUM_DAYS], drawn[..., :SUM_DAYS], levels)
        absolute, squared = error_scales(history)
        of_items = {
            "item": np.array(panel.items, object),
            "demand_class": demand_classes(history),
            "age": ages(history),
            "absolute_scale": absolute,
            "squared_scale": squared,
            "total_7d": total,
            **{f"q{level:g}_7d": total_quantiles[:, k] for k, level in enumerate(levels)},
        }
        frames.append(
            pd.DataFrame(
                {
                    "forecaster": name,
                    "origin": panel.dates[origin],
                    **{column: np.repeat(values, horizon) for column, values in of_items.items()},
                    "ahead": np.tile(np.arange(1, horizon + 1), len(panel.items)),
                    "date": np.tile(panel.dates[origin : origin + horizon], len(panel.items)),
                    "actual": actual.ravel(),
                    "mean": mean.ravel(),
                    **{f"q{level:g}": quantiles[..., k].ravel() for k, level in enumerate(levels)},
                    "seconds": seconds,
                }
            )
        )
    return pd.concat(frames, ignore_index=True)


def levels_of(forecasts: pd.DataFrame) -> list[float]:
    """The levels whose quantiles a frame of `rolling_forecasts` holds."""
    return [float(name[1:]) for name in forecasts if name[0] == "q" and not name.endswith("_7d")]


def measure(forecasts: pd.DataFrame) -> dict[str, float]:
    """`metrics` and `sum_metrics` of one forecaster's rows of `rolling_forecasts`, all horizons whole."""
    levels, horizon = levels_of(forecasts), int(forecasts["ahead"].max())

    def daily(*names: str) -> np.ndarray:
        return forecasts[list(names)].to_numpy(float).reshape(-1, horizon, len(names))

    first = forecasts[forecasts["ahead"] == 1]
    actual, mean = daily("actual")[..., 0], daily("mean")[..., 0]
    scales = first["absolute_scale"].to_numpy(), first["squared_scale"].to_numpy()
    total_quantiles = first[[f"q{level:g}_7d" for level in levels]].to_numpy()
    return {
        **metrics(actual, daily(*(f"q{level:g}" for level in levels)), mean, *scales, levels),
        **sum_metrics(first["total_7d"].to_numpy(), total_quantiles, levels),
    }


def table(forecasts: pd.DataFrame) -> pd.DataFrame:
    """Of one forecaster: a row per origin and one over all ("pooled"), with seconds; columns as in `measure`."""
    rows = []
    for origin, part in [*forecasts.groupby("origin", sort=True), ("pooled", forecasts)]:
        shown = origin if origin == "pooled" else f"{origin:%Y-%m-%d}"
        seconds = part.groupby("origin")["seconds"].first().sum()
        rows.append({"forecaster": part["forecaster"].iloc[0], "origin": shown, **measure(part), "seconds": seconds})
    return pd.DataFrame(rows)


def table_by(forecasts: pd.DataFrame, column: str) -> pd.DataFrame:
    """A row per forecaster and group of `column` (demand_class or age), over all origins; `series` counts them."""
    rows = [
        {"forecaster": name, column: group, "series": int((part["ahead"] == 1).sum()), **measure(part)}
        for (name, group), part in forecasts.groupby(["forecaster", column], sort=False)
    ]
    order = {group: place for place, group in enumerate((*CLASSES, *AGES))}
    return pd.DataFrame(rows).sort_values(
        column, key=lambda groups: groups.map(order), kind="stable", ignore_index=True
    )


def differences(first: pd.DataFrame, second: pd.DataFrame) -> dict[str, tuple[float, float]]:
    """95 % intervals of wQL and MASE of one forecaster's rows less another's, by a bootstrap over items."""
    ours, theirs = _by_item(first), _by_item(second)
    count = len(ours)
    weights = np.random.default_rng(0).multinomial(count, np.full(count, 1 / count), _RESAMPLES)
    intervals = {}
    for name, loss, per in (("wQL", "loss", "units"), ("MASE", "error", "series")):
        with np.errstate(invalid="ignore", divide="ignore"):
            drawn = weights @ (ours[loss] - theirs[loss]).to_numpy() / (weights @ ours[per].to_numpy())
        intervals[name] = tuple(np.nanquantile(drawn, [0.025, 0.975]).tolist())
    return intervals


def _by_item(forecasts: pd.DataFrame) -> pd.DataFrame:
    """Per item: units, twice the mean pinball loss in units, the scaled errors of its series, and their number."""
    levels, actual = np.array(levels_of(forecasts)), forecasts[["actual"]].to_numpy()
    deviation = actual - np.sort(forecasts[[f"q{level:g}" for level in levels]].to_numpy(), axis=1)
    rows = forecasts[["item", "origin"]].assign(units=actual)
    rows["loss"] = 2 * np.maximum(levels * deviation, (levels - 1) * deviation).mean(axis=1)
    rows["error"] = (forecasts["actual"] - forecasts["q0.5"]).abs() / forecasts["absolute_scale"]
    series = rows.groupby(["item", "origin"]).agg({"units": "sum", "loss": "sum", "error": "mean"})
    return series.assign(series=series["error"].notna()).groupby("item").sum()


def demand_classes(history: Panel) -> np.ndarray:
    """Of each item (I,): smooth, erratic, intermittent or lumpy (Syntetos, Boylan & Croston 2005).

    ADI, observed days per day with a sale, is 1.32 or more for intermittent and lumpy; CV², of the units of days with
    a sale (squared coefficient of variation), .49 or more for erratic and lumpy. No sale at all: intermittent.
    """
    units = treated(history, "drawn").units
    sold = units > 0
    count = sold.sum(axis=0)
    mean = np.where(sold, units, 0.0).sum(axis=0) / np.maximum(count, 1)
    variance = np.where(sold, (units - mean) ** 2, 0.0).sum(axis=0) / np.maximum(count, 1)
    rare = (~np.isnan(units)).sum(axis=0) >= 1.32 * count
    varied = variance >= 0.49 * np.where(mean > 0, mean, np.inf) ** 2
    return np.array(CLASSES, object)[2 * rare + varied]


def ages(history: Panel) -> np.ndarray:
    """Days since each item's first observed one, in bands (I,)."""
    seen = ~np.isnan(history.units)
    days = np.where(seen.any(axis=0), len(seen) - np.argmax(seen, axis=0), 0)
    return np.array(AGES, object)[np.searchsorted(_AGE_EDGES, days, side="right")]


def error_scales(history: Panel) -> tuple[np.ndarray, np.ndarray]:
    """In-sample error scales (I,): mean absolute lag-7 difference (MASE) and mean squared lag-1 one (RMSSE).

    Days not observed take no part; a scale of zero is NaN, and the series is left out of the mean.
    """
    units = treated(history, "drawn").units

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
        "MASE": _mean(np.nansum(error, axis=1) / count / absolute_scale),
        "RMSSE": _mean(np.sqrt(np.nansum((actual - mean) ** 2, axis=1) / count / squared_scale)),
        "sMAPE": _share(relative[seen].sum(), seen.sum()),
        "wQL": _weighted_quantile_loss(actual, quantiles, levels),
        "WAPE": _share(np.nansum(error), total),
        "bias": _share(np.nansum(mean - actual), total),
        "coverage_80": _share(((actual >= low) & (actual <= high))[seen].sum(), seen.sum()),
    }


def sum_quantiles(actual: np.ndarray, paths: np.ndarray, levels: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    """What came in all of H days (N,), and the quantiles of the paths' totals (N, Q), inverted CDF.

    Of actual (N, H) and paths (N, P, H). Days not observed count in neither sum; NaN where no day was.
    """
    seen = ~np.isnan(actual)
    total = np.where(seen.any(axis=1), np.nansum(actual, axis=1), np.nan)
    return total, np.quantile((paths * seen[:, None]).sum(axis=2), levels, axis=1, method="inverted_cdf").T


def sum_metrics(total: np.ndarray, quantiles: np.ndarray, levels: Sequence[float]) -> dict[str, float]:
    """wQL_7d and coverage_80_7d, as in `metrics`, of the totals (N,) and their quantiles (N, Q)."""
    levels = np.asarray(levels, float)
    low, high = (quantiles[:, int(np.argmin(np.abs(levels - level)))] for level in (0.1, 0.9))
    inside = ((total >= low) & (total <= high))[~np.isnan(total)]
    return {
        "wQL_7d": _weighted_quantile_loss(total, quantiles, levels),
        "coverage_80_7d": float(inside.mean()) if len(inside) else np.nan,
    }


def _weighted_quantile_loss(actual: np.ndarray, quantiles: np.ndarray, levels: np.ndarray) -> float:
    deviation = actual[..., None] - quantiles
    loss = np.maximum(levels * deviation, (levels - 1) * deviation)
    return _share(2 * np.nansum(loss) / len(levels), np.nansum(np.abs(actual)))


def _mean(values: np.ndarray) -> float:
    values = values[~np.isnan(values)]
    return _share(values.sum(), len(values))


def _share(part: float, whole: float) -> float:
    """NaN where there is nothing to divide by: no demand came, no day was observed."""
    return float(part / whole) if whole > 0 else np.nan


def select_items(panel: Panel, origin: int, count: int, least_days: int = 120, least_sales: int = 40) -> Panel:
    """At most `count` items, evenly spread, launched `least_days` and sold on `least_sales` days before `origin`."""
    past = panel.units[:origin]
    launch = np.argmax(~np.isnan(panel.units), axis=0)
    keep = np.flatnonzero((launch <= origin - least_days) & ((past > 0).sum(axis=0) >= least_sales))
    if len(keep) > count:
        keep = keep[np.linspace(0, len(keep) - 1, count).astype(int)]
    return panel.select([panel.items[column] for column in keep])


def main() -> None:
    """The table of docs/forecasting_results.md: baselines, the sequence model in three states, LightGBM, both."""
    from . import create

    parser = argparse.ArgumentParser(description="Backtest the forecasters by the reference protocol.")
    parser.add_argument("data", help="'synthetic', or a path that storelab.data.online_retail.load_panel reads")
    parser.add_argument("--items", type=int, default=1000, help="items at most (default 1000)")
    parser.add_argument("--origins", type=int, default=3, help="the last so many horizons (default 3)")
    parser.add_argument("--horizon", type=int, default=28, help="days (default 28)")
    parser.add_argument("--refit", action="store_true", help="fine-tune before every origin, not only the first")
    parser.add_argument("--seed", type=int, default=0, help="of all trainings (default 0)")
    parser.add_argument("--models", nargs="+", metavar="ROW", help="rows of the table, as named there (default all)")
    args = parser.parse_args()
    synthetic = args.data == "synthetic"
    panel = generate(SyntheticStoreParams()).panel if synthetic else online_retail.load_panel(args.data)
    panel = panel.select(sorted(panel.items))
    days = len(panel.dates)
    origins = [days - args.horizon * k for k in range(args.origins, 0, -1)]
    panel = select_items(panel, origins[0], args.items)
    # Recorded prices are what was paid: a bulk order's rebate would give it away.
    shared = {"planned": synthetic, "seed": args.seed}
    models = {
        "seasonal naive": create("seasonal_naive"),
        "moving average": create("moving_average"),
        "transformer, from scratch": create("transformer", pretrained="", **shared),
        "transformer, zero-shot": create("transformer", fine_tune_steps=0, **shared),
        "transformer, fine-tuned": create("transformer", **shared),
        "lightgbm": create("lightgbm", **shared),
        "two members": create("ensemble", members=["transformer", "lightgbm"], windows=0, **shared),
        "ensemble": create("ensemble", **shared),
    }
    if unknown := [name for name in args.models or () if name not in models]:
        parser.error(f"--models: {unknown[0]!r} is no row; rows are {', '.join(map(repr, models))}")
    models = {name: models[name] for name in args.models or models}
    table = backtest(models, panel, origins, args.horizon, refit=args.refit)
    print(f"{len(panel.items)} items, {days} days, origins {origins}, horizon {args.horizon}")
    print(table.to_string(index=False, float_format="{:.4f}".format))


if __name__ == "__main__":
    main()
