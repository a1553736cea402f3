"""A weighted mean of several forecasters' quantiles, level by level (Vincent 1912; Lichtendahl et al. 2013).

Errors of models that are made differently partly cancel out. The weights, the spread and the copula are learnt on the
last windows of the training panel, forecast by members that were trained on the days before (see `recalibration`).
"""

import copy
import hashlib
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..data import Panel
from ..errors import FieldError
from ..learning.base import write_atomic
from . import create, load
from .backtest import CLASSES, demand_classes
from .base import Known, known_future, read_config, whole_units
from .baselines import positive
from .censored import demand_of
from .distribution import Dependence, calibrate
from .quantile import QuantileForecaster
from .recalibration import Spread, Window, weights_of

MEMBERS = ("transformer", "lightgbm", "lightgbm_mean", "hub")  # those that say the quantiles at LEVELS
_WEEKS = 8  # of a window, in a weekly panel
_CALIBRATED = 900  # windows that the copula is fitted on, at most


@dataclass
class EnsembleParams:
    """Whose quantiles are averaged."""

    members: list[str] = field(default_factory=lambda: ["transformer", "lightgbm", "lightgbm_mean"])  # or one twice
    params: dict[str, Any] = field(default_factory=dict)  # name of a member -> its parameters, by their own names
    horizon: int = 28  # days ahead, at most
    windows: int = 3  # last ones of the training panel that weights, spread and copula are learnt on; 0: equal weights
    planned: bool = True  # price, promotion and covariates of the horizon are known; False: members do not use them
    seed: int = 0  # of the first of each name; the next of that name takes the next seed

    def __post_init__(self):
        wrong = [name for name in self.members if name not in MEMBERS] if isinstance(self.members, list) else [""]
        if wrong or not self.members:
            raise FieldError("members", self.members, f"a list of {', '.join(MEMBERS)}, one or more")
        if not isinstance(self.params, dict) or not all(isinstance(value, dict) for value in self.params.values()):
            raise FieldError("params", self.params, "a mapping of members to mappings")
        if unknown := [name for name in self.params if name not in self.members]:
            raise FieldError("params", self.params, f"keys of {', '.join(self.members)}", f"with {unknown[0]!r}")
        positive("horizon", self.horizon)
        if type(self.windows) is not int or not 0 <= self.windows <= 100:
            raise FieldError("windows", self.windows, "a whole number from 0 to 100")
        if type(self.planned) is not bool:
            raise FieldError("planned", self.planned, "a bool")
        if type(self.seed) is not int or not 0 <= self.seed < 2**31:
            raise FieldError("seed", self.seed, "a whole number >= 0")
        for name, values in self.params.items():
            if {"planned", "seed"} & values.keys():
                raise FieldError(f"params.{name}", values, "no planned and no seed, which the ensemble sets")


class Ensemble(QuantileForecaster):
    """See the module's docstring. `fit` and `fine_tune` do what they do to each member."""

    name = "ensemble"
    Params = EnsembleParams

    def __init__(self, params: EnsembleParams | None = None):
        super().__init__(params)
        self.members: list[QuantileForecaster] = [self._new_member(place) for place in range(len(self.params.members))]
        self.weights = [1 / len(self.members)] * len(self.members)
        self.spread = Spread()

    def _new_member(self, place: int) -> QuantileForecaster:
        p, name = self.params, self.params.members[place]
        seed = p.seed + p.members[:place].count(name)
        try:
            given = {"horizon": p.horizon} if "lightgbm" in name else {}
            return create(name, planned=p.planned, seed=seed, **given | p.params.get(name, {}))
        except FieldError as error:
            raise error.inside(f"params.{name}") from None

    @property
    def least_days(self) -> int:
        return max(member.least_days for member in self.members)

    def fit(self, panel: Panel) -> "Ensemble":
        return self._train(panel, "fit")

    def fine_tune(self, panel: Panel) -> "Ensemble":
        return self._train(panel, "fine_tune")

    def _train(self, panel: Panel, how: str) -> "Ensemble":
        past = self.past_windows(panel, how)
        self.members = [getattr(member, how)(panel) for member in self.members]
        return self.learn(past)

    def past_windows(self, panel: Panel, how: str = "fine_tune") -> Window | None:
        """The last windows of a panel, forecast by members trained on the days before; None where it is too short.

        The members take over what these copies learnt from their own validation days, such as how long to train.
        """
        length = min(_WEEKS if panel.weekly else self.params.horizon, self.params.horizon)
        count = max(0, min(self.params.windows, (len(panel.dates) - self.least_days) // length))
        first = len(panel.dates) - count * length
        demand = np.where(panel.closed[:, None], np.nan, demand_of(panel))
        origins = [day for day in range(first, len(demand), length) if not np.isnan(demand[day : day + length]).all()]
        if not origins:
            return None
        early = [getattr(copy.deepcopy(member), how)(panel.until(first)) for member in self.members]
        for member, trained in zip(self.members, early, strict=True):
            member.take_over(trained)
        return Window.joined([self._window(early, panel, demand, origin, length) for origin in origins])

    def learn(self, past: Window | None) -> "Ensemble":
        """Weights, spread and copula from windows that the members had not seen; equal weights where there are none."""
        own = [asdict(member.dependence) for member in self.members]
        self.dependence = Dependence(**{name: float(np.mean([row[name] for row in own])) for name in own[0]})
        self.weights, self.spread = [1 / len(self.members)] * len(self.members), Spread()
        if past:
            self.weights = weights_of(past)
            blend = past.blend(self.weights)
            self.spread = Spread.fitted(blend, past, self.dependence.tail, self.params.seed)
            blend = self.spread.applied(blend, past.scale, past.classes)
            rows = np.linspace(0, len(blend) - 1, min(_CALIBRATED, len(blend))).astype(int)
            self.dependence = calibrate(blend[rows], past.scale[rows], past.units[rows], self.params.seed)
        return self

    def _window(self, early: list, panel: Panel, demand: np.ndarray, origin: int, length: int) -> Window:
        history, known = panel.until(origin), known_future(panel, origin, length)
        quantiles, scales = zip(*(member._forecast(history, known) for member in early), strict=True)
        units = torch.from_numpy(demand[origin : origin + length].T).float()
        whole = bool(whole_units(history.units).all())
        return Window(torch.stack(quantiles), torch.stack(scales).mean(dim=0), units, demand_classes(history), whole)

    def _forecast(self, history: Panel, known: Known) -> tuple[torch.Tensor, torch.Tensor]:
        quantiles, scales = zip(*(member._forecast(history, known) for member in self.members), strict=True)
        blend = torch.einsum("m,mihq->ihq", torch.tensor(self.weights), torch.stack(quantiles))
        scale = torch.stack(scales).mean(dim=0)
        return self.spread.applied(blend, scale, demand_classes(history)), scale

    def _content(self) -> dict:
        config = {"forecaster": self.name, "params": asdict(self.params), "dependence": asdict(self.dependence)}
        config |= {"weights": self.weights, "spread": asdict(self.spread)}
        return config | {"member_fingerprints": [member.fingerprint() for member in self.members]}

    def fingerprint(self) -> str:
        config = self._content()
        del config["params"]["params"]  # the members' fingerprints have those that decide a forecast
        return hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()

    def save(self, folder: str | Path) -> None:
        """The members in `member-0/`, `member-1/`, ... and `config.json`, which is written last."""
        config = self._content()
        for place, member in enumerate(self.members):
            member.save(Path(folder) / f"member-{place}")
        write_atomic(Path(folder) / "config.json", json.dumps(config, indent=1).encode())

    @classmethod
    def load(cls, folder: str | Path) -> "Ensemble":
        config = read_config(folder)
        try:
            if config["forecaster"] != cls.name:
                raise ValueError(f"it is a {config['forecaster']!r}")
            model = cls.__new__(cls)  # with no members of its own: one from a hub would be fetched
            QuantileForecaster.__init__(model, EnsembleParams(**config["params"]))
            model.dependence = Dependence(**config["dependence"])
            count = len(model.params.members)
            model.weights, model.spread = config["weights"], Spread(**config["spread"])
            if len(model.weights) != count or set(model.spread.factors) != set(CLASSES):
                raise ValueError("weights or spread are not those of its members")
            model.members = [load(Path(folder) / f"member-{place}") for place in range(count)]
            if [member.fingerprint() for member in model.members] != config["member_fingerprints"]:
                raise ValueError("its members do not have the fingerprints in config.json")
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{folder} holds no usable ensemble: {error}") from None
        return model
