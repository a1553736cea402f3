"""Stable-Baselines3 learners on the batched environments. It needs the extra `learn`."""

from .learner import ALGORITHMS, MASKABLE, SB3Learner, SB3Params, algorithm_class, check, load_policy, view_of

Learner, Params = SB3Learner, SB3Params

__all__ = [
    "ALGORITHMS",
    "MASKABLE",
    "Learner",
    "Params",
    "SB3Learner",
    "SB3Params",
    "algorithm_class",
    "check",
    "load_policy",
    "view_of",
]
