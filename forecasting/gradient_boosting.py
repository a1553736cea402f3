"""Gradient-boosted trees over all items at once, one model per quantile, by LightGBM (Ke et al. 2017).

What won M5 (Makridakis et al. 2022): features of the past, scaled by the item's level, and covariates known in
advance. Features and settings follow the reference protocol. Tail, copula and paths are those of the sequence model.

Fallbacks: days not observed or closed take no part in features and targets; a feature without a day is NaN, which
trees know how to split on. An item not observed within 56 days takes the mean of its whole history as its scale; one
never observed is forecast as one of its category.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from ..data import Panel
from ..errors import FieldError
from ..learning.base import needs, write_atomic
from ..reading import MOST_TEXT, parse_json, read_bytes
from .base import Known, check_inputs, read_config
from .baselines import mean_of_observed
from .censored import demand_of
from .distribution import LEVELS, Dependence, calibrate
from .quantile import QuantileForecaster

_LEAST_OBSERVED = 14  # days of an item before a training origin
_USUAL_START = 150  # days of the panel before the first training origin, where there are as many
_WINDOWS = (7, 14, 28, 56, 112)  # days
_SIGNAL_WINDOWS = (7, 14, 28)  # days, of past covariates
_WEEKS = (1, 4, 8)  # whose same weekday is averaged
_SCALE_DAYS = 56
_SCALE_FLOOR = 0.1  # units/day, added
_CALIBRATION_ORIGINS, _CALIBRATION_WINDOWS = 6, 600


@dataclass
class GradientBoostingParams:
    """Which covariates the trees may use, and how they are grown."""

    horizon: int = 28  # days ahead, at most
    planned: bool = True  # price, promotion and covariates of the horizon are known; False: they are not used
    rounds: int = 150  # trees per quantile
    learning_rate: float = 0.08
    leaves: int = 31  # per tree, at most
    leaf_rows: int = 100  # rows in a leaf, at least
    origins: int = 26  # training origins, a week apart, at most
    rows: int = 200_000  # training rows (item, origin, day ahead), at most
    seed: int = 0
    progress: bool = True  # progress bar

    def __post_init__(self):
        for field in fields(self):
            value = getattr(self, field.name)
            if field.type is float:
                if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 1:
                    raise FieldError(field.name, value, "a number above 0, up to 1")
                setattr(self, field.name, float(value))
            elif type(value) is not field.type:
                raise FieldError(field.name, value, f"type {field.type.__name__}")
            least = {"seed": 0, "leaves": 2}.get(field.name, 1)
            if field.type is int and not least <= value < 2**31:
                raise FieldError(field.name, value, f"a whole number >= {least}")


def feature_names(history: Panel, planned: bool) -> list[str]:
    """Of the columns of `_features`, in words: means by the item's level, prices by the usual one."""
    item = [f"mean of {width} days" for width in _WINDOWS]
    item += ["spread of 28 days", "share of zeros in 28 days", "share of zeros in 112 days", "largest of 28 days"]
    item += ["log level of 56 days", "days observed", "days since a sale", "last price", "last promotion"]
    item += [f"{name}, mean of {width} days" for name in history.past_covariates for width in _SIGNAL_WINDOWS]
    day = ["days ahead", "weekday", "month", "holiday", *(f"same weekday, {weeks} weeks" for weeks in _WEEKS)]
    ahead = ["price", "promotion", *(f"{name}{less}" for name in history.covariates for less in ("", " less usual"))]
    return item + day + (ahead if planned else [])


class _Days:
    """The arrays of a history, with the known future behind: units NaN where closed or not observed."""

    def __init__(self, history: Panel, known: Known | None = None):
        def join(name: str) -> np.ndarray:
            past = getattr(history, name)
            return past if known is None else np.concatenate([past, getattr(known, name)])

        self.units = np.where(history.closed[:, None], np.nan, demand_of(history))  # (D, I)
        self.price, self.promo, self.holiday, self.closed = map(join, ("price", "promo", "holiday", "closed"))
        self.covariates = [
            values if known is None else np.concatenate([values, known.covariates[name]])
            for name, values in history.covariates.items()
        ]
        self.past_covariates = list(history.past_covariates.values())
        dates = history.dates if known is None else history.dates.append(known.dates)
        self.weekday, self.month = dates.dayofweek.to_numpy(), dates.month.to_numpy()

    def planned(self, day: int, usual_price: np.ndarray, usual_covariates: list[np.ndarray]) -> list[np.ndarray]:
        """What is known in advance of a day, each (I,): relative price, promotion, covariates and their change."""
        columns = [self.price[day] / usual_price, self.promo[day]]
        for values, usual in zip(self.covariates, usual_covariates, strict=True):
            columns += [values[day], values[day] - usual]
        return columns


def _scale(units: np.ndarray) -> np.ndarray:
    """The level (I,) of a past (D, I), in units/day."""
    recent, whole = mean_of_observed(units[-_SCALE_DAYS:]), mean_of_observed(units)
    scale = np.where(np.isnan(recent), whole, recent)
    usual = np.nanmedian(scale) if not np.isnan(scale).all() else 0.0
    return np.where(np.isnan(scale), usual, scale) + _SCALE_FLOOR


def _features(days: _Days, origin: int, horizon: int, planned: bool) -> tuple[np.ndarray, np.ndarray]:
    """Features (I, H, F) float32 of the days `origin` and on, and the scale (I,). Units before `origin` alone."""
    units = days.units[:origin]
    scale = _scale(units)
    last = [units[-width:] for width in _WINDOWS]
    recent, long = last[2], last[-1]
    mean = mean_of_observed(recent)
    spread = np.sqrt(mean_of_observed((recent - mean) ** 2))
    zero = [mean_of_observed(np.where(np.isnan(part), np.nan, part == 0)) for part in (recent, long)]
    largest = np.where(np.isnan(recent).all(axis=0), np.nan, np.nan_to_num(recent).max(axis=0))
    sold = np.nan_to_num(long) > 0
    since = np.where(sold.any(axis=0), np.argmax(sold[::-1], axis=0), len(long))
    price = days.price[max(0, origin - _WINDOWS[-1]) : origin]
    usual_price = mean_of_observed(price)
    usual_promo = days.promo[max(0, origin - _WINDOWS[-1]) : origin].mean(axis=0)
    seen = np.minimum((~np.isnan(units)).sum(axis=0), 365)
    item = [
        *[mean_of_observed(part) / scale for part in last],
        *(spread / scale, *zero, largest / scale, np.log(scale), seen, since),
        *(days.price[origin - 1] / usual_price, days.promo[origin - 1] - usual_promo),
    ]
    for values in days.past_covariates:
        usual = mean_of_observed(values[max(0, origin - _WINDOWS[-1]) : origin])
        item += [mean_of_observed(values[max(0, origin - width) : origin]) - usual for width in _SIGNAL_WINDOWS]
    usual_covariates = [mean_of_observed(values[max(0, origin - _WINDOWS[-1]) : origin]) for values in days.covariates]
    table = []
    for ahead in range(horizon):
        day = origin + ahead
        same = [origin - 7 * back + ahead % 7 for back in range(1, max(_WEEKS) + 1)]
        weekly = units[[row for row in same if row >= 0]]
        whole_shop = [ahead, days.weekday[day], days.month[day], days.holiday[day]]
        columns = [np.full(len(scale), value) for value in whole_shop]
        columns += [mean_of_observed(weekly[:weeks]) / scale for weeks in _WEEKS]
        if planned:
            columns += days.planned(day, usual_price, usual_covariates)
        table.append(np.stack([*item, *columns], axis=1))
    return np.stack(table, axis=1).astype(np.float32), scale


class GradientBoosting(QuantileForecaster):
    """See the module's docstring. `fine_tune` is `fit`: the panel holds all days, and trees grow in seconds."""

    name = "lightgbm"
    Params = GradientBoostingParams

    def __init__(self, params: GradientBoostingParams | None = None):
        super().__init__(params)
        self.boosters: list = []  # lightgbm.Booster, one per level of LEVELS

    @property
    def least_days(self) -> int:
        return _LEAST_OBSERVED + self.params.horizon

    def fit(self, panel: Panel) -> "GradientBoosting":
        """Grow the trees on the panel. Raises ValueError when it is too short or holds no sale."""
        p = self.params
        self._check_panel(panel, f"{_LEAST_OBSERVED} observed, {p.horizon} ahead")
        lightgbm = needs("lightgbm", "baselines")
        days = _Days(panel)
        table, target = (np.concatenate(part) for part in zip(*self._training_rows(days), strict=True))
        if not len(target):
            raise ValueError(f"no item is observed on {_LEAST_OBSERVED} days before a training origin")
        settings = {
            **{"objective": "quantile", "learning_rate": p.learning_rate, "num_leaves": p.leaves, "seed": p.seed},
            **{"min_data_in_leaf": p.leaf_rows, "feature_fraction": 0.8, "bagging_fraction": 0.8, "bagging_freq": 1},
            **{"deterministic": True, "force_row_wise": True, "verbosity": -1},
        }
        data = lightgbm.Dataset(table, target, free_raw_data=False)
        self.boosters = [
            lightgbm.train(settings | {"alpha": level}, data, p.rounds)
            for level in tqdm(LEVELS, desc="train", unit="quantile", disable=not p.progress or None)
        ]
        self._calibrate(days)
        return self

    def _training_rows(self, days: _Days) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Features (N, F) and targets (N,) in scales, origin by origin."""
        p, rng = self.params, np.random.default_rng(self.params.seed)
        last = len(days.units) - p.horizon
        start = max(_LEAST_OBSERVED, min(_USUAL_START, last // 2))
        origins = range(last, start - 1, -7)[: p.origins]
        for origin in origins:
            features, scale = _features(days, origin, p.horizon, p.planned)
            target = days.units[origin : origin + p.horizon].T / scale[:, None]
            enough = (~np.isnan(days.units[:origin])).sum(axis=0) >= _LEAST_OBSERVED
            item, ahead = np.nonzero(~np.isnan(target) & enough[:, None])
            limit = max(1, p.rows // len(origins))
            if len(item) > limit:
                chosen = np.sort(rng.choice(len(item), limit, replace=False))
                item, ahead = item[chosen], ahead[chosen]
            yield features[item, ahead], target[item, ahead]

    def _calibrate(self, days: _Days) -> None:
        """Tail and copula, on windows of the last half year of the training panel."""
        horizon, rng = self.params.horizon, np.random.default_rng(self.params.seed)
        origins = [len(days.units) - horizon * k for k in range(1, _CALIBRATION_ORIGINS + 1)]
        parts = []
        for origin in (origin for origin in origins if origin >= _LEAST_OBSERVED):
            enough = np.flatnonzero((~np.isnan(days.units[:origin])).sum(axis=0) >= _LEAST_OBSERVED)
            limit = _CALIBRATION_WINDOWS // _CALIBRATION_ORIGINS
            item = rng.choice(enough, min(limit, len(enough)), replace=False)
            quantiles, scale = self._quantiles(days, origin, horizon)
            units = torch.from_numpy(days.units[origin : origin + horizon].T).float()
            parts.append((quantiles[item], scale[item], units[item]))
        self.dependence = calibrate(*(torch.cat(part) for part in zip(*parts, strict=True)), self.params.seed)

    def _quantiles(self, days: _Days, origin: int, horizon: int) -> tuple[torch.Tensor, torch.Tensor]:
        table, scale = _features(days, origin, horizon, self.params.planned)
        flat = table.reshape(-1, table.shape[-1])
        raw = np.stack([booster.predict(flat) for booster in self.boosters], axis=-1).reshape(*table.shape[:2], -1)
        scales = scale[:, None] * ~days.closed[origin : origin + horizon]  # (I, H)
        quantiles = np.sort(np.maximum(0.0, raw), axis=-1) * scales[..., None]
        return torch.from_numpy(quantiles).float(), torch.from_numpy(scales).float()

    def _check(self, history: Panel, known: Known) -> None:
        check_inputs(history, known)
        if not self.boosters:
            raise ValueError("the model has no trees: call fit")
        if known.horizon > self.params.horizon:
            raise ValueError(f"the horizon is {known.horizon} days: the model was trained for {self.params.horizon}")

    def _forecast(self, history: Panel, known: Known) -> tuple[torch.Tensor, torch.Tensor]:
        self._check(history, known)
        return self._quantiles(_Days(history, known), len(history.dates), known.horizon)

    def contributions(self, history: Panel, known: Known, column: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """What each feature adds to one item's quantiles at LEVELS: exact TreeSHAP (Lundberg et al. 2020), by LightGBM.

        Features (H, F), contributions (H, Q, F + 1) in scales, the last one the trees' mean, and scales (H,) in
        units/day, 0 on closed days. The sum over F + 1 is a quantile as the trees say it, before sorting and cutting.
        """
        self._check(history, known)
        days, origin = _Days(history, known), len(history.dates)
        table, scale = _features(days, origin, known.horizon, self.params.planned)
        parts = [booster.predict(table[column], pred_contrib=True) for booster in self.boosters]
        scales = scale[column] * ~days.closed[origin : origin + known.horizon]
        return table[column], np.stack(parts, axis=1), scales

    def _content(self) -> tuple[bytes, dict]:
        if not self.boosters:
            raise ValueError("the model has no trees to save: call fit first")
        trees = json.dumps([booster.model_to_string() for booster in self.boosters]).encode()
        config = {
            "forecaster": self.name,
            "params": asdict(self.params),
            "dependence": asdict(self.dependence),
            "trees_sha256": hashlib.sha256(trees).hexdigest(),
        }
        return trees, config

    def fingerprint(self) -> str:
        config = self._content()[1]
        del config["params"]["progress"]
        return hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()

    def save(self, folder: str | Path) -> None:
        """`trees.json` (LightGBM's text format, one per level) and `config.json`, which is written last."""
        trees, config = self._content()
        write_atomic(Path(folder) / "trees.json", trees)
        write_atomic(Path(folder) / "config.json", json.dumps(config, indent=1).encode())

    @classmethod
    def load(cls, folder: str | Path) -> "GradientBoosting":
        config = read_config(folder)
        lightgbm = needs("lightgbm", "baselines")
        try:
            if config["forecaster"] != cls.name:
                raise ValueError(f"it is a {config['forecaster']!r}")
            trees = read_bytes(Path(folder) / "trees.json", MOST_TEXT)
            if hashlib.sha256(trees).hexdigest() != config["trees_sha256"]:
                raise ValueError("trees.json does not have the checksum in config.json")
            model = cls(cls.Params(**config["params"]))
            model._restore(config)
            model.boosters = [lightgbm.Booster(model_str=text) for text in parse_json(trees, "trees.json")]
        except (OSError, KeyError, TypeError, ValueError, lightgbm.basic.LightGBMError) as error:
            raise ValueError(f"{folder} holds no usable {cls.name}: {error}") from None
        return model

    def _restore(self, config: dict) -> None:
        """Take what a saved model's config holds beside its trees."""
        self.dependence = Dependence(**config["dependence"])
