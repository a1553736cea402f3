"""Ratings: the closed form, that every model beats the mean on the synthetic store, and what is refused."""

import numpy as np
import pytest
from storelab.data import SyntheticStoreParams, generate
from storelab.recommendation.base import Histories, Log
from storelab.recommendation.metrics import rating_metrics
from storelab.recommendation.ratings import RatingMF, RatingMFParams, RatingMLP, RatingTransformer, _solve

NEURAL = {"epochs": 20, "batch_size": 16, "validation": 20, "progress": False, "device": "cpu", "d_model": 16}
MODELS = {
    "rating_mf": lambda: RatingMF(),
    "rating_mlp": lambda: RatingMLP(RatingMLP.Params(**NEURAL)),
    "rating_transformer": lambda: RatingTransformer(RatingTransformer.Params(**NEURAL)),
}


@pytest.fixture(scope="module")
def rated():
    """A log and the pairs of the last fifth of its rows, with their stars."""
    store = generate(SyntheticStoreParams(items=60, days=200, customers=150, rating_share=0.8, seed=1))
    frame = store.ratings.sort_values("timestamp", kind="stable").reset_index(drop=True)
    cut = len(frame) * 4 // 5
    log = Log.from_frame(frame[:cut])
    test = frame[cut:]
    test = test[test["item"].isin(log.items) & test["customer"].isin(log.users)]
    user = np.array([log.users.index(name) for name in test["customer"]])
    item = np.array([log.items.index(name) for name in test["item"]])
    return log, user, item, test["rating"].to_numpy(float)


@pytest.mark.parametrize("name", MODELS)
def test_better_than_the_mean_and_the_same_again(name, rated):
    log, user, item, stars = rated
    predicted = MODELS[name]().fit(log).predict(log.histories, user, item)
    assert rating_metrics(predicted, stars)["RMSE"] < 0.97 * rating_metrics(log.histories.rating.mean(), stars)["RMSE"]
    again = MODELS[name]().fit(log)
    np.testing.assert_array_equal(again.predict(log.histories, user, item), predicted)
    someone = np.array([user[0]])
    single = again.predict(log.histories.take(someone), np.array([0]), item[:1])
    np.testing.assert_allclose(single, predicted[:1], rtol=1e-4)


@pytest.mark.parametrize("name", MODELS)
def test_a_user_without_a_history_gets_the_items_stars(name, rated):
    log, *_ = rated
    model = MODELS[name]().fit(log)
    nobody = Histories.of([[], []], log.items, "2024-01-01")
    items = np.arange(len(log.items))
    predicted = model.predict(nobody, np.zeros(len(items), int), items)
    assert np.isfinite(predicted).all()
    mean = np.array([np.mean(log.histories.rating[log.histories.item == k]) for k in items])
    assert np.corrcoef(predicted, mean)[0, 1] > 0.5


def test_rows_are_solved_as_ridge_regressions():
    rng = np.random.default_rng(0)
    row, known, stars = rng.integers(0, 3, 50), rng.normal(size=(50, 2)), rng.normal(size=50)
    solution = _solve(row, known, stars, 4, 2.0)
    for k in range(3):
        x = np.column_stack([np.ones((row == k).sum()), known[row == k]])
        gradient = x.T @ (x @ solution[k] - stars[row == k]) + 2.0 * solution[k]
        np.testing.assert_allclose(gradient, 0, atol=1e-9)
    assert (solution[3] == 0).all()


def test_the_objective_falls_to_a_stationary_point(rated):
    log, *_ = rated
    model = RatingMF(RatingMFParams(factors=2, sweeps=100)).fit(log)
    h, p = log.histories, model.params
    stars = h.rating - model.mean
    users = _solve(h.user, model.factors[h.item], stars - model.bias[h.item], len(log.users), p.penalty)
    error = users[h.user, 0] + model.bias[h.item] + (users[h.user, 1:] * model.factors[h.item]).sum(axis=1) - stars
    gradient = p.penalty * model.bias
    np.add.at(gradient, h.item, error)
    np.testing.assert_allclose(gradient, 0, atol=0.02)


def test_a_log_without_ratings_is_refused(rated):
    log, *_ = rated
    with pytest.raises(ValueError, match="column 'rating': missing or empty"):
        RatingMF().fit(
            Log(log.users, log.items, Histories(*[getattr(log.histories, n) for n in ("item", "day", "start", "now")]))
        )
