"""Meta-train the sequence model to adapt to a new store: `python -m storelab.forecasting.meta`.

First-order model-agnostic meta-learning (Finn, Abbeel & Levine 2017, arXiv:1703.03400, section 5.2) from the shipped
weights. A task is a store that is drawn anew, of which the last 7 to 90 days are seen: a few steps of Adam on the
windows in them, then the pinball loss of the 28 days after, whose gradient at the adapted weights is the step of the
meta-weights. Half of the stores are those of `data.synthetic` with parameters drawn widely, half those of `pretrain`.
Seeds of training, validation and the stores that pages report on are apart. The weights of the lowest validation loss
are kept.
"""

import argparse
import copy
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from ..data import Panel, SyntheticStoreParams, generate
from .network import PatchEncoder, pinball
from .params import CHECKPOINTS, TransformerParams
from .pretrain import synthetic_panel
from .transformer import Transformer
from .windows import PATCH, Windows

SEEN = {7: 0.3, 14: 0.15, 28: 0.25, 56: 0.1, 90: 0.2}  # days seen -> share of the tasks
TRAINING, VALIDATION = 10_000_000, 20_000_000  # first seeds of their stores
HORIZON, DAYS = 28, 400  # days


@dataclass
class MetaParams:
    """How the meta-weights are trained."""

    steps: int = 600  # of the meta-weights
    tasks: int = 2  # stores per step
    learning_rate: float = 5e-4  # highest, of the meta-weights; half a cosine down to 0
    inner_steps: int = 4  # on what was seen of a store
    inner_rate: float = 5e-4  # of Adam, within a store
    batch_size: int = 64  # windows of an inner step
    evaluations: int = 6
    validation_stores: int = 24
    seed: int = 0


@dataclass
class Shot:
    """A store of which `days` were seen."""

    windows: Windows  # the days seen and the horizon
    days: int
    pairs: tuple[torch.Tensor, torch.Tensor]  # items and origins of windows within the days seen

    @classmethod
    def of(cls, panel: Panel, days: int, planned: bool, context: int) -> "Shot":
        """`panel` holds the days seen and the horizon after them."""
        windows = Windows(panel, context, HORIZON, planned)
        return cls(windows, days, windows.origins(0, max(0, days - PATCH + 1)))

    def support(self, network: PatchEncoder, size: int, generator: torch.Generator) -> torch.Tensor:
        """The loss on `size` windows of the days seen."""
        item, origin = self.pairs
        pick = torch.randint(len(item), (size,), generator=generator)
        batch = self.windows.batch(item[pick], origin[pick], target_stop=self.days)
        return pinball(network(batch), batch.target)

    def query(self, network: PatchEncoder) -> torch.Tensor:
        """The loss on the horizon, of every item."""
        item = torch.arange(self.windows.items)
        batch = self.windows.batch(item, torch.full_like(item, self.days))
        return pinball(network(batch), batch.target)


def drawn_store(seed: int) -> SyntheticStoreParams:
    """Parameters of a store of `data.synthetic`, drawn far around its defaults. The same seed gives the same store."""
    rng = np.random.default_rng([seed, 1])

    def log_uniform(low: float, high: float) -> float:
        return float(np.exp(rng.uniform(np.log(low), np.log(high))))

    def pair(low: float, high: float) -> tuple[float, float]:
        return tuple(float(value) for value in np.sort(rng.uniform(low, high, 2)))  # type: ignore[return-value]

    start = pd.Timestamp("2001-01-01") + pd.Timedelta(days=int(rng.integers(7000)))
    return SyntheticStoreParams(
        items=int(rng.integers(20, 100)),
        days=DAYS,
        seed=seed,
        start=str(start.date()),
        categories=int(rng.integers(2, 11)),
        customers=50,
        top_rate=log_uniform(4.0, 120.0),
        zipf_exponent=float(rng.uniform(0.2, 1.2)),
        intermittent_share=float(rng.uniform(0.0, 0.5)),
        new_share=float(rng.uniform(0.0, 0.2)),
        weekday_amplitude=float(rng.uniform(0.05, 0.5)),
        yearly_amplitude=float(rng.uniform(0.0, 0.6)),
        level_sd=float(rng.uniform(0.05, 0.4)),
        level_days=log_uniform(10.0, 90.0),
        holiday_lift=float(rng.uniform(0.5, 1.6)),
        promo_gap=log_uniform(20.0, 200.0),
        promo_days=int(rng.integers(3, 15)),
        promo_lift=float(rng.uniform(1.0, 1.6)),
        discount=pair(0.05, 0.5),
        elasticity=pair(0.3, 3.5),
        dispersion=pair(0.7, 30.0),
    )


def shot(seed: int, context: int) -> Shot:
    """The task of a seed: which store, which days of it, how many of them are seen, whether prices are planned."""
    rng = np.random.default_rng([seed, 2])
    days = int(rng.choice(list(SEEN), p=list(SEEN.values())))
    if rng.random() < 0.5:
        panel = generate(drawn_store(seed)).panel
    else:
        panel = synthetic_panel(seed, items=80)
    start = int(rng.integers(0, len(panel.dates) - days - HORIZON + 1))
    return Shot.of(panel.window(start, start + days + HORIZON), days, rng.random() < 0.5, context)


def adapted(network: PatchEncoder, task: Shot, params: MetaParams, seed: int) -> PatchEncoder:
    """A copy of the network after the inner steps on what was seen of a store; as it is where no window fits in."""
    network = copy.deepcopy(network)
    if not len(task.pairs[0]):
        return network
    generator = torch.Generator().manual_seed(seed)
    optimiser = torch.optim.Adam(network.parameters(), params.inner_rate)
    for _ in range(params.inner_steps):
        optimiser.zero_grad()
        task.support(network, params.batch_size, generator).backward()
        optimiser.step()
    optimiser.zero_grad()
    return network


def meta_train(start: Transformer, params: MetaParams) -> Transformer:
    """The forecaster with the meta-weights of the lowest validation loss; `history` has a row per evaluation."""
    network, context = start.network, start.params.context
    assert network is not None
    network.eval()  # without dropout
    held = [shot(VALIDATION + k, context) for k in range(params.validation_stores)]
    optimiser = torch.optim.Adam(network.parameters(), params.learning_rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, params.steps)
    best, kept = float("inf"), copy.deepcopy(network.state_dict())
    start.history = []
    for step in range(params.steps + 1):
        if step % max(1, params.steps // params.evaluations) == 0:
            loss = _validate(network, held, params)
            start.history.append({"step": step, "validation_loss": loss})
            print(f"step {step}: validation loss {loss:.5f}", flush=True)
            if loss < best:
                best, kept = loss, copy.deepcopy(network.state_dict())
        if step == params.steps:
            break
        optimiser.zero_grad()
        for k in range(params.tasks):
            seed = TRAINING + params.seed * 1_000_000 + step * params.tasks + k
            task = shot(seed, context)
            there = adapted(network, task, params, seed)
            task.query(there).div(params.tasks).backward()
            for weight, other in zip(network.parameters(), there.parameters(), strict=True):
                if other.grad is not None:
                    weight.grad = other.grad if weight.grad is None else weight.grad + other.grad
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        schedule.step()
    network.load_state_dict(kept)
    return start


def _validate(network: PatchEncoder, held: list[Shot], params: MetaParams) -> float:
    losses = []
    for number, task in enumerate(held):
        there = adapted(network, task, params, number)
        with torch.inference_mode():
            losses.append(float(task.query(there)))
    return float(np.mean(losses))


def main() -> None:
    parser = argparse.ArgumentParser(description="Meta-train the sequence model to adapt to a new store.")
    parser.add_argument("--folder", type=Path, default=CHECKPOINTS / "new_store", help="where the checkpoint goes")
    parser.add_argument("--steps", type=int, default=MetaParams.steps, help="of the meta-weights (default 600)")
    parser.add_argument("--rate", type=float, default=MetaParams.learning_rate, help="highest (default 5e-4)")
    parser.add_argument("--seed", type=int, default=0, help="of the stores (default 0)")
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    params = MetaParams(steps=args.steps, learning_rate=args.rate, seed=args.seed)
    meta_train(Transformer(TransformerParams(progress=False)), params).save(args.folder)
    print(f"saved to {args.folder}")


if __name__ == "__main__":
    main()
