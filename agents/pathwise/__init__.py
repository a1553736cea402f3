"""The pathwise learner: cost backpropagated through a model's own dynamics. It needs the extra `learn`."""

from .actor import starts
from .learner import PathwiseLearner, PathwiseParams, check, load_policy

Learner, Params = PathwiseLearner, PathwiseParams

__all__ = ["Learner", "Params", "PathwiseLearner", "PathwiseParams", "check", "load_policy", "starts"]
