"""The ablation of the whole store: paired differences, and every channel once."""

from dataclasses import fields

import numpy as np
import pytest
from storelab.envs.marketplace.params import StoreModels
from storelab.experiments.studies import ablation

SMALL = dict(items=5, page_size=3, horizon=7, population=200.0)


def folder(path):
    none = StoreModels.none()
    tables = {f.name: getattr(none, f.name) for f in fields(none) if f.name != "relevance"}
    path.mkdir()
    np.savez(path / "tables.npz", relevance=np.random.default_rng(0).random((4, 5)), **tables)
    return str(path)


def test_every_channel_is_measured(tmp_path, monkeypatch):
    pytest.importorskip("cma")
    monkeypatch.setattr("storelab.agents.heuristics.marketplace.GENERATIONS", 2)
    found = ablation.variants(folder(tmp_path / "models"), folder(tmp_path / "rules"))
    values = {name: ablation.measure(changes, 4, 2, **SMALL) for name, changes in list(found.items())[:3]}
    assert all(len(profit) == 4 for profit in values.values())
    table = ablation.table(values)
    assert table.loc["all learned", "difference"] == 0
    assert (table["low"] <= table["difference"]).all()
    switched = {key for changes in found.values() for key in changes}
    assert switched == {"models", "ranking", "sentiment", "screening", "forecast"}
