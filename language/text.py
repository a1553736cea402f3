"""Texts as models take them: checked, of one Unicode form, and what is said about those without a word."""

import re
import unicodedata
from collections import Counter
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


# Scripts of one language each, or of a family that is as foreign: the start of its letters' Unicode names.
_SCRIPTS = {
    "CJK": "zh", "HIRAGANA": "ja", "KATAKANA": "ja", "HANGUL": "ko", "CYRILLIC": "ru", "GREEK": "el", "ARABIC": "ar",
    "HEBREW": "he", "THAI": "th", "DEVANAGARI": "hi",
}  # fmt: skip
# Common words of languages in Latin script, and what reviews say in them. A word of several lists is of no language.
_WORDS = {
    "en": "the is it its and this that not was i very my for with to of but have has had are you they in on be "
    "so would from just at great good love nice bad than too we am were will can what when where how your "
    "horrible fatal klasse "
    "if after really don't didn't doesn't isn't perfect like works work product quality order size fits "
    "fit one been did do does he she his me no as come son super toll war die also man an hat per con "
    "plus van met men dan ale jest na la bon pour dove mal del ma mi im den dem ware bin most more all "
    "out up ever never ordered plat dank tack min prix sole fin",
    "es": "muy que de la el los las es está esta este por para con una un me mi no lo le se y gusta gustó "
    "encanta encantó bueno buena buenos malo mala excelente calidad producto llegó pero más todo bien mal "
    "pésimo recomiendo donde dónde cuando pedido quiero mejor peor gracias hola rápido tarde nada como "
    "del al precio envío compra talla fue estoy son hermoso hermosa perfecto perfecta "
    "funciona funcionó roto rota pequeño "
    "bonito bonita lindo linda malísimo buenísimo fatal horrible recomendado contenta contento",
    "fr": "le la les est et je ne pas très trop bien bon bonne mal mauvais mauvaise produit qualité livraison "
    "merci avec pour sur dans une un des du que qui ce cette mais plus tout tous rapide déçu parfait "
    "commande où mon ma mes j'adore c'est il elle nous vous suis être taille prix reçu jamais recommande "
    "colis bonjour super magnifique cassé fonctionne déçue contente satisfait satisfaite nulle jolie joli horrible",
    "de": "der die das ist und ich nicht sehr ein eine einen mit für auf von zu im den dem es sie wir war hat "
    "gut gute guter schlecht schlechte qualität lieferung schnell schnelle leider aber auch nur wie wo "
    "mein meine bestellung danke immer wieder gerne super toll größe passt ware preis kaputt gefällt "
    "empfehlen zufrieden nie mehr bin perfekt funktioniert schön schöne klein groß bequem billig klasse enttäuscht",
    "it": "il lo la gli è e di che non molto un una per con del della sono ho ma più bene male buono buona "
    "ottimo ottima pessimo prodotto qualità spedizione veloce arrivato grazie consiglio tutto dove mio "
    "mia ordine prezzo taglia bellissimo bellissima bello bella perfetto perfetta rotto rotta piccolo piccola funziona "
    "pessima soddisfatto soddisfatta questo questa mi piace anche come",
    "pt": "o os as é e de que não muito um uma para com do da em no na eu meu minha mas mais bom boa ótimo "
    "ótima péssimo produto qualidade entrega chegou rápido gostei adorei recomendo obrigado onde pedido "
    "tudo bem mal este esta preço tamanho amei veio está foi "
    "perfeito perfeita bonito bonita lindo linda funciona péssima "
    "quebrado pequeno recomendado",
    "nl": "de het een en ik niet is zeer erg van met voor op dat die te maar ook goed goede slecht slechte "
    "kwaliteit levering snel bestelling waar mijn dank bedankt geen heel mooi mooie product prijs maat "
    "blij nooit weer aan zijn werkt kapot klein perfect mooie tevreden teleurgesteld",
    "pl": "nie jest to i w na z się bardzo dobry dobra dobrze zły jakość dostawa szybko polecam produkt ale "
    "gdzie mój moje zamówienie dziękuję jak dla super wszystko",
    "tr": "ve bir bu çok iyi kötü değil için ürün kalite kargo hızlı ama güzel teşekkürler nerede siparişim "
    "benim tavsiye ederim geldi",
    "id": "yang dan di ini itu tidak sangat bagus baik barang produk kualitas pengiriman cepat tapi saya dengan "
    "untuk terima kasih pesanan mana jelek",
    "sv": "och det är inte jag mycket bra dålig en ett med för på som att av kvalitet leverans snabb men "
    "beställning var min tack produkten",
}
_COUNT = Counter(word for words in _WORDS.values() for word in set(words.split()))
_OF = {word: name for name, words in _WORDS.items() for word in words.split() if _COUNT[word] == 1}
_SHARED = {word for word in _COUNT if _COUNT[word] > 1} - set(_WORDS["en"].split())  # of languages, but not of English


def spoken(text: str) -> str:
    """The language of a cleaned text, as far as it can be told from script and common words; "" where it can't.

    Words that are common in several languages, none of them English, and accents tell that a text is not English.
    """
    scripts = Counter()
    for character in text[:1000]:
        if character.isalpha():
            name = unicodedata.name(character, "").split(" ")[0]
            scripts["zh" if is_han(character) else _SCRIPTS.get(name, "latin" if name == "LATIN" else "")] += 1
    if not scripts:
        return ""
    if scripts["ja"]:  # Japanese has Han characters too
        return "ja"
    if language(text) == "zh":
        return "zh"
    (most, _), *_ = scripts.most_common(1)
    if most != "latin":
        return most
    words = re.findall(r"[^\W\d_]{1,40}(?:'[^\W\d_]{1,9})?", text[:1000].lower())
    found = Counter(_OF[word] for word in words if word in _OF)
    accents = sum(not word.isascii() and word not in _OF for word in words)
    shared = sum(word in _SHARED for word in words)
    foreign = sum(count for name, count in found.items() if name != "en") + accents + shared
    if foreign <= found["en"]:
        return "en" if found["en"] else ""
    names = [name for name, _ in found.most_common() if name != "en"]
    return names[0] if names else "other"
