"""Heuristics as data: storelab tunes their parameters on training scenarios, within the given bounds."""

import numpy as np
from storelab.envs.core.contract import Rule


def brew_up_to(model, named: dict, seed: int, price, level) -> np.ndarray:
    """Brew what is missing to a level, at a price; both (n or 1, 3) by weather, or (n or 1, 1) for every day alike."""
    rows, weather = np.arange(len(named["left"])), named["forecast"].argmax(axis=1)
    price, level = (np.broadcast_to(value, (len(rows), 3))[rows, weather] for value in (price, level))
    return np.stack([price, np.maximum(level - named["left"][:, 0], 0)], axis=1)


def _box(numbers: int):
    """Return where `brew_up_to` is tuned: lowest, highest and first step of each parameter, in whole numbers."""

    def box(model, scenario) -> dict[str, tuple]:
        each, prices, largest = np.ones(numbers, int), len(model.prices), model.params.max_brew
        return {"price": (0 * each, (prices - 1) * each, each), "level": (0 * each, largest * each, 4 * each)}

    return box


def r_Q(model, named: dict, seed: int, r, Q) -> np.ndarray:
    """Order Q units of an item whenever its inventory position is r or less (Hadley and Whitin 1963, chapter 4)."""
    return model.action_of(named, np.where(model.seen_position(named) <= r, Q, 0.0))


def _position_box(model, scenario) -> dict[str, tuple]:
    """Return where `r_Q` is tuned: up to three times what an item sells in a lead time, and in four periods."""
    mean = scenario["demand"].mean(axis=(0, 1))
    reorder, lot = np.ceil(3 * mean * (model.lead + 1)).astype(int), np.ceil(4 * mean).astype(int)
    return {"r": (0 * lot, reorder, np.maximum(reorder // 8, 1)), "Q": (0 * lot + 1, lot, np.maximum(lot // 8, 1))}


RULES = {"by_weather": Rule(brew_up_to, _box(3)), "every_day_alike": Rule(brew_up_to, _box(1))}
INVENTORY_RULES = {"r_Q": Rule(r_Q, _position_box)}
