"""Patterns, and the functions that use them, on texts made to be slow: near-misses of each pattern's parts, repeated.

A text of 10 times the length may take 10 times as long (25 at most). Each is tried in a process that can be ended.
"""

import multiprocessing
import random
import re
import sys
import time
from contextlib import suppress
from importlib import import_module
from itertools import pairwise
from pathlib import Path

import pandas as pd
import storelab
from attack import Outcome, trial
from storelab.data import masking, privacy, values
from storelab.language import answers, aspects, base, noise, retrieval, rules

ROOT = Path(storelab.__file__).parent
LENGTHS = (1_000, 10_000, 100_000)
LIMIT = 20.0  # seconds for a text of 100,000 characters
FLOOR = 0.02  # seconds: below, times are noise
MODULES = [f"language.{path.stem}" for path in (ROOT / "language").glob("*.py")]
MODULES += ["data.values", "data.privacy", "data.masking", "data.files", "experiments.serving.served"]


def all_patterns() -> dict[str, re.Pattern]:
    """All that the modules' compiled patterns and inline ones are."""
    found = {}
    for name in MODULES:
        module = import_module(f"storelab.{name}")
        text = Path(module.__file__).read_text()
        for quoted in re.findall(
            r're\.(?:search|sub|findall|finditer|match|fullmatch)\(\s*r?b?"([^"\n]{1,300})"', text
        ):
            found[f"{name}: {quoted[:40]}"] = re.compile(quoted)
        for key, value in vars(module).items():
            parts = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else [value]
            for part in parts:
                for one in part if isinstance(part, tuple) else [part]:
                    if isinstance(one, re.Pattern) and isinstance(one.pattern, str):
                        found[f"{name}.{key}: {one.pattern[:40]}"] = one
    return found


def sample(parsed, draw: random.Random, stop: int | None = None) -> str:
    """A text that a parsed pattern, or its first `stop` parts, can match."""
    text = ""
    for op, value in list(parsed)[:stop]:
        name = str(op)
        if name == "LITERAL":
            text += chr(value)
        elif name in ("NOT_LITERAL", "ANY"):
            text += "x"
        elif name == "IN":
            text += character(value, draw)
        elif name in ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"):
            low, high, inner = value
            text += "".join(sample(inner, draw) for _ in range(draw.randint(int(low), int(min(high, low + 3)))))
        elif name == "SUBPATTERN":
            text += sample(value[3], draw)
        elif name == "BRANCH":
            text += sample(draw.choice(value[1]), draw)
    return text


def character(choices: list, draw: random.Random) -> str:
    """A character of a class."""
    kinds = {"CATEGORY_DIGIT": "7", "CATEGORY_SPACE": " ", "CATEGORY_WORD": "w"}
    choices = [(str(op), value) for op, value in choices if str(op) != "NEGATE"]
    op, value = draw.choice(choices)
    if op == "LITERAL":
        return chr(value)
    if op == "RANGE":
        return chr(draw.randint(*value))
    return kinds.get(str(value), "-")


def texts(pattern: re.Pattern, draw: random.Random, count: int) -> list[str]:
    """Pieces to repeat: what matches, its beginnings, its parts, and these one after the other."""
    parsed = re._parser.parse(pattern.pattern, pattern.flags & ~re.UNICODE)
    parts, pieces = list(parsed), []
    for _ in range(count):
        whole, begun = sample(parsed, draw), sample(parsed, draw, draw.randint(1, max(1, len(parts))))
        kinds = [
            whole,
            whole[:-1],
            whole[: draw.randint(0, len(whole))],
            begun,
            draw.choice(whole or "a"),
            begun + "\n",
        ]
        pieces.append(draw.choice(kinds) + draw.choice(["", "", " ", draw.choice(kinds)]) or " ")
    return pieces


def slow(work, piece: str, first: str, last: str, ends) -> None:
    """Take the times of texts of the three lengths."""
    taken = []
    for length in LENGTHS:
        text = first + (piece * (length // max(1, len(piece)) + 1))[:length] + last
        begun = time.process_time()
        work(text)
        taken.append(time.process_time() - begun)
    ends.send(taken)


def linear(work, cases: list[tuple[str, str, str]]) -> tuple[int, float, list]:
    """How many cases take time in proportion; the longest time of one, and those that do not."""
    held, longest, wrong = 0, 0.0, []
    context = multiprocessing.get_context("fork")
    for first, piece, last in cases:
        ours, theirs = context.Pipe()
        process = context.Process(target=slow, args=(work, piece, first, last, theirs))
        process.start()
        taken = ours.recv() if ours.poll(LIMIT) else [float("inf")] * 3
        process.kill()
        process.join()
        longest = max(longest, taken[-1])
        good = taken[-1] < LIMIT and all(b < max(25 * a, FLOOR) for a, b in pairwise(taken))
        held += good
        wrong += [] if good else [(first, piece, last, taken)]
    return held, longest, wrong


@trial
def patterns() -> list[Outcome]:
    """Each pattern, searched for in 8 texts of its own making."""
    draw, outcomes = random.Random(0), []
    count = held = 0
    longest, found = 0.0, all_patterns()
    for name, pattern in found.items():
        cases = [("", piece, draw.choice(["", "!", "\n"])) for piece in texts(pattern, draw, 8)]
        every = lambda text, pattern=pattern: sum(1 for _ in pattern.finditer(text))
        look = pattern.match if name.startswith("data.files") else every
        good, took, wrong = linear(look, cases)
        count, held, longest = count + len(cases), held + good, max(longest, took)
        for case in wrong:
            print(f"not linear: {name} {case!r:.300}", file=sys.stderr)
    what = f"{len(found)} patterns on texts of 1,000, 10,000, 100,000 characters made of their parts"
    outcomes.append(Outcome(what, count, held, f"at most {longest:.2f} s for 100,000"))
    return outcomes + functions(draw)


def functions(draw: random.Random) -> list[Outcome]:
    """What customers' texts go through, on pieces of all patterns; what is cut at 10,000 characters is not here."""
    works = {
        "find_slots": answers.find_slots,
        "clauses": aspects.clauses,
        "pieces": base.pieces,
        "paraphrased": lambda text: noise.paraphrased([text]),
        "terms": retrieval.terms,
        "polarity": rules.polarity,
        "reasons": lambda text: [words.findall(text) for words in rules._RULES.values()],
        "numbers": lambda text: values.numbers(pd.Series([text], dtype=object)),
        "times": lambda text: values.times(pd.Series([text], dtype=object)),
        "refuse_zone": lambda text: _quiet(values.refuse_zone, pd.Series([text], dtype=object), "time"),
        "mask": masking.mask,
        "pseudonymise": lambda text: privacy.pseudonymise(pd.Series([text]), b"0123456789abcdef"),
    }
    pieces = [piece for pattern in all_patterns().values() for piece in texts(pattern, draw, 1)]
    pieces += [
        "省",
        "市",
        "1 a",
        "1 a.b ",
        "send ",
        "不",
        "不好",
        "好",
        "1:11",
        "12/",
        "1,",
        ",111",
        "' 1",
        "订单是",
        "e\u0301",
    ]
    count = held = 0
    longest, slowest = 0.0, ""
    for name, work in works.items():
        good, took, wrong = linear(work, [("", piece, "!") for piece in draw.sample(pieces, 25) + pieces[-15:]])
        count, held = count + 40, held + good
        longest, slowest = max((longest, slowest), (took, name))
        for case in wrong:
            print(f"not linear: {name} {case!r:.300}", file=sys.stderr)
    what = f"{len(works)} functions that texts go through ({', '.join(works)}), on pieces of all patterns"
    return [Outcome(what, count, held, f"at most {longest:.2f} s for 100,000 ({slowest})")]


def _quiet(function, *args) -> None:
    with suppress(ValueError):
        function(*args)
