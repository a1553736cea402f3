"""Texts as people also write them: with typos, and said in other words. For measuring what accuracy is left."""

import re
from collections.abc import Sequence

import numpy as np

from ..errors import FieldError
from .text import is_han

_KEYS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
_NEIGHBOURS = {key: row[max(0, n - 1) : n] + row[n + 1 : n + 2] for row in _KEYS for n, key in enumerate(row)}
# Characters that Pinyin input confuses: of one sound.
_SAME_SOUND = (
    "的地得",
    "在再",
    "做作",
    "他她它",
    "是事",
    "吗嘛",
    "以已",
    "那哪",
    "买卖",
    "像象",
    "会回",
    "有又",
    "很狠",
)
_CONFUSED = {character: group.replace(character, "") for group in _SAME_SOUND for character in group}
# Rewriting that keeps the sense; the first of a pair as a regular expression.
_ENGLISH = (
    (r"\bcan't\b", "cannot"),
    (r"n't\b", " not"),
    (r"\bI'm\b", "I am"),
    (r"\bhow do I\b", "what is the way to"),
    (r"\bhow can I\b", "what do I do to"),
    (r"\bwhy\b", "for what reason"),
    (r"\bI want\b|\bI would like\b|\bI'd like\b", "I wish"),
    (r"\bbuy\b", "purchase"),
    (r"\bhelp\b", "assist"),
    (r"\bget\b", "receive"),
    (r"\bgreat\b", "excellent"),
    (r"\bbad\b", "poor"),
    (r"\blove\b", "adore"),
    (r"\bpretty\b|\bbeautiful\b", "lovely"),
    (r"\bcheap\b", "inexpensive"),
    (r"\bcomfortable\b", "comfy"),
    (r"\bbig\b", "large"),
    (r"\bwrong\b", "incorrect"),
    (r"\bstill\b", "even now"),
    (r"\bvery\b|\breally\b", "quite"),
)
_CHINESE = (
    ("非常|特别", "十分"),
    ("喜欢", "中意"),
    ("便宜", "实惠"),
    ("不好", "差"),
    ("好看", "漂亮"),
    ("觉得", "认为"),
    ("但是", "不过"),
    ("东西", "商品"),
    ("怎么", "如何"),
    ("快递", "物流"),
)
_RULES = [(re.compile(old, re.I), new) for old, new in (*_ENGLISH, *_CHINESE)]


def with_typos(texts: Sequence[str], rate: float, seed: int = 0) -> list[str]:
    """Each letter is, with probability `rate`, left out, doubled, swapped with the next, or hit on the key beside it.

    Han characters are left out, or replaced by one of the same sound where a short list has one.
    """
    if not 0 <= rate <= 1:
        raise FieldError("rate", rate, "a number from 0 to 1")
    return [_typos(text, rate, np.random.default_rng([seed, row])) for row, text in enumerate(texts)]


def _typos(text: str, rate: float, generator: np.random.Generator) -> str:
    hit = generator.random(len(text)) < rate
    kinds = generator.integers(4, size=len(text))
    characters = list(text)
    for place, character in enumerate(text):
        if not hit[place] or not character.isalpha():
            continue
        if is_han(character):
            characters[place] = _CONFUSED.get(character, " ")[0].strip()
        elif kinds[place] == 0:
            characters[place] = ""
        elif kinds[place] == 1:
            characters[place] = character * 2
        elif kinds[place] == 2 and place + 1 < len(text):
            characters[place], characters[place + 1] = characters[place + 1], characters[place]
        else:
            characters[place] = _NEIGHBOURS.get(character.lower(), character)[-1]
    return "".join(characters)


def paraphrased(texts: Sequence[str]) -> list[str]:
    """Contractions written out, words replaced by others of the same sense, by rules; many texts stay as they are."""
    result = []
    for text in texts:
        for pattern, new in _RULES:
            text = pattern.sub(new, text)
        result.append(text)
    return result
