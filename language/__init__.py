"""Reviews and questions: sentiment with calibrated probabilities, intents, answers from templates and a help corpus."""

from pathlib import Path

from ..learning.base import load_folder
from .base import Attribution, TextClassifier
from .stack import CLASSIFIERS, classifier_class, create


def load(folder: str | Path) -> TextClassifier:
    """The classifier saved in `folder`. Runs no code from it; raises ValueError when it is damaged."""
    name, config, arrays, _ = load_folder(folder)
    return classifier_class(name)._from_state(config, arrays)


__all__ = ["CLASSIFIERS", "Attribution", "TextClassifier", "create", "load"]
