"""Features of items' descriptions: weighted words, projected to few dimensions."""

import numpy as np

from ..learning.base import needs

_DIMENSIONS = 64


def text_features(text: list[str], seed: int) -> np.ndarray:
    """(I, F) float32, rows of length 1 (0 without a known word): latent semantic analysis (Deerwester et al. 1990)
    of words and pairs of words weighted by tf-idf, with F = 64, or fewer where the words are.
    """
    extraction = needs("sklearn.feature_extraction.text", "models")
    decomposition = needs("sklearn.decomposition", "models")
    try:
        weights = extraction.TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True).fit_transform(text)
    except ValueError:  # no word that two items share
        return np.zeros((len(text), 1), np.float32)
    size = min(_DIMENSIONS, min(weights.shape) - 1)
    if size < 1:
        return np.zeros((len(text), 1), np.float32)
    vectors = decomposition.TruncatedSVD(size, random_state=seed).fit_transform(weights)
    return (vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)).astype(np.float32)
