import secrets

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from storelab.data import pseudonymise
from storelab.data.privacy import default_key

KEY = b"0123456789abcdef"


def test_rfc_4231_vector():
    # RFC 4231, test case 1
    assert pseudonymise(pd.Series(["Hi There"]), b"\x0b" * 20).tolist() == ["b0344c61d8db3853"]


@given(st.lists(st.none() | st.text(min_size=1), max_size=20))
def test_equal_ids_and_only_those_share_a_pseudonym(ids):
    series = pd.Series(ids, dtype=object, name="customer", index=range(5, 5 + len(ids)))
    hashed = pseudonymise(series, KEY)
    assert hashed.index.equals(series.index)
    assert hashed.name == "customer"
    for one, first in zip(ids, hashed, strict=True):
        assert (one is None) == (first is None)
        for other, second in zip(ids, hashed, strict=True):
            assert (one == other) == (first == second)


def test_text_integer_and_float_forms_agree_and_keys_differ():
    forms = [pd.Series([form]) for form in ("17850", "17850.0", 17850, 17850.0)]
    forms.append(pd.Series([17850], dtype="Int32"))
    assert len({pseudonymise(form, KEY).iloc[0] for form in forms}) == 1
    assert pseudonymise(forms[0], KEY).iloc[0] != pseudonymise(forms[0], KEY[::-1]).iloc[0]
    assert pseudonymise(pd.Series([1.0, np.nan]), KEY).iloc[1] is None


def test_where_the_key_comes_from(monkeypatch):
    monkeypatch.delenv("STORELAB_KEY", raising=False)
    assert default_key() == default_key()
    assert len(default_key()) == 32
    monkeypatch.setenv("STORELAB_KEY", "sixteen or more characters")
    assert default_key() == b"sixteen or more characters"
    for short in ("", "secret"):
        monkeypatch.setenv("STORELAB_KEY", short)
        with pytest.raises(ValueError, match="STORELAB_KEY has"):
            default_key()
    with pytest.raises(ValueError, match="at least 16 bytes"):
        pseudonymise(pd.Series(["a"]), b"short")


@pytest.mark.parametrize(
    "key", ["a" * 16, "ab" * 30, "0123456789abcdef", "password" * 3, "zyxwvutsrqponmlkjih", "a" * 30 + "b"]
)
def test_a_key_that_repeats_itself_is_refused(key, monkeypatch):
    monkeypatch.setenv("STORELAB_KEY", key)
    with pytest.raises(ValueError, match="STORELAB_KEY repeats itself"):
        default_key()


def test_a_random_key_is_not(monkeypatch):
    for _ in range(200):
        monkeypatch.setenv("STORELAB_KEY", secrets.token_hex(8))
        assert len(default_key()) == 16
