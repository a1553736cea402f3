"""The Transformer: what customers buy soon, by their baskets, and what they buy next, by the order of their purchases.

Two networks: one over days' baskets, trained with the full softmax on the new items of the next weeks, and one over
single purchases (`order`), trained on the next one. The scores are a mean of both log-probabilities, with the weight
that ranks best what some users bought last; their last purchases are kept out of the training.

The baskets' logits start from what simple models know: with `residual` EASE's score and the items' recent sales are
added to them, with weights that depend on the user. In training EASE's score is the one of a model fitted without that
user, so that it is as good there as it will be on new purchases.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
import torch
from torch import nn

from ..device import device_of
from ..errors import FieldError
from ..learning.adaptation import RATES, add_adapters, has_adapters
from ..learning.params import TrainingParams, check_fields
from ..learning.training import Objective, Plan, shuffled, train
from .base import Histories, Log, Recommender, top
from .baskets import Baskets
from .longtail import rarer_alike, substituted
from .metrics import ranking_metrics
from .neighbours import WINDOWS, RowSums, Trend, bought, ease_table, inverse_gram, leave_out
from .network import BasketEncoder
from .order import OrderNetwork, Sequences, held_out, in_baskets, next_days, order_loss, told
from .text import text_features

_HELD_OUT = 500  # users, those who bought last, whose last purchases say when to stop and how much the order weighs
_SHARES = tuple(k / 10 for k in range(11))  # of the order in the scores
_GAIN = 1.05  # times the baskets' NDCG alone that a mean has to reach: less is chance among so few users
_WINDOWS, _RATE = 32, 2e-3  # of the network over single purchases: batch, learning rate
_PATIENCE = 8  # its evaluations without gain, every second epoch: at first it learns what the baskets know
_TRIED = (("dropout", 0.15), ("dropout", 0.5), ("layers", 1), ("length", 200))  # one after another, in place of its own
_TRIED_GAIN, _TRIED_UP_TO = 1.01, 250_000  # times the NDCG so far that one has to reach; purchases of a log
_LIST = 100  # NDCG of so long a list says when to stop: of few users it is less noisy than one of ten
_Read = TypeVar("_Read", Baskets, Sequences)
_ITEM_DROPOUT = 0.2  # share of the items whose own embedding a step does without, where there is text


@dataclass
class TransformerParams(TrainingParams):
    """The size of the network, what it starts from, and how it is trained."""

    d_model: int = 64  # width of a token, a multiple of heads
    layers: int = 1  # over baskets
    heads: int = 2
    dropout: float = 0.2
    length: int = 32  # last days with a purchase that are read
    order_epochs: int = 30  # at most, of the network over single purchases; 0: without it
    order_layers: int = 2
    order_length: int = 100  # last purchases that are read; in training longer histories are cut into windows
    order_dropout: float = 0.3
    order_search: bool = True  # where order pays, tries other depths, lengths and dropouts on held-out purchases
    horizon: int = 30  # days ahead whose new items are learned
    residual: bool = True  # adds EASE's score and the items' recent sales
    penalty: float = 300.0  # of that EASE
    debias: float = 0.0  # popularity^debias is divided out of the learned probabilities: 0 not at all, 1 wholly
    augment: float = 0.0  # share of purchases that training replaces by a rarer item like them, at each step anew
    text: bool = True  # reads the items' descriptions, where the log has any
    validation: int = 0  # last days of the log that decide when to stop; 0: all epochs, on all days
    learning_rate: float = 2e-3
    epochs: int = 8
    batch_size: int = 64  # users
    weight_decay: float = 0.05
    teacher: str = ""  # folder of a saved transformer of the same items, whose probabilities are learnt too; "": none

    def __post_init__(self):
        highest = {"penalty": 1e9, "length": 1000, "horizon": 10_000, "order_length": 1000}
        check_fields(self, lowest={"validation": 0, "order_epochs": 0}, highest=highest)
        if self.d_model % self.heads:
            raise FieldError("d_model", self.d_model, f"a multiple of heads ({self.heads})")


class RankingNetwork(BasketEncoder):
    """Logits of all items: the encoder's, and those of simple models, weighted by user."""

    def __init__(self, *args):
        super().__init__(*args)
        self.weights = torch.nn.Linear(self.width, 1 + len(WINDOWS))
        torch.nn.init.zeros_(self.weights.weight)
        with torch.no_grad():
            self.weights.bias.copy_(torch.tensor([10.0, 0.0, 0.5]))

    def logits(
        self, known: torch.Tensor, items: torch.Tensor, simple: list, bias: torch.Tensor | None = None
    ) -> torch.Tensor:
        """(P, I) from what is known of the users (P, width) and scores (P or 1, I) of simple models, if any.

        None among them is left out. `bias` (I,) takes the place of the network's own.
        """
        bias = self.bias if bias is None else bias
        pairs = zip(self.weights(known).split(1, dim=1), simple, strict=False)  # none without `residual`
        pairs = [(weight, scores) for weight, scores in pairs if scores is not None]
        alike = [(weight, scores) for weight, scores in pairs if len(scores) == 1]
        # One product for all that is alike for every user: each further pass over (P, I) costs as much as a product.
        users = torch.cat([known, torch.ones_like(known[:, :1]), *(weight for weight, _ in alike)], dim=1)
        columns = torch.cat([items, bias[:, None], *(scores.T for _, scores in alike)], dim=1)
        logits = users @ columns.T
        for weight, scores in pairs:
            if len(scores) > 1:
                logits = logits.addcmul_(weight, scores)
        return logits


class Transformer(Recommender):
    """See the module's docstring."""

    name = "transformer"
    Params = TransformerParams

    def __init__(self, params: TransformerParams | None = None):
        super().__init__(params)
        self.history: list[dict] = []  # a row per evaluation of the last training
        self.teacher: Transformer | None = None

    def _fit(self, log: Log) -> None:
        p = self.params
        self.share, self.order, self.teacher = 0.0, None, self._taught()
        if self.teacher:  # which has seen what would be held out: it says how much the order weighs
            self._fit_baskets(log)
            self.share = self.teacher.share if p.order_epochs else 0.0
            if self.share:
                sizes = {"layers": p.order_layers, "dropout": p.order_dropout, "length": p.order_length}
                self._train_one_order(log, sizes, None, p.order_epochs)
            return
        ahead = next_days(log, p.horizon, _HELD_OUT, p.seed) if p.order_epochs else None
        baskets = ahead is not None and in_baskets(log.histories)  # whose order from day to day is read already
        tried = _HELD_OUT if p.order_epochs and not baskets else 0
        shown, histories, wanted = ahead if ahead and tried else held_out(log, tried, p.seed)
        sizes, epochs = {}, 0.0
        if wanted:
            self._fit_baskets(shown)
            sizes, epochs = self._train_order(shown, histories, wanted)
        self._fit_baskets(log)
        if ahead and self.share:
            self._train_one_order(log, sizes, None, epochs)

    def _taught(self) -> "Transformer | None":
        """The teacher (Hinton, Vinyals and Dean 2015, arXiv:1503.02531)."""
        if not self.params.teacher:
            return None
        teacher = Transformer.load(self.params.teacher)
        if teacher.items != self.items:
            raise FieldError("teacher", self.params.teacher, "a transformer fitted on the same items")
        if teacher.order is not None and teacher.order.near.shape[1] <= self.params.order_length:
            most = teacher.order.near.shape[1] - 1
            raise FieldError("order_length", self.params.order_length, f"at most the teacher's, {most}")
        return teacher

    def _fit_baskets(self, log: Log) -> None:
        p = self.params
        best = None
        if p.validation:
            best = self._train(_before(log, log.end - p.validation), log, p.epochs)
        if best != 0:
            self._train(log, None, p.epochs, stop=best)

    def _train(self, log: Log, whole: Log | None, epochs: int, stop: int | None = None) -> int:
        """Train anew on a log; the best step on the days that `whole` has more."""
        p = self.params
        self._prepare(log)
        history = log.histories
        inverse = self._know(log)
        users = np.flatnonzero(np.diff(history.start))
        baskets = Baskets.of(history, p.length, p.horizon)
        pick = shuffled(len(users), p.batch_size, p.seed)
        trend = Trend(log)
        prior = self._prior(log)

        def loss(network: RankingNetwork, step: int, generator: torch.Generator) -> torch.Tensor:
            plain = baskets.take(users[np.sort(pick(step).numpy())])
            batch = plain.tensors(self.device)
            seen = bought(batch, len(self.items))
            simple = []
            if p.residual:
                simple = [leave_out(batch, inverse), *trend.at(batch.now)]
            if p.augment:  # not in EASE, whose share of the user is what was bought
                batch = self._augmented(plain, step).tensors(self.device)
                seen |= bought(batch, len(self.items))
            items = network.embeddings(self._dropped(generator))
            logits = network.logits(network(batch, items), items, simple) + prior
            shares = logits.masked_fill(seen | self.unsold, -torch.inf).log_softmax(dim=1)
            position, item = batch.target
            weight = 1.0 / torch.bincount(position, minlength=len(seen)).clamp(min=1)
            hard = -(weight[position] * shares[position, item]).sum() / len(position.unique())
            if not self.teacher:
                return hard
            with torch.no_grad():
                other, table = self.teacher.network, self.teacher.network.embeddings()
                said = other.logits(other(batch, table), table, simple)
            return 0.5 * (hard + told(logits, said, seen | self.unsold))

        validation = None if whole is None else self._validation(whole, log)
        steps = epochs * -(-len(users) // p.batch_size)
        plan = Plan(p.learning_rate * RATES[p.method], steps, p.method, dropout=True, evaluations=epochs, stop=stop)
        self.history, _, file = train(self.network, Objective(loss, validation, _content(log)), p, plan)
        if file:
            file.unlink(missing_ok=True)
        return min(self.history, key=lambda row: row["validation_loss"])["step"] if whole else 0

    def _train_order(self, log: Log, histories: Histories, wanted: list[np.ndarray]) -> tuple[dict, float]:
        """Train the network over single purchases, by the settings and for as long as it makes the best mean of both
        networks better, and take that mean: measured on what the users of `histories` bought. Both are returned.
        """
        p, alone = self.params, self._baskets(histories).log_softmax(dim=1)
        worth = lambda: self._worth(alone, histories, wanted)
        sizes = {"layers": p.order_layers, "dropout": p.order_dropout, "length": p.order_length}
        epochs = self._train_one_order(log, sizes, worth)
        found, best = worth(), self.order
        if max(found.values()) <= _GAIN * found[0.0]:
            self.share = 0.0
            return sizes, epochs
        few = p.order_search and len(log.histories.item) <= _TRIED_UP_TO
        for name, value in _TRIED if few else ():
            taken, now = self._train_one_order(log, sizes | {name: value}, worth), worth()
            if max(now.values()) > _TRIED_GAIN * max(found.values()):
                found, best, sizes, epochs = now, self.order, sizes | {name: value}, taken
        self.order, self.share = best, max(found, key=found.__getitem__)
        return sizes, epochs

    def _worth(self, alone: torch.Tensor, histories: Histories, wanted: list[np.ndarray]) -> dict[float, float]:
        """Share of the order -> NDCG of the mean with the baskets' log-probabilities (U, I)."""
        order, found = self._in_order(histories).log_softmax(dim=1), {}
        for share in _SHARES:
            lists = top(torch.lerp(alone, order, share), histories, _LIST)
            found[share] = ranking_metrics(lists, wanted, np.ones(len(self.items)))[f"NDCG@{_LIST}"]
        return found

    def _train_one_order(self, log: Log, sizes: dict, worth: Callable | None, epochs: float = 0.0) -> float:
        """Train it anew, for the epochs that are the best by `worth`, which are returned, or for those given."""
        p = self.params
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(p.seed)
            self.order = self._new_order(**sizes).to(self.device)
        most = torch.from_numpy(np.log1p(_buyers(log))).float().to(self.device) - self._prior(log)
        self.order.bias.data.copy_(most - most.mean())  # starts with what most buy
        loss, per_epoch = order_loss(
            Sequences.of(log.histories, sizes["length"]),
            *(_WINDOWS, p.seed, self.unsold, self._prior(log), self._dropped, self._augmented),
            self.teacher.order if self.teacher else None,
        )
        validation = (lambda network: 1.0 - max(worth().values())) if worth else None
        steps, stop = p.order_epochs * per_epoch, None if worth else round(epochs * per_epoch)
        evaluations = -(-p.order_epochs // 2)
        plan = Plan(_RATE * RATES[p.method], steps, p.method, dropout=True, evaluations=evaluations, stop=stop)
        given = replace(p, patience=max(p.patience, _PATIENCE))
        self.order_history, _, file = train(self.order, Objective(loss, validation, _content(log)), given, plan)
        if file:
            file.unlink(missing_ok=True)
        return min(self.order_history, key=lambda row: row["validation_loss"])["step"] / per_epoch if worth else epochs

    def _prior(self, log: Log) -> torch.Tensor:
        return self.params.debias * torch.from_numpy(np.log1p(_buyers(log))).float().to(self.device)

    def _dropped(self, generator: torch.Generator) -> torch.Tensor | None:
        """(I,) bool: items that a step takes by their text alone; None without text."""
        if self.features is None:
            return None
        return (torch.rand(len(self.items), generator=generator) < _ITEM_DROPOUT).to(self.device)

    def _augmented(self, plain: _Read, step: int) -> _Read:
        """Purchases of which some are replaced by rarer items like them."""
        if not self.params.augment:
            return plain
        rng = np.random.default_rng((self.params.seed, step))
        return plain.with_items(lambda user, item: substituted(user, item, self.alike, self.params.augment, rng))

    def _know(self, log: Log) -> torch.Tensor | None:
        """Take EASE, the items' sales and what was never sold from a log; the inverse that EASE is made of."""
        p = self.params
        self.ease, self.trend = None, torch.stack(Trend(log).at(torch.tensor([log.end])))[:, 0].to(self.device)
        self.unsold = torch.from_numpy(_buyers(log) == 0).to(self.device)
        if not p.residual:
            return None
        inverse = torch.from_numpy(inverse_gram(log, p.penalty).astype(np.float32)).to(self.device)
        self.ease = RowSums(ease_table(inverse))
        return inverse

    def _prepare(self, log: Log) -> None:
        p = self.params
        self.features = text_features(log.text, p.seed) if p.text and log.text else None
        self.alike = rarer_alike(log, self.features) if p.augment else None
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(p.seed)
            self.network = self._new_network().to(self.device)

    @property
    def device(self) -> torch.device:
        return device_of(self.params.device)

    def _new_network(self) -> RankingNetwork:
        p = self.params
        return RankingNetwork(len(self.items), p.d_model, p.layers, p.heads, p.dropout, self._text)

    def _new_order(self, layers: int, dropout: float, length: int) -> OrderNetwork:
        p = self.params
        return OrderNetwork(len(self.items), p.d_model, layers, p.heads, dropout, length, self._text)

    @property
    def _text(self) -> torch.Tensor | None:
        return None if self.features is None else torch.from_numpy(self.features)

    def _validation(self, whole: Log, log: Log):
        """1 - NDCG@10 on what the users of `whole` buy after `log`."""
        from .protocol import ndcg_after

        return lambda network: 1.0 - ndcg_after(self, log, whole)

    def scores(self, histories: Histories) -> torch.Tensor:
        baskets = self._baskets(histories)
        if not self.share:
            return baskets
        return torch.lerp(baskets.log_softmax(dim=1), self._in_order(histories).log_softmax(dim=1), self.share)

    @torch.no_grad()
    def _in_order(self, histories: Histories) -> torch.Tensor:
        """(U, I) logits of the network over single purchases."""
        network = self.order.eval()
        sequences = Sequences.of(histories, network.near.shape[1] - 1, newest=True)
        rows, count = (torch.from_numpy(part).to(self.device) for part in sequences.rows(np.arange(len(histories))))
        items = network.embeddings(self.unsold)
        before = torch.from_numpy(sequences.low - sequences.origin).to(self.device)
        known = network(rows, items, before, count) if len(histories) else items[:0]
        bias = torch.where(self.unsold, network.bias[~self.unsold].mean(), network.bias)
        return (known @ items.T + bias).cpu()

    @torch.no_grad()
    def _baskets(self, histories: Histories) -> torch.Tensor:
        """(U, I) logits of the network over baskets."""
        self.network.eval()
        items = self.network.embeddings(self.unsold)
        batch = Baskets.of(histories, self.params.length, 0.0).tensors(self.device)
        known = self.network(batch, items, last=True) if len(histories) else items[:0]
        # Nothing was learned of what was never sold but through its text.
        bias = self.network.bias
        bias = torch.where(self.unsold, bias[~self.unsold].mean(), bias)
        simple = [None, *self.trend[:, None]] if self.params.residual else []
        logits = self.network.logits(known, items, simple, bias)
        if self.params.residual:  # EASE's part slice by slice: a whole table of its sums costs a tenth of the time
            position, item = batch.first
            weight = self.network.weights(known)[:, :1]
            self.ease.add_to(logits, weight, item, torch.searchsorted(position, batch.start[:-1]))
        return logits.cpu()

    def _arrays(self):
        networks = {"network": self.network} | ({} if self.order is None else {"order": self.order})
        state = {f"{part}.{k}": v.cpu().numpy() for part, net in networks.items() for k, v in net.state_dict().items()}
        own = {"trend": self.trend.cpu().numpy(), "unsold": self.unsold.cpu().numpy(), "share": np.array([self.share])}
        own |= {} if self.ease is None else {"table": self.ease.table.cpu().numpy()}
        return state | own | ({} if self.features is None else {"features": self.features})

    def _restore(self, arrays):
        self.features = arrays.get("features")
        self.trend, self.unsold = (torch.from_numpy(arrays[name]).to(self.device) for name in ("trend", "unsold"))
        self.ease = RowSums(torch.from_numpy(arrays["table"]).to(self.device)) if "table" in arrays else None
        self.network = self._restored(self._new_network(), arrays, "network.")
        # Saved before there was an order: by baskets alone, as it was.
        self.share = float(arrays.get("share", np.zeros(1)).item())
        self.order = None
        if "order.bias" in arrays:  # its depth and length may be others than asked for
            layers = len({name.split(".")[2] for name in arrays if name.startswith("order.blocks.")})
            network = self._new_order(layers, self.params.order_dropout, arrays["order.near"].shape[1] - 1)
            none = {"order.far": np.zeros(self.params.d_model, np.float32)}  # of folders from before there was one
            self.order = self._restored(network, none | arrays, "order.")

    def _restored(self, network: nn.Module, arrays: dict[str, np.ndarray], part: str):
        state = {k.removeprefix(part): torch.from_numpy(v) for k, v in arrays.items() if k.startswith(part)}
        if has_adapters(state):
            add_adapters(network, self.params.rank, self.params.adapter_dropout)
        network.load_state_dict(state)
        return network.to(self.device)


def _content(log: Log):
    """What names the data of a training; see `Objective`."""
    history = log.histories
    return lambda: (history.item, history.day, history.start, "\n".join(log.items), *(log.text or ()))


def _buyers(log: Log) -> np.ndarray:
    return np.asarray(log.histories.bought(len(log.items)).sum(axis=0))


def _before(log: Log, day: float) -> Log:
    histories = log.histories.where(log.histories.day < day, now=day)
    return replace(log, histories=histories)
