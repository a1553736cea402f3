"""What happens on the shelf of an inventory model: issuing by age, outdating, substitution."""

import numpy as np


def whole(xp, units, uniform, largest):
    """Round units at random to whole ones, at most `largest`. The mean stays exact where `largest` is whole.

    Args:
        xp: numpy or torch.
        units: numbers of at least 0.
        uniform: of the same shape, in [0, 1); None leaves the units as they are (divisible goods).
        largest: of the same shape, at least `units`.
    """
    return units if uniform is None else xp.minimum(xp.floor(units + uniform), largest)


class Shelf:
    """Stock by remaining shelf life: a tuple of layers, layer k expires at the end of the k + 1st period from now.

    Units arrive fresh. An item whose life is infinite stays in the last layer.
    """

    def __init__(self, params, xp, constant):
        """Take the checked parameters, the array module and what makes its constants."""
        life = params.per_item("shelf_life")
        finite = life[np.isfinite(life)]
        self.layers = int(finite.max()) if len(finite) else 0  # 0: nothing perishes
        self._xp, self._oldest_first = xp, params.issuing == "fifo"
        last = np.minimum(life, self.layers)
        self._fresh = [constant(last == k + 1) for k in range(self.layers)]
        self._one_life = bool((life == self.layers).all())
        self._perishes, self._keeps = constant(np.isfinite(life)), constant(np.isinf(life))

    def put(self, shelf: tuple, units) -> tuple:
        """Return the shelf with fresh units on it."""
        if self._one_life:
            return (*shelf[:-1], shelf[-1] + units)
        return tuple(layer + units * here for layer, here in zip(shelf, self._fresh, strict=True))

    def issue(self, shelf: tuple, units) -> tuple:
        """Return what is left after units were taken: the oldest first (FIFO) or the freshest first (LIFO)."""
        left = []
        for layer in shelf if self._oldest_first else shelf[::-1]:
            taken = self._xp.minimum(layer, units)
            left.append(layer - taken)
            units = units - taken
        return tuple(left if self._oldest_first else left[::-1])

    def age(self, shelf: tuple) -> tuple:
        """Return what expires at the end of the period, and the shelf of the next one without it."""
        if self._one_life:
            return shelf[0], (*shelf[1:], shelf[-1] * 0)
        ageing = (*shelf[:-1], shelf[-1] * self._perishes)
        return ageing[0], (*ageing[1:], shelf[-1] * self._keeps)


class Substitution:
    """Customers who find their item out of stock and turn to the item before or after it in the list, once.

    The adjacent substitution of Smith and Agrawal 2000, Operations Research 48(1): a share of an item's unmet demand
    turns to its neighbours, half to either, all to the only one at the ends. As in Netessine and Rudi 2003,
    Operations Research 51(2), they come after an item's own customers and do not try a third item.
    """

    def __init__(self, params, xp, constant):
        """Take the checked parameters, the array module and what makes its constants."""
        self._xp = xp
        self.share = params.substitution_share
        onwards = np.full(params.items, 0.5)
        onwards[0], onwards[-1] = 1, 0
        self._onwards = constant(onwards)

    def move(self, left, unmet, uniform):
        """Serve neighbours' unmet demand from what is left; those of the item before come first.

        Args:
            left: stock after the items' own customers.
            unmet: demand that it did not serve.
            uniform: (num_envs, 2, items) in [0, 1), for whole units; None for divisible goods.

        Returns:
            Units sold of each item to neighbours' customers, and units of each item's demand that neighbours served.
        """
        xp, first, second = self._xp, *((None, None) if uniform is None else (uniform[:, 0], uniform[:, 1]))
        turn = whole(xp, unmet * self.share, first, unmet)
        onwards = whole(xp, turn * self._onwards, second, turn)
        edge = unmet[:, :1] * 0
        from_before = xp.minimum(left, xp.concatenate([edge, onwards[:, :-1]], axis=1))
        from_after = xp.minimum(left - from_before, xp.concatenate([(turn - onwards)[:, 1:], edge], axis=1))
        served = xp.concatenate([from_before[:, 1:], edge], axis=1) + xp.concatenate([edge, from_after[:, :-1]], axis=1)
        return from_before + from_after, served
