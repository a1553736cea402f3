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

    def forward(self, x: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        """`x` (B, T, width), `bias` (B, heads, T, T): what is added to the attention's logits."""
        parts = self.query_key_value(self.attend_norm(x)).unflatten(2, (3, self.heads, -1))
        query, key, value = parts.permute(2, 0, 3, 1, 4)
        found = F.scaled_dot_product_attention(query, key, value, attn_mask=bias).transpose(1, 2).flatten(2)
        x = x + self.attend_dropout(self.attended(found))
        return x + self.feed_dropout(self.fed(F.gelu(self.widen(self.feed_norm(x)))))


class BasketEncoder(nn.Module):
    """Baskets are sets: the order inside one is lost in the mean, so there is none to learn or to permute.

    Time enters as a falling weight of attention: each head subtracts its own positive slope times log(1 + days between
    the basket and the day looked at). An item's embedding is its own plus a projection of its text's features.
    """

    adapter_sites = r"blocks\.\d+\.(attend|feed)_dropout"

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

    def embeddings(self, dropped: torch.Tensor | None = None) -> torch.Tensor:
        """(items, width); where `dropped` (items,) is true, the text's part alone."""
        own = self.item.weight if dropped is None else self.item.weight.masked_fill(dropped[:, None], 0.0)
        return own if self.text is None else own + self.text(self.features)

    def forward(self, baskets: Baskets, items: torch.Tensor) -> torch.Tensor:
        """(P, width) what is known of the user at each position; `items` are `embeddings`."""
        positions = len(baskets.day)
        starts, counts = baskets.start[:-1], baskets.start.diff()
        user = torch.arange(len(counts), device=items.device).repeat_interleave(counts)
        place = torch.arange(positions, device=items.device) - starts[user]
        position, item = baskets.read
        read = items[item] + baskets.rating.nan_to_num()[:, None] * (self.rated(item) + self.stars_given)
        size = torch.zeros(positions, device=items.device).index_add(0, position, torch.ones_like(baskets.rating))
        total = torch.zeros(positions, self.width, device=items.device).index_add(0, position, read.float())
        tokens = total / size.clamp(min=1)[:, None] + self.size(size.log1p()[:, None])
        tokens = torch.where((place == 0)[:, None], self.start, tokens)
        longest = int(counts.max())
        x = tokens.new_zeros(len(counts), longest, self.width).index_put((user, place), self.dropout(tokens))
        bias = self._bias(baskets, user, place, longest)
        for block in self.blocks:
            x = block(x, bias)
        return self.head(self.norm(x[user, place]))

    def _bias(self, baskets: Baskets, user: torch.Tensor, place: torch.Tensor, longest: int) -> torch.Tensor:
        shape = (int(user[-1]) + 1, longest)
        now = baskets.now.new_zeros(shape).index_put((user, place), baskets.now)
        day = baskets.day.new_full(shape, torch.inf).index_put((user, place), baskets.day)
        day[:, 0] = torch.nan  # the start is as near as anything
        gap = (now[:, :, None] - day[:, None, :]).nan_to_num(nan=0.0).clamp(min=0.0).log1p()
        later = torch.ones(longest, longest, dtype=torch.bool, device=day.device).triu(1)
        bias = -F.softplus(self.slope)[:, None, None] * gap[:, None]
        return bias.masked_fill(later, -torch.inf)
