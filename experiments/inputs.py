"""What a run is made from: the data, the task with its forecasts, and the learner that is to fit it."""

import json
import warnings
from dataclasses import asdict, replace
from pathlib import Path
from types import ModuleType
from typing import Any

from ..agents import rules_of
from ..agents.core.learners import LEARNERS
from ..agents.generalist.policy import NAME
from ..data import Panel
from ..data.contract import TableNote
from ..data.pictures import DRAWN
from ..envs import TASKS, Model, Task
from ..envs.registry import entry_of
from ..errors import FieldError
from ..evaluation import HINDSIGHT, REFERENCE
from ..forecasting import create
from .config.settings import AnySettings, BacktestSettings, ConfigError, FitSettings, Settings, within
from .runs import checkpoints
from .runs.folder import Run
from .runs.provenance import digest, source_hash

FILES = ("path", "catalogue", "triples", "rules", "images")  # keys of data that are paths


def data_hash(settings: AnySettings) -> str:
    """Return the hash of what the data is made from; raises ConfigError for a path that cannot be read."""
    group = "dataset" if isinstance(settings, FitSettings) else "data"
    data = getattr(settings, group)
    files = {name: getattr(data, name) for name in FILES if getattr(data, name, "") not in ("", DRAWN)}
    hashes = {name: _source_hash(f"{group}.{name}", path) for name, path in files.items()}
    if list(hashes) == ["path"]:
        return hashes["path"]
    return digest((data and vars(data), hashes) if hashes else data and vars(data))


def _source_hash(field: str, path: str) -> str:
    try:
        return source_hash(path)
    except FieldError as error:
        raise ConfigError(f"{field}: {error}") from error
    except OSError as error:
        expected = f"expected a file or folder: {error.strerror}"
        raise ConfigError(f"{field}: {path!r} is not allowed, {expected}") from error


def panel_of(settings: BacktestSettings) -> Panel:
    """Return the panel of the settings' data, with all its items."""
    panel = _panel(settings.data)
    for note in panel.notes:
        print(f"data: {note}")
    return panel


def _panel(data) -> Panel:
    with within("data"), warnings.catch_warnings():
        warnings.simplefilter("ignore", TableNote)  # the panel's notes are printed
        return data.panel()


def build(settings: Settings) -> Task:
    """Build the task of the settings, with its data and its forecasts.

    Raises:
        ConfigError: parameters that do not go together, data that the task does not take, a learner that does not fit.
    """
    changes = dict(settings.env) | _data(settings)
    with within("env"):
        task = TASKS[settings.task.name](**changes)
        model, _ = task.model("train"), task.model("test")  # a forecast without a source shows here
        if task.params.continuing and task.params.horizon <= task.warmup:
            expected = f"more than its warm-up of {task.warmup} periods"
            raise FieldError("horizon", task.params.horizon, expected, f"with task={settings.task.name}")
    _check_names(model, settings)
    if settings.learner:
        with within("agent"):
            learner_of(settings).check(model, settings.agent)
    return task


def _check_names(model: Model, settings: Settings) -> None:
    """Raise a ConfigError where a heuristic or the learner, of a plug-in, has the name of another row of the table."""
    taken, expected = {REFERENCE, HINDSIGHT, NAME}, "a name that no other row of the table has"
    with within(""):
        kinds = rules_of(model).available(model)
        for kind in taken.intersection(kinds):
            raise FieldError("rules", kind, expected)
        if settings.learner and settings.agent.name in taken.union(kinds):
            raise FieldError("agent.name", settings.agent.name, expected)


def learner_of(settings: Settings) -> ModuleType:
    """Return the module of the settings' learner: it has `Learner`, `load_policy` and `check`."""
    return LEARNERS[settings.learner]


def started(settings: Settings) -> Any:
    """Return the learner's parameters with `start` as the checkpoint that it begins with: a finished run's last one.

    Raises:
        ConfigError: `agent.start` is no finished run, or its checkpoint is damaged.
    """
    start = getattr(settings.agent, "start", "")
    if not start:
        return settings.agent
    run, wrong = Run(start), None
    checkpoint = Path(start) if (Path(start) / checkpoints.SEAL).is_file() else None
    if checkpoint is not None:
        wrong = checkpoints.damage(checkpoint)
    elif run.done:
        checkpoint = run.newest_kept()
    if checkpoint is None or wrong:
        expected = "expected the folder of a finished run with a learner, or of a whole checkpoint"
        raise ConfigError(f"agent.start: {start!r} is not allowed, {expected}{(wrong and f': {wrong}') or ''}")
    return replace(settings.agent, start=str(checkpoint))


def _data(settings: Settings) -> dict:
    """Return what the task is made with beside the changes of its parameters: data, cache, forecaster."""
    if settings.data is None:
        return {}
    entry = entry_of(settings.task.name)
    if entry.panel:
        given = {"data": _panel(settings.data)}
    else:
        given = {"data": settings.data}
    given["cache"] = Path(settings.top.runs) / "cache"
    if settings.forecaster is not None:
        given["forecaster"] = create(settings.forecaster_name, **vars(settings.forecaster))
    return given


def plain_params(task: Task) -> dict:
    """Return all parameters of a task, those that its data gave too, as plain types."""
    return json.loads(json.dumps(asdict(task.params), default=lambda array: array.tolist()))
