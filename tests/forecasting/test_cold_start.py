"""New items are forecast from their category's history; newly arrived days are learned, older ones replayed."""

import copy

import numpy as np
import pytest
import torch
from storelab.data import SyntheticStoreParams, generate
from storelab.forecasting import DECILES, cold_start, create, known_future, load
from storelab.forecasting.training import Plan, _Source
from storelab.forecasting.windows import Windows


@pytest.fixture(scope="module")
def store():
    """Three categories that sell very differently: the first fifth of the items is new on day 340."""
    panel = generate(SyntheticStoreParams(items=90, days=400, categories=3, new_share=0.0)).panel
    panel.category[:] = [f"c{column // 30}" for column in range(90)]  # items come in order of their sales
    return panel


def hidden(panel, columns):
    """The first 340 days, without those of some items."""
    past = panel.until(340)
    past.units[:, columns] = np.nan
    past.price[:, columns] = np.nan
    return past


def test_new_items_and_who_stands_in(store):
    past = hidden(store, [0, 3, 31])
    (new, members), (other, _) = cold_start.new_items(past)
    assert new.tolist() == [0, 3]
    assert other.tolist() == [31]
    assert members.tolist() == [column for column in range(30) if column not in (0, 3)]
    past.category = None
    ((new, members),) = cold_start.new_items(past)
    assert new.tolist() == [0, 3, 31]
    assert len(members) == 87
    assert cold_start.new_items(hidden(store, range(90))) == []


def test_beats_the_median_scale_of_the_store(store, monkeypatch):
    columns = np.arange(0, 90, 5)
    past, known = hidden(store, columns), known_future(store, 340, 28)
    actual = store.units[340:368].T[columns]
    model = create("transformer")

    def loss():
        error = actual[..., None] - model.predict(past, known)[columns]
        return np.maximum(np.array(DECILES) * error, (np.array(DECILES) - 1) * error).mean()

    from_category = loss()
    monkeypatch.setattr("storelab.forecasting.quantile.new_items", lambda history: [])
    assert from_category < 0.9 * loss()


def test_paths_quantiles_and_mean_agree(store):
    past, known = hidden(store, [40]), known_future(store, 340, 7)
    model = create("transformer")
    quantiles = model.predict(past, known, (0.25, 0.5, 0.75))[40]
    paths = model.sample_paths(past, known, 4000, 0)[40]
    np.testing.assert_allclose(np.quantile(paths, (0.25, 0.5, 0.75), axis=0).T, quantiles, atol=1.0)
    np.testing.assert_allclose(paths.mean(axis=0), model.predict_mean(past, known)[40], rtol=0.15)
    assert (np.diff(quantiles, axis=1) >= 0).all()
    assert (paths == model.sample_paths(past, known, 4000, 0)[40]).all()


def test_other_items_are_not_touched(store):
    past, known = store.until(340), known_future(store, 340, 7)
    whole = create("transformer").predict(past, known)
    part = create("transformer").predict(hidden(store, [40]), known)
    others = np.arange(90) != 40
    np.testing.assert_allclose(part[others], whole[others], atol=1.0)
    assert np.isfinite(part).all()


def test_update_needs_a_training_and_new_days(panel, tmp_path):
    model = create("transformer", fine_tune_steps=2, progress=False)
    with pytest.raises(ValueError, match="call fine_tune or fit"):
        model.update(panel.until(360))
    model.fine_tune(panel.until(340))
    with pytest.raises(ValueError, match="days after"):
        model.update(panel.until(340))
    with pytest.raises(ValueError, match=r"replay: 1\.0 is not allowed"):
        model.update(panel.until(360), replay=1.0)
    model.save(tmp_path)
    model = load(tmp_path)
    assert model.update(panel.until(360)).trained_until == str(panel.dates[359].date())


@pytest.mark.slow
def test_update_goes_on_from_the_weights(panel):
    model = create("transformer", fine_tune_steps=20, progress=False).fine_tune(panel.until(340))
    before = copy.deepcopy(model.network.state_dict())
    model.params.fine_tune_steps = 0
    model.update(panel.until(370))
    assert all(torch.equal(value, before[name]) for name, value in model.network.state_dict().items())
    model.params.fine_tune_steps = 5
    model.update(panel.until(398))
    assert len(model.history) == 6


def test_a_batch_holds_new_days_and_a_share_of_old_ones(panel):
    windows = Windows(panel, 168, 28, planned=True)
    source = _Source.of(windows, Plan(1e-3, 1, new_from=312, validation=28))
    generator = torch.Generator().manual_seed(0)
    for replay in (0.0, 0.25):
        origin = source.origin[source.pick(64, replay, generator)]
        assert (origin < 312 - 21).sum() == 64 * replay  # from 291 on a week of the targets is new
    assert source.origin.max() == 365  # the last 28 days are no target
