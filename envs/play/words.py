"""A task and its observations in words and tables, for any model."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, Field, fields
from typing import Any

import numpy as np

from ..core.contract import Model
from ..core.task import Task
from ..registry import entries
from .page import comments_of, is_data, rows_of, rules_of
from .tools import Board, tools_of

DIGITS = 5  # significant ones of a number that is not whole
FEW = 10  # named values that are written out although they are 0
LONGEST = 60  # values of a parameter that are written out
RULES = """## How it is played

Each period you see an observation, and call tools: one per decision, then `end_period`. What counts is the {objective}
of the whole episode ({unit}), {aim}.

- A value out of its bounds, or of the wrong form, is refused: nothing changes, and you may call again.
- A decision that you do not set {unset}
- After {calls} calls in one period the period ends by itself.
- `note` writes into a notebook that stays through the episode; `read_notes` reads it. You may forget the rest."""


def briefing(task: Task, model: Model, advised: bool = False, calls: int = 50, board: Board | None = None) -> str:
    """Return what a player has to know before the first period, in Markdown.

    Args:
        task: the problem.
        model: of the task, on the split that is played.
        advised: whether a rule's decision stands in each observation.
        calls: after which a period ends.
        board: what is decided; None: the model's action.
    """
    entry = entries().get(task.name)
    title = f"# {task.name}" + (f": {entry.problem}" if entry else "")
    end = "cut off there, of an endless problem" if task.params.continuing else "the end of the season"
    unset = "is the rule's." if advised else "stays as it was; in the first period it is what lies nearest to 0."
    rules = RULES.format(
        objective=task.objective,
        unit=task.unit,
        aim="the more the better" if task.objective == "profit" else "the less the better",
        unset=unset,
        calls=calls,
    )
    parts = [
        f"{title}\n\nYou run this store for {model.horizon} periods ({end}).",
        rules,
        f"## Tools\n\n{tools_text(board or Board.of(model))}",
        f"## The rules of the store\n\n{rules_of(_page_of(model))}",
        f"## Parameters\n\n{parameters_text(task)}",
        f"## Observation\n\n{layout_text(model)}",
    ]
    return "\n\n".join([*parts, *(f"Of the data: {note}" for note in task.notes)])


def tools_text(board: Board) -> str:
    """Return the tools in lines, each with what it does."""
    return "\n".join(f"- `{tool.name}`: {tool.description}" for tool in tools_of(board))


def parameters_text(task: Task) -> str:
    """Return the parameters in lines, each with its value, its unit and its meaning."""
    skipped = ("demand",) if task.train is not None or task.test is not None else ()
    lines = list(_lines(task.params, "", skipped))
    return "\n".join([*lines, *(["- demand: as in the task's data"] if skipped else [])])


def layout_text(model: Model) -> str:
    """Return the features of an observation in lines, each with its shape, its unit and its meaning."""
    known = rows_of(_page_of(model))
    lines = []
    for name, shape in model.layout.items():
        said = f": {known[name].text}" if name in known else ""
        lines.append(f"- {name} ({', '.join(map(str, shape))}){said}")
    return "\n".join(lines)


def observation_text(model: Model, observation: np.ndarray) -> str:
    """Return one observation in words and tables.

    Features of one number stand in a line each, those by the same index (such as the item) in one table, others as
    lists or tables of their own; rows of a table that are all 0 are left out.

    Args:
        model: whose layout it has.
        observation: (F,), in units and money as they are.
    """
    lines: list[str] = []
    tables: dict[tuple[str, int], dict[str, np.ndarray]] = {}
    for name, value in model.features(np.asarray(observation)[None]).items():
        array, axes, names = _squeezed(model, name, np.asarray(value[0]))
        if array.ndim == 0:
            lines.append(f"{name}: {number(array)}")
        elif array.ndim == 1 and names[0]:
            lines.append(f"{name}: {_by_name(names[0], array)}")
        elif array.ndim == 1 and axes[0] != _items(model):
            lines.append(f"{name}: " + ", ".join(map(number, array)))
        else:
            key, columns = _columns(model, name, array, axes, names)
            tables.setdefault(key, {}).update(columns)
    return "\n".join([*lines, *(_table(key, columns) for key, columns in tables.items())])


def number(value: Any) -> str:
    """Return a number in few characters, never with an exponent below a quadrillion."""
    x = float(value)
    if not math.isfinite(x) or abs(x) >= 1e15:
        return f"{x:g}"
    if x == int(x):
        return str(int(x))
    short = np.format_float_positional(x, precision=DIGITS, unique=False, fractional=False, trim="-")
    return str(round(x)) if abs(x) >= 10**DIGITS else short


def _page_of(model: Model) -> type:
    """Return the class whose page describes a model: that of its environment, or its own."""
    try:
        return next(kind for kind in type(model).__mro__ if "## " in (kind.__dict__.get("__doc__") or ""))
    except StopIteration:
        return type(model)


def _items(model: Model) -> str:
    """Return the symbol of the axis that most features have, such as that of the items; "": no two have one."""
    symbols: list[str] = []
    for name, shape in model.layout.items():
        symbols += [axis for axis, size in zip(_axes(model, name), shape, strict=True) if size > 1]
    most = max(dict.fromkeys(symbols), key=symbols.count, default="")
    return most if symbols.count(most) > 1 else ""


def _axes(model: Model, name: str) -> tuple[str, ...]:
    """Return the symbols of a feature's axes, as the page has them, else their sizes."""
    known, shape = rows_of(_page_of(model)).get(name), model.layout[name]
    return known.axes if known and len(known.axes) == len(shape) else tuple(map(str, shape))


def _squeezed(model: Model, name: str, array: np.ndarray) -> tuple[np.ndarray, list[str], list[Sequence[str]]]:
    """Return a feature without its axes of length 1, the symbols of those left, and the names along them."""
    axes, given = _axes(model, name), model.axis_names.get(name, ())
    names = [given[k] if k < len(given) and len(given[k]) == size else () for k, size in enumerate(array.shape)]
    kept = [k for k, size in enumerate(array.shape) if size != 1]
    return array.reshape([array.shape[k] for k in kept]), [axes[k] for k in kept], [names[k] for k in kept]


def _columns(
    model: Model, name: str, array: np.ndarray, axes: list[str], names: list[Sequence[str]]
) -> tuple[tuple[str, int], dict[str, np.ndarray]]:
    """Return the table that a feature belongs to, and its columns by their heads."""
    items = _items(model)
    by = axes.index(items) if items in axes else 0
    key = (axes[by] if axes[by] == items else name, array.shape[by])
    moved = np.moveaxis(array, by, 0).reshape(array.shape[by], -1)
    others = [(names[k], size) for k, size in enumerate(array.shape) if k != by]
    if not others:
        return key, {name: moved[:, 0]}
    heads = [""]
    for known, size in others:
        heads = [f"{head}[{one}]" for head in heads for one in (known or range(size))]
    return key, {f"{name}{head}": moved[:, k] for k, head in enumerate(heads)}


def _by_name(names: Sequence[str], values: np.ndarray) -> str:
    """Return named values in a line, without the zeros where there are many."""
    shown = [k for k, value in enumerate(values) if value or len(values) <= FEW]
    left = [] if len(shown) == len(values) else [f"the other {len(values) - len(shown)} are 0"]
    return ", ".join([*(f"{names[k]} {number(values[k])}" for k in shown), *left])


def _table(key: tuple[str, int], columns: Mapping[str, np.ndarray]) -> str:
    """Return columns as lines of comma-separated values, with an index and without the rows that are all 0."""
    block = np.stack(list(columns.values()), axis=1)
    shown = np.flatnonzero(block.any(axis=1))
    head = ",".join(["index", *columns])
    rows = [",".join([str(k), *map(number, block[k])]) for k in shown]
    left = [] if len(shown) == len(block) else [f"(the other {len(block) - len(shown)} of {len(block)} rows are all 0)"]
    return "\n".join([head, *rows, *left])


def _lines(params: Any, prefix: str, skipped: Sequence[str] = ()):
    """Yield a line per parameter, and those of the groups in it after it; none for a field whose metadata say so."""
    comments = comments_of(type(params))
    for f in fields(params):
        if f.name in skipped or not f.metadata.get("told", True):
            continue
        value, name = getattr(params, f.name), f"{prefix}{f.name}"
        said = f"  ({comments[f.name]})" if f.name in comments else ""
        if is_data(value):
            yield from _lines(value, f"{name}.")
        elif isinstance(value, Mapping) and value and all(map(is_data, value.values())):
            yield f"- {name}, {len(value)} of them{said}"
            yield from (f"- {name}.{key}: {_shown(one)}" for key, one in value.items())
            yield from _defaults(name, type(next(iter(value.values()))))
        else:
            yield f"- {name} = {_shown(value)}{said}"


def _defaults(name: str, kind: type):
    """Yield a line per field of what a parameter holds by name: what it is where it is not said."""
    for f in fields(kind):
        default = _default(f)
        if default is not MISSING:
            yield f"- {name}.*.{f.name} = {_shown(default)}  ({comments_of(kind).get(f.name, '')})"


def _default(f: Field) -> Any:
    """Return what a field of a dataclass is where it is not given; MISSING where it has to be."""
    return f.default_factory() if callable(f.default_factory) else f.default


def _shown(value: Any) -> str:
    if is_data(value):
        given = [(f.name, getattr(value, f.name), _default(f)) for f in fields(value)]
        changed = [f"{name} {_shown(one)}" for name, one, usual in given if str(one) != str(usual)]
        return ", ".join(changed) if changed else "as usual"
    if isinstance(value, float | np.floating):
        return number(value)
    if isinstance(value, list | tuple | np.ndarray):
        flat = list(value)
        parts = ", ".join(map(_shown, flat[:LONGEST]))
        return f"[{parts}{f', ... {len(flat)} in all' if len(flat) > LONGEST else ''}]"
    return str(value)
