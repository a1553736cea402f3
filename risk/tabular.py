"""Fraud from the features of a transaction alone: gradient boosting, and the baselines that it is measured against.

All give margins, the higher the more suspicious; `Calibration` makes probabilities of them.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from ..errors import FieldError
from ..learning.base import Card, load_folder, needs, save_folder
from ..learning.params import check_whole
from .features import PLAIN, Layout

_BINS, _AMOUNT_BINS = 255, 4095  # of a feature's histogram; with 255 a dear payment shares its bin with 0.4 % of all


@dataclass
class Calibration:
    """Platt scaling: probability = 1 / (1 + exp(-(slope x margin + intercept))) (Platt 1999)."""

    slope: float = 1.0
    intercept: float = 0.0

    @classmethod
    def fit(cls, margin: np.ndarray, fraud: np.ndarray) -> "Calibration":
        """From margins (n,) and labels (n,) that no model was trained on. Raises ValueError without both classes."""
        if len(np.unique(fraud)) != 2:
            raise ValueError(f"fraud: {int(np.sum(fraud))} of {len(fraud)} rows; expected rows with and without")
        fitted = needs("sklearn.linear_model", "risk").LogisticRegression(C=1e6).fit(margin[:, None], fraud)
        return cls(float(fitted.coef_[0, 0]), float(fitted.intercept_[0]))

    def __call__(self, margin: np.ndarray) -> np.ndarray:
        return 1.0 / (1.0 + np.exp(-(self.slope * np.asarray(margin, float) + self.intercept).clip(-500, 500)))


@dataclass
class Scaling:
    """Features for linear models and networks: signed logarithm, standardised, at most 5 deviations; 0 for NaN."""

    mean: np.ndarray  # (F,)
    spread: np.ndarray  # (F,)

    @classmethod
    def fit(cls, table: np.ndarray) -> "Scaling":
        log = np.sign(table) * np.log1p(np.abs(table))
        seen = ~np.isnan(log)
        count = np.maximum(seen.sum(axis=0), 1)
        mean = np.where(seen, log, 0.0).sum(axis=0) / count
        spread = np.sqrt((np.where(seen, log - mean, 0.0) ** 2).sum(axis=0) / count)
        return cls(mean.astype(np.float32), spread.astype(np.float32) + np.float32(1e-6))

    def __call__(self, table: np.ndarray) -> np.ndarray:
        log = np.sign(table) * np.log1p(np.abs(table))
        return np.nan_to_num(((log - self.mean) / self.spread).clip(-5, 5)).astype(np.float32)


@dataclass
class TreesParams:
    """Parameters of the trees."""

    rounds: int = 200  # trees
    learning_rate: float = 0.05
    leaves: int = 31  # per tree, at most
    leaf_rows: int = 50  # rows in a leaf, at least
    seed: int = 0

    def __post_init__(self):
        check_whole(self, rounds=1, leaves=2, leaf_rows=1, seed=0)
        rate = self.learning_rate
        if isinstance(rate, bool) or not isinstance(rate, int | float) or not 0 < rate <= 1:
            raise FieldError("learning_rate", rate, "a number above 0, up to 1")


class Trees:
    """Gradient-boosted trees by LightGBM (Ke et al. 2017) on the features of `risk.features`."""

    name = "risk-trees"
    Params = TreesParams

    def __init__(self, params: TreesParams | None = None, layout: Layout = PLAIN):
        self.params, self.layout = params or TreesParams(), layout
        self.booster = None  # lightgbm.Booster
        self.calibration = Calibration()

    def fit(self, table: np.ndarray, fraud: np.ndarray) -> "Trees":
        """Grow the trees on features (n, F) and labels (n,). Raises ValueError for another shape or a single class."""
        _check(table, self.layout, fraud)
        lightgbm = needs("lightgbm", "risk")
        p = self.params
        settings = {
            **{"objective": "binary", "learning_rate": p.learning_rate, "num_leaves": p.leaves, "seed": p.seed},
            **{"min_data_in_leaf": p.leaf_rows, "bagging_fraction": 0.8, "bagging_freq": 1, "feature_fraction": 0.6},
            **{"lambda_l2": 5.0, "deterministic": True, "force_row_wise": True, "verbosity": -1, "num_threads": 1},
            "max_bin_by_feature": [_AMOUNT_BINS if "amount" in name else _BINS for name in self.layout.names],
        }
        self.booster = lightgbm.train(settings, lightgbm.Dataset(table, fraud.astype(float)), p.rounds)
        return self

    def calibrate(self, table: np.ndarray, fraud: np.ndarray) -> "Trees":
        """Fit the calibration on rows that the trees were not grown on."""
        self.calibration = Calibration.fit(self.margins(table), fraud)
        return self

    def margins(self, table: np.ndarray, threads: int = 1) -> np.ndarray:
        """Log odds (n,) as the trees say them."""
        self._check_grown(table)
        if not len(table):
            return np.empty(0)
        return self.booster.predict(table, raw_score=True, num_threads=threads)

    def predict(self, table: np.ndarray, threads: int = 1) -> np.ndarray:
        """Calibrated probabilities (n,) of fraud from features (n, F)."""
        return self.calibration(self.margins(table, threads))

    def explain(self, row: np.ndarray) -> pd.DataFrame:
        """What each feature of a transaction (F,) adds to its margin: exact TreeSHAP (Lundberg et al. 2020).

        Columns feature, value, contribution (log odds), the largest first, after the baseline: the mean over the rows
        that the trees were grown on. The contributions sum to the margin.
        """
        table = np.asarray(row)[None]
        self._check_grown(table)
        parts = self.booster.predict(table, pred_contrib=True, num_threads=1)[0]
        order = np.r_[len(self.layout.names), np.argsort(-np.abs(parts[:-1]), kind="stable")]
        columns = {"feature": [*self.layout.names, "baseline"], "value": np.r_[table[0], np.nan], "contribution": parts}
        return pd.DataFrame(columns).loc[order].reset_index(drop=True)

    def _check_grown(self, table: np.ndarray) -> None:
        if self.booster is None:
            raise ValueError("the model has no trees: call fit")
        _check(table, self.layout)

    def text(self) -> np.ndarray:
        """The trees in LightGBM's text format, as bytes (n,) uint8."""
        return np.frombuffer(self.booster.model_to_string().encode(), np.uint8)

    def save(self, folder: str | Path, card: Card) -> None:
        """Write safetensors (LightGBM's text as bytes), `config.json` with its checksum, and the model card."""
        if self.booster is None:
            raise ValueError("the model has no trees to save: call fit first")
        save_folder(folder, self.name, self.config(), {"trees": self.text()}, card)

    def config(self) -> dict:
        """Plain types: what `restore` takes beside the trees themselves."""
        config = {"params": asdict(self.params), "calibration": asdict(self.calibration)}
        return config | {"layout": asdict(self.layout), "features": self.layout.names}

    @classmethod
    def load(cls, folder: str | Path) -> "Trees":
        """The trees saved in a folder. Raises ValueError when it is damaged or another model's."""
        _, config, arrays, _ = load_folder(folder, cls.name)
        try:
            return cls.restore(config, arrays)
        except (KeyError, TypeError) as error:
            raise ValueError(f"{folder} holds no usable model: {error}") from None

    @classmethod
    def restore(cls, config: dict, arrays: dict[str, np.ndarray]) -> "Trees":
        layout = Layout(**config["layout"]) if "layout" in config else PLAIN
        if list(config["features"]) != list(layout.names):
            raise ValueError("the saved model has other features than this version: train it anew")
        lightgbm = needs("lightgbm", "risk")
        model = cls(TreesParams(**config["params"]), layout)
        model.calibration = Calibration(**config["calibration"])
        try:
            model.booster = lightgbm.Booster(model_str=arrays["trees"].tobytes().decode())
        except lightgbm.basic.LightGBMError as error:
            raise ValueError(f"the trees are not LightGBM's text: {error}") from None
        return model


def _check(table: np.ndarray, layout: Layout, fraud: np.ndarray | None = None) -> None:
    count = len(layout.names)
    if np.ndim(table) != 2 or np.shape(table)[1] != count:
        raise ValueError(f"table: shape {np.shape(table)}; expected (n, {count}), as risk.features gives")
    if fraud is not None and (np.shape(fraud) != (len(table),) or len(np.unique(fraud)) != 2):
        raise ValueError(f"fraud: shape {np.shape(fraud)}; expected ({len(table)},) with both classes")


def baselines(
    table: np.ndarray, fraud: np.ndarray, seed: int, layout: Layout = PLAIN
) -> dict[str, Callable[[np.ndarray], np.ndarray]]:
    """Baselines by name, trained on features (n, F) and labels (n,): functions from features to margins.

    The isolation forest (Liu, Ting & Zhou 2008) sees no label.
    """
    _check(table, layout, fraud)
    linear = needs("sklearn.linear_model", "risk").LogisticRegression(C=1.0, max_iter=300)
    ensemble = needs("sklearn.ensemble", "risk")
    boosting = ensemble.HistGradientBoostingClassifier(
        max_iter=200, learning_rate=0.05, l2_regularization=5.0, early_stopping=False, random_state=seed
    )
    forest = ensemble.IsolationForest(n_estimators=100, random_state=seed)
    scaling = Scaling.fit(table)
    scaled = scaling(table)
    boosting.fit(table, fraud)
    linear.fit(scaled, fraud)
    forest.fit(scaled)
    less = {"LightGBM, nothing shared": shared(layout), "LightGBM, no late labels": late(layout)}
    few = {
        name: (hidden, Trees(TreesParams(seed=seed), layout).fit(_without(table, hidden), fraud))
        for name, hidden in less.items()
        if hidden.any()
    }
    return {
        "HistGradientBoosting": boosting.decision_function,
        **{
            name: lambda rows, hidden=hidden, trees=trees: trees.margins(_without(rows, hidden))
            for name, (hidden, trees) in few.items()
        },
        "logistic regression": lambda rows: linear.decision_function(scaling(rows)),
        "isolation forest": lambda rows: -forest.score_samples(scaling(rows)),
    }


def late(layout: Layout) -> np.ndarray:
    """Which features (F,) count known frauds."""
    return np.array([" known fraud" in name for name in layout.names])


def shared(layout: Layout) -> np.ndarray:
    """Which features (F,) tell what devices, addresses, cards and places have seen of others."""
    return np.array([name.startswith(layout.entities[1:]) for name in layout.names])


def _without(table: np.ndarray, hidden: np.ndarray) -> np.ndarray:
    return np.where(hidden, np.float32(np.nan), table)
