"""Calibrated quantiles: a forecaster whose levels are corrected by what came on past days it had not seen.

Distributional conformal prediction (Chernozhukov, Wuethrich & Zhu 2021, PNAS 118(48)): the score of a day is the level
at which its units stand in the forecast made for it, U = F(units), and the corrected quantile at level t is the
forecaster's own at the t-quantile of past scores, pooled over the items of a demand class. Units are whole, many days
have none: U is drawn from where the quantile function is flat (Smith 1985's randomised transform), so that true
quantiles give uniform scores. Levels move, not units: zero and whole units stay what they are. Closed days take no
part, and are forecast as 0.

What it cannot do: reach units that the forecaster gives no level at all, as beyond the largest of moving average's
days; and at whole units the share of days at or below a true quantile stays above its level.
"""

import copy
import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..data import Panel
from ..errors import FieldError
from ..learning.base import write_atomic
from . import FORECASTERS, create, load
from .backtest import CLASSES, demand_classes
from .base import DECILES, Forecaster, Known, check_inputs, known_future, read_config, whole_units
from .baselines import positive
from .censored import treated

GRID = np.arange(1, 200) / 200  # levels at which scores are compared
_LEAST_SCORES = 1000  # of a class of its own; those with fewer take the scores of all


@dataclass
class ConformalParams:
    """Which forecaster is corrected, and on which days."""

    base: str = "lightgbm"  # a name of FORECASTERS
    params: dict[str, Any] = field(default_factory=dict)  # its parameters, by their own names
    horizon: int = 28  # days ahead, at most
    windows: int = 3  # horizons before the origin whose scores are taken
    seed: int = 0  # of the scores and paths

    def __post_init__(self):
        if self.base not in FORECASTERS or self.base == Conformal.name:
            allowed = ", ".join(name for name in FORECASTERS if name != Conformal.name)
            raise FieldError("base", self.base, f"one of {allowed}")
        if not isinstance(self.params, dict):
            raise FieldError("params", self.params, "a mapping")
        positive("horizon", self.horizon)
        positive("windows", self.windows)
        if type(self.seed) is not int or not 0 <= self.seed < 2**31:
            raise FieldError("seed", self.seed, "a whole number >= 0")
        try:
            self._new_base()
        except FieldError as error:
            raise error.inside("params") from None

    @property
    def planned(self) -> bool:
        """Whether the forecaster uses prices and promotions of the horizon."""
        return getattr(self._new_base().params, "planned", False)

    def _new_base(self) -> Forecaster:
        return create(self.base, **self.params)


class Conformal(Forecaster):
    """See the module's docstring. `fit` and `fine_tune` train the base twice, each time from its parameters on.

    First on the days before the windows, which are then forecast and scored; then on all days, for the forecasts to
    come. So no score is of a day that its forecast was trained on, and the forecasts are of a base that knows more
    than the one that was scored: if that makes them sharper, coverage errs on the wide side.
    """

    name = "conformal"
    Params = ConformalParams

    def __init__(self, params: ConformalParams | None = None):
        super().__init__(params)
        self.base: Forecaster | None = None
        self.levels: dict[str, list[float]] = {}  # demand class -> the base's level for each of GRID

    def fit(self, panel: Panel) -> "Conformal":
        """Train the base anew and take scores. Raises ValueError when the panel is too short."""
        return self._train(panel, "fit")

    def fine_tune(self, panel: Panel) -> "Conformal":
        """As `fit`, from the base's pre-trained weights where it has any, never from an earlier call's."""
        return self._train(panel, "fine_tune")

    def _train(self, panel: Panel, how: str) -> "Conformal":
        p = self.params
        base = create(p.base, **p.params)
        kept = p.windows * p.horizon
        first = len(panel.dates) - kept
        if first < base.least_days:
            raise ValueError(
                f"the panel has {len(panel.dates)} days: training needs at least {base.least_days + kept} "
                f"({base.least_days} for {p.base}, the last {kept}, {p.windows} windows of {p.horizon}, to calibrate)"
            )
        scored = getattr(copy.deepcopy(base), how)(panel.until(first))
        classes, scores = (np.concatenate(part) for part in zip(*self._scores(scored, panel, first), strict=True))
        self.levels = {}
        for name in CLASSES:
            own = scores[classes == name]
            own = np.sort(own if len(own) >= _LEAST_SCORES else scores)
            place = np.ceil((len(own) + 1) * GRID).astype(int).clip(max=len(own)) - 1
            self.levels[name] = own[place].tolist() if len(own) else GRID.tolist()
        self.base = getattr(base, how)(panel)
        return self

    def _scores(self, scored: Forecaster, panel: Panel, first: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Demand classes and scores (N,) of the observed, open days of each window."""
        rng, demand = np.random.default_rng(self.params.seed), treated(panel, "drawn").units
        for origin in range(first, len(panel.dates), self.params.horizon):
            history, known = panel.until(origin), known_future(panel, origin, self.params.horizon)
            quantiles = scored.predict(history, known, GRID)
            units = np.where(known.closed[:, None], np.nan, demand[origin : origin + known.horizon]).T
            seen = ~np.isnan(units)
            below = (quantiles < units[..., None]).sum(axis=-1)
            up_to = (quantiles <= units[..., None]).sum(axis=-1)
            score = (below + rng.random(units.shape) * (up_to + 1 - below)) / (len(GRID) + 1)
            classes = np.broadcast_to(demand_classes(history)[:, None], units.shape)
            yield classes[seen], score[seen]

    def _check(self, history: Panel, known: Known, levels=DECILES) -> None:
        check_inputs(history, known, levels)
        if self.base is None:
            raise ValueError("the levels are not calibrated: call fit")
        if known.horizon > self.params.horizon:
            raise ValueError(f"the horizon is {known.horizon} days: it was calibrated for {self.params.horizon}")

    def _quantiles(self, history: Panel, known: Known, levels: np.ndarray) -> np.ndarray:
        """Corrected quantiles (I, H, Q), 0 on closed days; one call of the base for the levels of all classes there."""
        self._check(history, known, levels)
        names, member = np.unique(demand_classes(history), return_inverse=True)
        moved = [np.interp(levels, [0, *GRID, 1], [0, *self.levels[name], 1]) for name in names]
        quantiles = self.base.predict(history, known, np.concatenate(moved))
        column = member[:, None] * len(levels) + np.arange(len(levels))
        return np.take_along_axis(quantiles, column[:, None, :], axis=-1) * ~known.closed[:, None]

    def predict(self, history: Panel, known: Known, levels=DECILES) -> np.ndarray:
        return self._quantiles(history, known, np.asarray(levels, float))

    def predict_mean(self, history: Panel, known: Known) -> np.ndarray:
        """The base's, on closed days too: scores say how often days are above a level, not how far."""
        self._check(history, known)
        return self.base.predict_mean(history, known)

    def sample_paths(self, history: Panel, known: Known, paths: int, seed: int) -> np.ndarray:
        """Corrected quantiles in the order of the base's paths (ensemble copula coupling, Schefzik et al. 2013)."""
        quantiles = self._quantiles(history, known, (np.arange(paths) + 0.5) / paths)  # (I, H, paths)
        drawn = self.base.sample_paths(history, known, paths, seed)
        rng = np.random.default_rng([self.params.seed, seed])
        rank = np.lexsort((rng.random(drawn.shape), drawn), axis=1).argsort(axis=1)  # ties in any order
        values = np.take_along_axis(quantiles, rank.transpose(0, 2, 1), axis=-1).transpose(0, 2, 1)
        # Up or down at random, as the baselines do: their quantiles of whole units may lie between them.
        whole = np.floor(values + rng.random(values.shape))
        return np.where(whole_units(history.units)[:, None, None], whole, values).astype(np.float32)

    def _content(self) -> dict:
        if self.base is None:
            raise ValueError("there are no calibrated levels to save: call fit first")
        config = {"forecaster": self.name, "params": asdict(self.params), "levels": self.levels}
        return config | {"base_fingerprint": self.base.fingerprint()}

    def fingerprint(self) -> str:
        config = self._content()
        del config["params"]["params"]  # the base's fingerprint has those that decide a forecast
        return hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()

    def save(self, folder: str | Path) -> None:
        """The base in `base/`, and `config.json` with the levels, which is written last."""
        config = self._content()
        self.base.save(Path(folder) / "base")
        write_atomic(Path(folder) / "config.json", json.dumps(config, indent=1).encode())

    @classmethod
    def load(cls, folder: str | Path) -> "Conformal":
        config = read_config(folder)
        try:
            if config["forecaster"] != cls.name:
                raise ValueError(f"it is a {config['forecaster']!r}")
            model = cls(ConformalParams(**config["params"]))
            model.base, model.levels = load(Path(folder) / "base"), config["levels"]
            if model.base.fingerprint() != config["base_fingerprint"]:
                raise ValueError("base/ does not have the fingerprint in config.json")
            levels = np.array([model.levels[name] for name in CLASSES], float)
            if levels.shape != (len(CLASSES), len(GRID)) or not ((levels > 0) & (levels < 1)).all():
                raise ValueError("levels are not those of a calibration")
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{folder} holds no usable conformal: {error}") from None
        return model
