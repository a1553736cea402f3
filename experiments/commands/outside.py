"""`storelab benchmark CONTEST [key=value ...]`: other people's benchmarks, each a module with `USAGE` and `contest`."""

import sys
from collections.abc import Callable
from dataclasses import is_dataclass
from importlib import import_module
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from ...errors import FieldError


def contest(name: str, args: list[str]) -> int:
    """Play a contest; return the exit status."""
    module = import_module(f".{name}", __package__)
    if "--help" in args or "-h" in args:
        print(module.USAGE)
        return 0
    try:
        module.contest(module.settings(args))
    except BrokenPipeError:  # `| head` has seen enough: see `cli.main`
        raise
    except (FieldError, ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def read_words(kind: Callable[..., Any], args: list[str], defaults: str = "") -> Any:
    """Return the settings of a command's words.

    Args:
        kind: a dataclass of the keys.
        args: `key=value` each.
        defaults: YAML over the dataclass's own.

    Raises:
        ValueError: a word that is none, an unknown key, a value of another type.
    """
    assert is_dataclass(kind)
    if wrong := [arg for arg in args if "=" not in arg]:
        raise FieldError("argument", wrong[0], "key=value")
    try:
        merged = OmegaConf.merge(OmegaConf.structured(kind), OmegaConf.create(defaults), OmegaConf.from_dotlist(args))
        return OmegaConf.to_object(merged)
    except OmegaConfBaseException as error:
        raise ValueError(f"{error.full_key or 'key'}: {error.msg or error}".splitlines()[0]) from None
