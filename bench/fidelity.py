"""Both fidelities of the whole store, and both ways to deliver: means of seasons, and by how much they differ.

python -P bench/fidelity.py [SEASONS]
"""

import sys

import numpy as np
import pandas as pd
from storelab.agents.heuristics import marketplace
from storelab.envs import TASKS
from storelab.envs.core.rollout import rollout

NAMES = (
    *("visits", "demand", "sales", "revenue", "delivered", "delivery_cost"),
    *("late", "rating", "customers", "returns", "reward"),
)
ROWS = 100  # seasons in a batch


def seasons(count: int, **changes) -> dict[str, np.ndarray]:
    """Return each season's mean per day (count,) of `NAMES`, under the textbook's rules."""
    model = TASKS["Marketplace"](**changes).model()
    rule, parts = marketplace.Heuristic("textbook", marketplace.textbook(model), model), []
    for first in range(0, count, ROWS):
        run = rollout(model, rule, model.scenarios(np.arange(first, min(first + ROWS, count))))
        parts.append({name: run[name].mean(axis=1) for name in NAMES})
    return {name: np.concatenate([part[name] for part in parts]) for name in NAMES}


def main() -> None:
    """Print the tables, for the default store and for one whose fleet is short."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    kinds = {"fast": {}, "reference": {"fidelity": "reference"}}
    kinds["routed"] = kinds["reference"] | {"delivery": "routed"}
    for title, changes in {"default": {}, "a fleet of 25": {"fleet_capacity": 25.0}}.items():
        runs = {kind: seasons(count, **changes, **more) for kind, more in kinds.items()}
        for first, second in (("fast", "reference"), ("routed", "reference")):
            rows = {}
            for name in NAMES:
                a, b = (runs[kind][name].astype(float) for kind in (first, second))
                error = np.hypot(a.std(), b.std()) / np.sqrt(count)
                percent = [100 * x / max(abs(b.mean()), 1e-9) for x in (a.mean() - b.mean(), 1.96 * error)]
                rows[name] = {first: a.mean(), second: b.mean(), "difference, %": percent[0], "+-": percent[1]}
            print(f"{title}: means per day over {count} seasons")
            print(
                pd.DataFrame.from_dict(rows, orient="index").to_string(float_format=lambda x: f"{x:,.3f}"), flush=True
            )


if __name__ == "__main__":
    main()
