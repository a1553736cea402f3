"""CSV of ours: nothing in it is a formula to a spreadsheet, and text is read back as it was."""

import csv

import pandas as pd
from hypothesis import example, given, settings
from hypothesis import strategies as st
from storelab.data.sheets import FORMULA, read_csv, write_csv

BEGIN = st.sampled_from([*FORMULA, "'", "", "$", "NA", "null", '"', "<b>"])
TEXTS = st.builds("{}{}".format, BEGIN, st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=6))
ROWS = st.lists(st.tuples(TEXTS, st.floats(allow_infinity=False), TEXTS), min_size=1, max_size=5)


@settings(max_examples=25, deadline=None)
@given(ROWS, BEGIN)
@example([("a", 0.0, ""), ("b", 2.4641654005867252e16, "")], "")  # pandas' own parser misses its last bit
def test_no_cell_begins_a_formula_and_text_is_read_back(tmp_path_factory, rows, name):
    table = pd.DataFrame(rows, columns=["item", "value", f"{name}x"])
    path = tmp_path_factory.mktemp("sheet") / "a.csv"
    path.write_bytes(write_csv(table, index=False))
    with path.open(newline="") as file:
        for row in csv.reader(file):
            assert not row[0].startswith(FORMULA)
            assert not row[2].startswith(FORMULA)
    pd.testing.assert_frame_equal(read_csv(path, ("item", f"{name}x")), table, check_exact=True)


def test_whole_numbers_stay_whole(tmp_path):
    table = pd.DataFrame({"item": ["a", "b"], "day": [3, 2**53 + 1]})
    (tmp_path / "a.csv").write_bytes(write_csv(table, index=False))
    pd.testing.assert_frame_equal(read_csv(tmp_path / "a.csv", ("item",)), table, check_exact=True)


def test_an_index_of_text_is_guarded_too():
    table = pd.DataFrame({"value": [-1.5]}, index=pd.Index(["=1+1"], name="@model"))
    assert write_csv(table).decode().split() == ['"\'@model","value"', '"\'=1+1",-1.5']
