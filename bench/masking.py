"""How much personal data is masked, and what is masked wrongly, on lines with the truth marked in them.

    python -P bench/masking.py [FILE]

FILE has a text per line, in which [[kind|text]] marks what is personal data; lines that begin with # are comments. A
place counts as found where all of its letters and digits are masked, whatever the kind; wrongly masked is a line in
which other letters or digits are masked, more than three of them. Default: the lines of tests/data.
"""

import re
import sys
from pathlib import Path

import pandas as pd
from storelab.data.masking import KINDS, Found, find

LINES = Path(__file__).parents[1] / "tests" / "data"
MARK = re.compile(r"\[\[(\w+)\|(.*?)\]\]")
SLACK = 3  # letters around a place that may be masked with it


def read(path: Path) -> list[tuple[str, list[Found]]]:
    """Texts, and the personal data in each."""
    rows = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        text, places, at = "", [], 0
        for mark in MARK.finditer(line):
            text += line[at : mark.start()]
            places.append(Found(mark[1], len(text), len(text) + len(mark[2])))
            text, at = text + mark[2], mark.end()
        rows.append((text + line[at:], places))
    return rows


def judge(text: str, places: list[Found]) -> tuple[list[Found], bool]:
    """The places that are missed, and whether anything else is masked."""
    masked = {at for place in find(text) for at in range(place.start, place.end) if text[at].isalnum()}
    true = {at for place in places for at in range(place.start, place.end)}
    missed = [p for p in places if any(text[at].isalnum() and at not in masked for at in range(p.start, p.end))]
    return missed, len(masked - true) > SLACK


def table(rows: list[tuple[str, list[Found]]], shown: bool = True) -> pd.DataFrame:
    """Counts by kind, and of lines without any; what is wrong is printed."""
    counts = {kind: {"there": 0, "found": 0, "missed": 0} for kind in KINDS}
    wrong = {"lines without": 0, "lines with": 0}
    for text, places in rows:
        missed, more = judge(text, places)
        for place in places:
            counts[place.kind]["there"] += 1
            counts[place.kind]["missed" if place in missed else "found"] += 1
        wrong["lines with" if places else "lines without"] += more
        for place in missed if shown else []:
            print(f"missed: {text[place.start : place.end]!r} in {text!r}")
        if more and shown:
            print(f"wrongly masked: {text!r}: {[(p.kind, text[p.start : p.end]) for p in find(text)]}")
    result = pd.DataFrame(counts).T
    result.loc["all"] = result.sum()
    clean = sum(not places for _, places in rows)
    print(f"{len(rows)} lines, {clean} of them without personal data")
    print(f"wrongly masked: {wrong['lines without']} of these, {wrong['lines with']} of the others")
    return result


if __name__ == "__main__":
    for path in map(Path, sys.argv[1:]) if sys.argv[1:] else sorted(LINES.glob("personal_data*.txt")):
        print(path.name)
        print(table(read(path)).to_string())
