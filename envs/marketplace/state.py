"""The state of the whole store and the flow of a day: the arrays of `Marketplace`."""

from dataclasses import dataclass

import numpy as np

from . import win_back
from .params import PRIOR_REVIEWS

HISTORY = 28  # days of mean sales that popularity starts with


@dataclass(slots=True)
class State:
    """The store before the day's decisions. Arrays (num_envs, I), float32, unless said."""

    on_hand: np.ndarray  # units
    pipeline: tuple  # of lead_time arrays: units ordered, arriving tomorrow, the day after, ...
    backlog: np.ndarray  # units ordered by customers who wait for stock
    owed: np.ndarray  # money that they pay once they are served; with markets (, 2 S I): by market, then their units
    doubtful: np.ndarray  # money that fraud among them will cost then: chargebacks and fees
    parcels: tuple  # of promise + 1 arrays: units under way for 0, 1, ... days; the last ones are late; routed (, Z I)
    paid: np.ndarray  # money paid for the units under way
    returning: np.ndarray  # units that come back tomorrow
    demand: np.ndarray  # units per day (with forecasts, per mean day), smoothed
    popularity: np.ndarray  # units sold so far, and in the `HISTORY` days before
    price: np.ndarray  # money, of the last day
    stars: np.ndarray  # sum of the stars read so far
    reviews: np.ndarray  # number of them
    customers: np.ndarray  # (num_envs, S) people
    buyers: np.ndarray  # (num_envs, 2 S) orders per day by group, smoothed
    delivery: np.ndarray  # (num_envs, 1) days from order to delivery, smoothed
    file: np.ndarray  # (num_envs, 2 S K) people to be written to, see `win_back.start`; (num_envs, 0) without letters


@dataclass(slots=True)
class Flow:
    """What moved on one day. Arrays (num_envs, I), units, unless said."""

    price: np.ndarray  # money per unit
    rating: np.ndarray  # stars shown
    visits: np.ndarray  # (num_envs, 1)
    demand: np.ndarray  # orders placed
    sales: np.ndarray  # shipped: from stock, and to those who waited
    revenue: np.ndarray  # money paid for them
    unmet: np.ndarray  # orders that have to wait
    refused: np.ndarray  # orders that screening refused
    chargebacks: np.ndarray  # money, fees included, for what was shipped to fraudulent orders
    ordered: np.ndarray  # from suppliers
    arrived: np.ndarray  # from suppliers
    on_hand: np.ndarray  # at the end of the day
    delivered: np.ndarray
    late: np.ndarray  # of them
    driving: np.ndarray  # (num_envs, 1) money
    reviews: np.ndarray
    tickets: np.ndarray
    to_person: np.ndarray  # tickets
    returns: np.ndarray
    refunds: np.ndarray  # money
    customers: np.ndarray  # (num_envs, S)
    marketing: np.ndarray  # (num_envs, 1) money
    taxes: np.ndarray  # (num_envs, 2) duty and value-added tax on the revenue, which is net of them; money
    postage: np.ndarray  # (num_envs, 1) money
    letters: np.ndarray  # (num_envs, 1)
    won: np.ndarray  # (num_envs, S) people who come back
    vouchers: np.ndarray  # (num_envs, 1) money


def float32(data):
    """Return a dataclass with all arrays in float32."""

    def cast(value):
        return tuple(map(cast, value)) if isinstance(value, tuple) else np.asarray(value, np.float32)

    return type(data)(*(cast(getattr(data, name)) for name in data.__slots__))


def initial(model, num_envs: int) -> State:
    """Return the state at the start."""
    p = model.params

    def batch(values):
        return np.tile(np.asarray(values, np.float32), (num_envs, 1))

    expected = np.maximum(np.round(model.expected), 0)
    nothing = batch(np.zeros(p.items))
    return State(
        on_hand=batch(np.ceil(model.expected * (p.lead_time + 2))),
        pipeline=tuple(batch(expected) for _ in range(p.lead_time)),
        backlog=nothing,
        owed=np.tile(nothing, 2 * p.segments) if p.markets else nothing.copy(),
        doubtful=nothing.copy(),
        parcels=tuple(
            batch(np.zeros(p.items * (model.routes.count if model.routes else 1))) for _ in range(p.promise + 1)
        ),
        paid=nothing.copy(),
        returning=nothing.copy(),
        demand=batch(model.expected),
        popularity=batch(1 + HISTORY * model.expected),
        price=batch(model.cost + p.price * model.markup),
        stars=nothing + 3 * PRIOR_REVIEWS,
        reviews=nothing + PRIOR_REVIEWS,
        customers=batch(np.full(p.segments, model.start)),
        buyers=batch(np.full(2 * p.segments, model.expected.sum() / (2 * p.segments))),
        delivery=batch([p.promise]),
        file=batch(win_back.start(p)),
    )


def balances(model, before: State, flow: Flow, after: State) -> dict:
    """Return what stock (num_envs, I) and parcels (num_envs,) came, and what has become of them."""
    total = lambda parcels: sum(units.sum(axis=1, dtype=float) for units in parcels)
    return {
        "stock": (model.stock(before), flow.sales.astype(float) + after.on_hand),
        "parcels": (
            total(before.parcels) + flow.sales.sum(axis=1, dtype=float),
            total(after.parcels) + flow.delivered.sum(axis=1, dtype=float),
        ),
    }
