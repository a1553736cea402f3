"""What all tests share: where the real data lies, and how many examples the hostile tests try."""

import os
import sys
from datetime import date, timedelta
from pathlib import Path
from types import ModuleType
from unittest import mock

import numpy as np
import pandas as pd
import pytest
from hypothesis import settings
from storelab.envs.registry import entry_of

sys.modules["tests"] = ModuleType("tests")  # a package of others leaves a folder of this name in site-packages
sys.modules["tests"].__path__ = [str(Path(__file__).parent)]

settings.register_profile("storelab", deadline=None, derandomize=True)
settings.load_profile("storelab")

FULL = bool(os.environ.get("STORELAB_FULL"))  # all examples instead of CI's share


def pytest_addoption(parser):
    parser.addoption("--part", default="1/1", help="K/N: of the files with tests every N-th, from the K-th on")


def pytest_collection_modifyitems(config, items):
    """Keep the files of a part: what takes long is run in parts, say one on each day of the week."""
    part, parts = map(int, config.getoption("part").split("/"))
    if not 1 <= part <= parts:
        raise pytest.UsageError(f"--part: {part}/{parts} is not allowed, expected K/N with K from 1 to N")
    files = list(dict.fromkeys(item.path for item in items))
    kept = {path for number, path in enumerate(files) if number % parts == part - 1}
    config.hook.pytest_deselected(items=[item for item in items if item.path not in kept])
    items[:] = [item for item in items if item.path in kept]


@pytest.fixture(autouse=True)
def environment():
    """What a test, or a command that it runs, sets in the environment is gone after it."""
    with mock.patch.dict(os.environ):
        yield


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


@pytest.fixture(scope="session")
def write_contest():
    """Return what writes the files of a VN2 contest into a folder."""

    def write(folder: Path, units: np.ndarray, history: int, on_hand, in_transit, later=()) -> None:
        """Write a contest: units (I, D), the first `history` weeks in week 0, the others in the files of `later`."""
        dates = pd.date_range("2022-01-03", periods=units.shape[1], freq="7D").strftime("%Y-%m-%d")
        keys = pd.DataFrame({"Store": np.arange(len(units)) // 2, "Product": 10 + np.arange(len(units))})
        sales = pd.concat([keys, pd.DataFrame(units, columns=dates)], axis=1)
        for week in (0, *later):
            day = dates[history + week - 1]
            sales[["Store", "Product", *dates[: history + week]]].to_csv(
                folder / f"Week {week} - {day} - Sales.csv", index=False
            )
        stock = pd.concat([keys, pd.DataFrame(units[:, :history] > 0, columns=dates[:history])], axis=1)
        stock.to_csv(folder / "Week 0 - In Stock.csv", index=False)
        keys.assign(Department=keys["Product"] % 3).to_csv(folder / "Week 0 - Master.csv", index=False)
        state = keys.assign(
            **{"End Inventory": on_hand, "In Transit W+1": in_transit[0], "In Transit W+2": in_transit[1]}
        )
        state.to_csv(folder / "Week 0 - 2022 - Initial State.csv", index=False)

    return write


@pytest.fixture(scope="session")
def contest_folder(write_contest, tmp_path_factory):
    """Return the folder of a contest of six series and 60 weeks, all eight weeks of the contest known."""
    folder = tmp_path_factory.mktemp("contest")
    units = np.random.default_rng(0).poisson(3, (6, 68)).astype(float)
    write_contest(folder, units, 60, np.arange(6), np.ones((2, 6)), later=range(1, 9))
    return folder


@pytest.fixture
def data_of(request):
    """Return what a task needs of a user's files: `TASKS[name](**data_of(name))`."""

    def data(task: str) -> dict:
        if task == "Store":
            return {"data": str(request.getfixturevalue("own_store"))}
        if task == "VN2":
            return {"data": str(request.getfixturevalue("contest_folder"))}
        if task == "OnlineRetail-v1":
            return {"data": str(request.getfixturevalue("real_data") / "online_retail_ii")}
        if entry_of(task).panel:  # the ready panel: the raw file takes seconds to clean
            return {"data": str(request.getfixturevalue("real_data") / "online_retail_daily_panel.parquet")}
        return {}

    return data
