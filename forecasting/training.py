"""What the sequence model is trained on: windows of a panel, the last days of which decide when to stop."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from ..learning import training
from .network import PatchEncoder, pinball
from .params import TransformerParams
from .windows import LEAST_OBSERVED, PATCH, Batch, Windows


@dataclass
class Plan(training.Plan):
    """What one call of `fit`, `fine_tune` or `update` asks of `train`."""

    new_from: int | None = None  # first day of new targets; None: all days are alike
    replay: float = 0.0  # share of a batch's windows that come from before `new_from`
    validation: int = 28  # last days, which are no target and decide when to stop; 0: all days are targets


def train(
    network: PatchEncoder, panels: list[Windows], params: TransformerParams, plan: Plan
) -> tuple[list[dict], int, Path | None]:
    """`learning.training.train` on the panels' windows; each step takes its own from one panel.

    Raises ValueError when the panels have no window to train on, or none to validate on.
    """
    device = next(network.parameters()).device
    generator = torch.Generator().manual_seed(params.seed)
    sources = [source for windows in panels if (source := _Source.of(windows, plan))]
    if not sources:
        raise ValueError("no item has enough observed days before a training origin: the panel is too short")
    validation = None
    if plan.validation:
        count = params.validation_windows // len(sources)
        parts = [_held_out(source.windows, plan.validation, count, generator) for source in sources]
        held = Batch.concatenate(parts).to(device)
        if not len(held.target):
            raise ValueError(
                f"the last {plan.validation} days are for validation, and no item has {LEAST_OBSERVED} observed days "
                "before one of their weeks: training needs items observed on more days, or validation=0"
            )
        validation = lambda network: float(pinball(network(held), held.target))

    def loss(network: PatchEncoder, step: int, generator: torch.Generator) -> torch.Tensor:
        source = sources[int(torch.randint(len(sources), (), generator=generator))]
        pick = source.pick(params.batch_size, plan.replay, generator)
        stop = source.windows.days - plan.validation
        batch = source.windows.batch(source.item[pick], source.origin[pick], target_stop=stop).to(device)
        return pinball(network(batch).float(), batch.target)

    objective = training.Objective(loss, validation, lambda: _content(panels))
    return training.train(network, objective, params, plan, generator)


def _content(panels: list[Windows]) -> Iterator[torch.Tensor | str]:
    for windows in panels:
        yield f"{windows.planned} {windows.first_weekday}"
        yield from (windows.units, windows.log_price, windows.promo, windows.closed, windows.holiday, windows.year)
        yield from (*windows.covariates, *windows.past_covariates)


@dataclass
class _Source:
    """The training windows of one panel, by origin; `new` is where those of new days begin."""

    windows: Windows
    item: torch.Tensor  # (N,)
    origin: torch.Tensor  # (N,) rising
    new: int

    @classmethod
    def of(cls, windows: Windows, plan: Plan) -> "_Source | None":
        """None when there is no window to train on."""
        item, origin = windows.origins(0, windows.days - plan.validation - PATCH + 1)
        new = 0
        if plan.new_from is not None:  # a window is new if at least a week of its targets is
            first = plan.new_from - PATCH * windows.future_patches + PATCH
            new = int(torch.searchsorted(origin, first))
        return cls(windows, item, origin, new) if new < len(item) else None

    def pick(self, size: int, replay: float, generator: torch.Generator) -> torch.Tensor:
        """Row numbers (size,) of windows, a share `replay` of them from before the new days."""
        old = round(replay * size) if self.new else 0
        rows = torch.randint(self.new, len(self.item), (size - old,), generator=generator)
        return torch.cat([rows, torch.randint(self.new, (old,), generator=generator)]) if old else rows


def _held_out(windows: Windows, validation: int, count: int, generator: torch.Generator) -> Batch:
    """Windows with origins a week apart in the last `validation` days."""
    start = windows.days - validation
    item, origin = windows.origins(start, windows.days - PATCH + 1)
    weekly = torch.nonzero((origin - start) % PATCH == 0)[:, 0]
    chosen = weekly[torch.randperm(len(weekly), generator=generator)[: max(1, count)]]
    return windows.batch(item[chosen], origin[chosen])
