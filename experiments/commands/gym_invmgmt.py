"""`storelab benchmark gym_invmgmt`: our policies on the environments of the package gym-invmgmt, beside its own scores.

The network is read from the package's environment, and our heuristics are tuned on our model of it. What is played is
the package's environment: its observation becomes ours, our orders become its action. In each period its profit is
compared with that of our model under the same demand, so that the two are known to be one problem.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ...agents.core.rules import rules_of
from ...envs import Task
from ...envs.core.checks import check_choice, check_number
from ...envs.core.contract import Policy
from ...envs.core.demand import DemandParams
from ...envs.core.seeds import purpose_seeds
from ...envs.supply_chain.model import SupplyChain
from ...envs.supply_chain.params import Arc, Node, network
from ...envs.supply_chain.references import hindsight
from ...errors import FieldError
from ...evaluation import mean_interval
from ...learning.base import write_atomic
from ...reading import check_writable
from ..reports.page import bracket
from .outside import read_words

USAGE = """usage: storelab benchmark gym_invmgmt [key=value ...]

Plays the environments of the package gym-invmgmt (pip install gym-invmgmt), 30 periods, stationary demand, backorders.

  scenario    network | serial (network)
  episodes    seeds of the package's reset that are played (10)
  first       the first of them (42)
  policies    of ours: base_stock, echelon_base_stock, s_S, newsvendor, stochastic_program 
              ([stochastic_program,base_stock,newsvendor])
  training    scenarios that they are tuned on, none of them played (32)
  output      folder of the table (runs/gym_invmgmt)"""
IDS = {"network": "GymInvMgmt/MultiEchelon-v0", "serial": "GymInvMgmt/Serial-v0"}
# Profit per episode on the network, over ten scenarios of the authors'. Source: docs/outside_benchmarks.md.
PUBLISHED = {"its oracle (published)": "846", "its heuristics (published)": "740 to 766", "its PPO (published)": "591"}
BOUND = "bound in hindsight, ours"
APART = 0.01  # money per period that the two may differ by, for rounding


@dataclass
class GymInvmgmtKeys:
    """The keys of the command."""

    scenario: str = "network"
    episodes: int = 10
    first: int = 42
    policies: Any = ("stochastic_program", "base_stock", "newsvendor")
    training: int = 32
    output: str = "runs/gym_invmgmt"


def settings(args: list[str]) -> GymInvmgmtKeys:
    """Return the settings of a command's words; raises ValueError for a word that is none."""
    keys = read_words(GymInvmgmtKeys, args)
    check_choice("scenario", keys.scenario, tuple(IDS))
    check_number("episodes", keys.episodes, 1, 10_000, integer=True)
    check_number("first", keys.first, 0, 2**31 - 1, integer=True)
    check_number("training", keys.training, 1, 10_000, integer=True)
    if not isinstance(keys.policies, list | tuple) or not keys.policies:
        raise FieldError("policies", keys.policies, "a list of names")
    return keys


def contest(keys: GymInvmgmtKeys) -> None:
    """Tune our policies, play the package's environment, print and write the table."""
    started, output = time.process_time(), Path(keys.output)
    check_writable(output, "output")
    task = task_of(made(keys.scenario).unwrapped.network)
    rules = rules_of(task.model("train"))
    tuned = {kind: rules.tune(kind, task, purpose_seeds("tuning", keys.training)) for kind in keys.policies}
    seeds = range(keys.first, keys.first + keys.episodes)
    rows = pd.DataFrame([row for seed in seeds for row in play(keys.scenario, task.model("test"), tuned, seed)])
    text = table(rows, keys.scenario)
    print(text)
    write_atomic(output / "episodes.csv", rows.to_csv(index=False).encode())
    seconds = time.process_time() - started
    print(f"\nseeds {seeds[0]} to {seeds[-1]}, {seconds:.0f} s of CPU time; files: {output}")


def made(scenario: str) -> Any:
    """Return the package's environment of a scenario; raises FieldError where the package is not installed."""
    try:
        import_module("gym_invmgmt")
    except ImportError as error:
        raise FieldError("gym-invmgmt", "not installed", "the package: pip install gym-invmgmt", f"({error})") from None
    import gymnasium

    return gymnasium.make(IDS[scenario], disable_env_checker=True)


def task_of(graph: Any) -> Task:
    """Return the task of a network of the package (its `SupplyChainNetwork`): nodes are named by their numbers."""
    nodes, arcs = {}, []
    shops = {shop: graph.graph.edges[shop, market] for shop, market in graph.retail_links}
    for number in (*graph.main_nodes, *graph.rawmat):
        given = graph.graph.nodes[number]
        values: dict[str, Any] = {"initial_stock": float(given.get("I0", 0)), "holding_cost": given.get("h", 0.0)}
        if "C" in given:
            values["capacity"] = float(given["C"])
        if number in shops:
            edge = shops[number]
            values |= {"price": edge["p"], "backorder_cost": edge["b"], "lost_sale_cost": edge["b"]}
            values["demand"] = DemandParams(mean=float(edge["dist_param"]["mu"]))
        else:
            values["backorders"] = False
        nodes[f"node-{number}"] = Node() if number in graph.rawmat else Node(**values)
    for source, target in graph.reorder_links:
        edge, giver = graph.graph.edges[source, target], graph.graph.nodes[source]
        cost = edge["p"] if source in graph.rawmat else giver.get("o", 0.0) / giver.get("v", 1.0)
        ends = (f"node-{source}", f"node-{target}")
        arcs.append(Arc(*ends, int(edge["L"]), unit_cost=cost, pipeline_cost=edge["g"]))
    season = {"horizon": 30, "continuing": False, "ships_arrivals": False, "allocation": "priority"}
    return Task("gym-invmgmt", network(nodes, arcs, **season), SupplyChain)


def play(scenario: str, model: SupplyChain, policies: Mapping[str, Policy], seed: int) -> list[dict]:
    """Return a row per policy, `policy`, `seed` and `profit`, and the bound in hindsight, of an episode of the package.

    Raises:
        ValueError: the package's profit of a period is not our model's.
    """
    rows, drawn = [], np.zeros(0)
    for name, act in policies.items():
        env = made(scenario)
        env.reset(seed=seed)
        inside, state, total, memory = env.unwrapped, model.initial(1), 0.0, None
        order = [inside.network.reorder_links.index(_numbers(arc)) for arc in model.arcs]
        for t in range(model.horizon):
            signal = {"time_left": np.full((1, 1), 1 - t / model.horizon, np.float32)}
            action, memory = act(_observation(model, inside, state, signal), memory, t)
            action = np.clip(action, model.action_low, model.action_high).astype(np.float32)
            asked = np.zeros(len(order))
            asked[order] = np.asarray(model.orders(state, action))[0, :, 0]
            _, reward, *_ = env.step(asked)
            shock = signal | {"demand": inside.D[t].reshape(1, -1).astype(np.float32)}
            state, flow = model.transition(state, action, shock)
            own = float(np.asarray(model.reward(model.money(flow)))[0])
            if abs(own - reward) > APART:
                raise ValueError(f"gym-invmgmt: profit {reward} of seed {seed}, period {t}; our model's is {own}")
            total += reward
        drawn = inside.D.reshape(1, model.horizon, -1)
        rows.append({"policy": name, "seed": seed, "profit": total})
        env.close()
    demand = np.concatenate([drawn, drawn[:, -1:]], axis=1).astype(np.float32)
    return [*rows, {"policy": BOUND, "seed": seed, "profit": float(hindsight.bounds(model, {"demand": demand})[0])}]


def _numbers(arc: str) -> tuple[int, int]:
    """Return the package's link of one of our arcs, such as `node-2-node-1`."""
    _, source, _, target = arc.split("-")
    return int(source), int(target)


def _observation(model: SupplyChain, inside: Any, state: Any, signal: dict) -> np.ndarray:
    """Return our observation (1, F) of the package's environment: stock and backlog are its own."""
    named, t = dict(model.observe(state, signal)), inside.period
    numbers = [int(name.rpartition("-")[2]) for name in model.nodes]
    stock = inside.X[t, [inside.network.node_map[number] for number in numbers]].reshape(1, -1, 1)
    if not np.allclose(stock, named["on_hand"], atol=APART):
        raise ValueError(f"gym-invmgmt: stock {stock.ravel()} in period {t}; our model's is {named['on_hand'].ravel()}")
    named["on_hand"] = stock.astype(np.float32)
    if t:
        named["backlog"] = inside.U[t - 1].reshape(1, -1, 1).astype(np.float32)
    parts = [np.asarray(named[name], np.float32).reshape(1, -1) for name in model.layout]
    return np.concatenate(parts, axis=1)


def table(rows: pd.DataFrame, scenario: str) -> str:
    """Return the table of mean profits per episode, with 95 % intervals, best first."""
    values = rows.pivot(index="seed", columns="policy", values="profit")
    lines = ["| policy | profit per episode [95 % CI] | below the bound, % |", "| --- | ---: | ---: |"]
    means = {str(name): float(np.mean(values[name])) for name in values.columns}
    for name, value in sorted(means.items(), key=lambda item: -item[1]):
        low, high = mean_interval(values[name].to_numpy()[:, None])[:, 0]
        below = 100 * (1 - value / means[BOUND])
        lines.append(f"| {name} | {value:.1f}{bracket(low, high, '.1f')} | {below:.2f} |")
    published = PUBLISHED if scenario == "network" else {}
    return "\n".join([*lines, *(f"| {name} | {value} | |" for name, value in published.items())])
