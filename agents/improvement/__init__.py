"""Improvement by simulation: rollout around a base policy, as a policy and as a network's teacher.

It needs the extra `learn`.
"""

from .learner import ImprovementLearner, ImprovementParams, check, load_policy, starts
from .simulation import Rollout, Simulation

Learner, Params = ImprovementLearner, ImprovementParams

__all__ = [
    "ImprovementLearner",
    "ImprovementParams",
    "Learner",
    "Params",
    "Rollout",
    "Simulation",
    "check",
    "load_policy",
    "starts",
]
