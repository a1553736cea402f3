"""What is said of a model: the sections and tables of its page, and the comments of its parameters."""

import inspect
import io
import re
import tokenize
from dataclasses import dataclass, fields
from functools import cache
from typing import Any

LEFT_OUT = ("Examples", "Version history")  # sections for who programs


@dataclass(frozen=True)
class Row:
    """What a table of the page says of a name."""

    axes: tuple[str, ...]  # symbols of the shape, such as ("I", "Q")
    text: str


@cache
def rules_of(kind: type) -> str:
    """Return the page of a model's class in Markdown, without what is for who programs."""
    first, *parts = _sections(kind)
    kept = [f"## {part}" for part in parts if part.partition("\n")[0].strip() not in LEFT_OUT]
    return "".join([first.partition("\n\n")[0], "\n\n", *map(_prose, kept)]).strip()


def _sections(kind: type) -> list[str]:
    return re.split(r"^## ", inspect.cleandoc(kind.__doc__ or ""), flags=re.M)


def _prose(section: str) -> str:
    """Return a section; that of the observation without its table, of which the briefing has what there is."""
    if not section.startswith("## Observation"):
        return section
    return re.sub(r"^\|.*\n\n?", "", section, flags=re.M)


@cache
def rows_of(kind: type) -> dict[str, Row]:
    """Return what the table of observations of a model's page says, by the names in its first column."""
    found: dict[str, Row] = {}
    for line in "".join(part for part in _sections(kind) if part.startswith("Observation")).splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")] if line.startswith("|") else []
        if len(cells) >= 3:
            axes = tuple(part.strip() for part in cells[1].strip("()").split(",") if part.strip())
            found |= {name: Row(axes, cells[2]) for name in re.findall(r"`(\w+)`", cells[0])}
    return found


@cache
def comments_of(kind: type) -> dict[str, str]:
    """Return the comment behind each field of a dataclass, its unit and meaning; none where there is no source."""
    try:
        source = inspect.getsource(kind)
    except (OSError, TypeError):
        return {}
    known, comments = {f.name for f in fields(kind)}, {}
    name, depth = "", 0
    for token in tokenize.generate_tokens(io.StringIO(inspect.cleandoc(source)).readline):
        if token.type == tokenize.OP and token.string in "()[]{}":
            depth += 1 if token.string in "([{" else -1
        if token.type == tokenize.NAME and depth == 0 and token.start[1] == 4 and token.string in known:
            name = token.string
        elif token.type == tokenize.COMMENT and name and name not in comments:
            comments[name] = token.string.lstrip("# ")
        elif token.type == tokenize.NEWLINE:
            name = ""
    return comments


def is_data(value: Any) -> bool:
    """Return whether a value is an object of a dataclass, whose fields have comments of their own."""
    return hasattr(type(value), "__dataclass_fields__")
