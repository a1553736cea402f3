"""Lot sizing with known demand and no capacity: the optimal orders, exactly (Wagner and Whitin 1958)."""

import numpy as np

from ....errors import FieldError
from ...core.pmf import require_positive


def wagner_whitin(demand, holding_cost: float, fixed_cost, unit_cost=0.0) -> tuple[np.ndarray, float]:
    """The optimal orders (T,) in units and their total cost, in money.

    An order may serve the demand of its own period and of later ones; holding is charged per unit carried from one
    period to the next. Wagner and Whitin (1958), Management Science 5(1); Snyder and Shen (2019), section 3.7.

    Args:
        demand: (T,) units, >= 0.
        holding_cost: money per unit and period, > 0.
        fixed_cost: money per order, a number or (T,), >= 0.
        unit_cost: money per unit ordered, a number or (T,), >= 0.

    Raises:
        FieldError: values out of range.
    """
    demand = np.asarray(demand, dtype=float)
    if demand.ndim != 1 or not len(demand) or not np.isfinite(demand).all() or (demand < 0).any():
        raise FieldError("demand", demand.tolist(), "a non-empty vector of units >= 0")
    require_positive("holding_cost", holding_cost)
    periods = len(demand)
    costs = []
    for name, value in (("fixed_cost", fixed_cost), ("unit_cost", unit_cost)):
        value = np.asarray(value, dtype=float)
        if value.shape not in ((), (periods,)) or not np.isfinite(value).all() or (value < 0).any():
            raise FieldError(name, value.tolist(), f"numbers >= 0, one or {periods}")
        costs.append(np.broadcast_to(value, periods))
    fixed, unit = costs
    best, last = np.zeros(periods + 1), np.zeros(periods, dtype=int)  # of the periods from t on
    for t in range(periods - 1, -1, -1):
        units = np.cumsum(demand[t:])
        held = np.cumsum(holding_cost * np.arange(periods - t) * demand[t:])
        total = fixed[t] * (units > 0) + unit[t] * units + held + best[t + 1 :]
        last[t] = int(np.argmin(total))  # the order covers so many periods after its own
        best[t] = total[last[t]]
    orders, t = np.zeros(periods), 0
    while t < periods:
        orders[t] = demand[t : t + last[t] + 1].sum()
        t += last[t] + 1
    return orders, float(best[0])
