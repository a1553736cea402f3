"""Pre-trained agents: finished runs that ship with the package, `pretrained:TASK` in place of a run's folder."""

import os
import shutil
from pathlib import Path

from ..config.errors import ConfigError

PREFIX = "pretrained:"
SHIPPED = Path(__file__).parents[2] / "agents" / "pretrained"  # TASK/HASH-sSEED/, as in a folder of runs


def tasks() -> list[str]:
    """Return the names of the tasks that have a pre-trained agent."""
    return sorted(path.name for path in SHIPPED.iterdir() if path.is_dir())


def unpacked(folder: str | Path) -> Path:
    """Return a run's folder; of `pretrained:TASK` that of its copy in `runs/pretrained`, made where there is none.

    Raises:
        ConfigError: no agent ships for the task, or the copy cannot be written.
    """
    if not str(folder).startswith(PREFIX):
        return Path(folder)
    name = str(folder).removeprefix(PREFIX)
    if name not in tasks():
        raise ConfigError(f"run: {str(folder)!r} is not allowed, expected one of {', '.join(map(named, tasks()))}")
    (source,) = (SHIPPED / name).iterdir()
    place = Path("runs") / "pretrained" / source.name
    if not place.exists():
        beside = place.with_name(f".{place.name}.{os.getpid()}.tmp")
        try:
            shutil.copytree(source, beside, copy_function=shutil.copyfile)
            beside.rename(place)
        except OSError as error:
            if not place.exists():  # another process did not make it meanwhile
                raise ConfigError(f"runs: {place} cannot be written: {error.strerror}") from error
    return place


def named(task: str) -> str:
    """Return what stands for the run of a task's pre-trained agent."""
    return f"{PREFIX}{task}"
