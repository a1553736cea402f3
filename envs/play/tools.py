"""The tools that a model is played by: one per part of its action, the end of the period, and a notebook."""

from dataclasses import dataclass, field
from typing import Any

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


def tools_of(model: Model) -> list[Tool]:
    """Return the tools of a model: `set_<part>` for each part of its action, `end_period`, `note`, `read_notes`."""
    decisions, start = [], 0
    for name, part in model.action_parts.items():
        decisions.append(_decision(model, name, part, start))
        start += part.numbers
    text = {"type": "string", "maxLength": NOTEBOOK}
    kept = {"text": text, "replace": {"type": "boolean", "description": "true: in place of all that it holds"}}
    return [
        *decisions,
        Tool(END, "ends the period with the decisions as they stand; answers with the next observation", _object({})),
        Tool(NOTE, f"writes into the notebook, which holds {NOTEBOOK:,} characters", _object(kept, ["text"])),
        Tool(READ, "reads the notebook", _object({})),
    ]


def _decision(model: Model, name: str, part: Part, start: int) -> Tool:
    low, high = (bound[start : start + part.numbers].tolist() for bound in (model.action_low, model.action_high))
    whole = model.action_space.dtype is not None and model.action_space.dtype.kind == "i"
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
