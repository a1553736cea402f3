"""Passages of a help corpus for a question: BM25 on words and Han character pairs, and cosine similarity of vectors."""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from .text import clean, is_han, language

_K1, _B = 1.2, 0.75
# Confidences from which the first passage is the right one, by the questions of our help corpus and what is out of its
# scope (`evaluate passages`).
WORDS_CUT, VECTORS_CUT = 0.51, 0.53


@dataclass(frozen=True)
class Match:
    """The best passage for a question."""

    place: int  # among the passages
    confidence: float
    cut: float  # the confidence below which it is no answer


def terms(text: str) -> list[str]:
    """Lower-case words; of a run of Han characters its pairs (a single one stays)."""
    words = []
    for run in re.findall(r"[㐀-䶿一-鿿]+|[^\W㐀-䶿一-鿿]+", text.lower()):
        pairs = [run[n : n + 2] for n in range(max(1, len(run) - 1))] if is_han(run[0]) else [run]
        words += pairs
    return words


class Retrieval:
    """Ranks passages by BM25 (Robertson & Zaragoza 2009, eq. 3.15, idf as in Lucene) and, with `vectors`, by cosine.

    With both, ranks are fused by reciprocal rank (Cormack et al. 2009, k = 60).
    """

    def __init__(
        self,
        passages: Sequence[str],
        vectors: Callable[[list[str]], np.ndarray] | None = None,
        languages: Sequence[str] | None = None,
    ):
        """`vectors` gives unit vectors (N, width) of texts, of `languages` as `text.language` names them; None: all."""
        self.passages, self.vectors, self.languages = clean(passages), vectors, languages
        if not self.passages:
            raise ValueError("passages is empty: allowed are one or more")
        counts = [Counter(terms(passage)) for passage in self.passages]
        self.words = {word: n for n, word in enumerate(sorted(set().union(*counts)))}
        table = np.zeros((len(counts), len(self.words)))
        for row, count in enumerate(counts):
            for word, times in count.items():
                table[row, self.words[word]] = times
        length = table.sum(1, keepdims=True)
        there = (table > 0).sum(0)
        idf = np.log1p((len(table) - there + 0.5) / (there + 0.5))
        self.weights = idf * table * (_K1 + 1) / (table + _K1 * (1 - _B + _B * length / max(length.mean(), 1)))
        self.embedded = vectors(self.passages) if vectors else None
        self.chinese = np.array([language(passage) == "zh" for passage in self.passages])

    def bm25(self, questions: Sequence[str]) -> np.ndarray:
        """Scores (N, passages), 0 where no word is shared."""
        asked = np.zeros((len(questions), len(self.words)))
        for row, question in enumerate(clean(questions)):
            known = [self.words[word] for word in terms(question) if word in self.words]
            np.add.at(asked[row], known, 1)
        return asked @ self.weights.T

    def rank(self, questions: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Best passage first (N, passages), and the best one's confidence (N,).

        Confidence is its cosine similarity, or, without vectors, the share of the question's words (weighted by idf;
        unknown ones count most) that the passage has.
        """
        questions = clean(questions)
        if self.vectors is None:
            return self._by_words(questions)
        place = lambda values: np.argsort(np.argsort(-values, axis=1, kind="stable"), axis=1)
        cosine = self.vectors(questions) @ self.embedded.T
        fused = 1 / (60 + place(self.bm25(questions))) + 1 / (60 + place(cosine))
        order = np.argsort(-fused - self._readable(questions), axis=1, kind="stable")
        return order, np.take_along_axis(cosine, order[:, :1], axis=1)[:, 0]

    def match(self, questions: Sequence[str]) -> list[Match]:
        """The best passage for each question, by vectors where they know its language, else by words."""
        questions = clean(questions)
        known = [self.vectors is not None and language(q) in (self.languages or (language(q),)) for q in questions]
        result: list = [None] * len(questions)
        for vectors, how, cut in ((True, self.rank, VECTORS_CUT), (False, self._by_words, WORDS_CUT)):
            rows = [row for row, by_vectors in enumerate(known) if by_vectors == vectors]
            if rows:
                order, confidence = how([questions[row] for row in rows])
                for row, place, own in zip(rows, order[:, 0].tolist(), confidence.tolist(), strict=True):
                    result[row] = Match(place, own, cut)
        return result

    def _by_words(self, questions: list[str]) -> tuple[np.ndarray, np.ndarray]:
        order = np.argsort(-self.bm25(questions) - self._readable(questions), axis=1, kind="stable")
        return order, np.array([self._covered(q, int(best)) for q, best in zip(questions, order[:, 0], strict=True)])

    def _readable(self, questions: list[str]) -> np.ndarray:
        """What puts passages first that are Chinese as the question is, or as little (N, passages)."""
        chinese = np.array([language(text) == "zh" for text in questions], bool)
        return 1e6 * (chinese[:, None] == self.chinese)

    def _covered(self, question: str, passage: int) -> float:
        largest = np.log1p((len(self.passages) + 0.5) / 0.5)
        there = (self.weights > 0).sum(0)
        total = shared = 0.0
        for word in set(terms(question)):
            n = self.words.get(word)
            weight = largest if n is None else np.log1p((len(self.passages) - there[n] + 0.5) / (there[n] + 0.5))
            total += weight
            shared += weight if n is not None and self.weights[passage, n] > 0 else 0.0
        return shared / total if total else 0.0
