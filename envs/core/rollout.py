"""Whole episodes of a model under a policy, in one batch: what evaluation, tuning and the torch side run on."""

from dataclasses import fields, is_dataclass

import numpy as np

from .batch import admit
from .contract import Model, Policy


def play(model: Model, act: Policy, scenario: dict, seed: int = 0):
    """Run `act` over whole episodes of the scenarios, all rows in step; see `rollout`.

    Yields:
        For each period the state after it, the flow, and how many actions were clipped (n,), None where none was.
    """
    xp, n = model.xp, len(next(iter(scenario.values())))
    state, policy_state = model.initial(n), None
    periods = [{name: block[:, t] for name, block in scenario.items()} for t in range(model.horizon + 1)]
    low, high = (xp.asarray(b) for b in (model.action_low, model.action_high))
    for t in range(model.horizon):
        action, policy_state = act(model.observation(state, periods[t]), policy_state, seed * 1_000_003 + t)
        if xp is np:
            action, clipped = admit(model, action, n)
        else:
            action, clipped = xp.minimum(xp.maximum(action, low.to(action)), high.to(action)), None
        state, flow = model.transition(state, action, periods[t])
        yield state, flow, clipped


def rollout(model: Model, act: Policy, scenario: dict, seed: int = 0, trace: bool = False) -> dict:
    """Run a policy over whole episodes of the scenarios, all rows side by side.

    Args:
        model: with `xp` NumPy or torch; in torch the scenario's arrays are tensors and gradients flow.
        act: the policy. Its `seed` differs from period to period, and makes random policies repeatable.
        scenario: of `model.scenarios`.
        seed: of the policy's own randomness.
        trace: also return the quantities of the flow, named `flow.<field>`.

    Returns:
        name -> (n, T): `reward`, all that `model.info` names, `clipped_actions`, and where there is stock
        `stockout_rate`, the share of items (and shops) with unmet demand; with `trace` also (n, T, ...) arrays.
    """
    xp, series = model.xp, {}
    for t, (state, flow, clipped) in enumerate(play(model, act, scenario, seed)):
        terms = model.terms(flow, state, t == model.horizon - 1)
        row = model.info(flow, terms) | {"reward": model.reward(terms)}
        if hasattr(flow, "unmet"):
            row["stockout_rate"] = xp.asarray(flow.unmet > 0, dtype=xp.float32).mean(axis=1)
        row["clipped_actions"] = xp.zeros_like(row["reward"], dtype=int) if clipped is None else clipped
        if trace:
            row |= _arrays(flow, "flow.") | {"item_profit": model.item_profit(flow)}
        for name, value in row.items():
            series.setdefault(name, []).append(value)
    # A term of the last period alone (salvage) is zero before it.
    for values in series.values():
        values[:0] = [values[0] * 0] * (model.horizon - len(values))
    return {name: xp.stack(values, axis=1) for name, values in series.items()}


def _arrays(data, prefix: str) -> dict:
    """Return the arrays of a dataclass by name, those of dataclasses in it too; what is None is left out."""
    arrays = {}
    for f in fields(data):
        value = getattr(data, f.name)
        if is_dataclass(value):
            arrays |= _arrays(value, f"{prefix}{f.name}.")
        elif value is not None:
            arrays[prefix + f.name] = value
    return arrays
