"""The commands that take a config: Hydra composes it, and every error of it ends in one line."""

import os
import re
import sys
import traceback
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, Glob, IntervalSweep, QuotedString, RangeSweep
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from ... import plugins
from ...plugins import load
from ..config import environment, guard
from ..config.environment import hide
from ..config.options import GROUPS, register
from ..config.schemas import ExplainParams
from ..config.settings import ConfigError, describe, read, read_backtest, read_fit
from ..inputs import data_hash
from ..runs.folder import Run, full_disk

FLAGS = (
    *("--help", "-h", "--hydra-help", "--version", "-sc", "--shell-completion", "--run", "-r", "--multirun", "-m"),
    *("--cfg", "-c", "--resolve", "--package", "-p", "--config-dir", "-cd", "--info", "-i"),
)  # Hydra's, less those that read pickles or other trees
WORK = {  # command -> what does its work: (config); its module loads when the command runs
    "train": "train:train",
    "demo": "train:train",
    "tune": "tune:tune",
    "dataset": "dataset:dataset",
    "backtest": "backtest:backtest",
    "explain": "explain:explain_forecast",
    "benchmark": "benchmark:benchmark",
    "fit": "fit:fit",
    "evaluate": "evaluate:evaluate",
    "report": "report:report",
}
READ = {  # command that makes a run -> the check of its config
    "train": read,
    "demo": read,
    "backtest": read_backtest,
    "explain": partial(read_backtest, kind=ExplainParams),
    "fit": read_fit,
}
EXTRAS = ("tune", "dataset")  # commands with an extra of their name
DRY, FAST, RETRY, RERUN = "--dry-run", "--fail-fast", "--retry-failed", "--rerun"
OURS = (DRY, FAST, RETRY, RERUN)
FULL = "No space left on device: what was whole still is, and the same command goes on from it"
QUIET = ("--help", "-h", "--hydra-help", "--version", "-sc", "--shell-completion")


class FailedBefore(ConfigError):
    """A sweep leaves a run alone that failed with the same config, data and code."""


class _Enough(BaseException):
    """Ends a sweep at its first failure: Hydra carries on after what is an Exception."""


@dataclass
class _Jobs:
    """The jobs of a command line: one, or those of a sweep, of which the others go on when one fails."""

    command: str
    flags: list[str]  # of `OURS`
    sweep: bool
    tracing: bool
    parent: int = field(default_factory=os.getpid)
    failed: list[tuple[str, Exception]] = field(default_factory=list)  # jobs by what they override

    def __call__(self, config: DictConfig) -> None:
        """Do the job of a config."""
        try:
            self._look_first(config)
            if DRY not in self.flags:
                work_of(self.command)(config)
        except Exception as error:
            self._fail(ConfigError(FULL) if full_disk(error) else error)

    def _look_first(self, config: DictConfig) -> None:
        """What comes before a job: say what would run, move a finished run aside, leave a failed one alone."""
        if not (self.sweep and self.command in READ) and not {DRY, RERUN} & set(self.flags):
            return
        if self.command not in READ:
            raise ConfigError(f"{self.flags[0]}: not known to {self.command}, expected one of {', '.join(READ)}")
        settings = READ[self.command](config)
        run = Run.of(settings, data_hash(settings))
        look = dry_run if DRY in self.flags else prepare
        look(run, again=RETRY in self.flags or not self.sweep, rerun=RERUN in self.flags)

    def _fail(self, error: Exception) -> None:
        """Note a failure of a sweep's job or of a config; raise any other."""
        worker = os.getpid() != self.parent  # a launcher's: Hydra raises the first error when all are done
        if self.tracing or worker or not (self.sweep or isinstance(error, ConfigError)):
            raise error
        overrides = OmegaConf.to_container(HydraConfig.get().overrides.task, resolve=False)
        self.failed.append((" ".join(overrides), error))
        if isinstance(error, ConfigError):
            print(hide(str(error)), file=sys.stderr)
        else:
            print(hide("".join(traceback.format_exception(error))), end="", file=sys.stderr)
        if FAST in self.flags and not isinstance(error, FailedBefore):
            raise _Enough from None

    def status(self) -> int:
        """List what failed of a sweep; return the exit status."""
        if self.sweep and self.failed:
            print(f"{len(self.failed)} of the sweep's jobs failed:", file=sys.stderr)
            for overrides, error in self.failed:
                kind = "" if isinstance(error, ConfigError) else f"{type(error).__name__}: "
                print(f"  {overrides}: {kind}{hide(str(error)).partition(chr(10))[0]}", file=sys.stderr)
        bad = [isinstance(error, ConfigError) and not isinstance(error, FailedBefore) for _, error in self.failed]
        return 0 if not self.failed else 2 if all(bad) else 1


def run(command: str, args: list[str]) -> int:
    """Run a command on its config, once or as a sweep; return the exit status."""
    tracing = "1" in (os.environ.get("HYDRA_FULL_ERROR"), os.environ.get("STORELAB_TRACEBACK"))
    os.environ["HYDRA_FULL_ERROR"] = "1"  # errors come to us, not to Hydra's printer
    flags, args = [arg for arg in args if arg in OURS], [arg for arg in args if arg not in OURS]
    jobs = _Jobs(command, flags, any(flag in args for flag in ("--multirun", "-m")), tracing)
    if command == "benchmark" and args and not re.search("^-|=", args[0]):
        args = [f"suite={args[0]}", *args[1:]]
    try:
        _compose(command, args, jobs)
    except _Enough:
        pass
    except Exception as error:
        if tracing or not isinstance(error, ConfigError | HydraException | OmegaConfBaseException | RecursionError):
            raise
        print(hide(describe(error, command, args)), file=sys.stderr)
        return 1 if isinstance(error, FailedBefore) else 2
    return jobs.status()


def _compose(command: str, args: list[str], job: Callable[[DictConfig], None]) -> None:
    """Let Hydra compose the config of a command line, of each job of a sweep, and call `job` with it."""
    if plugins.blocked is not None:
        raise ConfigError(str(plugins.blocked))
    for arg in args:
        if arg.startswith("-") and arg.split("=")[0] not in FLAGS:
            raise ConfigError(f"{arg}: no such flag, expected one of {', '.join((*FLAGS, *OURS))}")
    args = [_of_group(arg) for arg in args]
    # Hydra's parser wants all overrides in one stretch: flags, and the words that belong to them, go behind.
    sys.argv = ["storelab", *sorted(args, key=lambda arg: arg.startswith("-") or not re.search("^~|=", arg))]
    register(any(flag in args for flag in QUIET), command)
    guard.install()

    def task(config: DictConfig) -> None:  # Hydra wants a function
        job(config)

    shown = environment.as_text("words") if "--resolve" in args else nullcontext()
    with shown:
        hydra.main(version_base="1.3", config_path="pkg://storelab.conf", config_name=command)(task)()


def _of_group(arg: str) -> str:
    """Return an override of a group as Hydra takes it: null is none (`~data`); all else is the name of an option."""
    group, equals, text = arg.lstrip("+").partition("=")
    if not equals or group not in GROUPS:
        return arg
    try:
        override = OverridesParser.create().parse_override(arg)
    except HydraException:  # Hydra says so itself
        return arg
    value = override.value()
    values = value.list if isinstance(value, ChoiceSweep) else [value]
    if values == [None]:
        return f"~{group}"
    if None in values or isinstance(value, IntervalSweep | RangeSweep):
        raise ConfigError(f"{group}: {text} is not allowed, expected names of options")
    if all(isinstance(one, str | list | QuotedString | Glob) for one in values):
        return arg
    return f"{group}=" + ",".join(f"'{one}'" for one in map(str, values))  # no such option: Hydra names those there are


def work_of(command: str) -> Callable[[DictConfig], None]:
    """Return what does the work of a command; raises ConfigError where its extra is not installed."""
    try:
        return load(WORK[command], __package__)
    except ModuleNotFoundError as error:
        if command not in EXTRAS:
            raise
        expected = f"expected it: pip install 'storelab[{command}]'"
        raise ConfigError(f"{command}: {error.name} is not installed, {expected}") from error


def _failure(run: Run) -> str | None:
    """The first line of the error that a run ended with; None: it did not fail."""
    status = run.read("status.json") or {}
    return None if status.get("state") != "failed" or run.busy else status.get("error", "").partition("\n")[0]


def prepare(run: Run, again: bool, rerun: bool) -> None:
    """Move a finished run aside that is to be done anew; raise FailedBefore where one that failed is left alone."""
    error = None if again else _failure(run)
    if run.done and rerun:
        print(f"{run.folder} is finished: it is {run.move_aside()} from now on")
    elif error is not None:
        raise FailedBefore(f"{run.folder} failed before ({error}): {RETRY} tries it again")


def dry_run(run: Run, again: bool, rerun: bool) -> None:
    """Say in a line what a job would do; nothing is written."""
    if run.busy:
        plan = "is worked on by another process: refused"
    elif run.done:
        plan = "is finished: would be moved aside and done anew" if rerun else "is finished: skipped"
    elif not again and _failure(run) is not None:
        plan = f"failed before ({_failure(run)}): skipped, {RETRY} tries it again"
    elif run.folder.is_dir():
        plan = f"would go on ({(run.read('status.json') or {}).get('state', 'nothing done yet')} before)"
    else:
        plan = "would start"
    print(f"{run.folder} {plan}")
