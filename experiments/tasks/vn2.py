"""The VN2 Inventory Planning Challenge as a task: weekly orders for 599 series, lost sales, the contest's rules.

One period is a week. Six orders are placed, at the end of weeks 0 to 5; an order meets the demand of the week after the
next two (lead time 2). A unit left at a week's end costs .2, a lost sale 1; the first two weeks are the same whatever
is ordered, and the value leaves them out.
"""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from ...agents.heuristics.paths import order_on_paths
from ...data import Panel
from ...data.vn2 import (
    HOLDING,
    LEAD_TIME,
    ROUNDS,
    SHORTAGE,
    UNCHARGED,
    WEEKS,
    Contest,
    pseudo_contest,
    read_contest,
)
from ...envs.core.contract import Policy
from ...envs.core.demand import HistoryDemand
from ...envs.core.rollout import rollout
from ...envs.core.task import Task, override
from ...envs.inventory.model import Inventory
from ...envs.inventory.params import InventoryParams
from ...errors import FieldError
from ...forecasting import Forecaster, known_future
from .data import ContestParams

LOOK_AHEAD = WEEKS + 1 + LEAD_TIME  # weeks of demand that a scenario holds: those after the contest are never played
BENCHMARK_SEEN = 13  # weeks of the moving average of the organiser's benchmark
BENCHMARK_WEEKS = 4  # of the moving average, that the organiser's benchmark orders up to
PATHS = 400
CONTESTS = 9  # pseudo-contests: the last 72 weeks of the history
BOUND = "perfect foresight"

# The order (I,) from the history, whose last week is over, the units on hand at its end, and the units that come in
# before the next week and before the one after it.
Plan = Callable[[Panel, np.ndarray, np.ndarray, np.ndarray], np.ndarray]


def vn2_task(
    data: str | Path | Contest | ContestParams | None = None,
    start: int | None = None,
    cache: str | Path | None = None,
    **changes,
) -> Task:
    """The contest on its eight weeks, or on eight weeks of its history where these are not in the folder.

    Args:
        data: the folder of the contest's files, a `Contest`, or `ContestParams`, which may hold the start.
        start: row of the history that a pseudo-contest starts with; None: the contest itself where all of its weeks
            are there, else the last eight weeks of the history.
        cache: not used: the task's observation holds no forecasts.
        changes: fields of `InventoryParams`.

    Raises:
        FieldError: no data, files that are missing or wrong, a start outside the history.
    """
    if isinstance(data, ContestParams):
        data, start = data.path, data.start if start is None else start
    if not isinstance(data, str | Path | Contest):
        raise FieldError("data", data, "the folder of the contest's files or a Contest")
    contest = data if isinstance(data, Contest) else read_contest(data)
    if start is not None or (contest.weeks < WEEKS and not isinstance(data, Contest)):
        contest = pseudo_contest(contest, contest.start - WEEKS if start is None else start)
    history = np.nan_to_num(contest.panel.units[: contest.start])
    params = InventoryParams(
        items=len(contest.panel.items),
        horizon=WEEKS,
        continuing=False,
        lead_time=LEAD_TIME,
        holding_cost=HOLDING,
        lost_sale_cost=SHORTAGE,
        initial_stock=(contest.on_hand + contest.in_transit[0]).tolist(),
        initial_pipeline=[contest.in_transit[1].tolist()],
        max_order=(10 * history.max(axis=0) + 100).tolist(),  # the contest has no limit: it never binds
    )
    weeks = np.zeros((LOOK_AHEAD, params.items))
    weeks[: contest.weeks] = contest.demand()[:LOOK_AHEAD]
    return Task(
        "VN2",
        override(params, changes),
        Inventory,
        train=HistoryDemand(history),
        test=HistoryDemand(weeks),
        hindsight=foresight_cost,
        uncharged=UNCHARGED,
    )


def policy_of(contest: Contest, plan: Plan, model: Inventory) -> Policy:
    """Return the policy that plays a plan on a contest's scenario: week by week it sees the weeks before, no other."""

    def act(observation, policy_state, seed):
        named = model.features(observation)
        week, first = policy_state or (0, np.broadcast_to(contest.in_transit[0], named["on_hand"].shape))
        second = named["pipeline"][:, 0]
        if week >= ROUNDS or week > contest.weeks:  # no order, or one that needs weeks still to come
            return 0 * second, (week + 1, second)
        past = contest.panel.until(contest.start + week)
        orders = [plan(past, *row) for row in zip(named["on_hand"] - first, first, second, strict=True)]
        return model.action_of(named, np.stack(orders)), (week + 1, second)

    return act


def benchmark(past: Panel, on_hand: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Order as the organiser's benchmark: up to four weeks of a seasonal moving average, all stock and orders counted.

    The average is over 13 weeks, of weeks in stock, without the season of the year (N. Vandeput, VN2, 2025).
    """
    units = np.where(past.stocked_out, np.nan, past.units)
    week, ahead = (dates.isocalendar().week.to_numpy(int) for dates in (past.dates, past.next_dates(BENCHMARK_WEEKS)))
    level = seasonal_moving_average(units, week, ahead).sum(axis=1)
    return np.maximum(level - on_hand - first - second, 0).round()


def seasonal_moving_average(units: np.ndarray, week: np.ndarray, ahead: np.ndarray) -> np.ndarray:
    """Return the means (I, H) of the coming weeks: the last 13 weeks' mean without the year's season, times the season.

    The benchmark of the VN2 Inventory Planning Challenge (N. Vandeput, 2025).

    Args:
        units: (D, I), NaN where not observed.
        week: (D,) week of the year of each row.
        ahead: (H,) week of the year of each coming row; one that was never seen has a season of 1.
    """
    table = pd.DataFrame(units)
    season = table.mean(axis=1).groupby(week).mean()
    season = season / season.mean()
    base = (table.div(season.loc[week].to_numpy(), axis=0)).iloc[-BENCHMARK_SEEN:].mean().to_numpy()
    return np.nan_to_num(base[:, None] * season.reindex(ahead).fillna(1.0).to_numpy())


def on_forecasts(forecaster: Forecaster, fractile: float, paths: int = PATHS, drawn: dict | None = None) -> Plan:
    """Return the plan that orders a fractile of the need on a fitted forecaster's sample paths; see `order_on_paths`.

    The forecaster is not fitted on: what it is given of later weeks is the history that it forecasts from. In `drawn`
    plans that differ in the fractile alone share its paths.
    """
    drawn = {} if drawn is None else drawn

    def plan(past: Panel, on_hand: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        origin = len(past.dates)
        if origin not in drawn:
            known = known_future(past, origin, LEAD_TIME + 1)
            drawn[origin] = forecaster.sample_paths(past, known, paths, seed=origin)
        return order_on_paths(drawn[origin], on_hand + first, second[None], fractile)

    return plan


def foresight_cost(model: Inventory, scenario: dict) -> np.ndarray:
    """Return the least cost (n,) of the weeks that count with demand known: each order is what its week lacks.

    No order costs anything, so that nothing is held beyond what the start left over, and no later sale is lost.
    """
    demand = scenario["demand"]

    def act(observation, policy_state, seed):
        week, named = policy_state or 0, model.features(observation)
        if week >= ROUNDS:
            return 0 * named["on_hand"], week + 1
        left = np.maximum(named["on_hand"] - demand[:, week], 0) + named["pipeline"][:, 0]
        left = np.maximum(left - demand[:, week + 1], 0)
        return model.action_of(named, np.maximum(demand[:, week + LEAD_TIME] - left, 0)), week + 1

    reward = rollout(model, act, scenario)["reward"]
    return -reward[:, UNCHARGED:].sum(axis=1, dtype=np.float64)


def play(contest: Contest, plans: Mapping[str, Plan]) -> tuple[pd.DataFrame, dict[str, list[np.ndarray]]]:
    """Play plans on the weeks of a contest that are known.

    Returns:
        A row per policy, with the bound of perfect foresight where all weeks are known: `policy`, `cost` of the known
        weeks that count, `holding_cost`, `lost_sale_cost`; and of each plan its orders, one (I,) per round that can be
        placed.
    """
    task = vn2_task(contest)
    model = task.model("test")
    scenario = model.scenarios(np.array([0]))
    rows, orders = [], {}
    for name, plan in plans.items():
        orders[name] = []
        run = rollout(model, policy_of(contest, _recorded(plan, orders[name]), model), scenario)
        counted = slice(UNCHARGED, max(UNCHARGED, contest.weeks))
        cost = {term: float(run[term][0, counted].sum()) for term in ("holding_cost", "lost_sale_cost")}
        rows.append({"policy": name, "cost": sum(cost.values())} | cost)
    if contest.weeks == WEEKS:
        rows.append({"policy": BOUND, "cost": float(foresight_cost(model, scenario)[0])})
    return pd.DataFrame(rows), orders


def _recorded(plan: Plan, orders: list[np.ndarray]) -> Plan:
    def recorded(past, on_hand, first, second):
        orders.append(plan(past, on_hand, first, second))
        return orders[-1]

    return recorded
