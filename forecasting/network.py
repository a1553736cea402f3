"""The sequence model's network: a T5 encoder over weekly patches, quantiles of the future patches out."""

import torch
from torch import nn

from .distribution import LEVELS
from .windows import CHANNELS, COVARIATES, NAMES, PATCH, SUMMARY, Batch


class _Residual(nn.Module):
    """A hidden layer beside a linear one, as in Chronos-Bolt's patch embeddings (Ansari et al. 2024)."""

    def __init__(self, inputs: int, hidden: int, outputs: int, dropout: float):
        super().__init__()
        self.hidden, self.output = nn.Linear(inputs, hidden), nn.Linear(hidden, outputs)
        self.skip, self.dropout = nn.Linear(inputs, outputs), nn.Dropout(dropout)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.dropout(self.output(torch.relu(self.hidden(x)))) + self.skip(x)


class KnownEffect(nn.Module):
    """What is known of a day in advance adds to its quantiles, alike on every day of a patch; the item sets how much.

    The encoder has weights for each day of a patch: what it would learn of a discount seven times over is learnt here
    once, from as few weeks as a panel has. A panel's covariates come in by one unit for all items as well, as they are
    and less the item's usual value: standardised by the item alone, a discount of a tenth looks like one of a half
    where discounts are small. It starts as nothing, and is nothing on a day of which nothing is known.
    """

    kinds = ("price", "promotion", "holiday", "covariate")
    width = 64

    def __init__(self, d_model: int, units: torch.Tensor):
        """`units` (COVARIATES,) are those of the panel that it is first trained on; saved with the weights."""
        super().__init__()
        self.channels = [channel for channel, name in enumerate(NAMES) if name in self.kinds]
        self.day = nn.Linear(len(self.channels), self.width, bias=False)
        self.item = nn.Linear(d_model, self.width)
        self.quantiles = nn.Linear(self.width, len(LEVELS), bias=False)
        self.told = nn.Linear(2 * COVARIATES, self.width, bias=False)  # of covariates; a name in saved weights
        self.register_buffer("units", units)
        nn.init.zeros_(self.quantiles.weight)

    def forward(self, future: torch.Tensor, covariates: torch.Tensor, hidden: torch.Tensor) -> torch.Tensor:
        """(B, 7 * F, Q), from future patches (B, F, 7 * CHANNELS), known covariates and the encoder's (B, F, D)."""
        days = future.unflatten(2, (PATCH, CHANNELS))[..., self.channels]
        covariates = (covariates / self.units.repeat(2)).clamp(-5, 5).unflatten(1, (-1, PATCH))
        effect = nn.functional.silu(self.day(days) + self.told(covariates)) * (1 + self.item(hidden))[:, :, None]
        return self.quantiles(effect).flatten(1, 2)


class PatchEncoder(nn.Module):
    """Tokens: one for scale and weekday, one per past and per future patch; the future ones give the quantiles."""

    adapter_sites = r"encoder\.block\.\d+\.layer\.\d+\.dropout"  # T5's last module before each residual sum

    def __init__(self, d_model: int, layers: int, heads: int, d_ff: int, dropout: float):
        # Imported here because it takes seconds, and parameters and baselines do not need it.
        from transformers import T5Config
        from transformers.models.t5.modeling_t5 import T5Stack

        super().__init__()
        self.width = d_model
        config = T5Config(
            vocab_size=1,  # tokens come as embeddings
            d_model=d_model,
            d_kv=d_model // heads,
            d_ff=d_ff,
            num_layers=layers,
            num_heads=heads,
            dropout_rate=dropout,
            feed_forward_proj="gated-gelu",
            pad_token_id=0,
            eos_token_id=0,
            use_cache=False,
            is_encoder_decoder=False,
        )
        config.dense_act_fn = "gelu_pytorch_tanh"  # T5's "gelu_new" in one kernel, six times faster
        self.past = _Residual(PATCH * CHANNELS, d_ff, d_model, dropout)
        self.future = _Residual(PATCH * CHANNELS, d_ff, d_model, dropout)
        self.summary = nn.Linear(SUMMARY, d_model)
        self.encoder = T5Stack(config)
        self.head = _Residual(d_model, d_ff, PATCH * len(LEVELS), dropout)
        self.known: KnownEffect | None = None

    def forward(self, batch: Batch) -> torch.Tensor:
        """Quantiles of asinh(units / scale) at LEVELS, (B, 7 * F, Q), not sorted."""
        tokens = torch.cat([self.summary(batch.summary)[:, None], self.past(batch.past), self.future(batch.future)], 1)
        future = batch.future.shape[1]
        ones = torch.ones_like(batch.seen[:, :1])
        mask = torch.cat([ones, batch.seen, ones.expand(-1, future)], dim=1)
        hidden = self.encoder(inputs_embeds=tokens, attention_mask=mask.long()).last_hidden_state[:, -future:]
        quantiles = self.head(hidden).unflatten(2, (PATCH, len(LEVELS))).flatten(1, 2)
        return quantiles if self.known is None else quantiles + self.known(batch.future, batch.covariates, hidden)

    def add_known(self, units: torch.Tensor) -> None:
        """Draws its weights from torch's global generator; weights that exist already stay as they are."""
        self.known = self.known or KnownEffect(self.width, units)


def pinball(quantiles: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Mean pinball loss over the observed cells; quantiles (..., Q) at LEVELS, target (...) with NaN."""
    level = torch.tensor(LEVELS, device=target.device)
    error = target.nan_to_num()[..., None] - quantiles
    loss = torch.maximum(level * error, (level - 1) * error).mean(dim=-1)
    observed = ~target.isnan()
    return (loss * observed).sum() / observed.sum().clamp(min=1)
