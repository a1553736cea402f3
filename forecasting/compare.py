"""What the methods of fine-tuning, continual learning and a cold start are worth: docs/forecasting_results.md.

`python -m storelab.forecasting.compare methods DATA`, `... compare tasks DATA`, `... compare update`,
`... compare cold-start` or `... compare covariates DATA`.
"""

import argparse
import resource
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from ..data import Panel, SyntheticStoreParams, complete_journey, generate, online_retail
from ..learning.params import CHOICES
from . import create
from .backtest import backtest, differences, measure, rolling_forecasts, select_items
from .base import DECILES, Known, known_future
from .distribution import at_levels
from .transformer import Transformer, TransformerParams

HORIZON = 28  # days
_SHARES = (0.1, 0.3, 0.5, 0.7, 0.9)  # of the first seven weeks' totals
WEEKS = 8  # of the horizon of weekly panels


def methods(panel: Panel, origins: list[int], seeds: int) -> Iterator[dict]:
    """A row per method and seed: pooled errors, weights trained, seconds and peak memory (MB) of the fine-tuning.

    Fine-tuned once, on the days before the first origin. Prices are taken as not known in advance.
    """
    plans = [("zero-shot", {"fine_tune_steps": 0}, 0)]
    plans += [(method, {"method": method}, seed) for seed in range(seeds) for method in CHOICES["method"]]
    for name, settings, seed in plans:
        model = Transformer(TransformerParams(planned=False, progress=False, seed=seed, **settings))
        _reset_peak()
        started = time.perf_counter()
        model.fine_tune(panel.until(origins[0]))
        seconds, memory = time.perf_counter() - started, _peak()
        trained = model.trained_weights if model.params.fine_tune_steps else 0
        model.params.fine_tune_steps = 0  # the backtest takes the weights as they are
        table = backtest({name: model}, panel, origins, HORIZON, progress=False)
        pooled = table[table["origin"] == "pooled"].iloc[0]
        row = {"method": name, "seed": seed, "wQL": pooled["wQL"], "MASE": pooled["MASE"], "trained": trained}
        validation = min(line["validation_loss"] for line in model.history)
        yield {**row, "validation": validation, "seconds": seconds, "peak_MB": memory}


def tasks(units: Panel, orders: Panel, origins: list[int], seeds: int) -> Iterator[dict]:
    """Pooled errors of units and of orders, of models fine-tuned on either and on both at once, as twice the items.

    Fine-tuned once, on the days before the first origin, with as many steps each. Prices are taken as not known.
    """
    panels = {"units": units, "orders": orders}
    trainings = {"units": units, "orders": orders, "both": units.beside(orders, " (orders)")}
    for seed in range(seeds):
        for name, training in trainings.items():
            model = Transformer(TransformerParams(planned=False, progress=False, seed=seed))
            model.fine_tune(training.until(origins[0]))
            model.params.fine_tune_steps = 0
            row = {"model": f"trained on {name}", "seed": seed}
            for task in panels if name == "both" else (name,):
                table = backtest({name: model}, panels[task], origins, HORIZON, progress=False)
                pooled = table[table["origin"] == "pooled"].iloc[0]
                row |= {f"{key} of {task}": pooled[key] for key in ("wQL", "MASE", "wQL_7d")}
            yield row


def updates(seeds: int, old_days: int = 400, new_days: int = 140) -> Iterator[dict]:
    """wQL on days held out of the old and of the new regime, before and after an update on new days.

    One store whose customers change from day `old_days` on: other weekdays, promotions that sell without a discount,
    hardly any elasticity. Days 344 .. 399 are held out of all training, as not observed; so are the last 56.
    """
    for seed in range(seeds):
        shared = {"items": 100, "days": old_days + new_days + 2 * HORIZON, "new_share": 0.0}
        old = generate(SyntheticStoreParams(seed=seed, elasticity=(2.0, 3.0), promo_gap=40.0, **shared)).panel
        changed = {"elasticity": (0.0, 0.3), "promo_lift": 2.5, "weekday_amplitude": 0.5, "promo_gap": 40.0}
        new = generate(SyntheticStoreParams(seed=seed + 1000, **changed, **shared)).panel
        panel = old.until(len(old.dates))
        for table, later in ((panel.units, new.units), (panel.price, new.price), (panel.promo, new.promo)):
            table[old_days:] = later[old_days:]
        first, last = old_days - 2 * HORIZON, old_days + new_days
        tests = {"old": [first, first + HORIZON], "new": [last, last + HORIZON]}
        training = panel.until(last)
        training.units[first:old_days] = np.nan
        for name, replay in (("before", None), ("no replay", 0.0), ("replay", 0.5)):
            model = Transformer(TransformerParams(progress=False, seed=seed)).fine_tune(panel.until(first))
            if replay is not None:
                model.trained_until = str(panel.dates[old_days - 1].date())
                model.update(training, replay)
            model.params.fine_tune_steps = 0
            losses = {}
            for days, origins in tests.items():
                table = backtest({name: model}, panel, origins, HORIZON, progress=False)
                losses[f"wQL_{days}_days"] = table[table["origin"] == "pooled"]["wQL"].iloc[0]
            yield {"model": name, "seed": seed, **losses}


def cold_starts(seeds: int) -> Iterator[dict]:
    """wQL, zero-shot, of a fifth of the items, of which only the last days were seen.

    Where no day was, also without categories, and by the median scale of the store: what the network does by itself.
    """
    for seed in range(seeds):
        panel = generate(SyntheticStoreParams(items=400, days=428, new_share=0.0, seed=seed)).panel
        columns = np.arange(seed % 5, 400, 5)
        known, actual = known_future(panel, 400, HORIZON), panel.units[400:].T[columns]
        model = Transformer(TransformerParams(progress=False, seed=seed))
        for days in (0, 3, 7, 14, 28, 56, 400):
            past = panel.until(400)
            past.units[: 400 - days, columns] = np.nan
            past.price[: 400 - days, columns] = np.nan
            yield {"days seen": days, "how": "model", "seed": seed, "wQL": _loss(model, past, known, columns, actual)}
            if days == 0:
                past.category = None
                loss = _loss(model, past, known, columns, actual)
                yield {"days seen": 0, "how": "whole store", "seed": seed, "wQL": loss}
                quantiles, scale = model._forecast(past, known)
                level = torch.tensor(DECILES).expand(*scale.shape, -1)
                units = at_levels(quantiles, scale, model.dependence.tail, level).numpy()[columns].round()
                yield {"days seen": 0, "how": "median scale", "seed": seed, "wQL": _weighted_loss(actual, units)}


def covariates(panel: Panel, count: int, seeds: int) -> Iterator[dict]:
    """Pooled errors over the last `count` x 8 weeks of a weekly panel.

    With price, promotion and covariates of the horizon known, and not known; all models trained before every origin.
    With 95 % intervals of the difference to LightGBM.
    """
    origins = [len(panel.dates) - WEEKS * k for k in range(count, 0, -1)]
    panel = select_items(panel, origins[0], 1000, least_days=30, least_sales=10)
    trees, network = {"horizon": WEEKS, "progress": False}, {"validation": 0, "progress": False}
    for seed in range(seeds):
        for planned in (True, False):
            shared = {"planned": planned, "seed": seed}
            two = {"members": ["transformer", "lightgbm"], "windows": 0}
            params = {"lightgbm": trees, "transformer": network}
            models = {
                "lightgbm": create("lightgbm", **shared, **trees),
                "zero-shot": create("transformer", **shared, fine_tune_steps=0, **network),
                "fine-tuned": create("transformer", **shared, **network),
                "two members": create("ensemble", **shared, **two, params=params),
            }
            row = {"covariates": "known" if planned else "not known", "series": len(panel.items), "seed": seed}
            base = None
            for name, model in models.items():
                frame = rolling_forecasts(name, model, panel, origins, WEEKS, refit=True, progress=False)
                base = frame if base is None else base
                figures = measure(frame)
                less = {
                    f"{metric} less lightgbm's, {end}": value
                    for metric, interval in differences(frame, base).items()
                    for end, value in zip(("from", "to"), interval, strict=True)
                }
                seconds = float(frame.groupby("origin")["seconds"].first().sum())
                pooled = {key: figures[key] for key in ("wQL", "MASE")}
                yield {"model": name} | row | pooled | {"seconds": seconds} | less


def members(panel: Panel, count: int, seed: int = 0) -> Iterator[dict]:
    """Pooled errors over the last `count` x 8 weeks of the ensemble, of parts of it, and of steps that make it.

    The members are trained once per origin; a part learns its weights, spread and copula anew.
    """
    origins = [len(panel.dates) - WEEKS * k for k in range(count, 0, -1)]
    panel = select_items(panel, origins[0], 300, least_days=30, least_sales=10)
    quiet = {"progress": False}
    network = quiet | {"validation": 0, "fine_tune_steps": 200}
    params = {"transformer": network, "lightgbm": quiet, "lightgbm_mean": quiet}
    frames: dict[str, list[pd.DataFrame]] = {}
    for origin in origins:
        whole = create("ensemble", horizon=WEEKS, params=params, seed=seed)
        past = whole.past_windows(panel.until(origin), "fine_tune")
        trained = [member.fine_tune(panel.until(origin)) for member in whole.members]
        names = whole.params.members
        parts = {name: [name] for name in names}
        parts |= {f"without {name}": [other for other in names if other != name] for name in names}
        parts |= {"all, equal weights": names, "all": names}
        for label, chosen in parts.items():
            part = create("ensemble", members=chosen, horizon=WEEKS, params={name: params[name] for name in chosen})
            part.members = [trained[names.index(name)] for name in chosen]
            part.learn(None if past is None or "equal" in label else past.of([names.index(name) for name in chosen]))
            part.fine_tune = lambda panel, part=part: part
            frame = rolling_forecasts(label, part, panel, [origin], WEEKS, progress=False)
            frames.setdefault(label, []).append(frame)
    for label, rows in frames.items():
        frame = pd.concat(rows)
        totals = frame[frame["ahead"] == 1]
        of = {level: (totals["total_7d"] < totals[f"q{level:g}_7d"]).mean() for level in _SHARES}
        under = {f"7 weeks under q{level:g}": share for level, share in of.items()}
        yield {"model": label, "series": len(panel.items)} | measure(frame) | under


def _loss(model: Transformer, past: Panel, known: Known, columns: np.ndarray, actual: np.ndarray) -> float:
    return _weighted_loss(actual, model.predict(past, known)[columns])


def _weighted_loss(actual: np.ndarray, quantiles: np.ndarray) -> float:
    error, levels = actual[..., None] - quantiles, np.array(DECILES)
    return float(2 * np.maximum(levels * error, (levels - 1) * error).sum() / len(levels) / actual.sum())


def _reset_peak() -> None:
    """Linux counts peak memory anew after this; elsewhere the peak is that of the whole program."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def _peak() -> float:
    """MB"""
    try:
        status = Path("/proc/self/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) / 1024
    except (OSError, IndexError):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure fine-tuning methods, updates and the cold start.")
    parser.add_argument("study", choices=["methods", "tasks", "update", "cold-start", "covariates", "members"])
    parser.add_argument(
        "data",
        nargs="?",
        help="methods, tasks: Online Retail (tasks: raw); covariates: 'synthetic' (900 items over 156 weeks, 3 x 8 of "
        "them forecast), or the folder of Complete Journey (2 x 8); members: the same, 300 items at most",
    )
    parser.add_argument("--seeds", type=int, default=3, help="how many (default 3)")
    args = parser.parse_args()
    if args.study in ("methods", "tasks", "covariates", "members") and not args.data:
        parser.error(f"{args.study} needs the path of the data")
    if args.study in ("methods", "tasks"):
        panel = online_retail.load_panel(args.data)
        days = len(panel.dates)
        origins = [days - HORIZON * k for k in (3, 2, 1)]
        panel = select_items(panel.select(sorted(panel.items)), origins[0], 1000)
        if args.study == "methods":
            rows = methods(panel, origins, args.seeds)
        else:
            orders = online_retail.order_panel(online_retail.load(args.data)[0], panel)
            rows = tasks(panel, orders, origins, args.seeds)
    elif args.study in ("covariates", "members"):
        if args.data == "synthetic":
            panel, count = generate(SyntheticStoreParams(items=900, days=7 * 156)).panel.by_week(), 3
        else:
            panel, count = complete_journey.load_panel(args.data), 2
        rows = covariates(panel, count, args.seeds) if args.study == "covariates" else members(panel, count)
    else:
        rows = updates(args.seeds) if args.study == "update" else cold_starts(args.seeds)
    shown = []
    for row in rows:
        shown.append(row)
        words = (
            f"{name} {value:.4f}" if isinstance(value, float) else f"{name} {value}" for name, value in row.items()
        )
        print(", ".join(words), flush=True)
    table = pd.DataFrame(shown)
    groups = [name for name in table.columns if name in ("covariates", "method", "model", "days seen", "how")]
    means = table.groupby(groups, sort=False).mean(numeric_only=True).drop(columns="seed", errors="ignore")
    print(means.to_string(float_format="{:.4f}".format))


if __name__ == "__main__":
    main()
