"""The training loop: warm-up and decay, early stopping on held-out data, exact resume."""

import copy
import hashlib
import json
import math
import operator
import time
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as save_tensors
from torch import nn
from tqdm import tqdm

from ..errors import FieldError
from ..reading import check_file, parse_json
from .adaptation import Adaptation
from .base import write_atomic
from .params import NOT_THE_RESULT

_WARM_UP = 0.1  # share of the steps
_ADAM = ("step", "exp_avg", "exp_avg_sq")
_MOMENTS = {torch.optim.SGD: ("momentum_buffer",), torch.optim.Adam: _ADAM, torch.optim.AdamW: _ADAM}


@dataclass
class Objective:
    """What a training minimises, on which data.

    `loss` is a batch's, from the step's number and a generator that draws nothing else: both are as they were after
    a resume. `validation` is computed without gradients, on the network in evaluation mode, the lower the better;
    None: nothing is held out, and the last weights are kept. `content` names the data: arrays, tensors or text, from
    which a checkpoint's name is made, so that no other training takes it for its own.
    """

    loss: Callable[[nn.Module, int, torch.Generator], torch.Tensor]
    validation: Callable[[nn.Module], float] | None
    content: Callable[[], Iterable[np.ndarray | torch.Tensor | str]]


@dataclass
class Plan:
    """What one call asks of `train`."""

    learning_rate: float  # the highest of the schedule
    steps: int  # at most
    method: str = "full"  # see adaptation
    dropout: bool = False  # the network's own
    # Modules that start from nothing, trained as wholes by every method -> the highest rate of each.
    new: dict[str, float] = field(default_factory=dict)
    evaluations: int = 20  # over all steps; each ends with a checkpoint
    stop: int | None = None  # step to stop at, of those that the schedule is made for


def shuffled(rows: int, size: int, seed: int) -> Callable[[int], torch.Tensor]:
    """A function from a step to the row numbers (up to `size`,) of its batch: each epoch is a permutation of the rows.

    It depends on the step alone, so that a training goes on with the batch that it was killed at.
    """
    per_epoch, order = -(-rows // size), {}

    def pick(step: int) -> torch.Tensor:
        epoch, place = divmod(step, per_epoch)
        if epoch not in order:
            order.clear()
            generator = torch.Generator().manual_seed(seed * 1_000_003 + epoch)
            order[epoch] = torch.randperm(rows, generator=generator)
        return order[epoch][size * place : size * (place + 1)]

    return pick


def train(
    network: nn.Module, objective: Objective, params, plan: Plan, generator: torch.Generator | None = None
) -> tuple[list[dict], int, Path | None]:
    """Train in place, ending with the weights of the lowest validation, or without any with the last.

    `params` has the fields of `TrainingParams`, but for learning_rate, epochs and batch_size. Returns a row per
    evaluation, how many weights were trained, and the checkpoint, if one is kept: to be removed by who has no more
    need of it. The same seed gives the same weights on one machine, also when the training was killed and goes on from
    its checkpoint.
    """
    device = next(network.parameters()).device
    generator = generator or torch.Generator().manual_seed(params.seed)
    key = _key(network, objective, params, plan) if params.checkpoints or params.tensorboard else ""
    file = Path(params.checkpoints) / f"{key}.safetensors" if params.checkpoints else None
    stop = plan.steps if plan.stop is None else plan.stop
    with (
        torch.random.fork_rng(devices=[device] if device.type == "cuda" else []),
        tqdm(total=stop, desc="train", unit="step", disable=not params.progress or None) as bar,
        _curves(params.tensorboard, key) as curves,
    ):
        torch.manual_seed(params.seed)  # adapters and dropout
        adaptation = Adaptation(network, params, plan.method, plan.steps, plan.new)
        network.to(device)
        run = _Run(network, adaptation, _optimiser(network, params, plan), generator)
        if not (file and run.resume(file)):
            run.evaluate(objective, math.nan)
        bar.update(run.step)
        while run.step < stop and run.stale < params.patience:
            losses = []
            for _ in range(min(max(1, plan.steps // plan.evaluations), stop - run.step)):
                losses.append(run.advance(objective, params, plan))
                bar.update()
            row = run.evaluate(objective, sum(losses) / len(losses))
            if objective.validation:
                bar.set_postfix(validation=f"{row['validation_loss']:.4f}")
            for name in ("train_loss", "validation_loss") if curves else ():
                curves.add_scalar(name, row[name], row["step"])
            if file:
                run.save(file)
        network.load_state_dict(run.best)
        trained = sum(weight.numel() for weight in adaptation.trained)
        adaptation.finish()
    return run.history, trained, file


class _Run:
    """Everything that changes while a network is trained, so that it can be written down and taken up again."""

    def __init__(self, network, adaptation: Adaptation, optimiser: torch.optim.Optimizer, generator: torch.Generator):
        self.network, self.adaptation, self.optimiser, self.generator = network, adaptation, optimiser, generator
        self.step, self.stale, self.history, self.best = 0, 0, [], {}
        self.seconds, self.since = 0.0, time.perf_counter()

    def advance(self, objective: Objective, params, plan: Plan) -> float:
        """One step; its loss."""
        device = next(self.network.parameters()).device
        self.adaptation.train_mode(plan.dropout)
        with torch.autocast(device.type, torch.bfloat16, enabled=params.precision == "bfloat16"):
            loss = objective.loss(self.network, self.step, self.generator)
        self.optimiser.zero_grad()
        (loss + self.adaptation.penalty()).backward()
        torch.nn.utils.clip_grad_norm_(self.adaptation.trained, 1.0)
        for group in self.optimiser.param_groups:
            group["lr"] = group["highest"] * _factor(self.step, plan.steps, params.schedule)
        self.optimiser.step()
        self.step += 1
        self.adaptation.after_step(self.step)
        return loss.item()

    @torch.inference_mode()
    def evaluate(self, objective: Objective, train_loss: float) -> dict:
        """A row of the history; the weights are kept if none was better, or nothing is held out."""
        self.network.eval()
        loss = objective.validation(self.network) if objective.validation else math.nan
        if not objective.validation or loss < min((row["validation_loss"] for row in self.history), default=math.inf):
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
        """Go on from the file; False, and nothing changed, where there is none or it is damaged.

        Raises:
            FieldError: one whose checksum is right and whose content is not such as `save` writes here.
        """
        try:
            with safe_open(check_file(file), "pt") as content:
                text, checksum = content.metadata()["state"], content.metadata()["sha256"]
                tensors = {name: content.get_tensor(name) for name in content.keys()}  # noqa: SIM118 - no mapping
            if _checksum(tensors, text) != checksum:
                return False
        except (OSError, KeyError, TypeError, ValueError, SafetensorError):
            return False
        try:
            self._take(tensors, parse_json(text, file.name))
        except (ValueError, LookupError, TypeError, AttributeError, RuntimeError) as error:
            said = " ".join(str(error).split())[:300]
            raise FieldError("checkpoints", str(file), "a checkpoint of this training", f"({said})") from error
        return True

    def _take(self, tensors: dict[str, torch.Tensor], state: dict) -> None:
        groups = {name: {} for name in ("weights", "best", "moments", "adaptation", "generators")}
        for name, value in tensors.items():
            group, _, rest = name.partition(":")
            groups[group][rest] = value
        moments = {}
        for name, value in groups["moments"].items():
            index, key = name.split("/")
            moments.setdefault(int(index), {})[key] = value
        device = next(self.network.parameters()).device
        self.network.load_state_dict(groups["best"])  # which has to fit as the weights do
        self.network.load_state_dict(groups["weights"])
        self.best = {name: value.to(device) for name, value in groups["best"].items()}
        self.optimiser.load_state_dict({**self.optimiser.state_dict(), "state": moments})
        for weight, remembered in self.optimiser.state.items():
            shapes = {name: weight.shape if name != "step" else () for name in _MOMENTS[type(self.optimiser)]}
            if {name: value.shape for name, value in remembered.items()} != shapes:
                raise ValueError(f"the optimiser remembers something else than {', '.join(shapes)} of a weight")
        remembered = {name: value.to(device) for name, value in groups["adaptation"].items()}
        self.adaptation.load_state(remembered, state["adaptation"])
        self.generator.set_state(groups["generators"]["batches"])
        torch.set_rng_state(groups["generators"]["cpu"])
        if "cuda" in groups["generators"]:
            torch.cuda.set_rng_state(groups["generators"]["cuda"], device)
        self.step, self.stale = operator.index(state["step"]), operator.index(state["stale"])
        names = ("train_loss", "validation_loss", "seconds")
        rows = state["history"]
        self.history = [{"step": operator.index(row["step"])} | {n: 0.0 + row[n] for n in names} for row in rows]
        self.seconds = self.history[-1]["seconds"]


def _global_generators(network: nn.Module) -> dict[str, torch.Tensor]:
    device = next(network.parameters()).device
    cuda = {"cuda": torch.cuda.get_rng_state(device)} if device.type == "cuda" else {}
    return {"cpu": torch.get_rng_state(), **cuda}


def _checksum(tensors: dict[str, torch.Tensor], text: str) -> str:
    digest = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        digest.update(name.encode() + tensors[name].numpy().tobytes())
    return digest.hexdigest()


def _key(network: nn.Module, objective: Objective, params, plan: Plan) -> str:
    """The name of a training: a hash of the weights it starts from, its data and its parameters."""
    settings = {name: value for name, value in asdict(params).items() if name not in NOT_THE_RESULT}
    digest = hashlib.sha256(json.dumps([settings, asdict(plan)], sort_keys=True).encode())
    for part in (*network.state_dict().values(), *objective.content()):
        if isinstance(part, str):
            digest.update(part.encode())
        else:
            array = part.detach().cpu().numpy() if isinstance(part, torch.Tensor) else part
            digest.update(f"{array.dtype} {array.shape}".encode() + array.tobytes())
    return digest.hexdigest()[:16]


def _curves(folder: str, key: str):
    """A TensorBoard writer; None without a folder."""
    if not folder:
        return nullcontext()
    from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter(str(Path(folder) / key))


def _optimiser(network: nn.Module, params, plan: Plan) -> torch.optim.Optimizer:
    """Of the weights that are free; each group has its `highest` rate."""
    rates = {id(w): rate for name, rate in plan.new.items() for w in network.get_submodule(name).parameters()}
    groups: dict[float, list[nn.Parameter]] = {}
    for weight in network.parameters():
        if weight.requires_grad:
            groups.setdefault(rates.get(id(weight), plan.learning_rate), []).append(weight)
    parts = [{"params": weights, "highest": rate} for rate, weights in groups.items()]
    shared = {"lr": plan.learning_rate, "weight_decay": params.weight_decay}
    if params.optimizer == "sgd":
        return torch.optim.SGD(parts, momentum=0.9, **shared)
    return {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[params.optimizer](parts, **shared)


def _factor(step: int, steps: int, schedule: str) -> float:
    """Linear warm-up, then half a cosine down to nothing, or constant."""
    warm_up = max(1, round(_WARM_UP * steps))
    if step < warm_up:
        return (step + 1) / warm_up
    if schedule == "constant":
        return 1.0
    return 0.5 * (1 + math.cos(math.pi * (step - warm_up) / max(1, steps - warm_up)))
