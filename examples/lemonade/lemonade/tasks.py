"""The task of the lemonade stand, and its optimum."""

import numpy as np
from storelab.envs import Reference, Task
from storelab.envs.core.task import override

from .model import LemonadeParams, LemonadeStand


def lemonade_task(**changes) -> Task:
    """A season of two weeks at a lemonade stand."""
    params = override(LemonadeParams(), changes)
    return Task("Lemonade", params, LemonadeStand, lambda: reference(LemonadeStand(params)))


def solve(model: LemonadeStand) -> tuple[float, np.ndarray]:
    """Return the largest expected profit of a season, and the best decision (T, 3, litres left) that attains it.

    Backward induction over all prices and litres (Puterman 1994, section 4.5); decision d is the price d // Q and
    d % Q litres, of Q that can be brewed.
    """
    p, chances = model.params, model.chances  # chances: weather w, price p, demand k
    litres = np.arange(p.max_brew + 1)
    left, brewed, demand = litres[:, None, None], litres[:, None], np.arange(chances.shape[-1])
    sales = np.minimum(demand, left + brewed)  # left l, brewed q, demand k
    kept = brewed - np.maximum(sales - left, 0)
    revenue = np.einsum("wpk,lqk->wlpq", chances, sales) * np.asarray(p.prices)[:, None]
    value, decisions = np.zeros(len(litres)), []
    for _ in range(p.horizon):
        profit = revenue - p.brew_cost * litres + np.einsum("wpk,lqk->wlpq", chances, value[kept])
        flat = profit.reshape(*profit.shape[:2], -1)
        decisions.insert(0, flat.argmax(axis=-1))
        value = np.asarray(p.weather) @ flat.max(axis=-1)  # tomorrow's weather is not known today
    return float(value[0]), np.array(decisions)


def reference(model: LemonadeStand) -> Reference:
    """Return the optimum of a stand, with the policy that attains it."""
    value, decisions = solve(model)

    def policy(observation, policy_state, seed):
        named = model.features(observation)
        day = np.rint((1 - named["time_left"][:, 0]) * model.horizon).astype(int)
        best = decisions[day, named["forecast"].argmax(axis=1), named["left"][:, 0].astype(int)]
        return np.stack(np.divmod(best, model.params.max_brew + 1), axis=1).astype(float), policy_state

    return Reference(
        name="optimal price and litres",
        value=value,
        criterion="finite horizon",
        kind="exact",
        tolerance=1e-6,
        source="Puterman 1994, Markov Decision Processes, section 4.5; backward induction",
        policy=policy,
        unit="profit per episode",
    )
