"""Tab completion without Hydra: the words that a line may go on with, from the files of `conf/` and the registries.

A key press has to cost little: no module of ours is imported that needs more than NumPy and PyYAML.
"""

import os
from collections.abc import Iterable
from dataclasses import fields, is_dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, get_type_hints

import yaml

from ..envs.registry import entries, entry_of, environments, params_of
from ..plugins import declared, plugins

CONF = Path(__file__).parents[1] / "conf"
MADE = {  # options that no file makes, of groups whose registries are heavy; a test compares them
    "data": ("online_retail", "panel", "synthetic", "vn2"),
    "dataset": ("customers", "online_retail", "purchases", "questions", "ratings", "reviews", "transactions"),
    "model": (
        *(
            "behaviour_network",
            "characters",
            "content",
            "ease",
            "embedding",
            "fine_tuned",
            "fraud_sequence",
            "fraud_trees",
        ),
        *("frobenius_mf", "ials"),
        *("item_knn", "own_frequency", "popularity", "rating_mf", "rating_mlp", "rating_transformer", "stack", "tfidf"),
        "transformer",
    ),
}
FLAGS = (
    "--multirun",
    "--dry-run",
    "--fail-fast",
    "--retry-failed",
    "--rerun",
    "--allow-identifiers",
    "--pairs=",
    "--cfg",
    "--help",
)


def complete(command: str, words: list[str], last: str) -> list[str]:
    """Return what the last word of a line may be.

    Args:
        command: that takes a config.
        words: between the command and the last one.
        last: the word that is being written.
    """
    mine = [Path(folder) for folder in _config_dirs(words)]
    chosen = dict(word.lstrip("+").split("=", 1) for word in words if "=" in word)
    if last.startswith("-"):
        return [flag for flag in FLAGS if flag.startswith(last)]
    mark, word = last[: len(last) - len(last.lstrip("+~"))], last.lstrip("+~")
    group, equals, start = word.partition("=")
    groups, keys = _of(command, chosen, mine)
    if equals:
        taken = start.rpartition(",")[0]
        return [
            f"{mark}{group}={taken}{',' * bool(taken)}{option}"
            for option in (groups.get(group) or _values(keys.get(group)))
            if option.startswith(start.rpartition(",")[2])
        ]
    depth = word.count(".")
    found = {f"{name}=" for name in groups} | {_cut(key, depth, keys) for key in keys}
    return [mark + name for name in sorted(found) if name.startswith(word)]


def _cut(key: str, depth: int, keys: dict) -> str:
    """A key up to the dot after the ones that are written; with = where nothing follows."""
    parts = key.split(".")
    return f"{key}=" if len(parts) <= depth + 1 else ".".join(parts[: depth + 1]) + "."


def _config_dirs(words: list[str]) -> list[str]:
    """The folders of `--config-dir`."""
    after = [following for word, following in pairwise(words) if word in ("--config-dir", "-cd")]
    return after + [word.partition("=")[2] for word in words if word.startswith(("--config-dir=", "-cd="))]


def _of(command: str, chosen: dict[str, str], mine: list[Path]) -> tuple[dict[str, list[str]], dict[str, Any]]:
    """Return the groups of a command with their options, and its keys with their values as the files have them."""
    file = _read(CONF / f"{command}.yaml")
    defaults = _defaults(file)
    if command in ("demo",):
        base = _read(CONF / "train.yaml")
        defaults, file = _defaults(base) | defaults, base | file
    task = chosen.get("task") or defaults.get("task")
    if task in entries():
        entry = entry_of(task)
        own = {"env": entry.environment, "agent": entry.agent or environments()[entry.environment].agent}
        own["data"] = entry.data[0] if entry.data and not entry.optional_data else ""
        own["forecaster"] = entry.forecaster
        defaults |= {group: option for group, option in own.items() if option}
    groups = {group: _options(group, mine) for group in defaults}
    keys = _flat({key: value for key, value in file.items() if key not in ("defaults", "hydra", *groups)})
    for group in groups:
        option = chosen.get(group) or defaults[group]
        values = _file_keys(group, option) if option else {}
        if group == "env" and option in environments():
            values = _schema(params_of(environments()[option]))
        keys |= _flat(values, f"{group}.")
    return groups, keys


def _defaults(file: dict) -> dict[str, str]:
    """The groups of a file's defaults, with the options that it chooses."""
    pairs = [pair for pair in file.get("defaults", ()) if isinstance(pair, dict)]
    return {str(name).removeprefix("override ").lstrip("/"): option for pair in pairs for name, option in pair.items()}


def _options(group: str, mine: list[Path]) -> list[str]:
    made: Iterable[str] = MADE.get(group, ())
    if group in ("task", "env"):
        made = entries() if group == "task" else environments()
    elif group in ("data", "forecaster"):
        made = [*made, *declared("forecasters" if group == "forecaster" else "data")]
    elif group == "agent":
        made = declared("learners")
    folders = [CONF, *mine, *(Path(_place(plugin.config)) for plugin in plugins().values() if plugin.config)]
    return sorted({file.stem for folder in folders for file in (folder / group).glob("*.yaml")} | {*made})


def _place(package: str) -> str:
    from importlib.util import find_spec

    spec = find_spec(package)
    return os.fspath(Path(spec.origin).parent) if spec and spec.origin else ""


def _file_keys(group: str, option: str) -> dict:
    """The values of a group's option, those of the options that it builds on among them."""
    file = _read(CONF / group / f"{option}.yaml")
    values = {}
    for base in file.get("defaults", ()):
        if isinstance(base, str) and base != "_self_" and not base.startswith("/"):
            values |= _file_keys(group, base)
    return values | {key: value for key, value in file.items() if key != "defaults"}


def _read(path: Path) -> dict:
    if not path.is_file():
        return {}
    return yaml.load(path.read_bytes(), getattr(yaml, "CSafeLoader", yaml.SafeLoader)) or {}


def _schema(kind: type) -> dict:
    hints = get_type_hints(kind)
    return {f.name: _schema(hints[f.name]) if is_dataclass(hints[f.name]) else None for f in fields(kind)}


def _flat(values: dict, prefix: str = "") -> dict[str, Any]:
    keys = {}
    for key, value in values.items():
        keys |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) and value else {f"{prefix}{key}": value}
    return keys


def _values(value) -> list[str]:
    return ["true", "false"] if isinstance(value, bool) else []
