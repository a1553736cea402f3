"""What forecasts are worth in money: the same policies on the same days, with forecasts from several sources.

    python -m storelab.experiments.studies.worth synthetic
    python -m storelab.experiments.studies.worth online_retail PATH
    python -m storelab.experiments.studies.worth bakery PATH
    python -m storelab.experiments.studies.worth vn2 PATH

Each prints a table in Markdown, and with `--page` writes it into docs/worth.md, with its command. A gain is over the
best rule without forecasts, the best on the very days it is judged on, which favours it; a share is that of the best
rule with perfect forecasts (oracle). Everything is tuned and trained on training days. Forecasters see true demand,
also what was not served. With `--rows FILE` what was played is kept there, a line of JSON for each policy, and not
played again.
"""

import argparse
import json
import shlex
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from importlib import resources
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
from omegaconf import OmegaConf

from ...agents.heuristics import inventory as heuristics
from ...data import Panel
from ...data.files import read_parquet
from ...data.online_retail import load_panel
from ...data.vn2 import WEEKS, pseudo_contest, read_contest
from ...envs import Task
from ...envs.core.rollout import rollout
from ...envs.core.seeds import purpose_seeds
from ...evaluation import scenario_keys
from ...evaluation.intervals import hierarchical_interval, mean_interval, t_interval
from ...forecasting import create
from ..choice import Judge, begin, best_of, start_rule
from ..tasks.forecasts import fine_tuned
from ..tasks.stores import online_retail_ii_task, store_task, synthetic_store_task
from ..tasks.vn2 import CONTESTS, PATHS, benchmark, on_forecasts, play
from .pages import block, put

PAGE = Path(__file__).parents[2] / "docs" / "worth.md"
MODULE = "storelab.experiments.studies.worth"
SOURCES = ("none", "moving average", "LightGBM", "zero-shot", "fine-tuned", "quick ensemble", "ensemble", "oracle")
FORECASTERS = {
    "moving average": ("moving_average", {}),
    "LightGBM": ("lightgbm", {}),
    "zero-shot": ("transformer", {"fine_tune_steps": 0}),
    "fine-tuned": ("transformer", {}),
    "quick ensemble": ("ensemble", {"params": {"transformer": {"fine_tune_steps": 0}}}),  # its network zero-shot
    "ensemble": ("ensemble", {}),
}
WITHOUT = ("base_stock", "capped_base_stock", "s_S", "myopic")  # rules, without forecasts
WITH = ("newsvendor", "lost_sales_newsvendor", "shrunk_newsvendor")
LEARNERS = {
    "PPO": ("sb3", "ppo_store"),
    "pathwise": ("pathwise", "pathwise_store"),
}  # module of agents, option of `agent`
TUNING_EPISODES = 64
EPISODES = 100  # drawn from the held-out days
FRACTILES = (0.6, 0.66, 0.72, 0.78, 0.84)  # of VN2's need, that are chosen from
BAKERY = {  # fresh goods, ordered every evening for the next day: of what is not sold nothing is left
    "lead_time": 0,
    "shelf_life": 1,
    "initial_stock": 0.0,
    "salvage_value": 0.0,
    "holding_cost": 0.0,
}


def bakery(path: str) -> Panel:
    """Return the panel of the bakery's table: an item is a product in a shop, and all of them have the price 1."""
    table = read_parquet(path)
    table["item"] = table["store"].astype(str) + "-" + table["item"].astype(str)
    table["holiday"] = table["is_holiday"]
    return Panel.from_frame(table[["item", "date", "units", "promo", "holiday"]], price=1.0, no_row="zero")


def task_of(source: str, store: Callable[..., Task], planned: bool, cache: str | None) -> Task:
    """A store's task with forecasts of `source`; `planned`: prices and promotions are known in advance."""
    name, params = FORECASTERS.get(source, FORECASTERS["moving average"])  # whose forecasts are then not looked at
    params = params if name == "moving_average" else params | {"planned": planned}
    task = store(forecaster=create(name, **params), cache=cache, forecast="model")  # which replays recorded days
    return replace(task, params=replace(task.params, forecast=source if source in ("none", "oracle") else "model"))


def tuned(task: Task, kept: dict[str, dict]) -> dict[str, heuristics.Heuristic]:
    """The rules that go with the task's forecasts, tuned on training days, or with parameters that are `kept`."""
    seeds = purpose_seeds("tuning", TUNING_EPISODES)
    return {
        kind: heuristics.Heuristic(kind, kept[kind], task.model())
        if kind in kept
        else heuristics.tune(kind, task, seeds)
        for kind in (WITHOUT, WITH)[task.params.forecast != "none"]
    }


def learnt(name: str, task: Task, rules: dict[str, heuristics.Heuristic], steps: int | None, seed: int):
    """A learner's best policy on the validation windows, or the rule that it starts from: the best of the rules there.

    As in a training run.
    """
    from ...agents import pathwise, sb3

    module, option = {"sb3": sb3, "pathwise": pathwise}[LEARNERS[name][0]], LEARNERS[name][1]
    conf = resources.files("storelab.conf") / "agent"
    files = [OmegaConf.create((conf / f"{part}.yaml").read_text()) for part in (option.partition("_")[0], option)]
    config: dict = OmegaConf.to_container(OmegaConf.merge(*files))  # type: ignore[assignment]
    del config["defaults"]
    params = module.Params(**config | ({"total_steps": steps} if steps else {}))
    judge, seeds = Judge(task, TUNING_EPISODES), purpose_seeds("tuning", TUNING_EPISODES)
    choice = begin(judge, dict(rules), module.starts(task.model("train"), params))
    learner = module.Learner(task, params, seed, rule=start_rule(choice, task, dict(rules), seeds))
    return best_of(learner, module.load_policy, judge, rules[choice.start or ""], max(1, params.total_steps // 20))


def item_values(task: Task, policy) -> np.ndarray:
    """A policy's profit per season of each item (I,), on the held-out days."""
    model = task.model("test")
    run = rollout(model, policy, model.scenarios(scenario_keys(np.arange(EPISODES), "test")), trace=True)
    return heuristics.item_profit(task, model, run).mean(axis=0) * model.horizon


def played(stores: list[Callable[..., Task]], planned: bool, args) -> list[dict]:
    """A row per policy, source, store and seed: its profit of each item (I,), and the parameters of a rule.

    Those in the file `args.rows` are taken from there, and others added to it.
    """
    rows = [json.loads(line) for line in args.rows.read_text().splitlines()] if args.rows and args.rows.exists() else []
    found = {(row["store"], row["source"], row["policy"], row["seed"]): row for row in rows}
    learners = list(product(args.learners, range(args.seeds)))
    sources: list[str] = args.sources
    wanted = [
        (number, source, policy, seed)
        for number, source in product(range(len(stores)), sources)
        for policy, seed in [
            *product(WITHOUT if source == "none" else WITH, [0]),
            *(learners if source in (args.learn_on or sources) else []),
        ]
    ]
    for number, source in dict.fromkeys((key[0], key[1]) for key in wanted if key not in found):
        task = task_of(source, stores[number], planned, args.cache)
        if args.days:
            task = replace(task, train=task.train.part(0, args.days))  # type: ignore[union-attr]
        kept = {key[2]: row["params"] for key, row in found.items() if key[:2] == (number, source) and "params" in row}
        rules = tuned(task, kept)
        for key in (key for key in wanted if key[:2] == (number, source) and key not in found):
            *_, policy, seed = key
            act = rules[policy] if policy in rules else learnt(policy, task, rules, args.steps, seed)
            found[key] = dict(zip(("store", "source", "policy", "seed"), key, strict=True))
            found[key] |= {"items": item_values(task, act).tolist()}
            found[key] |= {"params": rules[policy].params} if policy in rules else {}
            print(f"store {number}, {source}, {policy}, seed {seed}: {sum(found[key]['items']):,.0f}", flush=True)
            if args.rows:
                with args.rows.open("a") as file:
                    file.write(json.dumps(found[key]) + "\n")
    return [found[key] for key in wanted]


def summary(rows: list[dict]) -> pd.DataFrame:
    """A row per policy and source: profit per season, gain over the best rule without forecasts, share of the oracle's.

    The 95 % interval of a gain is over stores where there are several, and else over items, and a learner's seeds: the
    seasons of one store overlap, and say little of how sure a gain is.
    """
    table = pd.DataFrame(rows)
    table["items"] = table["items"].map(np.asarray)
    table["profit"] = table["items"].map(np.sum)
    means = table.groupby(["policy", "source"], sort=False)["profit"].mean()
    without = table[(table["source"] == "none") & table["policy"].isin(WITHOUT)]
    base = without.groupby("policy")["profit"].mean().idxmax()
    best = without[without["policy"] == base].set_index("store")["items"]
    oracle = (
        means[means.index.isin([(kind, "oracle") for kind in WITH])].max()
        if "oracle" in set(table["source"])
        else np.nan
    )
    result = []
    for (policy, source), of in table.groupby(["policy", "source"], sort=False):
        gain = np.array(
            [
                row.items - best[row.store]
                for row in of.drop(columns="items").assign(items=of["items"]).itertuples(index=False)
            ]
        )
        result.append(
            {"policy": policy, "forecasts": source, "profit": means[policy, source], "gain": gain.sum(axis=1).mean()}
            | dict(zip(("low", "high"), _interval(gain, of["store"].to_numpy()), strict=True))
            | {"share": gain.sum(axis=1).mean() / (oracle - means[base, "none"])}
        )
    return pd.DataFrame(result)


def _interval(gain: np.ndarray, store: np.ndarray) -> np.ndarray:
    """The interval (2,) of the mean total gain; `gain` (runs, I) has a row per store and seed."""
    stores, items = np.unique(store), gain.shape[1]
    if len(stores) > 1:
        return t_interval(np.array([gain[store == each].sum(axis=1).mean() for each in stores]))
    if len(gain) > 1:
        return hierarchical_interval(gain) * items
    return mean_interval(gain.T)[:, 0] * items


def contests(args) -> pd.DataFrame:
    """VN2's pseudo-contests: the mean cost of the order on sample paths, its fractile chosen on the other contests.

    Without forecasts there is the organiser's benchmark. Intervals are by t over the contests.
    """
    contest, costs = read_contest(args.path), {}
    for window in (pseudo_contest(contest, contest.start - WEEKS * k) for k in range(args.contests, 0, -1)):
        past, plans = window.panel.until(window.start), {("none", 0.0): benchmark}
        for source in (source for source in args.sources if source in FORECASTERS):
            name, params = FORECASTERS[source]
            forecaster, drawn = fine_tuned(create(name, **params), past, args.cache), {}
            plans |= {(source, f): on_forecasts(forecaster, f, PATHS, drawn) for f in FRACTILES}
        table, _ = play(window, {f"{source} {f}": plan for (source, f), plan in plans.items()})
        cost = table.set_index("policy")["cost"]
        for source, fractile in plans:
            costs.setdefault((source, fractile), []).append(cost[f"{source} {fractile}"])
        costs.setdefault(("oracle", 0.0), []).append(cost["perfect foresight"])
        print(f"{window.panel.dates[window.start]:%Y-%m-%d}: played", flush=True)
    base, result = np.array(costs["none", 0.0]), []
    for source in dict.fromkeys(source for source, _ in costs):
        each = np.array([cost for (name, _), cost in costs.items() if name == source])  # (fractiles, contests)
        others = each.sum(axis=1, keepdims=True) - each
        cost = each[others.argmin(axis=0), np.arange(args.contests)]
        row = {"forecasts": source, "cost": cost.mean(), "gain": (base - cost).mean()}
        row |= dict(zip(("low", "high"), t_interval(base - cost), strict=True))
        result.append(row | {"share": (base - cost).sum() / (base - costs["oracle", 0.0]).sum()})
    return pd.DataFrame(result)


def markdown(table: pd.DataFrame) -> str:
    """A table for a page: money without decimals, the interval behind the gain."""
    lines = []
    for row in table.to_dict("records"):
        gain = f"{row['gain']:,.0f} ({row['low']:,.0f} to {row['high']:,.0f})" if row["gain"] else ""
        money = f"{row.get('profit', row.get('cost')):,.0f}"
        words = [row[name] for name in ("policy", "forecasts") if name in row]
        share = f"{row['share']:.3f}".replace("0.", ".") if gain and np.isfinite(row["share"]) else ""
        lines.append(" | ".join([*words, money, gain, share]))
    head = [name for name in ("policy", "forecasts", "profit", "cost") if name in table] + ["gain", "share"]
    return "\n".join(f"| {line} |" for line in (" | ".join(head), " | ".join(["---"] * len(head)), *lines))


def command_of(args) -> str:
    """The command line that makes the table, without where things lie on this machine."""
    given = [args.data, *(["PATH"] if args.path else [])]
    for name in ("stores", "contests", "sources", "learners", "learn_on", "seeds", "steps", "days"):
        value, usual = getattr(args, name), PARSER.get_default(name)
        if value != usual:
            given += [f"--{name.replace('_', '-')}", *map(str, value if isinstance(value, list) else [value])]
    return f"OMP_NUM_THREADS=1 python -m {MODULE} {shlex.join(given)}"


PARSER = argparse.ArgumentParser(prog=f"python -m {MODULE}", description="Measure what forecasts are worth in money.")
PARSER.add_argument("data", choices=("synthetic", "online_retail", "bakery", "vn2"))
PARSER.add_argument("path", nargs="?", help="Online Retail II, the bakery's Parquet, or the folder of VN2's files")
PARSER.add_argument("--stores", type=int, default=5, help="synthetic stores (default 5)")
PARSER.add_argument("--contests", type=int, default=CONTESTS, help=f"of VN2, the last ones (default {CONTESTS})")
PARSER.add_argument("--sources", nargs="+", choices=SOURCES, default=list(SOURCES))
PARSER.add_argument("--learners", nargs="+", choices=list(LEARNERS), default=[], help="besides the rules")
PARSER.add_argument("--learn-on", nargs="+", choices=SOURCES, help="sources that learners have (default all)")
PARSER.add_argument("--seeds", type=int, default=5, help="of each learner (default 5)")
PARSER.add_argument("--steps", type=int, help="of a learner's training; by default its option's")
PARSER.add_argument("--days", type=int, help="tune on so many of the first training days alone")
PARSER.add_argument("--cache", help="folder for fine-tuned forecasters and their forecasts")
PARSER.add_argument("--rows", type=Path, help="file of what was played, to go on with")
PARSER.add_argument("--page", action="store_true", help="write the table into docs/worth.md")


def main() -> None:
    args = PARSER.parse_args()
    if args.data != "synthetic" and not args.path:
        PARSER.error(f"{args.data} needs a path")
    if "none" not in args.sources:
        PARSER.error("--sources needs none, which gains are over")
    table = contests(args) if args.data == "vn2" else summary(played(*stores_of(args), args))
    print(markdown(table))
    if args.page:
        content = block(command_of(args), markdown(table))
        put(PAGE, args.data, MODULE, content)


def stores_of(args) -> tuple[list[Callable[..., Task]], bool]:
    """The stores of a data set, and whether their prices and promotions are known in advance."""
    if args.data == "online_retail":
        return [partial(online_retail_ii_task, load_panel(args.path))], False
    if args.data == "bakery":
        return [partial(store_task, bakery(args.path), **BAKERY)], True
    return [partial(synthetic_store_task, {"seed": k}) for k in range(args.stores)], True


if __name__ == "__main__":
    main()
