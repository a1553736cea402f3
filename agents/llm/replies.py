"""What a model said, as data: text and tool calls, wherever they stand, whatever is in them."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

CALLS = 50  # of a reply that are done; more are not looked at
LONGEST = 8000  # characters of a call's arguments, or of a reply, that stay in the conversation


@dataclass
class Call:
    """A tool call."""

    name: str
    arguments: str  # JSON, as it was said


@dataclass
class Answer:
    """What a model answered to a question, and what it took."""

    text: str = ""
    calls: list[Call] = field(default_factory=list)
    native: bool = False  # whether calls came apart from the text
    prompt_tokens: int = 0
    answer_tokens: int = 0
    seconds: float = 0.0
    wrong: str = ""  # what is wrong with the reply as a whole; "": nothing

    def plain(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return asdict(self)

    @classmethod
    def kept(cls, given: dict[str, Any]) -> "Answer":
        """Return what `plain` gave."""
        return cls(**{**given, "calls": [Call(**call) for call in given["calls"]]})

    def messages(self, results: Sequence[str], number: int) -> list[dict[str, Any]]:
        """Return the turns that this adds to a conversation.

        Args:
            results: of the calls.
            number: of the question in its episode, by which calls are told apart.
        """
        text = self.text[:LONGEST]
        if not self.native:
            return [{"role": "assistant", "content": text}, {"role": "user", "content": "\n".join(results)}]
        ids = [f"call_{number}_{k}" for k in range(len(results))]
        calls = [
            {
                "id": one,
                "type": "function",
                "function": {"name": _name(call.name), "arguments": _object(call.arguments)},
            }
            for one, call in zip(ids, self.calls, strict=False)
        ]
        told = [{"role": "tool", "tool_call_id": k, "content": text} for k, text in zip(ids, results, strict=True)]
        return [{"role": "assistant", "content": text or None, "tool_calls": calls}, *told]


def of_endpoint(body: Any, seconds: float) -> Answer:
    """Return the answer in the body of a chat completion; `wrong` says where there is none."""
    try:
        message = body["choices"][0]["message"]
        usage = body.get("usage") or {}
        text, given = message.get("content"), message.get("tool_calls") or []
        text = text if isinstance(text, str) else ""
        calls = [_call(one.get("function") or {}) for one in list(given)[:CALLS]]
        counts = _count(usage.get("prompt_tokens")), _count(usage.get("completion_tokens")), seconds
    except (KeyError, IndexError, TypeError, AttributeError):
        return Answer(wrong="no chat completion", seconds=seconds)
    if not calls:
        return Answer(text, in_text(text), False, *counts)
    return Answer(text, calls, True, *counts)


def in_text(text: str) -> list[Call]:
    """Return the tool calls that stand in a text as JSON: `{"name": ..., "arguments": {...}}`, wherever they are."""
    decoder, calls, at = json.JSONDecoder(), [], text.find("{")
    while at >= 0 and len(calls) < CALLS:
        try:
            found, end = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):
            end, found = at + 1, None
        if isinstance(found, dict) and isinstance(found.get("name"), str):
            calls.append(_call({"name": found["name"], "arguments": found.get("arguments", found.get("parameters"))}))
        at = text.find("{", end)
    return calls


def _call(function: dict[str, Any]) -> Call:
    name, arguments = function.get("name"), function.get("arguments")
    if not isinstance(arguments, str):
        arguments = json.dumps({} if arguments is None else arguments)
    return Call(name if isinstance(name, str) else repr(name)[:60], arguments)


def _count(value: Any) -> int:
    return int(value) if isinstance(value, int | float) and 0 <= value < 1e12 else 0


def _name(name: str) -> str:
    """Return a name as endpoints take it in a conversation."""
    return name if name.isascii() and name.replace("-", "_").isidentifier() and len(name) <= 64 else "unknown"


def _object(arguments: str) -> str:
    """Return arguments as endpoints take them in a conversation: a short JSON object."""
    try:
        whole = len(arguments) <= LONGEST and isinstance(json.loads(arguments), dict)
    except (ValueError, RecursionError):
        whole = False
    return arguments if whole else "{}"
