"""The commands that take a config: Hydra composes it, and every error of it ends in one line."""

import os
import re
import sys
import traceback
from functools import partial
from importlib import import_module

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from .backtest import backtest
from .benchmark import benchmark
from .config import ConfigError, explain, read, read_backtest, read_fit
from .explain import explain_forecast
from .fit import fit
from .runs import Run, full_disk
from .schemas import ExplainParams, register
from .work import data_hash, evaluate, report, train


def _extra(command: str, module: str, config: DictConfig) -> None:
    """A command in a module of its own, whose libraries no other command loads."""
    try:
        work = getattr(import_module(f".{module}", __package__), command)
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"{command}: {error.name} is not installed, expected it: pip install 'storelab[{command}]'"
        ) from error
    work(config)


FLAGS = (
    *("--help", "-h", "--hydra-help", "--version", "-sc", "--shell-completion", "--run", "-r", "--multirun", "-m"),
    *("--cfg", "-c", "--resolve", "--package", "-p", "--config-dir", "-cd", "--info", "-i"),
)  # Hydra's, less those that read pickles or other trees
WORK = {
    "train": train,
    "demo": train,
    "tune": partial(_extra, "tune", "tuning"),
    "dataset": partial(_extra, "dataset", "transitions"),
    "backtest": backtest,
    "explain": explain_forecast,
    "benchmark": benchmark,
    "fit": fit,
    "evaluate": evaluate,
    "report": report,
}
READ = {
    "train": read,
    "demo": read,
    "backtest": read_backtest,
    "explain": partial(read_backtest, kind=ExplainParams),
    "fit": read_fit,
}
DRY, FAST, RETRY, RERUN = "--dry-run", "--fail-fast", "--retry-failed", "--rerun"
OURS = (DRY, FAST, RETRY, RERUN)
FULL = "No space left on device: what was whole still is, and the same command goes on from it"
QUIET = ("--help", "-h", "--hydra-help", "--version", "-sc", "--shell-completion")


class FailedBefore(ConfigError):
    """A sweep leaves a run alone that failed with the same config, data and code."""


class _Enough(BaseException):
    """Ends a sweep at its first failure: Hydra carries on after what is an Exception."""


def run(command: str, args: list[str]) -> int:
    """Run a command on its config, once or as a sweep; return the exit status."""
    tracing = "1" in (os.environ.get("HYDRA_FULL_ERROR"), os.environ.get("STORELAB_TRACEBACK"))
    os.environ["HYDRA_FULL_ERROR"] = "1"  # errors come to us, not to Hydra's printer
    parent = os.getpid()  # in a launcher's worker an error goes to Hydra, which raises the first one when all are done
    failed: list[tuple[str, Exception]] = []  # a sweep's jobs by what they override
    sweep, work = any(flag in args for flag in ("--multirun", "-m")), WORK[command]
    again, rerun, dry, fast = RETRY in args or not sweep, RERUN in args, DRY in args, FAST in args
    given, args = [arg for arg in args if arg in OURS], [arg for arg in args if arg not in OURS]

    def job(config: DictConfig) -> None:
        try:
            if (sweep and command in READ) or dry or rerun:
                if command not in READ:
                    raise ConfigError(f"{given[0]}: not known to {command}, expected one of {', '.join(READ)}")
                (dry_run if dry else prepare)(_run_of(command, config), again, rerun)
            if not dry:
                work(config)
        except Exception as error:  # the other jobs of a sweep go on
            if full_disk(error):
                error = ConfigError(FULL)
            if tracing or os.getpid() != parent or not (sweep or isinstance(error, ConfigError)):
                raise
            told = OmegaConf.to_container(HydraConfig.get().overrides.task, resolve=False)
            failed.append((" ".join(told), error))
            print(error if isinstance(error, ConfigError) else traceback.format_exc(), file=sys.stderr)
            if fast and not isinstance(error, FailedBefore):
                raise _Enough from None

    if command == "benchmark" and args and not re.search("^-|=", args[0]):
        args = [f"suite={args[0]}", *args[1:]]
    # Hydra's parser wants all overrides in one stretch: flags, and the words that belong to them, go behind.
    sys.argv = ["storelab", *sorted(args, key=lambda arg: arg.startswith("-") or not re.search("^~|=", arg))]
    try:
        for arg in args:
            if arg.startswith("-") and arg.split("=")[0] not in FLAGS:
                raise ConfigError(f"{arg}: no such flag, expected one of {', '.join((*FLAGS, *OURS))}")
        register(any(flag in args for flag in QUIET), command)
        hydra.main(version_base="1.3", config_path="pkg://storelab.conf", config_name=command)(job)()
    except _Enough:
        pass
    except Exception as error:
        if tracing or not isinstance(error, ConfigError | HydraException | OmegaConfBaseException):
            raise
        print(explain(error, command, args), file=sys.stderr)
        return 1 if isinstance(error, FailedBefore) else 2
    if sweep and failed:
        print(f"{len(failed)} of the sweep's jobs failed:", file=sys.stderr)
        for overrides, error in failed:
            kind = "" if isinstance(error, ConfigError) else f"{type(error).__name__}: "
            print(f"  {overrides}: {kind}{str(error).partition(chr(10))[0]}", file=sys.stderr)
    bad = [isinstance(error, ConfigError) and not isinstance(error, FailedBefore) for _, error in failed]
    return 0 if not failed else 2 if all(bad) else 1


def _run_of(command: str, config: DictConfig) -> Run:
    """The run folder of a job, whose config is checked."""
    settings = READ[command](config)
    return Run.of(settings, data_hash(settings))


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
