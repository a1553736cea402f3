"""`storelab benchmark inventorybench`: the games of InventoryBench, drawn anew or from its files, with its scores."""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from ...agents.adaptive.recurrent import recurrent
from ...agents.core.rules import rules_of
from ...envs.core.checks import check_number
from ...envs.inventory_game.games import LEADS, draw_games
from ...evaluation import mean_interval, t_interval
from ...learning.base import write_atomic
from ...reading import check_writable
from ..reports.page import bracket
from ..tasks.inventory_bench import Makers, play_games, read_games
from .outside import read_words

USAGE = """usage: storelab benchmark inventorybench [path=FOLDER] [key=value ...]

Plays the games of InventoryBench: score of a game = max(0, profit / (profit per unit x all demand)).

  path        folder with the benchmark's games (train.csv and test.csv in a folder each); none: 720 games drawn anew
  draws       times that the 720 games are drawn (3); intervals are over them
  first       number of the first draw (0); all draws are held out
  output      folder of the scores, and with a path of the files to submit: POLICY/results, POLICY/scores.json
              (runs/inventorybench)"""
# All synthetic games, and by lead time; standard errors of games in brackets. Sources: docs/outside_benchmarks.md.
PUBLISHED = {
    "capped base-stock (published)": ("0.4869", "", "", ""),
    "rule corrected by the best language model (published)": ("0.5964", "0.839 (.024)", "0.540 (.032)", "0.411 (.032)"),
    "language model sets the rule's parameters (published)": ("0.5538", "0.860 (.022)", "0.558 (.032)", "0.243 (.028)"),
}
OURS = ("adaptive", "recurrent")  # whose files are to be submitted


@dataclass
class InventoryBenchKeys:
    """The keys of the command."""

    path: str = ""
    draws: int = 3
    first: int = 0
    output: str = "runs/inventorybench"


def settings(args: list[str]) -> InventoryBenchKeys:
    """Return the settings of a command's words; raises ValueError for a word that is none."""
    keys = read_words(InventoryBenchKeys, args)
    check_number("draws", keys.draws, 1, 1000, integer=True)
    check_number("first", keys.first, 0, 1_000_000, integer=True)
    return keys


def makers() -> Makers:
    """Return what makes each policy of a model of the games."""
    rule = lambda kind: lambda model: rules_of(model).Heuristic(kind, {}, model)
    return {"capped base-stock": rule("capped_base_stock"), "adaptive": rule("adaptive"), "recurrent": recurrent}


def contest(keys: InventoryBenchKeys) -> None:
    """Play the games, print the tables, write scores and files to submit."""
    started, output = time.process_time(), Path(keys.output)
    check_writable(output, "output")
    if keys.path:
        games = read_games(keys.path)
        scores, orders = play_games(games, makers())
        for policy in OURS:
            _submit(output / policy, policy, scores.loc[scores["policy"] == policy], orders[policy])
        scores["draw"] = 0
        groups = ["all", *dict.fromkeys(scores["setting"])]
    else:
        parts = [
            play_games(draw_games(k), makers())[0].assign(draw=k) for k in range(keys.first, keys.first + keys.draws)
        ]
        scores, groups = pd.concat(parts), ["all", *LEADS]
    text = "\n\n".join([by_setting(scores, groups, published=not keys.path), by_pattern(scores)])
    print(text)
    write_atomic(output / "scores.csv", scores.to_csv(index=False).encode())
    count, seconds = len(scores) // scores["policy"].nunique(), time.process_time() - started
    print(f"\n{count:,} games, {seconds:.0f} s of CPU time; files: {output}")


def by_setting(scores: pd.DataFrame, groups: Sequence[str], published: bool) -> str:
    """Return the table of mean scores by lead time, with 95 % intervals: over draws, or over games where one is all."""
    heads = ["all games", *(f"lead time {name}" for name in groups[1:])]
    rows = {}
    for policy, own in scores.groupby("policy", sort=False):
        cells = []
        for group in groups:
            some = own if group == "all" else own[own["setting"] == group]
            draws = np.array([part["score"].mean() for _, part in some.groupby("draw")])
            values = draws if len(draws) > 1 else np.asarray(some["score"])
            low, high = t_interval(values) if len(draws) > 1 else mean_interval(values[:, None])[:, 0]
            cells.append(f"{some['score'].mean():.4f}{bracket(low, high, '.4f')}")
        rows[str(policy)] = cells
    rows = {name: list(cells) for name, cells in PUBLISHED.items()} | rows if published else rows
    return _markdown(["policy", *heads], [[name, *cells] for name, cells in rows.items()])


def by_pattern(scores: pd.DataFrame) -> str:
    """Return the table of mean scores by pattern of demand."""
    table = scores.pivot_table("score", "pattern", "policy", sort=False)
    body = [
        [str(pattern), *(f"{value:.4f}" for value in row)]
        for pattern, row in zip(table.index, table.to_numpy(), strict=True)
    ]
    return _markdown(["pattern", *map(str, table.columns)], body)


def _markdown(head: list[str], body: list[list[str]]) -> str:
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *body]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _submit(folder: Path, policy: str, scores: pd.DataFrame, orders: dict[str, np.ndarray]) -> None:
    """Write what the benchmark takes: results.csv of each game, scores.json and a README."""
    for game, units in orders.items():
        table = pd.DataFrame({"period": np.arange(1, len(units) + 1), "order_quantity": units.astype(int)})
        write_atomic(folder / "results" / game / "results.csv", table.to_csv(index=False).encode())
    batch = scores["game"].str.extract(r"^(.*?lead_time_[^/]+)")[0].fillna("all")
    batches = {
        str(name): {"num_instances": len(part), "score": float(part["score"].mean())}
        for name, part in scores.groupby(batch)
    }
    summary = {"overall_score": float(scores["score"].mean()), "total_instances": len(scores), "batches": batches}
    write_atomic(folder / "scores.json", json.dumps(summary, indent=2).encode())
    text = f"# {policy}\n\nA policy of storelab, without a language model: see docs/outside_benchmarks.md there.\n"
    write_atomic(folder / "README.md", text.encode())
