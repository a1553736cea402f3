"""The commands that take a config: Hydra composes it, and every error of it ends in one line."""

import os
import re
import sys
import traceback
from collections.abc import Callable
from contextlib import contextmanager, nullcontext, redirect_stdout, suppress
from copy import deepcopy
from dataclasses import dataclass, field, replace
from functools import partial

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from ... import plugins
from ...plugins import load
from ..completion import complete
from ..config import environment, guard
from ..config.agents import check_agent
from ..config.environment import hide
from ..config.errors import ConfigError
from ..config.messages import describe
from ..config.options import register
from ..config.plain import fill
from ..config.schemas import HeuristicsParams
from ..config.settings import READ
from ..config.words import hydra_words
from ..extras import missing
from ..inputs import build, data_hash, plain_params
from ..runs.audit import identifiers_allowed
from ..runs.folder import Run, full_disk
from ..sweeps import Labelled, paired
from . import own

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
    "watch": "watch:watch",
    "mcp": "mcp:mcp",
}
DRY, FAST, RETRY, RERUN, PAIRS = "--dry-run", "--fail-fast", "--retry-failed", "--rerun", "--pairs"
ALLOW = "--allow-identifiers"
OURS = (DRY, FAST, RETRY, RERUN, PAIRS, ALLOW)
OF_TASKS = ("train", "demo", "tune")
FULL = "No space left on device: what was whole still is, and the same command goes on from it"
QUIET = ("--help", "-h", "--hydra-help", "-sc", "--shell-completion")
REMOTE = ("submitit", "ray")  # packages of launchers that raise a job's error as one of their own


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
    policies: list[own.Own] = field(default_factory=list)  # a user's own
    parent: int = field(default_factory=os.getpid)
    failed: list[tuple[str, Exception]] = field(default_factory=list)  # jobs by what they override
    broken: Exception | None = None  # what a job raised that is no fault of its config

    def __call__(self, config: DictConfig) -> None:
        """Do the job of a config."""
        try:
            if self.command in OF_TASKS:
                check_agent(config)
            self._look_first(config)
            if DRY not in self.flags:
                with self._labelled(config), identifiers_allowed(ALLOW in self.flags):
                    work_of(self.command)(config, *([self.policies] if self.policies else []))
        except Exception as error:
            self._fail(_for_users(error, self.command))

    def _look_first(self, config: DictConfig) -> None:
        """What comes before a job: say what would run, move a finished run aside, leave a failed one alone."""
        if not (self.sweep and self.command in READ) and not {DRY, RERUN} & set(self.flags):
            return
        if self.command not in READ:
            raise ConfigError(f"{self.flags[0]}: not known to {self.command}, expected one of {', '.join(READ)}")
        settings = READ[self.command](deepcopy(config))  # reading puts values in the place of interpolations
        run = Run.of(settings, data_hash(settings))
        look = dry_run if DRY in self.flags else prepare
        look(run, again=RETRY in self.flags or not self.sweep, rerun=RERUN in self.flags)

    @contextmanager
    def _labelled(self, config: DictConfig):
        """Where several processes write at once, each line tells its run."""
        if os.getpid() == self.parent or self.command not in READ:
            yield
            return
        settings = READ[self.command](deepcopy(config))  # reading puts values in the place of interpolations
        label = "/".join(Run.of(settings, data_hash(settings)).folder.parts[-2:])
        with redirect_stdout(Labelled(sys.stdout, label)):
            yield

    def _fail(self, error: Exception) -> None:
        """Note a failure of a sweep's job or of a config; raise any other."""
        worker = os.getpid() != self.parent  # a launcher's: Hydra raises the first error when all are done
        if self.tracing or worker or not (self.sweep or isinstance(error, ConfigError)):
            self.broken, error.of_a_job = error, worker  # pyright: ignore[reportAttributeAccessIssue]
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


def _for_users(error: Exception, command: str) -> Exception:
    """Return an error of a job as a ConfigError where its user can mend it: a full disk, a library that is missing."""
    if full_disk(error):
        return ConfigError(FULL)
    told = missing(error, command) if isinstance(error, ImportError) else None
    return error if told is None else ConfigError(told)


def run(command: str, args: list[str]) -> int:
    """Run a command on its config, once or as a sweep; return the exit status."""
    tracing = "1" in (os.environ.get("HYDRA_FULL_ERROR"), os.environ.get("STORELAB_TRACEBACK"))
    os.environ["HYDRA_FULL_ERROR"] = "1"  # errors come to us, not to Hydra's printer
    flags = [arg for arg in args if arg.partition("=")[0] in OURS]
    args = [arg for arg in args if arg not in flags]
    jobs = _Jobs(command, flags, any(flag in args for flag in ("--multirun", "-m")), tracing)
    try:
        args = _with_suite(args) if command == "benchmark" else args
        if command == "watch" and args and not re.search("^-|=", args[0]):
            args = [f"run={args[0]}", *args[1:]]
        if command in own.COMMANDS:
            jobs.policies, args = own.take(args)
        with paired(_pairs(flags, jobs.sweep)):
            _compose(*config_of(command, args), jobs)
    except _Enough:
        pass
    except BrokenPipeError:  # `| head` has seen enough: see `cli.main`
        raise
    except Exception as error:
        remote = getattr(error, "of_a_job", False) or type(error).__module__.partition(".")[0] in REMOTE
        if tracing or (not isinstance(error, ConfigError) and (remote or error is jobs.broken)):
            raise
        error = _for_users(error, command)
        print(hide(describe(error, *config_of(command, args))), file=sys.stderr)
        return 1 if isinstance(error, FailedBefore) else 2
    return jobs.status()


def _with_suite(args: list[str]) -> list[str]:
    """The words of `benchmark SUITE` as Hydra takes them; raises ConfigError where no suite is named."""
    if args and not re.search("^-|=", args[0]):
        return [f"suite={args[0]}", *args[1:]]
    if not set(args) & {*QUIET, "--cfg", "-c"} and not any(arg.startswith("suite=") for arg in args):
        suites = [word.partition("=")[2] for word in complete("benchmark", args, "suite=")]
        others = "vn2, inventorybench, euro_neurips, gym_invmgmt"
        raise ConfigError(f"suite: not set, expected benchmark SUITE, one of {', '.join(suites)}, or {others}")
    return args


def _pairs(flags: list[str], sweep: bool) -> list[list[str]]:
    """The groups of keys that are swept in pairs."""
    for flag in flags:
        name, equals, value = flag.partition("=")
        if (name == PAIRS) != bool(equals) or (name == PAIRS and (not sweep or len(value.split(",")) < 2)):
            raise ConfigError(f"{flag}: not readable, expected {PAIRS}=KEY,KEY with --multirun, others without a value")
    return [flag.partition("=")[2].split(",") for flag in flags if flag.startswith(PAIRS)]


def config_of(command: str, args: list[str]) -> tuple[str, list[str]]:
    """Return the config that a command composes, and its words: of a task's evaluation those of the run to make.

    Where no agent is named, `mcp` and such an evaluation take the heuristics alone.
    """
    if command == "mcp":
        return command, [*([] if any(arg.startswith("agent=") for arg in args) else ["agent=heuristics"]), *args]
    if command != "evaluate" or not any(arg.startswith("task=") for arg in args):
        return command, args
    return "train", [*([] if any(arg.startswith("agent=") for arg in args) else ["agent=heuristics"]), *args]


def _compose(command: str, args: list[str], jobs: _Jobs) -> None:
    """Let Hydra compose the config of a command line, of each job of a sweep, and call `jobs` with it."""
    job: Callable[[DictConfig], None] = jobs
    if plugins.blocked is not None:
        raise ConfigError(str(plugins.blocked))
    words = hydra_words(args, (*OURS, *(own.FLAGS if jobs.command in own.COMMANDS else ())))
    if "--cfg=job" in words and command in OF_TASKS and not any(word.startswith("--package") for word in words):
        job = partial(show, resolve="--resolve" in words)
        words = [word for word in words if word not in ("--cfg=job", "--resolve")]
    sys.argv = ["storelab", *words]
    register(any(flag in args for flag in QUIET), command)
    guard.install()

    def task(config: DictConfig) -> None:  # Hydra wants a function
        job(config)

    shown = environment.as_text("words") if "--resolve" in args else nullcontext()
    with shown:
        hydra.main(version_base="1.3", config_path="pkg://storelab.conf", config_name=command)(task)()


def show(config: DictConfig, resolve: bool) -> None:
    """Print a config, with the task's own parameters where none are set; those of its data where that is there."""
    with suppress(ConfigError, OmegaConfBaseException):
        settings = READ["train"](OmegaConf.masked_copy(config, [key for key in config if key != "tune"]))
        env = {key: value for key, value in settings.env.items() if key != "forecast"}  # which may need a long training
        task = build(replace(settings, env=env, forecaster=None, agent=HeuristicsParams()))
        fill(config.env, plain_params(task))
    print(OmegaConf.to_yaml(config, resolve=resolve), end="")


def work_of(command: str) -> Callable[[DictConfig], None]:
    """Return what does the work of a command."""
    return load(WORK[command], __package__)


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
