"""InventoryBench's games from its own files, and the play of any games: scores and orders by policy.

A game is a folder with `train.csv` (`exact_dates_ITEM`, `demand_ITEM`: five samples) and `test.csv` (those, and
`lead_time_ITEM`, `profit_ITEM`, `holding_cost_ITEM`), columns in any order. Folders above it may be called
`lead_time_0`, `lead_time_4`, `lead_time_stochastic`, and `p01_...` for a pattern.
"""

import io
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ...envs.core.checks import LARGEST
from ...envs.core.contract import Policy
from ...envs.core.rollout import play
from ...envs.inventory_game.games import LEADS, LOST, SAMPLES, Game
from ...envs.inventory_game.model import SLOTS, InventoryGame
from ...envs.inventory_game.params import InventoryGameParams
from ...envs.inventory_game.score import score
from ...errors import FieldError
from ...reading import plain_bytes

POINTER = b"version https://git-lfs"  # what a file begins with that was not fetched
Makers = Mapping[str, Callable[[InventoryGame], Policy]]


def read_games(folder: str | Path) -> list[Game]:
    """Return the games in all folders below `folder` that have a `test.csv`, in the order of their names.

    Raises:
        FieldError: no game; a file that is missing or unlike the benchmark's.
    """
    folder = Path(folder)
    places = sorted(path.parent for path in folder.rglob("test.csv"))
    if not places:
        raise FieldError("path", str(folder), "a folder with games: test.csv and train.csv in a folder each")
    return [_game(folder, place) for place in places]


def _game(top: Path, place: Path) -> Game:
    test, train = _table(place / "test.csv"), _table(place / "train.csv")
    demand, history = _numbers(test, "demand", place / "test.csv"), _numbers(train, "demand", place / "train.csv")
    if len(history) < SAMPLES:
        raise FieldError(f"{place.name}/train.csv", len(history), f"at least {SAMPLES} samples of demand")
    lead = _leads(test, place)
    parts = place.resolve().relative_to(top.resolve().anchor).parts
    setting = next((p.removeprefix("lead_time_") for p in reversed(parts) if p.removeprefix("lead_time_") in LEADS), "")
    if not setting:
        setting = str(int(lead[0])) if (lead == lead[0]).all() and lead[0] < LOST else "stochastic"
    promised = LEADS[setting] if setting in LEADS else int(setting)
    profit, holding = (_constant(test, name, place) for name in ("profit", "holding_cost"))
    pattern = next(
        (p for p in reversed(parts) if re.match(r"p\d\d_", p)), "real" if "real_trajectory" in parts else "other"
    )
    end = _history_end(_column(train, "exact_dates"), _column(test, "exact_dates"))
    name = place.relative_to(top).as_posix()
    name = f"{place.resolve().name}" if name == "." else name
    return Game(name, pattern, setting, history[-SAMPLES:], demand, lead, promised, profit / holding, end)


def _table(file: Path) -> pd.DataFrame:
    try:
        raw = plain_bytes(file)
        if raw.startswith(POINTER):
            raise FieldError(
                "file", str(file), "a CSV file: it is a pointer of Git LFS, to be fetched by `git lfs pull`"
            )
        return pd.read_csv(io.BytesIO(raw))
    except (OSError, ValueError) as error:
        if isinstance(error, FieldError):
            raise
        raise FieldError("file", str(file), f"a CSV file: {error}") from None


def _column(table: pd.DataFrame, prefix: str) -> Any:  # a Series, or None
    """Return the column of a prefix: the item's name follows it."""
    found = [name for name in table if str(name) == prefix or str(name).startswith(f"{prefix}_")]
    return table[found[0]] if found else None


def _numbers(table: pd.DataFrame, prefix: str, file: Path) -> np.ndarray:
    column = _column(table, prefix)
    where = f"{file.parent.name}/{file.name}"
    if column is None:
        raise FieldError(where, prefix, f"a column {prefix}_ITEM; there are {', '.join(map(str, table))[:100]}")
    values = np.asarray(pd.to_numeric(column, errors="coerce"), dtype=float)
    bad = ~((values >= 0) & (values <= 1e6)) if prefix != "lead_time" else np.isnan(values) | (values < 0)
    if bad.any():
        row = int(np.argmax(bad))
        raise FieldError(f"{where} {column.name}, row {row + 1}", column.iloc[row], "a number of at least 0")
    if not len(values):
        raise FieldError(where, "no row", "a row per period")
    return values


def _leads(table: pd.DataFrame, place: Path) -> np.ndarray:
    lead = _numbers(table, "lead_time", place / "test.csv")
    wrong = np.isfinite(lead) & ((lead != np.round(lead)) | (lead >= SLOTS))
    if wrong.any():
        expected = f"a whole number below {SLOTS}, or inf for a lost order"
        raise FieldError(f"{place.name}/test.csv lead_time", lead[wrong][0], expected)
    return np.where(np.isinf(lead), LOST, lead)


def _constant(table: pd.DataFrame, prefix: str, place: Path) -> float:
    values = _numbers(table, prefix, place / "test.csv")
    if values[0] <= 0 or (values != values[0]).any():
        raise FieldError(f"{place.name}/test.csv {prefix}", values.tolist()[:3], "one number above 0 in all rows")
    return float(values[0])


def _history_end(train: Any, test: Any) -> int:
    """Return the history's last period on the game's clock: by labels such as `Period_5`; by dates it is 0."""
    if train is None or test is None:
        return 0
    last, first = (re.fullmatch(r"\D*(\d+)", str(label)) for label in (train.iloc[-1], test.iloc[0]))
    return 1 + int(last[1]) - int(first[1]) if last and first else 0


def play_games(games: Sequence[Game], makers: Makers) -> tuple[pd.DataFrame, dict[str, dict[str, np.ndarray]]]:
    """Play games by policies.

    Args:
        games: of any lengths.
        makers: name -> what makes a policy of a model.

    Returns:
        A row per policy and game: `policy`, `game`, `pattern`, `setting`, `score`. And policy -> game -> orders (T,).
    """
    rows: list[dict[str, Any]] = []
    orders: dict[str, dict[str, np.ndarray]] = {name: {} for name in makers}
    for length in sorted({len(game.demand) for game in games}):
        some = [game for game in games if len(game.demand) == length]
        model = InventoryGame(InventoryGameParams(horizon=length, max_order=LARGEST))
        scenario = _scenario(model, some)
        for name, maker in makers.items():
            flows = [flow for _, flow, _ in play(model, maker(model), scenario)]
            reward = np.stack([model.reward(model.money(flow)) for flow in flows], axis=1)
            placed = np.concatenate([flow.ordered for flow in flows], axis=1)
            for game, order, value in zip(some, placed, score(reward, scenario), strict=True):
                orders[name][game.name] = order
                rows.append(
                    {"policy": name, "game": game.name, "pattern": game.pattern, "setting": game.setting}
                    | {"score": value}
                )
    return pd.DataFrame(rows), orders


def _scenario(model: InventoryGame, games: Sequence[Game]) -> dict[str, np.ndarray]:
    longer = lambda values: np.append(values, values[-1])  # the period after the last one is never played
    return model.scenario(
        np.array([game.history for game in games]),
        np.array([longer(game.demand) for game in games]),
        np.array([longer(game.lead) for game in games]),
        *(np.array([getattr(game, name) for game in games]) for name in ("promised", "profit", "history_end")),
    )
