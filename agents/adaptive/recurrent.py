"""A recurrent network that plays inventory games: trained once over drawn games (`training`), it acts as it is.

A gated recurrent unit (Cho et al. 2014, arXiv:1406.1078) reads what each period showed, in shares of the mean of the
last five demands. All functions take their array module, `xp`: NumPy to act, torch to learn.
"""

from pathlib import Path
from typing import Any

import numpy as np

from ...envs.core.contract import Array, Policy
from ...envs.inventory_game.model import InventoryGame
from ...reading import read_weights
from .replay import earlier, period_of, stateful

WEIGHTS = Path(__file__).parent / "recurrent.safetensors"
HIDDEN, LAST, ARRIVALS = 64, 5, 3  # units of a layer; periods of demands and orders, and of arrivals, that are seen
INPUTS = 2 + 2 * LAST + ARRIVALS + 1 + 4 + 6


def recurrent(model: InventoryGame, weights: dict[str, np.ndarray] | None = None) -> Policy:
    """Return the policy of a network; its state holds what the network remembers.

    Args:
        model: of the games.
        weights: by default those that ship.
    """
    network = read_weights(WEIGHTS) if weights is None else weights

    def begin(named: dict) -> np.ndarray:
        memory = np.zeros((len(named["on_hand"]), HIDDEN), np.float32)
        for past in earlier(named):
            memory, _ = forward(np, network, past, period_of(past), memory)
        return memory

    def step(named: dict, memory: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
        memory, order = forward(np, network, named, period_of(named), memory)
        return order, memory

    return stateful(model, begin, step)


def forward(xp: Any, w: dict, named: dict, period: int, memory: Array) -> tuple[Array, Array]:
    """Return what is remembered (n, HIDDEN) and the orders (n, 1), units, from named observations of a period."""
    x, scale = inputs(xp, named, period)
    seen = _relu(xp, x @ w["in.weight"] + w["in.bias"])
    a, b = seen @ w["gates.weight"] + w["gates.bias"], memory @ w["memory.weight"] + w["memory.bias"]
    reset, keep = (_sigmoid(xp, a[:, k : k + HIDDEN] + b[:, k : k + HIDDEN]) for k in (0, HIDDEN))
    fresh = xp.tanh(a[:, 2 * HIDDEN :] + reset * b[:, 2 * HIDDEN :])
    memory = (1 - keep) * fresh + keep * memory
    both = xp.concatenate([memory, seen], axis=1)
    out = _relu(xp, both @ w["hidden.weight"] + w["hidden.bias"]) @ w["out.weight"] + w["out.bias"]
    return memory, scale * (2 / 3) * (_relu(xp, 3 * out) + xp.log1p(xp.exp(-abs(3 * out))))


def inputs(xp: Any, named: dict, period: int) -> tuple[Array, Array]:
    """Return what the network sees (n, INPUTS), and the units (n, 1) that 1 stands for."""
    history, demand, profit = named["history"], named["demand"], named["profit"]
    size, count = demand.shape[1], min(period, LAST)
    recent = xp.concatenate([history[:, count:], demand[:, size - count :]], axis=1)
    usual = xp.clip(history.mean(1)[:, None], 1.0, None)
    scale = xp.maximum(recent.mean(1)[:, None], 0.02 * usual)
    spread = (((history - history.mean(1)[:, None]) ** 2).sum(1)[:, None] / (history.shape[1] - 1)) ** 0.5
    units = [named["on_hand"], named["in_transit"], recent]
    units += [_last(xp, named["ordered"], LAST), _last(xp, named["arrived"], ARRIVALS), spread]
    promised = [xp.asarray(named["promised"] == lead, dtype=xp.float32) for lead in (0, 2, 4)]
    rest = [
        xp.log(scale / usual),
        xp.full_like(scale, period / 50),
        xp.full_like(scale, float(period == 0)),
        (history[:, -1:] - history[:, :1]) / usual,
        (recent[:, -1:] - recent[:, -2:-1]) / scale,
        (recent[:, -1:] - scale) / scale,
    ]
    sizes = xp.log1p(xp.concatenate(units, axis=1) / scale)
    return xp.concatenate([sizes, *promised, xp.log(profit) / 3, *rest], axis=1), scale


def _last(xp: Any, series: Array, count: int) -> Array:
    """Return the last entries (n, count) of a series; of a game that is shorter, zeros come first."""
    size = series.shape[1]
    return (
        series[:, size - count :]
        if size >= count
        else xp.concatenate([series[:, :1] * 0] * (count - size) + [series], axis=1)
    )


def _relu(xp: Any, x: Array) -> Array:
    return xp.clip(x, 0, None)


def _sigmoid(xp: Any, x: Array) -> Array:
    return 0.5 + 0.5 * xp.tanh(x / 2)
