"""What reviews say about which aspect of an item, per item and over time.

A review is cut into clauses; a clause is about the aspects whose words are in it (a lexicon, English and Chinese), and
the classifier says how probably it is positive.
"""

import re
from collections.abc import Sequence

import numpy as np
import pandas as pd

from ..errors import FieldError
from .base import TextClassifier
from .text import clean, has_words

# Aspect -> words: English ones whole (with a plural's s; _ is a blank or a hyphen), Chinese ones anywhere, as it has no
# borders between words.
ASPECTS = {
    "size": "fit fits fitting fitted size sizes sized sizing small smaller large larger tight "
    "tighter loose looser petite snug baggy roomy length waist sleeve sleeves "
    "尺码 大小 合身 偏大 偏小 尺寸 腰 "
    "太大 太小 太紧 太松 太长 太短 大了 小了 紧了 长了 短了",
    "quality": "quality fabric material cheaply sturdy durable durability broke broken tore torn "
    "seam stitching flimsy well_made poorly_made badly_made ripped fell_apart falls_apart zipper "
    "质量 面料 做工 材质 结实 坏了 "
    "布料 线头 起球 掉色 褪色 开线 破洞 缩水 粗糙",
    "look": "color colour colored coloured look looked style styled stylish design "
    "designed pattern pretty beautiful beautifully gorgeous flattering unflattering ugly cute cut "
    "显瘦 显胖 掉色 颜色 款式 外观 样子 好看 漂亮 难看 设计",
    "comfort": "comfort comfortable comfortably comfy soft softer softness itchy scratchy warm "
    "warmth cozy cosy breathable uncomfortable 舒服 舒适 柔软 扎人 保暖 透气 闷热",
    "price": "price priced pricing pricey money worth expensive inexpensive overpriced bargain cost costs cheap "
    "cheaper sale value 价格 价钱 价位 便宜 昂贵 贵 性价比 划算 值得",
    "delivery": "deliver delivers delivered delivery deliveries shipping shipped ship arrive "
    "arrives arrived late courier package packaging parcel 物流 快递 发货 送货 包装 到货",
    "service": "service staff support refund refunded return returned returning returns replied "
    "客服 服务 态度 售后 退货 退款 店家 卖家",
}
# Words that hold one of those and mean something else.
_OTHERWISE = re.compile("贵公司|贵店|贵司|贵方|宝贵|尊贵|名贵|贵宾|设计师|腰果|撑腰")
_CUT = re.compile(r"(?<=[.!?;,:。!?;,、])\s*|\b(?:but|however|although|though|yet)\b|但是|不过|可是|然而", re.I)
_PATTERNS = {
    name: re.compile(
        "|".join(rf"\b{word.replace('_', '[ -]')}s?\b" if word.isascii() else word for word in words.split()), re.I
    )
    for name, words in ASPECTS.items()
}
_Z = 1.959964  # of a 95 % interval


def clauses(text: str) -> list[str]:
    """A text cut at punctuation and at words such as *but*; the parts hold all its words."""
    return [part.strip() for part in _CUT.split(text) if part and has_words(part)]


def aspects_of(clause: str) -> list[str]:
    """The aspects whose words are in a clause."""
    clause = _OTHERWISE.sub(" ", clause)
    return [name for name, pattern in _PATTERNS.items() if pattern.search(clause)]


def mentions(classifier: TextClassifier, texts: Sequence[str]) -> pd.DataFrame:
    """A row per review, aspect and clause: review (row of `texts`), aspect, clause, positive (probability).

    `classifier` has the labels 0 and 1. Reviews in a language that it does not read have no rows.
    """
    if classifier.labels != [0, 1]:
        raise ValueError(f"classifier has the labels {classifier.labels}: allowed are 0 and 1")
    rows = [
        (review, aspect, clause)
        for review, (text, readable) in enumerate(zip(clean(texts), classifier.readable(texts), strict=True))
        if readable
        for clause in clauses(text)
        for aspect in aspects_of(clause)
    ]
    table = pd.DataFrame(rows, columns=["review", "aspect", "clause"])
    positive = classifier.predict_proba(table["clause"])[:, 1] if rows else np.empty(0)
    return table.assign(positive=positive)


def report(classifier: TextClassifier, table: pd.DataFrame, by: str = "item", period: str = "") -> pd.DataFrame:
    """A row per value of the column `by`, aspect (`all`: whole reviews) and, with a pandas `period` ("M"), date.

    Columns: reviews (that say something about it), positive (their mean probability, clauses averaged within a
    review), low and high (Wilson's 95 % interval of the share), and the clause that says most for and against.
    """
    for name in ("text", by, *(["date"] if period else [])):
        if name not in table:
            raise ValueError(f"column {name!r} is missing: the table has {', '.join(map(str, table.columns))}")
    said = mentions(classifier, table["text"])
    texts = clean(table["text"])
    worded = [row for row, readable in enumerate(classifier.readable(texts)) if readable and has_words(texts[row])]
    whole = pd.DataFrame({"review": worded, "aspect": "all", "clause": [texts[row] for row in worded]})
    whole["positive"] = classifier.predict_proba(whole["clause"])[:, 1] if worded else np.empty(0)
    said = pd.concat([whole, said], ignore_index=True)
    keys = [by, "aspect"]
    said[by] = table[by].to_numpy()[said["review"].astype(int)]
    if period:
        said["date"] = pd.to_datetime(table["date"]).dt.to_period(period).to_numpy()[said["review"].astype(int)]
        keys.append("date")
    each = said.groupby([*keys, "review"], sort=True)["positive"].mean()
    groups = each.groupby(level=keys)
    result = pd.DataFrame({"reviews": groups.size(), "positive": groups.mean()})
    result["low"], result["high"] = wilson(result["positive"], result["reviews"])
    order = said.sort_values("positive", kind="stable").groupby(keys)["clause"]
    return result.assign(against=order.first(), praise=order.last()).reset_index()


def wilson(share, count):
    """Wilson's 95 % interval of a share of `count` (Wilson 1927); it stays within 0 and 1."""
    centre = (share + _Z**2 / (2 * count)) / (1 + _Z**2 / count)
    half = _Z / (1 + _Z**2 / count) * np.sqrt(share * (1 - share) / count + _Z**2 / (4 * count**2))
    return centre - half, centre + half


def picture(shares: pd.DataFrame, aspect: str = "all", most: int = 12) -> bytes:
    """A PNG of a `report`: each item's share of positive reviews with its interval; over time, a line per item.

    `most` items are shown, those with most reviews.
    """
    import io

    import matplotlib.dates as dates
    from matplotlib.figure import Figure

    by, rows = shares.columns[0], shares[shares["aspect"] == aspect]
    if rows.empty:
        raise FieldError("aspect", aspect, f"one of {', '.join(sorted(shares['aspect'].unique()))}")
    names = rows.groupby(by)["reviews"].sum().sort_values(ascending=False, kind="stable").index[:most]
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.add_subplot()
    for place, name in enumerate(names):
        own = rows[rows[by] == name]
        below, above = own["positive"] - own["low"], own["high"] - own["positive"]
        if "date" in rows:
            days = own["date"].dt.start_time
            axes.plot(days, own["positive"], marker="o", label=f"{name}")
            axes.fill_between(days, own["low"], own["high"], alpha=0.15)
        else:
            axes.errorbar(own["positive"], [place], xerr=[below, above], fmt="o", color="C0", capsize=3)
    if "date" in rows:
        axes.xaxis.set_major_formatter(dates.ConciseDateFormatter(axes.xaxis.get_major_locator()))
        axes.set(ylim=(0, 1), ylabel="positive, 95 % interval")
        axes.legend(fontsize="small")
    else:
        axes.set_yticks(range(len(names)), [f"{name}" for name in names])
        axes.invert_yaxis()
        axes.set(xlim=(0, 1), xlabel="share of positive reviews, 95 % interval")
    axes.set_title(f"{aspect}, by {by}")
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=120)
    return file.getvalue()
