"""Any text has an answer: cleaning, languages by script, noise."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from storelab.language.noise import paraphrased, with_typos
from storelab.language.text import MOST_CHARACTERS, clean, has_words, language


@given(st.text(max_size=50))
def test_cleaning_is_idempotent(text):
    (once,) = clean([text])
    assert clean([once]) == [once]
    assert len(once) <= MOST_CHARACTERS
    assert once == once.strip()
    once.encode()  # no lone surrogates


def test_what_is_no_text_is_refused():
    with pytest.raises(ValueError, match=r"texts\[1\]: None is not allowed, expected a str"):
        clean(["fine", None])
    with pytest.raises(ValueError, match="texts is the str 'one text'"):
        clean("one text")


@pytest.mark.parametrize(
    ("text", "words"), [("", False), ("👍👍", False), ("?! ...", False), ("ok", True), ("好", True)]
)
def test_words(text, words):
    assert has_words(text) == words


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("where is my order", "en"),
        ("我的订单到哪了", "zh"),
        ("iPhone 的屏幕坏了", "zh"),
        ("где мой заказ", "other"),
        ("42", "other"),
    ],
)
def test_language(text, expected):
    assert language(text) == expected


@given(st.lists(st.text(max_size=30), max_size=5), st.floats(0, 1), st.integers(0, 9))
def test_typos_of_a_text_depend_on_nothing_but_its_row_and_seed(texts, rate, seed):
    changed = with_typos(texts, rate, seed)
    assert changed == with_typos(texts, rate, seed)
    assert changed[:2] == with_typos(texts[:2], rate, seed)
    assert with_typos(texts, 0.0, seed) == texts


def test_the_rate_of_typos_is_what_is_asked_for():
    text = "abcdefgh" * 2000
    (changed,) = with_typos([text], 0.05)
    dropped_and_doubled = abs(len(changed) - len(text)) / len(text)
    assert dropped_and_doubled < 0.01  # as many of one as of the other
    start, before = changed[:40], text[:40]
    assert 0.01 < sum(a != b for a, b in zip(before, start, strict=True)) / 40 <= 1 or start == before
    with pytest.raises(ValueError, match="rate: 2 is not allowed"):
        with_typos(["a"], 2)


def test_paraphrase():
    assert paraphrased(["I can't get my money", "质量非常好"]) == ["I cannot receive my money", "质量十分好"]
