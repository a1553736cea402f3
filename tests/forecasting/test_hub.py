"""Public checkpoints: what the libraries themselves say comes out, and what is no checkpoint is named."""

import json
import math
import shutil
import socket

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from storelab.data import Panel
from storelab.errors import FieldError
from storelab.forecasting import DECILES, create, known_future, load
from storelab.forecasting.distribution import LEVELS, Dependence
from storelab.forecasting.hub import ChronosBolt, HubParams, _without_gaps

from .conftest import HUB, QUICK_HUB

ORIGIN, NINE = 340, [round(0.1 * k, 1) for k in range(1, 10)]


@pytest.fixture(scope="module")
def few(panel):
    """Four items, not in whole units, without closed days; the last one has a gap; a covariate known ahead, one not."""
    some = panel.select(panel.items[:4])
    units = 1.5 * some.units
    units[ORIGIN - 40 : ORIGIN - 20, 3] = np.nan
    visits = {"visits": np.random.default_rng(0).random(units.shape)}
    closed = np.zeros(len(some.dates), bool)
    return changed(some, units=units, closed=closed, covariates=some.covariates, past_covariates=visits)


def changed(panel: Panel, **arrays) -> Panel:
    fields = {name: getattr(panel, name) for name in ("items", "dates", "units", "price", "promo", "closed", "holiday")}
    return Panel(**{**fields, **arrays})


def made(checkpoints, family, **params):
    return create("hub", checkpoint=str(checkpoints[family]), **{**QUICK_HUB, **params})


def deciles(model, panel, horizon):
    return model.predict(panel.until(ORIGIN), known_future(panel, ORIGIN, horizon), DECILES)


def of_the_library(family, model, past: Panel, known) -> np.ndarray:
    """Deciles (I, H, 9) by the family's own interface, from the last 84 days."""
    import chronos

    units = torch.from_numpy(past.units[-84:].T).float()
    if family == "chronos_bolt":
        quantiles = chronos.ChronosBoltPipeline(model).predict(units, known.horizon).transpose(1, 2)
    elif family == "chronos_2":
        log_price, last = np.log(past.price[-84:]), np.log(past.price[-1])
        ahead = np.where(np.isnan(known.price), last, np.log(known.price))
        inputs = [
            {
                "target": units[item],
                "past_covariates": {
                    "a": log_price[:, item],
                    "b": past.promo[-84:, item].astype(float),
                    "c": past.closed[-84:].astype(float),
                    "d": past.holiday[-84:].astype(float),
                    "e": past.covariates["display"][-84:, item],
                    "f": past.past_covariates["visits"][-84:, item],
                },
                "future_covariates": {
                    "a": ahead[:, item],
                    "b": known.promo[:, item].astype(float),
                    "c": known.closed.astype(float),
                    "d": known.holiday.astype(float),
                    "e": known.covariates["display"][:, item],
                },
            }
            for item in range(len(units))
        ]
        quantiles = torch.cat(chronos.Chronos2Pipeline(model).predict(inputs, known.horizon)).transpose(1, 2)
    else:
        series, quantiles = _without_gaps(units), []
        while sum(part.shape[1] for part in quantiles) < known.horizon:
            with torch.no_grad():
                output = model(series, forecast_context_len=88)
            quantiles.append(output.full_predictions[..., 1:])
            series = [torch.cat(pair) for pair in zip(series, output.mean_predictions, strict=True)]
        quantiles = torch.cat(quantiles, dim=1)[:, : known.horizon]
    quantiles = quantiles.sort(dim=-1).values.clamp(min=0).numpy()
    return quantiles[..., 2:-2:2] if family == "chronos_2" else quantiles  # 1 %, 5 %, 10 %, ...


@pytest.mark.filterwarnings("ignore:We recommend keeping prediction length", "ignore:.* sees units alone")
@pytest.mark.parametrize("horizon", [14, 49])  # the models' own is 32 days
@pytest.mark.parametrize("family", HUB)
def test_deciles_are_those_of_the_library(checkpoints, few, family, horizon):
    model = made(checkpoints, family, horizon=56)
    quantiles = deciles(model, few, horizon)
    expected = of_the_library(family, model.network.model, few.until(ORIGIN), known_future(few, ORIGIN, horizon))
    assert np.ptp(expected) > 1.0
    np.testing.assert_allclose(quantiles, expected, atol=1e-5 * expected.max())


@pytest.mark.parametrize(("planned", "moved"), [(True, True), (False, False)])
@pytest.mark.parametrize("name", ["price", "promo", "display"])
def test_chronos_2_uses_what_is_planned(checkpoints, few, name, planned, moved):
    model, past, known = (
        made(checkpoints, "chronos_2", planned=planned),
        few.until(ORIGIN),
        known_future(few, ORIGIN, 14),
    )
    before = model.predict(past, known)
    column = known.covariates[name] if name == "display" else getattr(known, name)
    column[:7, 1] = 0.5 * column[:7, 1] if name == "price" else 1 - column[:7, 1]
    after = model.predict(past, known)
    assert (after[1] != before[1]).any() == moved
    np.testing.assert_array_equal(np.delete(after, 1, axis=0), np.delete(before, 1, axis=0))


def test_who_takes_no_covariates_says_so(checkpoints, few):
    with pytest.warns(UserWarning, match="sees units alone: covariates display, visits are not used"):
        deciles(made(checkpoints, "chronos_bolt"), few, 14)


@pytest.mark.parametrize("family", HUB)
def test_closed_days_are_zero(checkpoints, few, family):
    sundays = np.asarray(few.dates.dayofweek == 6)
    quantiles = deciles(made(checkpoints, family), changed(few, closed=sundays), 14)
    closed = sundays[ORIGIN : ORIGIN + 14]
    assert (quantiles[:, closed] == 0).all()
    assert (quantiles[:, ~closed] > 0).any()


def test_gaps_are_filled_in_linearly():
    nan = np.nan
    units = torch.tensor([[nan, 1.0, nan, nan, 4.0, nan], [nan] * 6, [2.0, 0.0, 3.0, 1.0, 1.0, nan]])
    expected = [[1.0, 2.0, 3.0, 4.0, 4.0], [0.0], [2.0, 0.0, 3.0, 1.0, 1.0, 1.0]]
    assert [series.tolist() for series in _without_gaps(units)] == expected


def test_levels_beyond_the_models_own(checkpoints):
    """Exponential above the ninth decile: its mean excess is found again, and log 2 of it is between .9 and .95."""
    network = made(checkpoints, "chronos_bolt").network
    assert float(network.upper) == pytest.approx(Dependence.tail)
    own = torch.arange(1.0, 10.0).expand(20_000, 1, 9)
    scale = torch.full((20_000, 1), 10.0)
    at = {level: LEVELS.index(level) for level in (0.02, 0.1, 0.5, 0.9, 0.95, 0.98)}
    quantiles = network._at_levels(own, scale[..., None])
    assert quantiles[0, 0, at[0.1] : at[0.9] + 1].tolist() == pytest.approx(list(range(1, 10)))
    assert quantiles[0, 0, at[0.02]] == quantiles[0, 0, at[0.1]]
    excess = torch.distributions.Exponential(1 / 3.0)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network.fit_tail(quantiles, scale, 9.0 + excess.sample((20_000, 1)))
    spread = 9.0 - 5.0 + 0.1 * 10.0
    assert float(network.upper) * spread == pytest.approx(3.0, rel=0.03)
    quantiles = network._at_levels(own, scale[..., None])[0, 0]
    for level in (0.95, 0.98):
        assert float(quantiles[at[level]]) == pytest.approx(9 + 3.0 * math.log(0.1 / (1 - level)), rel=0.02)


def test_no_gradient_comes_from_other_levels(checkpoints):
    network = made(checkpoints, "chronos_bolt").network
    for level in LEVELS:
        own = torch.rand((1, 1, 9)).requires_grad_()
        quantile = network._at_levels(own, torch.ones((1, 1, 1)))[..., LEVELS.index(level)]
        assert quantile.requires_grad
        assert bool(torch.autograd.grad(quantile.sum(), own)[0].any()) == (level in NINE)


@pytest.mark.parametrize("family", HUB)
@pytest.mark.parametrize("method", ["full", "lora"])
def test_fine_tuning_learns(checkpoints, few, family, method):
    past, settings = few.until(ORIGIN), {"method": method, "fine_tune_steps": 4, "batch_size": 16, "horizon": 14}
    models = [made(checkpoints, family, seed=seed, **settings).fine_tune(past) for seed in (0, 0, 1)]
    losses = [row["validation_loss"] for row in models[0].history]
    assert min(losses) < losses[0]
    weights = [sum(weight.numel() for weight in model.network.parameters()) for model in models]
    assert weights[0] == sum(weight.numel() for weight in made(checkpoints, family).network.parameters())  # merged
    assert (models[0].trained_weights == weights[0]) == (method == "full")
    first, again, other = (model.fingerprint() for model in models)
    assert first == again
    assert first != other


@pytest.mark.parametrize("family", HUB)
def test_zero_steps_leave_the_weights(checkpoints, few, family):
    before, model = made(checkpoints, family), made(checkpoints, family, fine_tune_steps=0)
    model.fine_tune(few.until(ORIGIN))
    states = (before.network.model.state_dict(), model.network.model.state_dict())
    assert all(torch.equal(states[0][name], value) for name, value in states[1].items())
    upper = [float(tuned.network.upper) for tuned in (before, model)]
    assert (upper[0] != upper[1]) == (family != "chronos_2")  # whose last level is .99
    assert (model.dependence, upper[1]) != (before.dependence, upper[0])


def test_loading_needs_no_checkpoint(checkpoints, few, tmp_path):
    shutil.copytree(checkpoints["timesfm_2_5"], tmp_path / "checkpoint")
    model = create("hub", checkpoint=str(tmp_path / "checkpoint"), **QUICK_HUB).fine_tune(few.until(ORIGIN))
    model.save(tmp_path / "saved")
    shutil.rmtree(tmp_path / "checkpoint")
    again = load(tmp_path / "saved")
    assert {path.name for path in (tmp_path / "saved").iterdir()} == {"config.json", "model.safetensors"}
    assert again.fingerprint() == model.fingerprint()
    np.testing.assert_array_equal(deciles(again, few, 14), deciles(model, few, 14))
    again.update(few.until(ORIGIN + 14))  # goes on from there
    assert again.trained_until == str(few.dates[ORIGIN + 13].date())


@pytest.mark.parametrize(
    "architecture",
    [None, [], {}, {"architectures": ["T5Model"]}, {"architectures": [[]]}]
    + [{"architectures": ["Chronos2Model"], "chronos_config": []}],
)
def test_load_of_a_damaged_architecture(checkpoints, tmp_path, architecture):
    made(checkpoints, "chronos_bolt").save(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"architecture": architecture}))
    with pytest.raises(ValueError, match="holds no usable hub"):
        load(tmp_path)


def _config(folder, **changes):
    file = folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def _fewer_weights(folder):
    weights = load_file(folder / "model.safetensors")
    del weights[next(name for name in weights if "input_patch" in name or "input_ff" in name)]
    save_file(weights, folder / "model.safetensors", {"format": "pt"})


def _pickled(folder):
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()


DAMAGES = {
    "no config": lambda folder: (folder / "config.json").unlink(),
    "not JSON": lambda folder: (folder / "config.json").write_text("{"),
    "no mapping": lambda folder: (folder / "config.json").write_text("[]"),
    "another family": lambda folder: _config(folder, architectures=["T5ForConditionalGeneration"]),
    "no family": lambda folder: _config(folder, architectures=None),
    "another size": lambda folder: _config(folder, head_dim=4),
    "a size of text": lambda folder: _config(folder, hidden_size="large"),
    "no weights": lambda folder: (folder / "model.safetensors").unlink(),
    "half the weights": lambda folder: (folder / "model.safetensors").write_bytes(b"\x08" * 100),
    "a weight less": _fewer_weights,
    "pickled weights": _pickled,
}


@pytest.mark.parametrize(
    ("family", "damage"),
    [*(("timesfm_2", damage) for damage in DAMAGES), *((name, "a weight less") for name in HUB if name != "timesfm_2")],
)
def test_what_is_no_checkpoint_is_named(checkpoints, tmp_path, family, damage):
    folder = tmp_path / "checkpoint"
    shutil.copytree(checkpoints[family], folder)
    DAMAGES[damage](folder)
    with pytest.raises(FieldError) as error:
        create("hub", checkpoint=str(folder))
    assert (error.value.field, error.value.value) == ("checkpoint", str(folder))
    assert "expected the hub name" in str(error.value)
    assert "\n" not in str(error.value)


def test_a_hub_out_of_reach_is_named(monkeypatch, tmp_path):
    def no_network(*args, **kwargs):
        raise socket.gaierror("Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", no_network)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)  # it tries for half a minute otherwise
    with pytest.raises(ValueError, match=r"^checkpoint: 'nobody/nothing' is not allowed, expected .*TimesFm2_5Model"):
        create("hub", checkpoint="nobody/nothing")


def test_how_attention_is_computed_is_not_read(checkpoints, tmp_path):
    """It can name code on the hub."""
    shutil.copytree(checkpoints["chronos_bolt"], tmp_path / "checkpoint")
    _config(tmp_path / "checkpoint", attn_implementation="nobody/kernel", _attn_implementation="nobody/kernel")
    model = create("hub", checkpoint=str(tmp_path / "checkpoint"), **QUICK_HUB)
    assert isinstance(model.network, ChronosBolt)
    assert "nobody" not in str(model.network.model.config._attn_implementation)


@pytest.mark.parametrize(
    ("field", "value"),
    [("checkpoint", " "), ("checkpoint", 3), ("method", "head"), ("context", 100), ("fine_tune_steps", -1)]
    + [("device", "abacus"), ("precision", "float16"), ("batch_size", 0), ("fine_tune_learning_rate", 2.0)],
)
def test_bad_parameters_are_named(field, value):
    with pytest.raises(ValueError, match=rf"{field}: .* is not allowed, expected"):
        HubParams(**{field: value})
