"""What forecasts are worth in money, on the synthetic store or on Online Retail.

    python -m storelab.experiments.studies.worth synthetic

The same policies on the same recorded days, with forecasts from several sources. Without any, the heuristic is a
base-stock level; with them, the newsvendor's fractile of the demand over the protection interval: each tuned on
training days. The oracle tells the coming demand. The forecasters see true demand, also what was not served.
"""

import argparse
from dataclasses import replace
from functools import partial
from importlib import resources
from itertools import product

import numpy as np
import pandas as pd
from omegaconf import OmegaConf

from ...agents.heuristics import inventory as heuristics
from ...data import Panel, online_retail
from ...envs import Task
from ...envs.core.seeds import purpose_seeds
from ...evaluation import evaluate, mean_interval
from ...forecasting import create
from ..tasks.stores import online_retail_task, synthetic_store_task

SOURCES = ("none", "moving_average", "lightgbm", "transformer, zero-shot", "transformer, fine-tuned", "oracle")
HEURISTIC, AGENT = "heuristic", "PPO"
TUNING_EPISODES = 64
EPISODES = 100  # drawn from the held-out days


def task_of(source: str, data: str | Panel, store: int, cache: str | None) -> Task:
    """The task with forecasts of `source`: of a shop's panel, or of the synthetic store with the seed `store`."""
    name, _, how = source.partition(", ")
    name = name if name not in ("none", "oracle") else "moving_average"  # whose forecasts are then not looked at
    synthetic = isinstance(data, str)
    params = {} if name == "moving_average" else {"planned": synthetic}
    params |= {"fine_tune_steps": 0} if how == "zero-shot" else {}
    made = partial(synthetic_store_task, {"seed": store}) if synthetic else partial(online_retail_task, data)
    task = made(forecaster=create(name, **params), cache=cache, forecast="model")  # which replays the recorded days
    mode = source if source in ("none", "oracle") else "model"
    return replace(task, params=replace(task.params, forecast=mode))


def policies_of(task: Task, kinds: list[str], steps: int, seed: int) -> dict:
    """The heuristic, tuned, and the agent, trained: both on training days alone."""
    policies = {}
    if HEURISTIC in kinds:
        rule = "base_stock" if task.params.forecast == "none" else "newsvendor"
        policies[HEURISTIC] = heuristics.tune(rule, task, purpose_seeds("tuning", TUNING_EPISODES))
    if AGENT in kinds:
        from ...agents.sb3 import SB3Learner, SB3Params

        file = resources.files("storelab.conf") / "agent" / "ppo_store.yaml"
        config = OmegaConf.to_container(OmegaConf.create(file.read_text()))
        del config["defaults"]
        learner = SB3Learner(task, SB3Params(**config | {"total_steps": steps}), seed)
        learner.learn()
        policies[AGENT] = learner.policy()
    return policies


def worth(data: str | Panel, stores: int, kinds: list[str], steps: int, sources=SOURCES, cache=None) -> pd.DataFrame:
    """A row per policy and source: profit per season and what it is above "none", with 95 % intervals.

    Common scenarios throughout. Intervals are `mean_interval`s over stores, or over the seasons of a single one, which
    overlap. `share` of the oracle's gain: the source's gain over "none" by the oracle's.
    """
    rows = []
    for store, source in product(range(stores), sources):
        task = task_of(source, data, store, cache)
        episodes = evaluate(policies_of(task, kinds, steps, store), replace(task, hindsight=None), np.arange(EPISODES))
        rows.append(episodes[["policy", "seed", "value"]].assign(source=source, store=store))
        print(f"store {store}, {source}: {episodes.groupby('policy')['value'].mean().round().to_dict()}", flush=True)
    episodes = pd.concat(rows)
    unit = "store" if stores > 1 else "seed"
    table = []
    for kind, of_kind in episodes.groupby("policy", sort=False):
        values = of_kind.pivot_table(index=unit, columns="source", values="value")[list(sources)]
        if stores == 1:
            values = values.drop_duplicates()  # a season drawn twice
        gain = values.sub(values["none"], axis=0)
        interval, above = mean_interval(values), mean_interval(gain)
        for k, source in enumerate(sources):
            table.append(
                {
                    **{"policy": kind, "forecasts": source, "profit": values[source].mean()},
                    **{"low": interval[0, k], "high": interval[1, k], "gain": gain[source].mean()},
                    **{"gain low": above[0, k], "gain high": above[1, k]},
                    "share of oracle's": gain[source].mean() / gain["oracle"].mean(),
                }
            )
    return pd.DataFrame(table)


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure what forecasts are worth in money.")
    parser.add_argument("data", help="'synthetic', or a path that storelab.data.online_retail.load_panel reads")
    parser.add_argument("--stores", type=int, default=5, help="synthetic stores (default 5)")
    parser.add_argument("--policies", nargs="+", choices=[HEURISTIC, AGENT], default=[HEURISTIC])
    parser.add_argument("--steps", type=int, default=1_000_000, help="of the agent's training (default 1000000)")
    parser.add_argument("--cache", help="folder for fine-tuned forecasters and their forecasts")
    args = parser.parse_args()
    synthetic = args.data == "synthetic"
    data = args.data if synthetic else online_retail.load_panel(args.data)
    table = worth(data, args.stores if synthetic else 1, args.policies, args.steps, cache=args.cache)
    print("profit in money per season of 56 days; gain over no forecasts; 95 % intervals")
    print(table.to_string(index=False, float_format="{:,.3f}".format))


if __name__ == "__main__":
    main()
