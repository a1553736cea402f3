"""How fast forecasts, and the stock that is ordered by them, get good in a store that has just opened.

    python -m storelab.experiments.studies.new_store synthetic
    python -m storelab.experiments.studies.new_store online_retail_ii PATH
    python -m storelab.experiments.studies.new_store bakery PATH

Each prints a table in Markdown, and with `--page` writes it, and a picture, into docs/few_shots.md. Of each store 7,
28 and 90 days before one day are seen, and the 28 days from that day on are forecast once. wQL is of the nine deciles,
MASE of the median, scaled by the 90 days before, seen or not. Money: every evening goods for one day are bought at the
critical fractile of the forecast, what is left is worth nothing (`envs.inventory`, the rule `newsvendor`), and the
profit is told as a share of what is earned where demand is known. What trains on a store sees what was seen of it
alone. With `--rows FILE` what was measured is kept there, a line of JSON each, and not measured again.
"""

import argparse
import json
import shlex
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from ...agents.heuristics.inventory import Heuristic
from ...data import Panel, SyntheticStoreParams, generate
from ...data.files import read_parquet
from ...data.online_retail import load_panel
from ...envs import Inventory, InventoryParams
from ...envs.core.demand import Days, HistoryDemand
from ...envs.core.rollout import rollout
from ...evaluation import scenario_keys
from ...evaluation.intervals import t_interval
from ...forecasting import create, known_future
from ...forecasting.base import MIN_HISTORY
from ..tasks.stores import COST_SHARE
from .pages import block, markdown, put

MODULE = "storelab.experiments.studies.new_store"
PAGE = Path(__file__).parents[2] / "docs" / "few_shots.md"
SEEN, HORIZON, SCALED = (7, 28, 90), 28, 90  # days
LEVELS = tuple(round(0.05 * k, 2) for k in range(1, 20))
OURS, BEST = "adapted, meta-trained", ("moving average", "TSB", "LightGBM", "zero-shot", "fine-tuned")
METHODS = {
    "moving average": ("moving_average", {}),
    "TSB": ("tsb", {}),
    "LightGBM": ("lightgbm", {"progress": False}),
    "zero-shot": ("transformer", {"fine_tune_steps": 0, "progress": False}),
    "fine-tuned": ("transformer", {"validation": 0, "progress": False}),
    "meta-trained, not adapted": ("new_store", {"fine_tune_steps": 0, "progress": False}),
    OURS: ("new_store", {"progress": False}),
}


class Store:
    """A store of which days before `origin` are seen, with the cost of its items (I,)."""

    def __init__(self, panel: Panel, origin: int, cost: np.ndarray | None = None, planned: bool = True):
        self.panel, self.origin, self.planned = panel, origin, planned
        price = np.nanmedian(panel.price[origin - SCALED : origin], axis=0)
        self.price = np.nan_to_num(price, nan=1.0)
        self.cost = COST_SHARE * self.price if cost is None else np.minimum(cost, self.price)

    def seen(self, days: int) -> Panel:
        """The last `days` days before the origin; before them, where a method has to have more, days not observed."""
        past = self.panel.window(self.origin - max(days, MIN_HISTORY), self.origin)
        past.units[:-days], past.price[:-days] = np.nan, np.nan
        return past

    @property
    def actual(self) -> np.ndarray:
        """Units (H, I); NaN where the store was closed."""
        days = slice(self.origin, self.origin + HORIZON)
        return np.where(self.panel.closed[days, None], np.nan, self.panel.units[days])


def synthetic(path: str, count: int) -> Iterator[Store]:
    """Stores of the default parameters, each seed another one, opened on another day of the year."""
    for seed in range(count):
        store = generate(SyntheticStoreParams(items=60, days=500, new_share=0.0, customers=50, seed=seed))
        cost = store.catalogue["cost"].to_numpy(float)
        yield Store(store.panel, 120 + (31 * seed) % 340, cost)


def online_retail_ii(path: str, count: int) -> Iterator[Store]:
    """Groups of 50 items that share none, each from another day on; prices and promotions are not known in advance."""
    panel = load_panel(path)
    first = np.array([np.argmax(~np.isnan(column)) for column in panel.units.T])
    order = np.random.default_rng(0).permutation(np.flatnonzero(first < 120))
    for k in range(count):
        items = sorted(panel.items[i] for i in order[50 * k : 50 * (k + 1)])
        yield Store(panel.select(items), 220 + (len(panel.dates) - 260) * k // count, planned=False)


def bakery(path: str, count: int) -> Iterator[Store]:
    """Shops of three products each, while they were open on four days in five; all prices are 1."""
    table = read_parquet(path)
    table["holiday"] = table["is_holiday"]
    shops = [shop for _, shop in table.groupby("store")]
    for k, shop in enumerate(shops[:count]):
        panel = Panel.from_frame(shop[["item", "date", "units", "promo", "holiday"]], price=1.0, no_row="zero")
        open_days = np.concatenate([[0], np.cumsum(np.nansum(panel.units, axis=1) > 0)])
        possible = np.arange(SCALED, len(panel.dates) - HORIZON)
        possible = possible[open_days[possible + HORIZON] - open_days[possible - SCALED] >= 0.8 * (SCALED + HORIZON)]
        yield Store(panel, int(possible[len(possible) * (k + 1) // (count + 1)]))


DATA: dict[str, Callable[[str, int], Iterator[Store]]] = {
    "synthetic": synthetic,
    "online_retail_ii": online_retail_ii,
    "bakery": bakery,
}


def forecast(method: str, store: Store, days: int, seed: int) -> np.ndarray | None:
    """Quantiles (I, H, Q) at LEVELS, from what was seen alone; None where the method cannot be had from so few days."""
    name, params = METHODS[method]
    trained = name in ("transformer", "new_store", "lightgbm")
    more = {"planned": store.planned, "seed": seed} if trained else {}
    if name == "lightgbm" and days < MIN_HISTORY + HORIZON:  # trained for as many days ahead as there are
        more["horizon"] = max(1, days - MIN_HISTORY)
    model = create(name, **params, **more)
    past, known = store.seen(days), known_future(store.panel, store.origin, HORIZON)
    if method == "fine-tuned" and days < model.least_days:
        return None  # no window: it would be the zero-shot one
    try:
        if trained and params.get("fine_tune_steps", 1):
            model.fine_tune(past if name != "new_store" else past.window(len(past.dates) - days, len(past.dates)))
        if name == "lightgbm":
            model.params.horizon = HORIZON
        return model.predict(past, known, LEVELS)
    except ValueError as error:
        print(f"{method}, {days} days: {error}", file=sys.stderr)
        return None


def figures(store: Store, quantiles: np.ndarray) -> dict[str, float]:
    """wQL, MASE and the share of the profit that is earned where demand is known."""
    actual = store.actual.T  # (I, H)
    levels = np.array(LEVELS)
    deciles = np.isclose(levels * 10 % 1, 0) | np.isclose(levels * 10 % 1, 1)
    error = actual[..., None] - quantiles[..., deciles]
    loss = 2 * np.nanmean(np.nansum(np.maximum(levels[deciles] * error, (levels[deciles] - 1) * error), axis=(0, 1)))
    past = store.panel.units[store.origin - SCALED : store.origin]
    scale = np.nanmean(np.abs(past[7:] - past[:-7]), axis=0)
    absolute = np.nanmean(np.abs(actual - quantiles[..., len(levels) // 2]), axis=1)
    earned, most = profit(store, quantiles), profit(store, np.repeat(actual[..., None], len(levels), axis=2))
    mase = float(np.mean(absolute[scale > 0] / scale[scale > 0]))
    return {"wQL": float(loss / np.nansum(actual)), "MASE": mase, "profit": earned / most}


def profit(store: Store, quantiles: np.ndarray) -> float:
    """Money of the horizon where each evening the critical fractile of the next day is stocked."""
    demand = np.pad(np.nan_to_num(store.actual), ((0, 1), (0, 0)))  # a day after the last one, which is not played
    ahead = np.pad(np.nan_to_num(quantiles.transpose(1, 0, 2)), ((0, 1), (0, 0), (0, 0)))
    params = InventoryParams(
        items=demand.shape[1],
        horizon=HORIZON,
        continuing=False,
        lead_time=0,
        shelf_life=1,
        price=store.price.tolist(),
        purchase_cost=store.cost.tolist(),
        holding_cost=0.0,
        max_order=float(np.ceil(max(ahead.max(), demand.max()) + 1)),
        action="base_stock",
        forecast="model",
        quantiles=list(LEVELS),
    )
    model = Inventory(params, HistoryDemand(demand, Days(forecast=ahead)))
    fractile = 1 - store.cost / np.maximum(store.price, 1e-9)
    rule = Heuristic("newsvendor", {"fractile": fractile.tolist()}, model)
    run = rollout(model, rule, model.scenarios(scenario_keys(np.arange(1), "test")))
    return float(run["reward"].sum())


def measured(data: str, path: str, count: int, kept: Path | None) -> pd.DataFrame:
    """A row per store, days seen and method. Those in the file `kept` are taken from there, others are added to it."""
    rows = [json.loads(line) for line in kept.read_text().splitlines()] if kept and kept.exists() else []
    found = {(row["data"], row["store"], row["days"], row["method"]): row for row in rows}
    wanted = []
    for number, store in enumerate(DATA[data](path, count)):
        for key in [(data, number, days, method) for days in SEEN for method in METHODS]:
            if key not in found:
                quantiles = forecast(key[3], store, key[2], number)
                found[key] = dict(zip(("data", "store", "days", "method"), key, strict=True))
                found[key] |= {} if quantiles is None else figures(store, quantiles)
                if kept:
                    with kept.open("a") as file:
                        file.write(json.dumps(found[key]) + "\n")
            wanted.append(found[key])
    return pd.DataFrame(wanted)


def table(rows: pd.DataFrame) -> str:
    """A row per method: each figure by days seen, and ours less the best other's of the same days, 95 % over stores."""
    lines = [["method", *(f"{name}, {days} days" for name in ("wQL", "MASE", "profit") for days in SEEN)]]
    wide = {name: rows.pivot_table(index="store", columns=["method", "days"], values=name) for name in lines_of()}
    for method in METHODS:
        cells = []
        for name, values in wide.items():
            for days in SEEN:
                there = (method, days) in values
                cells.append(_shown(name, float(values[method, days].mean())) if there else "–")
        lines.append([method, *cells])
    cells = []
    for name, values in wide.items():
        for days in SEEN:
            other = best_other(values, name, days)
            low, high = t_interval((values[OURS, days] - values[other, days]).to_numpy()[:, None])[:, 0]
            cells.append(f"{_signed(low)} to {_signed(high)} ({other})")
    lines.append(["ours less the best other, 95 %", *cells])
    return markdown(lines)


def lines_of() -> tuple[str, ...]:
    return ("wQL", "MASE", "profit")


def best_other(values: pd.DataFrame, name: str, days: int) -> str:
    """The method of `BEST` with the best mean."""
    means = {method: float(values[method, days].mean()) for method in BEST if (method, days) in values}
    return max(means, key=lambda method: means[method] * (1 if name == "profit" else -1))


def _shown(name: str, value: float) -> str:
    return f"{value:.3f}".lstrip("0") if name != "profit" else f"{100 * value:.1f} %"


def _signed(value: float) -> str:
    return f"{value:+.4f}".replace("0.", ".", 1)


def picture(rows: pd.DataFrame, path: Path) -> None:
    """wQL and profit by days seen, a curve per method with 95 % intervals over stores."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    for axis, name, label in zip(axes, ("wQL", "profit"), ("wQL", "profit, share of the most"), strict=True):
        for shift, method in enumerate(METHODS):
            of = rows[rows["method"] == method].dropna(subset=[name]).groupby("days")[name]
            half = [float(np.ptp(t_interval(group.to_numpy()[:, None]))) / 2 for _, group in of]
            place = np.array(list(of.groups)) * (0.94 + 0.02 * shift)
            axis.errorbar(place, of.mean(), half, marker="o", ms=3, lw=2 if method == OURS else 1, label=method)
        axis.set(xscale="log", xlabel="days seen", ylabel=label, xticks=SEEN, xticklabels=SEEN)
        axis.minorticks_off()
    axes[0].legend(fontsize=7)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def main() -> None:
    """Print one table, or write it into the page."""
    parser = argparse.ArgumentParser(prog=f"python -m {MODULE}", description=str(__doc__).split("\n")[0])
    parser.add_argument("data", choices=DATA)
    parser.add_argument("path", nargs="?", default="", help="file or folder of the data")
    parser.add_argument("--stores", type=int, default=10, help="how many (default 10)")
    parser.add_argument("--rows", type=Path, help="file that keeps what was measured")
    parser.add_argument("--page", action="store_true", help="write the table into docs/few_shots.md")
    args = parser.parse_args()
    if args.data != "synthetic" and not args.path:
        parser.error(f"{args.data} needs the path of its data")
    rows = measured(args.data, args.path, args.stores, args.rows)
    made = table(rows)
    print(made)
    if args.page:
        words = [args.data] + (["PATH"] if args.path else [])
        words += ["--stores", str(args.stores)] if args.stores != 10 else []
        command = f"python -m {MODULE}"
        content = block(f"{command} {shlex.join(words)}", made)
        put(PAGE, args.data, MODULE, content)
        picture(rows, PAGE.with_name(f"new_store_{args.data}.png"))


if __name__ == "__main__":
    main()
