"""Patterns that meet texts from outside take time linear in the text's length: nothing behind an open repeat can fail.

A structural check, as a timed test would be of the machine; `bench/attack.py` takes the times.
"""

import ast
import re
from importlib import import_module
from pathlib import Path

import pytest
import storelab
from hypothesis import given
from hypothesis import strategies as st
from storelab.language.answers import find_slots
from storelab.language.rules import polarity, reasons
from storelab.language.text import MOST_CHARACTERS, MOST_MARKS, clean

ROOT = Path(storelab.__file__).parent
FILES = sorted((ROOT / "language").glob("*.py"))
FILES += [ROOT / "data/values.py", ROOT / "data/masking.py", ROOT / "experiments/serving/served.py"]
ANCHORED = {"data.values": ("_POINT", "_COMMA")}  # matched whole, from the start alone: no repeat is begun twice
MOST = 100  # times of a repeat that is not the last


def patterns(path: Path) -> dict[str, re.Pattern]:
    """The compiled patterns of a module, those in lists and dicts too, and those in its calls of `re`, by place."""
    name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    module, found = import_module(f"storelab.{name}"), {}
    for key, value in vars(module).items():
        parts = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else [value]
        flat = [one for part in parts for one in (part if isinstance(part, tuple) else [part])]
        ours = [one for one in flat if isinstance(one, re.Pattern)]
        if key not in ANCHORED.get(name, ()):
            found |= {f"{name}.{key}[{n}]": pattern for n, pattern in enumerate(ours)}
    for node in ast.walk(ast.parse(path.read_text())):
        called = isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
        inline = called and ast.unparse(node.func.value) == "re" and node.func.attr not in ("compile", "escape")
        if inline and isinstance(node.args[0], ast.Constant):
            found[f"{name}:{node.lineno}"] = re.compile(node.args[0].value)
    return found


def open_repeats(parsed, last: bool = True, nested: bool = False) -> list[str]:
    """What can take more than linear time: open repeats that something follows, or that are in a repeat."""
    wrong, items = [], list(parsed)
    for place, (op, value) in enumerate(items):
        end, name = last and place == len(items) - 1, str(op)
        if name in ("MAX_REPEAT", "MIN_REPEAT"):
            _, high, inner = value
            many = high > MOST
            wrong += ["open repeat"] if many and (nested or not end) else []
            wrong += open_repeats(inner, end and not many, nested or high > 1)
        elif name == "SUBPATTERN":
            wrong += open_repeats(value[3], end, nested)
        elif name == "BRANCH":
            wrong += [problem for branch in value[1] for problem in open_repeats(branch, end, nested)]
        elif name in ("ASSERT", "ASSERT_NOT"):
            wrong += open_repeats(value[1], False, nested)
    return wrong


ALL = {place: pattern for path in FILES for place, pattern in patterns(path).items()}


@pytest.mark.parametrize("place", ALL)
def test_no_open_repeat_can_fail(place):
    pattern = ALL[place]
    assert open_repeats(re._parser.parse(pattern.pattern, pattern.flags & ~re.UNICODE)) == []


def test_all_patterns_are_looked_at():
    assert {"language.answers._ADDRESS[0]", "language.rules._RULES[1]", "data.values._ZONE[0]"} <= set(ALL)
    assert len(ALL) > 50


@pytest.mark.parametrize(
    "bad", [r"a.*b", r"(?:a+)+", r"x[ab]*?(?:c|d)", r"(a{2,}|b)c", r"(?=a*b)c", r"(?:a{1,9}b*){2}"]
)
def test_the_check_finds(bad):
    assert open_repeats(re._parser.parse(bad))


@given(st.text(alphabet="1 a,.#省市路单号是-:'", max_size=300))
def test_slots_are_parts_of_the_text(text):
    (text,) = clean([text])
    for value in find_slots(text).values():
        assert value.lower() in text.lower()


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("send it to 12b Old Mill Road, Flat 3, Leeds please", "12b Old Mill Road, Flat 3, Leeds please"),
        ("地址是浙江省杭州市西湖区文三路12号3楼", "浙江省杭州市西湖区文三路12号3楼"),
        ("my street is long", None),
    ],
)
def test_addresses_are_still_found(text, address):
    assert find_slots(text).get("address") == address


def test_words_between_send_and_back():
    assert reasons(["please send the blue one back"]) == ["return"]
    assert polarity("不好") < 0 < polarity("好")


@given(st.lists(st.sampled_from("a\u0300\u0301\u0327\u0315é好"), max_size=200).map("".join))
def test_marks_on_a_letter_are_few(text):
    """And as many as that stay as they are."""
    (found,) = clean([text])
    (short,) = clean([text[:MOST_MARKS]])
    assert short == clean([short])[0]
    assert len(found) <= MOST_CHARACTERS
    run = 0
    for character in found:
        run = run + 1 if re.match("[\u0300-\u036f]", character) else 0
        assert run <= MOST_MARKS
