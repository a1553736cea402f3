"""Stable-Baselines3 learners on the batched environments. It needs the extra `learn`, which loads when it is used."""

from typing import TYPE_CHECKING, Any

from .params import ALGORITHMS, MASKABLE, SB3Params, algorithm_class

if TYPE_CHECKING:
    from .archive import algorithm_policy, load_archive
    from .learner import SB3Learner, check, load_policy, starts, view_of

    Learner = SB3Learner

Params = SB3Params
LATER = {
    **dict.fromkeys(("algorithm_policy", "load_archive"), "archive"),
    **dict.fromkeys(("SB3Learner", "Learner", "check", "load_policy", "starts", "view_of"), "learner"),
}

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


def __getattr__(name: str) -> Any:
    """Import what needs torch when it is asked for."""
    if name not in LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f".{LATER[name]}", __name__), "SB3Learner" if name == "Learner" else name)
