"""Matrix factorisation: of purchases by the Frobenius norm (closed form) and by weights (iALS), and of ratings."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from scipy import sparse

from .base import Histories, Log, Recommender, check

_AT_ONCE = 256  # rows of a least-squares problem that are solved in one call


@dataclass
class FrobeniusParams:
    factors: int = 64
    penalty: float = 0.0  # lambda, on the squared Frobenius norms of both factors
    seed: int = 0

    def __post_init__(self):
        check(self, {"factors": (1, 10_000), "penalty": (0, 1e9), "seed": (0, 2**31 - 1)})


class FrobeniusMF(Recommender):
    """min |X - U V'|^2 + lambda (|U|^2 + |V|^2) over all cells of the purchases X (users, items), 0 or 1.

    The optimum are the singular vectors with values shrunk by lambda (Srebro, Rennie and Jaakkola 2004; Mazumder,
    Hastie and Tibshirani 2010, lemma 1). A user's row of U is the ridge regression of the history x on V, whence the
    scores x V diag((s - lambda) / s) V', with V the right singular vectors.
    """

    name = "frobenius_mf"
    Params = FrobeniusParams

    def _fit(self, log: Log) -> None:
        bought = log.histories.bought(len(self.items))
        factors = min(self.params.factors, min(bought.shape) - 1)
        if factors < 1:
            raise ValueError(f"the log has {bought.shape[0]} users and {bought.shape[1]} items: at least 2 are needed")
        start = np.random.default_rng(self.params.seed).standard_normal(min(bought.shape))
        _, values, right = sparse.linalg.svds(bought, factors, v0=start)
        keep = np.maximum(values - self.params.penalty, 0.0) / np.maximum(values, 1e-12)
        self.right, self.keep = right.T.astype(np.float32), keep.astype(np.float32)

    def scores(self, histories: Histories) -> torch.Tensor:
        user = histories.bought(len(self.items)).astype(np.float32) @ self.right * self.keep
        return torch.from_numpy(user) @ torch.from_numpy(self.right).T

    def _arrays(self):
        return {"right": self.right, "keep": self.keep}

    def _restore(self, arrays):
        self.right, self.keep = arrays["right"], arrays["keep"]


@dataclass
class IALSParams:
    factors: int = 64
    weight: float = 10.0  # alpha: a purchase weighs 1 + alpha times what a cell without one does
    penalty: float = 30.0  # lambda
    sweeps: int = 10
    seed: int = 0

    def __post_init__(self):
        bounds = {"factors": (1, 10_000), "weight": (0, 1e9), "penalty": (1e-6, 1e9), "sweeps": (1, 10_000)}
        check(self, bounds | {"seed": (0, 2**31 - 1)})


class IALS(Recommender):
    """Weighted least squares over all cells, by turns (Hu, Koren and Volinsky 2008, doi:10.1109/ICDM.2008.22)."""

    name = "ials"
    Params = IALSParams

    def _fit(self, log: Log) -> None:
        bought = log.histories.bought(len(self.items))
        rng = np.random.default_rng(self.params.seed)
        self.item = rng.normal(0, self.params.factors**-0.5, (len(self.items), self.params.factors))
        columns = sparse.csr_array(bought.T)
        for _ in range(self.params.sweeps):
            user = self._solve(bought, self.item)
            self.item = self._solve(columns, user)
        self.item = self.item.astype(np.float32)

    def _solve(self, rows: sparse.csr_array, fixed: np.ndarray) -> np.ndarray:
        """(rows, factors): each row's optimum against the fixed factors, eq. 4."""
        p = self.params
        shared = fixed.T @ fixed + p.penalty * np.eye(fixed.shape[1], dtype=fixed.dtype)
        gram = np.empty((_AT_ONCE, *shared.shape), fixed.dtype)
        factors = np.zeros((rows.shape[0], fixed.shape[1]), fixed.dtype)
        sums = (1 + p.weight) * (rows.astype(fixed.dtype) @ fixed)
        for first in range(0, rows.shape[0], _AT_ONCE):
            part = slice(first, min(first + _AT_ONCE, rows.shape[0]))
            bounds = rows.indptr[first : part.stop + 1]
            for place, (low, high) in enumerate(pairwise(bounds)):
                own = fixed[rows.indices[low:high]]
                np.matmul(own.T, own, out=gram[place])
            here = gram[: len(bounds) - 1]
            here *= p.weight
            here += shared
            factors[part] = np.linalg.solve(here, sums[part, :, None])[..., 0]
        return factors

    def scores(self, histories: Histories) -> torch.Tensor:
        user = self._solve(histories.bought(len(self.items)), self.item)
        return torch.from_numpy(user @ self.item.T)

    def _arrays(self):
        return {"item": self.item}

    def _restore(self, arrays):
        self.item = arrays["item"]
