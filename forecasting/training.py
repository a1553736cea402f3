"""The training loop: warm-up and decay, early stopping on the last days of the panel, exact resume."""

import copy
import hashlib
import json
import math
import time
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as save_tensors
from tqdm import tqdm

from .adaptation import Adaptation
from .base import write_atomic
from .network import PatchEncoder, pinball
from .params import TransformerParams
from .windows import PATCH, Batch, Windows

_WARM_UP = 0.1  # share of the steps
_EVALUATIONS = 20  # over all steps; each ends with a checkpoint
NOT_THE_RESULT = ("progress", "checkpoints", "tensorboard")  # parameters that change nothing in the weights


@dataclass
class Plan:
    """What one call of `fit`, `fine_tune` or `update` asks of `train`."""

    learning_rate: float  # the highest of the schedule
    steps: int  # at most
    method: str = "full"  # see adaptation
    dropout: bool = False  # the network's own
    new_from: int | None = None  # first day of new targets; None: all days are alike
    replay: float = 0.0  # share of a batch's windows that come from before `new_from`
    validation: int = 28  # last days, which are no target and decide when to stop; 0: all days are targets
    stop: int | None = None  # step to stop at, of those that the schedule is made for


def train(
    network: PatchEncoder, panels: list[Windows], params: TransformerParams, plan: Plan
) -> tuple[list[dict], int, Path | None]:
    """Train in place, ending with the weights that were best on the validation days, or without any with the last.

    Returns a row per evaluation, how many weights were trained, and the checkpoint, if one is kept: to be removed by
    who has no more need of it. Each step takes its windows from one panel. The same seed gives the same weights on one
    machine, also when the training was killed and goes on from its checkpoint. Raises ValueError when no window is to
    be had.
    """
    device = next(network.parameters()).device
    generator = torch.Generator().manual_seed(params.seed)
    sources = [source for windows in panels if (source := _Source.of(windows, plan))]
    if not sources:
        raise ValueError("no item has enough observed days before a training origin: the panel is too short")
    held = None
    if plan.validation:
        count = params.validation_windows // len(sources)
        parts = [_held_out(source.windows, plan.validation, count, generator) for source in sources]
        held = Batch.concatenate(parts).to(device)
    key = _key(network, panels, params, plan) if params.checkpoints or params.tensorboard else ""
    file = Path(params.checkpoints) / f"{key}.safetensors" if params.checkpoints else None
    with (
        torch.random.fork_rng(devices=[device] if device.type == "cuda" else []),
        tqdm(
            total=plan.steps if plan.stop is None else plan.stop, desc="train", unit="step", disable=not params.progress
        ) as bar,
        _curves(params.tensorboard, key) as curves,
    ):
        torch.manual_seed(params.seed)  # adapters and dropout
        adaptation = Adaptation(network, params, plan.method, plan.steps)
        network.to(device)
        run = _Run(network, adaptation, _optimiser(adaptation.trained, params, plan), generator)
        if not (file and run.resume(file)):
            run.evaluate(held, math.nan)
        bar.update(run.step)
        stop = plan.steps if plan.stop is None else plan.stop
        while run.step < stop and run.stale < params.patience:
            losses = []
            for _ in range(min(max(1, plan.steps // _EVALUATIONS), stop - run.step)):
                losses.append(run.advance(sources, params, plan))
                bar.update()
            row = run.evaluate(held, sum(losses) / len(losses))
            if held is not None:
                bar.set_postfix(validation=f"{row['validation_loss']:.4f}")
            for name in ("train_loss", "validation_loss") if curves else ():
                curves.add_scalar(name, row[name], row["step"])
            if file:
                run.save(file)
        network.load_state_dict(run.best)
        trained = sum(weight.numel() for weight in adaptation.trained)
        adaptation.finish()
    return run.history, trained, file


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


class _Run:
    """Everything that changes while a network is trained, so that it can be written down and taken up again."""

    def __init__(self, network, adaptation: Adaptation, optimiser: torch.optim.Optimizer, generator: torch.Generator):
        self.network, self.adaptation, self.optimiser, self.generator = network, adaptation, optimiser, generator
        self.step, self.stale, self.history, self.best = 0, 0, [], {}
        self.seconds, self.since = 0.0, time.perf_counter()

    def advance(self, sources: list[_Source], params: TransformerParams, plan: Plan) -> float:
        """One step; its loss."""
        source = sources[int(torch.randint(len(sources), (), generator=self.generator))]
        pick = source.pick(params.batch_size, plan.replay, self.generator)
        stop = source.windows.days - plan.validation
        device = next(self.network.parameters()).device
        batch = source.windows.batch(source.item[pick], source.origin[pick], target_stop=stop).to(device)
        self.adaptation.train_mode(plan.dropout)
        with torch.autocast(device.type, torch.bfloat16, enabled=params.precision == "bfloat16"):
            quantiles = self.network(batch)
        loss = pinball(quantiles.float(), batch.target)
        self.optimiser.zero_grad()
        (loss + self.adaptation.penalty()).backward()
        torch.nn.utils.clip_grad_norm_(self.adaptation.trained, 1.0)
        for group in self.optimiser.param_groups:
            group["lr"] = plan.learning_rate * _factor(self.step, plan.steps, params.schedule)
        self.optimiser.step()
        self.step += 1
        self.adaptation.after_step(self.step)
        return loss.item()

    @torch.inference_mode()
    def evaluate(self, held: Batch | None, train_loss: float) -> dict:
        """A row of the history; the weights are kept if none was better, or nothing is held out."""
        self.network.eval()
        loss = math.nan if held is None else float(pinball(self.network(held), held.target))
        if held is None or loss < min((row["validation_loss"] for row in self.history), default=math.inf):
            self.best, self.stale = copy.deepcopy(self.network.state_dict()), 0
        else:
            self.stale += 1
        seconds = self.seconds + time.perf_counter() - self.since
        row = {"step": self.step, "train_loss": train_loss, "validation_loss": loss, "seconds": seconds}
        self.history.append(row)
        return row

    def save(self, file: Path) -> None:
        """One safetensors file, its JSON and checksum among the metadata, put in place by renaming."""
        remembered, values = self.adaptation.state()
        moments = self.optimiser.state_dict()["state"]
        groups = {
            "weights": self.network.state_dict(),
            "best": self.best,
            "moments": {f"{index}/{name}": value for index, row in moments.items() for name, value in row.items()},
            "adaptation": remembered,
            "generators": {"batches": self.generator.get_state(), **_global_generators(self.network)},
        }
        tensors = {
            f"{group}:{name}": value.detach().cpu().clone().contiguous()
            for group, members in groups.items()
            for name, value in members.items()
        }
        state = {"step": self.step, "stale": self.stale, "history": self.history, "adaptation": values}
        text = json.dumps(state)
        write_atomic(file, save_tensors(tensors, {"state": text, "sha256": _checksum(tensors, text)}))

    def resume(self, file: Path) -> bool:
        """Go on from the file; False, and nothing changed, where there is none or it is damaged."""
        try:
            with safe_open(file, "pt") as content:
                text, checksum = content.metadata()["state"], content.metadata()["sha256"]
                tensors = {name: content.get_tensor(name) for name in content.keys()}  # noqa: SIM118 - no mapping
        except (OSError, KeyError, TypeError, SafetensorError):
            return False
        if _checksum(tensors, text) != checksum:
            return False
        groups = {name: {} for name in ("weights", "best", "moments", "adaptation", "generators")}
        for name, value in tensors.items():
            group, _, rest = name.partition(":")
            groups[group][rest] = value
        state, moments = json.loads(text), {}
        for name, value in groups["moments"].items():
            index, key = name.split("/")
            moments.setdefault(int(index), {})[key] = value
        device = next(self.network.parameters()).device
        self.network.load_state_dict(groups["weights"])
        self.best = {name: value.to(device) for name, value in groups["best"].items()}
        self.optimiser.load_state_dict({**self.optimiser.state_dict(), "state": moments})
        remembered = {name: value.to(device) for name, value in groups["adaptation"].items()}
        self.adaptation.load_state(remembered, state["adaptation"])
        self.generator.set_state(groups["generators"]["batches"])
        torch.set_rng_state(groups["generators"]["cpu"])
        if "cuda" in groups["generators"]:
            torch.cuda.set_rng_state(groups["generators"]["cuda"], device)
        self.step, self.stale, self.history = state["step"], state["stale"], state["history"]
        self.seconds = self.history[-1]["seconds"]
        return True


def _global_generators(network: PatchEncoder) -> dict[str, torch.Tensor]:
    device = next(network.parameters()).device
    cuda = {"cuda": torch.cuda.get_rng_state(device)} if device.type == "cuda" else {}
    return {"cpu": torch.get_rng_state(), **cuda}


def _checksum(tensors: dict[str, torch.Tensor], text: str) -> str:
    digest = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        digest.update(name.encode() + tensors[name].numpy().tobytes())
    return digest.hexdigest()


def _key(network: PatchEncoder, panels: list[Windows], params: TransformerParams, plan: Plan) -> str:
    """The name of a training: a hash of the weights it starts from, its windows and its parameters."""
    settings = {name: value for name, value in asdict(params).items() if name not in NOT_THE_RESULT}
    digest = hashlib.sha256(json.dumps([settings, asdict(plan)], sort_keys=True).encode())
    for value in network.state_dict().values():
        digest.update(value.detach().cpu().numpy().tobytes())
    for windows in panels:
        digest.update(f"{windows.planned} {windows.first_weekday}".encode())
        tables = [windows.units, windows.log_price, windows.promo, windows.closed, windows.holiday, windows.year]
        for table in (*tables, *windows.covariates, *windows.past_covariates):
            digest.update(table.numpy().tobytes())
    return digest.hexdigest()[:16]


def _curves(folder: str, key: str):
    """A TensorBoard writer; None without a folder."""
    if not folder:
        return nullcontext()
    from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter(str(Path(folder) / key))


def _optimiser(weights: list[torch.nn.Parameter], params: TransformerParams, plan: Plan) -> torch.optim.Optimizer:
    shared = {"lr": plan.learning_rate, "weight_decay": params.weight_decay}
    if params.optimizer == "sgd":
        return torch.optim.SGD(weights, momentum=0.9, **shared)
    return {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[params.optimizer](weights, **shared)


def _held_out(windows: Windows, validation: int, count: int, generator: torch.Generator) -> Batch:
    """Windows with origins a week apart in the last `validation` days."""
    start = windows.days - validation
    item, origin = windows.origins(start, windows.days - PATCH + 1)
    weekly = torch.nonzero((origin - start) % PATCH == 0)[:, 0]
    chosen = weekly[torch.randperm(len(weekly), generator=generator)[: max(1, count)]]
    return windows.batch(item[chosen], origin[chosen])


def _factor(step: int, steps: int, schedule: str) -> float:
    """Linear warm-up, then half a cosine down to nothing, or constant."""
    warm_up = max(1, round(_WARM_UP * steps))
    if step < warm_up:
        return (step + 1) / warm_up
    if schedule == "constant":
        return 1.0
    return 0.5 * (1 + math.cos(math.pi * (step - warm_up) / max(1, steps - warm_up)))
