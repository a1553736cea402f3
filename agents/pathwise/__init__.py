"""The pathwise learner: cost backpropagated through a model's own dynamics. It needs the extra `learn`."""

from .learner import PathwiseLearner, PathwiseParams, check, load_policy, starts

Learner, Params = PathwiseLearner, PathwiseParams

__all__ = ["Learner", "Params", "PathwiseLearner", "PathwiseParams", "check", "load_policy", "starts"]
