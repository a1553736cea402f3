"""The commands that take a config: Hydra composes it, and every error of it ends in one line."""

import os
import re
import sys

import hydra
from hydra.errors import HydraException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from .backtest import backtest
from .config import ConfigError, explain
from .explain import explain_forecast
from .schemas import register
from .work import evaluate, report, train

FLAGS = (
    *("--help", "-h", "--hydra-help", "--version", "-sc", "--shell-completion", "--run", "-r", "--multirun", "-m"),
    *("--cfg", "-c", "--resolve", "--package", "-p", "--config-dir", "-cd", "--info", "-i"),
)  # Hydra's, less those that read pickles or other trees
WORK = {
    "train": train,
    "demo": train,
    "backtest": backtest,
    "explain": explain_forecast,
    "evaluate": evaluate,
    "report": report,
}
QUIET = ("--help", "-h", "--hydra-help", "--version", "-sc", "--shell-completion")


def run(command: str, args: list[str]) -> int:
    """Run a command on its config, once or as a sweep; return the exit status."""
    traceback = "1" in (os.environ.get("HYDRA_FULL_ERROR"), os.environ.get("STORELAB_TRACEBACK"))
    os.environ["HYDRA_FULL_ERROR"] = "1"  # errors come to us, not to Hydra's printer
    refused: list[str] = []

    def job(config: DictConfig) -> None:
        try:
            WORK[command](config)
        except ConfigError as error:  # the other jobs of a sweep go on
            if traceback:
                raise
            refused.append(str(error))
            print(error, file=sys.stderr)

    # Hydra's parser wants all overrides in one stretch: flags, and the words that belong to them, go behind.
    sys.argv = ["storelab", *sorted(args, key=lambda arg: arg.startswith("-") or not re.search("^~|=", arg))]
    try:
        for arg in args:
            if arg.startswith("-") and arg.split("=")[0] not in FLAGS:
                raise ConfigError(f"{arg}: no such flag, expected one of {', '.join(FLAGS)}")
        register(light=any(flag in args for flag in QUIET))
        hydra.main(version_base="1.3", config_path="pkg://storelab.conf", config_name=command)(job)()
    except Exception as error:
        if traceback or not isinstance(error, ConfigError | HydraException | OmegaConfBaseException):
            raise
        print(explain(error, command, args), file=sys.stderr)
        return 2
    return 2 if refused else 0
