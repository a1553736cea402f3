"""Public pre-trained forecasters, by hub name or local folder, in the place of the sequence model's own network.

Chronos-Bolt (Ansari et al. 2024, arXiv:2403.07815), Chronos-2 (Ansari et al. 2025, arXiv:2510.15821) and TimesFM 2.0
and 2.5 (Das et al. 2024, arXiv:2310.10688). Windows, fine-tuning, tail, copula and new items are those of
`transformer`. Weights come from safetensors alone, the code from chronos-forecasting and transformers, never from the
checkpoint.

Chronos-2 is given price, promotion, closed, holiday and a panel's own covariates, these less their mean, which stands
where one is not known; the others see units alone.
Days not observed or closed are masked by Chronos; TimesFM, which takes no gaps, has them filled in linearly, as
Google's own code does. A horizon beyond the model's own goes on from its forecasts: from each decile for Chronos, as
that library does, from the median (TimesFM 2.0: the mean) alone for TimesFM, whose spread grows no further there.
Windows hold whole weeks: the days of the last one after the horizon count as open, at the last price, without promotion
or holiday.
"""

import math
import warnings
from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from safetensors import SafetensorError
from torch import nn

from ..data import Panel
from ..errors import FieldError
from ..learning.base import needs
from .base import Known
from .distribution import LEVELS, Dependence, mean_excess
from .params import check_fields
from .transformer import Transformer
from .windows import CHANNELS, NAMES, PATCH, Batch, Windows

_WINDOWS = 64  # in a forward pass: the attention of Chronos-2 between series grows with the square of their number
_MEDIAN = LEVELS.index(0.5)
_NOT_READABLE = (
    OSError,
    AssertionError,
    AttributeError,
    KeyError,
    TypeError,
    ValueError,
    RuntimeError,
    SafetensorError,
)


@dataclass
class HubParams:
    """Which checkpoint, which covariates it may use, and how it is fine-tuned."""

    checkpoint: str = "amazon/chronos-bolt-small"  # hub name, or folder, of a Chronos-Bolt, Chronos-2 or TimesFM
    context: int = 504  # days of history that the model sees, a multiple of 7
    horizon: int = 28  # days ahead, at most, a multiple of 7
    planned: bool = True  # price and promotion of the horizon are set in advance (Chronos-2); False: they are not used
    method: str = "full"  # weights that fine_tune trains: full, lora
    fine_tune_learning_rate: float = 1e-5  # of method full; lora takes ten times it
    fine_tune_steps: int = 300  # at most; 0: the pre-trained weights as they are (zero-shot)
    batch_size: int = 32  # windows
    validation: int = 28  # last days, kept for early stopping; 0: all steps, at most ten passes over the windows
    patience: int = 5  # evaluations without gain before training stops
    precision: str = "float32"  # of training: float32, bfloat16 (mixed); forecasts are float32
    seed: int = 0
    device: str = "auto"  # auto (CUDA where there is one), cpu, cuda, cuda:1, ...
    checkpoints: str = ""  # folder from which a training that was killed goes on; "" = none
    tensorboard: str = ""  # folder of the training's curves; "" = none
    progress: bool = True  # progress bar

    # As the sequence model's, but fewer windows: these networks are large. LoRA as in Chronos-2's own fine-tuning.
    validation_windows: ClassVar = 500
    rank: ClassVar = 8
    alpha: ClassVar = 16.0
    adapter_dropout: ClassVar = 0.0
    optimizer: ClassVar = "adamw"
    schedule: ClassVar = "cosine"
    weight_decay: ClassVar = 0.01

    def __post_init__(self):
        check_fields(self)
        if not self.checkpoint.strip() or "\0" in self.checkpoint:
            raise FieldError("checkpoint", self.checkpoint, "a hub name or the path of a folder")
        if self.method not in ("full", "lora"):
            raise FieldError("method", self.method, "full or lora")


class HubNetwork(nn.Module):
    """A public model behind the interface of `network.PatchEncoder`: batches in, quantiles at LEVELS out.

    Between the model's own levels the quantile function is linear; below its first it stays there, above its last it
    goes on as an exponential tail, `upper` being its mean excess in spreads as `Dependence.tail` is for the last of
    LEVELS. No gradient comes from levels that are not the model's own.
    """

    def __init__(self, model: nn.Module, levels: list[float], own_horizon: int, planned: bool):
        """`levels` (Q,) are the model's own, `own_horizon` the largest number of days of one forward pass."""
        super().__init__()
        self.model, self.own_horizon, self.planned = model, own_horizon, planned
        place = np.interp(LEVELS, levels, np.arange(len(levels)))
        self.last = max(k for k, level in enumerate(LEVELS) if k == 0 or level <= levels[-1] + 1e-6)
        beyond = [math.log((1 - LEVELS[self.last]) / (1 - level)) for level in LEVELS]
        own = [levels[0] - 1e-6 <= level <= LEVELS[self.last] for level in LEVELS]
        for name, value in {
            "low": torch.from_numpy(np.floor(place).astype(int)),
            "high": torch.from_numpy(np.ceil(place).astype(int)),
            "share": torch.from_numpy(place % 1).float(),
            "beyond": torch.tensor(beyond).clamp(min=0),
            "own": torch.tensor(own),
        }.items():
            self.register_buffer(name, value, persistent=False)
        self.register_buffer("upper", torch.tensor(Dependence.tail))

    @abstractmethod
    def passed(self, units: torch.Tensor, rows: torch.Tensor, horizon: int) -> torch.Tensor:
        """One forward pass: own quantiles in units (B, horizon, Q), up to `own_horizon` days."""

    @abstractmethod
    def unrolled(self, units: torch.Tensor, rows: torch.Tensor, horizon: int) -> torch.Tensor:
        """Own quantiles in units (B, horizon, Q) for more days than that."""

    def forward(self, batch: Batch) -> torch.Tensor:
        """Quantiles of asinh(units / scale) at LEVELS, (B, 7 * F, Q), rising."""
        units, rows = _series(batch, self.planned)
        horizon, scale = batch.target.shape[1], batch.scale[:, None, None]
        parts = [
            self._own(units[low : low + _WINDOWS], rows[low : low + _WINDOWS], horizon)
            for low in range(0, len(units), _WINDOWS)
        ]
        return torch.asinh(self._at_levels(torch.cat(parts).float(), scale) / scale)

    def _own(self, units: torch.Tensor, rows: torch.Tensor, horizon: int) -> torch.Tensor:
        near = self.passed(units, rows, min(horizon, self.own_horizon))
        if horizon <= self.own_horizon:
            return near
        with torch.no_grad():
            far = self.unrolled(units, rows, horizon)
        return torch.cat([near, far[:, self.own_horizon :].to(near)], dim=1)

    def _at_levels(self, own: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
        own = own.sort(dim=-1).values
        inside = own[..., self.low] + self.share * (own[..., self.high] - own[..., self.low])
        beyond = self.upper * self._spread(inside, scale) * self.beyond
        return torch.where(self.own, inside, (inside + beyond).detach())

    def _spread(self, quantiles: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
        """The unit of the tail, (B, H, 1): see `distribution._spread`."""
        return quantiles[..., self.last, None] - quantiles[..., _MEDIAN, None] + 0.1 * scale

    def fit_tail(self, quantiles: torch.Tensor, scale: torch.Tensor, units: torch.Tensor) -> None:
        """Fit `upper` on past windows, as `distribution.calibrate` fits the tail, whose arguments these are."""
        excess = units - quantiles[..., self.last]
        above = excess > 0  # False where NaN
        if above.any():
            spread = self._spread(quantiles, scale[..., None])[..., 0]
            self.upper.fill_(mean_excess(excess[above], spread[above], scale[above]))


def _series(batch: Batch, planned: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """Units (B, T), NaN = not observed, and covariates (B, K, T + H).

    The covariates are log price ratio, promotion, closed, holiday, and the panel's own. They begin with an item's first
    observed day, NaN before; NaN in the horizon, what is not known there.
    """
    days = torch.cat([batch.past, batch.future], dim=1).unflatten(2, (PATCH, CHANNELS)).flatten(1, 2)
    z, observed = days[..., NAMES.index("units")], days[..., NAMES.index("observed")]
    slots = torch.nonzero(batch.filled[0])[:, 0].tolist()
    channels = [NAMES.index(name) for name in ("price", "promotion", "closed", "holiday")]
    channels += [NAMES.index("covariate") + slot for slot in slots]  # past ones come right after
    rows = days[..., channels].transpose(1, 2)
    rows = torch.where(observed.cumsum(dim=1)[:, None] > 0, rows, torch.nan)
    past = PATCH * batch.past.shape[1]
    hidden = ("past covariate",) if planned else ("past covariate", "covariate", "price", "promotion")
    rows[:, [row for row, channel in enumerate(channels) if NAMES[channel] in hidden], past:] = torch.nan
    units = torch.where(observed > 0, z.sinh() * batch.scale[:, None], torch.nan)
    return units[:, :past], rows


class ChronosBolt(HubNetwork):
    def __init__(self, model: nn.Module, planned: bool):
        config = model.chronos_config
        super().__init__(model, config.quantiles, config.prediction_length, planned)

    def passed(self, units: torch.Tensor, rows: torch.Tensor, horizon: int) -> torch.Tensor:
        return self.model(context=units).quantile_preds.transpose(1, 2)[:, :horizon]

    def unrolled(self, units: torch.Tensor, rows: torch.Tensor, horizon: int) -> torch.Tensor:
        pipeline = needs("chronos", "hub").ChronosBoltPipeline(self.model)
        return pipeline.predict(units, horizon).transpose(1, 2)


class Chronos2(HubNetwork):
    def __init__(self, model: nn.Module, planned: bool):
        config = model.chronos_config
        super().__init__(model, config.quantiles, config.max_output_patches * config.output_patch_size, planned)

    def _stacked(self, units: torch.Tensor, rows: torch.Tensor, horizon: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Past (B, 1 + K, T) and future (B, 1 + K, horizon) of a group: the units, then their covariates."""
        days = units.shape[1]
        future = rows[..., days : days + horizon]
        unknown = torch.full_like(future[:, :1], torch.nan)
        return torch.cat([units[:, None], rows[..., :days]], dim=1), torch.cat([unknown, future], dim=1)

    def passed(self, units: torch.Tensor, rows: torch.Tensor, horizon: int) -> torch.Tensor:
        past, future = self._stacked(units, rows, horizon)
        size = self.model.chronos_config.output_patch_size
        patches = -(-horizon // size)
        future = nn.functional.pad(future, (0, patches * size - horizon), value=torch.nan)
        group = torch.arange(len(units), device=units.device).repeat_interleave(past.shape[1])
        output = self.model(
            context=past.flatten(0, 1),
            group_ids=group,
            future_covariates=future.flatten(0, 1),
            num_output_patches=patches,
        )
        return output.quantile_preds[:: past.shape[1], :, :horizon].transpose(1, 2)

    def unrolled(self, units: torch.Tensor, rows: torch.Tensor, horizon: int) -> torch.Tensor:
        past, future = (part.cpu() for part in self._stacked(units, rows, horizon))
        covariates = past.shape[1] - 1
        counts = {"n_targets": 1, "n_covariates": covariates, "n_future_covariates": covariates}
        inputs = [{"context": p, "future_covariates": f, **counts} for p, f in zip(past, future, strict=True)]
        pipeline = needs("chronos", "hub").Chronos2Pipeline(self.model)
        return torch.cat(pipeline.predict(inputs, horizon, batch_size=past.shape[1] * _WINDOWS)).transpose(1, 2)


class TimesFm(HubNetwork):
    def __init__(self, model: nn.Module, planned: bool):
        super().__init__(model, list(model.config.quantiles), model.config.horizon_length, planned)

    def _output(self, series: list[torch.Tensor], days: int):
        """`days` is the length of all windows: what a series is padded to does not depend on the others."""
        patch, longest = self.model.config.patch_length, self.model.config.context_length
        length = min(longest, -(-days // patch) * patch)
        return self.model(past_values=series, forecast_context_len=length, truncate_negative=False)

    def passed(self, units: torch.Tensor, rows: torch.Tensor, horizon: int) -> torch.Tensor:
        return self._output(_without_gaps(units), units.shape[1]).full_predictions[:, :horizon, 1:]

    def unrolled(self, units: torch.Tensor, rows: torch.Tensor, horizon: int) -> torch.Tensor:
        series, parts = _without_gaps(units), []
        for ahead in range(0, horizon, self.own_horizon):
            output = self._output(series, units.shape[1] + ahead)
            parts.append(output.full_predictions[..., 1:])
            series = [torch.cat(pair) for pair in zip(series, output.mean_predictions, strict=True)]
        return torch.cat(parts, dim=1)[:, :horizon]


def _without_gaps(units: torch.Tensor) -> list[torch.Tensor]:
    """Each item from its first observed day on, gaps filled in linearly, the last value held; 0 where there is none."""
    series = []
    for row in units.cpu().numpy():
        seen = np.flatnonzero(~np.isnan(row))
        days = np.arange(seen[0], len(row)) if len(seen) else []
        filled = np.interp(days, seen, row[seen]) if len(seen) else np.zeros(1)
        series.append(torch.from_numpy(filled).to(units))
    return series


# The architecture that a checkpoint's config names -> (module of its class, network)
FAMILIES = {
    "ChronosBoltModelForForecasting": ("chronos.chronos_bolt", ChronosBolt),
    "Chronos2Model": ("chronos.chronos2", Chronos2),
    "TimesFmModelForPrediction": ("transformers", TimesFm),
    "TimesFm2_5ModelForPrediction": ("transformers", TimesFm),
}


class Hub(Transformer):
    """See the module's docstring. `fit` is `fine_tune`: one shop's days do not train such a network anew.

    Raises FieldError when the checkpoint is not available, of no known family, or lacks weights.
    """

    name = "hub"
    Params = HubParams

    def __init__(self, params: HubParams | None = None, architecture: dict | None = None):
        """`architecture`: the config of the network, for one whose weights are loaded afterwards."""
        self.architecture = architecture
        super().__init__(params)

    def _start(self) -> None:
        if self.architecture is None:
            self.network = self._download()

    def _download(self) -> HubNetwork:
        name = self.params.checkpoint
        transformers = needs("transformers", "hub")
        try:
            self.architecture, _ = transformers.PreTrainedConfig.get_config_dict(name)
            cls, network = self._classes()
            # Chronos-Bolt would have its patch embeddings missing and drawn at random.
            strict = type(cls.__name__, (cls,), {"_keys_to_ignore_on_load_missing": []})
            model, report = strict.from_pretrained(
                name, config=self._config(cls), dtype=torch.float32, use_safetensors=True, output_loading_info=True
            )
            if report["missing_keys"]:
                raise ValueError(f"it lacks the weights {', '.join(sorted(report['missing_keys'])[:3])}")
        except _NOT_READABLE as error:
            reason = str(error).strip().partition("\n")[0]
            allowed = f"the hub name and the folder of a {', '.join(FAMILIES)}"
            raise FieldError("checkpoint", name, f"{allowed}; {reason}") from None
        return network(model, self.params.planned)

    def _classes(self) -> tuple[type, type[HubNetwork]]:
        named = (self.architecture.get("architectures") or ["model of no name"])[0]
        if named not in FAMILIES:
            raise ValueError(f"it is a {named}")
        module, network = FAMILIES[named]
        return getattr(needs(module, "hub"), named), network

    def _config(self, cls: type):
        """The config of the network, but for how attention is computed: that can name code to be fetched."""
        plain = {key: value for key, value in self.architecture.items() if "implementation" not in key}
        try:
            return cls.config_class.from_dict(plain)
        except needs("huggingface_hub.errors", "hub").StrictDataclassError as error:
            raise ValueError(" ".join(str(error).split())) from None

    def _new_network(self) -> HubNetwork:
        cls, network = self._classes()
        return network(cls(self._config(cls)), self.params.planned)

    def _days_ahead(self, known: Known) -> int:
        return known.horizon

    def _forecast(self, history: Panel, known: Known) -> tuple[torch.Tensor, torch.Tensor]:
        names = [*history.covariates, *history.past_covariates]
        if names and not isinstance(self.network, Chronos2):
            family = type(self.network.model).__name__
            warnings.warn(f"{family} sees units alone: covariates {', '.join(names)} are not used", stacklevel=3)
        return super()._forecast(history, known)

    def fit(self, panel: Panel) -> "Hub":
        return self.fine_tune(panel)

    def _calibrate(self, panels: list[Windows]) -> None:
        windows = self._past_forecasts(panels)
        if windows and self.network.last < len(LEVELS) - 1:
            self.network.fit_tail(*windows)
        super()._calibrate(panels)

    def _content(self) -> tuple[bytes, dict]:
        weights, config = super()._content()
        return weights, config | {"architecture": self.architecture}

    @classmethod
    def _empty(cls, config: dict) -> "Hub":
        architecture = config["architecture"]
        if not isinstance(architecture, dict):
            raise FieldError("architecture", architecture, "the config of a network")
        return cls(HubParams(**config["params"]), architecture)
