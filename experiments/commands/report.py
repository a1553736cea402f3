"""`storelab report`: the report and the table of a finished run of any command, made anew."""

from omegaconf import DictConfig

from ...plugins import load
from ..config.settings import ConfigError, read_report
from ..runs.folder import Run, command_of

PRESENT = {  # command that made a run -> what presents it: (run, settings)
    "train": "reports.run:present_anew",
    "backtest": "commands.backtest:present_anew",
    "explain": "reports.explain:present",
    "fit": "reports.fit:present",
}


def report(config: DictConfig) -> None:
    """Make the report of a finished run of any command anew and print its table."""
    params = read_report(config)
    run = Run(params.run)
    settings = run.settings()
    run.check_writable("run")
    command = command_of(run.config())
    if params.effect and command != "train":
        raise ConfigError(f"effect: {params.effect!r} is not allowed with a run of {command}, expected one of train")
    options = {"effect": params} if params.effect else {}
    load(PRESENT[command], __package__.rpartition(".")[0])(run, settings, **options)
