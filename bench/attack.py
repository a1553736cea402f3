"""What is tried against storelab from outside, as counted trials; exits with 1 where one did not hold.

    python -P bench/attack.py [NAME ...] [--page FILE]     # all of them by default, but for `soak`
    python -P bench/attack.py soak [--minutes 30]

A trial is a function of this file or of an `attack_*.py` beside it, which registers it under a name; it gives what was
tried, how often, how often it held, and what was measured. The table is printed, and with `--page` put into a Markdown
file between the lines `<!-- attacks: ... -->` and `<!-- end -->`. Everything happens in a temporary folder.
"""

import argparse
import importlib.util
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

BLOCK = re.compile(r"(<!-- attacks: [^\n]* -->\n).*?(<!-- end -->\n)", re.S)


@dataclass
class Outcome:
    """A row of the table."""

    tried: str
    count: int
    held: int
    measured: str = ""


TRIALS: dict[str, Callable[..., list[Outcome]]] = {}
LONG = ("soak",)  # not among "all"


def trial(function: Callable[..., list[Outcome]]) -> Callable[..., list[Outcome]]:
    """Register a trial under its function's name."""
    TRIALS[function.__name__] = function
    return function


def table(outcomes: dict[str, list[Outcome]]) -> str:
    """The outcomes as Markdown."""
    rows = ["| trial | what is tried | tried | held | measured |", "|---|---|---|---|---|"]
    for name, lines in outcomes.items():
        rows += [f"| {name} | {one.tried} | {one.count:,} | {one.held:,} | {one.measured} |" for one in lines]
    return "\n".join(rows) + "\n"


def main() -> int:
    for path in sorted(Path(__file__).parent.glob("attack_*.py")):
        spec = importlib.util.spec_from_file_location(path.stem, path)
        module = importlib.util.module_from_spec(spec)
        sys.modules[path.stem] = module  # dataclasses and processes look for it there
        spec.loader.exec_module(module)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(TRIALS))
    parser.add_argument("--page", type=Path, help="Markdown file whose table is written anew")
    parser.add_argument("--minutes", type=float, default=30.0, help="of the soak")
    options = parser.parse_args()
    unknown = set(options.names) - set(TRIALS)
    if unknown:
        parser.error(f"NAME: {min(unknown)!r} is not allowed, expected some of {', '.join(TRIALS)}")
    outcomes = {}
    for name in options.names or [name for name in TRIALS if name not in LONG]:
        outcomes[name] = TRIALS[name](options.minutes) if name in LONG else TRIALS[name]()
        print(table({name: outcomes[name]}), flush=True)
    if options.page:
        text = options.page.read_text()
        options.page.write_text(BLOCK.sub(lambda match: match[1] + table(outcomes) + match[2], text))
    return int(any(one.held < one.count for lines in outcomes.values() for one in lines))


if __name__ == "__main__":
    sys.modules["attack"] = sys.modules["__main__"]  # what registers a trial imports this file
    sys.exit(main())
