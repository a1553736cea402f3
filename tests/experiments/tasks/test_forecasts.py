"""Fine-tuned forecasters are kept, and an ensemble's members with it."""

import numpy as np
from storelab.data import SyntheticStoreParams, generate
from storelab.experiments.tasks import forecasts
from storelab.forecasting import create


def test_an_ensembles_members_are_kept_as_if_fine_tuned_alone(tmp_path, monkeypatch):
    past = generate(SyntheticStoreParams(items=6, days=200)).panel
    small = {"horizon": 7, "rounds": 3}
    both = create("ensemble", members=["lightgbm", "lightgbm_mean"], horizon=7, params={"lightgbm": {"rounds": 3}})
    forecasts.fine_tuned(both, past, tmp_path)
    alone = create("lightgbm", **small)
    fresh = forecasts.fine_tuned(alone, past)
    monkeypatch.setattr(type(alone), "fine_tune", lambda *_: 1 / 0)
    kept = forecasts.fine_tuned(alone, past, tmp_path)
    assert kept.fingerprint() == fresh.fingerprint()
    assert np.array_equal(both.weights, [0.5, 0.5])  # what was given is not changed
