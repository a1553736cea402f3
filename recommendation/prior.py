"""What a new item may sell in its first month, before anybody has bought one: inherited through the graph.

Kernel ridge regression of log demand (Saunders, Gammerman and Vovk 1998, "Ridge regression learning algorithm in dual
variables"): two items are alike by how many attributes' values they share, each attribute counting once, and by the
substitutes and complements that they have in common. How much is shrunk to the mean of all items is chosen by the error
on each known item left out (Hastie, Tibshirani and Friedman 2009, section 7.10).
"""

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from ..errors import FieldError
from .graph import Graph

PENALTIES = 10.0 ** np.arange(-2, 3.01, 0.5)


@dataclass
class DemandPrior:
    """Demand of new items by that of known ones; see the module.

    Attributes:
        graph: of I items.
        known: (K,) places of the known items.
        mean: of their log demand.
        weight: (K,) dual weights.
        smear: mean of exp of the left-out errors, from logs back to units (Duan 1983, JASA 78).
        penalty: the one that was chosen.
    """

    graph: Graph
    known: np.ndarray
    mean: float
    weight: np.ndarray
    smear: float
    penalty: float

    @classmethod
    def fit(cls, graph: Graph, known: np.ndarray, demand: np.ndarray) -> "DemandPrior":
        """Learn from known items.

        Args:
            graph: with at least one attribute or edge.
            known: (K,) places of items, at least 3.
            demand: (K,) units that each sold in its first month, above 0.

        Raises:
            FieldError: too few items, demand that is not above 0, a graph without links.
        """
        demand = np.asarray(demand, float)
        if len(known) < 3 or len(demand) != len(known):
            raise FieldError("known", len(known), f"at least 3 items, as many as numbers of demand, {len(demand)}")
        if not (np.isfinite(demand) & (demand > 0)).all():
            raise FieldError("demand", demand[~(demand > 0)][:1].tolist(), "finite numbers above 0")
        mean = float(np.log(demand).mean())
        target, alike = np.log(demand) - mean, _alike(graph, known, known)
        values, vectors = np.linalg.eigh(alike)
        values, turned = np.maximum(values, 0), vectors.T @ target
        best = (np.inf, PENALTIES[-1], target)
        for penalty in PENALTIES:
            kept = vectors * (values / (values + penalty))
            leverage = np.einsum("ik,ik->i", kept, vectors)
            left_out = (target - kept @ turned) / np.maximum(1 - leverage, 1e-9)
            best = min(best, (float((left_out**2).mean()), float(penalty), left_out), key=lambda found: found[0])
        _, penalty, left_out = best
        weight = vectors @ (turned / (values + penalty))
        return cls(graph, np.asarray(known), mean, weight, float(np.exp(left_out).mean()), penalty)

    def predict(self, items: np.ndarray) -> np.ndarray:
        """Return the expected demand (N,) of items by their places (N,), units."""
        return self.smear * np.exp(self.mean + _alike(self.graph, np.asarray(items), self.known) @ self.weight)


def _alike(graph: Graph, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return how alike items (N,) and (M,) are: (N, M), the mean over attributes and relations of shared values."""
    tables = list(graph.links.values())
    whole = sparse.eye_array(len(graph.items), format="csr")
    tables += [sparse.csr_array(edges + whole) for edges in graph.edges.values() if edges.nnz]
    if not tables:
        raise FieldError("graph", "no links", "attributes, substitutes or complements")
    total = np.zeros((len(first), len(second)))
    for table in tables:
        norm = np.sqrt(np.maximum(np.asarray(table.multiply(table).sum(axis=1)).ravel(), 1e-12))
        scaled = sparse.csr_array(sparse.diags_array(1 / norm) @ table)
        total += (scaled[first] @ scaled[second].T).toarray()
    return total / len(tables)
