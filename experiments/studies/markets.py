"""What prices of each market's own are worth to the whole store across borders, against one price for all markets.

    python -m storelab.experiments.studies.markets --results markets.jsonl --page

Multiples of the markup are chosen on training seasons, for every way to price and every store, and played on held-out
ones; all else is the textbook's. One multiple is the best of a grid. Of several, one after the other is set to the best
of the grid, from the best common one on, until none moves. The file has a line for each finished store and way, which
is not run again. Prints a table in Markdown; `--page` writes it into docs/markets.md.
"""

import argparse
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from ...agents.heuristics import marketplace
from ...envs import TASKS
from ...envs.core.seeds import purpose_seeds
from ...evaluation import evaluate, t_interval
from .drawn import kept, lines
from .pages import ROOT, block, markdown, put

MODULE = "storelab.experiments.studies.markets"
PAGE = ROOT / "docs" / "markets.md"
WAYS = {
    "one net price, taxes on top": "net",
    "one price with tax": "shown",
    "a markup for each market": "own",
}
TUNING = 64  # training seasons
GRID = np.round(np.arange(0.4, 2.001, 0.05), 2)  # multiples of the markup


def chosen(rule: marketplace.Heuristic, scenario: dict) -> list[float]:
    """Return the best multiples of the markup on seasons: see the module."""
    model, count = rule.model, len(rule.params["price"])

    def earned(multiples: np.ndarray) -> np.ndarray:  # (candidates, numbers)
        each = np.repeat(multiples, len(scenario["factor"]), axis=0)
        some = marketplace.Heuristic("composite", {**rule.params, "price": each}, model)
        return marketplace.profits(model, some, scenario, len(multiples))

    best = np.full(count, GRID[earned(np.repeat(GRID[:, None], count, axis=1)).argmax()])
    moved = count > 1
    while moved:
        before = best.copy()
        for number in range(count):
            tried = np.tile(best, (len(GRID), 1))
            tried[:, number] = GRID
            best = tried[earned(tried).argmax()]
        moved = not np.array_equal(before, best)
    return best.tolist()


def measure(way: str, store: int, seasons: int) -> dict:
    """Return the multiples that a way to price has in a store, and what they earn on held-out seasons, money each."""
    task = TASKS["MarketplaceMarkets"](market_prices=WAYS[way], catalogue_seed=store)
    model = task.model("train")
    start = marketplace.Heuristic("composite", marketplace.textbook(model), model)
    price = chosen(start, model.scenarios(purpose_seeds("tuning", TUNING)))
    rule = marketplace.Heuristic("composite", {**start.params, "price": price}, model)
    played = evaluate({"rule": rule}, replace(task, hindsight=None), np.arange(seasons))
    earned = played.sort_values("seed")["value"].round(2).tolist()
    return {"way": way, "store": store, "price": price, "earned": earned}


def table(rows: list[dict]) -> str:
    """Return the table of finished stores, in Markdown: intervals are over stores, of paired means."""
    mean = {(row["way"], row["store"]): np.mean(row["earned"]) for row in rows}
    stores = sorted({store for _, store in mean if all((way, store) in mean for way in WAYS)})
    out = [
        (
            "prices",
            "multiples of the markup",
            "profit per season",
            *(f"more than {way} [95 % CI]" for way in list(WAYS)[:2]),
        )
    ]
    for way in WAYS:
        own = np.array([mean[way, store] for store in stores])
        cells = []
        for bar in list(WAYS)[:2]:
            lead = own - [mean[bar, store] for store in stores]
            low, high = t_interval(lead)
            cells.append("" if bar == way else f"{lead.mean():+,.0f} [{low:+,.0f}, {high:+,.0f}]")
        multiples = np.mean([row["price"] for row in rows if row["way"] == way and row["store"] in stores], axis=0)
        out.append((way, ", ".join(f"{one:.2f}" for one in multiples), f"{own.mean():,.0f}", *cells))
    return markdown(out)


def main(arguments: list[str] | None = None) -> None:
    """Choose what is left, then print the table of all that is there."""
    parser = argparse.ArgumentParser(prog="markets", description=str(__doc__).split("\n")[0])
    parser.add_argument("--results", type=Path, required=True, help="file of what is finished, a line of JSON each")
    parser.add_argument("--stores", type=int, default=10, help="catalogues of items and tastes (default 10)")
    parser.add_argument("--first", type=int, default=0, help="the first of them (default 0)")
    parser.add_argument("--seasons", type=int, default=512, help="held-out seasons (default 512)")
    parser.add_argument("--page", action="store_true", help=f"write the table into docs/{PAGE.name}")
    given = parser.parse_args(arguments)
    for store in range(given.first, given.first + given.stores):
        for way in WAYS:
            make = partial(measure, way, store, given.seasons)
            row = kept(given.results, {"way": way, "store": store}, make)
            multiples = np.round(row["price"], 2)
            print(f"store {store}, {way}: {np.mean(row['earned']):,.0f}, multiples {multiples}", flush=True)
    text = table(lines(given.results))
    print(text)
    if given.page:
        content = block(f"python -m {MODULE} --results markets.jsonl --page", text)
        put(PAGE, "prices", MODULE, content)


if __name__ == "__main__":
    main()
