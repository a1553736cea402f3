"""The study of cheaper inference: models are kept, the table has shares."""

import pytest
from storelab.experiments.studies import cheap
from storelab.language import create, load


def test_a_model_that_is_kept_is_not_made_again(tmp_path):
    made = []

    def make():
        made.append(1)
        return create("tfidf").fit(["good", "very good", "bad", "very bad"] * 5, [1, 1, 0, 0] * 5)

    models = [cheap.kept(tmp_path / "model", load, make) for _ in range(2)]
    assert len(made) == 1
    assert (models[0].predict_proba(["good"]) == models[1].predict_proba(["good"])).all()


def test_the_table_has_shares_of_the_first_models_time():
    row = lambda quality, many: {"quality": quality, "many": many, "one": 2 * many}
    rows = [{"large": row(0.5, 4.0), "small": row(0.4, 1.0)}, {"large": row(0.7, 4.0), "small": row(0.6, 1.0)}]
    text = cheap.table(rows, "accuracy")
    assert "| small | 0.500 [0.400, 0.600] | 1 | 2 | 0.25, 0.25 |" in text


@pytest.mark.slow
@pytest.mark.parametrize("part", list(cheap.PARTS))
def test_a_part_is_measured_whole(part, tmp_path, monkeypatch):
    monkeypatch.setattr(cheap, "LABELLED", 100)
    monkeypatch.setattr(cheap, "UNLABELLED", 100)
    monkeypatch.setattr(cheap, "ASKED", 130)
    (row,) = cheap.rows_of(part, 1, tmp_path)
    assert all(values["many"] > 0 and 0 <= values["quality"] <= 1 for values in row.values())
    assert cheap.rows_of(part, 1, tmp_path) == [row]
