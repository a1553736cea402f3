import pytest
import torch
from storelab.data import SyntheticStoreParams, generate
from storelab.forecasting import create

# Tiny tensors: a second thread costs more than it gives, and far more where other work runs beside the tests.
torch.set_num_threads(1)

TINY = dict(pretrained="", d_model=32, layers=1, heads=2, d_ff=64, context=84, batch_size=64, steps=150, progress=False)


@pytest.fixture(scope="session")
def panel():
    """30 items, 400 days."""
    return generate(SyntheticStoreParams(items=30, days=400)).panel


@pytest.fixture(scope="session")
def tiny(panel):
    """A tiny transformer, trained on the first 340 days."""
    return create("transformer", **TINY).fit(panel.until(340))
