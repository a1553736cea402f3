"""What customer service can say: intents with examples, templates with slots, the questions for a missing slot."""

import re
import string
from dataclasses import dataclass, field
from pathlib import Path

from ..reading import read_json
from .base import OUTSIDE

LANGUAGES = ("en", "zh")
SLOTS = ("order", "address")  # that a customer is asked for
PERSON = "person"  # the intent of who wants to talk to one

# Every repeat has a bound, so that the time to look is linear in the text's length whatever stands in it.
_ORDER = re.compile(r"(?<![\d.,$€£¥])#?(?<!\w)([A-Z]{0,3}-?\d{5,15})(?!\d|[.,]\d)", re.I)
_CHINESE_ORDER = re.compile(r"(?:订单号?|单号)[::\s是]{0,8}([A-Z]{0,3}-?\d{5,15})", re.I)
_STREET = r"(?:street|st|road|rd|avenue|ave|lane|drive|boulevard|square|way)"
_WORD = r"[A-Za-z'.-]{1,30}"
_ADDRESS = re.compile(
    rf"\b\d{{1,5}}[a-z]?\s{{1,4}}(?:{_WORD}\s{{1,4}}){{1,4}}{_STREET}\b\.?(?:,\s{{0,4}}[\w' -]{{1,60}}){{0,3}}", re.I
)
_PLACE = r"[一-鿿]{2,10}?(?:省|市|区|县|镇)[一-鿿\d]{0,24}?(?:路|街|巷|道|村)\d{0,5}[号弄]?[\d一-鿿]{0,12}"
_CHINESE_ADDRESS = re.compile(rf"(?:[寄送改换]?[到成为]|地址[是为]?|是)?({_PLACE})")
_SAMPLES = {"address": "12 Long Acre Road", "order": "12345"}


@dataclass
class Answers:
    """Intents by name, each with what it needs and, per language, its examples and answer; phrases per language.

    An intent with `talk` is small talk: what a dialogue waits for it waits for still. An entry of the help corpus may
    have questions that it answers; `other` are examples, per language, of what is out of scope. `held` are rows of a
    message and its label that no model trains on: they say from which confidence on a label is answered.
    """

    intents: dict[str, dict]
    phrases: dict[str, dict[str, str]]
    help: list[dict]  # the corpus: title, text, questions
    other: dict[str, list[str]] = field(default_factory=dict)
    held: list[list[str]] = field(default_factory=list)

    def __post_init__(self):
        if PERSON not in self.intents:
            raise ValueError(f"intents are {', '.join(self.intents)}: allowed are sets with {PERSON!r} among them")
        for name, intent in self.intents.items():
            unknown = set(intent.get("needs", ["needs"])) - set(SLOTS)
            if unknown:
                raise ValueError(f"needs of intent {name} holds {min(unknown)!r}: allowed are {', '.join(SLOTS)}")
            for language in LANGUAGES:
                if not intent.get(language, {}).get("examples") or "answer" not in intent[language]:
                    raise ValueError(f"intent {name} has no examples and answer in {language!r}: both are needed")
        for language in LANGUAGES:
            missing = {*SLOTS, "rephrase", "person"} - set(self.phrases.get(language, {}))
            if missing:
                raise ValueError(f"phrases[{language!r}] lacks {min(missing)!r}: each language needs it")
        for entry in self.help:
            if not {"title", "text"} <= set(entry) <= {"title", "text", "questions"}:
                raise ValueError(f"help holds an entry with {', '.join(entry)}: allowed are title, text and questions")
            if entry["title"] in (*self.intents, *OUTSIDE):
                raise ValueError(f"help holds the title {entry['title']!r}: allowed are others than those of intents")
        for row in self.held:
            if len(row) != 2 or row[1] not in self.labels:
                raise ValueError(f"held holds {row}: allowed are pairs of a message and one of the labels")
        if OUTSIDE & set(self.intents):
            raise ValueError(f"intents holds {min(OUTSIDE & set(self.intents))!r}: that is what is out of scope")

    @property
    def passages(self) -> list[str]:
        """The help corpus as `Retrieval` takes it."""
        return [f"{entry['title']}: {entry['text']}" for entry in self.help]

    @property
    def labels(self) -> set[str]:
        """What a classifier of messages may have for labels: intents, titles of the help corpus, what is outside."""
        return {*self.intents, *(entry["title"] for entry in self.help), *OUTSIDE}

    def examples(self) -> tuple[list[str], list[str]]:
        """All example questions to train on and their labels: intents, titles of the help corpus, `other`."""
        rows = [
            (text, name)
            for name, intent in self.intents.items()
            for language in LANGUAGES
            for text in intent[language]["examples"]
        ]
        rows += [(text, entry["title"]) for entry in self.help for text in entry.get("questions", [])]
        rows += [(text, "other") for texts in self.other.values() for text in texts]
        return [text for text, _ in rows], [name for _, name in rows]

    def fill(self, intent: str, language: str, facts: dict[str, str]) -> str | None:
        """The intent's answer with its slots filled; None when a fact is missing."""
        template = self.intents[intent][language]["answer"]
        names = {name for _, name, _, _ in string.Formatter().parse(template) if name}
        if not template or names - set(facts):
            return None
        return re.sub(r"\{(\w{1,99})\}", lambda match: str(facts[match[1]]), template)


def read_answers(path: str | Path | None = None) -> Answers:
    """Answers from a JSON file, by default storelab's; raises ValueError naming what does not fit."""
    path = path or Path(__file__).with_name("answers.json")
    try:
        content = read_json(path)
        return Answers(**content)
    except (ValueError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} holds no answers: {error}") from None


def find_slots(text: str) -> dict[str, str]:
    """Order number and address in a cleaned text, where there are any: the first of each.

    An order number has 5 to 15 digits, with up to three letters before them; an amount of money is none. An address is
    a house number with a street's name, English, or a place and road, Chinese.
    """
    slots = {}
    address = _CHINESE_ADDRESS.search(text) or _ADDRESS.search(text)
    if address:
        slots["address"] = address[address.re.groups].strip(" ,")
        text = text[: address.start()] + " " + text[address.end() :]
    order = _CHINESE_ORDER.search(text) or _ORDER.search(text)
    if order:
        slots["order"] = order[1].upper()
    return slots


def without_slots(text: str) -> str:
    """The text with the same order number and address for any, as in our examples: a classifier learns no numbers."""
    slots = find_slots(text)
    for name, sample in _SAMPLES.items():
        if name in slots:
            text = re.sub(re.escape(slots[name]), lambda _, sample=sample: sample, text, flags=re.I)
    return text
