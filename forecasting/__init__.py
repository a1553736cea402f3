"""Demand forecasts: quantiles and sample paths from a panel's past and what is known of the future."""

from ..learning.registry import Registry
from ..plugins import declared
from .base import DECILES, Forecaster, Known, known_future

FORECASTERS = Registry(
    __name__,
    "forecaster",
    {
        "seasonal_naive": ".baselines:SeasonalNaive",
        "moving_average": ".baselines:MovingAverage",
        "croston_sba": ".statistical:CrostonSBA",
        "tsb": ".statistical:TSB",
        "auto_ets": ".statistical:AutoETS",
        "lightgbm": ".gradient_boosting:GradientBoosting",
        "lightgbm_mean": ".mean_boosting:MeanBoosting",
        "transformer": ".transformer:Transformer",
        "ensemble": ".ensemble:Ensemble",
        "conformal": ".conformal:Conformal",
        "hub": ".hub:Hub",
        "new_store": ".new_store:NewStore",
    },
    key="forecaster",
    params={"transformer": ".params:TransformerParams"},
)
for _name, _place in declared("forecasters").items():
    FORECASTERS.register(_name, _place)
create, load = FORECASTERS.create, FORECASTERS.load

__all__ = ["DECILES", "FORECASTERS", "Forecaster", "Known", "create", "known_future", "load"]
