"""Agents: heuristics and learners, all of them policies of the same form. `agents.sb3` needs the extra `learn`."""

from .core.rules import available, rules_of, tune
from .policies import as_policies, batched, scalar, torch_policy

__all__ = ["as_policies", "available", "batched", "rules_of", "scalar", "torch_policy", "tune"]
