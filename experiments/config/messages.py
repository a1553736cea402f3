"""What is wrong with a configuration or a command line, in one line: the key, the value and what is allowed."""

import re
import shlex
from dataclasses import fields, is_dataclass
from difflib import get_close_matches
from types import UnionType
from typing import Literal, Union, get_args, get_origin, get_type_hints

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException

from ...envs.registry import environments, params_of
from ...errors import FieldError
from .errors import ConfigError, one_line, unresolved
from .options import COMMANDS, GROUPS, keys, options

KINDS = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}
SHOWN = 200  # characters of a word that cannot be read
SAID = {  # what Hydra says -> what is shown; {} are the pattern's groups
    r"(?:Ambiguous value for argument|Sweep parameters) '(.*?)'": "{}: several values are not allowed, expected one, "
    "or --multirun to sweep over them",
    r"Could not append to config\. An item is already at '(.*?)'.*prefix: '(.*?)'": "{}: there already, expected {} "
    "without +",
    r"Multiple values for ([\w/]+)\. To override a value use": "{0}: chosen already, expected {0}=NAME without +",
    r"You must specify '(.*?)',.* Available options: (.*)": "{}: not set, expected one of {}",
    r"Could not delete from config\. '(.*?)' does not exist": "~{}: no such key, expected one that there is",
}


def unknown_key(key: str, command: str = "train", kind: type | None = None) -> str:
    """What to say of a key that does not exist.

    Args:
        key: with its dots.
        command: that it was given to.
        kind: what should have it: the class that stands before its last dot, where that is known.
    """
    if key.startswith("hydra."):
        return (
            f"{key}: no such key of Hydra's, expected one of `storelab {command} --cfg hydra`, or +{key} for a new one"
        )
    group, _, name = key.rpartition(".")
    if kind is dict:
        return f"{key}: not in the file, expected +{key}=VALUE for a new key of {group}"
    known = [other for other in keys(command) if other != key]
    own = [f"{group}.{f.name}" for f in fields(kind)] if kind is not None and is_dataclass(kind) and group else []
    siblings = own or [k for k in known if k.rpartition(".")[0] == group] or [k for k in known if "." not in k]
    of = [f"{group}={option}" for option in _having(group, name)] if own else []
    there = f"only with {' or '.join(of)}" if of else ""
    elsewhere = [k for k in known if k.rpartition(".")[2] == name]
    near = get_close_matches(key, siblings, n=1, cutoff=0.8) or elsewhere[:1]
    near = near or get_close_matches(key, known if not own else [*own, *_outside(known, group)], n=1, cutoff=0.8)
    hint = f"did you mean {near[0]}?" if near else "" if there else "expected one of " + ", ".join(siblings)
    return f"{key}: no such key{' here' * bool(there)}, {', '.join(filter(None, (there, hint)))}"


def _having(group: str, name: str) -> list[str]:
    """The options of a group that have a key."""
    if group not in GROUPS:
        return []
    return [option for option, kind in options(group).items() if name in {f.name for f in fields(kind)}]


def _outside(known: list[str], group: str) -> list[str]:
    return [key for key in known if key.rpartition(".")[0] != group]


def unread(word: str) -> str:
    """What to say of a word that Hydra cannot read: quotes make any text a value."""
    key, equals, value = word.partition("=")
    quoted = '{}="{}"'.format(key, value.replace("\\", "\\\\").replace('"', '\\"'))
    line = f"{one_line(word):.{SHOWN}}: not readable, expected key=value"
    try:
        if not (key and equals and value) or re.search("""^["'\\[{(=]""", value):
            return line
        OverridesParser.create().parse_override(quoted)
    except (HydraException, ValueError):
        return line
    return f"{line}; a text with blanks, brackets or accents needs quotes: {one_line(shlex.quote(quoted))}"


def describe(error: BaseException, command: str, args: list[str]) -> str:
    """An error of composing the config of a command line in one line: the key, the value and what is allowed."""
    chain = [error]
    while (cause := chain[-1].__cause__ or chain[-1].__context__) is not None and cause not in chain:  # or in a circle
        chain.append(cause)
    for link in chain:
        if told := _told(link, command, args):
            return told
    own = next((key for key in (arg.lstrip("+").partition("=")[0] for arg in args) if re.match(r"hydra\b", key)), None)
    if own and not isinstance(error, OmegaConfBaseException):  # Hydra's own assertions name no key
        return f"{own}: cannot be set so, expected what `storelab {command} --cfg hydra` shows ({one_line(error)})"
    kind = "" if isinstance(error, HydraException | OmegaConfBaseException) else f"{type(error).__name__}: "
    return f"{command}: the configuration cannot be composed: {kind}{one_line(error) or 'no reason given'}"


def _told(link: BaseException, command: str, args: list[str]) -> str | None:
    """One error of a chain in one line; None: another one of it says more."""
    text = one_line(link)
    if isinstance(link, ConfigError):
        return text
    if isinstance(link, OverrideParseException):
        return unread(link.override)
    if isinstance(link, MissingConfigException) and link.missing_cfg_file and link.options:
        group, _, choice = link.missing_cfg_file.rpartition("/")
        return f"{group}: {choice!r} is not allowed, expected one of {', '.join(link.options)}"
    if isinstance(link, OmegaConfBaseException) and (told := unresolved(link, link.full_key)):
        return told
    if isinstance(link, ConfigKeyError | ConfigAttributeError) and link.full_key:
        return unknown_key(link.full_key, command, link.object_type)
    if isinstance(link, OmegaConfBaseException) and link.full_key:
        return _out_of_type(link, args)
    for pattern, words in SAID.items():
        if found := re.search(pattern, text):
            return words.format(*found.groups())
    return None


def _out_of_type(error: OmegaConfBaseException, args: list[str]) -> str:
    """Hydra names the type only; the parameters' own checks know the bounds."""
    key, message = error.full_key, str(error.msg).splitlines()[0]
    quoted = re.search(r"[Vv]alue '(.*?)'", message)
    given = next((arg.partition("=")[2] for arg in args if arg.lstrip("+").startswith(f"{key}=")), None)
    value = quoted[1] if quoted else given
    group, _, name = key.partition(".") if "." in key else ("", "", key)
    name, *nested = re.split(r"[.\[]", name)
    for kind in _kinds(group):
        hints, field = get_type_hints(kind), name
        if nested and is_dataclass(hints.get(name)):
            hints, field, kind = get_type_hints(hints[name]), nested[0], hints[name]
        if field not in hints:
            continue
        values = {field: value} | ({"experiment": "x"} if "experiment" in hints else {})
        try:
            kind(**values)
        except FieldError as refusal:
            return one_line(refusal.inside(group) if group else refusal)
        except ValueError as refusal:
            return f"{group and group + '.'}{one_line(refusal)}"
        except (TypeError, AttributeError):
            pass
        return f"{key}: {value!r} is not allowed, expected {_kind(hints[field])}"
    return f"{key}: {message}"


def _kind(hint) -> str:
    """A field's type in words: of `list[str] | None` a list of texts or null."""
    if hint in KINDS:
        return KINDS[hint]
    if hint is type(None):
        return "null"
    parts = get_args(hint)
    if isinstance(hint, UnionType) or get_origin(hint) is Union:
        return " or ".join(map(_kind, parts))
    if get_origin(hint) is Literal:
        return " or ".join(map(str, parts))
    if get_origin(hint) in (list, tuple):
        return f"a list such as [a,b], each {_kind(parts[0])}" if parts else "a list such as [a,b]"
    return (
        "a mapping such as {a: b}" if hint is dict or get_origin(hint) is dict or is_dataclass(hint) else "another type"
    )


def _kinds(group: str) -> list[type]:
    """The classes that a key of a group, or of the top, may belong to."""
    if group == "env":
        return [params_of(environment) for environment in environments().values()]
    return list(options(group).values() if group in GROUPS else COMMANDS.values() if not group else ())
