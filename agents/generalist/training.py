"""How the generalist's networks are trained: over a bank of problems, by cost that is passed back through them.

Hindsight differentiable policy optimisation (Alvo, Russo and Kanoria 2023, arXiv:2306.11246), on many problems at once.
The problems are drawn from `RANGES`, a little widened, so that the ends of a range lie inside. Each has a state of its
own, which is gone on from whenever a mini-batch comes back to the problem. Costs are divided by a bound on a problem's
own, so that each counts alike. Orders are rounded at random, as the pathwise learner does (`PathwiseLearner._whole`).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import NormalDist
from typing import Any, cast

import numpy as np
import torch

from ...envs.core import pmf as pmfs
from ..core.floats import quick_floats
from ..pathwise.actor import Inward
from ..pathwise.learner import NUDGE
from . import families
from .policy import KINDS, RANGES

WIDER = 1.2  # factor by which a range is widened on either side
PROBLEMS, BATCH = 4096, 256  # in the bank, and in a gradient step
PERIODS, AHEAD = 16, 16  # learnt from in a step, and to see what the orders did, under the weights as they were
STEPS, RATE, RISE, AVERAGE = 450, 2e-3, 50, 0.995  # of Adam, the rate rising, then falling by a half cosine
SETTLE = 48  # periods that the rule in closed form runs before the first step
HELD, JUDGED, WARMUP, EVERY = 128, 300, 50, 250  # problems not learnt from, periods of each; steps between looks


@dataclass
class Family:
    """A family of problems, to be drawn and simulated in torch."""

    parts: tuple[str, ...]  # of the network
    draw: Callable[[np.random.Generator], dict]
    orders: Callable  # of `families`
    step: Callable  # (problem, stock, pipeline, orders (n, A), demand (n,)) -> stock, pipeline, cost (n,)
    bounds: Callable  # problem -> largest orders (n, A)
    narrowest: float = 1.0  # width of the rounding's noise at the end, units; 1 at first


@quick_floats()
def train(family: str, out: Path, steps: int | None = None, seed: int = 0) -> None:
    """Train a family's network and write its weights, the mean of the last ones, as safetensors.

    Args:
        family: `lost_sales` or `dual_sourcing`.
        out: file, written beside and renamed.
        steps: gradient steps, by default `STEPS`.
        seed: of the problems, their demand and the first weights.
    """
    from safetensors.torch import save_file
    from tqdm import tqdm

    run = Training(FAMILIES[family], steps or STEPS, seed)
    held = bank(run.family, HELD, seed + 1)
    start = simulate(run.family, {}, held)
    with tqdm(total=run.total, unit="step", mininterval=10) as bar:
        for k in range(run.total):
            run.step(k)
            bar.update()
            if (k + 1) % EVERY == 0 or k + 1 == run.total:
                ratio = (simulate(run.family, run.average, held) / start).mean().item()
                bar.set_postfix_str(f"held-out cost, of the rule's: {ratio:.4f}")
                beside = out.with_suffix(".part")
                beside.parent.mkdir(parents=True, exist_ok=True)
                save_file({name: value.contiguous() for name, value in run.average.items()}, beside)
                beside.replace(out)


class Training:
    """A network that learns on a bank of problems; `average` is what is kept."""

    def __init__(self, family: Family, steps: int, seed: int):
        self.family, self.total = family, steps
        self.rng = torch.Generator().manual_seed(seed)
        self.bank = bank(family, PROBLEMS, seed)
        self.stock, self.pipeline, seen = self._settle()
        self.network = self._first(seen)
        self.weights = [name for name in self.network if not name.endswith((".mean", ".std"))]
        self.average = {name: value.clone() for name, value in self.network.items()}
        for name in self.weights:
            self.network[name].requires_grad_()
        self.optimizer = torch.optim.Adam([self.network[name] for name in self.weights], lr=RATE)

    @torch.no_grad()
    def _settle(self) -> tuple:
        """Return states of all problems that the rule in closed form leads to, and the features that are seen there."""
        stock, pipeline = begun(self.bank)
        demand, bounds, kept = drawn(self.bank, SETTLE, self.rng), self.family.bounds(self.bank), []
        for t in range(SETTLE):
            asked, features = self.family.orders(torch, {}, self.bank, stock, pipeline)
            order = whole(asked, bounds, self.rng).round()
            stock, pipeline, _ = self.family.step(self.bank, stock, pipeline, order, demand[:, t])
            kept.append(features)
        return stock, pipeline, [torch.cat(part) for part in zip(*kept[SETTLE // 2 :: 4], strict=True)]

    def _first(self, seen: list) -> dict[str, torch.Tensor]:
        """Return the weights before the first step: the last layer is zero, so that the network is the rule."""
        network = {}
        for part, features in zip(self.family.parts, seen, strict=True):
            widths = [features.shape[-1], *families.HIDDEN]
            for k, (inputs, outputs) in enumerate(pairwise(widths)):
                uniform = 2 * torch.rand(inputs, outputs, generator=self.rng) - 1
                network[f"{part}.{k}.weight"], network[f"{part}.{k}.bias"] = (
                    uniform * inputs**-0.5,
                    torch.zeros(outputs),
                )
            last = f"{part}.{len(families.HIDDEN)}"
            outputs = families.OUTPUTS[part]
            network[f"{last}.weight"], network[f"{last}.bias"] = torch.zeros(widths[-1], outputs), torch.zeros(outputs)
            std = features.std(0)
            network[f"{part}.mean"], network[f"{part}.std"] = features.mean(0), torch.where(std > 1e-3, std, 1.0)
        return network

    def step(self, k: int) -> None:
        """Make gradient step k."""
        falls = (1 + math.cos(math.pi * k / self.total)) / 2
        for group in self.optimizer.param_groups:
            group["lr"] = RATE * min(1.0, (k + 1) / RISE) * falls
        rows = torch.randperm(PROBLEMS, generator=self.rng)[:BATCH]
        p = {name: values[rows] for name, values in self.bank.items()}
        stock, pipeline = self.stock[rows], self.pipeline[rows]
        demand, bounds = drawn(p, PERIODS + AHEAD, self.rng), self.family.bounds(p)
        frozen: Any = {name: value.detach() for name, value in self.network.items()}
        total, width = cast(Any, 0.0), 1 - (1 - self.family.narrowest) * k / self.total
        for t in range(PERIODS + AHEAD):
            asked, _ = self.family.orders(torch, self.network if t < PERIODS else frozen, p, stock, pipeline)
            stock, pipeline, cost = self.family.step(
                p, stock, pipeline, whole(asked, bounds, self.rng, width), demand[:, t]
            )
            total = total + cost.mean() / PERIODS
            if t == PERIODS - 1:
                self.stock[rows], self.pipeline[rows] = stock.detach().round(), pipeline.detach().round()
        self.optimizer.zero_grad()
        total.backward()
        torch.nn.utils.clip_grad_norm_([self.network[name] for name in self.weights], 1.0)
        self.optimizer.step()
        with torch.no_grad():
            for name in self.weights:
                self.average[name].lerp_(self.network[name], 1 - min(AVERAGE, k / (10 + k)))


@torch.no_grad()
def simulate(family: Family, network: dict, p: dict) -> torch.Tensor:
    """Return the mean costs (n,) of a network, {} for the rule in closed form, on problems, always the same demand."""
    rng = torch.Generator().manual_seed(0)
    (stock, pipeline), bounds, total = begun(p), family.bounds(p), torch.zeros(len(p["mean"]))
    demand = drawn(p, JUDGED, rng)
    for t in range(JUDGED):
        asked, _ = family.orders(torch, network, p, stock, pipeline)
        order = torch.floor(torch.minimum(asked.clamp(min=0), bounds) + 0.5)
        stock, pipeline, cost = family.step(p, stock, pipeline, order, demand[:, t])
        total += cost if t >= WARMUP else 0
    return total / (JUDGED - WARMUP)


def begun(p: dict) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the first states of problems: what meets a mean demand, nothing on order."""
    return p["start"].round(), torch.zeros(len(p["mean"]), families.LONGEST)


def bank(family: Family, count: int, seed: int) -> dict[str, torch.Tensor]:
    """Return problems, by their arrays."""
    rng = np.random.default_rng(seed)
    return {name: torch.as_tensor(v) for name, v in families.stacked([family.draw(rng) for _ in range(count)]).items()}


def drawn(p: dict, periods: int, rng: torch.Generator) -> torch.Tensor:
    """Return demand (n, periods) of problems, units: Poisson, of a rate that is gamma where a dispersion is finite."""
    mean, shape = (p[name][:, None].expand(-1, periods).contiguous() for name in ("mean", "dispersion"))
    finite = torch.where(torch.isinf(shape), 1.0, shape)
    gamma: Any = torch._standard_gamma  # pyright: ignore[reportPrivateImportUsage]
    mixed = gamma(finite, generator=rng) * mean / finite
    return torch.poisson(torch.where(torch.isinf(shape), mean, mixed), generator=rng)


def whole(asked, bounds, rng: torch.Generator, width: float = 1.0):
    """Return orders in whole units, inside their bounds: rounded at random (1) to the nearest (0), or between these.

    The gradient passes as in `PathwiseLearner._whole`.
    """
    order = Inward.apply(asked, torch.zeros_like(bounds), bounds)
    wanted = order.detach()
    units = torch.floor(wanted + width * torch.rand(wanted.shape, generator=rng) + (1 - width) / 2)
    return order + (units + NUDGE * (wanted.clamp(min=0.5) - units) - order).detach()


def _between(rng: np.random.Generator, low: float, high: float) -> float:
    """Draw a number evenly in logarithms from a range that is widened."""
    return math.exp(rng.uniform(math.log(low / WIDER), math.log(high * WIDER)))


def _demand(rng: np.random.Generator, ranges: dict) -> tuple[np.ndarray, float, float]:
    """Draw a demand: its probabilities, mean and dispersion (infinite: Poisson)."""
    kind, mean = KINDS[rng.integers(len(KINDS))], _between(rng, *ranges["demand.mean"])
    if kind == "poisson":
        return pmfs.poisson(mean), mean, math.inf
    dispersion = 1.0 if kind == "geometric" else _between(rng, *ranges["demand.dispersion"])
    return pmfs.negative_binomial(mean, dispersion), mean, dispersion


def _worst(ratio: float, std: float, periods: int) -> float:
    """Return the newsvendor's cost of a normal demand over some periods, in holding costs of a unit and period."""
    normal = NormalDist()
    return (1 + ratio) * normal.pdf(normal.inv_cdf(ratio / (1 + ratio))) * std * math.sqrt(periods)


def _lost_sales(rng: np.random.Generator) -> dict:
    ranges = RANGES["lost_sales"]
    pmf, mean, dispersion = _demand(rng, ranges)
    lead, ratio = int(rng.integers(families.LONGEST + 1)), _between(rng, *ranges["lost_sale_cost"])
    limited = rng.random() < 0.5
    top = max(1.0, math.ceil(mean * _between(rng, ranges["max_order"][0], 10.0))) if limited else math.inf
    problem = families.lost_sales(pmf, lead, ratio, top, rng)
    scale = 1 / (1 / _worst(ratio, problem["std"], lead + 1) + 1 / (ratio * mean))  # nothing ordered costs the latter
    return problem | {"scale": scale, "dispersion": dispersion, "start": mean}


def _lost_sales_step(p: dict, stock, pipeline, order, demand):
    order = order[:, 0]
    after = stock + p["now"] * order - demand
    left = torch.relu(after)
    cost = (left + p["ratio"] * (left - after)) / p["scale"]
    return left + (pipeline + p["place"] * order[:, None])[:, 0], _moved(pipeline + p["place"] * order[:, None]), cost


def _dual_sourcing(rng: np.random.Generator) -> dict:
    ranges = RANGES["dual_sourcing"]
    pmf, mean, dispersion = _demand(rng, ranges)
    express = int(rng.integers(int(ranges["express"][1]) + 1))
    saved = int(rng.integers(1, min(int(ranges["saved"][1]), families.LONGEST - express) + 1))
    ratio, premium = _between(rng, *ranges["backorder_cost"]), _between(rng, *ranges["premium"]) * saved
    tops = (math.ceil(mean * _between(rng, ranges["max_order"][0], 10.0)), math.ceil(mean * _between(rng, 2.0, 20.0)))
    problem = families.dual_sourcing(pmf, (express + saved, express), ratio, premium, tops)
    return problem | {
        "scale": _worst(ratio, problem["std"], express + saved + 1),
        "dispersion": dispersion,
        "start": mean,
    }


def _dual_sourcing_step(p: dict, stock, pipeline, order, demand):
    express = order[:, 1]
    after = stock + p["now"] * express - demand
    left = torch.relu(after)
    cost = (left + p["ratio"] * (left - after) + p["premium"] * express) / p["scale"]
    pipeline = pipeline + (p["places"] * order[..., None]).sum(1)
    return after + pipeline[:, 0], _moved(pipeline), cost


def _moved(pipeline):
    """Return what is on order a period later, its first entry having come in."""
    return torch.cat([pipeline[:, 1:], torch.zeros_like(pipeline[:, :1])], 1)


FAMILIES = {
    "lost_sales": Family(
        ("order",), _lost_sales, families.lost_sales_orders, _lost_sales_step, lambda p: p["top"][:, None]
    ),
    "dual_sourcing": Family(
        ("express", "regular"),
        _dual_sourcing,
        families.dual_sourcing_orders,
        _dual_sourcing_step,
        lambda p: p["tops"],
        0.1,
    ),
}
