"""Shared parts of searches by covariance matrix adaptation (Hansen 2016, arXiv:1604.00772)."""

import numpy as np


def strategy(start, spread: float, **options):
    """Return cma's `CMAEvolutionStrategy`, silent; `options` are its own.

    Raises:
        ImportError: without cma.
    """
    try:
        from cma import CMAEvolutionStrategy
    except ImportError as error:
        raise ImportError("searches by evolution need cma: pip install 'storelab[dispatch]'") from error
    return CMAEvolutionStrategy(start, spread, {"verbose": -9} | options)


def own_stream(seed: int) -> dict:
    """Return the options for random numbers of a search's own: it does not depend on what runs beside it."""
    rng = np.random.default_rng(seed)
    return {"seed": np.nan, "randn": lambda *shape: rng.standard_normal(shape)}
