"""Put finished runs of `storelab train` into the package as pre-trained agents, and write their table.

    storelab train task=LostSales agent=pathwise experiment=pretrained evaluation.episodes=256
    python -m storelab.experiments.studies.pretrained runs/pretrained/* --page

A run whose learner did not beat its start has nothing to ship; it is passed over, and said. Of a run that is packed
stays what `evaluate`, `watch` and `report` read: the checkpoint that it kept, the tuned heuristics and the episodes.
"""

import argparse
import shutil
import sys
from pathlib import Path

from ..config.errors import ConfigError
from ..config.settings import Settings
from ..experiment import chosen
from ..runs.folder import CHOICE, SEALED, Run
from ..runs.shipped import SHIPPED, named, tasks
from .pages import ROOT, block, markdown, put

MODULE = "storelab.experiments.studies.pretrained"
PAGE = ROOT / "docs" / "policies.md"
FILES = dict.fromkeys((*SEALED, CHOICE, "status.json", "metrics.jsonl", "results.json", "DONE"))
MOST = 2_000_000  # bytes of a run that may ship


def pack(run: Run) -> str:
    """Put a run in place of the agent of its task; return the line that says so, or why not.

    Raises:
        ConfigError: the folder holds no finished run.
    """
    settings, choice = run.settings(), chosen(run)
    if not isinstance(settings, Settings):
        raise ConfigError(f"run: {str(run.folder)!r} is not allowed, expected a run of storelab train")
    name = settings.task.name
    last = run.newest_kept()
    if choice is None or choice.rule is not None or last is None:
        return f"{name}: passed over, the run kept no learner"
    place = SHIPPED / name / run.folder.name
    shutil.rmtree(place.parent, ignore_errors=True)
    place.mkdir(parents=True)
    for file in FILES:
        if (run.folder / file).is_file():
            shutil.copyfile(run.folder / file, place / file)
    shutil.copytree(last, place / last.relative_to(run.folder))
    size = sum(path.stat().st_size for path in place.rglob("*") if path.is_file())
    if size > MOST:
        shutil.rmtree(place.parent)
        return f"{name}: passed over, {size} bytes, expected at most {MOST}"
    return f"{name}: {size / 1000:.0f} kB"


def table() -> str:
    """Return the table of the agents that ship, from the results of their runs."""
    rows: list[tuple[str, ...]] = [
        ("name", "agent", "starts from", "best tuned heuristic", "ahead of it, % [95 % CI]", "gap, %", "kB")
    ]
    for name in tasks():
        (folder,) = (SHIPPED / name).iterdir()
        run = Run(folder)
        results, choice = run.read("results.json"), chosen(run)
        agent, best = results["agent"], results["best_heuristic"]
        of, by = results["policies"][agent], abs(results["policies"][best]["value"]) / 100
        lead = f"{of['better'] / by:.2f} [{of['better_low'] / by:.2f}, {of['better_high'] / by:.2f}]"
        gap = of.get("gap_percent")
        size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        start = (choice and choice.start) or ""
        shown = "" if gap is None else f"{gap:.2f}"
        rows.append((f"`{named(name)}`", agent, start, best, lead, shown, f"{size / 1000:.0f}"))
    return markdown(rows).rstrip()


def main() -> None:
    """Pack the runs that are named, then print the table of all that ship."""
    parser = argparse.ArgumentParser(prog=f"python -m {MODULE}", description=str(__doc__).split("\n")[0])
    parser.add_argument("runs", nargs="*", type=Path, help="folders of finished runs")
    parser.add_argument("--page", action="store_true", help=f"write the table into docs/{PAGE.name}")
    args = parser.parse_args()
    for folder in args.runs:
        print(pack(Run(folder)), file=sys.stderr)
    print(table())
    if args.page:
        put(PAGE, "pretrained", MODULE, block(commands_of(), table()))


def commands_of() -> list[str]:
    """Return the commands that made the runs that ship, and the one that packed them."""
    folders = [next((SHIPPED / name).iterdir()) for name in tasks()]
    made = [Run(folder).read("provenance.json")["command"] for folder in folders]
    return [*made, f"python -m {MODULE} runs/pretrained/* --page"]


if __name__ == "__main__":
    main()
