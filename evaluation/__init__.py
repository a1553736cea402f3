"""Evaluation: policies as callables on common scenarios, compared with references and one another."""

from .aggregate import interquartile_mean, performance_profile, probability_of_improvement, stratified_bootstrap
from .checked import checked
from .evaluate import HINDSIGHT, REFERENCE, bootstrap_interval, evaluate, key_figures, scenario_keys, summarise

__all__ = [
    "HINDSIGHT",
    "REFERENCE",
    "bootstrap_interval",
    "checked",
    "evaluate",
    "interquartile_mean",
    "key_figures",
    "performance_profile",
    "probability_of_improvement",
    "scenario_keys",
    "stratified_bootstrap",
    "summarise",
]
