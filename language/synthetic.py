"""Small made-up reviews, English and Chinese, so that everything runs without real data. No measure of quality."""

import numpy as np
import pandas as pd

from ..errors import FieldError

# Aspect -> what is said of it, from bad to good (1 to 5 stars), as English; then as Chinese.
_ENGLISH = {
    "size": ("does not fit at all", "runs too small", "fit is so so", "fits well", "fits perfectly"),
    "quality": ("the fabric tore at once", "the fabric is thin", "the quality is ok", "good quality", "superb quality"),
    "look": ("the colour is awful", "the colour is dull", "the look is plain", "a nice design", "a gorgeous design"),
    "price": ("a waste of money", "too expensive", "an average price", "worth the price", "great value for money"),
    "delivery": (
        "the parcel never arrived",
        "shipping was slow",
        "shipping was ok",
        "fast shipping",
        "arrived next day",
    ),
}
_CHINESE = {
    "size": ("尺码完全不对", "尺码偏小", "大小一般", "大小合适", "尺码非常合身"),
    "quality": ("面料一洗就坏了", "质量差", "质量一般", "质量不错", "做工非常好"),
    "look": ("颜色太难看", "颜色有点暗", "款式普通", "款式好看", "设计非常漂亮"),
    "price": ("太贵了浪费钱", "价格偏贵", "价格一般", "价格实惠", "性价比超高"),
    "delivery": ("快递一直没到", "物流太慢", "物流一般", "发货快", "物流神速第二天到货"),
}
_PHRASES = {
    "en": (_ENGLISH, ("I bought this last week", "for my daughter", ""), ", "),
    "zh": (_CHINESE, ("上周买的", ""), ","),
}


def synthetic_reviews(count: int, language: str = "en", items: int = 5, seed: int = 0) -> pd.DataFrame:
    """`count` reviews with text, stars (3 is seldom), positive, item, date (of 2024); quality falls by item.

    A review says two or three things; each is worth the stars it is given, one more or one less. Raises ValueError for
    a count or language that is not allowed.
    """
    if language not in _PHRASES:
        raise FieldError("language", language, f"one of {', '.join(_PHRASES)}")
    if count < 1 or items < 1:
        name, value = ("count", count) if count < 1 else ("items", items)
        raise FieldError(name, value, "a whole number from 1")
    said, openings, comma = _PHRASES[language]
    generator = np.random.default_rng(seed)
    rows = []
    for _ in range(count):
        item = int(generator.integers(items))
        good = generator.random() < 0.8 - 0.6 * item / max(1, items - 1)
        stars = int(generator.choice((4, 5) if good else (1, 2, 2, 3)))
        aspects = generator.permutation(list(said))[: generator.integers(2, 4)]
        worth = np.clip(stars + generator.integers(-1, 2, size=len(aspects)), 1, 5)
        parts = [str(generator.choice(openings)), *(said[name][n - 1] for name, n in zip(aspects, worth, strict=True))]
        date = pd.Timestamp("2024-01-01") + pd.Timedelta(days=int(generator.integers(366)))
        rows.append((comma.join(part for part in parts if part), stars, int(stars >= 4), f"item {item}", date))
    return pd.DataFrame(rows, columns=["text", "stars", "positive", "item", "date"])
