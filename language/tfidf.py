"""Logistic regression on TF-IDF weights of word or character n-grams: the baseline that a network has to beat."""

import json
from dataclasses import dataclass

import numpy as np

from ..errors import FieldError
from ..learning.base import needs
from .base import TextClassifier, logistic
from .concepts import concept_ngrams


@dataclass
class TfidfParams:
    """Which n-grams, and how much the regression is regularised."""

    unit: str = "word"  # word, character (across words: for Chinese), character_in_word, concept (of a shop)
    shortest: int = 1  # n-gram
    longest: int = 2  # n-gram
    least_texts: int = 2  # that an n-gram is in
    strength: float = 5.0  # inverse regularisation
    validation: float = 0.1  # share of the training texts that calibrates; then all train
    seed: int = 0

    def __post_init__(self):
        if self.unit not in _UNITS:
            raise FieldError("unit", self.unit, f"one of {', '.join(_UNITS)}")
        if self.shortest < 1:
            raise FieldError("shortest", self.shortest, "a whole number from 1")
        if not self.shortest <= self.longest <= 8:
            raise FieldError("longest", self.longest, f"a whole number from {self.shortest} (shortest) to 8")
        if self.least_texts < 1:
            raise FieldError("least_texts", self.least_texts, "a whole number from 1")
        if not self.strength > 0:
            raise FieldError("strength", self.strength, "a number above 0")
        if not 0 <= self.validation <= 0.5:
            raise FieldError("validation", self.validation, "a number from 0 to 0.5")


_UNITS = {"word": "word", "character": "char", "character_in_word": "char_wb", "concept": "concept"}


class Tfidf(TextClassifier):
    """TF-IDF with 1 + log(count), rows of length 1, and a multinomial logistic regression (scikit-learn)."""

    name = "tfidf"
    Params = TfidfParams

    def _vectorizer(self, **known):
        params = self.params
        return needs("sklearn.feature_extraction.text", "language").TfidfVectorizer(
            analyzer=concept_ngrams(params.shortest, params.longest)
            if params.unit == "concept"
            else _UNITS[params.unit],
            **({} if params.unit == "concept" else {"ngram_range": (params.shortest, params.longest)}),
            min_df=params.least_texts,
            token_pattern=r"\w+" if params.unit == "word" else None,
            sublinear_tf=True,
            dtype=np.float32,
            **known,
        )

    def _fit(self, texts, codes, held, held_codes):
        self.vectorizer = self._vectorizer()
        try:
            features = self.vectorizer.fit_transform(texts)
        except ValueError:  # scikit-learn's own message names its parameters, not ours
            raise FieldError("least_texts", self.params.least_texts, "at most the texts that an n-gram is in") from None
        self.coefficients, self.intercepts = logistic(features, codes, self.params.strength, self.params.seed)

    def _refit(self, texts, codes):
        if self.params.validation:
            self._fit(texts, codes, [], codes[:0])

    def _logits(self, texts):
        return self.vectorizer.transform(texts) @ self.coefficients.T + self.intercepts

    def _state(self):
        terms = json.dumps(self.vectorizer.get_feature_names_out().tolist(), ensure_ascii=False).encode()
        arrays = {"coefficients": self.coefficients, "intercepts": self.intercepts, "idf": self.vectorizer.idf_}
        return {}, arrays | {"terms": np.frombuffer(terms, np.uint8)}

    def _set_state(self, config, arrays):
        terms = json.loads(arrays["terms"].tobytes().decode())
        self.vectorizer = self._vectorizer(vocabulary={term: place for place, term in enumerate(terms)})
        self.vectorizer.idf_ = arrays["idf"]
        self.coefficients, self.intercepts = arrays["coefficients"], arrays["intercepts"]
