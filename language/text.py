"""Texts as models take them: checked, of one Unicode form, and what is said about those without a word."""

import unicodedata
from collections.abc import Iterable

from ..errors import FieldError

MOST_CHARACTERS = 10_000  # of one text; what lies beyond is not read
MOST_MARKS = 30  # combining ones on one letter, as in Unicode's stream-safe text (UAX 15): sorting them is quadratic
_HAN = ((0x4E00, 0x9FFF), (0x3400, 0x4DBF), (0x20000, 0x2FA1F))  # CJK unified ideographs and extensions


def clean(texts: Iterable[str]) -> list[str]:
    """The texts in Unicode's NFKC form, runs of white space as one space, cut at 10,000 characters.

    Of a run of combining marks the first 30 stay.

    Raises ValueError for what is no list of str.
    """
    if isinstance(texts, str):
        raise ValueError(f"texts is the str {texts[:20]!r}: allowed is a list of str")
    return [_clean(place, text) for place, text in enumerate(texts)]


def _clean(place: int, text: str) -> str:
    if not isinstance(text, str):
        raise FieldError(f"texts[{place}]", text, "a str")
    text = text[:MOST_CHARACTERS].encode(errors="replace").decode()  # a lone surrogate has no UTF-8
    text = text if text.isascii() else _few_marks(text)
    return " ".join(unicodedata.normalize("NFKC", text).split())[:MOST_CHARACTERS]


def _few_marks(text: str) -> str:
    marks = [unicodedata.combining(character) > 0 for character in text]
    if sum(marks) <= MOST_MARKS:
        return text
    kept, run = [], 0
    for character, mark in zip(text, marks, strict=True):
        run = run + 1 if mark else 0
        if run <= MOST_MARKS:
            kept.append(character)
    return "".join(kept)


def has_words(text: str) -> bool:
    """False for empty text, emoji, punctuation: nothing in it is a letter or digit."""
    return any(character.isalnum() for character in text)


def is_han(character: str) -> bool:
    return any(first <= ord(character) <= last for first, last in _HAN)


def language(text: str) -> str:
    """`zh` when a third or more of the letters are Han, `en` when nine tenths are Latin without accents, or `other`.

    By script alone: Chinese takes one character where English takes four or five, hence a third. A text without
    letters is `other`.
    """
    letters = [character for character in text if character.isalpha()]
    if not letters:
        return "other"
    if sum(map(is_han, letters)) * 3 >= len(letters):
        return "zh"
    return "en" if sum(character.isascii() for character in letters) * 10 >= 9 * len(letters) else "other"
