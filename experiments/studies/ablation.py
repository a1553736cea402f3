"""What every channel of the whole store is worth: each one switched, the composite tuned anew, on common seasons.

    python -m storelab.experiments.studies.ablation --models FOLDER --rules FOLDER

The two folders are of `storelab.experiments.studies.store_models`: learned models, and rules. Profit is that of
held-out seasons; a row's difference to the first one is paired over them.
"""

import argparse
from dataclasses import replace

import numpy as np
import pandas as pd

from ...agents.heuristics import marketplace
from ...envs import TASKS
from ...envs.core.seeds import purpose_seeds
from ...evaluation import evaluate, mean_interval


def variants(models: str, rules: str, forecaster=None) -> dict[str, dict]:
    """Return name -> changes to the task; the first one has all channels: learned models, forecasts of nothing."""
    all_on = {"models": models, "ranking": "learned"}
    changes = {
        "all learned": all_on,
        "ranking by popularity": all_on | {"ranking": "popularity"},
        "ranking at random": all_on | {"ranking": "random"},
        "no ratings shown": all_on | {"sentiment": False},
        "no screening for fraud": all_on | {"screening": False},
        "all by rules": {"models": rules, "ranking": "popularity"},
        "forecasts of the oracle": all_on | {"forecast": "oracle"},
    }
    if forecaster is not None:
        changes["forecasts of the model"] = all_on | {"forecast": "model", "forecaster": forecaster}
    return changes


def measure(changes: dict, seasons: int, tuning: int, **common) -> np.ndarray:
    """Return the profit (seasons,) of the composite, tuned on `tuning` training seasons, on held-out ones."""
    task = TASKS["Marketplace"](**common, **changes)
    rule = marketplace.tune("composite", task, purpose_seeds("tuning", tuning))
    return evaluate({"composite": rule}, replace(task, hindsight=None), np.arange(seasons))["value"].to_numpy()


def table(values: dict[str, np.ndarray]) -> pd.DataFrame:
    """Return profit per variant, and its difference to the first one with a 95 % interval, paired over seasons."""
    first = next(iter(values.values()))
    rows = {}
    for name, profit in values.items():
        low, high = mean_interval((profit - first)[:, None])[:, 0]
        rows[name] = {"profit": profit.mean(), "difference": (profit - first).mean(), "low": low, "high": high}
        rows[name]["percent"] = 100 * rows[name]["difference"] / abs(first.mean())
    return pd.DataFrame.from_dict(rows, orient="index")


def main(arguments: list[str] | None = None) -> None:
    """Measure every variant and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--models", required=True, help="folder of the learned models")
    parser.add_argument("--rules", required=True, help="folder of the rules")
    parser.add_argument("--forecaster", help="name of a forecaster (such as moving_average or transformer)")
    parser.add_argument("--seasons", type=int, default=256, help="held-out seasons (default 256)")
    parser.add_argument("--tuning", type=int, default=32, help="training seasons for tuning (default 32)")
    given = parser.parse_args(arguments)
    forecaster = None
    if given.forecaster:
        from ...forecasting import create

        forecaster = create(given.forecaster)
    from tqdm import tqdm

    values = {}
    for name, changes in tqdm(variants(given.models, given.rules, forecaster).items(), unit="variant", disable=None):
        values[name] = measure(changes, given.seasons, given.tuning, data={})
    print(f"Profit per season, money; {given.seasons} held-out seasons, differences paired, 95 % intervals")
    print(table(values).to_string(float_format=lambda x: f"{x:,.1f}"))


if __name__ == "__main__":
    main()
