"""The Markov chain of a lost-sales policy, on the states that it reaches from the empty one.

States are integer arrays (n, max(L, 1)); their numbers are held as one int64 key each.
"""

from collections.abc import Callable

import numpy as np

from ....errors import FieldError

Policy = Callable[[np.ndarray], np.ndarray]  # integer states (n, max(L, 1)) -> integer orders (n,)

MAX_TRANSITIONS = 20_000_000  # about 1 GB
BITS = 13  # of the key, for each component of a state
MAX_UNITS = (1 << BITS) - 1


def reachable(pmf: np.ndarray, lead_time: int, policy: Policy) -> tuple[np.ndarray, np.ndarray]:
    """The states (n, max(L, 1)) that the policy reaches from the empty one, sorted by key, and its orders (n,).

    Raises FieldError for orders that are no integers >= 0 and when stock grows beyond what can be held.
    """
    width = max(lead_time, 1)
    keys = frontier = np.zeros(1, dtype=np.int64)
    while len(frontier):
        states = decode(frontier, width)
        _, successors, _ = transitions(pmf, lead_time, states, _orders(policy, states))
        frontier = np.setdiff1d(encode(successors), keys)
        keys = np.union1d(keys, frontier)
        if len(keys) > MAX_TRANSITIONS:
            raise FieldError("policy", len(keys), f"at most {MAX_TRANSITIONS:,}", "as the states that it reaches")
    states = decode(keys, width)
    return states, _orders(policy, states)


def transitions(
    pmf: np.ndarray, lead_time: int, states: np.ndarray, orders: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The possible successors of each state, one after the other: (n,) where each state's begin, (m, max(L, 1)) the
    successors, (m,) their probabilities."""
    stock = states[:, 0] + (orders if lead_time == 0 else 0)
    count = np.minimum(stock, len(pmf) - 1) + 1  # demands 0, 1, ...; a demand equal to the stock stands for larger ones
    if count.sum() > MAX_TRANSITIONS:
        because = "as the transitions of its chain"
        raise FieldError("policy", int(count.sum()), f"at most {MAX_TRANSITIONS:,}", because)
    row = np.repeat(np.arange(len(states)), count)
    demand = np.arange(len(row)) - (np.cumsum(count) - count)[row]
    at_least = np.cumsum(pmf[::-1])[::-1]
    weights = np.where(demand == stock[row], at_least[demand], pmf[demand])
    possible = weights > 0
    row, demand, weights = row[possible], demand[possible], weights[possible]
    left = stock[row] - demand
    if lead_time == 0:
        successors = left[:, None]
    else:
        successors = np.column_stack([states[:, 1:], orders])[row]
        successors[:, 0] += left
    return np.searchsorted(row, np.arange(len(states))), successors, weights


def encode(states: np.ndarray) -> np.ndarray:
    """One int64 key for each state (n, up to 4)."""
    if states.max() > MAX_UNITS:
        raise FieldError("policy", int(states.max()), f"at most {MAX_UNITS:,}", "as the units on hand that it reaches")
    return (states << _shifts(states.shape[1])).sum(axis=1)


def decode(keys: np.ndarray, width: int) -> np.ndarray:
    """The states (n, width) of the keys."""
    return (keys[:, None] >> _shifts(width)) & MAX_UNITS


def _shifts(width: int) -> np.ndarray:
    return BITS * np.arange(width)


def _orders(policy: Policy, states: np.ndarray) -> np.ndarray:
    orders = np.asarray(policy(states))
    if orders.shape != (len(states),):
        raise FieldError("policy", orders.shape, f"orders of shape ({len(states)},)")
    wrong = (orders != np.rint(orders)) | (orders < 0)
    if wrong.any():
        bad = np.argmax(wrong)
        raise FieldError(
            "policy", orders[bad].item(), "an integer >= 0", f"as the order at state {states[bad].tolist()}"
        )
    return orders.astype(np.int64)
