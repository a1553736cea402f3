"""Stable-Baselines3 learners on the batched environments. It needs the extra `learn`."""

from .archive import algorithm_policy, load_archive
from .learner import ALGORITHMS, MASKABLE, SB3Learner, SB3Params, algorithm_class, check, load_policy, starts, view_of

Learner, Params = SB3Learner, SB3Params

__all__ = [
    "ALGORITHMS",
    "MASKABLE",
    "Learner",
    "Params",
    "SB3Learner",
    "SB3Params",
    "algorithm_class",
    "algorithm_policy",
    "check",
    "load_archive",
    "load_policy",
    "starts",
    "view_of",
]
