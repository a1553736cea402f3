"""Personal data in free text, English and Chinese: found, and masked as `[email]`, `[phone]`, `[card]`, `[id]`,
`[address]`, `[name]`.

A number is told by its form, its check digits (Luhn, ISO 7064, IBAN, from python-stdnum) and the words before it: "tel"
makes a phone of ten digits, "order" leaves them an order's number. Every pattern is bounded, so that the time is in
proportion to the text. Names of people are told by the words before them alone (`names`).
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from .names import people

KINDS = ("email", "phone", "card", "id", "address", "name")
BEFORE = 40  # characters before a number whose words say what it is

_WIDE = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)} | {0x3000: 0x20, 0xA0: 0x20, 0x202F: 0x20}
_WIDE |= dict.fromkeys((*range(0x2010, 0x2016), 0x2212), 0x2D)  # hyphens, dashes and the minus sign
_HAN = "\u3400-\u4dbf\u4e00-\u9fff"
_KANA = "\u3040-\u30ff\uac00-\ud7af"
_EDGE = rf"(?<![^\W_{_HAN}{_KANA}])"  # no letter or digit before it, but of writing that has no blanks
_DIGIT = r"(?<!\d)(?<!\d[-/ .,])"  # not within a longer number
_MORE = r"(?![\d])(?![.,:/-]\d)"

_INNER = r"\s?(?:x|ext\.?|-|转)\s?\d{1,5}"  # the number within a house

_EMAIL = re.compile(
    r"(?<![A-Za-z0-9.+_%-])[A-Za-z0-9\u00c0-\u024f._%+'-]{1,64}"
    r"(?:\s?@\s?|\s?[\[({<](?:at|AT|@)[\])}>]\s?|\s(?:at|AT)\s(?=[A-Za-z0-9-]{1,63}\s(?:dot|DOT)\s))"
    r"(?:[A-Za-z0-9\u00c0-\u024f-]{1,63}(?:\.|\s?[\[({<](?:dot|DOT|\.)[\])}>]\s?|\s(?:dot|DOT)\s)){1,6}"
    r"(?:xn--[A-Za-z0-9]{1,59}|[A-Za-z]{2,24})(?![A-Za-z0-9])"
)
_CLUES = {  # without which a text holds nothing of the kind
    "email": re.compile(r"[@\uff20]|dot", re.I),
    "phone": re.compile(r"(?:\d\D{0,3}){7}"),
    "card": re.compile(r"(?:\d\D?){14}"),
    "id": re.compile(r"(?:\d\D{0,3}){4}"),
    "address": re.compile(r"\d"),
}
_CHINESE_CLUE = re.compile(r"[号號弄巷栋幢座址住]|单元|[幺一][三四五六七八九]")


def _number(body: str) -> re.Pattern:
    """A pattern of what stands alone: not within a longer number, a price or a date."""
    return re.compile(f"{_DIGIT}{_EDGE}(?:{body}){_MORE}")


# Words before a number, next to it but for a few others.
_NO_ID = (
    r"orders?|invoices?|tracking|parcels?|skus?|items?|models?|parts?|refs?|references?|tickets?|cases?|isbn|ean|upc|asin"
    r"|serials?|versions?|barcodes?|batch|coupons?|codes?|products?|articles?|rma|awb|shipments?|imei|vat"
)
_NO_ID_ZH = (
    "订单|單號|单号|运单|快递单|货号|型号|商品编?号|编号|条码|条形码|序列号|批号|版本|券码|兑换码|发票|物流|税号"
)
_END = r"(?:\s?(?:nos?|numbers?|num|nr|#|code|id|号码?|為|为|是|is|was|are|:|\.|=|-|,|\(|\"|'|of|my|the)){0,4}\s{0,3}$"


def _words(english: str, chinese: str = "") -> re.Pattern:
    """A pattern of words right before a number, but for words such as `number is`."""
    either = rf"\b(?:{english})" + (f"|(?:{chinese})" if chinese else "")
    return re.compile(rf"(?:{either}){_END}", re.I)


_OTHER = _words(_NO_ID, _NO_ID_ZH)
_CALL = re.compile(
    r"(?:\b(?:phone|tel|telephone|call(?:ed|ing)?|text(?:ed)?|mobile|cell|whatsapp|contact|fax|sms|reach|dial|ring|viber)\b"
    r"|电话|手机|联系|致电|拨打|短信|号码是?|座机|来电|\b(?:telefon\w{0,3}|tel[eé]fono?|t[eé]l[eé]phone|num[eé]ro|n[uú]mero"
    r"|nummer|handy|celular|cellulare|portable|m[oó]vil|rufen|anrufen|appele[rz]|ll[aá]me\w{0,2}|bel(?:len)?)\b"
    r"|電話|携帯|전화|번호|тел\w{0,6}|моб\w{0,8})[^\d\n]{0,25}$",
    re.I,
)
_CARD = re.compile(
    r"(?:\b(?:cards?|visa|mastercard|amex|american express|discover|maestro|unionpay)\b|卡号|银行卡|信用卡|储蓄卡|银联)"
    r"[^\d\n]{0,25}$",
    re.I,
)
_ID = re.compile(
    r"(?:\b(?:ssn|social security|national id|id card|id number|id no|identity|national insurance|ni number|nino|nhs"
    r"|passport|driv(?:er'?s|ing) licen[cs]e|tax id|itin|resident id|dni|codice fiscale|pesel|cpf|aadhaa?r|bsn"
    r"|steuer-?id(?:entifikations?nummer)?|personnummer|personnr|hetu|henkilötunnus|cpr-?nummer|burgerservicenummer|nric|curp"
    r"|s[eé]curit[eé] sociale|rodn[eé] č[ií]slo|rijksregisternummer|ahv-?nummer|ausweisnummer|personalausweis|my number"
    r"|personal (?:identity )?number|social insurance number|tax file number|pps number|id-nummer|tc kimlik)\b"
    r"|マイナンバー|주민등록번호|身份证|身分证|证件|护照|驾驶证|驾照|社保)"
    r"[^\d\n]{0,25}$",
    re.I,
)


_ID_SHORT = re.compile(r"\b(?:NIE|NIF|SIN|TFN|CPR|EGN|CNP|NIR|RUT|PAN|RFC|AHV|AVS|PPS|IRD|ID)\b[^\d\n]{0,25}$")


@dataclass(frozen=True)
class Found:
    """A place in a text, `text[start:end]`."""

    kind: str  # one of KINDS
    start: int
    end: int


def _digits(text: str) -> str:
    return "".join(character for character in text if character.isdigit())


def _is_card(text: str, before: str) -> bool:
    from stdnum import luhn

    number = _digits(text)
    if _OTHER.search(before):
        return False
    issued = re.match(r"4|5[1-5]|2[2-7]|6011|62|64[4-9]|65|3[47]|35|36|38|30[0-5]|50|5[6-9]|6[0-9]", number) is not None
    return bool(_CARD.search(before)) or (issued and luhn.is_valid(number))


def _is_resident(text: str, before: str) -> bool:
    """An 18-digit id with its check digit, or whatever stands after the words for one."""
    from stdnum.iso7064 import mod_11_2

    number = re.sub(r"[\s-]", "", text).upper()
    return _identified(text, before) or mod_11_2.is_valid(number)


_NATIONAL = {  # python-stdnum's module -> the form in which it tells by itself, with its check digits
    "es.dni": r"\d{8}-?[A-Z]", "es.nie": r"[XYZ]-?\d{7}-?[A-Z]", "br.cpf": r"\d{3}\.\d{3}\.\d{3}-\d{2}",
    "it.codicefiscale": r"[A-Z]{6}\d{2}[A-EHLMPRST]\d{2}[A-Z]\d{3}[A-Z]", "ch.ssn": r"756\.\d{4}\.\d{4}\.\d{2}",
    "kr.rrn": r"\d{6}-[1-8]\d{6}", "mx.curp": r"[A-Z]{4}\d{6}[HM][A-Z]{5}[A-Z0-9]\d",
    "fi.hetu": r"\d{6}[-+A]\d{3}[A-Z0-9]",
    "fr.nir": r"[12] ?\d{2} ?\d{2} ?\d{2} ?\d{3} ?\d{3} ?\d{2}", "ie.pps": r"\d{7}[A-W][A-IW]?",
    "be.nn": r"\d{2}\.\d{2}\.\d{2}-\d{3}\.\d{2}", "in_.pan": r"[A-Z]{3}[ABCFGHLJPT][A-Z]\d{4}[A-Z]",
}  # fmt: skip


def _is_national(text: str, before: str) -> bool:
    """An id of a country's with its check digits, not after a word such as item."""
    from importlib import import_module

    if _OTHER.search(before):
        return False
    forms = [name for name, form in _NATIONAL.items() if re.fullmatch(form, text)]
    return any(import_module(f"stdnum.{name}").is_valid(text) for name in forms)


def _is_iban(text: str, _before: str) -> bool:
    from stdnum import iban

    return iban.is_valid(text)


def _no_other(_text: str, before: str) -> bool:
    return not _OTHER.search(before)


def _is_long(text: str, _before: str) -> bool:
    return (8 if "+" in text else 11) <= len(_digits(text)) <= 17


def _is_rung(text: str, before: str) -> bool:
    return 7 <= len(_digits(text)) <= 13 and _called(text, before)


def _called(_text: str, before: str) -> bool:
    return bool(_CALL.search(before)) and not _OTHER.search(before)


def _identified(_text: str, before: str) -> bool:
    return bool(_ID.search(before) or _ID_SHORT.search(before))


_NOT_GIVEN = re.compile("BG|GB|NK|KN|TN|NT|ZZ|[DFIQUV]|.[DFIQUVO]")  # how no British insurance number begins


def _is_insured(text: str, before: str) -> bool:
    """In blocks or after its name: without them it may be an article's number."""
    in_blocks = " " in text and not _NOT_GIVEN.match(text.upper())
    return _identified(text, before) or (in_blocks and _no_other(text, before))


_STREET = (
    "Street|St|Avenue|Ave|Road|Rd|Lane|Ln|Drive|Dr|Boulevard|Blvd|Court|Ct|Place|Pl|Square|Sq|Way|Terrace|Ter|Close"
    "|Crescent|Cres|Highway|Hwy|Parkway|Pkwy|Row|Mews|Gardens|Gdns|Grove|Hill|Walk|Circle|Cir|Trail|Loop|Broadway|Quay|Wharf"
)
_UNIT = r"(?:Apt|Apartment|Suite|Ste|Unit|Flat|Floor|Fl|Room|Rm|Building|Bldg|#)\.?\s?#?[A-Za-z0-9-]{1,6}"
_CODE = (  # American, Australian, Canadian, British
    r"(?:,?\s{1,2}[A-Z]{2}\s{1,2}\d{5}(?:-\d{4})?|,?\s{1,2}\d{5}(?:-\d{4})?|,?\s[A-Z]{2,3}\s\d{4}"
    r"|,?\s(?:[A-Z]{2}\s)?[A-Z]\d[A-Z]\s?\d[A-Z]\d|,?\s{1,2}[A-Z]{1,2}\d[A-Z0-9]?\s?\d[A-Z]{2})(?![A-Za-z0-9])"
)
_REST = (  # what may follow a street: a unit, a town, a code
    rf"(?:,?\s{{1,2}}{_UNIT})?(?:,\s?[A-Z][A-Za-z.'-]{{1,20}}(?:\s[A-Z][a-z.'-]{{1,20}}){{0,2}}){{0,3}}"
    rf"(?:{_CODE})?(?![A-Za-z0-9])"
)
_BOUGHT = re.compile(
    r"\b(?:bought|buy|ordered|order|got|want|need|of|copies|pairs?|x|size|only|about|page|top|these)\s$", re.I
)
_LIVES = re.compile(
    r"\b(?:address|lives?|living|ship|shipped|deliver|delivered|delivery|send|sent|moved|reside|located|post|home|at|to)\b"
    r"[^\d\n]{0,25}$",
    re.I,
)


def _is_street(_text: str, before: str) -> bool:
    return not _BOUGHT.search(before)


def _is_lower_street(_text: str, before: str) -> bool:
    return bool(_LIVES.search(before))


_NOT_NAMES = (
    "the|a|an|of|on|in|at|to|from|my|your|this|that|down|up|off|per|and|or|blocks?|minutes?|miles?|km|days?|hours?|weeks?"
    "|times?|stars?|items?|pieces?|pairs?|sizes?|walking|running|people|different|more|side|main"
)
_FIRST = r"(?:(?:Flat|Unit|Apt|Apartment|Suite)\.?\s?[A-Za-z0-9-]{1,5},?\s)?"
_PATTERNS: list[tuple[str, re.Pattern, Callable[[str, str], bool] | None]] = [
    ("email", _EMAIL, None),
    (
        "id",
        re.compile(rf"{_EDGE}[A-Z]{{2}}\d{{2}}(?:\s?[A-Z0-9]{{4}}){{2,7}}(?:\s?[A-Z0-9]{{1,3}})?(?![A-Za-z0-9])"),
        _is_iban,
    ),
    (
        "id",
        re.compile(
            rf"{_DIGIT}{_EDGE}[1-9]\d{{5}}[\s-]?(?:18|19|20)\d{{2}}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])[\s-]?\d{{3}}[\dXx]"
            r"(?![A-Za-z0-9])"
        ),
        _is_resident,
    ),
    (
        "id",
        _number(r"[1-9]\d{7}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])\d{3}"),
        _identified,
    ),
    (
        "card",
        re.compile(
            rf"{_DIGIT}{_EDGE}(?:\d{{4}}([ -])\d{{4}}\1\d{{4}}\1\d{{4}}(?:\1\d{{3}})?|\d{{4}}([ -])\d{{6}}\2\d{{4,5}}"
            rf"|\d{{6}}[ -]\d{{13}}|\d{{14,19}}){_MORE}"
        ),
        _is_card,
    ),
    ("id", _number(r"(?!666|000)\d{3}([- ])(?!00)\d{2}\1(?!0000)\d{4}"), _no_other),
    ("id", _number(r"\d{9}"), _identified),
    (
        "id",
        re.compile(rf"{_EDGE}[A-Za-z]{{2}} ?\d{{2}} ?\d{{2}} ?\d{{2}} ?[A-Da-d](?![A-Za-z0-9])"),
        _is_insured,
    ),
    ("id", re.compile(rf"{_EDGE}[A-Z]{{1,2}}\d{{6}}\([0-9A]\)"), None),  # Hong Kong
    ("id", re.compile(rf"{_EDGE}\d{{3}} \d{{3}} \d{{4}}{_MORE}"), _identified),  # of the NHS
    ("id", re.compile(rf"{_EDGE}(?:{'|'.join(_NATIONAL.values())})(?![A-Za-z0-9])"), _is_national),
    ("id", _number(r"\d{2,7}(?:[ ./-]\d{2,7}){1,4}"), _identified),
    # passports and licences
    ("id", re.compile(rf"{_EDGE}(?=[A-Za-z]{{0,8}}\d)[A-Za-z0-9]{{6,18}}(?![A-Za-z0-9])"), _identified),
    (
        "phone",  # of any country
        re.compile(
            rf"{_EDGE}(?<!\d)(?:\+|(?<!\d[-/ .,])00(?=[1-9]))\s?\d{{1,3}}"
            rf"[\s.-]?(?:\(0?\d{{1,4}}\)[\s.-]?)?\d{{1,5}}(?:[\s.-]?\d{{2,5}}){{1,4}}{_MORE}"
        ),
        _is_long,
    ),
    ("phone", _number(r"(?:86[ -]?)?1[3-9]\d([ -]?)\d{4}\1\d{4}"), _no_other),  # Chinese mobile
    ("phone", _number(rf"(?:\(0\d{{2,3}}\)\s?|0\d{{2,3}}[- ]\s?)\d{{3,4}}[ -]?\d{{4}}(?:{_INNER})?"), _no_other),
    ("phone", _number(r"[48]00[ -]\d{3}[ -]\d{4}"), _no_other),
    (
        "phone",  # North American
        _number(rf"(?:1[-. ])?(?:\([2-9]\d{{2}}\)\s?|[2-9]\d{{2}}[-. ])\d{{3}}[-. ]\d{{4}}(?:{_INNER})?"),
        _no_other,
    ),
    ("phone", _number(r"(?:\(0\d{2,4}\)\s?|0\d{2,4}[ -])\d{3,4}(?:[ -]?\d{3,4})?"), _no_other),
    ("phone", _number(r"0[1-9](?:[ .-]\d{2}){4}|\(\d{2}\)\s?9?\d{4}-\d{4}"), _no_other),  # French, Brazilian
    ("phone", _number(r"(?:\(0?\d{1,4}\)\s?)?\d{2,7}(?:[ ./-]\d{2,7}){1,4}"), _is_rung),
    ("phone", _number(r"0\d[ -]\d{4}[ -]?\d{4}|07\d{9}"), _no_other),  # British
    ("phone", _number(r"00\d{8,14}|0\d{9,11}|[1-9]\d{9,10}|[2-9]\d{2,3}[- .]?\d{4}"), _called),
    (
        "address",
        re.compile(
            rf"{_EDGE}{_FIRST}\d{{1,5}}[A-Za-z]?(?:-\d{{1,5}})?,?\s(?:(?:N|S|E|W|NE|NW|SE|SW|North|South|East|West)\.?\s)?"
            rf"(?:(?:[A-Z][A-Za-z'.-]{{0,20}}|\d{{1,3}}(?:st|nd|rd|th))\s){{1,4}}(?:{_STREET})\b\.?{_REST}"
        ),
        _is_street,
    ),
    (
        "address",
        re.compile(
            rf"{_EDGE}\d{{1,5}}[A-Za-z]?\s(?:(?!(?:{_NOT_NAMES})\b)[a-z'.-]{{2,20}}\s){{1,3}}"
            r"(?:street|st|avenue|ave|road|rd|lane|boulevard|blvd|drive|court|crescent)\b"
            rf"(?:,?\s{_UNIT})?(?:(?:,?\s[A-Za-z]{{3,20}}){{0,2}}(?i:{_CODE})"
            r"|(?:,?\s[A-Za-z]{3,20}){1,2}(?=\s?[.,;!?]|\s?$))?(?![A-Za-z0-9])"
        ),
        _is_lower_street,
    ),
    ("address", re.compile(rf"{_EDGE}(?:P\.?\s?O\.?|Post Office)\s?Box\s\d{{1,6}}{_REST}", re.I), None),
    (
        "address",  # a British code; capitals, as sizes and models are like it
        re.compile(
            rf"{_EDGE}(?:[A-Z]{{1,2}}\d[A-Z]|[A-Z]{{1,2}}\d{{1,2}})\s\d(?![GTMK]B)[ABD-HJLNP-UW-Z]{{2}}(?![A-Za-z0-9])"
        ),
        _no_other,
    ),
]

_NUMBER = r"[0-9A-Za-z一二三四五六七八九十百〇零]"
_HOUSE = re.compile(
    rf"(?:路|街|道|巷|胡同|里|村|屯|[東西南北东]段)\s?{_NUMBER}{{1,6}}(?:[-之]\d{{1,4}})?\s?(?:号|號|弄|巷)"
    rf"|(?:小区|花园|家园|新村|公寓|大厦|广场|中心|[苑园城庄村院])\s?(?:{_NUMBER}{{1,4}}\s?(?:期|区)\s?)?{_NUMBER}{{1,5}}\s?(?:号楼|栋|幢|座|单元|号院)"
)
_PARTS = re.compile(
    rf"[\s,，]{{0,2}}(?:[A-Za-z{_HAN}]{{0,8}}(?:小区|花园|家园|公寓|大厦|广场|中心|[苑园城庄村院])\s?)?"
    rf"{_NUMBER}{{1,5}}\s?(?:号楼|号院|栋|幢|座|单元|层|楼|室|房|户|号)(?:\s?\d{{2,5}}(?!\d|[-/.年月])[室房户]?)?"
    rf"|[{_HAN}]{{2,8}}(?:大学|学院|医院|学校|中学|小学|公司|大厦|广场|中心|小区|花园)"
)
_WRITTEN = re.compile(
    r"(?:收货地址|收件地址|家庭住址|地址|住址|住所)\s?(?:[::]|是|为|在|改成|改到|改为)\s?([^,，。;；!！?？\n]{4,60})"
)
_LED = re.compile(
    r"(?:地址|住址|我们?家?|人|他|她|请|麻烦)?(?:[::]|住在|住|寄到|寄往|寄给|送到|送去|发到|发往|搬到|改成|改到|在|到|是|为)"
)
_PLACE = re.compile(r"[省市区县镇乡村路街道巷号栋室]")
_FREE = re.compile(rf"[\s0-9A-Za-z{_HAN}]{{0,36}}$")
_MOBILE = re.compile(
    r"(?<![〇零一二三四五六七八九幺])[一幺][三四五六七八九][〇零一二三四五六七八九幺]{9}(?![〇零一二三四五六七八九幺])"
)


def _chinese(text: str) -> Iterable[Found]:
    """Addresses with a house or a flat, and what stands after the word for one; mobiles written out in characters."""
    for match in _MOBILE.finditer(text):
        yield Found("phone", match.start(), match.end())
    for match in _WRITTEN.finditer(text):
        if len(_PLACE.findall(match[1])) > 1:
            yield Found("address", match.start(1), match.end(1))
    for match in _HOUSE.finditer(text):
        free = _FREE.search(text, max(0, match.start() - 36), match.start())
        start = free.start() if free else match.start()
        for led in _LED.finditer(text, start, match.start()):
            start = led.end()
        start += len(text[start : match.start()]) - len(text[start : match.start()].lstrip())
        end = match.end()
        for _ in range(5):
            part = _PARTS.match(text, end)
            if part is None:
                break
            end = part.end()
        yield Found("address", start, end)


def find(text: str) -> list[Found]:
    """Return the personal data in a text, by place, none within another; the same text always gives the same."""
    plain = text if text.isascii() else text.translate(_WIDE)  # as long as the text
    there = {kind for kind, clue in _CLUES.items() if clue.search(plain)}
    found = []
    for kind, pattern, is_one in _PATTERNS:
        if kind not in there:
            continue
        for match in pattern.finditer(plain):
            start, end = match.span()
            before = plain[max(0, start - BEFORE) : start]
            if is_one is None or is_one(match[0], before):
                found.append(Found(kind, start, end))
    found += [Found("name", start, end) for start, end in people(plain)]
    if not plain.isascii() and _CHINESE_CLUE.search(plain):
        found += _chinese(plain)
    return _apart(found)


def _apart(found: list[Found]) -> list[Found]:
    """Of places that overlap, the one that begins first, then the longer one, then the one found first."""
    chosen: list[Found] = []
    for place in sorted(found, key=lambda one: (one.start, -one.end)):
        if not chosen or place.start >= chosen[-1].end:
            chosen.append(place)
        elif place.end > chosen[-1].end:
            chosen[-1] = Found(chosen[-1].kind, chosen[-1].start, place.end)
    return chosen


def mask(text: str) -> str:
    """Return a text with `[kind]` in the place of what `find` finds. What is masked already stays as it is."""
    parts, at = [], 0
    for place in find(text):
        parts += [text[at : place.start], f"[{place.kind}]"]
        at = place.end
    return "".join([*parts, text[at:]]) if parts else text


def mask_all(texts: Iterable) -> tuple[list, str]:
    """Return texts masked, and a note with what was masked and how often; values that are no text stay as they are."""
    masked, counts = [], Counter()
    for text in texts:
        places = find(text) if isinstance(text, str) else []
        counts.update(place.kind for place in places)
        masked.append(mask(text) if places else text)
    told = ", ".join(f"{counts[kind]} {kind}" for kind in KINDS if counts[kind])
    return masked, f"personal data is masked: {told}" if told else ""
