"""Reviews and questions: sentiment with calibrated probabilities, intents, answers from templates and a help corpus."""

from ..learning.registry import Registry
from .base import Attribution, TextClassifier

CLASSIFIERS = Registry(
    __name__,
    "classifier",
    {
        "tfidf": ".tfidf:Tfidf",
        "embedding": ".embedding:Embedding",
        "fine_tuned": ".fine_tuned:FineTuned",
        "characters": ".characters:Characters",
        "stack": ".stack:Stack",
    },
)
create, load = CLASSIFIERS.create, CLASSIFIERS.load

__all__ = ["CLASSIFIERS", "Attribution", "TextClassifier", "create", "load"]
