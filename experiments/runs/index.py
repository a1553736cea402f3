"""The index of run folders: `RUNS/index.parquet`, a row per run. It is only a copy: a folder that changed is read anew.

Columns: `run` (EXPERIMENT/HASH-sSEED), `experiment`, `seed`, `command` (train, backtest, explain, fit), `task`, `agent`
(of a fit the dataset and the model),
`state`, `stage` (what it was at), `error` (the first line), `time` (of the last change of state, ISO 8601),
`objective`, `unit`, `policy` (the agent, or the best heuristic where none learnt), `value` and `better` (than the best
tuned heuristic, positive is better; both in `unit`), `gap_percent` (to the reference), `code` and `data` (hashes),
`config` (its flat keys and values, JSON), `changed` (of the folder, ns).

States: finished; failed; running (a process works on it); unfinished (killed or stopped); pruned (given up by `storelab
tune`); damaged (what it holds cannot be read).
"""

import io
import json
import re
import time
from contextlib import suppress
from difflib import get_close_matches
from pathlib import Path

import pandas as pd
import yaml

from ...data.files import read_parquet
from ...learning.base import write_atomic
from ..config.settings import ConfigError, one_line
from .folder import PARAMETERS, Run, command_of

NAME = re.compile(r"[0-9a-f]{12}-s(\d+)")
TEXTS = ("command", "task", "agent", "stage", "error", "time", "objective", "unit", "policy", "code", "data")
NUMBERS = ("value", "better", "gap_percent")
COLUMNS = ("run", "experiment", "seed", "state", *TEXTS, *NUMBERS, "config", "changed")
UNSWEPT = (f"{PARAMETERS}.", "choices.", "experiment", "runs", "tracker", "keep_checkpoints", "task.name")
SETTLED = 2_000_000_000  # ns: what changed later than that ago may change again with the same time stamp


def read_index(runs: str | Path) -> pd.DataFrame:
    """Return the index of a folder of experiments, after reading what changed since it was written.

    Raises:
        ConfigError: there is no such folder.
    """
    runs = Path(runs)
    if not runs.is_dir():
        raise ConfigError(f"runs: {str(runs)!r} is not allowed, expected a folder of experiments")
    path, kept, rows = runs / "index.parquet", {}, []
    try:
        before = read_parquet(path)
        if tuple(before.columns) == COLUMNS:
            kept = {row["run"]: row for row in before.to_dict("records")}
    except (OSError, ValueError):
        pass  # none, or damaged: all is read anew
    for folder in sorted(folder for folder in runs.glob("*/*") if NAME.fullmatch(folder.name) and folder.is_dir()):
        row = kept.get(f"{folder.parent.name}/{folder.name}")
        if row is None or row["changed"] != folder.stat().st_mtime_ns:
            row = _row(folder)
        rows.append(row)
    index = pd.DataFrame(rows, columns=COLUMNS).astype(dict.fromkeys(NUMBERS, float))
    if rows != list(kept.values()):
        buffer = io.BytesIO()
        index.to_parquet(buffer, index=False)
        with suppress(OSError):  # another's runs may be read but not written
            write_atomic(path, buffer.getvalue())
    live = index["state"].isin(["unfinished", "failed", "pruned"])
    index.loc[live, "state"] = [
        "running" if Run(runs / run).busy else state for run, state in index.loc[live, ["run", "state"]].to_numpy()
    ]
    return index


def _row(folder: Path) -> dict:
    """What a run folder says."""
    run, changed = Run(folder), folder.stat().st_mtime_ns
    row = dict.fromkeys(TEXTS, "") | dict.fromkeys(NUMBERS, float("nan"))
    row |= {"run": f"{folder.parent.name}/{folder.name}", "experiment": folder.parent.name, "config": "{}"}
    row |= {"seed": int(NAME.fullmatch(folder.name)[1]), "changed": changed * (time.time_ns() - changed > SETTLED)}
    try:
        config = run.config()
        status, came = run.read("status.json") or {}, run.read("provenance.json") or {}
        row |= {"config": json.dumps(_short(flat(config))), "code": came.get("code", ""), "data": came.get("data", "")}
        row |= {"time": status.get("time", ""), "stage": status.get("stage", "")}
        row |= {"error": (status.get("error") or "").partition("\n")[0]}
        state = status.get("state")
        row["state"] = "finished" if run.done else state if state in ("failed", "pruned") else "unfinished"
        row["command"] = command_of(config)
        if row["command"] == "train":
            agent = config["agent"]
            row |= {"task": config["task"]["name"], "agent": agent.get("algorithm") or config["choices"]["agent"]}
        if row["command"] == "fit":
            row |= {"task": config["choices"]["dataset"], "agent": config["choices"]["model"]}
        if run.done and (results := run.read("results.json")):
            row |= {name: results[name] for name in ("objective", "unit")}
            row["policy"] = results["agent"] or results["best_heuristic"]
            row |= {name: results["policies"][row["policy"]].get(name) for name in NUMBERS}
    except (ConfigError, KeyError, AttributeError, TypeError) as error:
        row |= {"state": "damaged", "error": one_line(error)}
    return row


def _short(config: dict) -> dict:
    """A flat config without the task's parameters that are lists: of a store they have a number per item."""
    return {k: v for k, v in config.items() if not (k.startswith(f"{PARAMETERS}.") and isinstance(v, list))}


def swept(index: pd.DataFrame) -> list[str]:
    """What tells each run from the others of its experiment and command, as overrides."""
    configs, groups = [json.loads(text) for text in index["config"]], {}
    of = list(zip(index["experiment"], index["command"], strict=True))
    for group, config in zip(of, configs, strict=True):
        groups.setdefault(group, []).append(config)
    differ = {group: _differing(members) for group, members in groups.items()}
    return [
        " ".join(f"{key}={value_text(value)}" for key, value in config.items() if key in differ[group])
        for group, config in zip(of, configs, strict=True)
    ]


def _differing(configs: list[dict]) -> set[str]:
    """The keys that all of some flat configs have, with values that are not all the same."""
    first = configs[0]
    keys = [key for key in first if not key.startswith(UNSWEPT) and all(key in other for other in configs)]
    return {key for key in keys if any(other[key] != first[key] for other in configs)}


def value_text(value) -> str:
    """A value as an override has it."""
    return value if isinstance(value, str) else json.dumps(value).replace(" ", "")


def flat(config: dict, prefix: str = "") -> dict:
    """A nested config by its dotted keys; a part with nothing in it has none."""
    keys = {}
    for key, value in config.items():
        nested = isinstance(value, dict)
        keys |= flat(value, f"{prefix}{key}.") if nested else {f"{prefix}{key}": value}
    return keys


def select(index: pd.DataFrame, filters: list[str]) -> pd.DataFrame:
    """The rows that all of some `key=value[,value]` hold for: columns of the index, or keys of the configs.

    Raises:
        ConfigError: a key that no run has, or a filter without a value.
    """
    configs = [json.loads(text) for text in index["config"]]
    known = {*COLUMNS} - {"config", "changed"} | {key for config in configs for key in config}
    for text in filters:
        key, equals, wanted = text.partition("=")
        if not equals:
            raise ConfigError(f"{text}: not readable, expected key=value")
        if key not in known and len(index):
            near = get_close_matches(key, sorted(known), n=1)
            raise ConfigError(f"{key}: no such key, {f'did you mean {near[0]}?' if near else 'no run has it'}")
        options = re.split(r",(?![^\[]*\])", wanted)  # the commas inside a list stay
        column = index[key] if key in index.columns else [config.get(key) for config in configs]
        keep = [any(_equal(value, option) for option in options) for value in column]
        index, configs = index[keep], [config for config, kept in zip(configs, keep, strict=True) if kept]
    return index


def _equal(value, text: str) -> bool:
    """Whether a value is what a text says: numbers by their size, the rest as YAML has it."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        with suppress(ValueError):
            return value == float(text)
    return str(value) == text or json.dumps(value).replace(" ", "") == text.replace(" ", "")


def unflat(config: str) -> str:
    """A row's config as YAML of dotted keys."""
    return yaml.safe_dump(json.loads(config), sort_keys=False)
