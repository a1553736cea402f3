"""What is tried against storelab from outside, as counted trials; exits with 1 where one did not hold.

    python -P bench/attack.py [NAME ...] [--page FILE]     # all by default, but for `soak` and `schema`
    python -P bench/attack.py soak [--minutes 30]
    SCHEMATHESIS=PATH python -P bench/attack.py schema     # Schemathesis 4.32.5, in an environment of its own

A trial is a function of this file or of an `attack_*.py` beside it, which registers it under a name; it gives what was
tried, how often, how often it held, and what was measured. The table is printed; with `--page` its rows are put into a
Markdown file, between the lines `<!-- attacks: ... -->` and `<!-- end -->`. Everything happens in a temporary folder.
"""

import argparse
import importlib
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

BLOCK = re.compile(r"(<!-- attacks: [^\n]* -->\n)(.*?)(<!-- end -->\n)", re.S)


@dataclass
class Outcome:
    """A row of the table."""

    tried: str
    count: int
    held: int
    measured: str = ""


TRIALS: dict[str, Callable[..., list[Outcome]]] = {}
LONG = ("soak", "schema")  # only by name: half an hour, another program


def trial(function: Callable[..., list[Outcome]]) -> Callable[..., list[Outcome]]:
    """Register a trial under its function's name."""
    TRIALS[function.__name__] = function
    return function


def table(rows: list[str]) -> str:
    """Rows as Markdown."""
    return "\n".join(["| trial | what is tried | tried | held | measured |", "|---|---|---|---|---|", *rows]) + "\n"


def rows_of(name: str, outcomes: list[Outcome]) -> list[str]:
    """The rows of a trial."""
    return [f"| {name} | {one.tried} | {one.count:,} | {one.held:,} | {one.measured} |" for one in outcomes]


def put(page: Path, fresh: dict[str, list[str]]) -> None:
    """Put the rows of trials into a page's table, in the place of those that it had of them."""
    text = page.read_text()
    block = BLOCK.search(text)
    if block is None:
        raise SystemExit(f"{page} has no line `<!-- attacks: ... -->`")
    old = [line for line in block[2].splitlines()[2:] if line.split(" ")[1] not in fresh]
    rows = old + [row for rows in fresh.values() for row in rows]
    page.write_text(text[: block.start(2)] + table(rows) + text[block.end(2) :])


def main() -> int:
    sys.path.append(str(Path(__file__).parent))  # last: nothing here hides what is installed
    for path in sorted(Path(__file__).parent.glob("attack_*.py")):
        importlib.import_module(path.stem)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(TRIALS))
    parser.add_argument("--page", type=Path, help="Markdown file whose table is written anew")
    parser.add_argument("--minutes", type=float, default=30.0, help="of the soak")
    options = parser.parse_args()
    unknown = set(options.names) - set(TRIALS)
    if unknown:
        parser.error(f"NAME: {min(unknown)!r} is not allowed, expected some of {', '.join(TRIALS)}")
    whole = True
    for name in options.names or [name for name in TRIALS if name not in LONG]:
        outcomes = TRIALS[name](options.minutes) if name == "soak" else TRIALS[name]()
        whole &= all(one.held == one.count for one in outcomes)
        rows = rows_of(name, outcomes)
        print(table(rows), flush=True)
        if options.page:
            put(options.page, {name: rows})
    return int(not whole)


if __name__ == "__main__":
    sys.modules["attack"] = sys.modules["__main__"]  # what registers a trial imports this file
    sys.exit(main())
