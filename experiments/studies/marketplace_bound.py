"""How far the bound of the whole store lies from the tuned composite, a channel switched off at a time.

    python -m storelab.experiments.studies.marketplace_bound RUN --page

RUN is the folder of a finished `storelab train task=Marketplace`, whose composite is played in every variant of the
default store, tuned on the default store alone. Prints a table in Markdown; `--page` writes it into
docs/marketplace.md.
"""

import argparse
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ...agents.heuristics.marketplace import Heuristic
from ...envs import TASKS
from ...envs.core.rollout import rollout
from ...envs.marketplace.references import bounds
from ...errors import FieldError
from ...evaluation import mean_interval, scenario_keys
from ..runs.folder import Run
from .pages import ROOT, block, markdown, put

MODULE = "storelab.experiments.studies.marketplace_bound"
PAGE = ROOT / "docs" / "marketplace.md"
VARIANTS: dict[str, dict] = {  # name -> changes to the default store
    "the default store": {},
    "nobody joins or leaves": {"satisfied_join": 0.0, "unhappy_leave": 0.0},
    "ratings without effect": {"rating_effect": 0.0},
    "free tours": {"tour_cost": 0.0},
    "delivery time without effect": {"delay_effect": 0.0},
    "all items shown, ranks without effect": {"page_size": 20, "position_effect": 0.0},
    "one segment": {"segments": 1},
    "nothing sent back": {"return_share": 0.0},
    "no fraud": {"fraud_share": 0.0},
}


def distance(changes: Mapping, params: Mapping, seasons: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the bound and what the composite earns (seasons,) on held-out seasons of a variant, money.

    Args:
        changes: to the default store.
        params: of the composite.
        seasons: how many.
    """
    model = TASKS["Marketplace"](**changes).model("test")
    scenario = model.scenarios(scenario_keys(np.arange(seasons), "test"))
    earned = rollout(model, Heuristic("composite", params, model), scenario)["reward"].sum(axis=1, dtype=float)
    return bounds(model, scenario), earned


def table(params: Mapping, seasons: int, variants: Mapping[str, dict] = VARIANTS) -> str:
    """Return the table of the variants, in Markdown."""
    rows = [("store", "bound", "composite", "difference [95 % CI], paired", "% of the bound")]
    for name, changes in variants.items():
        bound, earned = distance(changes, params, seasons)
        (low,), (high,) = mean_interval((bound - earned)[:, None])
        between = f"{(bound - earned).mean():,.0f} [{low:,.0f}, {high:,.0f}]"
        share = 100 * (1 - earned.mean() / bound.mean())
        rows.append((name, f"{bound.mean():,.0f}", f"{earned.mean():,.0f}", between, f"{share:.1f}"))
    return markdown(rows)


def main(arguments: list[str] | None = None) -> None:
    """Print the table, and write it where that is asked for."""
    parser = argparse.ArgumentParser(prog="marketplace_bound", description=str(__doc__).split("\n")[0])
    parser.add_argument("run", help="folder of a finished run of task=Marketplace")
    parser.add_argument("--seasons", type=int, default=128, help="held-out seasons (default 128)")
    parser.add_argument("--page", action="store_true", help=f"write the table into docs/{PAGE.name}")
    given = parser.parse_args(arguments)
    tuned = Run(Path(given.run)).read("heuristics.json") or {}
    if "composite" not in tuned:
        raise FieldError("run", given.run, "the folder of a run with a tuned composite")
    text = table(tuned["composite"], given.seasons)
    print(text)
    if given.page:
        content = block(f"python -m {MODULE} RUN --page", text)
        put(PAGE, "bound", MODULE, content)


if __name__ == "__main__":
    main()
