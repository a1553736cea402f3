"""Values of the environment in a configuration, `${oc.env:NAME}`: used, and not written.

What is written has the interpolation as text, where the value is text, beside a digest by which another value is told.
Numbers are written: a seed names the run's folder. Text of the environment is allowed where it leads to something: the
folders of runs and the data. Elsewhere it would be written into models and checkpoints, and is refused.
"""

import hashlib
import os
import re
from contextlib import contextmanager
from functools import cache

from omegaconf import OmegaConf

from ...errors import FieldError

NAMED = re.compile(r"\$\{oc\.env:([^{}]+)\}")
PLACES = ("runs", "run", "output")  # keys of folders and files, which are shown
DATA = ("data.", "dataset.")  # what these keys get is hidden
LEAST = 4  # characters of a value that is hidden in messages
_AS_TEXT: list[str] = []  # how the environment's values are shown now: "all" or "words"; empty: as they are
_hidden: dict[str, str] = {}  # value -> interpolation
_UNSET = object()


def install() -> None:
    """Let configurations take values from the environment by our resolver."""
    OmegaConf.register_new_resolver("oc.env", _env, replace=True)


def _env(name: str, default=_UNSET):
    """OmegaConf's `oc.env`, which can show what it stands for as text."""
    if name not in os.environ:
        if default is _UNSET:
            raise KeyError(f"Environment variable '{name}' not found")
        return default if default is None else str(default)
    value = os.environ[name]
    return f"${{oc.env:{name}}}" if _AS_TEXT and (_AS_TEXT[-1] == "all" or not _is_number(value)) else value


def _is_number(value: str) -> bool:
    return re.fullmatch(r"[+-]?[\d.]+(e[+-]?\d+)?|true|false|null", value, re.I) is not None


@contextmanager
def as_text(which: str = "all"):
    """Show values of the environment as the interpolations that they come from; with "words" all but numbers."""
    _AS_TEXT.append(which)
    try:
        yield
    finally:
        _AS_TEXT.pop()


def texts(values: dict, shown: dict) -> dict[str, str]:
    """Return dotted key -> text with the interpolation, of the text that is of the environment.

    Args:
        values: a config as plain types.
        shown: the same `as_text`.

    Raises:
        FieldError: a key where text of the environment is not allowed.
    """
    found = {}
    for key, value, text in _leaves(values, shown):
        if not isinstance(text, str) or not NAMED.search(text) or isinstance(value, bool | int | float | None):
            continue
        if key not in PLACES and not key.startswith(DATA):
            expected = f"numbers from the environment, text for {', '.join(PLACES)}, data and dataset alone"
            raise FieldError(key, text, expected, "as it would be written")
        if value != expanded(key, text):
            raise FieldError(key, text, "text with ${oc.env:NAME}")
        found[key] = text
        if key not in PLACES:
            _hidden.update((os.environ[name], f"${{oc.env:{name}}}") for name in NAMED.findall(text))
    return found


def expanded(key: str, text: str) -> str:
    """Return a text with the values of the environment; raises FieldError where one is not set."""
    for name in NAMED.findall(text):
        if name not in os.environ:
            raise FieldError(key, f"${{oc.env:{name}}}", f"the variable {name} in the environment", "as it is not set")
    return NAMED.sub(lambda match: os.environ[match[1]], text)


def hide(text: str) -> str:
    """Return a message with the interpolations in place of the values that configurations took for their data."""
    for value in sorted(_hidden, key=len, reverse=True):
        text = text.replace(value, _hidden[value]) if len(value) >= LEAST else text
    return text


def sealed(config: dict, found: dict[str, str]) -> dict:
    """Return a config to be written: interpolations as text, and digests of what they stood for."""
    digests = {}
    for key, text in found.items():
        if key not in PLACES:
            digests[key] = digest(key, _get(config, key))
        _set(config, key, text)
    return config | ({"environment": digests} if digests else {})


def opened(config: dict, runs: str) -> tuple[dict, dict[str, str]]:
    """Return a config that was written with the values of the environment, and its `texts`; `runs` is its folder.

    Raises FieldError where a value is not set or another one.
    """
    digests = config.get("environment", {})
    config = {key: value for key, value in config.items() if key != "environment"}
    found = {}
    for key, kept in digests.items():
        found[key] = _get(config, key)
        value = expanded(key, found[key])
        if digest(key, value) != kept:
            raise FieldError(key, found[key], "the value that the run was made with", "as it stands for another value")
        _set(config, key, value)
    if NAMED.search(str(config.get("runs", ""))):
        found["runs"], config["runs"] = config["runs"], runs
    return config, found


@cache
def digest(key: str, value: str) -> str:
    """Return what tells a value from another: slow to compute, so that nobody finds a value by trying many."""
    return hashlib.scrypt(value.encode(), salt=f"storelab {key}".encode(), n=2**14, r=8, p=1, dklen=16).hex()


def _leaves(value, shown, key: str = ""):
    """Dotted key, value and how it is shown, of all that is no part with parts."""
    if isinstance(value, dict | list) and type(value) is type(shown):
        for name, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _leaves(inner, shown[name], f"{key}.{name}" if key else str(name))
    else:
        yield key, value, shown


def _get(values, key: str):
    for name in key.split("."):
        values = values[int(name)] if isinstance(values, list) else values.get(name) if values else None
    return values


def _set(values, key: str, value) -> None:
    *path, last = key.split(".")
    part = _get(values, ".".join(path)) if path else values
    part[int(last) if isinstance(part, list) else last] = value
