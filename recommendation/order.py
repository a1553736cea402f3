"""The order of purchases: a causal Transformer that reads one purchase after another and says which item is the next.

Order is what times tell. Purchases at the same time are a set: they are shuffled anew in each epoch, so that nothing is
learned of how they lie in a file.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from ..learning.training import shuffled
from .base import Histories, Log
from .network import Block, ItemTable

_BACK, _BACK_SHARE = 100, 0.2  # users who come back, at least, for the last days to say what the order is worth
_SET, _SET_SHARE = 5, 0.5  # items bought at one time that are a basket; share of purchases in such ones


class OrderNetwork(ItemTable):
    """SASRec (Kang and McAuley 2018, arXiv:1808.09781) with a start token and biases of attention by distance."""

    def __init__(
        self, items: int, width: int, layers: int, heads: int, dropout: float, length: int, text: torch.Tensor | None
    ):
        """`length`: purchases that are read; `text` (items, features), None where there is none."""
        super().__init__()
        self.width, self.item = width, nn.Embedding(items, width)
        self.text = None if text is None else nn.Linear(text.shape[1], width, bias=False)
        self.register_buffer("features", text, persistent=False)
        self.bias = nn.Parameter(torch.zeros(items))
        self.start = nn.Parameter(torch.zeros(width))
        # The last purchases say most: one head starts with a mean of all, the others look the more at near ones.
        self.near = nn.Parameter(-torch.linspace(0, 2, heads)[:, None] * torch.arange(length + 1).float().log1p())
        self.far = nn.Parameter(
            torch.zeros(width)
        )  # what many purchases before say: first what all know, then the rest
        self.blocks = nn.ModuleList([Block(width, heads, dropout) for _ in range(layers)])
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, width)
        self.dropout = nn.Dropout(dropout)
        nn.init.normal_(self.item.weight, std=width**-0.5)

    def forward(
        self, item: torch.Tensor, items: torch.Tensor, before: torch.Tensor, at: torch.Tensor | None = None
    ) -> torch.Tensor:
        """(B, 1 + T, width) what is known after the start and each of `item` (B, T); with `at` (B,) after one of them,
        (B, width). `items` are `embeddings`, `before` (B,) how many purchases came before those of `item`.
        """
        tokens = torch.cat([self.start.expand(len(item), 1, -1), items[item]], dim=1)
        place = torch.arange(tokens.shape[1], device=item.device)
        tokens = tokens + (before[:, None] + place).float().log1p()[..., None] * self.far
        distance = place[:, None] - place
        bias = self.near[:, distance.clamp(min=0)].masked_fill(distance < 0, -torch.inf).expand(len(item), -1, -1, -1)
        x = self.dropout(tokens)
        for block in self.blocks[:-1]:
            x = block(x, bias)
        x = self.blocks[-1](x, bias, at)
        return self.head(self.norm(x if at is None else x[:, 0]))


@dataclass
class Sequences:
    """Purchases one by one, cut into windows of at most `length` from each user's end backwards."""

    item: np.ndarray  # (N,) by user and time
    moment: np.ndarray  # (N,) number of the user's time: the same for purchases of one user at one time
    new: np.ndarray  # (N,) bool: the user's first purchase of the item
    origin: np.ndarray  # (W,) first purchase of the window's user
    low: np.ndarray  # (W,) first purchase of the window
    high: np.ndarray  # (W,) the one after the window's last

    @classmethod
    def of(cls, histories: Histories, length: int, newest: bool = False) -> "Sequences":
        """`newest`: of each user the last window alone, which may be empty."""
        user, item, day = histories.user, histories.item, histories.day
        changed = np.r_[True, (np.diff(user) != 0) | (np.diff(day) != 0)][: len(user)]
        moment = np.cumsum(changed) - 1
        kept = np.r_[True, (np.diff(moment) != 0) | (np.diff(item) != 0)][: len(user)]  # once at a time
        user, item, moment = user[kept], item[kept], moment[kept]
        new = np.zeros(len(item), bool)
        new[np.unique(user * (item.max(initial=0) + 1) + item, return_index=True)[1]] = True
        bounds = np.searchsorted(user, np.arange(len(histories) + 1))
        count = np.diff(bounds)
        windows = np.ones_like(count) if newest else -(-count // length)
        owner = np.repeat(np.arange(len(count)), windows)
        back = np.arange(len(owner)) - np.repeat(np.cumsum(windows) - windows, windows)
        high = bounds[owner + 1] - back * length
        return cls(item, moment, new, bounds[owner], np.maximum(high - length, bounds[owner]), high)

    def shuffled(self, rng: np.random.Generator) -> "Sequences":
        """Purchases at one time in another order."""
        order = np.lexsort((rng.random(len(self.item)), self.moment))
        return Sequences(self.item[order], self.moment, self.new[order], self.origin, self.low, self.high)

    def with_items(self, change: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> "Sequences":
        """The same with other items: `change` takes users and items, and gives the items in their place.

        Users are numbered without those who have no purchase.
        """
        user = np.searchsorted(np.unique(self.origin), np.arange(len(self.item)), side="right") - 1
        return replace(self, item=change(user, self.item))

    def rows(self, windows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(B, T) items of some windows, 0 behind a window's end, and (B,) how many each has."""
        count = self.high[windows] - self.low[windows]
        place = np.arange(max(count.max(initial=0), 1))
        inside = place < count[:, None]
        return np.where(inside, self.item[np.where(inside, self.low[windows][:, None] + place, 0)], 0), count

    def targets(self, windows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(3, K) window, place and item of what is bought next, where it is new to the user: place 0 is the start.

        And (M,) window, place and item of what is known at a place for the first time.
        """
        count = self.high[windows] - self.low[windows]
        row = np.repeat(np.arange(len(windows)), count)
        place = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
        at = self.low[windows][row] + place
        known = self.high[windows] - self.origin[windows]
        before = np.repeat(np.arange(len(windows)), known)
        where = np.arange(known.sum()) - np.repeat(np.cumsum(known) - known, known) + self.origin[windows][before]
        first = self.new[where]
        before, where = before[first], where[first]
        since = np.maximum(where - self.low[windows][before] + 1, 0)
        fresh = self.new[at]
        return np.stack([row, place, self.item[at]])[:, fresh], np.stack([before, since, self.item[where]])


def order_loss(
    sequences: Sequences,
    batch: int,
    seed: int,
    unsold: torch.Tensor,
    prior: torch.Tensor,
    dropped: Callable,
    augmented: Callable,
    teacher: OrderNetwork | None = None,
) -> tuple[Callable, int]:
    """The loss of a step, the softmax over all items not bought yet at every place, and how many steps an epoch has.

    `prior` (items,) is added to the logits in training; `dropped` draws the items that go without their own embedding;
    `augmented` gives the sequences of an epoch, from the log's and the epoch's number. Half of the loss is from the
    probabilities of a `teacher`, where there is one.
    """
    windows = np.flatnonzero(sequences.high > sequences.low)
    pick, steps, mixed = shuffled(len(windows), batch, seed), -(-len(windows) // batch), {}
    device = unsold.device

    def loss(network: OrderNetwork, step: int, generator: torch.Generator) -> torch.Tensor:
        epoch = step // steps
        if epoch not in mixed:
            mixed.clear()
            mixed[epoch] = augmented(sequences, epoch).shuffled(np.random.default_rng((seed, epoch)))
        mine, chosen = mixed[epoch], windows[pick(step).numpy()]
        target, known = (torch.from_numpy(part).to(device) for part in mine.targets(chosen))
        items = network.embeddings(dropped(generator))
        rows, before = mine.rows(chosen)[0], (mine.low - mine.origin)[chosen]
        found = network(torch.from_numpy(rows).to(device), items, torch.from_numpy(before).to(device))
        seen = torch.zeros(*found.shape[:2], len(items), dtype=torch.uint8, device=device)
        seen[tuple(known)] = 1
        seen = seen.cumsum(dim=1, dtype=torch.uint8)[target[0], target[1]].bool()
        logits = F.linear(found[target[0], target[1]], items, network.bias + prior)
        hard = F.cross_entropy(logits.masked_fill(seen | unsold, -torch.inf), target[2])
        if teacher is None:
            return hard
        with torch.no_grad():
            table = teacher.embeddings()
            known = teacher(torch.from_numpy(rows).to(device), table, torch.from_numpy(before).to(device))
            said = F.linear(known[target[0], target[1]], table, teacher.bias)
        return 0.5 * (hard + told(logits, said, seen | unsold))

    return loss, steps


def told(logits: torch.Tensor, said: torch.Tensor, closed: torch.Tensor) -> torch.Tensor:
    """The cross-entropy of logits (P, I) under a teacher's probabilities, both without what is `closed` (P, I)."""
    share = said.masked_fill(closed, -torch.inf).softmax(dim=1)
    log = logits.masked_fill(closed, -torch.inf).log_softmax(dim=1).masked_fill(closed, 0.0)
    return -(share * log).sum(dim=1).mean()


def held_out(log: Log, users: int, seed: int) -> tuple[Log, Histories, list[np.ndarray]]:
    """The log without what the users who bought last have bought last, their histories before, and what it was.

    Last is a user's last time, or where there is one time alone one purchase of it.
    """
    histories = log.histories
    user, rng = histories.user, np.random.default_rng(seed)
    able = rng.permutation(np.flatnonzero(np.diff(histories.start) > 1))
    recent = np.argsort(-histories.day[histories.start[1:][able] - 1], kind="stable")
    chosen = np.sort(able[recent[:users]])
    last = histories.day == histories.day[histories.start[1:][user] - 1]
    alone = histories.day[histories.start[:-1][user]] == histories.day[histories.start[1:][user] - 1]
    one = np.zeros(len(user), bool)
    low, high = histories.start[:-1][chosen], histories.start[1:][chosen]
    one[low + np.floor(rng.random(len(chosen)) * (high - low)).astype(int)] = True
    last = np.isin(user, chosen) & np.where(alone, one, last)
    shown = replace(log, histories=histories.where(~last))
    before = shown.histories.take(chosen)
    bought = np.split(histories.item[last], np.cumsum(np.bincount(user[last], minlength=len(log.users))[chosen])[:-1])
    wanted = [np.setdiff1d(*pair) for pair in zip(bought, np.split(before.item, before.start[1:-1]), strict=True)]
    keep = np.array([row for row, items in enumerate(wanted) if len(items)], int)
    return shown, before.take(keep), [wanted[row] for row in keep]


def next_days(log: Log, days: float, users: int, seed: int) -> tuple[Log, Histories, list[np.ndarray]] | None:
    """The log without its last `days`, and of at most `users` who bought before and in them, what was new to them.

    None where few come back: fewer than 100 users, or than a fifth of all. Then a purchase follows the one before, not
    the season, and `held_out` says more.
    """
    end, histories = log.end - days, log.histories
    shown, later = histories.where(histories.day < end, now=end), histories.where(histories.day >= end)
    before, bought = (np.split(part.item, part.start[1:-1]) for part in (shown, later))
    wanted = [np.setdiff1d(*pair) for pair in zip(bought, before, strict=True)]
    back = np.array([user for user, items in enumerate(wanted) if len(items) and len(before[user])], int)
    if len(back) < max(_BACK, _BACK_SHARE * len(log.users)):
        return None
    chosen = np.sort(np.random.default_rng(seed).permutation(back)[:users])
    return replace(log, histories=shown), shown.take(chosen), [wanted[user] for user in chosen]


def in_baskets(histories: Histories) -> bool:
    """Whether half of the purchases or more are of five or more items at one time, so that times tell little order."""
    moment = Sequences.of(histories, 1).moment
    return float(np.mean(np.bincount(moment)[moment] >= _SET)) >= _SET_SHARE
