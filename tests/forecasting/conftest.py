import numpy as np
import pytest
import torch
from storelab.data import SyntheticStoreParams, generate
from storelab.forecasting import FORECASTERS, create

# Tiny tensors: a second thread costs more than it gives, and far more where other work runs beside the tests.
torch.set_num_threads(1)

TINY = dict(pretrained="", d_model=32, layers=1, heads=2, d_ff=64, context=84, batch_size=64, steps=150, progress=False)

QUICK = {"transformer": {**TINY, "steps": 3}, "lightgbm": {"rounds": 5, "progress": False}}
QUICK["conformal"] = {"base": "lightgbm", "params": QUICK["lightgbm"], "windows": 2}


@pytest.fixture(scope="session")
def panel():
    """30 items, 400 days, a covariate known in advance and one of the past."""
    panel = generate(SyntheticStoreParams(items=30, days=400)).panel
    rng = np.random.default_rng(0)
    panel.covariates = {"display": (rng.random(panel.units.shape) < 0.1) * 1.0}
    panel.past_covariates = {"visits": np.nan_to_num(panel.units) + rng.poisson(3.0, panel.units.shape)}
    return panel


@pytest.fixture(scope="session")
def tiny(panel):
    """A tiny transformer, trained on the first 340 days."""
    return create("transformer", **TINY).fit(panel.until(340))


@pytest.fixture(scope="session")
def ready(panel, tiny):
    """Name -> a forecaster that can forecast, trained on the first 340 days where it has to be."""
    made = {name: create(name, **QUICK.get(name, {})) for name in FORECASTERS}
    for name in ("lightgbm", "conformal"):
        made[name].fit(panel.until(340))
    return made | {"transformer": tiny}
