"""The money of a day in the whole store: what customers pay and owe, and the terms of the reward."""

from dataclasses import dataclass

import numpy as np

from .params import MarketplaceParams
from .shopping import Orders
from .state import Flow, State


@dataclass(slots=True)
class Charge:
    """What a day's customers pay. Arrays (n, I), money, unless said."""

    revenue: np.ndarray  # net of taxes
    owed: np.ndarray  # by who waits; with markets (n, 2 S I), see `State`
    chargebacks: np.ndarray
    doubtful: np.ndarray  # chargebacks to come
    taxes: np.ndarray  # (n, 2) duty and value-added tax on the revenue
    postage: np.ndarray  # (n, 1)


def charge(p: MarketplaceParams, state: State, price, served, orders: Orders, fraudulent) -> Charge:
    """Return the day's money. Who waited pays the price of the day of the order.

    Args:
        p: the parameters.
        state: of the store.
        price: net (n, I), money.
        served: units (n, I) that serve those who waited.
        orders: of the day.
        fraudulent: share of them (n, I).
    """
    if p.markets:
        return _abroad(p, state, served, orders, fraudulent)
    part = served / np.maximum(state.backlog, 1e-9)
    revenue = part * state.owed + price * orders.sold
    owed = (1 - part) * state.owed + price * orders.waiting
    lost = fraudulent * (price + p.chargeback_fee)  # of an order
    chargebacks = part * state.doubtful + lost * orders.sold
    none = np.zeros((len(part), 2))
    return Charge(revenue, owed, chargebacks, (1 - part) * state.doubtful + lost * orders.waiting, none, none[:, :1])


def _abroad(p: MarketplaceParams, state: State, served, orders: Orders, fraudulent) -> Charge:
    """As `charge`, by market: an item's orders of a day, of stock or not, are shared out as all of them are."""
    n, items = served.shape
    assert orders.mix is not None
    assert orders.prices is not None
    part = served / np.maximum(state.backlog, 1e-9)
    units = np.stack([orders.prices * orders.mix, orders.mix], axis=1)  # (n, 2, S, I) money and units of a unit
    sold, waiting = units * orders.sold[:, None, None], units * orders.waiting[:, None, None]
    owed, part_of = state.owed.reshape(n, 2, p.segments, items), part[:, None, None]
    money, parcels = np.moveaxis(part_of * owed + sold, 1, 0)  # (n, S, I)
    lost = [fraudulent * (u[:, 0].sum(axis=1) + p.chargeback_fee * u[:, 1].sum(axis=1)) for u in (sold, waiting)]
    taxes = np.array([market.taxes(1.0) for market in p.countries])  # (S, 2)
    return Charge(
        revenue=money.sum(axis=1),
        owed=((1 - part_of) * owed + waiting).reshape(n, -1),
        chargebacks=part * state.doubtful + lost[0],
        doubtful=(1 - part) * state.doubtful + lost[1],
        taxes=money.sum(axis=2) @ taxes,
        postage=parcels.sum(axis=2) @ np.array([[market.postage] for market in p.countries]),
    )


def terms(model, flow: Flow) -> list[tuple]:
    """Return the name and the money of each term, (num_envs, I or 1); costs are positive."""
    p = model.params
    more = [("postage_cost", flow.postage)] if p.markets else []
    more += [("voucher_cost", flow.vouchers)] if p.writes else []
    return [
        ("revenue", flow.revenue),
        ("purchase_cost", model.cost * flow.ordered),
        ("holding_cost", np.float32(p.holding_cost) * flow.on_hand),
        ("delivery_cost", flow.driving),
        ("refund_cost", flow.refunds),
        ("chargeback_cost", flow.chargebacks),
        ("screening_cost", np.float32(p.refusal_cost) * flow.refused),
        ("service_cost", np.float32(p.service_cost) * flow.to_person),
        ("marketing_cost", flow.marketing),
        *more,
    ]


def item_profit(model, flow: Flow) -> np.ndarray:
    """Return each item's profit of the day (num_envs, I); what belongs to no item is shared out evenly."""
    n, items = flow.price.shape
    shares = [np.broadcast_to(m / (items if m.shape[1] == 1 else 1), (n, items)) for _, m in terms(model, flow)]
    return shares[0] - sum(shares[1:])
