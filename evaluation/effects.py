"""Effects of a decision: the same held-out scenarios with the decision changed."""

from typing import Any

import numpy as np
import pandas as pd

from ..envs import Task
from ..envs.core.contract import Model, Policy
from ..errors import FieldError
from .evaluate import evaluate

AS_IT_WAS, CHANGED = "as it was", "changed"


def decisions(model: Model) -> dict[str, slice]:
    """Return the decisions by name and their places in an action: a model's `controls` that the agent decides, or the
    whole `action`."""
    controls, places, start = getattr(model, "controls", None), {}, 0
    if controls is None:
        return {"action": slice(0, len(model.action_low))}
    for name in model.params.decides:
        places[name] = slice(start, start := start + controls[name][0])
    return places


class Changed:
    """A policy with one of its decisions changed by an amount, in every period or in one. Its other decisions stay.

    The policy observes the results of the changed decisions. Actions stay within their bounds, and whole numbers whole.

    Raises:
        FieldError: a decision that the model has none of, a change of nothing, of a part of a whole number, or in a
            period that does not exist.
    """

    def __init__(self, act: Policy, model: Model, decision: str, change: float, period: int | None = None):
        places = decisions(model)
        if decision not in places:
            raise FieldError("effect", decision, f"one of {', '.join(places)}")
        whole = model.action_space.dtype is not None and model.action_space.dtype.kind == "i"
        if not np.isfinite(change) or change == 0 or (whole and change != round(change)):
            expected = "a whole number other than 0" if whole else "a number other than 0"
            raise FieldError("change", change, expected, f"added to {decision}")
        if period is not None and not 0 <= period < model.horizon:
            raise FieldError("period", period, f"0 to {model.horizon - 1}")
        self.act, self.place, self.change, self.period = act, places[decision], change, period
        self.low, self.high = model.action_low, model.action_high

    def __call__(self, observation: np.ndarray, policy_state: Any, seed: int) -> tuple[np.ndarray, Any]:
        """Act as the policy would, with the decision changed."""
        now, inner = (0, None) if policy_state is None else policy_state
        action, inner = self.act(observation, inner, seed)
        if self.period in (None, now):
            action = np.asarray(action)
            shaped = action.reshape(len(observation), -1)
            kind = shaped.dtype if shaped.dtype.kind == "i" else float
            shaped = shaped.astype(kind)  # a copy
            part = shaped[:, self.place] + self.change
            shaped[:, self.place] = np.clip(part, self.low[self.place], self.high[self.place])
            action = shaped.reshape(action.shape)
        return action, (now + 1, inner)


def decision_effect(
    act: Policy, task: Task, seeds, decision: str, change: float, period: int | None = None
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the episodes of a policy as it was and with a decision changed, on the same held-out scenarios.

    Args:
        act: the policy.
        task: whose test scenarios are used.
        seeds: of the scenarios, integers.
        decision: of `decisions`.
        change: added to it, in its unit.
        period: in which alone it is changed; None: in every one.

    Returns:
        Two tables with a row per scenario (index `seed`): as it was, and changed; columns as of `evaluate`.
    """
    both = {AS_IT_WAS: act, CHANGED: Changed(act, task.model("test"), decision, change, period)}
    episodes = evaluate(both, task, seeds)
    first, second = (episodes[episodes["policy"] == name].set_index("seed").drop(columns="policy") for name in both)
    return first, second
