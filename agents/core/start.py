"""Starts from a checkpoint's weights, and the errors of a checkpoint that does not fit."""

import json
from collections.abc import Collection
from pathlib import Path

from ...errors import FieldError
from ...reading import read_json


def check_start(start: str) -> None:
    """Raise a FieldError unless `start` is a text without odd characters; the folder need not be there."""
    if not isinstance(start, str) or "\0" in start:
        raise FieldError("start", start, "the folder of a checkpoint or a run, or '' for none")


def check_same(saved: dict, own: dict, folder: Path) -> None:
    """Raise a FieldError that names the first parameter in which a checkpoint's differ from a learner's own."""
    own = json.loads(json.dumps(own))
    differing = [name for name in own if saved.get(name) != own[name]]
    if differing:
        name, *others = differing
        more = f" ({', '.join(others)} differ too)" if others else ""
        because = f"to go on from checkpoint {folder.name}{more}"
        raise FieldError(name, own[name], f"{saved.get(name)!r}, or start=FOLDER to begin with its weights", because)


def check_begin(folder: Path, own: dict, alike: Collection[str]) -> None:
    """Raise a FieldError unless a checkpoint is there and is of the same network as a learner with parameters `own`."""
    if not (folder / "policy.json").is_file():
        raise FieldError("start", str(folder), "the folder of a checkpoint of the same learner")
    saved, own = read_json(folder / "policy.json")["params"], json.loads(json.dumps(own))
    for name in alike:
        if saved.get(name) != own[name]:
            raise FieldError(name, own[name], f"{saved.get(name)!r} as in {folder}", "to begin with its weights")
