"""What commands take before their work begins, in CPU time: see `speed`."""

import resource
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from speed import row

COPIES = 1_000


def seconds(*words: str, folder: str, repeats: int = 3) -> float:
    """Return the least CPU seconds of a command over the repeats."""
    best = float("inf")
    for _ in range(repeats):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        command = [sys.executable, "-P", "-m", "storelab", *words]
        subprocess.run(command, cwd=folder, check=True, capture_output=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        best = min(best, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return best


def commands() -> None:
    """Print the rows of commands."""
    short, many = ["agent.total_steps=4096"], ",".join(map(str, range(9)))
    with tempfile.TemporaryDirectory() as folder:
        row("`storelab --help`", seconds("--help", folder=folder), "s", 0.5)
        train = ["train", "task=LostSales"]
        for words in ([*train, *short], [*train, "agent=heuristics"]):
            seconds(*words, folder=folder, repeats=1)
            row(f"`storelab {' '.join(words)}`, finished", seconds(*words, folder=folder), "s", 1.5)
        sweep = [*train, "agent=heuristics", "evaluation.episodes=16", "evaluation.tuning_episodes=2", "--multirun"]
        new = seconds(*sweep, f"seed={many}", folder=folder, repeats=1)
        one = seconds(*sweep, "seed=0", folder=folder)
        done = seconds(*sweep, f"seed={many}", folder=folder)
        row("a run of a sweep that is finished", (done - one) / 8, "s", 1)
        row("a run of a sweep, heuristics on few scenarios", (new - one) / 9, "s")
        finished = next(path.parent for path in Path(folder).glob("runs/LostSales/*/DONE"))
        for copy in range(COPIES):
            shutil.copytree(finished, Path(folder) / "many" / "LostSales" / f"{copy:012x}-s0")
        seconds("runs", "runs=many", folder=folder, repeats=1)
        row(f"`storelab runs`, {COPIES:,} runs", seconds("runs", "runs=many", folder=folder), "s", 1)
