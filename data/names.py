"""Names of people in free text, English, Chinese and a few words of others: those that stand after words that give one.

"My name is", "I am", "Dear Mr", "Kind regards" and 我叫 tell; a name alone does not, as many words are like one.
"""

import re
from collections.abc import Iterator

_UPPER = r"(?![a-zß-ÿ\d_])[^\W\d_]"  # a capital, as far as a pattern of no country can say
_PART = rf"{_UPPER}[^\W\d_]{{0,20}}(?:['’-][^\W\d_]{{1,20}}){{0,2}}"
_LINK = r"(?:(?:van|von|de|der|den|da|dos|del|di|la|le|bin|al|el)\s){0,2}"
_ONE = rf"{_PART}(?:\s{_LINK}{_PART}){{0,3}}"
_TWO = rf"{_PART}(?:\s{_LINK}{_PART}){{1,3}}"
_END = r"(?![^\W\d_])"
_NO = (  # no names, though they begin with a capital
    r"(?!(?:I|I'm|The|A|An|Not|No|Very|So|Happy|Sad|Sorry|Sure|Glad|Pleased|Really|Still|Also|Just|Now|In|On|At|From|Your|My"
    r"|Our|This|That|It|Here|There|Extremely|Totally|Quite|Too|Dutch|German|French|English|British|American|Italian|Spanish"
    r"|Chinese|Japanese|Korean|Indian|Irish|Scottish|Welsh|Polish|Swedish|Danish|Norwegian|Finnish|Greek|Turkish|Russian"
    r"|Canadian|Australian|Austrian|Swiss|Belgian|Portuguese|Brazilian|Mexican|European|Asian|African|Muslim|Christian|Jewish"
    r"|Sir|Madam|Customer|Team|Service|Support|Seller|All|Everyone|Friend|Shop|Store|Mr|Mrs|Ms|Miss|Dr|Monday|Tuesday"
    r"|Wednesday|Thursday|Friday|Saturday|Sunday|January|February|March|April|June|July|August|September|October|November"
    r"|December|XL|XXL|XS|VIP|OK|UK|US|USA|EU|Amazon|Christmas|Great|Good|Best|Order|Regards|Thanks|Thank)(?![^\W\d_]))"
)
_WORD = (  # after "my name is" in small letters too
    r"(?!(?:not|on|in|the|a|an|wrong|misspel\w{1,5}|mis-spel\w{1,5}|spel\w{1,5}|written|incorrect\w{0,2}|missing|already"
    r"|still|correct|different|too|also|my|is|was|no|of|for|and|as|under|at|different|longer|printed|shown|there|here|never"
    r"|always|now|changed|listed)(?![^\W\d_]))"
)
_NAMED = (  # words right before a name
    r"(?i:\b(?:my (?:full |first |last )?name(?: is|['’]s|:)|mein name ist|ich hei(?:ß|ss)e|je m['’]appelle|me llamo"
    r"|mi chiamo|meu nome é|mi nombre es|mijn naam is|mon nom est|nazywam się|i am called|they call me)\s"
    r"|\b(?:full |customer )?name\s?[:=]\s?)"
)
_AM = r"(?i:\b(?:i am|i['’]m)\s)(?![^\W\d_][A-Z]{2})"
_ENDING = (  # the closing words of a letter
    r"(?i:\b(?:kind|best|warm|many)? ?regards[,!.]?\s{1,3}|\bsincerely,?\s{1,3}|\byours,?\s{1,3}|\bsigned,?:?\s"
    r"|\bgrüße,?\s|\bthanks[,!.]\s{1,3}|\bthank you[,!.]\s{1,3}|\bcheers[,!.]\s{1,3})"
)
_TO = (
    r"(?i:\b(?:(?:deliver|send|ship|post|give|sent|addressed)(?: it| them)? to|attn\.?:?|c/o|recipient:?"
    r"|consignee:?)\s)"
)
_TITLES = r"\b(?:Mr|Mrs|Ms|Miss|Dr|Prof|Herr|Frau|Madame|Monsieur|Señora?|Signora?)\.?\s"
_AFTER = [  # what stands before a name, and the name
    (_NAMED, rf"{_NO}{_ONE}"),
    (
        r"(?i:\bmy (?:full |first |last )?name(?: is|['’]s)\s)",
        rf"{_WORD}[a-z]{{2,15}}(?=[\s,.;!?]{{0,2}}(?:$|[,.;!?]|and\b))",
    ),
    (_AM, rf"{_NO}{_TWO}"),
    (_AM, rf"{_NO}{_PART}(?=\s?(?:[,.;!]|$)|\sand\s|\sfrom\s|\swriting\b)"),
    (r"(?i:\b(?:this is|it['’]s)\s)", rf"{_NO}{_ONE}(?=\s(?:writing|speaking|here|again|from)\b)"),
    (_TITLES, rf"{_NO}{_ONE}"),
    (_ENDING, rf"{_NO}{_ONE}(?=\s?[.!]?\s?(?:$|\n))"),
    (r"(?i:\bdear\s)", rf"{_NO}{_ONE}(?=\s?[,:!]|\s?$)"),
    (_TO, rf"{_NO}{_TWO}(?=\s?(?:[,;.\n]|$|\s?(?:at|in)\s))"),
]
_PATTERNS = [re.compile(f"{before}({name}){_END}") for before, name in _AFTER]

_SURNAMES = (
    "王李张刘陈杨黄赵吴周徐孙马朱胡郭何高林罗郑梁谢宋唐许韩冯邓曹彭曾肖田董袁潘于蒋蔡余杜叶程苏魏吕丁任沈姚卢姜崔钟谭陆汪范"
    "金石廖贾夏韦付方白邹孟熊秦邱江尹薛闫段雷侯龙史陶黎贺顾毛郝龚邵万钱严覃武戴莫孔向汤温康施文牛樊葛邢安齐易乔伍庞颜倪庄聂章"
    "鲁岳翟殷詹申欧耿关兰焦俞左柳甘祝包宁尚符舒阮柯纪梅童凌毕单季裴霍涂成苗谷盛曲翁冉骆蓝路游辛靳管柴蒙鲍华喻祁蒲房滕屈饶解牟"
    "艾尤阳时穆农司卓古吉缪简车项连芦麦褚娄窦戚岑景党宫费卜冷晏席卫米柏宗瞿桂全佟应臧闵苟邬边卞姬师和仇栾隋商刁沙荣巫寇桑郎甄丛"
    "仲虞敖巩明佘池查麻苑迟邝張劉陳楊黃趙吳孫馬羅鄭許韓馮鄧蕭葉呂鐘鍾譚陸賈蘇盧"
)
_GIVEN = r"(?![了的是在不我你他她很太都也就要有这那])[\u4e00-\u9fff]"
_CHINESE = rf"((?:欧阳|司马|上官|诸葛|[{_SURNAMES}])(?:{_GIVEN}){{1,2}})"
_CHINESE_ENDS = r"(?=[\s,，.。!！?？;；、:：(（]|$|\d|手机|电话)"
_CHINESE_AFTER = [
    re.compile(rf"(?:我叫|名叫|本人叫|我的名字是|我的名字叫|我名字是|名字叫|姓名(?:是|为|[:：])?)\s?{_CHINESE}"),
    re.compile(rf"(?:收件人|收货人|联系人|寄件人|收貨人|签收人|收件人姓名)(?:是|为|叫|[:：])?\s?{_CHINESE}"),
    re.compile(rf"(?:我是|这里是|本人){_CHINESE}{_CHINESE_ENDS}"),
]


def people(text: str) -> Iterator[tuple[int, int]]:
    """Start and end of each name in a text."""
    for pattern in [*_PATTERNS, *([] if text.isascii() else _CHINESE_AFTER)]:
        for match in pattern.finditer(text):
            yield match.span(1)
