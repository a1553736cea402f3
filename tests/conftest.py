"""What all tests share: where the real data lies, and how many examples the hostile tests try."""

import os
from datetime import date, timedelta
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


@pytest.fixture(scope="session")
def own_store(tmp_path_factory) -> Path:
    """Return a CSV of a store's own: two items, a row per item and day."""
    days = [date(2023, 1, 1) + timedelta(n) for n in range(900)]
    items = enumerate(("tea", "jam"))
    rows = [f"{item},{day},{(3 * n + k) % 7},{4 + k}" for k, item in items for n, day in enumerate(days)]
    path = tmp_path_factory.mktemp("store") / "sales.csv"
    path.write_text("\n".join(["item,date,units,price", *rows]))
    return path
