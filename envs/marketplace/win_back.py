"""Letters to lapsed customers of the whole store: whom they reach, who comes back, and what vouchers cost.

At the start of a season the store has a file of its customers and of people who have stopped buying. It cannot tell
them apart: it knows the class of each, by a model's probability of churn. People are expected numbers, in both
fidelities.
"""

from dataclasses import dataclass

import numpy as np

from .params import MarketplaceParams


@dataclass(slots=True)
class Mail:
    """The letters of a day."""

    advertising: np.ndarray  # (n, 1) money of the day's marketing that is left for it
    letters: np.ndarray  # (n, 1)
    won: np.ndarray  # (n, S) people who come back
    vouchers: np.ndarray  # (n, 1) money
    file: np.ndarray  # (n, 2 S K) people still to be written to; see `start`


def start(p: MarketplaceParams) -> np.ndarray:
    """Return the people (2 S K,) to be written to at the start: lapsed ones by segment and class, then customers.

    Of the whole file these are the share `letters`: of every class (`evenly`), or the highest classes (`churn`).
    """
    if not p.writes:
        return np.zeros(0)
    shares = np.array([p.lapsed, p.initial_customers])[:, None] * [p.risk_lapsed, p.risk_customers]
    people = np.repeat(p.population / p.segments * shares[:, None], p.segments, axis=1)  # (2, S, K)
    return (people * _part(p, people.sum(axis=(0, 1))[None], p.letters * people.sum())[0]).ravel()


def write(p: MarketplaceParams, file: np.ndarray, money: np.ndarray) -> Mail:
    """Write letters for the share `win_back` of a day's marketing, while there is somebody to write to.

    A lapsed person comes back with probability `letter_returns` and uses the voucher; a customer, who would have bought
    anyway, uses it with probability `voucher_used`.

    Args:
        p: the parameters.
        file: people to be written to (n, 2 S K).
        money: of the day's marketing (n, 1).
    """
    n = len(money)
    if not p.writes:
        return Mail(money, np.zeros((n, 1)), np.zeros((n, p.segments)), np.zeros((n, 1)), file)
    people = file.reshape(n, 2, p.segments, -1).astype(np.float64)
    by_class = people.sum(axis=(1, 2))
    letters = np.minimum(p.win_back * money / p.letter_cost, by_class.sum(axis=1, keepdims=True))
    written = people * _part(p, by_class, letters)[:, None, None]
    lapsed, customers = np.moveaxis(written.sum(axis=3), 1, 0)  # (n, S)
    won = p.letter_returns * lapsed
    used = won.sum(axis=1, keepdims=True) + p.voucher_used * customers.sum(axis=1, keepdims=True)
    return Mail(money - p.letter_cost * letters, letters, won, p.voucher * used, (people - written).reshape(n, -1))


def joined(p: MarketplaceParams, file: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Return the file (n, 2 S K) once a share (n, S) of those who were no customers have joined, lapsed ones too."""
    if not p.writes:
        return file
    people = file.reshape(len(file), 2, p.segments, -1).copy()
    people[:, 0] *= 1 - np.clip(share, 0, 1)[..., None]
    return people.reshape(len(file), -1)


def _part(p: MarketplaceParams, by_class: np.ndarray, letters) -> np.ndarray:
    """Return the part of each class (n, K) that gets one of so many letters (n, 1)."""
    if p.win_back_by == "evenly":
        return np.broadcast_to(letters / np.maximum(by_class.sum(axis=1, keepdims=True), 1e-9), by_class.shape)
    before = np.cumsum(by_class, axis=1) - by_class
    return np.clip(letters - before, 0, by_class) / np.maximum(by_class, 1e-9)
