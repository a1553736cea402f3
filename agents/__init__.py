"""Agents: heuristics and learners, all of them policies of the same form. `agents.sb3` needs the extra `learn`."""

from .core.rules import available, rules_of, tune

__all__ = ["available", "rules_of", "tune"]
