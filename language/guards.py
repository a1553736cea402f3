"""What a message says beside its wish: that it is of somebody else's shop, and what it does not want."""

import re

from .concepts import concepts

_NOT = (
    r"\b(?:do not|don'?t|not|never|no need to|without) "
    r"(?:(?:want|wish|mean|intend|ask(?:ing)?|need|going|trying|looking|like|planning) )?(?:you )?(?:to |for )?"
    r"(?:a |the |my |any )?"
)
_NOT_ZH = r"(?:不是|不用|不必|无需|别|不)(?:想|要|打算|说|问|是){0,2}(?:申请)?"
_WISHES = {  # words for what an intent does
    "cancel_order": (r"cancel\w{0,9}", "取消|撤销|撤单"),
    "return_item": (r"(?:return\w{0,6}|send (?:it|this|them|that) back)", "退货|退回|退掉|换货"),
    "change_address": (r"chang\w{1,3} (?:my |the )?(?:\w{1,20} )?address", "改地址|换地址"),
}
_DENIED = {
    intent: re.compile(f"{_NOT}{english}|{_NOT_ZH}(?:{chinese})", re.I)
    for intent, (english, chinese) in _WISHES.items()
}
_SUPPOSED = re.compile(
    r"\b(?:if|when|in case) (?:i|we) (?:order|buy|purchase)\b|(?:如果|要是|现在)(?:下单|买|订)", re.I
)


def denied(text: str, intent: str) -> bool:
    """Whether a message says that it does not want what the intent does; of intents of ours alone."""
    pattern = _DENIED.get(intent)
    return bool(pattern and pattern.search(text.replace("’", "'")))


def supposed(text: str) -> bool:
    """Whether a message speaks of an order that is not there yet."""
    return bool(_SUPPOSED.search(text))


def elsewhere(text: str) -> bool:
    """Whether a message speaks of another shop, or of a service that no shop has."""
    return "<elsewhere>" in concepts(text)
