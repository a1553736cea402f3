"""Evaluation: policies as callables on common scenarios, compared with references and one another."""

from .evaluate import bootstrap_interval, evaluate, key_figures, scenario_keys, summarise

__all__ = ["bootstrap_interval", "evaluate", "key_figures", "scenario_keys", "summarise"]
