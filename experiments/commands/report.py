"""`storelab report`: the report and the table of a finished run of any command, made anew."""

from omegaconf import DictConfig

from ...plugins import load
from ..config.settings import read_run
from ..runs.folder import Run, command_of

PRESENT = {  # command that made a run -> what presents it: (run, settings)
    "train": "reports.run:present_anew",
    "backtest": "commands.backtest:present_anew",
    "explain": "reports.explain:present",
    "fit": "reports.fit:present",
}


def report(config: DictConfig) -> None:
    """Make the report of a finished run of any command anew and print its table."""
    run = Run(read_run(config)[0])
    settings = run.settings()
    run.check_writable("run")
    load(PRESENT[command_of(run.config())], __package__.rpartition(".")[0])(run, settings)
