"""What a decision causes, and what another policy would earn, from logged decisions.

A log has n rows: what was known (features), which of K actions was taken, its outcome, and the group of each row (such
as its season), within which rows depend on each other. Effects are identified if the features hold everything that both
the decision and the outcome depend on, and each action had a positive probability (Rubin 1974; Imbens and Rubin 2015).
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ..errors import FieldError
from .intervals import t_interval

TREES = {"n_estimators": 60, "learning_rate": 0.08, "num_leaves": 8, "min_child_samples": 20, "n_jobs": 1}
FOLDS = 4
LEAST_CHANCE = 0.02  # estimated propensities are cut there (Crump and others 2009)


@dataclass
class Estimate:
    """A number with its 95 % interval, in the outcome's unit."""

    value: float
    low: float
    high: float

    def covers(self, truth: float) -> bool:
        """Return whether the interval holds a number."""
        return self.low <= truth <= self.high


@dataclass
class Log:
    """Logged decisions: what estimates are made from.

    Attributes:
        features: (n, F) what was known at the decision.
        action: (n,) whole numbers from 0 on, K different ones.
        outcome: (n,) in one unit.
        group: (n,) rows of one group may depend on each other; groups are independent.
        chance: (n, K) the probabilities that the logging policy had, None where they were not kept.
    """

    features: np.ndarray
    action: np.ndarray
    outcome: np.ndarray
    group: np.ndarray
    chance: np.ndarray | None = None

    def __post_init__(self):
        n = len(self.features)
        for name in ("action", "outcome", "group"):
            if np.shape(getattr(self, name)) != (n,):
                raise FieldError(name, np.shape(getattr(self, name)), f"shape ({n},), as many as features has rows")
        if not (np.isfinite(self.features).all() and np.isfinite(self.outcome).all()):
            raise FieldError("features, outcome", "NaN or infinite", "finite numbers")
        taken = np.unique(self.action)
        if len(taken) < 2 or not np.array_equal(taken, np.arange(len(taken))):
            raise FieldError("action", taken.tolist(), "whole numbers 0, 1, ..., each of which was taken")
        if self.chance is not None:
            shape = n, len(taken)
            if np.shape(self.chance) != shape or not np.allclose(np.sum(self.chance, axis=1), 1, atol=1e-6):
                raise FieldError("chance", np.shape(self.chance), f"probabilities, shape {shape}, rows that sum to 1")
            if (self.chance[np.arange(n), self.action] <= 0).any():
                raise FieldError("chance", 0, "more than 0 for each action that was taken")
        if len(np.unique(self.group)) < FOLDS:
            raise FieldError("group", len(np.unique(self.group)), f"at least {FOLDS} different ones")

    @cached_property
    def actions(self) -> int:
        """How many different actions there are, K."""
        return int(self.action.max()) + 1

    def folds(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """Return rows to fit on and rows to predict, so that no group is on both sides (cross-fitting)."""
        _, place = np.unique(self.group, return_inverse=True)
        return [(np.flatnonzero(place % FOLDS != k), np.flatnonzero(place % FOLDS == k)) for k in range(FOLDS)]

    @cached_property
    def expected(self) -> np.ndarray:
        """The outcome expected of each action (n, K), by boosted trees on other groups, one model per action.

        Raises:
            ImportError: without LightGBM.
        """
        from lightgbm import LGBMRegressor

        out: Any = np.empty((len(self.outcome), self.actions))
        for fit, rest in self.folds():
            for k in range(self.actions):
                rows = fit[self.action[fit] == k]
                if not len(rows):
                    raise FieldError("action", k, "each action in more than one part of the groups")
                model = LGBMRegressor(**TREES, verbose=-1).fit(self.features[rows], self.outcome[rows])
                out[rest, k] = model.predict(self.features[rest])
        return out

    @cached_property
    def propensity(self) -> np.ndarray:
        """The probability of each action (n, K): as logged, or by boosted trees on other groups, at least .02.

        Raises:
            ImportError: without LightGBM.
        """
        if self.chance is not None:
            return self.chance
        from lightgbm import LGBMClassifier

        out = np.empty((len(self.outcome), self.actions))
        for fit, rest in self.folds():
            model = LGBMClassifier(**TREES, verbose=-1).fit(self.features[fit], self.action[fit])
            if len(model.classes_) < self.actions:
                raise FieldError("action", model.classes_.tolist(), "each action in more than one part of the groups")
            out[rest] = np.asarray(model.predict_proba(self.features[rest]))
        return np.maximum(out, LEAST_CHANCE)


def clustered_mean(scores: np.ndarray, group: np.ndarray, weights: np.ndarray | None = None) -> Estimate:
    """Return the weighted mean of scores (n,) with a t-interval over groups (n,) of rows that depend on each other: the
    ratio's linearisation (Cochran 1977, Sampling Techniques, section 6.3)."""
    weights = np.ones(len(scores)) if weights is None else weights
    _, place = np.unique(group, return_inverse=True)
    total, weight = np.bincount(place, weights * scores), np.bincount(place, weights)
    mean = total.sum() / weight.sum()
    low, high = mean + t_interval((total - mean * weight) / weight.mean())
    return Estimate(float(mean), float(low), float(high))


def difference_in_means(log: Log, treated: int = 1, control: int = 0) -> Estimate:
    """Return the mean outcome where `treated` was taken less that where `control` was: an effect only if it was drawn
    by lot."""
    mean = [log.outcome[log.action == k].mean() for k in (control, treated)]
    influence = np.zeros(len(log.outcome))
    for k, sign in ((control, -1), (treated, 1)):
        here = log.action == k
        influence += sign * here * (log.outcome - mean[k == treated]) / here.mean()
    return clustered_mean(influence + mean[1] - mean[0], log.group)


def regression(log: Log, treated: int = 1, control: int = 0) -> Estimate:
    """Return the effect of `treated` against `control` by ordinary least squares on actions and features, with
    standard errors by group (Liang and Zeger 1986): an average effect where all of it is linear."""
    dummies = np.eye(log.actions)[log.action]
    dummies[:, control] = 1.0  # the intercept: actions are measured from the control
    centred = log.features - log.features.mean(axis=0)
    design = np.concatenate([dummies, centred], axis=1)
    inverse = np.linalg.pinv(design.T @ design)
    beta = inverse @ design.T @ log.outcome
    influence = (design @ inverse[treated]) * (log.outcome - design @ beta) * len(design)
    return clustered_mean(influence + beta[treated], log.group)


def doubly_robust(log: Log, treated: int = 1, control: int = 0) -> Estimate:
    """Return the average effect of `treated` against `control` over all rows: augmented inverse-propensity weighting.

    Consistent where either the outcome's or the propensity's model is (Robins, Rotnitzky and Zhao 1994), cross-fitted
    (Chernozhukov and others 2018, Econometrics Journal 21).
    """
    target = np.eye(log.actions)
    return clustered_mean(_robust(log, target[treated] - target[control]), log.group)


def double_ml(log: Log, treated: int = 1, control: int = 0, seed: int = 0) -> Estimate:
    """Return the average effect of `treated` against `control` by double machine learning: EconML's `LinearDML`.

    The outcome and the action are each freed of what the features explain; the effect is linear in the features
    (Chernozhukov and others 2018). Its interval takes rows as independent.

    Raises:
        ImportError: without econml (extra `causal`).
    """
    from lightgbm import LGBMClassifier

    fitted = _linear_dml(LGBMClassifier(**TREES, verbose=-1), True, seed)
    fitted.fit(log.outcome, log.action, X=log.features, groups=log.group)
    found = fitted.ate_inference(log.features, T0=control, T1=treated)
    low, high = found.conf_int_mean()
    return Estimate(*(float(np.squeeze(value)) for value in (found.mean_point, low, high)))


def slope(features: np.ndarray, dose: np.ndarray, outcome: np.ndarray, group: np.ndarray, seed: int = 0) -> Estimate:
    """Return what one unit more of a dose (n,), such as a price, does to the outcome: partially linear regression by
    EconML's `LinearDML`.

    Raises:
        ImportError: without econml (extra `causal`).
    """
    from lightgbm import LGBMRegressor

    fitted = _linear_dml(LGBMRegressor(**TREES, verbose=-1), False, seed)
    fitted.fit(outcome, dose, X=None, W=features, groups=group)
    low, high = fitted.const_marginal_ate_interval()
    return Estimate(*(float(np.squeeze(value)) for value in (fitted.const_marginal_ate(), low, high)))


def _linear_dml(model_t, discrete: bool, seed: int):
    try:
        from econml.dml import LinearDML
    except ImportError as error:
        raise ImportError("double machine learning needs econml: pip install 'storelab[causal]'") from error
    from lightgbm import LGBMRegressor
    from sklearn.model_selection import GroupKFold

    models: dict[str, Any] = {"model_y": LGBMRegressor(**TREES, verbose=-1), "model_t": model_t}
    models["cv"] = GroupKFold(FOLDS)
    return LinearDML(**models, discrete_treatment=discrete, random_state=seed)


def _robust(log: Log, target: np.ndarray) -> np.ndarray:
    """Return the doubly robust scores (n,) of weights over actions (K,) or (n, K)."""
    target = np.broadcast_to(target, (len(log.outcome), log.actions))
    taken = np.arange(len(log.outcome)), log.action
    weight = target[taken] / log.propensity[taken]
    return (target * log.expected).sum(axis=1) + weight * (log.outcome - log.expected[taken])


def off_policy(log: Log, target: np.ndarray) -> dict[str, Estimate]:
    """Return the mean outcome that another policy would have had in the log's situations, by four estimators.

    Args:
        log: best with the logging policy's probabilities; without them they are estimated.
        target: (n, K) the other policy's probability of each action in each row.

    Returns:
        `matching`: the mean outcome of the rows whose action the policy would have taken (no correction: the
        baseline); `ips`: inverse-propensity scores (Horvitz and Thompson 1952); `snips`: self-normalised (Swaminathan
        and Joachims 2015, arXiv:1512.01332); `dr`: doubly robust (Dudik, Langford and Li 2011, arXiv:1103.4601).

    Raises:
        FieldError: probabilities that are none, or of another shape.
    """
    target = np.asarray(target, float)
    shape = len(log.outcome), log.actions
    if target.shape != shape or (target < 0).any() or not np.allclose(target.sum(axis=1), 1, atol=1e-6):
        raise FieldError("target", target.shape, f"probabilities, shape {shape}, rows that sum to 1")
    taken = np.arange(len(log.outcome)), log.action
    weight = target[taken] / log.propensity[taken]
    if not weight.any():
        raise FieldError("target", "no weight", "some of the actions that were taken")
    return {
        "matching": clustered_mean(log.outcome, log.group, target[taken]),
        "ips": clustered_mean(weight * log.outcome, log.group),
        "snips": clustered_mean(log.outcome, log.group, weight),
        "dr": clustered_mean(_robust(log, target), log.group),
    }
