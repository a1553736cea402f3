"""Evaluation: policies as callables on common scenarios, compared with references and one another."""

from .aggregate import interquartile_mean, performance_profile, probability_of_improvement, stratified_bootstrap
from .checked import checked
from .evaluate import HINDSIGHT, REFERENCE, evaluate, key_figures, scenario_keys, summarise
from .intervals import (
    FEW,
    bootstrap_interval,
    cluster_interval,
    hierarchical_interval,
    mean_interval,
    stratified_t_interval,
    t_interval,
)

__all__ = [
    "FEW",
    "HINDSIGHT",
    "REFERENCE",
    "bootstrap_interval",
    "checked",
    "cluster_interval",
    "evaluate",
    "hierarchical_interval",
    "interquartile_mean",
    "key_figures",
    "mean_interval",
    "performance_profile",
    "probability_of_improvement",
    "scenario_keys",
    "stratified_bootstrap",
    "stratified_t_interval",
    "summarise",
    "t_interval",
]
