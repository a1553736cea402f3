"""Demand forecasts: a panel's past and the known future in, quantiles and sample paths out."""

from importlib import import_module
from pathlib import Path

from .base import DECILES, Forecaster, Known, known_future, read_config

# Name -> (module, class): a module is imported when it is used, so that the baselines come without torch.
FORECASTERS = {
    "seasonal_naive": ("baselines", "SeasonalNaive"),
    "moving_average": ("baselines", "MovingAverage"),
    "croston_sba": ("statistical", "CrostonSBA"),
    "tsb": ("statistical", "TSB"),
    "auto_ets": ("statistical", "AutoETS"),
    "lightgbm": ("gradient_boosting", "GradientBoosting"),
    "transformer": ("transformer", "Transformer"),
    "ensemble": ("ensemble", "Ensemble"),
    "conformal": ("conformal", "Conformal"),
    "hub": ("hub", "Hub"),
}


def _forecaster_class(name: str) -> type[Forecaster]:
    if name not in FORECASTERS:
        raise ValueError(f"forecaster is {name!r}: allowed are {', '.join(FORECASTERS)}")
    module, attribute = FORECASTERS[name]
    return getattr(import_module(f".{module}", __name__), attribute)


def create(name: str, **params) -> Forecaster:
    """A forecaster by its name, with the fields of its Params. Raises ValueError for an unknown name or field."""
    cls = _forecaster_class(name)
    try:
        return cls(cls.Params(**params))
    except TypeError as error:
        raise ValueError(f"forecaster {name}: {error}") from None


def load(folder: str | Path) -> Forecaster:
    """The forecaster saved in `folder`. Runs no code from it; raises ValueError when it is damaged."""
    return _forecaster_class(read_config(folder)["forecaster"]).load(folder)


__all__ = ["DECILES", "FORECASTERS", "Forecaster", "Known", "create", "known_future", "load"]
