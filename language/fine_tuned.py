"""A pre-trained encoder with a head, trained by one of `learning.adaptation`'s methods."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn.functional import cross_entropy, normalize

from ..device import device_of
from ..errors import FieldError
from ..learning.adaptation import add_adapters, has_adapters
from ..learning.int8 import expect_int8, to_int8
from ..learning.params import TrainingParams, check_fields
from ..learning.training import Objective, Plan, train
from .backbone import OFFLINE, ReadyEncoder, load_backbone, ready, rebuild
from .base import Attribution, TextClassifier, logistic
from .network import TextNetwork

_PROBE_TOKENS = 100_000  # of the texts that the head is first fitted to
_STEPS = 32  # of the integral


@dataclass
class FineTunedParams(TrainingParams):
    """Which encoder, and how it is trained."""

    backbone: str = OFFLINE  # hub name, or folder, of an encoder with safetensors; or the offline package
    head: str = "auto"  # auto (the backbone's own where it has one whose labels are ours), new
    most_texts: int = 0  # training texts, drawn at random, where computing time is short; 0: all
    tokens: int = 96  # of a text that are read, special ones included
    layers: int = 0  # number of the encoder's lowest layers that are kept (fewer take less time); 0: all
    frozen_layers: int = 0  # method full: number of lowest layers that, with the embeddings, are not trained
    loss: str = "cross_entropy"  # cross_entropy, contrastive (for few texts per label)
    dropout: float = 0.1  # before the head, in training
    learning_rate: float = 5e-5  # of methods full and contrastive; adapter, lora and adalora want ten times it
    head_strength: float = 10.0  # inverse regularisation of the logistic regression that the head starts from
    epochs: int = 3  # at most; 0: the logistic regression on the frozen encoder, or the backbone's own head as it is
    batch_size: int = 32  # texts
    validation: float = 0.1  # share of the training texts that stops the training and calibrates
    evaluations: int = 6  # of the validation texts over the training
    teacher: str = ""  # folder of a saved classifier of the same labels, whose probabilities are learnt too; "": none
    inference: str = "float32"  # once it is trained: float32, int8 (the encoder's wide layers are bytes)

    def __post_init__(self):
        check_fields(
            self,
            lowest={"most_texts": 0, "tokens": 8, "layers": 0, "frozen_layers": 0, "epochs": 0},
            highest={"tokens": 512, "head_strength": 1e6, "validation": 0.5},
            choices={
                "loss": ("cross_entropy", "contrastive"),
                "head": ("auto", "new"),
                "inference": ("float32", "int8"),
            },
        )
        if self.teacher and (self.loss != "cross_entropy" or not self.epochs):
            raise FieldError("teacher", self.teacher, "none with loss contrastive or epochs 0")
        if self.frozen_layers and self.method != "full":
            raise FieldError("frozen_layers", self.frozen_layers, f"0 with method {self.method}")


class FineTuned(TextClassifier):
    """Linear probing, then fine-tuning (Kumar et al. 2022, arXiv:2202.10054).

    The head starts as a logistic regression on the frozen encoder's vectors, then encoder and head are trained by the
    cross-entropy. With loss `contrastive` the vectors are trained by the supervised contrastive loss (Khosla et al.
    2020, arXiv:2004.11362, eq. 2) and the head is a logistic regression on them, as SetFit does (Tunstall et al. 2022,
    arXiv:2209.11055). With `epochs` 0 the encoder stays as it is.

    A backbone that brings a classification head whose labels can be read as ours (`backbone.groups_of`) keeps it:
    `of` takes it as it is, and `fit` trains from it.
    """

    name = "fine_tuned"
    Params = FineTunedParams
    network: TextNetwork

    @classmethod
    def of(cls, backbone: str, labels: Sequence = (0, 1), **params) -> "FineTuned":
        """A backbone with its own classification head as it is, not fitted to anything. Labels: 0 and 1, 1 to 5, names.

        Raises ValueError where it has no head, or its labels can't be read as these.
        """
        model = cls(cls.Params(backbone=backbone, epochs=0, validation=0.0, **params))
        network = ready(backbone, sorted(labels))
        if network is None:
            because = f"an encoder with a classification head for {', '.join(map(str, labels))}"
            raise FieldError("backbone", backbone, because)
        model.labels, model.prior = sorted(labels), np.full(len(labels), 1 / len(labels))
        model.network = network.to(device_of(model.params.device)).eval()
        return model

    def _fit(self, texts, codes, held, held_codes):
        params = self.params
        torch.manual_seed(params.seed)
        if params.most_texts:  # a label's first text is always among them
            order = np.random.default_rng(params.seed).permutation(len(texts))[: params.most_texts]
            rows = np.union1d(order, np.unique(codes, return_index=True)[1])
            texts, codes = [texts[row] for row in rows], codes[rows]
        network = self.network = self._start(texts, codes).to(device_of(params.device))
        tokens, held_tokens = network.tokens(texts, params.tokens), network.tokens(held, params.tokens)
        rows = by_length(np.array([len(row) for row in tokens]), params.batch_size, params.seed)
        target = torch.from_numpy(codes).to(network.device)
        told = self._told(texts)
        contrastive = params.loss == "contrastive"

        def loss(network: TextNetwork, step: int, generator: torch.Generator) -> torch.Tensor:
            if contrastive:
                pick = _pairs(codes, params.batch_size, generator)
                return supervised_contrastive(network.features([tokens[row] for row in pick]), target[pick])
            pick = rows(step)
            logits = network([tokens[row] for row in pick])
            hard = cross_entropy(logits, target[pick])
            return hard if told is None else 0.5 * (hard + cross_entropy(logits, told[pick]))

        def validation(network: TextNetwork) -> float:
            logits = torch.from_numpy(network.run(held_tokens, "forward"))
            return float(cross_entropy(logits, torch.from_numpy(held_codes)))

        steps = params.epochs * -(-len(texts) // params.batch_size)
        content = [*texts, codes] + ([] if told is None else [told])
        objective = Objective(loss, validation if held and not contrastive else None, lambda: content)
        new = {} if contrastive else {"head": params.learning_rate}
        if isinstance(network, ReadyEncoder):
            new = {name: params.learning_rate for name in network.own_head()}
        plan = Plan(params.learning_rate, steps, params.method, dropout=True, new=new)
        plan.evaluations = params.evaluations
        if steps:
            self.history, self.trained, checkpoint = train(network, objective, params, plan)
            if checkpoint:
                checkpoint.unlink(missing_ok=True)
        if contrastive:
            self._probe(texts, codes)
        if params.inference == "int8":
            to_int8(network.encoder)

    def _told(self, texts: list[str]) -> torch.Tensor | None:
        """The teacher's probabilities (N, labels) of texts (Hinton, Vinyals and Dean 2015, arXiv:1503.02531)."""
        if not self.params.teacher:
            return None
        from . import load

        teacher = load(self.params.teacher)
        if list(teacher.labels) != list(self.labels):
            raise FieldError("teacher", self.params.teacher, f"a classifier of the labels {self.labels}")
        return torch.from_numpy(teacher.predict_proba(texts)).float().to(self.network.device)

    def _refit(self, texts, codes):
        """Contrastive training is for few texts: those that calibrated are worth training anew."""
        if self.params.loss == "contrastive" and self.params.validation:
            self._fit(texts, codes, [], codes[:0])

    def _start(self, texts: list[str], codes: np.ndarray) -> TextNetwork:
        """The network that training begins with."""
        own = self.params.head == "auto" and self.params.loss == "cross_entropy"
        kept = ready(self.params.backbone, self.labels) if own else None
        self.network = kept or load_backbone(self.params.backbone, len(self.labels), self.params.dropout)
        self.network.to(device_of(self.params.device))
        if self.params.layers:
            self.network.keep(self.params.layers)
        if self.params.loss == "cross_entropy" and not kept:
            self._probe(texts, codes)
        if self.params.frozen_layers:
            self.network.freeze(self.params.frozen_layers)
        return self.network

    def _probe(self, texts: list[str], codes: np.ndarray) -> None:
        """The head becomes a logistic regression on the vectors as they are."""
        network, params = self.network, self.params
        tokens = network.tokens(texts, params.tokens)
        order = np.random.default_rng(params.seed).permutation(len(texts))
        count = np.searchsorted(np.cumsum([len(tokens[row]) for row in order]), _PROBE_TOKENS)
        if not params.epochs:
            count = len(order)
        first = [int(np.flatnonzero(codes == code)[0]) for code in range(len(self.labels))]
        rows = np.union1d(order[: count + 1], first)
        scale = network.width**0.5  # the vectors' length
        features = network.run([tokens[row] for row in rows], "features") / scale
        coefficients, intercepts = logistic(features, codes[rows], params.head_strength, params.seed)
        with torch.no_grad():
            network.head[1].weight.copy_(torch.from_numpy(coefficients / scale))
            network.head[1].bias.copy_(torch.from_numpy(intercepts))

    def _logits(self, texts):
        return self.network.run(self.network.tokens(texts, self.params.tokens), "forward")

    def _attribute(self, text, code):
        """Integrated gradients (Sundararajan et al. 2017, arXiv:1703.01365) from a text of as many pad tokens."""
        network = self.network.eval()
        network.tokenizer.no_padding()
        network.tokenizer.enable_truncation(self.params.tokens)
        encoding = network.tokenizer.encode(text)
        numbers, mask = network.pad([encoding.ids])
        special = torch.tensor(encoding.special_tokens_mask, dtype=torch.bool, device=network.device)
        with torch.no_grad():
            words = network.embed(numbers)
            blank = network.embed(torch.where(special, numbers, network.pad_number))
        share = ((torch.arange(_STEPS, device=network.device) + 0.5) / _STEPS)[:, None, None]
        path = (blank + share * (words - blank)).requires_grad_()
        logits = network.head(network.encode(path, mask.expand(_STEPS, -1))) / self.temperature
        others = torch.cat([logits[:, :code], logits[:, code + 1 :]], 1)
        (gradient,) = torch.autograd.grad((logits[:, code] - others.logsumexp(1)).sum(), path)
        values = (gradient.mean(0) * (words - blank)[0]).sum(-1).tolist()
        rows = zip(encoding.offsets, values, encoding.special_tokens_mask, strict=True)
        return [Attribution(text[start:stop], start, stop, value) for (start, stop), value, skip in rows if not skip]

    def _reads_all(self):
        return self.params.backbone != OFFLINE  # of another encoder its languages are not known

    def _state(self):
        architecture, tokenizer = self._description()
        weights = {f"network:{name}": value.cpu().numpy() for name, value in self.network.state_dict().items()}
        return {"architecture": architecture}, {**weights, "tokenizer": tokenizer}

    def _set_state(self, config, arrays):
        network = self._rebuilt(config["architecture"], arrays["tokenizer"])
        weights = {name[8:]: torch.from_numpy(value) for name, value in arrays.items() if name.startswith("network:")}
        if has_adapters(weights):
            add_adapters(network, self.params.rank, 0.0)
        expect_int8(network, weights)
        network.load_state_dict(weights)
        self.network = network.to(device_of(self.params.device))

    def _description(self) -> tuple[dict, np.ndarray]:
        return self.network.description()

    def _rebuilt(self, architecture: dict, tokenizer: np.ndarray) -> TextNetwork:
        return rebuild(architecture, tokenizer, len(self.labels))


def supervised_contrastive(features: torch.Tensor, codes: torch.Tensor, temperature: float = 0.1) -> torch.Tensor:
    """Khosla et al. 2020, eq. 2: features (B, width), codes (B,), each code twice or more."""
    unit = normalize(features, dim=1)
    same = codes[:, None] == codes[None]
    itself = torch.eye(len(codes), dtype=torch.bool, device=codes.device)
    similarity = (unit @ unit.T / temperature).masked_fill(itself, -torch.inf)
    log = similarity - similarity.logsumexp(1, keepdim=True)
    others = same & ~itself
    return -(log.masked_fill(~others, 0).sum(1) / others.sum(1)).mean()


def by_length(lengths: np.ndarray, size: int, seed: int) -> Callable[[int], np.ndarray]:
    """A function from a step to the row numbers of its batch: an epoch has all rows once, a batch rows of like length.

    Rows are permuted, sorted by length within runs of 50 batches, and the batches permuted.
    """
    per_epoch, batches = -(-len(lengths) // size), {}

    def pick(step: int) -> np.ndarray:
        epoch, place = divmod(step, per_epoch)
        if epoch not in batches:
            batches.clear()
            generator = np.random.default_rng([seed, epoch])
            order = generator.permutation(len(lengths))
            runs = [order[start : start + 50 * size] for start in range(0, len(order), 50 * size)]
            ordered = np.concatenate([run[np.argsort(lengths[run], kind="stable")] for run in runs])
            cut = [ordered[start : start + size] for start in range(0, len(ordered), size)]
            batches[epoch] = [cut[number] for number in generator.permutation(len(cut))]
        return batches[epoch][place]

    return pick


def _pairs(codes: np.ndarray, size: int, generator: torch.Generator) -> np.ndarray:
    """Rows of two texts from each of size / 2 labels (a label's only text comes twice, with different dropout)."""
    groups = [np.flatnonzero(codes == code) for code in range(codes.max() + 1)]
    chosen = torch.randperm(len(groups), generator=generator)[: max(2, size // 2)].tolist()
    rows = []
    for code in chosen:
        group = groups[code]
        order = torch.randperm(len(group), generator=generator)[:2].tolist()
        rows += [group[place] for place in (order * 2)[:2]]
    return np.array(rows)
