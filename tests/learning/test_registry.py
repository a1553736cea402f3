"""All packages of models have one shape: what each registry names is created, fitted, saved and loaded in one way."""

from dataclasses import fields, is_dataclass

import numpy as np
import pandas as pd
import pytest
from storelab import forecasting, language, recommendation, risk
from storelab.data import SyntheticStoreParams, generate
from storelab.errors import FieldError
from storelab.forecasting import known_future
from storelab.language.synthetic import synthetic_reviews
from storelab.learning.base import Card
from storelab.learning.registry import Registry
from storelab.recommendation.base import Log

PACKAGES = {
    forecasting: forecasting.FORECASTERS,
    recommendation: recommendation.RECOMMENDERS,
    language: language.CLASSIFIERS,
    risk: risk.FRAUD_MODELS,
}
MODELS = [(package, name) for package, registry in PACKAGES.items() for name in registry]
IDS = [f"{package.__name__.partition('.')[2]}-{name}" for package, name in MODELS]
CHEAP = {
    "forecasting": ("seasonal_naive", "moving_average", "croston_sba", "tsb"),
    "recommendation": ("popularity", "own_frequency", "item_knn", "ease", "rating_mf"),
    "language": ("tfidf",),
    "risk": ("fraud_trees",),
}
CARD = Card("made up", "by time", {}, "tests", "nothing else")


@pytest.fixture(scope="module")
def store():
    return generate(SyntheticStoreParams(items=12, days=120, customers=60, top_rate=8.0))


@pytest.fixture
def registry():
    return Registry("storelab.forecasting", "forecaster", {"moving_average": ".baselines:MovingAverage"})


@pytest.mark.parametrize(("package", "name"), MODELS, ids=IDS)
def test_a_model_has_the_shape(package, name):
    cls = PACKAGES[package].model_class(name)
    assert is_dataclass(cls.Params)
    for method in ("fit", "predict", "save", "load"):
        assert callable(getattr(cls, method)), method
    if name != "hub":  # its defaults name a checkpoint that is fetched
        assert type(package.create(name)) is cls
    with pytest.raises(FieldError) as caught:
        package.create(name, no_such_field=3)
    assert (caught.value.field, caught.value.value) == ("no_such_field", 3)
    assert all(field.name in caught.value.expected for field in fields(cls.Params))


@pytest.mark.parametrize("package", PACKAGES)
def test_an_unknown_name_lists_what_there_is(package, tmp_path):
    with pytest.raises(FieldError) as caught:
        package.create("no_such_model")
    assert caught.value.value == "no_such_model"
    assert all(name in caught.value.expected for name in PACKAGES[package])
    with pytest.raises(ValueError, match="holds no usable"):
        package.load(tmp_path)
    (tmp_path / "config.json").write_text('{"model": "other", "forecaster": "other"}')
    with pytest.raises(ValueError, match="holds a 'other', not a "):
        package.load(tmp_path)


def trained(name: str, package, store):
    """Return a fitted model and the arguments that it predicts from."""
    if package is forecasting:
        history, known = store.panel.until(100), known_future(store.panel, 100, 7)
        return package.create(name).fit(history), (history, known)
    if package is recommendation:
        bought = store.orders.groupby(["customer", "item"], as_index=False)["timestamp"].min()
        bought["rating"] = np.random.default_rng(0).integers(1, 6, len(bought)).astype(float)
        log = Log.from_frame(bought)
        return package.create(name).fit(log), (log.histories, np.array([0, 1, 1]), np.array([3, 0, 2]))
    if package is language:
        reviews = synthetic_reviews(100)
        return package.create(name).fit(reviews["text"].tolist(), reviews["positive"].tolist()), (reviews["text"],)
    rng = np.random.default_rng(0)
    table = rng.normal(size=(400, len(risk.FEATURES))).astype(np.float32)
    fraud = table[:, 0] + rng.normal(size=400) > 1
    model = package.create(name).fit(table[:300], fraud[:300])
    return model.calibrate(table[300:], fraud[300:]), (table,)


@pytest.mark.parametrize(
    ("package", "name"), [(package, name) for package in PACKAGES for name in CHEAP[package.__name__.split(".")[1]]]
)
def test_what_is_loaded_predicts_the_same(package, name, store, tmp_path):
    model, given = trained(name, package, store)
    model.save(tmp_path, *(() if package is forecasting else (CARD,)))
    loaded = package.load(tmp_path)
    assert type(loaded) is type(model) is PACKAGES[package].model_class(name)
    expected = model.predict(*given)
    assert len(pd.unique(np.ravel(expected))) > 1
    np.testing.assert_array_equal(loaded.predict(*given), expected)


def test_a_model_of_another_package(registry):
    registry.register("mine", "storelab.forecasting.baselines:SeasonalNaive")
    assert list(registry) == ["moving_average", "mine"]
    assert registry.create("mine", season=14).params.season == 14
    for name in registry:
        with pytest.raises(FieldError, match=f"'{name}' is not allowed twice"):
            registry.register(name, "elsewhere:Model")
    with pytest.raises(FieldError, match=r"expected package\.module:Class"):
        registry.register("other", "elsewhere.Model")


def test_recommenders_are_rankers_and_rating_models():
    both = {**recommendation.RANKERS, **recommendation.RATING_MODELS}
    assert dict(recommendation.RECOMMENDERS) == both
    with pytest.raises(FieldError, match="twice"):
        recommendation.RECOMMENDERS.register("rating_mf", "elsewhere:Model")
