"""What all tests share: where the real data lies, and how many examples the hostile tests try."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("storelab", deadline=None, derandomize=True)
settings.load_profile("storelab")

FULL = bool(os.environ.get("STORELAB_FULL"))  # all examples instead of CI's share


@pytest.fixture(scope="session")
def share():
    """Return a function that cuts a number of examples to CI's share."""
    return lambda count: count if FULL else max(1, count // 20)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Return the folder with the real data, or skip."""
    folder = Path(__file__).parents[1].parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the real data is not beside the checkout")
    return folder
