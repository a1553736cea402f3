"""Sentiment and tickets without learning: a lexicon with negation, and keywords. What a classifier has to beat.

The words are a store's common ones, not those of the grammar that writes the texts. NumPy alone.
"""

import re
from collections.abc import Sequence

import numpy as np

from .text import clean, is_han

_ENGLISH = {
    2: "excellent perfect love wonderful amazing fantastic superb brilliant awesome best bargain flawless gorgeous",
    1: "good great nice happy like recommended worth well fine fast quick sturdy solid pleasant decent cheap",
    -1: "bad poor slow late expensive thin disappointed disappointing dear delay worse rough weak dull overpriced",
    -2: "awful terrible horrible useless worst broke broken junk garbage hate regret waste refund rubbish faulty bin",
}
_CHINESE = {
    2: "完美 太棒 最好 爱不释手 强烈推荐 物超所值 五星 超出预期 惊喜",
    1: "好 不错 满意 喜欢 推荐 快 实惠 划算 漂亮 合适 值得 结实 舒服 准时 便宜",
    -1: "差 慢 贵 失望 薄 粗糙 一般 后悔 晚 小了 难看 麻烦",
    -2: "垃圾 糟糕 坏 破 差评 退款 骗 坑 浪费 烂",
}
_CUTS = (-1.2, -0.4, 0.2, 1.2)  # of polarity, between 1, 2, 3, 4 and 5 stars
_NEGATIONS = frozenset(["not", "no", "never", "without", "hardly", "nothing", "cannot", "don't", "didn't", "isn't"])
_TURNS = frozenset(("but", "however", "yet"))
_WORTH = {word: value for value, words in _ENGLISH.items() for word in words.split()}
_HAN = {word: value for value, words in _CHINESE.items() for word in words.split()}
_PATTERN = re.compile("|".join(sorted(_HAN, key=len, reverse=True)))
_TURN_HAN = re.compile("但是|但|不过|可是|就是")
_KEYWORDS = {  # of the reasons for tickets
    "late": r"late\b|where is my (?!refund)|arriv|wait|track|courier|shipp|deliver|物流|快递|到哪|没到|发货|晚了|等",
    "return": "return|(?:send|give) .{0,60} back|not fit|changed my mind|too (?:small|big)|"
    "退货|退掉|能退|想退|不合适|寄回",
    "refund": r"refund|money|reimburs|paid|pay\b|bank|owe|退款|退钱|钱|打款|到账",
    "damaged": "broke|damag|defect|fault|crack|scratch|stopped working|not work|hole|torn|replace|坏|破|裂|碎|瑕疵|刮",
}
_RULES = {reason: re.compile(words, re.I) for reason, words in _KEYWORDS.items()}


def polarity(text: str) -> float:
    """Weighted mean of the worth of the lexicon's words in a cleaned text, -2 to 2; 0 where it has none.

    A negated word counts as half its opposite; what follows "but" counts double.
    """
    words = _chinese(text) if any(map(is_han, text)) else _english(text)
    return sum(worth * weight for worth, weight in words) / sum(weight for _, weight in words) if words else 0.0


def _english(text: str) -> list[tuple[float, float]]:
    """Worth and weight of each word that the lexicon has."""
    words, weight, reach = [], 1.0, 0  # reach: words that a negation still turns round
    for word in re.findall(r"[a-z']+|[.;!?,]", text.lower()):
        if word in _WORTH:
            words.append((_WORTH[word] * (-0.5 if reach else 1.0), weight))
        weight = 2.0 if word in _TURNS else weight
        reach = 3 if word in _NEGATIONS else 0 if word in ".;!?," else max(0, reach - 1)
    return words


def _chinese(text: str) -> list[tuple[float, float]]:
    words = []
    for place, clause in enumerate(_TURN_HAN.split(text)):
        for match in _PATTERN.finditer(clause):
            negated = re.search("[不没无别][太怎么会是够]?$", clause[max(0, match.start() - 2) : match.start()])
            words.append((_HAN[match[0]] * (-0.5 if negated else 1.0), 2.0 if place else 1.0))
    return words


def stars(texts: Sequence[str]) -> np.ndarray:
    """Stars (N,), 1 to 5, by polarity."""
    return 1 + np.searchsorted(_CUTS, [polarity(text) for text in clean(texts)])


def reasons(texts: Sequence[str]) -> list[str]:
    """Per ticket the reason with most keywords, "" where two have as many or none has any: that is for a person."""
    chosen = []
    for text in clean(texts):
        hits = sorted(((len(words.findall(text)), reason) for reason, words in _RULES.items()), reverse=True)
        chosen.append(hits[0][1] if hits[0][0] > hits[1][0] else "")
    return chosen
