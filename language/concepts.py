"""Words of a shop's customers as concepts: synonyms, English and Chinese, become one token.

A classifier of few examples knows the words that it has seen; "parcel", "shipment" and 包裹 are then the same one. The
concepts are in concepts.json: words and phrases by language, an English one with * stands for all that begin so.
"""

import re
from functools import cache
from pathlib import Path

from ..reading import read_json
from .text import is_han

_TOKEN = re.compile(r"\d[\d.,:-]{0,30}|[^\W\d_]{1,40}(?:['-][^\W\d_]{1,20}){0,3}", re.I)
_LONGEST = 6  # words of an English phrase, characters of a Chinese one
_ENDINGS = re.compile(r"(?<=[a-z]{3})(?:ing|ed|es|s)$")
_DROPPED = "#"  # the concept of words that say nothing


@cache
def _table() -> tuple[dict[str, str], dict[str, str]]:
    """Phrase -> concept, and beginning of a word -> concept."""
    content = read_json(Path(__file__).with_name("concepts.json"))
    phrases = {phrase: name for name, words in content.items() for said in words.values() for phrase in said}
    starts = {phrase[:-1]: name for phrase, name in phrases.items() if phrase.endswith("*")}
    return {phrase: name for phrase, name in phrases.items() if not phrase.endswith("*")}, starts


def concepts(text: str) -> list[str]:
    """The tokens of a cleaned text: a concept in the place of each word that has one, else the word's stem.

    Han characters without one stand alone; a number is one token, whatever it is; words that say nothing are left out.
    """
    text, found = text.lower().replace("’", "'"), []
    pieces: list[str] = []
    for token in _TOKEN.findall(text):
        parts = re.findall(r"[㐀-䶿一-鿿]+|[^㐀-䶿一-鿿]+", token)
        pieces += [part.strip("-'") for part in parts if part.strip("-'")]
    words: list[str] = []
    for piece in [*pieces, ""]:
        if piece and not is_han(piece[0]) and not piece[0].isdigit():
            words.append(piece)
            continue
        found += _matched(words, " ")
        words = []
        found += _matched(list(piece), "") if piece and is_han(piece[0]) else ["<number>"] * bool(piece)
    return [token for token in found if token != _DROPPED]


def _matched(words: list[str], between: str) -> list[str]:
    """Tokens of words, or of Han characters: the longest phrase that is known from each place on."""
    phrases, starts = _table()
    found, at = [], 0
    while at < len(words):
        for length in range(min(_LONGEST, len(words) - at), 0, -1):
            name = phrases.get(between.join(words[at : at + length])) or _started(words[at : at + length], starts)
            if name:
                found.append(name if name == _DROPPED else f"<{name}>")
                break
        else:
            length = 1
            found.append(_ENDINGS.sub("", words[at]))
        at += length
    return found


def _started(words: list[str], starts: dict[str, str]) -> str:
    text = " ".join(words)
    least = max(2, text.rfind(" ") + 1)  # a phrase is as many words
    return next((starts[text[:end]] for end in range(len(text), least, -1) if text[:end] in starts), "")


def concept_ngrams(shortest: int, longest: int):
    """A function from a text to its n-grams of concepts, as scikit-learn's vectorizers take one."""

    def grams(text: str) -> list[str]:
        tokens = concepts(text)
        sizes = range(shortest, longest + 1)
        return [" ".join(tokens[at : at + size]) for size in sizes for at in range(len(tokens) - size + 1)]

    return grams
