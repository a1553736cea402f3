"""The money of a day in the whole store: what customers pay and owe, and the terms of the reward."""

import numpy as np

from .params import MarketplaceParams
from .shopping import Orders
from .state import Flow, State


def charge(p: MarketplaceParams, state: State, price, served, orders: Orders, fraudulent) -> tuple:
    """Return the day's money (n, I): revenue, what waiting customers owe then, chargebacks, and those to come.

    Who waited pays the price of the day of the order.
    """
    part = served / np.maximum(state.backlog, 1e-9)
    revenue = part * state.owed + price * orders.sold
    owed = (1 - part) * state.owed + price * orders.waiting
    lost = fraudulent * (price + p.chargeback_fee)  # of an order
    chargebacks = part * state.doubtful + lost * orders.sold
    return revenue, owed, chargebacks, (1 - part) * state.doubtful + lost * orders.waiting


def terms(model, flow: Flow) -> list[tuple]:
    """Return the name and the money of each term, (num_envs, I or 1); costs are positive."""
    p = model.params
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
    ]
