"""What made-up customers write: same seed same texts, many forms, texts that follow the experience."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from storelab.language import tables
from storelab.language.answers import find_slots
from storelab.language.customers import REASONS, experiences, reviews, tickets, write
from storelab.language.phrases import OTHER, REVIEWS, TICKETS
from storelab.language.rules import polarity, reasons, stars
from storelab.language.text import language


@pytest.fixture(scope="module")
def many():
    return reviews(6000, seed=5)


@settings(max_examples=20)
@given(st.integers(0, 2**31), st.integers(1, 40), st.integers(1, 40), st.sampled_from([reviews, tickets]))
def test_a_row_does_not_depend_on_how_many_are_drawn(seed, few, more, draw):
    assert draw(few + more, seed=seed)[:few].equals(draw(few, seed=seed))


def test_there_are_hundreds_of_forms_of_each_star_and_language(many):
    assert (many.groupby(["stars", "language"])["text"].nunique() >= 150).all()
    assert set(many["stars"]) == {1, 2, 3, 4, 5}
    assert tables.reviews(many)["positive"].equals((many["stars"] >= 4).astype(int))


def test_texts_follow_the_experience(many):
    assert many.groupby("late")["stars"].mean()[True] < many.groupby("late")["stars"].mean()[False] - 0.7
    assert many.groupby("quality")["stars"].mean().is_monotonic_increasing
    worth = many["text"].map(polarity).groupby(many["stars"]).mean()
    assert worth.is_monotonic_increasing
    for spoken, word in (("en", "late"), ("zh", "晚了")):
        own = many[many["language"] == spoken]
        said = own["text"].str.contains(word).groupby(own["late"]).mean()
        assert said[True] > 3 * said[False]


def test_languages_are_those_asked_for(many):
    assert np.mean(many["text"].map(language) == many["language"]) > 0.97
    assert set(reviews(50, chinese=1.0)["language"]) == {"zh"}
    assert not experiences(50, chinese=0.0)["language"].eq("zh").any()


def test_phrases_left_out_are_in_no_text():
    own = REVIEWS["en"]["overall"][4]
    lived = experiences(3000, chinese=0.0, seed=1)
    whole, part = " ".join(write(lived)).lower(), " ".join(write(lived, without=(3,))).lower()
    plain = [text for text in own if "{" not in text and not any(text in other for other in own if other != text)]
    assert all(text in whole for text in plain)
    assert [text in part for text in plain] == [own.index(text) % 4 != 3 for text in plain]


def test_every_phrase_has_a_place_of_four():
    lists = [texts for said in TICKETS.values() for texts in said.values()] + [said[""] for said in OTHER.values()]
    for said in REVIEWS.values():
        lists += [
            said["opening"],
            *(texts for name in ("overall", "quality", "price", "delivery") for texts in said[name]),
        ]
    assert all(len(texts) % 4 == 0 and len(set(texts) - {""}) >= 4 for texts in lists)


def test_tickets_have_reasons_orders_and_passages():
    table = tickets(3000, seed=2)
    assert table["reason"].value_counts(normalize=True).between(0.17, 0.23).all()
    assert tuple(sorted(set(table["reason"]))) == tuple(sorted(REASONS))
    given = [find_slots(row.text).get("order") for row in table.itertuples()]
    said = [row.order if row.order in row.text else None for row in table.itertuples()]
    assert np.mean([a == b for a, b in zip(given, said, strict=True)]) > 0.98
    assert 0.4 < np.mean([number is not None for number in said]) < 0.6
    titles = {title for said in OTHER.values() for title in said}
    assert set(table["passage"]) == titles
    assert not table[table["reason"] != "other"]["passage"].any()


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="count: 0 is not allowed"):
        reviews(0)
    with pytest.raises(ValueError, match=r"chinese: 1\.5 is not allowed"):
        tickets(5, chinese=1.5)


@pytest.mark.parametrize(
    ("text", "sign"),
    [
        ("it is good", 1),
        ("it is not good", -1),
        ("terrible", -1),
        ("not terrible", 1),
        ("fast but awful", -1),
        ("no words of the list", 0),
        ("很满意", 1),
        ("不满意", -1),
        ("太贵了", -1),
        ("不错", 1),
    ],
)
def test_polarity(text, sign):
    assert np.sign(polarity(text)) == sign


def test_rules_read_more_than_chance(many):
    predicted = stars(many["text"])
    assert np.mean(predicted == many["stars"]) > many["stars"].value_counts(normalize=True).max()
    assert np.corrcoef(predicted, many["stars"])[0, 1] > 0.5


def test_keywords_say_the_reason_or_leave_it_to_a_person():
    asked = [
        "my parcel is late",
        "i want a refund",
        "the lamp is broken",
        "怎么退货",
        "good morning",
        "late and broken",
    ]
    assert reasons(asked) == ["late", "refund", "damaged", "return", "", ""]


def test_reviews_and_tickets_are_in_the_language_of_the_market():
    from storelab.data import SyntheticStoreParams, generate
    from storelab.language.customers import reviews_of, tickets_in

    store = generate(SyntheticStoreParams(items=8, days=120, customers=200, top_rate=8.0, markets=("gb", "cn")))
    table = reviews_of(store.ratings, seed=1)
    assert len(table) == len(store.ratings) > 100
    chinese = table["text"].map(lambda text: any("一" <= letter <= "鿿" for letter in text))
    assert (chinese == (table["language"] == "zh")).all()
    assert 0.2 < chinese.mean() < 0.9
    many = reviews_of(pd.DataFrame({"rating": np.arange(2000) % 5 + 1, "language": "en"}))
    assert many.groupby("rating")["quality"].mean().is_monotonic_increasing  # told by what was lived through
    assert many.loc[many["rating"] == 1, "late"].mean() > 2 * many.loc[many["rating"] == 5, "late"].mean()
    assert reviews_of(store.ratings, seed=1).equals(table)
    written = tickets_in(["en", "zh", "en"], seed=2)
    assert written["language"].tolist() == ["en", "zh", "en"]
    assert any("一" <= letter <= "鿿" for letter in written["text"][1])
    with pytest.raises(ValueError, match="language"):
        reviews_of(store.ratings.assign(language="fr"))
    with pytest.raises(ValueError, match="column language"):
        reviews_of(store.ratings.drop(columns="language"))
