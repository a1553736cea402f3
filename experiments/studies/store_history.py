"""What the whole store's customers bought: the history that its recommendation model is fine-tuned on.

python -m storelab.experiments.studies.store_history history.parquet
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

from ...agents.heuristics import marketplace
from ...envs import TASKS, Marketplace
from ...envs.core.seeds import purpose_seeds
from ...envs.core.task import override
from ...learning.base import write_atomic


def purchases(params, days: int = 200, seed: int = 0) -> pd.DataFrame:
    """Return the accepted orders of a season of `days`, visitor by visitor, under the textbook's rules.

    Segments are known to the store, and within a segment all customers visit equally often: so a purchase of the
    segment's customers is one of theirs with equal chances, and a purchase by another person is one of the others'.

    Args:
        params: `MarketplaceParams`; the season is of fidelity `reference`, its pages are drawn at random, so that what
            was bought says what customers like, not what they were shown.
        days: of the season.
        seed: of the season.

    Returns:
        A row per order: `customer` (number, unique over segments), `segment`, `item` and `day`, in their order.
    """
    changes = {"horizon": days, "fidelity": "reference", "resolution": "store", "ranking": "random", "forecast": "none"}
    model = Marketplace(override(params, changes))
    rule = marketplace.Heuristic("textbook", marketplace.textbook(model), model)
    scenario, state, rows = model.scenarios(purpose_seeds("history", 1, seed)), model.initial(1), []
    rng, people = np.random.default_rng(seed), int(params.population / params.segments)
    for day in range(days):
        shock = {name: block[:, day] for name, block in scenario.items()}
        action, _ = rule(model.observation(state, shock), None, day)
        _, group, item = model.shop(state, model.decisions(action), shock)[2].log.T
        segment, known = group % params.segments, group < params.segments
        count = np.maximum(state.customers[0, segment].astype(int), 1)
        person = np.where(known, rng.integers(0, count), rng.integers(np.minimum(count, people - 1), people))
        rows.append(np.stack([segment * people + person, segment, item, np.full(len(item), day)], axis=1))
        state, _ = model.transition(state, action, shock)
    return pd.DataFrame(np.concatenate(rows), columns=["customer", "segment", "item", "day"])


def main(arguments: list[str] | None = None) -> None:
    """Record a season and write it as Parquet."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("path", help="Parquet file to write")
    parser.add_argument("--days", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args(arguments)
    table = purchases(TASKS["Marketplace"]().params, given.days, given.seed)
    write_atomic(Path(given.path), table.to_parquet(index=False))
    print(f"{len(table):,} orders of {table['customer'].nunique():,} customers in {given.days} days: {given.path}")


if __name__ == "__main__":
    main()
