"""What arrivals tell of lead times and lost orders.

Each order has a lead time of 0 to `LONGEST` periods or is lost, with probabilities that have a Dirichlet prior around
what was promised. An arrival is matched with the orders on the way: the likeliest ones whose units sum to it. An order
that is older than `LONGEST` periods is written off.
"""

from itertools import product

import numpy as np

LONGEST = 6  # periods of lead time
LOST = LONGEST + 1  # place of lost orders in a distribution
KEPT, SLIGHT = 6.0, 0.03  # pseudo-counts of a promise that is kept, and of any other outcome
UNSURE = {
    2: (1, 2, 3, LOST)
}  # promised -> outcomes with 2 pseudo-counts each, where promises are broken (InventoryBench)


class SupplyBelief:
    """A belief on the lead times of n items.

    Attributes:
        counts: (n, LONGEST + 2) pseudo-counts of the outcomes, the last one lost orders.
        waiting: (n, LONGEST + 1) units of the orders by age that have not come in; age 0 is this period's.
    """

    def __init__(self, promised: np.ndarray):
        """Begin with promised lead times (n,), periods; beyond `LONGEST` as `LONGEST`."""
        promised = np.clip(np.rint(promised).astype(int), 0, LONGEST)
        self.counts = np.full((len(promised), LOST + 1), SLIGHT)
        for row, lead in enumerate(promised.tolist()):
            for outcome in UNSURE.get(lead, (lead,)):
                self.counts[row, outcome] += 2.0 if lead in UNSURE else KEPT
        self.waiting = np.zeros((len(promised), LONGEST + 1))

    @property
    def chances(self) -> np.ndarray:
        """Return the probabilities (n, LONGEST + 2) of the outcomes of an order."""
        return self.counts / self.counts.sum(axis=1, keepdims=True)

    def update(self, order: np.ndarray, arrived: np.ndarray) -> None:
        """Take a period: its order (n,) and what arrived in it (n,), units."""
        self.waiting[:, 0] = order
        came = self._matched(arrived)
        self.counts[:, :LOST] += came * (self.waiting > 0)
        self.waiting[came] = 0
        self.counts[:, LOST] += self.waiting[:, LONGEST] > 0
        self.waiting = np.concatenate([np.zeros((len(order), 1)), self.waiting[:, :LONGEST]], axis=1)

    def _matched(self, arrived: np.ndarray) -> np.ndarray:
        """Return which ages' orders (n, LONGEST + 1) came in."""
        came = np.zeros(self.waiting.shape, bool)
        rows = np.flatnonzero(arrived > 0)
        if not len(rows):
            return came
        subsets = np.array(list(product((False, True), repeat=LONGEST + 1)))
        waiting, chances = self.waiting[rows], self.chances[rows]
        left = np.cumsum(chances[:, ::-1], axis=1)[:, :0:-1]  # P(lead time >= age, or lost)
        now = np.clip(chances[:, :LOST] / left, 1e-9, 1 - 1e-9)  # P(it comes in now)
        fits = -np.abs(waiting @ subsets.T - arrived[rows, None])
        fits += 1e-3 * np.tanh((np.log(now) - np.log1p(-now)) @ subsets.T / 100)  # where sums tie, the likelier
        fits -= 10 * ((waiting == 0).astype(float) @ subsets.T)  # nothing cannot come in
        came[rows] = subsets[fits.argmax(axis=1)]
        return came

    def outcomes(self, luck: np.ndarray) -> np.ndarray:
        """Return lead times (n, paths, LONGEST) of the orders of age 1, 2, ... that wait, by numbers (paths, LONGEST).

        `LOST` stands for an order that never comes in.
        """
        chances, drawn = self.chances, []
        for age in range(1, LONGEST + 1):
            tail = np.cumsum(chances[:, age:], axis=1)
            tail /= tail[:, -1:]
            drawn.append(age + (tail[:, None, :-1] <= luck[:, age - 1][None, :, None]).sum(axis=2))
        return np.stack(drawn, axis=2)

    def fresh(self, luck: np.ndarray) -> np.ndarray:
        """Return lead times (n, paths, W) of orders to come, by numbers (paths, W)."""
        cumulated = np.cumsum(self.chances, axis=1)
        return (cumulated[:, None, None, :-1] <= luck[None, :, :, None]).sum(axis=3)

    def eventually(self) -> np.ndarray:
        """Return the probability (n, LONGEST + 1) that an order that waits at an age still comes in."""
        tail = np.cumsum(self.chances[:, ::-1], axis=1)[:, ::-1]
        return 1 - self.chances[:, -1:] / tail[:, :LOST]
