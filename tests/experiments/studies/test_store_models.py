"""The marketplace's models as tables: shares that fall, learned above rules on held-out samples, folders."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from storelab import language, recommendation
from storelab.envs.marketplace.model import Marketplace
from storelab.envs.marketplace.params import MarketplaceParams, StoreModels
from storelab.experiments.studies import store_models
from storelab.experiments.studies.store_models import SampleParams, Samples, save, tables
from storelab.recommendation.segments import SegmentHistory, relevance_of
from storelab.risk import Trees

SMALL = {"reviews": 1500, "tickets": 600, "held_out": 1000, "customers": 800, "days": 120}
ITEMS, SEGMENTS = 30, 3


def purchases(seed: int = 0) -> pd.DataFrame:
    """Customers of three segments who choose among items by multinomial logit."""
    rng = np.random.default_rng(seed)
    segment = rng.integers(SEGMENTS, size=300)
    utility = rng.normal(size=(SEGMENTS, ITEMS))[segment] * 1.5 + rng.normal(size=(300, ITEMS)) * 0.5
    customer = rng.integers(300, size=4000)
    item = (utility[customer] + rng.gumbel(size=(4000, ITEMS))).argmax(1)
    return pd.DataFrame(
        {"customer": customer, "segment": segment[customer], "item": item, "day": rng.integers(100, size=4000)}
    )


@pytest.fixture(scope="module")
def samples():
    return Samples(SampleParams(**SMALL))


@pytest.fixture(scope="module")
def fitted(samples):
    return store_models.fit(samples, purchases(), items=ITEMS, segments=SEGMENTS)


def test_tables_are_shares_that_fall(samples, fitted):
    for answers, relevance in ((store_models.rule_answers(samples), None), (fitted.answers, fitted.relevance)):
        found = tables(answers, samples, relevance)
        assert found.reading.shape == (5, 5)
        assert found.service.shape == (2, 3)
        np.testing.assert_allclose([*found.reading.sum(1), *found.service.sum(1)], 1)
        for table in (found.legitimate, found.fraudulent):
            assert table.shape == (store_models.BINS,)
            assert table[0] == 1
            assert (np.diff(table) <= 0).all()
            assert table[-1] < 0.05
        assert (found.fraudulent >= found.legitimate - 1e-3).all()  # one honest order of thousands may top all frauds
        assert np.trace(found.reading) > np.trace(np.tile(found.reading.mean(0), (5, 1)))


def test_learned_beats_rules_on_held_out_samples(samples, fitted):
    by, learned = store_models.compare(fitted, samples)[["rules", "learned"]].to_dict().values()
    for spoken in ("en", "zh"):
        assert learned[f"stars read rightly, {spoken}"] > by[f"stars read rightly, {spoken}"] + 0.1
        assert learned[f"stars' mean absolute error, {spoken}"] < by[f"stars' mean absolute error, {spoken}"] - 0.1
    assert learned["tickets answered rightly, in scope"] > by["tickets answered rightly, in scope"]
    assert learned["fraud, AUPRC"] > 1.5 * by["fraud, AUPRC"]
    assert learned["NDCG@10 by segment"] > by["NDCG@10 by popularity"] + 0.05


def test_relevance_tells_segments_apart():
    history = purchases(1)
    table, model, _ = relevance_of(history, ITEMS, SEGMENTS)
    assert table.shape == (SEGMENTS + 1, ITEMS)
    np.testing.assert_allclose(table.mean(1), 0, atol=1e-6)
    np.testing.assert_allclose(table.std(1), 1)
    for segment in range(SEGMENTS):
        bought = np.bincount(history[history["segment"] == segment]["item"], minlength=ITEMS)
        others = np.bincount(history[history["segment"] != segment]["item"], minlength=ITEMS)
        assert np.corrcoef(table[segment], bought)[0, 1] > np.corrcoef(table[segment], others)[0, 1]
    guests = pd.concat([history, history.head(50).assign(customer=np.nan, item=0)])
    whole, known = (SegmentHistory(rows, ITEMS, SEGMENTS).log.histories for rows in (guests, history))
    np.testing.assert_array_equal(whole.item, known.item)  # purchases without a customer are left out
    assert model.items == [str(item) for item in range(ITEMS)]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"item": ITEMS}, "column 'item'"),
        ({"segment": -1}, "column 'segment'"),
        ({"day": 0.5}, "column 'day'"),
        ({"customer": np.nan}, "0 rows"),
        ({"segment": 0}, "segment 1 has no customer"),
        ({"customer": 7}, "two segments"),
    ],
)
def test_a_bad_history_is_refused(change, said):
    with pytest.raises(ValueError, match=said):
        SegmentHistory(purchases().assign(**change), ITEMS, SEGMENTS)
    with pytest.raises(ValueError, match="column 'day': missing"):
        SegmentHistory(purchases().drop(columns="day"))


def test_a_folder_holds_tables_and_models(samples, fitted, tmp_path):
    found, measured = tables(fitted.answers, samples, fitted.relevance), store_models.compare(fitted, samples)
    folder = tmp_path / "models"
    for _ in range(2):  # a folder of ours is replaced
        save(folder, found, fitted, measured)
    again = StoreModels.load(folder)
    for name, table in vars(found).items():
        np.testing.assert_array_equal(getattr(again, name), table)
    params = MarketplaceParams(items=ITEMS, segments=SEGMENTS, ranking="learned", models=str(folder))
    assert Marketplace(params).models.service[1, 0] == found.service[1, 0]
    assert [path.name for path in tmp_path.iterdir()] == ["models"]
    text = samples.reviews["text"].tolist()[:200]
    assert language.load(folder / "sentiment").predict(text) == fitted.answers.stars[:200].tolist()
    assert recommendation.load(folder / "relevance").items == fitted.models["relevance"].items
    score = Trees.load(folder / "fraud").predict(samples.features[samples.orders])
    np.testing.assert_array_equal(score, fitted.answers.score)

    (tmp_path / "foreign").mkdir()
    with pytest.raises(ValueError, match="or one with store models"):
        save(tmp_path / "foreign", found, fitted, measured)


def test_the_command_fits_measures_and_saves(fitted, tmp_path, capsys, monkeypatch):
    asked = {}
    monkeypatch.setattr(store_models, "fit", lambda samples, history, **sizes: asked.update(sizes) or fitted)
    purchases().to_parquet(tmp_path / "history.parquet")
    sizes = [f"--{name.replace('_', '-')}={value}" for name, value in SMALL.items()]
    store_models.main([str(tmp_path / "out"), "--history", str(tmp_path / "history.parquet"), "--items=30", *sizes])
    assert asked == {"items": 30, "segments": 0, "model": "ials"}
    np.testing.assert_array_equal(StoreModels.load(tmp_path / "out").relevance, fitted.relevance)
    printed = capsys.readouterr().out
    assert [name for name in ("AUPRC", "NDCG@10 by segment", "handed over") if name not in printed] == []


def test_sizes_are_checked(samples):
    with pytest.raises(ValueError, match="days: 30"):
        SampleParams(days=30)
    few = store_models.rule_answers(samples)
    few.stars, samples = few.stars[:1], Samples(SampleParams(**{**SMALL, "held_out": 100}))
    samples.reviews = samples.reviews[:1]
    with pytest.raises(ValueError, match="held_out: 1 is"):
        tables(few, samples)


def test_rules_need_neither_torch_nor_scikit_learn(tmp_path):
    out = str(tmp_path / "rules")
    code = (
        "import sys; from storelab.experiments.studies.store_models import main;"
        "from storelab.envs.marketplace.params import StoreModels;"
        f"main([{out!r}, '--rules', '--held-out=400', '--customers=300', '--days=90']);"
        f"print(StoreModels.load({out!r}).relevance,"
        " [name for name in ('torch', 'sklearn', 'scipy', 'lightgbm') if name in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "None []"
    assert [path.name for path in (tmp_path / "rules").iterdir()] == ["tables.npz"]
