"""The tools that a model is played by: one per part of its action, the end of the period, and a notebook."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np

from ..core.contract import Model, Part

END, NOTE, READ = "end_period", "note", "read_notes"
NOTEBOOK = 2000  # characters that it holds
SET = "set_"  # begins the name of a decision's tool
LISTED = 20  # bounds and names that a description lists


@dataclass(frozen=True)
class Tool:
    """A tool by name, with the JSON schema of its arguments."""

    name: str
    description: str
    parameters: dict[str, Any] = field(hash=False)

    def plain(self) -> dict[str, Any]:
        """Return it as chat endpoints with tool calls take it."""
        function = {"name": self.name, "description": self.description, "parameters": self.parameters}
        return {"type": "function", "function": function}


@dataclass(frozen=True)
class Board:
    """What is decided: named parts of one row of numbers, and their bounds."""

    parts: Mapping[str, Part]
    low: np.ndarray  # (K,) float64, K numbers in all
    high: np.ndarray
    whole: bool = False  # whether they are whole numbers
    start: np.ndarray | None = None  # (K,) what holds before anything is set; None: what lies nearest to 0

    @classmethod
    def of(cls, model: Model) -> "Board":
        """Return the board of a model's action."""
        dtype = model.action_space.dtype
        whole = dtype is not None and dtype.kind == "i"
        return cls(model.action_parts, model.action_low.astype(float), model.action_high.astype(float), whole)

    def first(self) -> np.ndarray:
        """Return what holds before anything is set (K,)."""
        return np.clip(0.0 if self.start is None else self.start, self.low, self.high)

    def places(self) -> dict[str, slice]:
        """Return where each part stands in the row."""
        ends = np.cumsum([0, *(part.numbers for part in self.parts.values())]).tolist()
        return {name: slice(*pair) for name, pair in zip(self.parts, pairwise(ends), strict=True)}


def tools_of(board: Board) -> list[Tool]:
    """Return the tools of a board: `set_<part>` for each of its parts, `end_period`, `note`, `read_notes`."""
    decisions = [_decision(board, name, place) for name, place in board.places().items()]
    text = {"type": "string", "maxLength": NOTEBOOK}
    kept = {"text": text, "replace": {"type": "boolean", "description": "true: in place of all that it holds"}}
    return [
        *decisions,
        Tool(END, "ends the period with the decisions as they stand; answers with the next observation", _object({})),
        Tool(NOTE, f"writes into the notebook, which holds {NOTEBOOK:,} characters", _object(kept, ["text"])),
        Tool(READ, "reads the notebook", _object({})),
    ]


def _decision(board: Board, name: str, place: slice) -> Tool:
    part, whole = board.parts[name], board.whole
    low, high = board.low[place].tolist(), board.high[place].tolist()
    kind = {"type": "integer" if whole else "number", "minimum": _plain(min(low), whole)}
    kind |= {"maximum": _plain(max(high), whole)}
    if part.numbers == 1:
        said = f"{part.unit}; from {low[0]:.6g} to {high[0]:.6g}"
        return Tool(f"{SET}{name}", said, _object({"value": kind}, ["value"]))
    same = len({*low}) == len({*high}) == 1
    bounds = f"each from {low[0]:.6g} to {high[0]:.6g}"
    if not same and part.numbers <= LISTED:
        each = (f"{lowest:.6g} to {highest:.6g}" for lowest, highest in zip(low, high, strict=True))
        bounds = "from " + ", ".join(each)
    elif not same:
        bounds = "each within bounds of its own, which a refusal names"
    names = f", in the order {', '.join(part.names)}" if part.names and part.numbers <= LISTED else ""
    values = {"type": "array", "items": kind, "minItems": part.numbers, "maxItems": part.numbers}
    values |= {"description": f"all {part.numbers} numbers"}
    how = "index or name" if part.names else "index, from 0"
    changes = {"type": "object", "additionalProperties": kind, "description": f"some of them: {how} -> number"}
    said = f"{part.unit}; {part.numbers} numbers{names}, {bounds}; give `values`, or `changes` for some"
    return Tool(f"{SET}{name}", said, _object({"values": values, "changes": changes}))


def _plain(bound: float, whole: bool) -> float | int:
    return int(bound) if whole else float(f"{bound:.6g}")


def _object(properties: dict[str, Any], required: list[str] | None = None) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": required or [], "additionalProperties": False}
