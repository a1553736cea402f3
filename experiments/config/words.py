"""The words of a command line as Hydra takes them: what people type is put into its grammar, or refused in one line."""

import os
import re

from hydra._internal.utils import get_args_parser
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, Glob, Override, QuotedString
from hydra.errors import HydraException

from .errors import ConfigError
from .messages import unread
from .options import GROUPS

FLAGS = (
    *("--help", "-h", "--hydra-help", "-sc", "--shell-completion", "--run", "-r", "--multirun", "-m"),
    *("--cfg", "-c", "--resolve", "--package", "-p", "--config-dir", "-cd", "--info", "-i"),
)  # Hydra's, less those that read pickles or other trees
QUOTED = re.compile(r"""('(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*")""")
SPECIAL = re.compile(r"(?<![^=,:\[{(\s])([+-]?)\.(inf|nan)(?![^,\]})\s])", re.IGNORECASE)
HOME = re.compile(r"(?<![^=,\[])~(?=/|,|\]|$)")


def hydra_words(words: list[str], ours: tuple[str, ...]) -> list[str]:
    """Return a command line for Hydra: overrides first, then flags with their values.

    Args:
        words: as they were typed, without the command.
        ours: flags that are not Hydra's, to be named among those that there are.

    Raises:
        ConfigError: a flag that there is not, or without its value; an override that Hydra cannot read or take.
    """
    for word in words:
        if word.startswith("-") and word.split("=")[0] not in FLAGS:
            raise ConfigError(f"{word}: no such flag, expected one of {', '.join((*FLAGS, *ours))}")
    parser = get_args_parser()
    parser.error = _refuse  # pyright: ignore[reportAttributeAccessIssue]
    given = vars(parser.parse_intermixed_args(words))
    overrides = given.pop("overrides")
    flags = {action.dest: action.option_strings[0] for action in parser._actions if action.option_strings}
    typed = [(flags[name], value) for name, value in given.items() if value not in (None, False)]
    if "-sc" in words or "--shell-completion" in words:  # an unfinished line
        return [*overrides, *(flag for flag, _ in typed)]
    return [*map(override, overrides), *(flag if value is True else f"{flag}={value}" for flag, value in typed)]


def _refuse(message: str):
    raise ConfigError(message)


def override(word: str) -> str:
    """Return an override as Hydra takes it; raises ConfigError for one that it cannot read or take."""
    key, equals, value = word.partition("=")
    if equals:
        parts = QUOTED.split(value)
        parts[::2] = (SPECIAL.sub(r"\1\2", HOME.sub(os.path.expanduser("~"), part)) for part in parts[::2])
        value = "".join(parts)
    try:
        parsed = OverridesParser.create().parse_override(f"{key}{equals}{value}")
    except (HydraException, ValueError, RecursionError):
        raise ConfigError(unread(word)) from None
    if not parsed.key_or_group:
        raise ConfigError(unread(word))
    if not parsed.is_delete() and (parsed.key_or_group in GROUPS or "/" in parsed.key_or_group):
        return _of_group(parsed, f"{key}{equals}{value}", value)
    return f"{key}{equals}{value}"


def _of_group(parsed: Override, word: str, text: str) -> str:
    """Return an override of a group as Hydra takes it: null is none (`~data`); all else is the name of an option."""
    value, group = parsed.value(), parsed.key_or_group
    if value is None:
        return f"~{group}"
    values = value.list if isinstance(value, ChoiceSweep) else [value]
    if not all(isinstance(one, str | int | float | QuotedString | Glob) for one in values):
        raise ConfigError(f"{group}: {text} is not allowed, expected names of options")
    if all(isinstance(one, str | QuotedString | Glob) for one in values):
        return word
    names = ",".join(f"'{one}'" for one in map(str, values))  # no such option: Hydra names those there are
    return f"{word.partition('=')[0]}={names}"
