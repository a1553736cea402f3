"""The jobs of a sweep: keys that are swept in pairs, the configs of all jobs, and whose lines are whose."""

import io
from collections.abc import Sequence
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from hydra import compose, initialize_config_module
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.core.plugins import Plugins

from .config.errors import ConfigError
from .config.options import register
from .config.settings import READ
from .config.words import override
from .runs.folder import to_config

_split = BasicSweeper.split_arguments  # Hydra's own, whatever stands there meanwhile


@contextmanager
def paired(groups: Sequence[Sequence[str]]):
    """Let Hydra's sweeper take the values of each group of keys in pairs: first with first, second with second."""
    Plugins.instance()  # makes the class anew, as it loads its plug-ins
    sweeper: Any = import_module(BasicSweeper.__module__).BasicSweeper
    sweeper.split_arguments = staticmethod(lambda overrides, size: _batches(overrides, size, groups))
    try:
        yield
    finally:
        sweeper.split_arguments = staticmethod(_split)


def _batches(overrides: list[Override], size: int | None, groups: Sequence[Sequence[str]]) -> list[list[list[str]]]:
    jobs = _jobs(list({one.get_key_element(): one for one in overrides}.values()), groups)
    return [jobs[start : start + (size or len(jobs))] for start in range(0, len(jobs), size or len(jobs))]


def _jobs(overrides: list[Override], groups: Sequence[Sequence[str]]) -> list[list[str]]:
    """Every job as its overrides."""
    if not groups:
        return _split(overrides, None)[0]
    keys = groups[0]
    swept = {one.key_or_group: one for one in overrides if one.key_or_group in keys and one.is_sweep_override()}
    for key in keys:
        if key not in swept or not swept[key].is_discrete_sweep():
            raise ConfigError(f"--pairs: {key!r} is not allowed, expected a key with several values, such as {key}=a,b")
    values = {key: list(swept[key].sweep_string_iterator()) for key in keys}
    if len({len(of) for of in values.values()}) > 1:
        counts = ", ".join(f"{len(of)} of {key}" for key, of in values.items())
        raise ConfigError(f"--pairs: {counts} are not allowed, expected as many values of each")
    parser, jobs = OverridesParser.create(), []
    for row in zip(*values.values(), strict=True):
        now = dict(zip(keys, row, strict=True))
        fixed = [
            parser.parse_override(f"{one.get_key_element()}={now[one.key_or_group]}")
            if one.key_or_group in now
            else one
            for one in overrides
        ]
        jobs += _jobs(fixed, groups[1:])
    return jobs


def sweep_configs(overrides: Sequence[str], command: str = "train", pairs: Sequence[Sequence[str]] = ()) -> list[dict]:
    """Return the config of every job of a sweep, as its `config.yaml` will hold it; nothing runs.

    Args:
        overrides: as on the command line, such as ["task=LostSales", "seed=0,1", "+sweep=ppo_lost_sales"].
        command: train, backtest, explain or fit.
        pairs: groups of keys whose values go together, as `--pairs=KEY,KEY` has them.

    Raises:
        ConfigError: a job whose config is not allowed.
    """
    register(command=command)
    with initialize_config_module("storelab.conf", version_base="1.3"):
        words, parser = [override(word) for word in overrides], OverridesParser.create()
        plain = [word for word in words if not parser.parse_override(word).is_sweep_override()]
        params = compose(command, plain, return_hydra_config=True).hydra.sweeper.get("params") or {}
        of_file = [f"{key}={value}" for key, value in params.items()]
        jobs = _batches(parser.parse_overrides([*of_file, *words]), None, pairs)[0]
        return [to_config(READ[command](compose(command, job))) for job in jobs]


class Labelled(io.TextIOBase):
    """A stream that writes whole lines, each with a label before it: those of other processes come between."""

    def __init__(self, stream, label: str):
        self.stream, self.label, self.rest = stream, label, ""

    def write(self, text: str) -> int:
        """Write the lines that are whole by now."""
        *lines, self.rest = (self.rest + text).split("\n")
        if lines:
            self.stream.write("".join(f"{self.label} | {line}\n" for line in lines))
            self.stream.flush()
        return len(text)

    def flush(self) -> None:
        """Flush what was written: the rest of a line stays until it is whole."""
        self.stream.flush()
