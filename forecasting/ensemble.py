"""The mean of several forecasters' quantiles, level by level (Vincent 1912; Lichtendahl et al. 2013).

Errors of models that are made differently partly cancel out. Tail and copula are the means of the members' as well.
"""

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
from .base import Known, read_config
from .distribution import Dependence
from .quantile import QuantileForecaster

MEMBERS = ("transformer", "lightgbm", "hub")  # those that say the quantiles at LEVELS


@dataclass
class EnsembleParams:
    """Whose quantiles are averaged."""

    members: list[str] = field(default_factory=lambda: ["transformer", "lightgbm"])  # one may be there twice
    params: dict[str, Any] = field(default_factory=dict)  # name of a member -> its parameters, by their own names
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

    def _new_member(self, place: int) -> QuantileForecaster:
        p, name = self.params, self.params.members[place]
        seed = p.seed + p.members[:place].count(name)
        try:
            return create(name, planned=p.planned, seed=seed, **p.params.get(name, {}))
        except FieldError as error:
            raise error.inside(f"params.{name}") from None

    @property
    def least_days(self) -> int:
        return max(member.least_days for member in self.members)

    def fit(self, panel: Panel) -> "Ensemble":
        self.members = [member.fit(panel) for member in self.members]
        return self._joined()

    def fine_tune(self, panel: Panel) -> "Ensemble":
        self.members = [member.fine_tune(panel) for member in self.members]
        return self._joined()

    def _joined(self) -> "Ensemble":
        own = [asdict(member.dependence) for member in self.members]
        self.dependence = Dependence(**{name: float(np.mean([row[name] for row in own])) for name in own[0]})
        return self

    def _forecast(self, history: Panel, known: Known) -> tuple[torch.Tensor, torch.Tensor]:
        quantiles, scales = zip(*(member._forecast(history, known) for member in self.members), strict=True)
        return torch.stack(quantiles).mean(dim=0), torch.stack(scales).mean(dim=0)

    def _content(self) -> dict:
        config = {"forecaster": self.name, "params": asdict(self.params), "dependence": asdict(self.dependence)}
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
            model.members = [load(Path(folder) / f"member-{place}") for place in range(count)]
            if [member.fingerprint() for member in model.members] != config["member_fingerprints"]:
                raise ValueError("its members do not have the fingerprints in config.json")
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{folder} holds no usable ensemble: {error}") from None
        return model
