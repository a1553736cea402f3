"""The ensemble is the mean of its members, saved and loaded with them."""

import copy

import numpy as np
import pytest
import torch
from storelab.data import Panel
from storelab.forecasting import create, known_future, load
from storelab.forecasting.distribution import LEVELS
from storelab.forecasting.ensemble import Ensemble
from storelab.forecasting.recalibration import Spread, Window, weights_of

from .conftest import QUICK

ORIGIN = 340


def test_quantiles_are_the_members_mean(panel, ready):
    halves = Panel(**vars(panel) | {"units": panel.units + 0.5})  # none is rounded
    history, known = halves.until(ORIGIN), known_future(halves, ORIGIN, 14)
    ensemble = ready["ensemble"]
    own = np.stack([member._forecast(history, known)[0].numpy() for member in ensemble.members])
    plain = np.einsum("m,mihq->ihq", ensemble.weights, own)
    assert sum(ensemble.weights) == pytest.approx(1)
    assert min(ensemble.weights) >= 2 / 12
    ensemble = copy.deepcopy(ensemble)
    ensemble.spread = Spread()
    np.testing.assert_allclose(ensemble._forecast(history, known)[0], plain, rtol=1e-4, atol=1e-4)
    assert (own[0] != own[1]).any()


def test_weights_spread_and_copula_come_from_days_that_no_member_has_seen(panel, monkeypatch):
    seen = []
    monkeypatch.setattr(Ensemble, "_window", lambda self, *args: seen.append(args) or window(self, *args))
    few = panel.select(panel.items[:5]).until(160)
    params = {"transformer": QUICK["transformer"]}
    create("ensemble", members=["transformer"], params=params, windows=2, horizon=14).fit(few)
    assert [origin for _, _, _, origin, _ in seen] == [132, 146]
    for early, *_ in seen:
        assert early[0].trained_until == str(panel.dates[131].date())


window = Ensemble._window


@pytest.mark.slow
def test_members_take_over_what_copies_learnt_from_their_validation_days(panel, monkeypatch):
    early = []
    monkeypatch.setattr(Ensemble, "_window", lambda self, *args: early.append(args[0]) or window(self, *args))
    few = panel.select(panel.items[:5]).until(200)
    params = {"transformer": {"fine_tune_steps": 6, "progress": False}, "lightgbm_mean": {"rounds": 5, "leaf_rows": 5}}
    model = create("ensemble", members=["transformer", "lightgbm_mean"], params=params, windows=1, horizon=14)
    model.fine_tune(few)
    network, trees = model.members
    assert early[0][0].steps is not None
    assert network.history[-1]["step"] == early[0][0].steps if network.history else early[0][0].steps == 0
    assert not any(
        "validation_loss" in row and row["validation_loss"] == row["validation_loss"] for row in network.history
    )
    assert trees.dispersion == early[0][1].dispersion
    assert network.trained_until == str(few.dates[-1].date())
    other = panel.select(panel.items[5:10]).until(200)  # a later training asks anew
    fresh = create("ensemble", members=["transformer", "lightgbm_mean"], params=params, windows=1, horizon=14)
    again, first = copy.deepcopy(model).fine_tune(other).members[1], fresh.fine_tune(other).members[1]
    assert again.fingerprint() == first.fingerprint()
    assert again.dispersion != trees.dispersion


def test_a_short_panel_has_fewer_windows_or_none(panel):
    params = QUICK["ensemble"] | {"params": QUICK["ensemble"]["params"] | {"transformer": {"fine_tune_steps": 0}}}
    model = create("ensemble", **params | {"windows": 3}).fine_tune(panel.until(60))
    assert model.weights == [1 / 3] * 3
    assert model.spread == Spread()


def past(errors: np.ndarray, spreads=(1.0,)) -> Window:
    """Windows of one day whose units (N,) are `errors`, forecast by normal quantiles of mean 20 and of `spreads`."""
    levels = torch.special.ndtri(torch.tensor(LEVELS))
    quantiles = torch.stack([(20 + spread * levels).expand(len(errors), 1, -1) for spread in spreads])
    units = torch.from_numpy(20 + errors).float()[:, None]
    return Window(
        quantiles, torch.full((len(errors), 1), 20.0), units, np.full(len(errors), "smooth", object), False, 10**6
    )


def test_a_forecast_too_narrow_is_widened_and_one_too_wide_is_narrowed():
    for true in (0.8, 1.4):
        of = past(np.random.default_rng(0).normal(0, 3 * true, 20_000), [3.0])
        spread = Spread.fitted(of.quantiles[0], of, tail=0.6, seed=0)
        assert spread.factors["smooth"] == pytest.approx(true, rel=0.06)
        wider = spread.applied(of.quantiles[0][:1], of.scale[:1], np.array(["smooth"]))[0, 0]
        decile, median = wider[LEVELS.index(0.9)], wider[LEVELS.index(0.5)]
        assert float(decile - median) == pytest.approx(1.2816 * 3 * true, rel=0.08)
        assert float(median) == pytest.approx(20, abs=0.05)


def test_weights_go_to_the_member_that_is_right_and_leave_some_to_the_others():
    of = past(np.random.default_rng(0).normal(0, 3, 2000), [3.0, 9.0])
    assert weights_of(of) == [8 / 10, 2 / 10]
    assert weights_of(past(np.random.default_rng(0).normal(0, 3, 50), [3.0])) == [1.0]


def test_one_name_twice_takes_two_seeds():
    params = {"transformer": QUICK["transformer"]}
    ensemble = create("ensemble", members=["transformer", "transformer"], params=params, planned=False, seed=5)
    assert [member.params.seed for member in ensemble.members] == [5, 6]
    assert not any(member.params.planned for member in ensemble.members)


def test_a_changed_member_is_noticed(ready, tmp_path):
    ready["ensemble"].save(tmp_path)
    ready["lightgbm"].save(tmp_path / "member-0")
    with pytest.raises(ValueError, match="holds no usable ensemble: its members do not have the fingerprints"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("params", "match"),
    [
        (
            {"members": []},
            r"members: \[\] is not allowed, expected a list of transformer, .*, hub",
        ),
        ({"members": ["tsb"]}, r"members: \['tsb'\] is not allowed"),
        ({"params": {"hub": {}}}, "params: .* is not allowed with 'hub', expected keys of transformer"),
        ({"params": {"lightgbm": {"seed": 1}}}, "params\\.lightgbm: {'seed': 1} is not allowed"),
        ({"windows": -1}, "windows: -1 is not allowed, expected a whole number from 0 to 100"),
        ({"planned": 1}, "planned: 1 is not allowed, expected a bool"),
    ],
)
def test_bad_parameters(params, match):
    with pytest.raises(ValueError, match=match):
        create("ensemble", **params)
