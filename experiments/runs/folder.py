"""A run's folder: `runs/<experiment>/<config-hash>-s<seed>/`. Whatever is in it is whole: written beside, then renamed.

    config.yaml  provenance.json  status.json  heuristics.json  metrics.jsonl  checkpoints/<step>/  best/<number>/
    choice.json  eval.parquet  results.json  report.html  DONE

The hash covers the resolved config, the code and the data; `DONE` is written last, with the checksums of what no later
command writes anew.
"""

import errno
import io
import json
import shutil
import time
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict
from itertools import count
from pathlib import Path

import pandas as pd
import yaml

from ...data.files import read_parquet
from ...learning.base import write_atomic
from ...reading import MEGABYTE, check_writable, parse_json, read_bytes, read_json, read_yaml
from ..config.agents import chosen, whose
from ..config.environment import hide, opened, sealed
from ..config.options import COMMANDS, option_of, options
from ..config.schemas import TaskParams
from ..config.settings import AnySettings, BacktestSettings, ConfigError, FitSettings, Settings, one_line, within
from .audit import check_private
from .checkpoints import line_of, newest_whole
from .lease import Lease, Taken, holder, leased
from .provenance import code_hash, digest, provenance
from .shipped import unpacked

CHOICE = "choice.json"  # which of what the learner was is kept
GROUPS = ("data", "forecaster", "agent", "evaluation", "dataset", "model")
OWN = {"task": "train", "baselines": "backtest", "model": "fit"}  # key that the configs of one command alone have
SEALED = (
    "config.yaml",
    "provenance.json",
    "heuristics.json",
    CHOICE,
    "eval.parquet",
)  # by DONE, where they exist
PARAMETERS = "parameters"  # key of the task's whole parameters, which follow from the others
APART = ("experiment", "runs", "seed", "keep_checkpoints", "tracker")  # not in the hash: no result depends on them


class RunBusy(ConfigError):
    """Another process works on the run."""


class Pruned(Exception):
    """A search gave the run up: what it has learnt stays, and `storelab train` goes on with it."""

    state = "pruned"


class Stopped(SystemExit):
    """The run was asked to end (SIGTERM) and has left a checkpoint."""

    state = "stopped"


class Run:
    """A run folder. Nothing is read before it is asked for."""

    def __init__(self, folder: str | Path):
        self.folder = unpacked(folder)
        self.checkpoints = self.folder / "checkpoints"
        self.best = self.folder / "best"  # checkpoints, by number: the last one did best on the validation scenarios
        self.lease: Lease | None = None  # while this process works on it

    @classmethod
    def of(cls, settings: AnySettings, data: str) -> "Run":
        """The folder that belongs to the settings and the hash of their data."""
        config = to_config(settings)
        named = {name: value for name, value in config.items() if name not in APART}
        key = digest([named, code_hash(), data])[:12]
        return cls(Path(settings.top.runs) / settings.top.experiment / f"{key}-s{settings.seed}")

    @property
    def done(self) -> bool:
        """Return whether the run is finished."""
        return (self.folder / "DONE").is_file()

    @property
    def busy(self) -> bool:
        """Return whether a process works on the run now, here or on a machine that shares the folder."""
        with suppress(OSError):  # no folder: nobody ever worked on it
            return holder(self.folder) is not None
        return False

    def check_writable(self, field: str = "runs") -> None:
        """Raise ConfigError where the folder cannot be written: to be told before the work."""
        with within(""):
            check_writable(self.folder, field)

    @contextmanager
    def alone(self):
        """Hold the run's lease; raises ConfigError where another process does, or the folder cannot be written."""
        with ExitStack() as held:
            held.callback(setattr, self, "lease", None)
            try:
                self.folder.mkdir(parents=True, exist_ok=True)
                self.lease = held.enter_context(leased(self.folder))
            except Taken as error:
                raise RunBusy(f"{self.folder}: another process works on this run ({error})") from None
            except OSError as error:
                raise ConfigError(f"runs: {self.folder} cannot be written: {error.strerror}") from error
            yield

    def move_aside(self) -> Path:
        """Rename the folder to HASH-sSEED.N with the first N that is free, and return it; raises as `alone` does."""
        with self.alone():
            number = next(n for n in count(1) if not self.folder.with_name(f"{self.folder.name}.{n}").exists())
            return self.folder.rename(self.folder.with_name(f"{self.folder.name}.{number}"))

    @contextmanager
    def open(self, settings: AnySettings, data: str, command: str | None = None):
        """Work on the run, alone, with its status kept; `command` is what made it, where Hydra does not know.

        Raises:
            RunBusy: another process works on it.
            ConfigError: the folder cannot be written, or holds raw identifiers of customers that are not allowed.
        """
        with self.alone():
            self.write_config(settings)
            self.write("provenance.json", provenance(data, command) | _agent(settings))
            try:
                yield self
                with within("data"):
                    found = check_private(self.folder, settings)
            except BaseException as error:
                self.status(_state(error), error=hide(f"{type(error).__name__}: {error}"))
                raise
            self.status("finished", **found)
            write_atomic(self.folder / "DONE", "".join(self._sums()).encode())

    def damage(self) -> str | None:
        """What is wrong with a finished run's files, in words; None where they are as `DONE` says."""
        try:
            said = read_bytes(self.folder / "DONE", MEGABYTE).decode().splitlines(keepends=True)
        except (OSError, ValueError):
            return "DONE is missing or unreadable"
        if not said:
            return "DONE has no checksums: a run of an earlier version"
        wrong = sorted(set(said) ^ set(self._sums()))
        return f"{wrong[0].split(maxsplit=1)[-1].strip()} is not as DONE says" if wrong else None

    def _sums(self) -> list[str]:
        paths = [self.folder / name for name in SEALED]
        return [line_of(path, self.folder) for path in paths if path.is_file()]

    def settings(self) -> AnySettings:
        """The settings that the run was made with.

        Raises:
            ConfigError: the folder holds no finished run.
        """
        if not self.done:
            raise ConfigError(f"run: {str(self.folder)!r} is not allowed, expected the folder of a finished run")
        config = self.config()
        with damage_named(self.folder / "config.yaml"):
            return from_config(config, str(self.folder.parent.parent))

    def config(self) -> dict:
        """The config of the run, finished or not, as plain types."""
        path = self.folder / "config.yaml"
        with damage_named(path):
            return dict(read_yaml(path))

    def write_config(self, settings: AnySettings, parameters: dict | None = None) -> None:
        """Write `config.yaml`: the settings, and once they are known all of the task's parameters, its data's too."""
        config = to_config(settings) | ({} if parameters is None else {PARAMETERS: parameters})
        text = yaml.safe_dump(config, sort_keys=False, default_flow_style=None, width=float("inf"))
        write_atomic(self.folder / "config.yaml", text.encode())

    def newest_kept(self) -> Path | None:
        """Return the checkpoint that is kept of a learner: the best one, or the newest where none was chosen."""
        return newest_whole(self.best) or newest_whole(self.checkpoints)

    def clear_attempt(self, attempt: int) -> None:
        """Make way for a learner's next attempt; the curve of the one before becomes `metrics-<attempt>.jsonl`."""
        if (self.folder / "metrics.jsonl").exists():
            (self.folder / "metrics.jsonl").rename(self.folder / f"metrics-{attempt}.jsonl")
        shutil.rmtree(self.checkpoints, ignore_errors=True)

    def status(self, state: str, **more) -> None:
        """Tell `status.json` what the run is at; raises RunBusy where another process took the run over."""
        if self.lease and self.lease.lost:
            raise RunBusy(f"{self.folder}: another process took the run over, as this one stood still")
        self.write("status.json", {"state": state, "time": time.strftime("%Y-%m-%dT%H:%M:%S%z"), **more})

    def write(self, name: str, value) -> None:
        """Write a value of plain types as JSON."""
        write_atomic(self.folder / name, (json.dumps(value, indent=1) + "\n").encode())

    def read(self, name: str):
        """Read what `write` wrote; None where there is nothing."""
        path = self.folder / name
        with damage_named(path):
            return read_json(path) if path.exists() else None

    def metrics(self, up_to: float = float("inf")) -> list[dict]:
        """The rows of `metrics.jsonl` up to a step."""
        path = self.folder / "metrics.jsonl"
        with damage_named(path):
            rows = [parse_json(line, path.name) for line in read_bytes(path).splitlines()] if path.exists() else []
        return [row for row in rows if row["step"] <= up_to]

    def write_metrics(self, rows: list[dict]) -> None:
        """Write `metrics.jsonl`, a row per line."""
        write_atomic(self.folder / "metrics.jsonl", "".join(json.dumps(row) + "\n" for row in rows).encode())

    def episodes(self) -> pd.DataFrame:
        """The episodes of a finished run."""
        path = self.folder / "eval.parquet"
        with damage_named(path):
            return read_parquet(path)

    def write_episodes(self, episodes: pd.DataFrame, name: str = "eval.parquet") -> None:
        """Write a table of episodes."""
        buffer = io.BytesIO()
        episodes.to_parquet(buffer, index=False)
        write_atomic(self.folder / name, buffer.getvalue())


def full_disk(error: BaseException | None) -> bool:
    """Whether an error, or what it came from, is a full disk, whichever library met it."""
    while error is not None:
        if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT) or "No space left" in str(error):
            return True
        error = error.__cause__ or error.__context__
    return False


def _state(error: BaseException) -> str:
    """What a run is that an error ended: failed where the same would happen again."""
    failed = isinstance(error, Exception) and not full_disk(error)
    return getattr(error, "state", "failed" if failed else Stopped.state)


@contextmanager
def damage_named(path: Path):
    """Turn what an error of a file's content may be into a ConfigError that names the file."""
    try:
        yield
    except ConfigError:
        raise
    except (
        OSError,
        ValueError,
        LookupError,
        TypeError,
        AttributeError,
        ArithmeticError,
        yaml.YAMLError,
    ) as error:
        raise ConfigError(f"{path} is damaged: {one_line(error)}") from error


def to_config(settings: AnySettings) -> dict:
    """Settings as plain types: what `config.yaml` holds."""
    top = {k: v for k, v in vars(settings.top).items() if k not in ("task", "env", *GROUPS)}
    values = {group: getattr(settings, group) for group in GROUPS if hasattr(settings, group)}
    whole = top | {"choices": {group: option_of(group, value) for group, value in values.items()}}
    if isinstance(settings, Settings):
        whole |= {"task": asdict(settings.task), "env": settings.env}
    whole |= {group: value and asdict(value) for group, value in values.items()}
    return sealed(json.loads(json.dumps(whole)), settings.environment)  # tuples become lists


def _agent(settings: AnySettings) -> dict:
    """Whose settings the agent has, where they are not the task's own."""
    note = whose(settings.task.name, chosen()) if isinstance(settings, Settings) else None
    return {"agent": note} if note else {}


def command_of(config: dict) -> str:
    """Return the command that a run's config is of."""
    return next((command for key, command in OWN.items() if key in config), "explain")


def from_config(config: dict, runs: str = "runs") -> AnySettings:
    """The inverse of `to_config`; `runs` is the folder of runs, where it was of the environment."""
    with within(""):
        config, environment = opened(config, runs)
    values, command = {}, command_of(config)
    for group, choice in config["choices"].items():
        values[group] = options(group)[choice](**config[group]) if choice else None
    top = COMMANDS[command](
        **{k: v for k, v in config.items() if k not in ("choices", "task", "env", PARAMETERS, *GROUPS)}
    )
    if command == "train":
        return Settings(top, TaskParams(**config["task"]), env=config["env"], environment=environment, **values)
    return (FitSettings if command == "fit" else BacktestSettings)(top, environment=environment, **values)
