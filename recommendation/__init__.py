"""Recommendations: users' purchases in, ranked lists and ratings out."""

from importlib import import_module
from pathlib import Path

from ..learning.base import load_folder

# Name -> (module, class)
RECOMMENDERS = {
    "popularity": ("neighbours", "Popularity"),
    "own_frequency": ("neighbours", "OwnFrequency"),
    "item_knn": ("neighbours", "ItemKNN"),
    "ease": ("neighbours", "EASE"),
    "frobenius_mf": ("factorisation", "FrobeniusMF"),
    "ials": ("factorisation", "IALS"),
    "transformer": ("transformer", "Transformer"),
}
RATING_MODELS = {name: ("ratings", cls) for name, cls in (("rating_mf", "RatingMF"), ("rating_mlp", "RatingMLP"))}
RATING_MODELS["rating_transformer"] = ("ratings", "RatingTransformer")


def _recommender_class(name: str) -> type:
    if name not in RECOMMENDERS:
        raise ValueError(f"recommender is {name!r}: allowed are {', '.join(RECOMMENDERS)}")
    module, attribute = RECOMMENDERS[name]
    return getattr(import_module(f".{module}", __name__), attribute)


def create(name: str, **params):
    """A recommender by its name, with the fields of its Params. Raises ValueError for an unknown name or field."""
    cls = _recommender_class(name)
    try:
        return cls(cls.Params(**params))
    except TypeError as error:
        raise ValueError(f"recommender {name}: {error}") from None


def load(folder: str | Path):
    """The recommender saved in `folder`. Runs no code from it; raises ValueError when it is damaged."""
    return _recommender_class(load_folder(folder)[0]).load(folder)


__all__ = ["RECOMMENDERS", "create", "load"]
