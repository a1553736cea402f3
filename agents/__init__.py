"""Agents: heuristics and learners, all of them policies of the same form. `agents.sb3` needs the extra `learn`."""

from .heuristics import HEURISTICS, Heuristic, available, tune

__all__ = ["HEURISTICS", "Heuristic", "available", "tune"]
