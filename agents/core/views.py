"""Views of a model for learners: the whole store as one row, or each of its items as a row.

A view turns observations of a model (num_envs, F) into a learner's rows, and a learner's actions into the model's.
"""

from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np
from gymnasium import spaces

from ...envs import Inventory, Marketplace, SupplyChain
from ...envs.core.contract import Model
from ...envs.core.seeds import purpose_seeds
from ...envs.registry import environment_of
from ...errors import FieldError
from ..heuristics.inventory import DemandStatistics
from ..heuristics.marketplace import summary
from ..heuristics.supply_chain import fractile_levels
from .correction import SPAN, Correction
from .residual import Residual, StartRule, orders

TINY = 1e-9  # where a parameter is 0
SEEDS = purpose_seeds("tuning", 64)  # of the training scenarios that a view takes its levels from


class RawView:
    """Spaces, observations, actions and rewards as the model has them: a row per environment."""

    rows = 1  # of an environment
    xp: Any = np

    def __init__(self, model: Model):
        self.model: Any = model  # of the kind that the view is for
        self.observation_space, self.action_space = model.observation_space, model.action_space
        if isinstance(self.action_space, spaces.MultiDiscrete) and len(self.action_space.nvec) == 1:
            self.action_space = spaces.Discrete(int(self.action_space.nvec[0]))

    def observe(self, observation: np.ndarray) -> np.ndarray:
        """Return a learner's observations (num_envs x rows, f) of a model's (num_envs, F)."""
        return observation

    def to_torch(self, device) -> None:
        """From now on `observe` takes and returns tensors on a device."""
        import torch

        self.xp = torch
        if residual := getattr(self, "residual", None):
            residual.to_torch(device)
        for name, value in vars(self).items():
            if isinstance(value, np.ndarray):
                setattr(self, name, torch.tensor(value, dtype=torch.float32, device=device))

    def act(self, actions: np.ndarray, observation: np.ndarray) -> np.ndarray:
        """Return the model's actions (num_envs, A) of a learner's (num_envs x rows, ...) at a model's observations."""
        return np.asarray(actions).reshape(-1, len(self.model.action_low))

    def rewards(self, rewards: np.ndarray, flow, state, ended) -> np.ndarray:
        """Return a learner's rewards (num_envs x rows,) of a period.

        Args:
            rewards: the model's (num_envs,), money.
            flow: the period's.
            state: after it.
            ended: whether the episodes ended: one bool, or (num_envs,).
        """
        return rewards


class Levels:
    """Order-up-to levels of a learner's actions a in [-S, S], S = `SPAN`, around what a heuristic would order up to.

    a = 0 is the base-stock level: the critical fractile of the demand over the protection interval (lead time + 1
    periods), as training scenarios have it; a = 1 is a standard deviation of that demand more. Where forecasts are
    seen, levels are a place between their quantiles instead: from half of the lowest one, over all of them, to the
    highest and a quarter of the largest order more. There a = 0 is the quantile at the critical ratio (newsvendor), and
    S is all of the way.

    Residual policies (Silver et al. 2018, arXiv:1812.06298) begin where the heuristic ends. `StoreView` goes without:
    on LostSales such levels were learnt no better than those of the whole range.
    """

    def __init__(self, model: Inventory):
        p, demand = model.params, DemandStatistics(model, model.scenarios(SEEDS))
        self.model, self._by_forecast = model, p.forecast in ("model", "oracle")
        self._level, self._spread, self._largest = demand.fractile_level(), demand.std, p.per_item("max_order")
        places = np.arange(1, len(p.quantiles) + 1) / (len(p.quantiles) + 1)
        self._share = np.interp(demand.ratio, p.quantiles, places)

    def __call__(self, actions: np.ndarray, observation: np.ndarray) -> np.ndarray:
        """Return the levels (n, items) of actions (n, items) at a model's observations, units."""
        if self._by_forecast:
            share = np.clip(self._share + actions / SPAN, 0, 1)
            levels = self._between(share, self.model.features(observation)["forecast"])
        else:
            levels = self._level + actions * self._spread
        return np.clip(levels, 0, self.model.action_high)

    def _between(self, share: np.ndarray, forecast: np.ndarray) -> np.ndarray:
        """Return the levels (n, items) at shares of the way over the forecast quantiles (n, items, Q)."""
        ends = forecast[..., :1] / 2, forecast[..., -1:] + self._largest[:, None] / 4
        knots = np.concatenate([ends[0], forecast, ends[1]], axis=-1)
        place = share * (knots.shape[-1] - 1)
        low = np.minimum(place.astype(int), knots.shape[-1] - 2)
        below, above = (np.take_along_axis(knots, k[..., None], axis=-1)[..., 0] for k in (low, low + 1))
        return below + (place - low) * (above - below)


class StoreView(RawView):
    """The whole store as one row; continuous actions are scaled to [-S, S], S = `SPAN`.

    A Gaussian policy's first actions then lie within an eighth of the range or so of its middle, not all over it.
    Order-up-to levels drawn all over it let PPO settle on all or nothing: 41 % above the optimum of LostSales.

    With a rule to start from, actions are what is ordered more than it says (`Residual`), or how its action is moved
    (`Correction`): 0, or the middle of a menu, is the rule.
    """

    def __init__(self, model: Model, start: StartRule | None = None):
        super().__init__(model)
        self.start, self.residual = start, None
        if start:
            self.residual = Residual(model, start) if orders(model) else Correction(model, start)
        self._box = isinstance(model.action_space, spaces.Box)
        if isinstance(self.residual, Correction):
            self.action_space = self.residual.space
        elif self._box:
            self.action_space = spaces.Box(-SPAN, SPAN, model.action_space.shape, np.float32)

    def act(self, actions: np.ndarray, observation: np.ndarray) -> np.ndarray:
        """Return the model's actions; those outside the learner's space are clipped first."""
        actions = super().act(actions, observation)
        if not self._box and self.residual:
            return self.residual(actions, observation)
        if not self._box:
            return np.minimum(actions, self.model.action_high)
        return self._scale(np.clip(actions.astype(np.float64), -SPAN, SPAN), observation)

    def _scale(self, actions: np.ndarray, observation: np.ndarray) -> np.ndarray:
        """Return the model's actions (num_envs, A) of continuous ones in [-S, S]."""
        if self.residual:
            return self.residual(actions, observation)
        low, high = self.model.action_low, self.model.action_high
        return low + (actions + SPAN) / (2 * SPAN) * (high - low)


class MarketView(StoreView):
    """The whole store as one row; actions are scaled to [-S, S], S = `SPAN`, so that 0 is the heuristics' parameters as
    the environment has them, and -S and S are the ends of the action space.

    With a rule to start from, 0 is its parameters and 1 so much more of one as costs little (`Residual`); observations
    are then the few features of the day that follow from the problem's own scales (`marketplace.summary`).
    """

    def __init__(self, model: Marketplace, start: StartRule | None = None):
        super().__init__(model, start)
        if start:
            size = self.observe(np.zeros((1, *model.observation_space.shape), np.float32)).shape[1]
            self.observation_space = spaces.Box(-2, 2, (size,), np.float32)
            return
        p = model.params
        centre = []
        for name in p.decides:
            size, low, high = model.controls[name]
            own = np.atleast_1d(getattr(p, name))
            if p.resolution == "item" and name == "restock":
                own = model.restock_levels(model.expected[None], p.restock)[0]
            elif p.resolution == "item" and name == "price":
                own = model.cost + p.price * model.markup
            centre.append(np.clip(np.broadcast_to(own, size), low, high))
        self._centre = np.concatenate(centre)

    def observe(self, observation: np.ndarray) -> np.ndarray:
        """Return the day's features (n, f) with a rule to start from, float32; else the observations as they are."""
        return summary(self.model, observation).astype(np.float32) if self.start else observation

    def _scale(self, actions: np.ndarray, observation: np.ndarray) -> np.ndarray:
        if self.residual:
            return self.residual(actions, observation)
        share = actions / SPAN
        low, high = self.model.action_low, self.model.action_high
        room = np.where(share < 0, self._centre - low, high - self._centre)
        return np.clip(self._centre + share * room, low, high)


class NetworkView(StoreView):
    """The whole supply chain as one row; its order-up-to levels are a residual around those of a heuristic.

    Of an arc's action a in [-S, S], S = `SPAN`, 0 is the level of the rule to start from, or else the critical fractile
    of the demand that the echelon of its target has to cover (`fractile_levels` of its heuristics), 1 is a standard
    deviation of that demand more (or a twentieth of the level where that is more), and -S is no order at all, as at the
    end of a season: a square leads there.
    Weights of a learned allocation are scaled to their range.
    """

    def __init__(self, model: SupplyChain, start: StartRule | None = None):
        super().__init__(model, start)
        if start:
            level, spread = np.asarray(start.params["level"]), np.asarray(start.spread)
        else:
            level, spread = (x.ravel() for x in fractile_levels(model, model.scenarios(SEEDS)))
        weights = np.full(len(model.action_low) - len(level), 0.5)
        self._low, self._high = np.array(model.action_low), np.array(model.action_high)
        self._centre = np.concatenate([level, weights])
        self._spread = np.concatenate([np.maximum(spread, level / 20), weights / SPAN])
        self._rest = np.maximum(self._centre / self._spread - SPAN, 0) / SPAN**2

    def levels(self, actions):
        """Return the model's actions (num_envs, A) of a learner's that are not bound to [-S, S], arrays or tensors."""
        xp = self.xp
        return xp.minimum(xp.maximum(self._centre + actions * self._spread, self._low), self._high)

    def _scale(self, actions: np.ndarray, observation: np.ndarray) -> np.ndarray:
        return self.levels(actions - np.minimum(actions, 0) ** 2 * self._rest)


class ItemView(StoreView):
    """One policy for all items: a row per item with the item's own state, profit and action.

    Independent learners that share their parameters (Gupta et al. 2017, AAMAS workshops; for inventory Ding et al.
    2022, arXiv:2212.07684). Units are seen in shares of the item's largest order, prices in shares of its usual one,
    and a row tells which item it is of. Rewards are in shares of what the largest order can earn or cost, so that an
    item that sells little is learned as well as one that sells much. Limits that items share stay in the dynamics; a
    row sees how much of the capacity is taken.

    Orders are `Residual` with a rule to start from. Without one, order-up-to levels are `Levels`, and of other
    continuous actions a in [-S, S], S = `SPAN`, is ((a + S) / 2S)^2 of the largest one: the orders of interest lie far
    below it. A discrete one is in lots; more than an item's largest order counts as that.
    """

    def __init__(self, model: Inventory, start: StartRule | None = None):
        super().__init__(model, start)
        p = model.params
        self.rows = p.items
        price, purchase, holding, lost, wait, salvage, stock, largest = (
            p.per_item(name)
            for name in ("price", "purchase_cost", "holding_cost", "lost_sale_cost", "backorder_cost")
            + ("salvage_value", "initial_stock", "max_order")
        )
        worth = np.maximum(np.maximum(price - purchase, 0) + lost + wait + holding, TINY)
        self._units, self._price, self._money = largest, np.maximum(price, TINY), largest * worth
        self._salvage, self._volume = 0 * salvage if p.continuing else salvage, p.per_item("volume")
        own = (purchase / np.maximum(price, purchase + TINY), holding / worth, stock / largest, np.log(largest))
        self._constants = np.concatenate([np.stack([*own, model.lead / 10], axis=1), np.eye(p.items)], axis=1)
        size = self.observe(np.zeros((1, *model.observation_space.shape), np.float32)).shape[1]
        self.observation_space = spaces.Box(-np.inf, np.inf, (size,), np.float32)
        choices = int(model.action_high.max()) + 1
        if isinstance(self.residual, Correction):
            choices = self.residual.moves.shape[1]
        self.action_space = spaces.Box(-SPAN, SPAN, (1,), np.float32) if self._box else spaces.Discrete(choices)

    @cached_property
    def _levels(self) -> Levels:
        """Made when the first action is taken: who only looks needs no scenarios."""
        return Levels(self.model)

    def observe(self, observation: np.ndarray) -> np.ndarray:
        """Return an item's features per row (num_envs x items, f), float32."""
        p, n, items, xp = self.model.params, len(observation), self.rows, self.xp
        named = self.model.features(observation)
        stock = named["on_hand"] + (named["pipeline"].sum(axis=1) if "pipeline" in named else 0)
        own = [(stock - named.get("backlog", 0)) / self._units, named["on_hand"] / self._units]
        if np.isfinite(p.capacity):
            taken = stock @ self._volume / p.capacity
            own.append(xp.broadcast_to(taken[:, None], (n, items)))
        if "backlog" in named:
            own.append(named["backlog"] / self._units)
        if "supplier" in named:
            own.append(named["supplier"])
        if "price" in named:
            own.append(named["price"] / self._price)
        for name in ("pipeline", "shelf"):
            if name in named:
                own.extend(units / self._units for units in xp.moveaxis(named[name], 1, 0))
        if "history" in named:
            seen, censored = xp.moveaxis(named["history"], 2, 0)  # (n, k, items) each
            own.extend(xp.moveaxis(xp.concatenate([seen / self._units, censored], axis=1), 1, 0))
        parts = [xp.stack(own, axis=-1)]
        parts += [named[name] / self._units[:, None] for name in ("forecast", "arrival") if name in named]
        for name in ("calendar", "time_left"):
            if name in named:
                parts.append(xp.broadcast_to(named[name][:, None], (n, items, named[name].shape[1])))
        parts.append(xp.broadcast_to(self._constants, (n, *self._constants.shape)))
        rows = xp.concatenate(parts, axis=-1).reshape(n * items, -1)
        return rows.astype(np.float32) if xp is np else rows

    def _scale(self, actions: np.ndarray, observation: np.ndarray) -> np.ndarray:
        if self.residual:
            return self.residual(actions, observation)
        if self.model.params.action == "base_stock":
            return self._levels(actions, observation)
        return ((actions + SPAN) / (2 * SPAN)) ** 2 * self.model.action_high

    def rewards(self, rewards: np.ndarray, flow, state, ended) -> np.ndarray:
        """Return each item's profit (num_envs x items,), with the salvage of a season that ended, in shares."""
        profit = self.model.item_profit(flow)
        if np.any(ended):
            left = state.on_hand + sum(state.pipeline)
            profit = profit + np.reshape(ended, (-1, 1)) * self._salvage * left
        return (profit / self._money).astype(np.float32).reshape(-1)


def _inventory(model: Inventory, per_item: bool, start: StartRule | None) -> StoreView:
    return ItemView(model, start) if per_item and model.params.items > 1 else StoreView(model, start)


def _supply_chain(model: SupplyChain, per_item: bool, start: StartRule | None) -> StoreView:
    return (NetworkView if model.params.action == "base_stock" else StoreView)(model, start)


# Environment -> its view of a model, with a row per item where that is asked for. Others have a `StoreView`.
VIEWS: dict[str, Callable[..., StoreView]] = {
    "inventory": _inventory,
    "supply_chain": _supply_chain,
    "marketplace": lambda model, per_item, start: MarketView(model, start),
}


def view_of(model: Model, per_item: bool, start: StartRule | None = None) -> StoreView:
    """Return how a learner sees a model: item by item if asked for and there are several, otherwise as one row.

    With a rule to start from (one of `starts(model)`), its actions are residuals of that.
    """
    try:
        name = environment_of(model).name
    except FieldError:  # a model that no environment declares
        return StoreView(model)
    return VIEWS[name](model, per_item, start) if name in VIEWS else StoreView(model, start)
