"""One encoder of a customer's purchases, and a head for each task: next category, rating, churn, spend.

A GRU (Cho et al. 2014) reads the purchases, the latest last; the heads read its last state. Losses of several tasks
are weighed by learnt uncertainties (Kendall, Gal and Cipolla 2018, "Multi-task learning using uncertainty to weigh
losses"). With one task it is a single-task network of the same size.
"""

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from ..device import device_of
from ..errors import FieldError
from ..learning.base import Card, load_folder, save_folder
from ..learning.params import TrainingParams, check_fields
from ..learning.training import Objective, Plan, shuffled, train
from .histories import CHANNELS, TASKS, Samples

_AT_ONCE = 4096  # rows


@dataclass
class BehaviourParams(TrainingParams):
    """The network and its training."""

    tasks: str = "+".join(TASKS)  # those that are learnt, joined by +
    width: int = 64
    dropout: float = 0.1
    learning_rate: float = 2e-3
    batch_size: int = 256
    epochs: int = 12
    patience: int = 6
    weight_decay: float = 0.01

    def __post_init__(self):
        check_fields(self)
        names = self.tasks.split("+")
        if unknown := [name for name in names if name not in TASKS]:
            raise FieldError("tasks", unknown[0], f"some of {', '.join(TASKS)}, joined by +")
        if len(set(names)) < len(names):
            raise FieldError("tasks", self.tasks, "each task once")
        if self.method != "full":
            raise FieldError("method", self.method, "full, there are no weights to go on from")

    @property
    def names(self) -> list[str]:
        """Return the tasks, in the order of TASKS."""
        return [name for name in TASKS if name in self.tasks.split("+")]


class _Network(nn.Module):
    def __init__(self, params: BehaviourParams, categories: int):
        super().__init__()
        width, self.names = params.width, params.names
        self.category = nn.Embedding(categories + 1, width)
        self.token = nn.Linear(CHANNELS, width)
        self.reader = nn.GRU(width, width, batch_first=True)
        self.mix = nn.Sequential(nn.Dropout(params.dropout), nn.Linear(2 * width, width), nn.GELU())
        outputs = {"next": categories, "rating": 1, "churn": 1, "spend": 1}
        self.heads = nn.ModuleDict({name: nn.Linear(width, outputs[name]) for name in self.names})
        self.uncertainty = nn.Parameter(torch.zeros(len(self.names)))  # log variances

    def forward(self, tokens, category, absent) -> dict[str, torch.Tensor]:
        read = nn.functional.gelu(self.token(tokens) + self.category(category))
        read = read * ~absent[..., None]
        states, last = self.reader(read)  # padding stands in front, as zeros
        mean = (states * ~absent[..., None]).sum(1) / (~absent).sum(1, keepdim=True)
        mixed = self.mix(torch.cat([last[0], mean], dim=1))
        return {name: head(mixed) for name, head in self.heads.items()}

    def losses(self, answers: dict[str, torch.Tensor], target: dict[str, torch.Tensor]) -> torch.Tensor:
        """Mean losses (tasks,) over the rows whose target is known; 0 where none is."""
        parts = []
        for name in self.names:
            known = ~target[name].isnan()
            wanted, answer = target[name][known], answers[name][known]
            if not len(wanted):
                parts.append(answers[name].sum() * 0)
            elif name == "next":
                parts.append(nn.functional.cross_entropy(answer, wanted.long() - 1))
            elif name == "churn":
                parts.append(nn.functional.binary_cross_entropy_with_logits(answer[:, 0], wanted))
            else:
                parts.append(nn.functional.mse_loss(answer[:, 0], wanted))
        return torch.stack(parts)


class BehaviourNetwork:
    """See the module's docstring."""

    name = "customers-network"
    Params = BehaviourParams

    def __init__(self, params: BehaviourParams | None = None):
        self.params = params or BehaviourParams()
        self.categories: list[str] = []
        self.center: dict[str, float] = {}  # of ratings and of log spend: mean and deviation in training
        self.network: _Network | None = None
        self.history: list[dict] = []

    def fit(self, training: Samples, validation: Samples, categories: list[str]) -> "BehaviourNetwork":
        """Train on the rows `training`; stop by `validation`, whose days come after."""
        p, self.categories = self.params, list(categories)
        log = np.log1p(training.target["spend"])
        known = training.target["rating"][~np.isnan(training.target["rating"])]
        self.center = {"spend": float(log.mean()), "spend_sd": float(log.std() + 1e-6)}
        self.center |= {"rating": float(known.mean()) if len(known) else 0.0}
        self.center |= {"rating_sd": float(known.std() + 1e-6) if len(known) else 1.0}
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(p.seed)
            self.network = _Network(p, len(self.categories))
        device = device_of(p.device)
        pick = shuffled(len(training), p.batch_size, p.seed)
        inputs, target = self._inputs(training), self._target(training)
        late, wanted = self._inputs(validation), self._target(validation)

        def loss(network: nn.Module, step: int, generator: torch.Generator) -> torch.Tensor:
            rows = pick(step)
            answers = network(*(part[rows].to(device) for part in inputs))
            parts = network.losses(answers, {name: values[rows].to(device) for name, values in target.items()})
            return (parts * (-network.uncertainty).exp() + network.uncertainty).sum()

        def validate(network: nn.Module) -> float:
            answers = self._answers(late)
            return float(network.losses(answers, wanted).sum())

        def content():
            return [training.tokens, training.category, *training.target.values()]

        self.network.to(device)
        steps = p.epochs * -(-len(training) // p.batch_size)
        plan = Plan(p.learning_rate, steps, dropout=True, evaluations=p.epochs)
        self.history, _, file = train(self.network, Objective(loss, validate, content), p, plan)
        if file:
            file.unlink()
        return self

    def predict(self, rows: Samples) -> dict[str, np.ndarray]:
        """Return by task: `next` (N, categories) probabilities, `churn` (N,) a probability, `rating`, `spend` (N,).

        `spend` is in money: the network tells the mean logarithm, and the answer is that number's median in money.
        """
        if self.network is None:
            raise ValueError("the model has no weights: call fit")
        answers = {name: values.double().cpu() for name, values in self._answers(self._inputs(rows)).items()}
        told = {}
        for name, values in answers.items():
            if name == "next":
                told[name] = values.softmax(1).numpy()
            elif name == "churn":
                told[name] = values[:, 0].sigmoid().numpy()
            else:
                plain = values[:, 0].numpy() * self.center[f"{name}_sd"] + self.center[name]
                told[name] = np.expm1(np.clip(plain, 0, 30)) if name == "spend" else plain
        return told

    @torch.inference_mode()
    def _answers(self, inputs: list[torch.Tensor]) -> dict[str, torch.Tensor]:
        assert self.network is not None
        device = next(self.network.parameters()).device
        self.network.eval()
        parts = [
            self.network(*(part[start : start + _AT_ONCE].to(device) for part in inputs))
            for start in range(0, len(inputs[0]), _AT_ONCE)
        ]
        return {name: torch.cat([part[name] for part in parts]).cpu() for name in parts[0]}

    def _inputs(self, rows: Samples) -> list[torch.Tensor]:
        return [torch.from_numpy(part) for part in (rows.tokens, rows.category, rows.absent)]

    def _target(self, rows: Samples) -> dict[str, torch.Tensor]:
        target = dict(rows.target)
        target["spend"] = (np.log1p(target["spend"]) - self.center["spend"]) / self.center["spend_sd"]
        target["rating"] = (target["rating"] - self.center["rating"]) / self.center["rating_sd"]
        return {name: torch.from_numpy(np.asarray(values, np.float32)) for name, values in target.items()}

    def save(self, folder: str | Path, card: Card) -> None:
        """Write weights as safetensors, `config.json` with their checksum, and the model card."""
        if self.network is None:
            raise ValueError("the model has no weights to save: call fit first")
        config = {"params": asdict(self.params), "categories": self.categories, "center": self.center}
        weights = {name: value.cpu().numpy() for name, value in self.network.state_dict().items()}
        save_folder(folder, self.name, config, weights, card)

    @classmethod
    def load(cls, folder: str | Path) -> "BehaviourNetwork":
        """Return the model saved in a folder. Raises ValueError when it is damaged or another model's."""
        _, config, arrays, _ = load_folder(folder, cls.name)
        try:
            model = cls(BehaviourParams(**config["params"]))
            model.categories, model.center = list(config["categories"]), dict(config["center"])
            model.network = _Network(model.params, len(model.categories))
            model.network.load_state_dict({name: torch.from_numpy(value) for name, value in arrays.items()})
        except (KeyError, TypeError, RuntimeError) as error:
            raise ValueError(f"{folder} holds no usable model: {error}") from None
        model.network.to(device_of(model.params.device)).eval()
        return model
