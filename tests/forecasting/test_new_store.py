"""The forecaster for a store that has just opened, and how its weights were made."""

import numpy as np
import pytest
import torch
from storelab.data import SyntheticStoreParams, generate
from storelab.forecasting import create, known_future, load
from storelab.forecasting.meta import MetaParams, Shot, adapted, drawn_store, meta_train, shot
from storelab.forecasting.transformer import Transformer, TransformerParams

QUICK = {"fine_tune_steps": 4, "batch_size": 32, "progress": False}


@pytest.fixture(scope="module")
def young():
    return generate(SyntheticStoreParams(items=12, days=120, new_share=0.0, customers=20, seed=5)).panel


@pytest.mark.parametrize("days", [7, 28])
def test_a_week_is_enough(young, days):
    past, known = young.window(60 - days, 60), known_future(young, 60, 28)
    model = create("new_store", **QUICK).fine_tune(past)
    quantiles = model.predict(past, known)
    assert quantiles.shape == (12, 28, 9)
    assert np.isfinite(quantiles).all()
    assert (np.diff(quantiles, axis=2) >= 0).all()
    assert model.sample_paths(past, known, 5, seed=0).shape == (12, 5, 28)


def test_it_adapts_where_a_window_fits_in(young):
    before = create("new_store", **QUICK)
    start = {name: value.clone() for name, value in before.network.state_dict().items()}
    changed = []
    for days in (7, 20, 28):
        model = create("new_store", **QUICK).fine_tune(young.window(0, days))
        changed.append(any(not torch.equal(value, start[name]) for name, value in model.network.state_dict().items()))
    assert changed == [False, False, True]


def test_six_days_are_too_few(young):
    with pytest.raises(ValueError, match="history has 6 days: at least 7"):
        create("new_store", **QUICK).predict(young.window(0, 6), known_future(young, 6, 7))
    with pytest.raises(ValueError, match="6 days: training needs at least 7"):
        create("new_store", **QUICK).fine_tune(young.window(0, 6))


def test_it_comes_back_from_its_folder(young, tmp_path):
    past, known = young.window(0, 28), known_future(young, 28, 14)
    model = create("new_store", **QUICK).fine_tune(past)
    model.save(tmp_path)
    again = load(tmp_path)
    assert again.name == "new_store"
    assert np.array_equal(again.predict(past, known), model.predict(past, known))
    assert again.fingerprint() == model.fingerprint()


def test_what_is_after_the_days_seen_is_not_adapted_to(young):
    """The support of a task does not change where the horizon does."""
    other = young.window(0, 56)
    other.units[28:] += 50
    start = Transformer(TransformerParams(progress=False))
    two = []
    for panel in (young.window(0, 56), other):
        task = Shot.of(panel, 28, True, start.params.context)
        two.append(adapted(start.network, task, MetaParams(inner_steps=2, batch_size=8), seed=3).state_dict())
    assert all(torch.equal(two[0][name], two[1][name]) for name in two[0])


def test_a_step_of_the_meta_weights_is_the_same_for_a_seed():
    tiny = dict(pretrained="", d_model=16, layers=1, heads=2, d_ff=32, context=84, progress=False)
    params = MetaParams(steps=2, tasks=1, inner_steps=1, evaluations=1, validation_stores=2)

    def run():
        start = Transformer(TransformerParams(**tiny))
        start._begin()
        return meta_train(start, params)

    first, second = run(), run()
    assert first.history == second.history
    assert first.fingerprint() == second.fingerprint()
    assert [row["step"] for row in first.history] == [0, 2]


def test_a_task_follows_from_its_seed():
    assert drawn_store(7) == drawn_store(7)
    assert drawn_store(7) != drawn_store(8)
    first, second = shot(11, 84), shot(11, 84)
    assert first.days == second.days
    assert torch.equal(first.windows.units.nan_to_num(-1), second.windows.units.nan_to_num(-1))
