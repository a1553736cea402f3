"""The Transformer's network: attention over a user's baskets, each the mean of its items' embeddings."""

import torch
from torch import nn
from torch.nn import functional as F

from .baskets import Baskets


class Block(nn.Module):
    """Attention and a feed-forward layer, each before a residual sum (pre-norm), as in SASRec (arXiv:1808.09781)."""

    def __init__(self, width: int, heads: int, dropout: float):
        super().__init__()
        self.heads = heads
        self.attend_norm, self.feed_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.query_key_value, self.attended = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.widen, self.fed = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.attend_dropout, self.feed_dropout = nn.Dropout(dropout), nn.Dropout(dropout)

    def forward(self, x: torch.Tensor, bias: torch.Tensor, at: torch.Tensor | None = None) -> torch.Tensor:
        """(B, T, width) from `x` of that shape; `bias` (B, heads, T, T): what is added to the attention's logits.

        With `at` (B,), one place of each row alone is computed: (B, 1, width).
        """
        parts = self.query_key_value(self.attend_norm(x)).unflatten(2, (3, self.heads, -1))
        query, key, value = parts.permute(2, 0, 3, 1, 4)
        if at is not None:
            row = torch.arange(len(x), device=x.device)
            x, query, bias = x[row, at][:, None], query[row, :, at][:, :, None], bias[row, :, at][:, :, None]
        # By hand: for as few places as histories have, twice as fast as F.scaled_dot_product_attention on a CPU.
        attention = (query @ key.transpose(2, 3) * query.shape[3] ** -0.5 + bias).softmax(dim=3)
        mixed = (attention @ value).transpose(1, 2).flatten(2)
        x = x + self.attend_dropout(self.attended(mixed))
        return x + self.feed_dropout(self.fed(F.gelu(self.widen(self.feed_norm(x)))))


class ItemTable(nn.Module):
    """Items' embeddings: each its own, `item`, plus a projection `text` of its description's `features`, if any."""

    adapter_sites = r"blocks\.\d+\.(attend|feed)_dropout"
    item: nn.Embedding
    text: nn.Linear | None
    features: torch.Tensor

    def embeddings(self, dropped: torch.Tensor | None = None) -> torch.Tensor:
        """(items, width); where `dropped` (items,) is true, the text's part alone."""
        own = self.item.weight if dropped is None else self.item.weight.masked_fill(dropped[:, None], 0.0)
        return own if self.text is None else own + self.text(self.features)


class BasketEncoder(ItemTable):
    """Baskets are sets: the order inside one is lost in the mean, so there is none to learn or to permute.

    Time enters as a falling weight of attention: each head subtracts its own positive slope times log(1 + days between
    the basket and the day looked at).
    """

    def __init__(self, items: int, width: int, layers: int, heads: int, dropout: float, text: torch.Tensor | None):
        """`text` (items, features), None where there is none."""
        super().__init__()
        self.width = width
        self.item = nn.Embedding(items, width)
        self.rated = nn.Embedding(items, width)
        self.text = None if text is None else nn.Linear(text.shape[1], width, bias=False)
        self.register_buffer("features", text, persistent=False)
        self.start, self.slope = nn.Parameter(torch.zeros(width)), nn.Parameter(torch.linspace(-2, 1, heads))
        self.stars_given = nn.Parameter(torch.zeros(width))
        self.size = nn.Linear(1, width)
        self.blocks = nn.ModuleList([Block(width, heads, dropout) for _ in range(layers)])
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, width)
        self.bias = nn.Parameter(torch.zeros(items))
        self.dropout = nn.Dropout(dropout)
        nn.init.normal_(self.item.weight, std=width**-0.5)
        nn.init.zeros_(self.rated.weight)

    def forward(self, baskets: Baskets, items: torch.Tensor, last: bool = False) -> torch.Tensor:
        """(P, width) what is known of the user at each position, with `last` (U, width) at the last one alone.

        `items` are `embeddings`.
        """
        positions = len(baskets.day)
        starts, counts = baskets.start[:-1], baskets.start.diff()
        user = torch.arange(len(counts), device=items.device).repeat_interleave(counts)
        place = torch.arange(positions, device=items.device) - starts[user]
        position, item = baskets.read
        offsets = torch.searchsorted(position, torch.arange(positions, device=items.device))
        total = F.embedding_bag(item, items, offsets, mode="sum")
        stars = baskets.rating.nan_to_num()
        if stars.any():
            rated = self.rated.weight + self.stars_given
            total = total + F.embedding_bag(item, rated, offsets, mode="sum", per_sample_weights=stars)
        size = torch.bincount(position, minlength=positions)[:, None].float()
        tokens = total / size.clamp(min=1) + self.size(size.log1p())
        tokens = torch.where((place == 0)[:, None], self.start, tokens)
        longest = int(counts.max())
        x = tokens.new_zeros(len(counts), longest, self.width).index_put((user, place), self.dropout(tokens))
        bias = self._bias(baskets, user, place, longest)
        for block in self.blocks[:-1]:
            x = block(x, bias)
        if last:
            x = self.blocks[-1](x, bias, counts - 1)[:, 0]
        else:
            x = self.blocks[-1](x, bias)[user, place]
        return self.head(self.norm(x))

    def _bias(self, baskets: Baskets, user: torch.Tensor, place: torch.Tensor, longest: int) -> torch.Tensor:
        shape = (int(user[-1]) + 1, longest)
        now = baskets.now.new_zeros(shape).index_put((user, place), baskets.now)
        day = baskets.day.new_full(shape, torch.inf).index_put((user, place), baskets.day)
        day[:, 0] = torch.nan  # the start is as near as anything
        gap = (now[:, :, None] - day[:, None, :]).nan_to_num(nan=0.0).clamp(min=0.0).log1p()
        later = torch.ones(longest, longest, dtype=torch.bool, device=day.device).triu(1)
        bias = -F.softplus(self.slope)[:, None, None] * gap[:, None]
        return bias.masked_fill(later, -torch.inf)
