"""How the recurrent network is trained: over drawn games, by the score that is passed back through them.

Hindsight differentiable policy optimisation (Alvo, Russo and Kanoria 2023, arXiv:2306.11246) with a memory. The games
are `processes=wide`: the kinds of InventoryBench with other numbers, so that its forty processes are met for the first
time when they are played.
"""

import math
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ...envs import TASKS
from ...envs.core.rollout import play, rollout
from ...envs.core.seeds import purpose_seeds, training_seeds
from ...envs.inventory_game.score import score
from ..core.floats import quick_floats
from .recurrent import HIDDEN, INPUTS, forward, recurrent

STEPS, BATCH, RATE, RISE = 125, 256, 5e-3, 20  # of Adam, the rate rising, then falling by a half cosine
AVERAGE = 0.1  # share of the steps whose weights are averaged
PROFITS = np.geomspace(1, 19, 13).round(4).tolist()  # money per unit sold, where a unit left costs 1
BELOW = 0.3  # weight of what a score is below 0, which the benchmark counts as 0
HELD, EVERY = 720, 125  # games of validation, and steps between looks at them


@quick_floats()
def train(out: Path, steps: int = STEPS, seed: int = 0) -> None:
    """Train the network and write its weights, the mean of the last ones, as safetensors.

    Args:
        out: file, written beside and renamed.
        steps: gradient steps.
        seed: of the games and of the first weights.
    """
    from safetensors.torch import save_file

    model: Any = TASKS["InventoryBench"](processes="wide", profits=PROFITS, whole=False).model(xp=torch)
    network = _first(seed)
    average = {name: value.clone() for name, value in network.items()}
    for value in network.values():
        value.requires_grad_()
    optimizer = torch.optim.Adam(network.values(), lr=RATE)
    rows = training_seeds(seed, BATCH)
    for k in range(steps):
        falls = (1 + math.cos(math.pi * k / steps)) / 2
        for group in optimizer.param_groups:
            group["lr"] = RATE * min(1.0, (k + 1) / RISE) * falls
        keys = np.stack([rows, np.full(BATCH, k)], axis=1).astype(np.uint64)
        loss = -_score(model, network, {name: torch.tensor(v) for name, v in model.scenarios(keys).items()})
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.values(), 0.5)
        optimizer.step()
        with torch.no_grad():
            for name, value in average.items():
                value.lerp_(network[name], min(1.0, max(1 / (AVERAGE * steps), 10 / (10 + k))))
        if (k + 1) % EVERY == 0 or k + 1 == steps:
            print(
                f"step {k + 1}: score of the batch {-loss.item():.4f}, of validation {held_out(average):.4f}",
                flush=True,
            )
            beside = out.with_suffix(".part")
            beside.parent.mkdir(parents=True, exist_ok=True)
            save_file({name: value.contiguous() for name, value in average.items()}, beside)
            beside.replace(out)


def held_out(network: dict[str, torch.Tensor]) -> float:
    """Return the mean score of a network on published games of validation."""
    model = TASKS["InventoryBench"]().model("validation")
    scenario = model.scenarios(purpose_seeds("validation", HELD))
    act = recurrent(model, {name: value.detach().numpy() for name, value in network.items()})
    return float(score(rollout(model, act, scenario)["reward"], scenario).mean())


def _score(model, network: dict, scenario: dict) -> torch.Tensor:
    """Return the mean score of a batch, what is below 0 at a part of its weight."""

    def act(observation, policy_state, seed: int):
        memory = torch.zeros(len(observation), HIDDEN) if policy_state is None else policy_state
        memory, order = forward(torch, network, model.features(observation), seed, memory)
        return order, memory

    total: Any = 0.0
    for _, flow, _ in play(model, act, scenario):  # with seed 0 the policy's seed is the period
        total = total + model.reward(model.money(flow))
    most = scenario["profit"][:, 0, 0] * scenario["demand"][:, : model.horizon, 0].sum(1)
    share = total / most.clamp(min=1)
    return torch.where(share < 0, BELOW * share, share).mean()


def _first(seed: int) -> dict[str, torch.Tensor]:
    """Return the weights before the first step."""
    rng = torch.Generator().manual_seed(seed)
    sizes = {"in": (INPUTS, HIDDEN), "gates": (HIDDEN, 3 * HIDDEN), "memory": (HIDDEN, 3 * HIDDEN)}
    sizes |= {"hidden": (2 * HIDDEN, HIDDEN), "out": (HIDDEN, 1)}
    network = {}
    for name, (inputs, outputs) in sizes.items():
        uniform = 2 * torch.rand(inputs, outputs, generator=rng) - 1
        network[f"{name}.weight"] = uniform * inputs**-0.5 * (0.1 if name == "out" else 1)
        network[f"{name}.bias"] = torch.zeros(outputs)
    return network
