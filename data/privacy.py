"""Customer ids become keyed pseudonyms on the way in, so that no table downstream holds the real ones."""

import hashlib
import hmac
import os
import re
import secrets
from functools import cache

import numpy as np
import pandas as pd

LEAST_BITS = 24  # of information in a key: see `_bits`
CUSTOMER_COLUMNS = (  # names of columns that hold customers' ids, in any case
    *("customer", "customer_id", "customerid", "customer id", "user", "user_id", "userid", "household", "household_id"),
    *("household_key", "member", "member_id", "buyer", "client", "client_id", "account_id"),
)
HEX_DIGITS = 16  # 64 bits: a million customers collide with probability 3e-8


@cache
def _process_key() -> bytes:
    return secrets.token_bytes(32)


def default_key() -> bytes:
    """The key of this process: the environment variable STORELAB_KEY, or else 32 random bytes.

    Without STORELAB_KEY pseudonyms agree within one process and nowhere else: set it to join tables
    that were read by different runs, and keep it away from the data: who has both can re-identify
    a customer by trying all ids.
    """
    value = os.environ.get("STORELAB_KEY")
    if value is None:
        return _process_key()
    if len(value) < 16:
        raise ValueError(f"STORELAB_KEY has {len(value)} characters; expected at least 16, drawn at random")
    if _bits(value) < LEAST_BITS:
        raise ValueError("STORELAB_KEY repeats itself; expected at least 16 characters, drawn at random")
    return value.encode()


def _bits(text: str) -> float:
    """A bound on a text's information: the entropy of its characters, or of the steps between them, by its length.

    What repeats an earlier part to the end does not count.
    """
    period = next(n for n in range(1, len(text) + 1) if text[n:] == text[: len(text) - n])
    places = np.array([ord(character) for character in text[:period]])
    shares = [np.unique(values, return_counts=True)[1] / max(1, len(values)) for values in (places, np.diff(places))]
    return period * min(float(-(share * np.log2(share)).sum()) for share in shares)


def pseudonymise(ids: pd.Series, key: bytes) -> pd.Series:
    """Replace each id by the first 16 hex digits of HMAC-SHA256 (RFC 2104) of its text under `key`.

    Equal ids give equal pseudonyms under one key, whether they come as 17850, 17850.0, "17850" or
    "17850.0" (a CSV file of integers with gaps); nulls stay null.
    Returns a Series of str or None with the same index and name.
    """
    if not isinstance(key, bytes) or len(key) < 16:
        raise ValueError(f"key is {type(key).__name__} of {len(key)}; expected at least 16 bytes")
    codes, unique = pd.factorize(id_text(ids))
    names = [pseudonym(text, key) for text in unique]
    hashed = np.array([*names, None], dtype=object)[codes]  # code -1 (null) takes the last entry
    return pd.Series(hashed, index=ids.index, name=ids.name)


def pseudonym(text: str, key: bytes) -> str:
    """The pseudonym of one id, as `pseudonymise` has it."""
    return _digest(key, re.sub(r"^(\d+)\.0$", r"\1", text))


def fingerprint(key: bytes) -> str:
    """What tells two keys apart without telling the key: 16 hex digits."""
    return _digest(key, "storelab: fingerprint of the key")


def _digest(key: bytes, text: str) -> str:
    return hmac.digest(key, text.encode(), hashlib.sha256).hex()[:HEX_DIGITS]


def id_text(ids: pd.Series) -> pd.Series:
    """Ids as text (object dtype), nulls as None; a whole-number float, pandas' way to hold an integer
    column with gaps, reads as the integer."""
    codes, unique = pd.factorize(ids)
    text = [
        str(int(value)) if isinstance(value, float | np.floating) and value.is_integer() else str(value)
        for value in unique
    ]
    return pd.Series(np.array([*text, None], dtype=object)[codes], index=ids.index, name=ids.name)
