"""What decisions cause in the whole store, from logs whose truth it knows; what other policies earn; what channels add.

    python -m storelab.experiments.studies.causes effects
    python -m storelab.experiments.studies.causes off_policy
    python -m storelab.experiments.studies.causes decision
    python -m storelab.experiments.studies.causes channels

Each prints a table in Markdown, and with `--page` writes it into docs/causes.md. A log has 16 seasons under a manager
whose decisions react to the state of the store (`marketplace_log`). The truth is that of other seasons under the same
manager, on which each decision is changed and the day shopped again, on the same noise. Logs are of training seasons,
money is that of held-out ones.
"""

import argparse
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from ...agents.core.tuner import tiled
from ...envs import TASKS
from ...envs.core.rollout import rollout
from ...envs.marketplace.params import MarketplaceParams
from ...evaluation import mean_interval, scenario_keys
from ...evaluation.causal import (
    TREES,
    Estimate,
    Log,
    difference_in_means,
    double_ml,
    doubly_robust,
    off_policy,
    regression,
    slope,
)
from ...evaluation.intervals import hierarchical_interval
from ...evaluation.shapley import shapley
from .ablation import measure, table
from .marketplace_log import LEVELS, TREATMENTS, Season, Window, model_of, simulate, training_keys
from .pages import block, markdown, put

MODULE = "storelab.experiments.studies.causes"
PAGE = Path(__file__).parents[2] / "docs" / "causes.md"
SEASONS = 16  # of a log
TRUTH = 1_000_000  # first season of those that truths are taken from
REGULAR, RAISED = 1, 2  # places in `LEVELS`
GRID = np.arange(0.3, 4.001, 0.05)  # markups that a season's profit is known at
METHODS = {
    "difference in means": difference_in_means,
    "least squares with the features": regression,
    "doubly robust": doubly_robust,
    "double machine learning": double_ml,
}
CHANNELS = {  # channel -> what the task is changed by where it is off
    "ranking": {"ranking": "random"},
    "ratings": {"sentiment": False},
    "screening": {"screening": False},
    "forecasts": {"forecast": "none"},
}


def logs(model: Window, count: int) -> Iterator[Season]:
    """Yield logs, each of 16 training seasons of its own."""
    for k in range(count):
        yield simulate(model, training_keys(SEASONS * k, SEASONS), seed=k)


# -- effects ----------------------------------------------------------------------------------------------------------


def effects(model: Window, count: int, seasons: int) -> str:
    """Return the table of effects: each by each method, over logs, beside the truth of other seasons."""
    known = simulate(model, training_keys(TRUTH, seasons), seed=TRUTH, truth=True)
    truth = {name: float(known.effect[name].mean()) for name in TREATMENTS}
    truth["price"] = float((known.by_level[..., RAISED] - known.by_level[..., REGULAR]).mean())
    found: dict[tuple[str, str], list[Estimate]] = {}
    for season in logs(model, count):
        for name in truth:
            log = season.levels() if name == "price" else season.treatment(name)
            log.chance = None  # the manager's chances are estimated, as in most stores
            pair = (RAISED, REGULAR) if name == "price" else (1, 0)
            for method, estimate in METHODS.items():
                found.setdefault((name, method), []).append(estimate(log, *pair))
    rows = [[name, f"{truth[name]:.3f}", method, *_quality(found[name, method], truth[name])] for name, method in found]
    return markdown(
        [["decision", "truth", "method", "mean estimate", "RMSE", "interval, half-width", "coverage"], *rows]
    )


def _quality(estimates: list[Estimate], truth: float) -> list[str]:
    """Return mean, root mean squared error, mean half-width, and coverage of estimates as cells."""
    values = np.array([e.value for e in estimates])
    half = np.mean([(e.high - e.low) / 2 for e in estimates])
    inside = np.mean([e.covers(truth) for e in estimates])
    return [f"{values.mean():.3f}", f"{np.sqrt(((values - truth) ** 2).mean()):.3f}", f"{half:.3f}", f"{inside:.2f}"]


# -- other policies ---------------------------------------------------------------------------------------------------


def targets(first: Log) -> dict:
    """Return policies of the day's price level, features of the store (n, F) -> probabilities (n, K); one is learnt
    from a log: the level whose margin trees expect to be highest."""
    from lightgbm import LGBMRegressor

    models = []
    for k in range(first.actions):
        rows = first.action == k
        models.append(LGBMRegressor(**TREES, verbose=-1).fit(first.features[rows], first.outcome[rows]))
    one = np.eye(first.actions)
    return {
        "always regular": lambda x: one[np.full(len(x), REGULAR)],
        "always raised": lambda x: one[np.full(len(x), RAISED)],
        "low on busy days, raised on quiet ones": lambda x: one[np.where(x[:, 0] > 1, 0, RAISED)],
        "learnt from another log": lambda x: one[np.stack([m.predict(x) for m in models], 1).argmax(axis=1)],
    }


def evaluate_policies(model: Window, count: int, seasons: int) -> str:
    """Return the table of policies' values: by each estimator, over logs, beside the truth in the log's situations."""
    known = simulate(model, training_keys(TRUTH, seasons), seed=TRUTH)
    states = known.store.reshape(-1, known.store.shape[-1])
    margins = known.margin_by_level.reshape(len(states), -1)
    first = simulate(model, training_keys(TRUTH // 2, SEASONS), seed=TRUTH // 2).levels("margin")
    policies = targets(first)
    truth = {name: float((act(states) * margins).sum(axis=1).mean()) for name, act in policies.items()}
    played = {
        name: simulate(model, training_keys(TRUTH, seasons), TRUTH, act=act).margin.mean()
        for name, act in policies.items()
    }
    found: dict[tuple[str, str], list[Estimate]] = {}
    best = []
    for season in logs(model, count):
        log = season.levels("margin")
        values = {name: off_policy(log, act(log.features)) for name, act in policies.items()}
        for name, by in values.items():
            for method, estimate in by.items():
                found.setdefault((name, method), []).append(estimate)
        best.append({m: max(values, key=lambda name: values[name][m].value) for m in next(iter(values.values()))})
    rows = [
        [name, f"{truth[name]:.1f}", f"{played[name]:.1f}", m, *_quality(found[name, m], truth[name])]
        for name, m in found
    ]
    head = ["policy", "truth", "played", "estimator", "mean estimate", "RMSE", "interval, half-width", "coverage"]
    table = markdown([head, *rows])
    chosen = {m: np.array([truth[pick[m]] for pick in best]) for m in best[0]}
    base, lines = chosen["matching"], []
    for name, value in chosen.items():
        low, high = mean_interval((value - base)[:, None])[:, 0]
        gain = "" if name == "matching" else f"{(value - base).mean():+.1f} [{low:.1f}, {high:.1f}]"
        lines.append([name, f"{value.mean():.1f}", gain])
    return f"{table}\n" + markdown([["policy chosen by", "money a day", "more than by matching, 95 % CI"], *lines])


# -- a decision -------------------------------------------------------------------------------------------------------


def best_markup(effect: float) -> float:
    """Return the markup, a multiple, that is best where log orders fall by -`effect` per unit of it: m exp(effect m) is
    highest at -1 / effect. Without a fall it is the highest one of `GRID`."""
    return float(np.clip(-1 / effect if effect < 0 else np.inf, GRID[0], GRID[-1]))


def profits(params: MarketplaceParams, keys: np.ndarray) -> np.ndarray:
    """Return the profit (len(GRID), n) of whole seasons at each constant markup of `GRID`."""
    model = TASKS["Marketplace"](**vars(replace(params, resolution="store"))).model("test")
    scenario, parts = model.scenarios(keys), []
    for some in np.array_split(GRID, 20):
        action = np.repeat(some, len(keys))[:, None]
        reward = rollout(model, lambda observation, state, seed, a=action: (a, state), tiled(scenario, len(some)))
        parts.append(reward["reward"].sum(axis=1, dtype=float).reshape(len(some), len(keys)))
    return np.concatenate(parts)


def decide(model: Window, count: int, seasons: int) -> str:
    """Return the table of the price decision: the markup from a naive and from an orthogonal slope, and its money."""
    held_out = profits(model.params, scenario_keys(np.arange(seasons), "test"))
    train = profits(model.params, training_keys(TRUTH, seasons))
    earned = lambda markup: np.array([np.interp(markup, GRID, column) for column in held_out.T])
    chosen: dict[str, list[float]] = {
        "naive slope": [],
        "least squares with the features": [],
        "double machine learning": [],
    }
    for season in logs(model, count):
        log = season.levels()
        dose, orders = np.array(LEVELS)[log.action], np.log(np.maximum(log.outcome, 1))
        chosen["naive slope"].append(best_markup(float(np.polyfit(dose, orders, 1)[0])))
        design = np.column_stack([dose, np.ones(len(dose)), log.features])
        chosen["least squares with the features"].append(
            best_markup(float(np.linalg.lstsq(design, orders, rcond=None)[0][0]))
        )
        found = slope(log.features, dose, orders, log.group)
        chosen["double machine learning"].append(best_markup(found.value))
    money = {name: np.stack([earned(m) for m in markups]) for name, markups in chosen.items()}
    best = float(GRID[train.mean(axis=1).argmax()])
    marks = {"Lambert W, demand known": 1.0, "best constant, by simulation": best}
    bars, rows = ("naive slope", "least squares with the features"), []
    for name, values in (money | {name: np.tile(earned(m), (count, 1)) for name, m in marks.items()}).items():
        markup = f"{np.mean(chosen[name]):.2f} ± {np.std(chosen[name]):.2f}" if name in chosen else f"{marks[name]:.2f}"
        cells = [name, markup, f"{values.mean():,.0f}"]
        for bar in bars:
            low, high = hierarchical_interval(values - money[bar])
            gain = f"{(values - money[bar]).mean():+,.0f} [{low:,.0f}, {high:,.0f}]"
            cells.append("" if name == bar else gain)
        rows.append(cells)
    head = ["markup from", "multiple, mean ± sd over logs", "profit per season", *(f"more than {bar}" for bar in bars)]
    return markdown([head, *rows])


# -- channels ---------------------------------------------------------------------------------------------------------


def channels(common: dict, seasons: int, tuning: int) -> str:
    """Return the table of channels: what each adds (Shapley), beside what all lose without it (ablation)."""
    full = {"ranking": "popularity", "forecast": "oracle"} | common
    known: dict[frozenset, np.ndarray] = {}

    def worth(some: frozenset) -> np.ndarray:
        off = {key: value for name in CHANNELS if name not in some for key, value in CHANNELS[name].items()}
        known[some] = measure(full | off, seasons, tuning)
        return known[some]

    values = shapley(list(CHANNELS), worth)
    everything = frozenset(CHANNELS)
    without = {name: known[everything - {name}] for name in CHANNELS}
    lost = table({"all": known[everything]} | without)
    rows = []
    for name, value in values.items():
        low, high = mean_interval(value[:, None])[:, 0]
        alone = known[frozenset({name})] - known[frozenset()]
        row = lost.loc[name]
        ablation = f"{-row['difference']:+,.0f} [{-row['high']:,.0f}, {-row['low']:,.0f}]"
        rows.append([name, f"{value.mean():+,.0f} [{low:,.0f}, {high:,.0f}]", ablation, f"{alone.mean():+,.0f}"])
    total = known[everything] - known[frozenset()]
    low, high = mean_interval(total[:, None])[:, 0]
    gone = sum(-lost.loc[name, "difference"] for name in CHANNELS)
    alone = sum((known[frozenset({name})] - known[frozenset()]).mean() for name in CHANNELS)
    summed = sum(value.mean() for value in values.values())
    rows.append(["sum", f"{summed:+,.0f}", f"{gone:+,.0f}", f"{alone:+,.0f}"])
    rows.append(["all less none", f"{total.mean():+,.0f} [{low:,.0f}, {high:,.0f}]", "", ""])
    return markdown([["channel", "Shapley value", "lost without it (ablation)", "alone"], *rows])


PARSER = argparse.ArgumentParser(prog=f"python -m {MODULE}", description="Measure what decisions cause.")
PARSER.add_argument("part", choices=("effects", "off_policy", "decision", "channels"))
PARSER.add_argument("--logs", type=int, default=100, help="of 16 seasons each (default 100)")
PARSER.add_argument("--seasons", type=int, default=256, help="of the truth, and held-out ones (default 256)")
PARSER.add_argument("--tuning", type=int, default=16, help="training seasons of each coalition's rules (default 16)")
PARSER.add_argument("--models", help="channels: folder of the store's learned models (default none)")
PARSER.add_argument("--page", action="store_true", help="write the table into docs/causes.md")


def main(arguments: list[str] | None = None) -> None:
    """Print a table, and write it into the page if asked."""
    given = PARSER.parse_args(arguments)
    if given.part == "channels":
        common = {"models": given.models, "ranking": "learned"} if given.models else {}
        text = channels(common, given.seasons, given.tuning)
    else:
        part = {"effects": effects, "off_policy": evaluate_policies, "decision": decide}[given.part]
        text = part(model_of(MarketplaceParams()), given.logs, given.seasons)
    print(text)
    if given.page:
        usual = {name: PARSER.get_default(name) for name in ("logs", "seasons", "tuning")}
        options = [f"--{name} {getattr(given, name)}" for name in usual if getattr(given, name) != usual[name]]
        options += ["--models FOLDER"] if given.models else []
        command = " ".join(["OMP_NUM_THREADS=1 python -m", MODULE, given.part, *options])
        content = block(command, text.strip())
        put(PAGE, given.part, MODULE, content)


if __name__ == "__main__":
    main()
