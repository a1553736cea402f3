"""The training loop: AdamW, warm-up and cosine decay, early stopping on the last days of the panel."""

import copy
import math
import time

import torch
from tqdm import tqdm

from .network import PatchEncoder, pinball
from .windows import PATCH, Batch, Windows

_WARM_UP = 0.1  # share of the steps
_EVALUATIONS = 20  # over all steps
_VALIDATION_WINDOWS = 2000


def train(
    network: PatchEncoder,
    panels: list[Windows],
    *,
    learning_rate: float,
    steps: int,
    dropout: bool,
    weight_decay: float,
    batch_size: int,
    validation: int,
    patience: int,
    seed: int,
    progress: bool,
) -> list[dict]:
    """Train in place, ending with the weights that were best on the validation days. A row per evaluation.

    Each step takes its windows from one panel. The last `validation` days are no target of any gradient. The same
    seed gives the same weights on one machine. Raises ValueError when no window is to be had.
    """
    device = next(network.parameters()).device
    generator = torch.Generator().manual_seed(seed)
    pairs = [windows.origins(0, windows.days - validation - PATCH + 1) for windows in panels]
    panels = [(windows, *pair) for windows, pair in zip(panels, pairs, strict=True) if len(pair[0])]
    if not panels:
        raise ValueError("no item has enough observed days before a training origin: the panel is too short")
    held = [_held_out(windows, validation, _VALIDATION_WINDOWS // len(panels), generator) for windows, *_ in panels]
    held = Batch.concatenate(held).to(device)

    optimiser = torch.optim.AdamW(network.parameters(), lr=learning_rate, weight_decay=weight_decay)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: _factor(step, steps))
    every = max(1, steps // _EVALUATIONS)
    history = [_evaluate(network, held, 0, math.nan)]
    best, best_state, stale = history[0]["validation_loss"], copy.deepcopy(network.state_dict()), 0
    started, total = time.perf_counter(), 0.0
    with (
        torch.random.fork_rng(devices=[device] if device.type == "cuda" else []),
        tqdm(total=steps, desc="train", unit="step", disable=not progress) as bar,
    ):
        torch.manual_seed(seed)  # dropout
        for step in range(1, steps + 1):
            windows, item, origin = panels[int(torch.randint(len(panels), (), generator=generator))]
            pick = torch.randint(len(item), (batch_size,), generator=generator)
            batch = windows.batch(item[pick], origin[pick], target_stop=windows.days - validation).to(device)
            network.train(dropout)  # it decides on nothing else
            loss = pinball(network(batch), batch.target)
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimiser.step()
            schedule.step()
            total += loss.item()
            bar.update()
            if step % every and step < steps:
                continue
            row = _evaluate(network, held, step, total / ((step - 1) % every + 1))
            total, row["seconds"] = 0.0, time.perf_counter() - started
            history.append(row)
            bar.set_postfix(validation=f"{row['validation_loss']:.4f}")
            if row["validation_loss"] < best:
                best, best_state, stale = row["validation_loss"], copy.deepcopy(network.state_dict()), 0
            else:
                stale += 1
                if stale >= patience:
                    break
    network.load_state_dict(best_state)
    return history


def _held_out(windows: Windows, validation: int, count: int, generator: torch.Generator) -> Batch:
    """Windows with origins a week apart in the last `validation` days."""
    start = windows.days - validation
    item, origin = windows.origins(start, windows.days - PATCH + 1)
    weekly = torch.nonzero((origin - start) % PATCH == 0)[:, 0]
    chosen = weekly[torch.randperm(len(weekly), generator=generator)[: max(1, count)]]
    return windows.batch(item[chosen], origin[chosen])


def _factor(step: int, steps: int) -> float:
    """Linear warm-up, then half a cosine down to nothing."""
    warm_up = max(1, round(_WARM_UP * steps))
    if step < warm_up:
        return (step + 1) / warm_up
    return 0.5 * (1 + math.cos(math.pi * (step - warm_up) / max(1, steps - warm_up)))


@torch.inference_mode()
def _evaluate(network: PatchEncoder, held: Batch, step: int, train_loss: float) -> dict:
    network.eval()
    loss = float(pinball(network(held), held.target))
    return {"step": step, "train_loss": train_loss, "validation_loss": loss, "seconds": 0.0}
