"""The pictures of a run's report: one scenario under the policies that are shown, as the environment asks for."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ...envs import Model, Policy, Task
from ...envs.core.rollout import play, rollout
from ...envs.registry import environment_of
from ...evaluation import scenario_keys
from . import plots
from .page import figure, picture, section
from .replay import replay

STOCK = ("on_hand", "ordered", "demand", "unmet")  # fields of a flow that the chart of stock shows
PRICE = ("price", "sales")


@dataclass
class Scene:
    """A held-out scenario of a task, and the policies that are shown on it, the best heuristic last."""

    task: Task
    model: Model
    policies: Mapping[str, Policy]
    scenario: dict[str, np.ndarray]  # of one row
    seed: int


def pictures(task: Task, policies: Mapping[str, Policy], seed: int) -> list[str]:
    """Return the pictures of a held-out scenario as pieces of HTML: the environment's own, or charts of its flow."""
    model = task.model("test")
    scene = Scene(task, model, policies, model.scenarios(scenario_keys([seed], "test")), seed)
    return OWN.get(environment_of(model).name, charts)(scene)


def charts(scene: Scene, stock: bool = True) -> list[str]:
    """Return the stock and the prices of the item that is asked for most, as far as the flow has them."""
    traces = {name: rollout(scene.model, act, scene.scenario, trace=True) for name, act in scene.policies.items()}
    last = next(reversed(traces.values()))
    chosen = "price" not in scene.scenario  # else it is the scenario's, and no decision
    drawn = [
        ("Stock, orders and lost sales", plots.stock_chart, stock and all(f"flow.{name}" in last for name in STOCK)),
        ("Prices and sales", plots.price_chart, chosen and all(f"flow.{name}" in last for name in PRICE)),
    ]
    body = []
    for head, chart, there in drawn:
        if there:
            item, title = asked_for(scene, last)
            body.append(section(head, figure(chart(traces, item, title), "The same scenario for each policy.")))
    return body


def asked_for(scene: Scene, trace: dict) -> tuple[int, str]:
    """Return the item with the largest demand in a trace, and what to call it."""
    items = trace["item_profit"].shape[2]
    units = trace["flow.demand" if "flow.demand" in trace else "flow.sales"][0].reshape(scene.model.horizon, -1)
    item = int(units.sum(axis=0).argmax()) % items  # shops have a column each
    return item, f"Item {item + 1} of {items} (the one in highest demand), held-out scenario {scene.seed}"


def store(scene: Scene) -> list[str]:
    """Return the charts, and the forecasts that are observed with what came."""
    body = charts(scene)
    if scene.model.params.forecast == "model":
        last = rollout(scene.model, next(reversed(scene.policies.values())), scene.scenario, trace=True)
        drawn, caption = _fan(scene.model, scene.scenario, asked_for(scene, last)[0])
        body.append(section("The forecast and what came", figure(drawn, caption)))
    return body


def routes(scene: Scene) -> list[str]:
    """Return the maps of a day."""
    maps = []
    for name, act in scene.policies.items():
        flows = [flow for _, flow, _ in play(scene.model, act, scene.scenario)]
        cost = -sum(float(scene.model.reward(scene.model.money(flow))[0]) for flow in flows)
        caption = f"{name}, held-out day {scene.seed}: {cost:,.0f} {scene.task.unit}."
        maps.append(figure(plots.route_maps(scene.model, flows), caption))
    return [section("Routes", *maps)]


def season(scene: Scene) -> list[str]:
    """Return prices and sales, and the season as an animation."""
    moving = replay(scene.model, scene.policies, scene.scenario)
    return [*charts(scene, stock=False), section("The season, day by day", picture(moving))]


OWN = {"inventory": store, "dispatch": routes, "marketplace": season}  # environment -> its pictures; others: charts


def _fan(model, scenario: dict, item: int):
    """The fan of one item over an episode, as far as what came is known within it.

    The shares in the caption are over all items: an item shown because much was asked of it came high.
    """
    levels, items = list(model.params.quantiles), range(model.params.items)
    came, quantiles = _summed(model, scenario, item)
    under = [came[:, None] <= of for came, of in (_summed(model, scenario, other) for other in items)]
    shares = np.concatenate(under).mean(axis=0)
    inside = [f"{share:.0%} under the {level:.0%} quantile" for share, level in zip(shares, levels, strict=True)]
    lead = int(model.lead[item])
    title = f"Demand of item {item + 1} over its lead time of {lead} and the review period"
    caption = f"What came, over all {len(items)} items in this one window: " + ", ".join(inside) + "."
    return plots.forecast_fan(quantiles, came, levels, lead, title), caption


def _summed(model, scenario: dict, item: int) -> tuple[np.ndarray, np.ndarray]:
    """What came (T,) of an item over its lead time and the review period from each day on, and its quantiles (T, Q)."""
    came = np.convolve(scenario["demand"][0, :, item].astype(float), np.ones(int(model.lead[item]) + 1), mode="valid")
    return came, scenario["forecast"][0, : len(came), item]
