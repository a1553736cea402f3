"""Forecasts in the loop, fed with what the policy's own store saw, and what it pays to unconstrain that: measured.

    python -m storelab.experiments.studies.censored

Stores of `data.generate` run for `PAST` days on a base-stock rule that often runs out. Then a newsvendor on a
forecaster takes over for `HORIZON` days; demand that it does not serve is lost, and its forecaster never sees it. Every
treatment of such days meets the same demand.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd
from tqdm import tqdm

from ...agents.heuristics.inventory_rules import base_stock, newsvendor
from ...data import Panel, SyntheticStoreParams, generate
from ...envs import Days, Inventory, InventoryParams, RateDemand
from ...envs.core.checks import check_choice, check_number
from ...envs.core.rollout import rollout
from ...errors import FieldError
from ...evaluation import mean_interval
from ...forecasting import DECILES, FORECASTERS, Forecaster, create, known_future
from ...forecasting.backtest import metrics
from ...forecasting.base import MIN_HISTORY
from ...forecasting.censored import TREATMENTS, treated
from ...forecasting.lead_time import rolling_lead_time_quantiles
from ..tasks.stores import CAPITAL_COST, GOODWILL_SHARE, STORAGE_COST

PAST, HORIZON = 224, 56  # days
AHEAD = 28  # days of the forecasts that are measured
COVER = 1.2  # of the mean demand over lead time + 1 days: what the rule of the past orders up to
TRUTH = "true demand"


@dataclass
class InTheLoop:
    """A newsvendor on the lead-time quantiles of a forecaster that is fed with what this policy's own store saw.

    A policy for models with `forecast="history"`: its state gathers the history entry of each period that is over, so
    that the forecaster knows each scenario by its own run and by nothing else. Scenarios stand side by side as columns
    of one panel, and the forecaster is called once per period. In the first `start` periods a base-stock rule orders.
    """

    model: Inventory
    days: Panel  # (D, I), D >= horizon + longest lead time: prices and calendar of each period; units are not used
    forecaster: Forecaster  # fitted in period `start`, on the past of all scenarios at once
    treatment: str  # of censored days, one of TREATMENTS
    level: np.ndarray  # (I,) units: of the base-stock rule
    fractile: float  # of the demand over lead time + 1 periods, that the newsvendor orders up to
    start: int  # periods, >= MIN_HISTORY
    memory: int = 168  # periods that the forecaster is shown, at most
    truth: np.ndarray | None = None  # demand (n, T, I), shown in place of what was seen: a bound, not for use
    first: Panel | None = field(default=None, init=False)  # the past that the forecaster was fitted on

    def __post_init__(self):
        check_choice("forecast", self.model.params.forecast, ("history",))
        check_choice("treatment", self.treatment, TREATMENTS)
        check_number("start", self.start, MIN_HISTORY, self.model.horizon, integer=True)
        least = self.model.horizon + self.model.max_lead
        if len(self.days.dates) < least:
            raise FieldError("days", len(self.days.dates), f"at least {least} days")

    def __call__(self, observation: np.ndarray, seen: list | None, seed: int):
        """Act; the state is the list of the entries (n, 2, I) of the periods that are over."""
        model, named = self.model, self.model.features(observation)
        seen = [] if seen is None else [*seen, named["history"][:, -1]]
        if len(seen) < self.start:
            return model.action_of(named, base_stock(model, named, self.level, seed)), seen
        past = self._past(seen)
        if len(seen) == self.start:
            self.first = past
            self.forecaster.fit(past)
        whole = self.side_by_side(len(seen) - len(past.dates), len(seen) + model.max_lead + 1, len(observation))
        whole.units[: len(past.dates)] = past.units
        lead = np.tile(model.lead, len(observation))
        levels, today = model.params.quantiles, np.array([len(past.dates)])
        of = rolling_lead_time_quantiles(self.forecaster, whole, today, lead, levels, seed=seed, progress=False)
        named["forecast"] = of.reshape(len(observation), -1, len(levels))
        return model.action_of(named, newsvendor(model, named, self.fractile, seed)), seen

    def _past(self, seen: list) -> Panel:
        """The last periods as the forecaster is shown them: a column per scenario and item, scenario by scenario."""
        first = max(0, len(seen) - self.memory)
        entries = np.stack(seen[first:])  # (days, n, 2, I)
        panel = self.side_by_side(first, len(seen), entries.shape[1])
        if self.truth is not None:
            panel.units[:] = self.truth[:, first : len(seen)].swapaxes(0, 1).reshape(panel.units.shape)
            return panel
        units, out = np.moveaxis(entries, 2, 0).reshape(2, *panel.units.shape)
        return treated(replace(panel, units=units, stocked_out=out > 0), self.treatment)

    def side_by_side(self, start: int, stop: int, scenarios: int) -> Panel:
        """Days start .. stop - 1, every item once per scenario; units not observed."""
        days = self.days.window(start, stop)
        groups = {
            group: {name: np.tile(array, scenarios) for name, array in getattr(days, group).items()}
            for group in ("covariates", "past_covariates", "supply")
        }
        return replace(
            days,
            items=[f"{scenario}/{item}" for scenario in range(scenarios) for item in days.items],
            units=np.full((stop - start, scenarios * len(days.items)), np.nan),
            price=np.tile(days.price, scenarios),
            promo=np.tile(days.promo, scenarios),
            category=days.category and days.category * scenarios,
            stocked_out=None,
            out_share=None,
            **groups,
        )


def study(forecaster: str, fractile: float, store_seed: int, scenarios: int, items: int) -> Iterator[dict]:
    """A row per treatment of one store: errors of the forecasts made in period `PAST`, and what the store did since.

    `bias`, `wQL`, `coverage_80`: of `AHEAD` days against true demand, all scenarios and items pooled, see
    `backtest.metrics`; `profit` (n,) is money of the `HORIZON` days, with what is left valued at its cost.
    """
    store = generate(SyntheticStoreParams(items=items, days=PAST + HORIZON + 31, new_share=0.0, seed=store_seed))
    lead = store.catalogue["lead_time"].to_numpy()
    price, cost = store.catalogue["price"].to_numpy(), store.catalogue["cost"].to_numpy()
    level = np.ceil(COVER * (lead + 1) * store.rate[:PAST].mean(axis=0))
    params = InventoryParams(
        items=items,
        horizon=PAST + HORIZON,
        continuing=False,
        lead_time=lead.tolist(),
        purchase_cost=cost.tolist(),
        holding_cost=(CAPITAL_COST * cost + STORAGE_COST).tolist(),
        lost_sale_cost=(GOODWILL_SHARE * price).tolist(),
        salvage_value=cost.tolist(),
        initial_stock=level.tolist(),
        max_order=(10 * level).tolist(),
        forecast="history",
        history_days=1,
        quantiles=[fractile],
    )
    needed = slice(0, PAST + HORIZON + 1 + int(lead.max()))  # as long as a scenario: all start on the first day
    model = Inventory(params, RateDemand(store.rate[needed], store.dispersion, Days(store.panel.price[needed])))
    scenario = model.scenarios(np.arange(scenarios))
    demand = scenario["demand"]
    actual = demand[:, PAST : PAST + AHEAD].swapaxes(1, 2).reshape(-1, AHEAD).astype(float)
    for treatment in (TRUTH, *TREATMENTS):
        truth, how = (demand, "sales") if treatment == TRUTH else (None, treatment)
        policy = InTheLoop(model, store.panel, create(forecaster), how, level, fractile, PAST, truth=truth)
        run = rollout(model, policy, scenario)
        known = known_future(policy.side_by_side(0, PAST + AHEAD, scenarios), PAST, AHEAD)
        quantiles = policy.forecaster.predict(policy.first, known)
        mean, ones = policy.forecaster.predict_mean(policy.first, known), np.ones(len(actual))
        errors = metrics(actual, quantiles, mean, ones, ones, DECILES)
        before, since = (
            1 - run["unmet"][:, part].sum() / run["demand"][:, part].sum() for part in (slice(PAST), slice(PAST, None))
        )
        yield {
            "treatment": treatment,
            **{name: errors[name] for name in ("bias", "wQL", "coverage_80")},
            "fill rate before": before,
            "fill rate": since,
            "on hand, units": run["on_hand"][:, PAST:].mean(),
            "profit": run["reward"][:, PAST:].sum(axis=1, dtype=float),
        }


def summary(rows: list[dict]) -> pd.DataFrame:
    """Means over stores, and the paired gain of profit on `sales`, money, with its 95 % interval.

    It is over stores, or over the scenarios of a single one: those of one store are no independent draws of stores.
    """
    parts = pd.DataFrame(rows).groupby("treatment", sort=False)
    profit = pd.DataFrame({name: _draws(list(part)) for name, part in parts["profit"]})
    gain = profit.sub(profit["sales"], axis=0)
    table = parts.mean(numeric_only=True)
    table["profit, money"], table["gain"] = profit.mean(), gain.mean()
    table["gain_low"], table["gain_high"] = mean_interval(gain.to_numpy())
    return table


def _draws(profit: list[np.ndarray]) -> np.ndarray:
    """The means of several stores' scenarios (n,), or the scenarios of one store."""
    return np.mean(profit, axis=1) if len(profit) > 1 else profit[0]


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure what unconstraining sales is worth on synthetic stores.")
    parser.add_argument("--forecaster", choices=sorted(FORECASTERS), default="moving_average")
    parser.add_argument("--fractile", type=float, default=0.95, help="of demand, to order up to (default .95)")
    parser.add_argument("--stores", type=int, default=5, help="how many (default 5)")
    parser.add_argument("--scenarios", type=int, default=8, help="of each store (default 8)")
    parser.add_argument("--items", type=int, default=20, help="of each store (default 20)")
    args = parser.parse_args()
    rows = []
    for seed in tqdm(range(args.stores), desc="measure", unit="store", disable=None):
        rows += study(args.forecaster, args.fractile, seed, args.scenarios, args.items)
    print(summary(rows).to_string(float_format="{:.4f}".format))


if __name__ == "__main__":
    main()
