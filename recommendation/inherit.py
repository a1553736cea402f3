"""What new items inherit through a graph: scores for customers before anybody has bought one.

A conditional logit (McFadden 1974) over what the graph says of a candidate, fitted on what was bought: which links
count for how much is learnt, not set.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.optimize import minimize

from ..errors import FieldError
from .graph import Graph

SHRINK = 2.0  # items' worth of the mean in a value's mean popularity
RIDGE = 1.0  # of a pair of values' weights, buyers
PENALTY = 1e-3  # of squared weights
# (history (U, I), log (W, I), candidates (C,)) -> names of F features, and (U, C, F)
Describe = Callable[[sparse.csr_array, sparse.csr_array, np.ndarray], tuple[list[str], np.ndarray]]


@dataclass
class Logit:
    """Weights of named features, with which candidates are chosen."""

    names: list[str]
    mean: np.ndarray  # (F,)
    deviation: np.ndarray  # (F,)
    weight: np.ndarray  # (F,) of features of mean 0 and deviation 1

    @classmethod
    def fit(cls, names: list[str], features: np.ndarray, choice: np.ndarray, chosen: np.ndarray) -> "Logit":
        """Fit by maximum likelihood, with a small ridge.

        Args:
            names: of the features.
            features: (N, F) of all candidates of all choices.
            choice: (N,) which choice a candidate belongs to, ascending.
            chosen: (N,) how often it was chosen.

        Raises:
            FieldError: no choice with something chosen.
        """
        if not chosen.any():
            raise FieldError("chosen", 0, "at least one candidate that was chosen")
        mean, deviation = features.mean(axis=0), features.std(axis=0)
        deviation[deviation < 1e-9] = 1.0
        x = (features - mean) / deviation
        start = np.flatnonzero(np.r_[True, choice[1:] != choice[:-1]])
        place = np.cumsum(np.r_[True, choice[1:] != choice[:-1]]) - 1
        total = np.add.reduceat(chosen, start)

        def loss(weight: np.ndarray) -> tuple[float, np.ndarray]:
            utility = x @ weight
            utility -= np.maximum.reduceat(utility, start)[place]
            size = np.exp(utility)
            share = size / np.add.reduceat(size, start)[place]
            value = -(chosen * np.log(np.maximum(share, 1e-300))).sum() / chosen.sum()
            gradient = -((chosen - total[place] * share) @ x) / chosen.sum()
            return value + PENALTY * (weight @ weight), gradient + 2 * PENALTY * weight

        found = minimize(loss, np.zeros(len(names)), jac=True, method="L-BFGS-B")
        return cls(names, mean, deviation, found.x)

    def utility(self, features: np.ndarray) -> np.ndarray:
        """Return the utilities (...,) of features (..., F)."""
        return (features - self.mean) / self.deviation @ self.weight


# -- new items --------------------------------------------------------------------------------------------------------


@dataclass
class ColdTables:
    """What a graph says of candidates, as if nobody had bought one yet: all of it that does not depend on a customer.

    For each attribute: how popular the other items of its value are (log of their mean buyers); how much of its value
    the customer has bought; and how much its value goes with the values that the customer has bought (the weights of
    EASE between values, Steck 2019, arXiv:1905.03375). And whether it complements or substitutes what was bought.
    """

    graph: Graph
    candidates: np.ndarray  # (C,) places
    popular: dict[str, np.ndarray]  # attribute -> (C,)
    goes: dict[str, np.ndarray]  # attribute -> (V, V)

    @classmethod
    def of(cls, graph: Graph, log: sparse.csr_array, candidates: np.ndarray) -> "ColdTables":
        """Make them of what all customers have bought (W, I), whose purchases of candidates are left out."""
        keep = np.ones(log.shape[1])
        keep[candidates] = 0.0
        log = sparse.csr_array(log @ sparse.diags_array(keep))
        buyers = np.asarray(log.sum(axis=0)).ravel()
        sold = (buyers > 0).astype(float)
        average = buyers.sum() / max(sold.sum(), 1.0)
        popular, goes = {}, {}
        for name, table in graph.links.items():
            theirs = _values_of(table, candidates)
            popular[name] = np.log(
                (theirs @ (table.T @ buyers) + SHRINK * average) / (theirs @ (table.T @ sold) + SHRINK)
            )
            goes[name] = _together(log @ table)
        return cls(graph, candidates, popular, goes)

    def features(self, history: sparse.csr_array) -> tuple[list[str], np.ndarray]:
        """Return the F features' names, and (U, C, F) of what customers have bought (U, I)."""
        names, columns = [], []
        for name, table in self.graph.links.items():
            theirs = _values_of(table, self.candidates)
            columns.append(np.broadcast_to(self.popular[name], (history.shape[0], len(self.candidates))))
            own = history @ table
            columns.append(np.log1p((own @ theirs.T).toarray()))
            columns.append((own @ sparse.csr_array(self.goes[name]) @ theirs.T).toarray())
            names += [f"popularity by {name}", f"bought of {name}", f"goes with by {name}"]
        for relation, edges in self.graph.edges.items():
            columns.append(np.log1p((history @ edges[:, self.candidates]).toarray()))
            names.append(relation)
        return names, np.stack(columns, axis=2)


def cold_features(
    graph: Graph, history: sparse.csr_array, log: sparse.csr_array, candidates: np.ndarray
) -> tuple[list[str], np.ndarray]:
    """Return what the graph says of candidates for customers; see `ColdTables`.

    Args:
        graph: of I items.
        history: (U, I) what each customer has bought.
        log: (W, I) what all customers have bought: purchases of candidates are left out.
        candidates: (C,) places.

    Returns:
        The F features' names, and (U, C, F).
    """
    return ColdTables.of(graph, log, candidates).features(history)


def _values_of(table: sparse.csr_array, items: np.ndarray) -> sparse.csr_array:
    """Return 1 where items have a value (C, V)."""
    return sparse.csr_array(sparse.csr_array(table[items]) > 0, dtype=float)


def _together(bought: sparse.csr_array) -> np.ndarray:
    """Return the weights (V, V) with which values of an attribute foretell one another, 0 of themselves."""
    table = sparse.csr_array(bought)
    table.data = np.ones_like(table.data)
    gram = (table.T @ table).toarray()
    inverse = np.linalg.inv(gram + (RIDGE + gram.diagonal().mean()) * np.eye(len(gram)))
    weights = -inverse / inverse.diagonal()
    np.fill_diagonal(weights, 0.0)
    return weights


def fit_cold(
    describe: Describe,
    earlier: sparse.csr_array,
    later: sparse.csr_array,
    warm: np.ndarray,
    seed: int,
    share: float = 0.1,
    rounds: int = 4,
) -> Logit:
    """Learn what counts for a new item: parts of the known items take the place of new ones.

    Args:
        describe: what is said of candidates, such as `cold_features` of a graph.
        earlier: (U, I) what customers had bought by some day.
        later: (U, I) what they bought from it on.
        warm: (I,) which items are known; no other is looked at.
        seed: of which parts are drawn.
        share: of the known items in a part.
        rounds: parts.
    """
    rng, parts = np.random.default_rng(seed), []
    names: list[str] = []
    known = np.flatnonzero(warm)
    for _ in range(rounds):
        new = rng.permutation(known)[: max(2, round(share * len(known)))]
        keep = np.ones(len(warm))
        keep[new] = 0.0
        shown = sparse.csr_array(earlier @ sparse.diags_array(keep * warm))
        fresh = (later[:, new].toarray() > 0) & (earlier[:, new].toarray() == 0)
        users = np.flatnonzero(fresh.any(axis=1))
        names, features = describe(shown[users], shown, new)
        parts.append((features, fresh[users].astype(float)))
    flat = np.concatenate([features.reshape(-1, features.shape[2]) for features, _ in parts])
    sizes = [count for _, chosen in parts for count in [chosen.shape[1]] * len(chosen)]
    choice = np.repeat(np.arange(len(sizes)), sizes)
    return Logit.fit(names, flat, choice, np.concatenate([chosen.ravel() for _, chosen in parts]))
