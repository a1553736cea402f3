"""`storelab benchmark vn2`: the VN2 Inventory Planning Challenge, played on a folder of the contest's files."""

import time
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from omegaconf import MISSING

from ...data.vn2 import ROUNDS, UNCHARGED, WEEKS, Contest, order_file, pseudo_contest, read_contest
from ...errors import FieldError
from ...forecasting import create
from ...learning.base import write_atomic
from ..tasks.forecasts import fine_tuned
from ..tasks.vn2 import CONTESTS, benchmark, on_forecasts, play
from .outside import read_words

USAGE = """usage: storelab benchmark vn2 path=FOLDER [key=value ...]

Plays the VN2 Inventory Planning Challenge on a folder of the contest's files, beside the organiser's benchmark: the
cost of weeks 3 to 8, and the order files of the rounds whose weeks are there ('Week X - Order.csv' under output).

  path        folder with 'Week 0 - DATE - Sales.csv' and the other files of week 0, and of later weeks as they come in
  pseudo      true: nine contests of eight weeks on the history instead (false)
  output      folder of the order files, the table and the fitted forecasters (runs/vn2)
  forecaster, params, fractile, paths: the policy; by default the one of conf/vn2.yaml"""
OURS, THEIRS, NONE = "storelab", "organiser's benchmark", "no orders"


@dataclass
class Vn2Params:
    """The keys of the command; the policy's own are in `conf/vn2.yaml`."""

    path: str = MISSING
    pseudo: bool = False
    output: str = "runs/vn2"
    forecaster: str = MISSING  # a name of `forecasting.FORECASTERS`
    params: dict[str, Any] = field(default_factory=dict)  # the forecaster's
    fractile: float = MISSING  # of the need in the week that an order arrives in
    paths: int = MISSING  # of demand, per week and series


def settings(args: list[str]) -> Vn2Params:
    """Return the settings of a command's words; raises ValueError for a word that is none."""
    read = read_words(Vn2Params, args, (resources.files("storelab.conf") / "vn2.yaml").read_text())
    if not 0 < read.fractile < 1:
        raise FieldError("fractile", read.fractile, "a number between 0 and 1, both excluded")
    if not 1 <= read.paths <= 10_000:
        raise FieldError("paths", read.paths, "a whole number from 1 to 10000")
    return read


def contest(keys: Vn2Params) -> None:
    """Play the contest, or pseudo-contests; print the costs, write them and the order files."""
    started, contest, output = time.perf_counter(), read_contest(keys.path), Path(keys.output)
    forecaster = create(keys.forecaster, **keys.params)
    contests = [contest]
    if keys.pseudo:
        contests = [pseudo_contest(contest, contest.start - WEEKS * k) for k in range(CONTESTS, 0, -1)]
    rows = []
    for each in contests:
        past = each.panel.until(each.start)
        plan = on_forecasts(fine_tuned(forecaster, past, output / "cache"), keys.fractile, keys.paths)
        played = {OURS: plan, THEIRS: benchmark, NONE: lambda past, on_hand, first, second: 0 * on_hand}
        result, orders = play(each, played)
        rows.append(result.assign(weeks=f"from {each.panel.dates[each.start - 1] + each.panel.dates.freq:%Y-%m-%d}"))
        if not keys.pseudo:
            _write_orders(each, orders[OURS], output)
    table = pd.concat(rows).pivot(index="policy", columns="weeks", values="cost")
    if keys.pseudo:
        table["mean"] = table.mean(axis=1)
    shown = contests[0].weeks if not keys.pseudo else WEEKS
    if shown > UNCHARGED:
        text = table.sort_values(table.columns[-1]).to_string(float_format="{:,.1f}".format)
        print(f"cost of weeks {UNCHARGED + 1} to {shown}\n{text}")
        write_atomic(output / "costs.csv", table.to_csv().encode())
    print(f"{time.perf_counter() - started:.0f} s; files: {output}")


def _write_orders(contest: Contest, orders: list[np.ndarray], output: Path) -> None:
    for number, order in enumerate(orders):
        write_atomic(output / f"Week {number} - Order.csv", order_file(contest, order).to_csv(index=False).encode())
    last = len(orders) - 1
    left = f"; the next order needs the sales of week {last + 1}" if last < ROUNDS - 1 else ""
    print(f"orders at the end of weeks 0 to {last}: {output}/Week X - Order.csv{left}")
