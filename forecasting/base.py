"""What every forecaster does, and the only two things it is ever given: the past and the known future.

No forecaster sees a whole panel next to an origin. `history` ends the day before the first forecast day, and
`Known` has no field for units, so the future cannot be used even by mistake.
"""

import hashlib
import json
import warnings
from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from ..data import Panel
from ..errors import FieldError
from ..learning.base import write_atomic
from ..reading import read_json

DECILES = tuple(round(0.1 * k, 1) for k in range(1, 10))
MIN_HISTORY = 14  # days: two seasons of seven, the least from which a weekday difference can be taken
_WEEKS_BACK = 8  # calendar fallback: weeks of history that decide whether a weekday is closed


@dataclass(frozen=True)
class Known:
    """Covariates known in advance for the `H` days of a horizon, for `I` items; nothing about units.

    A price that is not known is NaN: forecasters then hold the last price of the history.
    """

    items: list[str]  # (I,)
    dates: pd.DatetimeIndex  # (H,)
    price: np.ndarray  # (H, I), money per unit, NaN = not known
    promo: np.ndarray  # (H, I), bool
    closed: np.ndarray  # (H,), bool
    holiday: np.ndarray  # (H,), bool
    covariates: dict[str, np.ndarray] = field(default_factory=dict)  # each (H, I), NaN = not known

    def __post_init__(self):
        horizon, items = len(self.dates), len(self.items)
        shapes = {"price": (horizon, items), "promo": (horizon, items), "closed": (horizon,), "holiday": (horizon,)}
        for name, value in self.covariates.items():
            if np.shape(value) != (horizon, items):
                shown = f"of shape {np.shape(value)}"
                raise ValueError(f"known.covariates[{name!r}] is {shown}: the horizon needs shape {(horizon, items)}")
        for name, shape in shapes.items():
            value = getattr(self, name)
            if value is None or np.shape(value) != shape:
                shown = "missing" if value is None else f"of shape {np.shape(value)}"
                raise ValueError(f"known.{name} is {shown}: the horizon needs shape {shape}")
        if np.isinf(self.price).any() or (self.price < 0).any():
            raise ValueError("known.price holds a negative or infinite price: allowed are numbers >= 0 and NaN")

    @property
    def horizon(self) -> int:
        return len(self.dates)


def known_future(panel: Panel, origin: int, horizon: int) -> Known:
    """The covariates of days `origin .. origin + horizon - 1` (row numbers) of `panel`.

    Past the end of the panel the calendar is continued by a fixed rule: the last price, no promotion, no holiday, other
    covariates unknown. A weekday is closed if it was closed in at least half of the last eight weeks.

    Raises ValueError when `origin` is not in 1 .. D or `horizon` is below 1.
    """
    days = len(panel.dates)
    if not 1 <= origin <= days:
        raise FieldError("origin", origin, f"a day number of the panel, 1 .. {days}")
    if horizon < 1:
        raise FieldError("horizon", horizon, "at least 1 day")
    inside = slice(origin, min(origin + horizon, days))
    beyond = horizon - (inside.stop - origin)
    dates = panel.dates[inside].append(panel.next_dates(beyond))
    items = len(panel.items)
    # Only days before the origin may decide what is assumed beyond the panel.
    recent = slice(max(0, origin - 7 * _WEEKS_BACK), origin)
    weekdays = panel.dates[recent].dayofweek.to_numpy()
    closed_share = [panel.closed[recent][weekdays == d].mean() if (weekdays == d).any() else 0.0 for d in range(7)]
    closed_beyond = np.array([closed_share[d] >= 0.5 for d in dates[horizon - beyond :].dayofweek], bool)
    return Known(
        items=list(panel.items),
        dates=dates,
        price=np.concatenate([panel.price[inside], np.full((beyond, items), np.nan)]),
        promo=np.concatenate([panel.promo[inside], np.zeros((beyond, items), bool)]),
        closed=np.concatenate([panel.closed[inside], closed_beyond]),
        holiday=np.concatenate([panel.holiday[inside], np.zeros(beyond, bool)]),
        covariates={
            name: np.concatenate([values[inside], np.full((beyond, items), np.nan)])
            for name, values in panel.covariates.items()
        },
    )


def check_inputs(history: Panel, known: Known, levels=DECILES, least: int = MIN_HISTORY) -> np.ndarray:
    """Check what a forecaster was given; the levels as an array (Q,). Raises ValueError naming the field.

    `least`: days that the history must have.
    """
    if len(history.dates) < least:
        raise ValueError(f"history has {len(history.dates)} days: at least {least} are needed")
    if list(history.items) != list(known.items):
        raise ValueError("known.items differ from history.items: both must name the same items in one order")
    if list(history.covariates) != list(known.covariates):
        names = list(history.covariates), list(known.covariates)
        raise ValueError(f"known.covariates are {names[1]}: the history has {names[0]}, both must name the same")
    expected = history.next_dates(max(1, known.horizon))
    if known.horizon < 1 or not known.dates.equals(expected):
        raise ValueError(f"known.dates must be consecutive days from {expected[0]:%Y-%m-%d}, the day after the history")
    levels = np.asarray(levels, float)
    if levels.ndim != 1 or not levels.size or not ((levels > 0) & (levels < 1)).all():
        raise FieldError("levels", levels.tolist(), "numbers between 0 and 1, both excluded")
    return levels


def whole_units(units: np.ndarray) -> np.ndarray:
    """Which items (I,) have whole units only."""
    return ~((units != np.round(units)) & ~np.isnan(units)).any(axis=0)


class Forecaster(ABC):
    """Demand quantiles and sample paths from a panel's past. `I` items, `H` days, `Q` levels.

    `fit` learns from the panel only. `fine_tune` starts from the present weights, pre-trained or fitted. Both return
    the forecaster, and see all days of the panel that they get: pass only the past.
    """

    name: str  # the key in `forecasting.FORECASTERS`
    Params: type  # a dataclass of plain types
    least_history: int = MIN_HISTORY  # days that a history to forecast from must have

    def __init__(self, params=None):
        self.params = params or self.Params()

    @property
    def least_days(self) -> int:
        """Days that a panel to train on must have."""
        return MIN_HISTORY

    @abstractmethod
    def fit(self, panel: Panel) -> "Forecaster": ...

    def fine_tune(self, panel: Panel) -> "Forecaster":
        """Without weights to go on from this is `fit`."""
        return self.fit(panel)

    @abstractmethod
    def predict(self, history: Panel, known: Known, levels=DECILES) -> np.ndarray:
        """Quantiles of each day's demand in units, (I, H, Q), non-negative and rising with the level."""

    def predict_quantiles(self, history: Panel, known: Known, levels=DECILES) -> np.ndarray:
        """The former name of `predict`."""
        warnings.warn("predict_quantiles is now predict", DeprecationWarning, stacklevel=2)
        return self.predict(history, known, levels)

    @abstractmethod
    def predict_mean(self, history: Panel, known: Known) -> np.ndarray:
        """Mean of each day's demand in units, (I, H)."""

    @abstractmethod
    def sample_paths(self, history: Panel, known: Known, paths: int, seed: int) -> np.ndarray:
        """Demand paths in units, (I, paths, H) float32, non-negative, correlated from day to day.

        Whole units where the history has whole units only. The same seed gives the same paths.
        """

    def fingerprint(self) -> str:
        """SHA-256 over everything that decides a forecast: equal fingerprints, equal forecasts."""
        config = {"forecaster": self.name, "params": asdict(self.params)}
        return hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()

    def save(self, folder: str | Path) -> None:
        config = {"forecaster": self.name, "params": asdict(self.params)}
        write_atomic(Path(folder) / "config.json", json.dumps(config, indent=1).encode())

    @classmethod
    def load(cls, folder: str | Path) -> "Forecaster":
        config = read_config(folder)
        if config["forecaster"] != cls.name:
            raise ValueError(f"{folder} holds a {config['forecaster']!r}, not a {cls.name!r}")
        try:
            return cls(cls.Params(**config["params"]))
        except TypeError as error:
            raise ValueError(f"{folder}/config.json: {error}") from None


def read_config(folder: str | Path) -> dict:
    """The `config.json` of a saved forecaster. Raises ValueError when it is not one."""
    path = Path(folder) / "config.json"
    try:
        config = read_json(path)
    except FileNotFoundError:
        raise ValueError(f"{folder} holds no forecaster: there is no config.json") from None
    except ValueError as error:
        raise ValueError(f"{path} is not readable JSON: {error}") from None
    if not isinstance(config, dict) or not {"forecaster", "params"} <= config.keys():
        raise ValueError(f"{path} needs the keys 'forecaster' and 'params'")
    return config
