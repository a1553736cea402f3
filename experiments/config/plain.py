"""A composed config with its interpolations resolved, and numbers and paths as people write them.

1e6 is a whole number where one is wanted; .inf and inf, .nan and nan are numbers wherever they stand; a value that
begins with ~/ is a path in the home folder.
"""

import os
import re

from omegaconf import AnyNode, DictConfig, IntegerNode, ListConfig, OmegaConf, ValueNode
from omegaconf.errors import OmegaConfBaseException

from ...errors import FieldError
from ...reading import DEEPEST
from .environment import as_text, texts
from .errors import ConfigError, one_line, unresolved

MOST_NODES = 100_000  # values of a config, interpolations written out
SPECIAL = re.compile(r"([+-]?)\.?(inf|nan)", re.IGNORECASE)
_to_integer = IntegerNode._validate_and_convert_impl


def _whole(node: IntegerNode, value) -> int:
    """Return what an integer's node takes: 1e6 too, which YAML and Hydra read as a float."""
    if isinstance(value, str) and re.fullmatch(r"[+-]?\d[\d_]*(\.\d*)?[eE]\+?\d{1,3}", value):
        value = float(value)
    return _to_integer(node, int(value) if isinstance(value, float) and value.is_integer() else value)


def install() -> None:
    """Let integers be written as 1e6 in configs, from now on."""
    IntegerNode._validate_and_convert_impl = _whole  # pyright: ignore[reportAttributeAccessIssue]


def plain(node, place: str, most: int = MOST_NODES, seen: list[int] | None = None, depth: int = 0):
    """Return a config as plain types, interpolations as what they stand for; those that are open stay as text.

    Raises FieldError for more than `most` values, or parts too deep within parts: interpolations may repeat a part.
    """
    seen = [0] if seen is None else seen
    seen[0] += 1
    if seen[0] > most or depth > DEEPEST:
        raise FieldError(place, f"{seen[0]:,} values, {depth} deep", f"at most {most:,} values and {DEEPEST} deep")
    if not isinstance(node, DictConfig | ListConfig):
        return node
    if node._is_none() or node._is_missing() or node._is_interpolation():
        return node._value()
    keys = list(node) if isinstance(node, DictConfig) else range(len(node))
    values = {}
    for key in keys:
        raw = node._get_node(key)
        try:
            value = node[key] if raw._is_interpolation() else raw
        except (OmegaConfBaseException, RecursionError):
            value = raw._value()
        value = value._value() if isinstance(value, ValueNode) else value
        values[key] = plain(value, place, most, seen, depth + 1)
    return values if isinstance(node, DictConfig) else list(values.values())


def resolve(config: DictConfig) -> dict[str, str]:
    """Resolve interpolations in place, and write numbers and paths out.

    Returns what of it is text of the environment (see `environment.texts`).

    Raises:
        ConfigError: an interpolation that leads nowhere or goes in a circle, an environment variable that is not set
            or not allowed there, too many values.
    """
    try:
        values = plain(config, "config")
        with as_text():
            shown = plain(config, "config")
        found = {} if _at_fault(config) else texts(values, shown)
    except FieldError as error:
        raise ConfigError(one_line(error)) from error
    try:
        OmegaConf.resolve(config)
    except (OmegaConfBaseException, RecursionError) as error:
        key = _at_fault(config)
        if isinstance(error, RecursionError):
            raise ConfigError(f"{key}: its interpolation goes in a circle, expected a value") from None
        told = unresolved(error, key) or f"{key or error.full_key}: {one_line(str(error).splitlines()[0])}"
        raise ConfigError(told) from error
    _write_out(config, found)
    return found


def _at_fault(node, prefix: str = "") -> str | None:
    """The first key whose value cannot be resolved."""
    for key in node if isinstance(node, DictConfig) else range(len(node)):
        place = f"{prefix}.{key}" if prefix and isinstance(key, str) else f"{prefix}[{key}]" if prefix else str(key)
        try:
            value = None if OmegaConf.is_missing(node, key) or node._get_node(key)._is_none() else node[key]
        except (OmegaConfBaseException, RecursionError):
            return place
        inner = _at_fault(value, place) if isinstance(value, DictConfig | ListConfig) else None
        if inner:
            return inner
    return None


def _write_out(node, found: dict[str, str]) -> None:
    if node._is_missing() or node._is_none() or node._is_interpolation():
        return
    for key in node if isinstance(node, DictConfig) else range(len(node)):
        inner = node._get_node(key)
        if isinstance(inner, DictConfig | ListConfig):
            _write_out(inner, found)
            continue
        value = inner._value()
        if not isinstance(value, str):
            continue
        if (value == "~" or value.startswith("~/")) and inner._get_full_key(None) not in found:
            inner._set_value(os.path.expanduser(value))
        elif isinstance(inner, AnyNode) and (found := SPECIAL.fullmatch(value)):
            inner._set_value(float(found[1] + found[2]))


def fill(node: DictConfig, values: dict) -> None:
    """Set what is missing in a config, and in the parts of it, to given values."""
    for key in node:
        inner, value = node._get_node(key), values.get(key)
        if isinstance(inner, DictConfig) and isinstance(value, dict):
            fill(inner, value)
        elif inner._is_missing() and key in values:
            node[key] = value
