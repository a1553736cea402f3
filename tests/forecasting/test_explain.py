"""Explanations: they add up, what a model ignores has no part, and a planted promotion is found."""

import numpy as np
import pandas as pd
import pytest
import torch
from storelab.data import Panel
from storelab.forecasting import create, known_future
from storelab.forecasting.explain import explain
from storelab.forecasting.windows import CHANNELS

ORIGIN, HORIZON = 340, 14


def given(panel):
    return panel.until(ORIGIN), known_future(panel, ORIGIN, HORIZON)


@pytest.fixture(scope="module")
def models(ready):
    """LightGBM, trained on the first 340 days, and the shipped weights as they are."""
    return {"lightgbm": ready["lightgbm"], "transformer": create("transformer", fine_tune_steps=0)}


@pytest.mark.slow
@pytest.mark.parametrize("level", [None, 0.1, 0.5, 0.97])
@pytest.mark.parametrize("name", ["lightgbm", "transformer"])
def test_parts_add_up_to_the_forecast(panel, models, name, level):
    """With all units in halves no quantile is rounded: the sum is the forecaster's own number."""
    panel = panel.until(len(panel.dates))
    panel.units[:] += 0.5
    history, known = given(panel)
    for item in panel.items[:3]:
        table = explain(models[name], history, known, item, 3, 9, level)
        if level is None:
            said = models[name].predict_mean(history, known)
        else:
            said = models[name].predict(history, known, (level,))[..., 0]
        expected = said[panel.items.index(item), 2:9].sum()
        assert table["attribution"].sum() == pytest.approx(expected, rel=1e-4, abs=1e-3)
        rest = table.set_index("feature")["attribution"]["not attributed"]
        assert abs(rest) < 0.02 * expected + 0.02
        assert table["attribution"].drop(0).abs().max() > 0


def test_past_days_have_dates_values_and_parts(panel, models):
    history, known = given(panel)
    table = explain(models["transformer"], history, known, panel.items[0])
    units = table[table["feature"] == "units"]
    context = models["transformer"].params.context
    assert units["date"].tolist() == list(history.dates[-context:])
    np.testing.assert_array_equal(units["value"], history.units[-context:, 0])
    other = panel.until(len(panel.dates))
    other.units[ORIGIN - 1, 0] += 200
    more = explain(models["transformer"], *given(other), panel.items[0])
    last = lambda rows: rows[rows["feature"] == "units"]["attribution"].iloc[-1]
    assert last(more) > last(table) + 1


def test_what_the_network_ignores_has_no_part(panel, models):
    """Its weights of promotion and holiday set to zero, the two have none; price, which differs as well, has."""
    model = create("transformer", fine_tune_steps=0)
    for embedding in (model.network.past, model.network.future):
        for layer in (embedding.hidden, embedding.skip):
            with torch.no_grad():
                layer.weight[:, [c for c in range(layer.in_features) if c % CHANNELS in (4, 6)]] = 0.0
    history, known = given(panel)
    known.price[:, 0] *= 0.7
    known.promo[:, 0] = known.holiday[:] = True
    parts = (
        explain(model, history, known, panel.items[0]).groupby("feature")["attribution"].apply(lambda p: abs(p).sum())
    )
    assert parts["promotion"] == parts["holiday"] == 0.0
    assert parts["price"] > 0
    assert (
        explain(models["transformer"], history, known, panel.items[0]).groupby("feature")["attribution"].sum().abs() > 0
    )["promotion"]


def promoted() -> Panel:
    """40 items, 300 days: Poisson units, three times as many on promoted days, which come at random; prices stay."""
    rng = np.random.default_rng(0)
    promo = rng.random((300, 40)) < 0.15
    units = rng.poisson(np.where(promo, 3.0, 1.0) * rng.uniform(3, 12, 40)).astype(float)
    none = np.zeros(300, bool)
    dates = pd.date_range("2024-01-01", periods=300)
    return Panel([f"i{k:02d}" for k in range(40)], dates, units, np.ones_like(units), promo, none, none)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["promotion", "leaflet"])
@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("lightgbm", {"rounds": 20, "progress": False}),
        ("transformer", {"fine_tune_steps": 60, "batch_size": 64, "progress": False}),
    ],
)
def test_a_planted_promotion_is_found(name, params, kind):
    """Day 1 is promoted, the others are not: its part is that of the promotion, near twice the usual day's units.

    It is the panel's promotion or a covariate of its own.
    """
    panel = promoted()
    promo = panel.promo.copy()
    if kind == "leaflet":
        panel.covariates, panel.promo = {"leaflet": promo.astype(float)}, np.zeros_like(promo)
    model = create(name, **params).fine_tune(panel.until(260))
    history, known = panel.until(260), known_future(panel, 260, 7)
    flags = known.promo if kind == "promotion" else known.covariates["leaflet"]
    flags[:] = False
    flags[0] = True
    usual = history.units[~promo[:260, 0], 0].mean()
    for last in (1, 7):
        table = explain(model, history, known, panel.items[0], last=last)
        ahead = table[table["date"] >= known.dates[0]]
        parts = ahead.assign(feature=ahead["feature"].str.removesuffix(" less usual"))
        parts = parts.groupby(["feature", "date"])["attribution"].sum()
        assert parts.idxmax() == (kind, known.dates[0])
        assert usual < parts.max() < 3 * usual


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"item": "nothing"}, "item: 'nothing' is not allowed, expected an item of the panel"),
        ({"first": 5, "last": 4}, r"first, last: \(5, 4\) is not allowed, expected days in 1 \.\. 14"),
        ({"last": 15}, r"first, last: \(1, 15\)"),
        ({"level": 1.0}, r"levels: \[1.0\]"),
        ({"forecaster": create("tsb")}, "forecaster: 'tsb' is not allowed, expected one of lightgbm, transformer"),
    ],
)
def test_bad_arguments(panel, models, change, match):
    history, known = given(panel)
    with pytest.raises(ValueError, match=match):
        explain(
            **{"forecaster": models["lightgbm"], "history": history, "known": known, "item": panel.items[0], **change}
        )


def test_an_item_forecast_as_others_are_is_refused(panel, models):
    history, known = given(panel)
    history.units[:, 0] = np.nan
    with pytest.raises(ValueError, match="has no observed day"):
        explain(models["transformer"], history, known, panel.items[0])
