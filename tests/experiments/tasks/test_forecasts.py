"""Fine-tuned forecasters are kept; what a cache holds besides changes no forecaster."""

import numpy as np
from storelab.data import SyntheticStoreParams, generate
from storelab.experiments.tasks import forecasts
from storelab.forecasting import create


def test_a_member_alone_is_the_same_whether_or_not_an_ensemble_is_kept(tmp_path, monkeypatch):
    """In an ensemble it takes over what a copy has learnt from its validation days: alone it asks anew."""
    past = generate(SyntheticStoreParams(items=6, days=200)).panel
    both = create("ensemble", members=["lightgbm", "lightgbm_mean"], horizon=7, params={"lightgbm": {"rounds": 3}})
    ensemble = forecasts.fine_tuned(both, past, tmp_path)
    assert np.array_equal(both.weights, [0.5, 0.5])  # what was given is not changed
    fresh = {name: forecasts.fine_tuned(member, past) for name, member in zip("ab", both.members, strict=True)}
    kept = {name: forecasts.fine_tuned(member, past, tmp_path) for name, member in zip("ab", both.members, strict=True)}
    assert [f.fingerprint() for f in kept.values()] == [f.fingerprint() for f in fresh.values()]
    assert ensemble.members[1].fingerprint() != fresh["b"].fingerprint()
    monkeypatch.setattr(type(both), "fine_tune", lambda *_: 1 / 0)
    monkeypatch.setattr(type(both.members[0]), "fine_tune", lambda *_: 1 / 0)
    assert forecasts.fine_tuned(both, past, tmp_path).fingerprint() == ensemble.fingerprint()
    assert forecasts.fine_tuned(both.members[0], past, tmp_path).fingerprint() == fresh["a"].fingerprint()
