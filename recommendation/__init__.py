"""Recommendation: ranked lists and ratings from users' purchases."""

from collections import ChainMap

from ..learning.registry import Registry

RANKERS = Registry(
    __name__,
    "recommender",
    {
        "popularity": ".neighbours:Popularity",
        "own_frequency": ".neighbours:OwnFrequency",
        "item_knn": ".neighbours:ItemKNN",
        "ease": ".neighbours:EASE",
        "frobenius_mf": ".factorisation:FrobeniusMF",
        "ials": ".factorisation:IALS",
        "transformer": ".transformer:Transformer",
        "content": ".content:Content",
    },
)
RATING_MODELS = Registry(
    __name__,
    "rating model",
    {
        "rating_mf": ".ratings:RatingMF",
        "rating_mlp": ".ratings:RatingMLP",
        "rating_transformer": ".ratings:RatingTransformer",
    },
)
# Both, as they are at any time; what is registered here is a ranker.
RECOMMENDERS = Registry(__name__, "recommender", ChainMap(RANKERS.places, RATING_MODELS.places))
create, load = RECOMMENDERS.create, RECOMMENDERS.load

__all__ = ["RANKERS", "RATING_MODELS", "RECOMMENDERS", "create", "load"]
