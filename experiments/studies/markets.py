"""What prices of each market's own are worth to the whole store across borders, against one price for all markets.

    python -m storelab.experiments.studies.markets --results markets.jsonl --page

The composite is tuned anew for every way to price and every store, on training seasons, and played on held-out ones.
The file has a line for each finished tuning, which is not run again. Prints a table in Markdown; `--page` writes it
into docs/markets.md.
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
from ...learning.base import write_atomic
from .drawn import kept, lines
from .pages import ROOT, block, filled, markdown

MODULE = "storelab.experiments.studies.markets"
PAGE = ROOT / "docs" / "markets.md"
WAYS = {
    "one net price, taxes on top": "net",
    "one price with tax": "shown",
    "a markup for each market": "own",
}
TUNING = 64  # training seasons


def measure(way: str, store: int, seasons: int) -> dict:
    """Return the tuned composite of a way to price in a store, and what it earns on held-out seasons, money each."""
    task = TASKS["MarketplaceMarkets"](market_prices=WAYS[way], catalogue_seed=store)
    rule = marketplace.tune("composite", task, purpose_seeds("tuning", TUNING))
    played = evaluate({"composite": rule}, replace(task, hindsight=None), np.arange(seasons))
    earned = played.sort_values("seed")["value"].round(2).tolist()
    return {"way": way, "store": store, "price": rule.params["price"], "earned": earned}


def table(rows: list[dict]) -> str:
    """Return the table of finished stores, in Markdown: intervals are over stores, of paired means."""
    mean = {(row["way"], row["store"]): np.mean(row["earned"]) for row in rows}
    stores = sorted({store for _, store in mean if all((way, store) in mean for way in WAYS)})
    out = [("prices", "profit per season", *(f"more than {way} [95 % CI]" for way in list(WAYS)[:2]))]
    for way in WAYS:
        own = np.array([mean[way, store] for store in stores])
        cells = []
        for bar in list(WAYS)[:2]:
            lead = own - [mean[bar, store] for store in stores]
            low, high = t_interval(lead)
            cells.append("" if bar == way else f"{lead.mean():+,.0f} [{low:+,.0f}, {high:+,.0f}]")
        out.append((way, f"{own.mean():,.0f}", *cells))
    return markdown(out)


def main(arguments: list[str] | None = None) -> None:
    """Tune what is left, then print the table of all that is there."""
    parser = argparse.ArgumentParser(prog="markets", description=str(__doc__).split("\n")[0])
    parser.add_argument("--results", type=Path, required=True, help="file of finished tunings, a line of JSON each")
    parser.add_argument("--stores", type=int, default=3, help="catalogues of items and tastes (default 3)")
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
        write_atomic(PAGE, filled(PAGE.read_text(), "prices", f"python -m {MODULE}", content).encode())


if __name__ == "__main__":
    main()
