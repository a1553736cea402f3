"""The baselines: gradient boosting on a customer's figures, one model per task, and rules without learning."""

from dataclasses import dataclass, field

import numpy as np

from ..learning.base import needs
from .histories import AHEAD, FEATURES, TASKS, Samples


@dataclass
class BehaviourTrees:
    """Gradient-boosted trees by LightGBM (Ke et al. 2017), early-stopped on the validation rows; see `fit`."""

    rounds: int = 400
    learning_rate: float = 0.05
    leaves: int = 15
    leaf_rows: int = 50
    seed: int = 0
    boosters: dict = field(default_factory=dict)
    columns: int = 0

    def fit(self, training: Samples, validation: Samples, categories: list[str]) -> "BehaviourTrees":
        """Grow the trees of each task that has known targets in both parts."""
        lightgbm = needs("lightgbm", "risk")
        self.columns = len(categories)
        shared = {
            **{"learning_rate": self.learning_rate, "num_leaves": self.leaves, "min_data_in_leaf": self.leaf_rows},
            **{
                "seed": self.seed,
                "bagging_fraction": 0.8,
                "bagging_freq": 1,
                "feature_fraction": 0.7,
                "lambda_l2": 5.0,
            },
            **{"deterministic": True, "force_row_wise": True, "verbosity": -1, "num_threads": 1},
        }
        for name in TASKS:
            parts = []
            for rows in (training, validation):
                wanted = rows.target[name]
                known = ~np.isnan(wanted)
                wanted = np.log1p(wanted[known]) if name == "spend" else wanted[known] - (name == "next")
                parts.append((rows.table[known], wanted))
            if not all(len(wanted) for _, wanted in parts):
                continue
            goal = {"next": "multiclass", "churn": "binary"}.get(name, "regression")
            settings = shared | {"objective": goal} | ({"num_class": len(categories)} if name == "next" else {})
            train, late = (lightgbm.Dataset(table, wanted) for table, wanted in parts)
            stop = lightgbm.early_stopping(30, verbose=False)
            self.boosters[name] = lightgbm.train(settings, train, self.rounds, [late], callbacks=[stop])
        return self

    def predict(self, rows: Samples) -> dict[str, np.ndarray]:
        """As `BehaviourNetwork.predict`, of the tasks that were learnt."""
        told = {name: booster.predict(rows.table, num_threads=1) for name, booster in self.boosters.items()}
        if "spend" in told:
            told["spend"] = np.expm1(np.clip(told["spend"], 0, 30))
        return told


def rules(training: Samples, rows: Samples, categories: int) -> dict[str, np.ndarray]:
    """Answers without learning, as `BehaviourNetwork.predict`.

    churn: the share of training rows of like recency by mean gap (deciles) that bought nothing; spend: the amount of
    the last 90 days; rating: the customer's mean, shrunk to all customers'; next: the customer's own shares of
    categories, smoothed.
    """
    gap = lambda samples: np.maximum(np.nan_to_num(samples.feature("mean_gap"), nan=AHEAD / 3), 1 / 24)
    ratio = lambda samples: samples.feature("recency") / gap(samples)
    edges = np.quantile(ratio(training), np.linspace(0, 1, 11)[1:-1])
    cell, churn = np.digitize(ratio(training), edges), training.target["churn"]
    share = np.array([churn[cell == one].mean() if (cell == one).any() else churn.mean() for one in range(10)])
    mean = np.nanmean(training.target["rating"]) if not np.isnan(training.target["rating"]).all() else np.nan
    own = np.nan_to_num(rows.feature("mean_rating"), nan=mean)
    shares = rows.table[:, len(FEATURES) :] + 0.05
    return {
        "churn": share[np.digitize(ratio(rows), edges)],
        "spend": rows.feature("amount_90").astype(float),
        "rating": (own + 2 * mean) / 3,
        "next": shares / shares.sum(axis=1, keepdims=True),
    }
