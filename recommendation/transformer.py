"""The Transformer: a sequence model over baskets, trained with the full softmax on the new items of the next weeks.

Its logits start from what simple models know: with `residual` it adds to them EASE's score and the items' recent sales,
with weights that depend on the user. In training EASE's score is the one of a model fitted without that user, so that
it is as good there as it will be on new purchases.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch

from ..device import device_of
from ..errors import FieldError
from ..learning.adaptation import RATES, add_adapters, has_adapters
from ..learning.params import TrainingParams, check_fields
from ..learning.training import Objective, Plan, shuffled, train
from .base import Histories, Log, Recommender
from .baskets import Baskets
from .neighbours import WINDOWS, RowSums, Trend, inverse_gram
from .network import BasketEncoder
from .text import text_features

_ITEM_DROPOUT = 0.2  # share of the items whose own embedding a step does without, where there is text


@dataclass
class TransformerParams(TrainingParams):
    """The size of the network, what it starts from, and how it is trained."""

    d_model: int = 64  # width of a token, a multiple of heads
    layers: int = 1
    heads: int = 2
    dropout: float = 0.2
    length: int = 32  # last days with a purchase that are read
    horizon: int = 30  # days ahead whose new items are learned
    residual: bool = True  # adds EASE's score and the items' recent sales
    penalty: float = 300.0  # of that EASE
    debias: float = 0.0  # popularity^debias is divided out of the learned probabilities: 0 not at all, 1 wholly
    text: bool = True  # reads the items' descriptions, where the log has any
    validation: int = 0  # last days of the log that decide when to stop; 0: all epochs, on all days
    learning_rate: float = 2e-3
    epochs: int = 8
    batch_size: int = 64  # users
    weight_decay: float = 0.05

    def __post_init__(self):
        check_fields(self, lowest={"validation": 0}, highest={"penalty": 1e9, "length": 1000, "horizon": 10_000})
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

    def _fit(self, log: Log) -> None:
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
        if p.residual:
            inverse = torch.from_numpy(inverse_gram(log, p.penalty).astype(np.float32)).to(self.device)
            self.ease = RowSums(_ease(inverse))
        users = np.flatnonzero(np.diff(history.start))
        baskets = Baskets.of(history, p.length, p.horizon)
        pick = shuffled(len(users), p.batch_size, p.seed)
        trend = Trend(log)
        prior = p.debias * torch.from_numpy(np.log1p(_buyers(log))).float().to(self.device)

        def loss(network: RankingNetwork, step: int, generator: torch.Generator) -> torch.Tensor:
            batch = baskets.take(users[np.sort(pick(step).numpy())]).tensors(self.device)
            seen = _bought(batch, len(self.items))
            simple = []
            if p.residual:
                simple = [_leave_out(batch, inverse), *trend.at(batch.now)]
            dropped = None
            if network.text is not None:
                share = torch.rand(len(self.items), generator=generator) < _ITEM_DROPOUT
                dropped = share.to(self.device)
            items = network.embeddings(dropped)
            logits = network.logits(network(batch, items), items, simple) + prior
            logits = logits.masked_fill(seen | self.unsold, -torch.inf).log_softmax(dim=1)
            position, item = batch.target
            weight = 1.0 / torch.bincount(position, minlength=len(seen)).clamp(min=1)
            return -(weight[position] * logits[position, item]).sum() / len(position.unique())

        validation = None if whole is None else self._validation(whole, log)
        steps = epochs * -(-len(users) // p.batch_size)
        plan = Plan(p.learning_rate * RATES[p.method], steps, p.method, dropout=True, evaluations=epochs, stop=stop)
        content = lambda: (history.item, history.day, history.start, "\n".join(self.items), *(log.text or ()))
        self.history, _, file = train(self.network, Objective(loss, validation, content), p, plan)
        if file:
            file.unlink(missing_ok=True)
        return min(self.history, key=lambda row: row["validation_loss"])["step"] if whole else 0

    def _prepare(self, log: Log) -> None:
        p = self.params
        self.features = text_features(log.text, p.seed) if p.text and log.text else None
        self.ease, self.trend = None, torch.stack(Trend(log).at(torch.tensor([log.end])))[:, 0].to(self.device)
        self.unsold = torch.from_numpy(_buyers(log) == 0).to(self.device)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(p.seed)
            self.network = self._new_network().to(self.device)

    @property
    def device(self) -> torch.device:
        return device_of(self.params.device)

    def _new_network(self) -> RankingNetwork:
        p = self.params
        text = None if self.features is None else torch.from_numpy(self.features)
        return RankingNetwork(len(self.items), p.d_model, p.layers, p.heads, p.dropout, text)

    def _validation(self, whole: Log, log: Log):
        """1 - NDCG@10 on what the users of `whole` buy after `log`."""
        from .protocol import ndcg_after

        return lambda network: 1.0 - ndcg_after(self, log, whole)

    @torch.no_grad()
    def scores(self, histories: Histories) -> torch.Tensor:
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
        state = {f"network.{name}": value.cpu().numpy() for name, value in self.network.state_dict().items()}
        own = {"trend": self.trend.cpu().numpy(), "unsold": self.unsold.cpu().numpy()}
        own |= {} if self.ease is None else {"table": self.ease.table.cpu().numpy()}
        return state | own | ({} if self.features is None else {"features": self.features})

    def _restore(self, arrays):
        self.features = arrays.get("features")
        self.trend, self.unsold = (torch.from_numpy(arrays[name]).to(self.device) for name in ("trend", "unsold"))
        self.ease = RowSums(torch.from_numpy(arrays["table"]).to(self.device)) if "table" in arrays else None
        self.network = self._new_network()
        state = {k.removeprefix("network."): torch.from_numpy(v) for k, v in arrays.items() if k.startswith("network.")}
        if has_adapters(state):
            add_adapters(self.network, self.params.rank, self.params.adapter_dropout)
        self.network.load_state_dict(state)
        self.network.to(self.device)


def _running(batch: Baskets, table: torch.Tensor) -> torch.Tensor:
    """(P, columns) sums of the table's rows over the items bought up to each position."""
    position, item = batch.first
    starts, counts = batch.start[:-1], batch.start.diff()
    offsets = torch.searchsorted(position, torch.arange(len(batch.day), device=item.device))
    sums = torch.nn.functional.embedding_bag(item, table, offsets, mode="sum").cumsum(dim=0)
    before = torch.cat([torch.zeros_like(sums[:1]), sums])[starts]
    return sums - before.repeat_interleave(counts, dim=0)


def _bought(batch: Baskets, items: int) -> torch.Tensor:
    """(P, items) bool: bought by the user up to each position."""
    position, item = batch.first
    first = torch.zeros(len(batch.day), items, dtype=torch.uint8, device=item.device)
    first[position, item] = 1
    for start, stop in batch.start.unfold(0, 2, 1).tolist():
        first[start:stop] = first[start:stop].cumsum(dim=0)  # 0 or 1, as an item is new once
    return first.bool()


def _ease(inverse: torch.Tensor) -> torch.Tensor:
    table = -inverse / inverse.diagonal()
    return table.fill_diagonal_(0.0)


def _leave_out(batch: Baskets, inverse: torch.Tensor) -> torch.Tensor:
    """(P, I) EASE's scores of the items not bought yet, as fitted without the user.

    With x all that the user buys, the gram matrix without them is G - x x', and its inverse by Sherman and Morrison
    P + P x x' P / (1 - x' P x).
    """
    counts = batch.start.diff()
    user = torch.arange(len(counts), device=inverse.device).repeat_interleave(counts)
    so_far = _running(batch, inverse)  # P x_p
    whole = so_far[batch.start[1:] - 1]  # P x
    position, item = batch.first
    owner = user[position]
    left = 1.0 - whole.new_zeros(len(counts)).index_add(0, owner, whole[owner, item])  # 1 - x' P x
    # x' P x_p, for each position: over all that the user ever buys
    members = torch.zeros_like(whole)
    members[owner, item] = 1.0
    shared = torch.linalg.vecdot(members[user], so_far)
    top = so_far + whole[user] * (shared / left[user])[:, None]
    return -top / (inverse.diagonal() + whole.square() / left[:, None])[user]


def _buyers(log: Log) -> np.ndarray:
    return np.asarray(log.histories.bought(len(log.items)).sum(axis=0))


def _before(log: Log, day: float) -> Log:
    histories = log.histories.where(log.histories.day < day, now=day)
    return replace(log, histories=histories)
