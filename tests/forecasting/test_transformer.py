import dataclasses

import numpy as np
import pandas as pd
import pytest
import torch
from storelab.data import Panel, SyntheticStoreParams, generate
from storelab.forecasting import create, known_future, load, pretrain
from storelab.forecasting.backtest import backtest
from storelab.forecasting.network import KnownEffect
from storelab.forecasting.transformer import CHECKPOINTS, TransformerParams
from storelab.forecasting.windows import COVARIATES, NAMES, PATCH

from .conftest import TINY


def test_same_seed_same_weights(panel):
    settings = {**TINY, "steps": 4}
    prints = [create("transformer", **settings, seed=seed).fit(panel.until(340)).fingerprint() for seed in (0, 0, 1)]
    assert prints[0] == prints[1] != prints[2]


def test_training_leaves_the_global_generator_alone(panel):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    create("transformer", **{**TINY, "steps": 2}).fit(panel.until(340))
    assert torch.equal(torch.rand(3), expected)


def test_keeps_the_best_weights_of_the_validation_days(tiny):
    losses = [row["validation_loss"] for row in tiny.history]
    assert min(losses) < 0.6 * losses[0]
    assert {"step", "train_loss", "validation_loss", "seconds"} == set(tiny.history[0])


def test_stops_early_without_gain(panel):
    model = create("transformer", **{**TINY, "steps": 200, "learning_rate": 1e-9, "patience": 2})
    model.fit(panel.until(340))
    assert model.history[-1]["step"] < 200


def test_without_validation_all_steps_are_made_in_ten_passes_at_most(panel):
    short = panel.until(60)
    settings = {**TINY, "validation": 0, "batch_size": 100}
    few, many = (create("transformer", **{**settings, "steps": steps}).fit(short) for steps in (3, 10_000))
    assert few.history[-1]["step"] == 3
    item, origin = many._training_windows(short).origins(0, 60 - 7 + 1)
    assert origin.max() == 60 - 7  # the last days are targets
    assert many.history[-1]["step"] == 10 * len(item) // 100
    assert all(np.isnan(row["validation_loss"]) for row in many.history)
    create("transformer", **{**settings, "steps": 1}).fit(short.until(35))  # too short with 28 days of validation


def test_beats_the_baselines_on_the_synthetic_store(panel, tiny):
    """`tiny` was trained before the first origin; with fine_tune_steps 0 the backtest takes it as it is."""
    tiny.params.fine_tune_steps = 0
    models = {"tiny": tiny, "naive": create("seasonal_naive"), "average": create("moving_average")}
    table = backtest(models, panel, [344, 358, 372], 28, progress=False)
    wql = table[table["origin"] == "pooled"].set_index("forecaster")["wQL"]
    assert wql["tiny"] < wql["average"] < wql["naive"]


def test_fine_tune_goes_on_from_the_weights(panel, tiny):
    model = create("transformer", **TINY)
    model.network, model.params.fine_tune_steps = tiny._new_network(), 0
    model.network.load_state_dict(tiny.network.state_dict())
    model.fine_tune(panel.until(340))
    for name, value in model.network.state_dict().items():
        assert torch.equal(value, tiny.network.state_dict()[name])
    model.params.fine_tune_steps = 20
    model.fine_tune(panel.until(370))
    losses = [row["validation_loss"] for row in model.history]
    assert len(losses) > 1
    assert losses[0] < 0.2  # not a fresh network's


def test_fine_tune_goes_without_dropout(panel):
    settings = {"fine_tune_steps": 3, "progress": False}
    without, much = (
        create("transformer", **settings, dropout=share).fine_tune(panel.until(340)) for share in (0.0, 0.9)
    )
    for name, value in without.network.state_dict().items():
        assert torch.equal(value, much.network.state_dict()[name])
    fitted = [create("transformer", **{**TINY, "steps": 3, "dropout": share}) for share in (0.0, 0.9)]
    losses = [model.fit(panel.until(340)).history[-1]["train_loss"] for model in fitted]
    assert losses[0] != losses[1]  # fit does not


def test_fine_tune_without_weights_is_fit(panel):
    settings = {**TINY, "steps": 3}
    fitted, tuned = create("transformer", **settings), create("transformer", **settings)
    assert fitted.fit(panel.until(340)).fingerprint() == tuned.fine_tune(panel.until(340)).fingerprint()


def test_planned_promotion_raises_the_forecast(panel, tiny):
    history, known = panel.until(340), known_future(panel, 340, 14)
    plain = tiny.predict_mean(history, known)
    known.price[:] = 0.7 * history.price[-1]
    known.promo[:] = True
    assert tiny.predict_mean(history, known).sum() > 1.05 * plain.sum()


def test_closed_days_have_no_demand(panel, tiny):
    history, known = panel.until(340), known_future(panel, 340, 14)
    known.closed[3] = True
    assert tiny.predict(history, known, (0.1, 0.999))[:, 3].max() == 0
    assert tiny.predict_mean(history, known)[:, 3].max() == 0
    paths = tiny.sample_paths(history, known, 50, 0)
    assert paths[:, :, 3].max() == 0
    assert paths[:, :, 4].max() > 0


def test_paths_have_the_quantiles_and_the_mean(panel, tiny):
    history, known = panel.until(340), known_future(panel, 340, 7)
    paths = tiny.sample_paths(history, known, 4000, 0)[0]  # the item that sells most
    quantiles = tiny.predict(history, known, (0.1, 0.5, 0.9, 0.99))[0]
    np.testing.assert_allclose(np.quantile(paths, (0.1, 0.5, 0.9, 0.99), axis=0).T, quantiles, rtol=0.1, atol=1.5)
    np.testing.assert_allclose(paths.mean(axis=0), tiny.predict_mean(history, known)[0], rtol=0.05)


def test_prices_scale_free_and_units_in_fractions(panel, tiny):
    history, known = panel.until(340), known_future(panel, 340, 7)
    half = Panel(**vars(history) | {"units": history.units / 2})
    paths = tiny.sample_paths(half, known, 20, 0)
    assert (paths != np.rint(paths)).any()


def test_a_horizon_beyond_the_trained_one(panel, tiny):
    with pytest.raises(ValueError, match=r"29 days.*28"):
        tiny.predict(panel.until(340), known_future(panel, 340, 29))


def test_a_panel_to_learn_nothing_from(panel):
    empty = panel.until(340)
    empty.units[:] = 0.0
    with pytest.raises(ValueError, match="no sale"):
        create("transformer", **TINY).fit(empty)
    with pytest.raises(ValueError, match="48 days: training needs at least 49"):
        create("transformer", **TINY).fit(panel.until(48))
    late = panel.until(340)
    late.units[:300] = np.nan
    with pytest.raises(ValueError, match="too short"):
        create("transformer", **TINY).fit(late)
    early = panel.until(340)  # no item has 14 observed days in the 28 days before a validation week
    early.units[100:] = np.nan
    with pytest.raises(ValueError, match="last 28 days are for validation"):
        create("transformer", **{**TINY, "context": 28}).fit(early)


def test_without_weights(panel, tmp_path):
    model = create("transformer", **TINY)
    with pytest.raises(ValueError, match="no weights"):
        model.predict(panel.until(340), known_future(panel, 340, 7))
    with pytest.raises(ValueError, match="no weights"):
        model.save(tmp_path)


@pytest.mark.parametrize("damage", ["truncate", "flip", "empty", "remove", "other"])
def test_damaged_weights_are_detected(tiny, tmp_path, damage):
    tiny.save(tmp_path)
    file = tmp_path / "model.safetensors"
    content = bytearray(file.read_bytes())
    if damage == "remove":
        file.unlink()
    else:
        content[len(content) // 2] ^= 1
        file.write_bytes({"truncate": content[:-9], "flip": content, "empty": b"", "other": b"x" * 99}[damage])
    with pytest.raises(ValueError, match="no usable transformer"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("d_model", 30),
        ("layers", 0),
        ("layers", 1.5),
        ("context", 90),
        ("horizon", 10),
        ("dropout", 1.0),
        ("learning_rate", float("nan")),
        ("learning_rate", "fast"),
        ("planned", 1),
        ("device", "abacus"),
        ("steps", 0),
        ("seed", -1),
    ],
)
def test_bad_parameters_are_named(field, value):
    with pytest.raises(ValueError, match=rf"{field}: .* is not allowed, expected"):
        TransformerParams(**{field: value})


def test_shipped_checkpoint(panel):
    folder = CHECKPOINTS / "small"
    assert sum(file.stat().st_size for file in folder.iterdir()) <= 10_000_000
    zero_shot = create("transformer", fine_tune_steps=0)
    models = {"zero-shot": zero_shot, "average": create("moving_average")}
    table = backtest(models, panel, [344, 372], 28, progress=False)
    wql = table[table["origin"] == "pooled"].set_index("forecaster")["wQL"]
    assert wql["zero-shot"] < wql["average"]


def test_shipped_checkpoint_was_made_with_the_defaults_of_pretrain():
    assert load(CHECKPOINTS / "small").params == pretrain.settings()


def test_checkpoint_of_another_size():
    with pytest.raises(ValueError, match="d_model: 32 is not allowed, expected 64, as checkpoint 'small' has"):
        create("transformer", d_model=32)
    with pytest.raises(ValueError, match="pretrained: 'huge' is not allowed, expected one of '', 'new_store', 'small'"):
        create("transformer", pretrained="huge")


def test_what_is_known_adds_the_same_on_each_day_of_a_patch():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        effect = KnownEffect(8, torch.ones(COVARIATES))
        effect.quantiles.weight.data.normal_()
        day, hidden = torch.randn(len(NAMES)), torch.randn(2, 1, 8)
    future = torch.zeros(2, 1, PATCH, len(NAMES))
    future[0, 0, 2], future[1, 0, 5] = day, day
    covariates = torch.zeros(2, PATCH, 2 * COVARIATES)
    added = effect(future.flatten(2), covariates, hidden[:1].expand(2, -1, -1))
    torch.testing.assert_close(added[0, 2], added[1, 5])
    assert (added[0, 2] != 0).all()
    assert (added[0, [0, 1, 3, 4, 5, 6]] == 0).all()  # nothing is known there
    assert not torch.allclose(effect(future.flatten(2), covariates, hidden)[1, 5], added[1, 5])  # another item
    covariates[0, 3] = 2.0
    moved = effect(future.flatten(2), covariates, hidden[:1].expand(2, -1, -1))
    assert (moved[0, 3] != 0).all()
    effect.units *= 2  # a covariate twice as spread
    torch.testing.assert_close(effect(future.flatten(2), 2 * covariates, hidden[:1].expand(2, -1, -1)), moved)


def test_the_units_of_covariates_are_those_of_the_first_training(panel, tmp_path):
    """Kept with the weights: covariates of other days are read in the same units."""
    past = panel.until(340)
    past.covariates = {"depth": 0.1 * np.random.default_rng(0).random(past.units.shape)}
    model = create("transformer", fine_tune_steps=1, validation=0, progress=False).fine_tune(past)
    units = model.network.known.units.clone()
    assert units.tolist() == pytest.approx([past.covariates["depth"].std(), 1, 1, 1], rel=0.01)
    past.covariates["depth"] *= 3
    assert torch.equal(model.fine_tune(past).network.known.units, units)
    model.save(tmp_path)
    assert torch.equal(load(tmp_path).network.known.units, units)


def test_what_is_known_is_learnt_where_it_is_used(panel):
    """Not where it is not: the network stays as it is with `planned` False and zero-shot."""
    for params, there in (({}, True), ({"planned": False}, False), ({"fine_tune_steps": 0}, False)):
        model = create("transformer", **{"fine_tune_steps": 1, "progress": False, **params}).fine_tune(panel.until(340))
        assert (model.network.known is not None) == there


@pytest.mark.parametrize(("weeks", "read"), [(60, False), (70, True)])
def test_a_weekly_panel_of_about_a_year_does_not_read_the_year(weeks, read, tmp_path):
    """The same weeks half a year later give the same forecasts, also of the model that was saved, where it is not."""
    panel = generate(SyntheticStoreParams(items=8, days=7 * (weeks + 4), new_share=0.0)).panel.by_week()
    later = dataclasses.replace(panel, dates=panel.dates + pd.Timedelta(weeks=26))
    model = create("transformer", fine_tune_steps=2, validation=0, progress=False).fine_tune(panel.until(weeks))
    model.save(tmp_path)
    forecasts = [
        forecaster.predict_mean(days.until(weeks), known_future(days, weeks, 4))
        for forecaster in (model, load(tmp_path))
        for days in (panel, later)
    ]
    assert np.array_equal(forecasts[0], forecasts[2])
    assert np.array_equal(forecasts[0], forecasts[1]) == np.array_equal(forecasts[2], forecasts[3]) == (not read)
