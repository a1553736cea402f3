"""Personal data in free text: found where it is, left alone what is like it."""

import sys
import warnings
from itertools import pairwise
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from storelab.data.contract import TableNote
from storelab.data.masking import KINDS, find, mask, mask_all
from storelab.language import tables

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parents[1] / "bench"))
from masking import judge, read  # noqa: E402


@pytest.mark.parametrize(
    ("name", "lines", "missed_at_most", "wrong_at_most"),
    [("", 100, 1, 1), ("_2", 100, 3, 2), ("_3", 40, 0, 0), ("_4", 35, 0, 0)],
)
def test_lines_with_the_truth_marked_in_them(name, lines, missed_at_most, wrong_at_most):
    rows = read(HERE / f"personal_data{name}.txt")
    assert len(rows) >= lines
    assert len({place.kind for _, places in rows for place in places} & set(KINDS)) >= 3
    judged = [judge(text, places) for text, places in rows]
    assert sum(len(missed) for missed, _ in judged) <= missed_at_most
    assert sum(more for _, more in judged) <= wrong_at_most


def test_the_judge_can_fail():
    (row,) = [row for row in read(HERE / "personal_data.txt") if "MARIA" in row[0]]
    assert judge(*row) == ([], False)
    assert judge(row[0].replace("@", " "), row[1])[0]
    assert judge(row[0], [])[1]


def test_what_is_put_in_its_place():
    assert mask("ann@shop.com, +44 20 7946 0958; order 12345") == "[email], [phone]; order 12345"
    assert mask("卡号6222021234567890123，身份证11010519491231002X") == "卡号[card]，身份证[id]"
    texts, note = mask_all(["ann@shop.com", "fine", None, "a@b.de c@d.de"])
    assert texts == ["[email]", "fine", None, "[email] [email]"]
    assert note == "personal data is masked: 3 email"
    assert mask_all(["fine"]) == (["fine"], "")


@pytest.mark.parametrize(
    ("good", "bad"), [("4111111111111111", "4111111111111112"), ("11010519491231002X", "110105194912310021")]
)
def test_check_digits_tell(good, bad):
    assert mask(f"no {good}") != f"no {good}"
    assert mask(f"no {bad}") == f"no {bad}"


@given(st.text(st.sampled_from("a1 @.-+()路号北京0x市dot"), max_size=60))
def test_masked_text_holds_no_more(text):
    places = find(text)
    assert all(0 <= place.start < place.end <= len(text) for place in places)
    assert all(one.end <= other.start for one, other in pairwise(places))
    assert "@" not in mask("see ann@shop.com, " + text).partition(",")[0]


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".xlsx"])
def test_tables_of_texts_are_masked(suffix, tmp_path):
    text = ["where is it? ann@shop.com", "call 212-555-0187 or order 12345"]
    for name, column in (("q", {"intent": ["a", "b"]}), ("r", {"stars": [1, 5]})):
        path = tmp_path / f"{name}{suffix}"
        table = pd.DataFrame({"text": text, **column, "customer_name": ["Ann", "Bob"]})
        getattr(table, {".csv": "to_csv", ".parquet": "to_parquet", ".xlsx": "to_excel"}[suffix])(path, index=False)
        with pytest.warns(TableNote, match="personal data is masked: 1 email, 1 phone"):
            read_in = tables.read(path)
        assert read_in["text"].tolist() == ["where is it? [email]", "call [phone] or order 12345"]
        assert "customer_name" not in read_in


def test_texts_without_any_are_left_alone(tmp_path):
    pd.DataFrame({"text": ["fine, 5 stars"], "stars": [5]}).to_csv(tmp_path / "r.csv", index=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert tables.read(tmp_path / "r.csv")["text"].tolist() == ["fine, 5 stars"]
