"""`storelab benchmark euro_neurips`: the dynamic problem of the EURO Meets NeurIPS 2022 Vehicle Routing Competition."""

import json
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ...agents.heuristics.dispatch import Heuristic
from ...envs import Dispatch, DispatchParams
from ...envs.core.checks import check_choice, check_number
from ...envs.core.rollout import play
from ...envs.core.seeds import test_keys
from ...errors import FieldError
from ...evaluation import mean_interval
from ...learning.base import write_atomic
from ...reading import check_writable, read_json
from ..reports.page import bracket
from .outside import read_words

USAGE = """usage: storelab benchmark euro_neurips [path=FOLDER] [key=value ...]

Plays the competition's dynamic problem: seconds of driving of a day's routes, for every policy under one router.

  path        folder with the competition's instances (VRPLIB .txt) and maybe configs.json (number -> instance,
              instance_seed), else all its instances with the seed `seed`; none: generated cities, 50 requests a day
  router      fast | pyvrp (fast)
  iterations  of the router per epoch, in place of the competition's 60 to 120 s (2000)
  seed        of the days of instances without a configs.json (1); of generated days the first one
  days        generated days (16)
  output      folder of the costs, and with a path of the solutions, POLICY/NUMBER.out, in the form of the
              competition's controller (runs/euro_neurips)"""
# Weights of linear prizes, learned on the competition's training instances (docs/dispatch.md): none is played here.
WEIGHTS = [0.253, 0.575, 0.104, -0.041, -0.121, -0.063, -0.247, 0.021]
LEVELS = (0.2, 0.3, 0.4, 0.5, 0.6, 0.8)
LEARNED = "linear prize, learned"
# Mean over the competition's 100 final instances; and on single ones, (file's key, seed) -> seconds.
FINAL = {"hindsight (heuristic)": 328_348, "Kleopatra (winner)": 348_832, "greedy": 399_725, "lazy": 620_735}
PUBLISHED = {
    ("57977bd6", 473): dict(zip(FINAL, (190_260, 199_921, 236_284, 326_912), strict=True)),
    ("92f528a9", 88): dict(zip(FINAL, (314_278, 326_272, 368_333, 550_743), strict=True)),
    ("51a6250b", 157): dict(zip(FINAL, (272_525, 291_958, 327_657, 489_134), strict=True)),
    ("e4d359d2", 220): dict(zip(FINAL, (402_502, 403_610, 443_474, 835_895), strict=True)),
}


@dataclass
class EuroNeuripsKeys:
    """The keys of the command."""

    path: str = ""
    router: str = "fast"
    iterations: int = 2000
    seed: int = 1
    days: int = 16
    output: str = "runs/euro_neurips"


def settings(args: list[str]) -> EuroNeuripsKeys:
    """Return the settings of a command's words; raises ValueError for a word that is none."""
    keys = read_words(EuroNeuripsKeys, args)
    check_choice("router", keys.router, ("fast", "pyvrp"))
    check_number("iterations", keys.iterations, 0, 1_000_000, integer=True)
    check_number("seed", keys.seed, 0, 2**31 - 1, integer=True)
    check_number("days", keys.days, 1, 10_000, integer=True)
    return keys


def contest(keys: EuroNeuripsKeys) -> None:
    """Play the days, print and write the table, write the solutions."""
    started, output = time.process_time(), Path(keys.output)
    check_writable(output, "output")
    rows: list[dict[str, Any]] = []
    if keys.path:
        for number, file, seed in instances(Path(keys.path), keys.seed):
            model = _model(keys, instances=[str(file)])
            for policy, (costs, solutions) in played(model, np.array([[seed, 0]], np.uint64)).items():
                rows.append({"policy": policy, "day": number, "seconds": costs[0]})
                place = output / re.sub(r"\W+", "_", policy) / f"{number}.out"
                write_atomic(place, solution_file(costs[0], solutions[0]))
            rows += [
                {"policy": f"{name} (published)", "day": number, "seconds": value}
                for name, value in known(file, seed).items()
            ]
    else:
        model = _model(keys, requests=50.0)
        for policy, (costs, _) in played(model, test_keys(keys.seed + np.arange(keys.days))).items():
            rows += [{"policy": policy, "day": str(day), "seconds": cost} for day, cost in enumerate(costs)]
    frame = pd.DataFrame(rows)
    print(table(frame, wide=bool(keys.path)))
    if keys.path:
        print(
            "\nPublished means over the competition's 100 final instances, s: "
            + "; ".join(f"{name} {cost:,}" for name, cost in FINAL.items())
        )
    write_atomic(output / "costs.csv", frame.to_csv(index=False).encode())
    budget = f"{keys.router} router, {keys.iterations} iterations an epoch"
    print(f"\n{budget}, {time.process_time() - started:.0f} s of CPU time; files: {output}")


def instances(folder: Path, seed: int) -> list[tuple[str, Path, int]]:
    """Return the days of a folder: number, file of the instance and seed of the day.

    Raises:
        FieldError: no instance, or a configs.json that names a file which is not there.
    """
    configs = folder / "configs.json"
    if not configs.is_file():
        files = sorted(folder.glob("*.txt"))
        if not files:
            raise FieldError("path", str(folder), "a folder with the competition's instances, .txt, or configs.json")
        return [(file.stem, file, seed) for file in files]
    days, listed = [], read_json(configs)
    for number, entry in listed.items() if isinstance(listed, dict) else [("", None)]:
        if (
            not isinstance(entry, dict)
            or not isinstance(entry.get("instance"), str)
            or not isinstance(entry.get("instance_seed"), int)
        ):
            raise FieldError(f"configs.json {number}", entry, "an object with instance and instance_seed")
        file = folder / Path(entry["instance"]).name
        if not file.is_file():
            raise FieldError(f"configs.json {number}", entry["instance"], "a file of the folder")
        days.append((str(number), file, entry["instance_seed"]))
    return days


def _model(keys: EuroNeuripsKeys, **changes) -> Dispatch:
    return Dispatch(DispatchParams(action="weights", router=keys.router, iterations=keys.iterations, **changes))


def played(model: Dispatch, days: np.ndarray) -> dict[str, tuple[np.ndarray, list[dict[str, list[list[int]]]]]]:
    """Play days with every policy.

    Args:
        model: in the action mode `weights`.
        days: keys (n, 2).

    Returns:
        policy -> seconds of driving (n,), and of each day epoch -> routes, requests numbered as the competition does.
    """
    policies = {kind: Heuristic(kind, {}, model) for kind in ("greedy", "lazy")}
    policies |= {f"prize {level}": Heuristic("fixed_prize", {"level": [level]}, model) for level in LEVELS}
    policies[LEARNED] = Heuristic("linear_prize", {"weights": WEIGHTS}, model)
    scenario, results = model.scenarios(days), {}
    there = (scenario["customer"][:, : model.horizon] > 0).reshape(len(days), -1)
    number = np.where(there, there.cumsum(axis=1), 0)  # by slot
    for name, act in policies.items():
        costs, solutions = np.zeros(len(days)), [{} for _ in days]
        for _, flow, _ in play(model, act, scenario):
            costs += flow.duration
            for row, solution in enumerate(solutions):
                if routes := [number[row, visits].tolist() for visits in flow.routes(row)]:
                    solution[str(int(flow.epoch[row, 0]))] = routes
        results[name] = costs, solutions
    return results


def solution_file(cost: float, solution: dict[str, list[list[int]]]) -> bytes:
    """Return a solution as the competition's controller prints it."""
    return f"------ Controller ------\nCost of solution: {cost:.0f}\nSolution:\n{json.dumps(solution)}\n".encode()


def known(file: Path, seed: int) -> dict[str, int]:
    """Return the published costs of an instance and seed, seconds by policy; none where it is not one of those."""
    return next((costs for (name, day), costs in PUBLISHED.items() if name in file.name and day == seed), {})


def table(rows: pd.DataFrame, wide: bool) -> str:
    """Return the table of costs, best mean first: by day, or with intervals of the mean."""
    values = rows.pivot(index="day", columns="policy", values="seconds").loc[list(dict.fromkeys(rows["day"]))]
    days = list(values.index) if wide else []
    lines = [f"| policy | {' | '.join([*(f'day {day}, s' for day in days), 'mean, s'])} |"]
    lines.append(f"| --- |{' ---: |' * (len(days) + 1)}")
    for name in values.mean().sort_values().index:
        cells = [f"{cost:,.0f}" for cost in values[name]] if wide else []
        low, high = mean_interval(values[[name]])[:, 0] if not wide else (None, None)
        lines.append(
            f"| {' | '.join([str(name), *cells, f'{values[name].mean():,.0f}' + bracket(low, high, ',.0f')])} |"
        )
    return "\n".join(lines)
