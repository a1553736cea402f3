"""Policies on common scenarios: one tidy table of episodes, and its summary with intervals and gaps."""

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import pandas as pd

from ..envs import Task
from ..envs.core.contract import Policy, Reference
from ..envs.core.random import as_keys
from ..envs.core.rollout import rollout
from ..envs.core.seeds import test_keys
from ..errors import FieldError
from .checked import checked
from .intervals import mean_interval

HINDSIGHT = "hindsight bound"  # rows of what the others are measured against
REFERENCE = "reference policy"
ACCOUNTS = ("questions", "tokens", "spend", "fallback", "refused", "unusable", "forced")  # per episode: language models
ACCOUNTS += ("injected_shown", "withheld")  # messages with hidden orders
PERIODS_PER_YEAR = 365  # inventory turns take a period for a day


def key_figures(episodes: pd.DataFrame) -> pd.DataFrame:
    """Return each policy's key figures, pooled over its episodes. Episodes of problems without stock have none.

    `fill_rate`: share of the demand served from stock when it came (type 2, Snyder and Shen 2019, section 4.3.4);
    `stockout_rate`: share of items and periods with unmet demand; `turns`: a year's sales over the mean stock (units).
    """
    if not {"stockout_rate", "on_hand"} <= set(episodes):
        return pd.DataFrame(index=episodes["policy"].unique())
    mean = episodes.groupby("policy")[["demand", "unmet", "sales", "on_hand", "stockout_rate"]].mean()
    return pd.DataFrame(
        {
            "fill_rate": 1 - mean["unmet"] / mean["demand"],
            "stockout_rate": mean["stockout_rate"],
            "turns": PERIODS_PER_YEAR * mean["sales"] / mean["on_hand"],
        }
    )


def evaluate(
    policies: Mapping[str, Policy],
    task: Task,
    seeds,
    split: str = "test",
    horizon: int | None = None,
    rows: int = 256,
    progress: bool = False,
) -> pd.DataFrame:
    """Run every policy on the same scenarios.

    Args:
        policies: name -> `act(observation, policy_state, seed) -> (action, policy_state)`.
        task: has the model and the number of warm-up periods, which are left out.
        seeds: of the scenarios, integers (n,). Held-out scenarios and training scenarios come from different streams.
        split: `test` (held out) or `train`.
        horizon: periods per episode, if not the task's own (a longer one for averages per period).
        rows: scenarios in one batch.
        progress: show a progress bar.

    Returns:
        A row per policy and episode: `policy`, `seed`, `value` (cost or profit, in `task.unit`), the money terms in
        the same unit, `demand`, `sales`, `unmet`, `on_hand`, `overflow` (units per period), `stockout_rate` and
        `clipped_actions` (per period), and what a policy's `tally` says.
        If the task has a bound in hindsight, it is the policy `hindsight bound`.

    Raises:
        FieldError: a policy that raises or returns something wrong (see `checked`), whose name is `hindsight bound`
            or not a text; or a horizon that ends within the warm-up.
    """
    for name in policies:
        if not isinstance(name, str):
            raise FieldError("policies", name, "names that are text")
    if HINDSIGHT in policies:
        raise FieldError("policies", HINDSIGHT, "another name: the bound in hindsight has it")
    if horizon is not None:
        task = replace(task, params=replace(task.params, horizon=horizon))
    model, seeds = task.model(split), np.asarray(seeds)
    average = task.params.continuing
    warmup = task.warmup if average else task.uncharged
    if average and warmup >= model.horizon:
        raise ValueError(f"horizon: {model.horizon} is not allowed, expected more than the warm-up of {warmup} periods")
    batches = [seeds[i : i + rows] for i in range(0, len(seeds), rows)]
    frames = []
    with _bar(len(batches) * len(policies), progress) as done:
        for batch in batches:
            scenario = model.scenarios(scenario_keys(batch, split))
            if task.hindsight is not None:
                bound = task.hindsight(model, scenario) / (model.horizon if average else 1)
                frames.append(pd.DataFrame({"policy": HINDSIGHT, "seed": batch, "value": bound}))
            for name, act in policies.items():
                frames.append(_episodes(name, act, model, scenario, batch, split, task.objective, warmup))
                if done is not None:
                    done.update()
    return pd.concat(frames, ignore_index=True)


def _bar(total: int, progress: bool):
    if not progress:
        return nullcontext()
    from tqdm import tqdm

    return tqdm(total=total, desc="evaluate", unit="batch", disable=None)


def scenario_keys(seeds, split: str) -> np.ndarray:
    """Return keys (n, 2) uint64 of the scenarios with these seeds: held-out ones never meet those of training."""
    return test_keys(seeds) if split == "test" else as_keys(seeds)


def _episodes(name: str, act, model, scenario: dict, seeds, split: str, objective: str, warmup: int) -> pd.DataFrame:
    if hasattr(act, "begin"):
        act.begin(seeds, split)
    series = rollout(model, checked(name, act, model), scenario)
    series = {key: values[:, warmup:].astype(np.float64) for key, values in series.items()}
    total = np.mean if model.params.continuing else np.sum
    sign = 1 if objective == "profit" else -1
    row = {"policy": name, "seed": seeds, "value": sign * total(series["reward"], axis=1)}
    money = [key for key in series if key in ("revenue", "salvage") or key.endswith("_cost")]
    row |= {key: total(series[key], axis=1) for key in money}
    units = ("demand", "sales", "unmet", "on_hand", "overflow", "clipped_actions")
    row |= {key: series[key].mean(axis=1) for key in units if key in series}
    if "stockout_rate" in series:
        row["stockout_rate"] = series["stockout_rate"].mean(axis=1)
    row |= act.tally() if hasattr(act, "tally") else {}
    return pd.DataFrame(row)


def summarise(
    episodes: pd.DataFrame,
    objective: str,
    reference: Reference | None = None,
    heuristics: list[str] | None = None,
) -> pd.DataFrame:
    """Return one row per policy, best first.

    The gap is paired where it can be: with the reference's policy, if it is among the episodes as `reference policy`
    (`evaluate(policies | {REFERENCE: reference.policy}, ...)`), or with the bound in hindsight. Pairing removes the
    randomness of the scenarios. Without the reference's policy the gap is to the reference's value, and its interval is
    as wide as the value's. Per cent are of the reference's value, which is exact.

    Args:
        episodes: of `evaluate`.
        objective: `cost` (less is better) or `profit`.
        reference: of the task; without one, `hindsight bound` is used if it is among the episodes.
        heuristics: policies are compared with the best of these (by default all but the bound and the reference's). It
            is chosen on these very episodes, which favours it.

    Returns:
        A table with the index `policy` and these columns. `value` with `ci_low`, `ci_high`. `better`: how much better
        than the best heuristic (money, paired over scenarios), with `better_low`, `better_high`. `gap` to the reference
        (money, positive is worse) with `gap_low`, `gap_high`, and `gap_percent` of the reference's size. The means of
        the key figures. Intervals are over scenarios, by `mean_interval`; NaN with a single one. `attrs` has
        `best_heuristic`, `objective`, and `gap_to`: `reference policy`, `reference value`, `hindsight bound` or None.
    """
    sign = 1 if objective == "profit" else -1
    values = episodes.pivot(index="seed", columns="policy", values="value")
    known = [
        name for name in (heuristics or values.columns) if name in values.columns and name not in (HINDSIGHT, REFERENCE)
    ]
    best = (sign * values.loc[:, known].mean()).idxmax()
    better = sign * values.sub(values[best], axis=0)
    table = pd.DataFrame({"value": values.mean()})
    table["ci_low"], table["ci_high"] = mean_interval(values)
    table["better"] = better.mean()
    table["better_low"], table["better_high"] = mean_interval(better)
    aim, gap_to = None, None
    if REFERENCE in values:
        aim, gap_to = values[REFERENCE], REFERENCE
    elif reference is not None:
        aim, gap_to = pd.Series(reference.value, index=values.index), "reference value"
    elif HINDSIGHT in values:
        aim, gap_to = values[HINDSIGHT], HINDSIGHT
    if aim is not None:
        gap = -sign * values.sub(aim, axis=0)
        table["gap"] = gap.mean()
        table["gap_low"], table["gap_high"] = mean_interval(gap)
        table["gap_percent"] = 100 * table["gap"] / abs(aim.mean() if reference is None else reference.value)
    table = table.join(key_figures(episodes))
    if kept := [name for name in ACCOUNTS if name in episodes]:
        table = table.join(episodes.groupby("policy")[kept].mean())
    order = (sign * table["value"]).sort_values(ascending=False, kind="stable").index
    table = table.loc[order]
    table.attrs |= {"best_heuristic": best, "objective": objective, "gap_to": gap_to}
    return table
