"""The study of causes, small: the logs' truth is what changing a decision does, and each part writes its table."""

import numpy as np
import pytest
from storelab.envs.marketplace.params import MarketplaceParams
from storelab.experiments.studies import causes, marketplace_log

SMALL = MarketplaceParams(items=5, page_size=4, horizon=7, population=400.0)


@pytest.fixture(scope="module")
def model():
    return marketplace_log.model_of(SMALL)


@pytest.fixture(scope="module")
def season(model):
    return marketplace_log.simulate(model, marketplace_log.training_keys(0, 8), 0, truth=True)


def test_a_log_has_the_truth_of_its_days(season):
    taken = np.take_along_axis(season.by_level, season.level[..., None], axis=2)[..., 0]
    assert np.allclose(taken, season.orders.sum(axis=2))
    taken = np.take_along_axis(season.margin_by_level, season.level[..., None], axis=2)[..., 0]
    assert np.allclose(taken, season.margin)
    assert (season.by_level.sum((0, 1))[:-1] > season.by_level.sum((0, 1))[1:]).all()  # dearer, fewer
    assert all(season.effect[name].sum() > 0 for name in marketplace_log.TREATMENTS)
    log = season.levels("margin")
    assert np.allclose(log.chance.sum(axis=1), 1)
    assert log.chance.shape == (8 * 7, 3)


def test_the_manager_reacts_to_the_day(season):
    busy = season.store[..., 0] > 1
    assert season.level[busy].mean() > season.level[~busy].mean()


def test_same_seed_same_log(model, season):
    again = marketplace_log.simulate(model, marketplace_log.training_keys(0, 8), 0)
    assert np.array_equal(again.orders, season.orders)
    assert not np.array_equal(
        marketplace_log.simulate(model, marketplace_log.training_keys(0, 8), 1).level, season.level
    )


def test_another_policy_plays(model):
    raised = lambda x: np.eye(3)[np.full(len(x), 2)]
    assert (marketplace_log.simulate(model, marketplace_log.training_keys(0, 4), 0, act=raised).level == 2).all()


def test_parts_make_tables(model):
    pytest.importorskip("econml")
    pytest.importorskip("lightgbm")
    text = causes.effects(model, 1, 4)
    assert text.count("difference in means") == 4
    assert causes.evaluate_policies(model, 1, 4).count("matching") == 6
    assert "best constant" in causes.decide(model, 2, 4)


def test_channels_sum_to_what_all_add(monkeypatch):
    known = {}

    def measure(changes, seasons, tuning):
        key = tuple(sorted(name for name, off in causes.CHANNELS.items() if not off.items() <= changes.items()))
        known[key] = np.random.default_rng(len(known)).normal(100 * len(key), 1, seasons)
        return known[key]

    monkeypatch.setattr(causes, "measure", measure)
    rows = causes.channels({}, 32, 2).splitlines()
    assert len(known) == 16
    total = (known[tuple(sorted(causes.CHANNELS))] - known[()]).mean()
    cells = [row.split("|")[2].strip() for row in rows[-2:]]
    assert cells[0] == f"{total:+,.0f}"
    assert cells[1].startswith(cells[0])


def test_the_best_markup_of_a_slope():
    assert causes.best_markup(-0.8) == pytest.approx(1.25)
    assert causes.best_markup(0.3) == causes.GRID[-1]
    grid = np.linspace(0.3, 4, 1000)
    assert grid[(grid * np.exp(-0.8 * grid)).argmax()] == pytest.approx(1.25, abs=0.01)
