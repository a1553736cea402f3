"""The studies of docs/forecasting_results.md, on stores as small as they run on: who is compared, and on what."""

import dataclasses
from functools import partial

import numpy as np
import pytest
from storelab.data import SyntheticStoreParams, generate
from storelab.forecasting import DECILES, compare, create
from storelab.forecasting.backtest import metrics
from storelab.forecasting.transformer import TransformerParams
from storelab.learning.params import CHOICES


@pytest.fixture(autouse=True)
def two_steps(monkeypatch):
    """Of each fine-tuning."""
    few = {"fine_tune_steps": 2, "validation_windows": 50}
    monkeypatch.setattr(TransformerParams, "validation_windows", few.pop("validation_windows"))
    monkeypatch.setattr(compare, "TransformerParams", partial(TransformerParams, **few))

    def quick(name, **params):
        if name == "ensemble":
            trees = {of: {**p, "rounds": 2} for of, p in params["params"].items() if "lightgbm" in of}
            params["params"] = trees | {"transformer": few}
        more = {"lightgbm": {"rounds": 2}, "transformer": few}.get(name, {})
        return create(name, **{**more, **params})

    monkeypatch.setattr(compare, "create", quick)


@pytest.mark.slow
def test_methods(panel):
    rows = list(compare.methods(panel.select(panel.items[:6]), [372], seeds=1))
    assert [row["method"] for row in rows] == ["zero-shot", *CHOICES["method"]]
    trained = {row["method"]: row["trained"] for row in rows}
    whole = sum(weight.numel() for weight in create("transformer").network.parameters())
    assert trained["zero-shot"] == 0 < trained["adapter"] < trained["head"] < trained["full"] == whole
    assert all(0 < row["wQL"] < 2 and row["seconds"] > 0 and row["peak_MB"] > 0 for row in rows)


def test_covariates():
    panel = generate(SyntheticStoreParams(items=8, days=7 * 60, new_share=0.0)).panel.by_week()
    rows = list(compare.covariates(panel, 1, 1))
    names = ["lightgbm", "zero-shot", "fine-tuned", "two members"]
    assert [(row["model"], row["covariates"]) for row in rows] == [
        (name, known) for known in ("known", "not known") for name in names
    ]
    wql = {(row["model"], row["covariates"]): row["wQL"] for row in rows}
    assert all(0 < value < 2 for value in wql.values())
    assert wql["zero-shot", "known"] != wql["zero-shot", "not known"]


def test_tasks(panel):
    units = panel.select(panel.items[:6])
    orders = dataclasses.replace(units, units=np.ceil(units.units / 3))
    rows = list(compare.tasks(units, orders, [372], seeds=1))
    columns = {row["model"]: {name for name in row if name.startswith("wQL of")} for row in rows}
    assert columns == {
        "trained on units": {"wQL of units"},
        "trained on orders": {"wQL of orders"},
        "trained on both": {"wQL of units", "wQL of orders"},
    }
    assert all(0 < row[name] < 2 for row in rows for name in row if name.startswith("wQL of"))


@pytest.mark.slow
def test_updates(monkeypatch):
    """Days that are measured are in no training: of the old ones none is observed, the new ones come after its end."""
    few = lambda params: generate(SyntheticStoreParams(**vars(params) | {"items": 4}))
    monkeypatch.setattr(compare, "generate", few)
    seen, update = [], compare.Transformer.update

    def recorded(model, panel, replay):
        seen.append((len(panel.dates), np.isnan(panel.units[154:210]).all(), model.trained_until, replay))
        return update(model, panel, replay)

    monkeypatch.setattr(compare.Transformer, "update", recorded)
    rows = list(compare.updates(1, old_days=210, new_days=70))
    assert [row["model"] for row in rows] == ["before", "no replay", "replay"]
    assert all(0 < row[name] < 2 for row in rows for name in ("wQL_old_days", "wQL_new_days"))
    ends = str((generate(SyntheticStoreParams(items=4, days=300)).panel.dates[209]).date())
    assert seen == [(280, True, ends, 0.0), (280, True, ends, 0.5)]


def test_the_loss_is_that_of_the_backtest():
    rng = np.random.default_rng(0)
    actual, quantiles = rng.poisson(3.0, (5, 7)).astype(float), np.sort(rng.gamma(3.0, size=(5, 7, 9)))
    expected = metrics(actual, quantiles, quantiles.mean(axis=2), np.ones(5), np.ones(5), DECILES)["wQL"]
    assert compare._weighted_loss(actual, quantiles) == pytest.approx(expected)
