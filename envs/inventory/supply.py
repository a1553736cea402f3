"""The supply side of an inventory model: an order from its placement until it is in stock."""

import math

import numpy as np

from ..core.random import DISRUPTION, LEAD_TIME, YIELD, streams
from .shelf import whole


class Supply:
    """Limits, disruptions, lead times and yield of the items' orders; see `Inventory` for their meaning."""

    def __init__(self, params, xp, constant):
        """Take the checked parameters, the array module and what makes its constants."""
        self.params, self.xp = params, xp
        self.random_lead = bool(params.lead_time_pmf)
        lead = np.asarray(params.lead_time if not self.random_lead else len(params.lead_time_pmf))
        self.lead = np.broadcast_to(lead, (params.items,)).astype(int)  # the longest, where it is random
        self.max_lead = int(self.lead.max())
        self.disrupted = params.per_item("disruption_probability").any()
        self.loses = bool((params.per_item("yield_mean") < 1).any())
        self.limited = bool(self.disrupted or math.isfinite(params.capacity) or math.isfinite(params.budget))
        self._one_lead = bool((self.lead == self.max_lead).all())
        self._due = [constant(self.lead == k) for k in range(self.max_lead + 1)]
        self._zero, self._tiny, self._lot = (constant(value) for value in (0.0, 1e-12, params.lot_size))
        self._volume, self._purchase = (constant(params.per_item(name)) for name in ("volume", "purchase_cost"))

    def draw(self, keys: np.ndarray, periods: int) -> dict[str, np.ndarray]:
        """Draw what matters of `lead`, `yield`, `rounding` and `supplier`, as `Inventory.scenarios` returns them."""
        p, shape, drawn = self.params, (periods, self.params.items), {}
        if self.random_lead:
            cumulative = np.cumsum(p.lead_time_pmf)[:-1]
            uniform = np.stack([rng.random(shape) for rng in streams(keys, LEAD_TIME)])
            drawn["lead"] = (1 + np.searchsorted(cumulative, uniform, side="right")).astype(np.float32)
        if self.loses:
            drawn |= self._draw_yield(keys, periods)
        if self.disrupted:
            fails, recovers = p.per_item("disruption_probability"), p.per_item("recovery_probability")
            uniform = np.stack([rng.random(shape) for rng in streams(keys, DISRUPTION)])
            states, up = np.empty(uniform.shape, np.float32), np.ones((len(keys), p.items), bool)
            for t in range(periods):
                states[:, t] = up
                up = np.where(up, uniform[:, t] >= fails, uniform[:, t] < recovers)
            drawn["supplier"] = states
        return drawn

    def _draw_yield(self, keys: np.ndarray, periods: int) -> dict[str, np.ndarray]:
        p = self.params
        mean, std = p.per_item("yield_mean"), p.per_item("yield_std")
        varies = std > 0
        a = np.divide(mean * (1 - mean), std**2, out=np.full(p.items, 2.0), where=varies) - 1
        a, b = np.where(varies, (mean * a, (1 - mean) * a), 1.0)
        # With random lead times several orders can arrive at once: each age has a yield of its own.
        size = (periods, self.max_lead if self.random_lead else 1, p.items)
        shares, rounding = [], []
        for rng in streams(keys, YIELD):
            shares.append(np.where(varies, rng.beta(a, b, size), mean).astype(np.float32))
            rounding.append(rng.random(size, dtype=np.float32))
        return {"yield": np.stack(shares)} | ({"rounding": np.stack(rounding)} if p.whole_units else {})

    def accept(self, state, order, shock: dict) -> tuple:
        """Return what suppliers who are up, the capacity and the budget let through of the orders, and the rest.

        Capacity and budget scale all orders of an environment down by one factor, rounded down to lots.
        """
        p, xp, asked = self.params, self.xp, order
        if self.disrupted:
            order = order * shock["supplier"]
        for limit, weight, used in (
            (p.capacity, self._volume, state.on_hand + sum(state.pipeline)),
            (p.budget, self._purchase, None),
        ):
            if math.isfinite(limit):
                want = xp.einsum("ni,i->n", order, weight)
                room = limit - (0 if used is None else xp.einsum("ni,i->n", used, weight))
                # A hair below the limit: the sums are float32 and must not exceed it by rounding.
                factor = xp.clip(room * (1 - 1e-6) / xp.maximum(want, self._tiny), 0, 1)
                fits = (want <= room)[:, None]
                scaled = order * factor[:, None]
                if p.lot_size:
                    scaled = xp.floor(scaled / self._lot) * self._lot
                order = xp.where(fits, order, scaled)
        return order, asked - order

    def receive(self, pipeline: tuple, order, shock: dict) -> tuple:
        """Return what arrives for this period's demand (or None), at its end, the next pipeline, and what was lost.

        What was lost is the units due that the yield kept back; None where all of an order arrives.
        """
        if self.random_lead:  # by age
            lead, waiting = shock["lead"], (order, *pipeline)
            due = [self.xp.where(lead <= age, units, self._zero) for age, units in enumerate(waiting, 1)]
            pipeline = tuple(u - a for u, a in zip(waiting[:-1], due[:-1], strict=True))
            if not self.loses:
                return None, sum(due), pipeline, None
            kept = [self._keep(units, shock, age) for age, units in enumerate(due)]
            return None, sum(kept), pipeline, sum(due) - sum(kept)
        now = None
        if self.max_lead == 0:
            now, arrived, pipeline = order, self._zero, ()
        elif self._one_lead:
            waiting = (*pipeline, order)
            arrived, pipeline = waiting[0], waiting[1:]
        else:
            waiting = [*pipeline, order * self._zero]
            waiting = [units + order * due for units, due in zip(waiting, self._due[1:], strict=True)]
            now, arrived, pipeline = order * self._due[0], waiting[0], tuple(waiting[1:])
        if not self.loses:
            return now, arrived, pipeline, None
        # An item has its order arrive either now or at the end: one yield serves both.
        kept_now = None if now is None else self._keep(now, shock, 0)
        kept = self._keep(arrived, shock, 0)
        lost = arrived - kept if now is None else arrived - kept + (now - kept_now)
        return kept_now, kept, pipeline, lost

    def _keep(self, units, shock: dict, age: int):
        """Return what arrives of the orders (num_envs, items) of an age."""
        rounding = shock.get("rounding")
        return whole(self.xp, units * shock["yield"][:, age], None if rounding is None else rounding[:, age], units)
