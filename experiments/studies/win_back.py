"""What churn is worth to the whole store's marketing: letters to the customers likeliest to have left, or evenly.

    python -m storelab.experiments.studies.win_back --results win_back.jsonl --page

A made-up population of customers says how well churn is predicted. A model, fitted on its training days, gives each
customer a probability of churn; classes are tenths of them. On the validation day a shop sees who bought nothing in the
90 days after: these shares by class are the store's parameters while the classes to write to, marketing's money and
the letters' share of it are chosen, on training seasons. Held-out seasons are played with the shares of the test day,
where the true state counts (who had left), which no shop sees. Classes keep their thresholds. All else is the
textbook's, but for marketing, which is the best of a grid without letters as well.

The file of results has a line for each finished population. Prints a table in Markdown; `--page` writes it into
docs/customers.md.
"""

import argparse
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from ...agents.heuristics import marketplace
from ...customers import CustomerParams, Samples, generate
from ...customers.evaluate import split
from ...customers.trees import BehaviourTrees, rules
from ...envs import TASKS
from ...envs.core.seeds import purpose_seeds
from ...evaluation import evaluate, t_interval
from .drawn import kept, lines
from .pages import ROOT, block, markdown, put

MODULE = "storelab.experiments.studies.win_back"
PAGE = ROOT / "docs" / "customers.md"
CLASSES = 10
TUNING = 64  # training seasons
MONEY = (25.0, 40.0, 60.0, 80.0, 100.0, 130.0, 160.0, 200.0)  # of a day's marketing
PARTS = (0.0, 0.05, 0.1, 0.25, 0.5, 0.75)  # of it that goes into letters, while there is somebody to write to
NONE, EVENLY, AS_MANY = "none", "evenly", "evenly, as many as by gradient boosting"
RULE, TREES, KNOWN = "by the rule's churn", "by gradient boosting's churn", "to those who had left, known"
WAYS = (NONE, EVENLY, AS_MANY, RULE, TREES, KNOWN)


def shares(score: np.ndarray, edges: np.ndarray, left: np.ndarray) -> dict:
    """Return the store's parameters: the classes' shares of those who have left and of others, riskiest class first.

    Args:
        score: probability of churn (N,).
        edges: between the classes, rising (K - 1,).
        left: who has left (N,) bool.
    """
    of_class = len(edges) - np.digitize(score, edges)
    count = [np.bincount(of_class[side], minlength=len(edges) + 1) for side in (left, ~left)]
    lapsed, customers = (one / one.sum() for one in count)
    on_file = TASKS["Marketplace"]().params.initial_customers * left.sum() / (~left).sum()
    return {"lapsed": float(on_file), "risk_lapsed": lapsed.tolist(), "risk_customers": customers.tolist()}


def only_churn(rows: Samples) -> Samples:
    """Return rows of which churn alone is told."""
    unknown = np.full(len(rows), np.nan)
    return replace(rows, target={name: rows.target[name] if name == "churn" else unknown for name in rows.target})


def signals(population: int, customers: int) -> dict[str, tuple[dict, dict]]:
    """Return what the store knows (validation day) and what is true (test day), as its parameters, by model."""
    made = generate(CustomerParams(customers=customers, seed=population))
    training, validation, test, categories = split(made.events)
    trees = BehaviourTrees(seed=population).fit(only_churn(training), only_churn(validation), categories)
    number = np.array([int(name[1:]) for name in test.customer])
    seen, true = validation.target["churn"] == 1, ~made.staying(float(test.day[0]) + made.first)[number]
    found = {}
    for name, told in (
        (TREES, lambda rows: trees.predict(rows)["churn"]),
        (RULE, lambda rows: rules(training, rows, len(categories))["churn"]),
    ):
        edges = np.unique(np.quantile(told(validation), np.linspace(0, 1, CLASSES + 1)[1:-1]))
        found[name] = shares(told(validation), edges, seen), shares(told(test), edges, true)
    alike = dict.fromkeys(("risk_lapsed", "risk_customers"), [1 / CLASSES] * CLASSES)
    found[EVENLY] = found[TREES][0] | alike, found[TREES][1] | alike
    known = found[TREES][1] | {"risk_lapsed": [1.0, 0.0], "risk_customers": [0.0, 1.0]}
    found[KNOWN] = known, known
    return found


def earned(played: dict, seasons: np.ndarray, split_of: str = "train") -> np.ndarray:
    """Return the profit of each season (n,) by the textbook's rules, money, on scenarios of a split."""
    task = replace(TASKS["Marketplace"](**played), hindsight=None)
    model = task.model(split_of)
    rule = marketplace.Heuristic("composite", marketplace.textbook(model), model)
    if split_of == "train":
        return marketplace.profits(model, rule, model.scenarios(seasons), 1)
    return evaluate({"rule": rule}, task, seasons).sort_values("seed")["value"].to_numpy()


def reach(store: dict, classes: int) -> float:
    """Return which share of the file the riskiest classes are, so many of them; `store` is of `shares`."""
    start = TASKS["Marketplace"]().params.initial_customers
    size = store["lapsed"] * np.array(store["risk_lapsed"]) + start * np.array(store["risk_customers"])
    return min(float(size[:classes].sum() / size.sum()), 1.0)


def changes(store: dict, setting: dict) -> dict:
    """Return the task's parameters: of the store, and of what is chosen."""
    if not setting["win_back"]:
        return {"marketing": setting["marketing"]}
    letters = setting.get("letters") or reach(store, setting["classes"])
    by = "churn" if len(set(store["risk_lapsed"])) > 1 else "evenly"
    return {**store, "win_back_by": by, "letters": letters, **{k: setting[k] for k in ("win_back", "marketing")}}


def chosen(store: dict, parts: tuple = PARTS, money: tuple = MONEY, tuning: int = TUNING) -> dict:
    """Return the best setting of the letters on training seasons: one number after the other, until none changes."""
    grids = {"classes": range(1, len(store.get("risk_lapsed", [1.0])) + 1), "win_back": parts, "marketing": money}
    best = {"classes": (len(grids["classes"]) + 1) // 2, "win_back": parts[-1], "marketing": money[len(money) // 2]}
    seasons, done = purpose_seeds("tuning", tuning), {}

    def value(setting: dict) -> float:
        key = tuple(setting.values())
        if key not in done:
            done[key] = float(earned(changes(store, setting), seasons).mean())
        return done[key]

    before = None
    while best != before:
        before = best
        for name, grid in grids.items():
            best = max(({**best, name: one} for one in grid), key=value)
    return best


def measure(population: int, customers: int, seasons: int) -> dict:
    """Return what is chosen, and the mean profit of held-out seasons, by the way to write letters."""
    found = signals(population, customers)
    settings = {way: chosen(found[way][0]) for way in (EVENLY, RULE, TREES, KNOWN)}
    settings[NONE] = chosen({}, parts=(0.0,))
    settings[AS_MANY] = settings[TREES] | {"letters": reach(found[TREES][1], settings[TREES]["classes"])}
    profit, written = {}, {}
    for way, setting in settings.items():
        true = found[EVENLY if way in (NONE, AS_MANY) else way][1]
        played = changes(true, setting)
        profit[way] = round(float(earned(played, np.arange(seasons), "test").mean()), 2)
        written[way] = round(played.get("letters", 0.0), 4)
    return {"profit": profit, "written": written, "settings": settings, "lapsed": found[TREES][1]["lapsed"]}


def table(rows: list[dict]) -> str:
    """Return the table in Markdown: means and 95 % t-intervals over populations, of differences on the same seasons."""
    out = [("letters", "profit per season", "more than none [95 % CI]", "more than evenly [95 % CI]", "of the file")]
    for way in WAYS:
        own = np.array([row["profit"][way] for row in rows])
        cells = ["" if way == bar else _lead(own - [row["profit"][bar] for row in rows]) for bar in (NONE, EVENLY)]
        part = np.mean([row["written"][way] for row in rows])
        out.append((way, f"{own.mean():,.0f}", *cells, f"{part:.0%}"))
    return markdown(out)


def _lead(lead: np.ndarray) -> str:
    low, high = t_interval(lead)
    return f"{lead.mean():+,.0f} [{low:+,.0f}, {high:+,.0f}]"


def main(arguments: list[str] | None = None) -> None:
    """Measure the populations that are left, then print the table of all."""
    parser = argparse.ArgumentParser(prog="win_back", description=str(__doc__).split("\n")[0])
    parser.add_argument("--results", type=Path, required=True, help="file of what is finished, a line of JSON each")
    parser.add_argument("--populations", type=int, default=10, help="made-up populations of customers (default 10)")
    parser.add_argument("--customers", type=int, default=2000, help="of each (default 2000)")
    parser.add_argument("--seasons", type=int, default=256, help="held-out seasons (default 256)")
    parser.add_argument("--page", action="store_true", help=f"write the table into docs/{PAGE.name}")
    given = parser.parse_args(arguments)
    for population in range(given.populations):
        key = {"population": population, "customers": given.customers, "seasons": given.seasons}
        make = partial(measure, population, given.customers, given.seasons)
        row = kept(given.results, key, lambda make=make, key=key: key | make())
        print(f"population {population}: {row['profit']}", flush=True)
    text = table(lines(given.results))
    print(text)
    if given.page:
        content = block(f"python -m {MODULE} --results win_back.jsonl --page", text)
        put(PAGE, "win back", MODULE, content)


if __name__ == "__main__":
    main()
