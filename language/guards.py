"""What a message says beside its wish: that it is of somebody else's shop, and what it does not want."""

import re

from .concepts import concepts
from .text import clean

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


# -- orders to whoever runs the store ---------------------------------------------------------------------------------

_MACHINE = (  # to a machine, or in the place of who gives it orders
    r"\b(?:ignore|disregard|forget|override|bypass|skip)\b.{0,40}\b(?:instructions?|rules?|prompts?|guidelines|told|"
    r"polic(?:y|ies)|above|previous|before|earlier|prior)\b",
    r"\b(?:system|admin|administrator|developer|operator|root|assistant)\b ?\]?:|## ?(?:instruction|system|task)",
    r"\[(?:system|admin|inst|developer|operator)\b|<\|?/?(?:im_|system|reviews?|messages?|tool|inst|assistant|user)",
    r"\byou are (?:now|no longer|actually)\b|\b(?:maintenance|developer|debug|god|dan) mode\b|\bfrom now on,? you\b",
    r"\b(?:language model|llm|chat ?gpt|ai (?:model|assistant|agent|system)|the ai\b|dear (?:ai|bot)|chat ?bot)",
    r"\b(?:if|as) you(?:'re| are) an? (?:ai|assistant|agent|bot|model)\b",
    r"\b(?:system|hidden|secret|initial|original) (?:prompt|instructions?|message)\b",
    r"\byour (?:real|true|new|only) (?:task|goal|job|instructions?|objective)\b",
    r"\b(?:developer|admin|safety|security) (?:override|test|bypass)\b|\bnew (?:policy|instructions?|rules?|task)\b",
    r"\b(?:operator|owner|head office|management|ceo|headquarters) (?:has |have )?(?:authori[sz]ed|agreed|approved|"
    r"ordered|decided|wants you|says you|requires)\b|\bupdate from (?:head office|management|headquarters)",
    r"\bcustomers? (?:all )?want you to do\b|\byou must\b.{0,40}\b(?:set|call|use|run)\b",
    r"[\"'](?:name|tool|tool_name|function|arguments|parameters)[\"'] ?:|\b(?:set_|end_period|read_notes)\w{0,30}",
    r"\b(?:call|invoke|use|run|execute) (?:now )?(?:the )?(?:tool|function|[a-z]{2,20}_[a-z_]{2,20})\b",
    r"\b(?:before|when|while) (?:you(?: are)? )?(?:reply|answer|respond|summar)\w{0,5}\b",
    r"\b(?:rest of (?:this|the)|every) (?:conversation|chat|response|reply|answer)\b",
    r"\b(?:reply|respond|output|answer|print)(?:ing)? (?:only |just )?(?:with|exactly|nothing but)\b",
    r"\bdecode (?:and|then|it|this)\b|\b[a-z0-9+/]{24,90}={1,2}",  # base64
)
_LEVER = (
    r"(?:all |every |the |your |our |any |each ){0,4}(?:prices?|restock\w{0,4}|stock|inventory|dispatch|vans?|"
    r"marketing|deliver(?:y|ies)|budget|advertising|fraud|threshold|orders|ranking|recommendations?|everything|anything)\b"
)
_LEVERS = (  # a decision of the store moved to an end of its range
    rf"\b(?:set|put|raise|lower|cut|drop|change|reduce|increase|make|charge|keep|turn)\b.{{0,20}}\b{_LEVER}.{{0,30}}"
    r"(?:\b(?:zero|free|nothing|maximum|minimum|max|min|highest|lowest|double|half|off)\b|\d)",
    r"\b(?:stop|do not|don't|never|no longer|refuse|reject|accept|approve) (?:re)?(?:order(?:ing)?|restock(?:ing)?|"
    rf"send(?:ing)?|deliver(?:ing)?|ship(?:ping)?|every|all|any)\b.{{0,10}}\b(?:order|{_LEVER})",
    r"\bmake everything free\b|\border as much stock\b|\bsend no (?:vans?|parcels?)\b|\bhighest price for everything\b",
    rf"\bspend\b.{{0,30}}\b(?:largest|maximum|whole|all|entire|full|highest)\b.{{0,20}}\b{_LEVER}",
)
_CHINESE = (
    r"(?:忽略|忘掉|忘记|无视|不要理会).{0,12}(?:指令|要求|规则|提示|说明|以前|之前)",
    r"(?:系统|管理员|指令|总部)[^，。]{0,6}[：:】]|语言模型|机器人，|维护模式|开发者|已授权|给.{0,8}(?:ai|助手|模型)|助手，",
    r"真正的任务|要求你|你必须|老板已经同意|全部商品(?:免费|按)|(?:停止|不要再?|尽可能多)(?:进货|补货|派车)|接受所有订单",
    r"(?:把|将).{0,6}(?:价格|订单|预算|库存|restock|dispatch|fraud|marketing).{0,6}(?:设|提|降|花|当作|改|调)",
)
_INJECTED = re.compile("|".join(f"(?:{pattern})" for pattern in (*_MACHINE, *_LEVERS, *_CHINESE)), re.I)
_HIDDEN = re.compile("[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufeff\U000e0000-\U000e007f]")
_LOOKALIKE = str.maketrans("аеорсухіјѕкнтАВЕІКМНОРСТУХοαν", "aeopcyxijskhtABEIKMHOPCTYXoav")  # Cyrillic, Greek


def injected(text: str) -> bool:
    """Whether a text gives orders to whoever runs the store, as hidden instructions for a language model do.

    Rules alone: words that address a machine or stand in the place of its operator, and a decision of the store moved
    to an end of its range. They miss what is said otherwise, and in languages other than English and Chinese: how much,
    stands in docs/hostile_text.md.
    """
    seen = "".join(clean([_HIDDEN.sub("", text)])).replace("’", "'").translate(_LOOKALIKE)
    return bool(_INJECTED.search(seen))
