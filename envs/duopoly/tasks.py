"""The duopoly as a task, and its reference against rivals who follow a rule."""

import numpy as np

from ...errors import FieldError
from ..core.contract import Reference
from ..core.task import Task, override
from .model import Duopoly
from .params import DuopolyParams


def pricing_duopoly_task(**changes) -> Task:
    """Repeated price competition of two firms with logit customers (Calvano et al. 2020)."""
    params = override(DuopolyParams(), changes)
    return Task("PricingDuopoly", params, Duopoly, lambda: _reference(params))


def _reference(params: DuopolyParams) -> Reference:
    """Against a rival who answers the agent's last price by a rule: backward induction over that price, on the grid."""
    if not params.on_grid:
        raise FieldError("action", params.action, "'grid' for a reference")
    if params.rival == "q_learner":
        raise FieldError("rival", params.rival, "another one for a reference")
    model = Duopoly(params)
    prices, m = model.prices, params.grid
    answers = model.rival_prices(np.stack([prices, np.zeros(m)], axis=1))  # to each last price of the agent
    pairs = np.stack(np.broadcast_arrays(prices[None, :], answers[:, None]), axis=-1)  # [last, next]
    profit, to_go, choices = model.profits(pairs)[..., 0], np.zeros(m), []
    for _ in range(params.horizon):
        values = profit + to_go
        choices.append(values.argmax(axis=1))
        to_go = values.max(axis=1)
    start = int(np.abs(prices - model.initial(1).price[0, 0]).argmin())

    def act(observation, memory, seed):
        t = 0 if memory is None else memory
        last = np.abs(observation[:, :1] - prices).argmin(axis=1)
        return choices[params.horizon - 1 - t][last][:, None], t + 1

    value = float(to_go[start]) / params.horizon
    source = "backward induction; Calvano et al. 2020"
    name = f"optimal prices against {params.rival}"
    return Reference(name, value, "finite horizon", "exact", 1e-6, source, act, unit="profit per period")
