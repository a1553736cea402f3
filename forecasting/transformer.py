"""The sequence model: a small T5 encoder over weekly patches, pre-trained on synthetic series, fine-tuned on a panel.

Patches of past units in scaled arcsinh space in, quantiles out, as Chronos-Bolt does (Ansari et al. 2024,
arXiv:2403.07815), with covariates by patch; docs/forecasting.md has the whole picture.
"""

import copy
import hashlib
import json
from dataclasses import asdict, replace
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors

from ..data import Panel
from ..device import device_of
from ..errors import FieldError
from ..learning.adaptation import RATES, add_adapters, has_adapters
from ..learning.base import write_atomic
from ..learning.params import NOT_THE_RESULT
from ..reading import read_bytes
from .base import Known, check_inputs, read_config
from .distribution import Dependence, calibrate
from .network import PatchEncoder
from .params import CHECKPOINTS, TransformerParams
from .quantile import QuantileForecaster
from .training import Plan, train
from .windows import LEAST_OBSERVED, PATCH, Windows, year_of

ARCHITECTURE = ("d_model", "layers", "heads", "d_ff", "context", "horizon")
_KNOWN_RATE = 1e-2  # highest learning rate of network.KnownEffect, which starts from nothing
_BESIDE_KNOWN = 1 / 3  # of their rate, for the weights beside it: on a short panel they overfit to single weeks
_PASSES = 10  # over the panel's windows, at most, where no validation says when to stop
_PASSES_KNOWN = 25  # where KnownEffect is to be learnt
_BATCH = 2048  # windows per forward pass when predicting
_CALIBRATION_ORIGINS, _CALIBRATION_WINDOWS = 6, 600


class Transformer(QuantileForecaster):
    """See the module's docstring. Untrained, it forecasts with the pre-trained weights (zero-shot)."""

    name = "transformer"
    Params = TransformerParams

    def __init__(self, params: TransformerParams | None = None):
        super().__init__(params)
        self.network: PatchEncoder | None = None
        self.history: list[dict] = []  # a row per evaluation of the last training: step, train and validation loss
        self.trained_weights = 0  # numbers that the last training could change
        self.trained_until = ""  # last day of the panel trained on, YYYY-MM-DD; "" = none
        self.year = True  # whether the last training read the year: see `year_of`
        self.steps: int | None = None  # that were best by the validation days; None: they were not asked
        self._known_steps: int | None = None
        self._start()

    def _start(self) -> None:
        """The weights that are there before any training."""
        name = self.params.pretrained
        if not name:
            return
        source = Transformer.load(CHECKPOINTS / name)
        for field in ARCHITECTURE:
            mine, theirs = getattr(self.params, field), getattr(source.params, field)
            if mine != theirs:
                raise FieldError(field, mine, f"{theirs}, as checkpoint {name!r} has, or pretrained='' to train anew")
        self.network, self.dependence = source.network, source.dependence

    def _new_network(self) -> PatchEncoder:
        p = self.params
        return PatchEncoder(p.d_model, p.layers, p.heads, p.d_ff, p.dropout)

    @property
    def device(self) -> torch.device:
        return device_of(self.params.device)

    def fit(self, panel: Panel) -> "Transformer":
        """Train from scratch on the panel. Raises ValueError when the panel is too short or holds no sale."""
        windows = self._training_windows(panel)
        self._begin()
        return self._train(panel, windows, self._plan(self.params.learning_rate, self.params.steps, dropout=True))

    def fit_windows(self, panels: list[Windows]) -> "Transformer":
        """Train from scratch on several panels, one of them at each step: pre-training, whose weights are the best."""
        self._begin()
        plan = self._plan(self.params.learning_rate, self.params.steps, dropout=True)
        self.network.to(self.device)
        self.history, self.trained_weights, file = train(self.network, panels, self.params, plan)
        self._calibrate(panels)
        if file:
            file.unlink(missing_ok=True)
        return self

    def _begin(self) -> None:
        with torch.random.fork_rng():
            torch.manual_seed(self.params.seed)
            self.network = self._new_network()

    def fine_tune(self, panel: Panel) -> "Transformer":
        """Go on from the weights that are there, pre-trained or of an earlier fit; without any this is `fit`.

        Without dropout: weights made without it lose more to it at first than a fine-tuning gains.
        """
        if self.network is None:
            return self.fit(panel)
        windows = self._training_windows(panel)
        if self.params.planned and self.params.fine_tune_steps and isinstance(self.network, PatchEncoder):
            with torch.random.fork_rng():
                torch.manual_seed(self.params.seed)
                self.network.add_known(windows.covariate_units())
        return self._train(panel, windows, self._fine_tuning())

    def update(self, panel: Panel, replay: float = 0.5) -> "Transformer":
        """Go on from the last training on the days that have arrived since; `panel` holds the earlier days too.

        New are the days after the last training's panel, and the `validation` days before them. A share `replay` of
        each batch's windows is drawn from older days (experience replay, Rolnick et al. 2019, arXiv:1811.11682), so
        that what held there is not unlearned. Raises ValueError when there was no training on a panel, or no day is
        new.
        """
        if type(replay) not in (int, float) or not 0 <= replay < 1:
            raise FieldError("replay", replay, "a number from 0 to below 1")
        if not self.trained_until:
            raise ValueError("the model was not trained on a panel: call fine_tune or fit before update")
        known = int((panel.dates <= self.trained_until).sum())
        if known == len(panel.dates):
            raise ValueError(
                f"the panel ends on {panel.dates[-1].date()}: update needs days after {self.trained_until}"
            )
        plan = self._fine_tuning(new_from=known - self.params.validation, replay=replay)
        return self._train(panel, self._training_windows(panel), plan)

    def _fine_tuning(self, **more) -> Plan:
        p = self.params
        new = {"known": _KNOWN_RATE} if getattr(self.network, "known", None) else {}
        rate = p.fine_tune_learning_rate * RATES[p.method]
        return self._plan(rate * (_BESIDE_KNOWN if new else 1), p.fine_tune_steps, method=p.method, new=new, **more)

    def _plan(self, learning_rate: float, steps: int, **more) -> Plan:
        return Plan(learning_rate, steps, validation=self.params.validation, **more)

    @property
    def least_days(self) -> int:
        return LEAST_OBSERVED + self.params.validation + PATCH

    def _training_windows(self, panel: Panel) -> Windows:
        self._check_panel(panel, f"{LEAST_OBSERVED} observed, {PATCH} ahead, {self.params.validation} for validation")
        self.year = year_of(panel)
        return Windows(panel, self.params.context, self.params.horizon, self.params.planned, year=self.year)

    def take_over(self, early: "QuantileForecaster") -> None:
        self._known_steps = early.steps if isinstance(early, Transformer) else None

    def _train(self, panel: Panel, windows: Windows, plan: Plan) -> "Transformer":
        """The validation days decide how many steps are best; that many are made anew, from the start, on all days.

        Without such days all steps are made, up to `_PASSES` passes over the windows.
        """
        start = copy.deepcopy(self.network.to(self.device))
        known, self._known_steps = self._known_steps, None  # of this training alone
        if plan.validation and known is not None and plan.new_from is None:
            plan = replace(plan, validation=0, stop=known)
        elif not plan.validation:
            windows_there = len(windows.origins(0, windows.days - PATCH + 1)[0])
            passes = _PASSES_KNOWN if getattr(self.network, "known", None) else _PASSES
            limit = max(1, passes * windows_there // self.params.batch_size)
            plan = replace(plan, steps=min(plan.steps, limit))
        self.history, self.trained_weights, *files = train(self.network, [windows], self.params, plan)
        if plan.validation:
            self.steps = best = min(self.history, key=lambda row: row["validation_loss"])["step"]
            self.network = start
            if best:
                files += train(start, [windows], self.params, replace(plan, validation=0, stop=best))[2:]
        self._calibrate([windows])
        self.trained_until = str(panel.dates[-1].date())
        for file in filter(None, files):
            file.unlink(missing_ok=True)
        return self

    def _calibrate(self, panels: list[Windows]) -> None:
        """Tail and copula."""
        if windows := self._past_forecasts(panels):
            self.dependence = calibrate(*windows, self.params.seed)

    def _past_forecasts(self, panels: list[Windows]) -> tuple[torch.Tensor, ...]:
        """Of the last half year: quantiles (B, H, Q), scales and units (B, H), NaN = not observed; () if none."""
        generator = torch.Generator().manual_seed(self.params.seed)
        parts = []
        for windows in panels:
            last = windows.days - self.params.horizon
            starts = [last - self.params.horizon * k for k in range(_CALIBRATION_ORIGINS)]
            pairs = [windows.origins(start, start + 1) for start in starts if start >= LEAST_OBSERVED]
            if not pairs:
                continue
            item, origin = (torch.cat(column) for column in zip(*pairs, strict=True))
            chosen = torch.randperm(len(item), generator=generator)[: max(1, _CALIBRATION_WINDOWS // len(panels))]
            item, origin = item[chosen], origin[chosen]
            quantiles, scale = self._quantiles(windows, item, origin)
            parts.append((quantiles, scale, windows.batch(item, origin).target.sinh() * scale))
        return tuple(torch.cat(column) for column in zip(*parts, strict=True))

    @torch.inference_mode()
    def _quantiles(
        self, windows: Windows, item: torch.Tensor, origin: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Quantiles in units (B, H, Q), rising and non-negative, and scales (B, H); both 0 on closed days."""
        self.network.to(self.device).eval()
        quantiles, scales = [], []
        for low in range(0, len(item), _BATCH):
            batch = windows.batch(item[low : low + _BATCH], origin[low : low + _BATCH])
            z = self.network(batch.to(self.device)).cpu().sort(dim=-1).values.clamp(min=0)
            scales.append(batch.scale[:, None] * ~batch.closed)
            quantiles.append(z.sinh() * scales[-1][..., None])
        return torch.cat(quantiles), torch.cat(scales)

    def _days_ahead(self, known: Known) -> int:
        """What a window's future is to hold."""
        return self.params.horizon

    def _past(self, history: Panel) -> Panel:
        return history.window(max(0, len(history.dates) - self.params.context), len(history.dates))

    def _forecast(self, history: Panel, known: Known) -> tuple[torch.Tensor, torch.Tensor]:
        check_inputs(history, known, least=self.least_history)
        if self.network is None:
            raise ValueError("the model has no weights: call fit, or name a pre-trained checkpoint")
        if known.horizon > self.params.horizon:
            raise ValueError(f"the horizon is {known.horizon} days: the model was trained for {self.params.horizon}")
        past = self._past(history)
        windows = Windows(past, self.params.context, self._days_ahead(known), self.params.planned, known, self.year)
        item = torch.arange(windows.items)
        quantiles, scale = self._quantiles(windows, item, torch.full_like(item, windows.days))
        return quantiles[:, : known.horizon], scale[:, : known.horizon]

    def _content(self) -> tuple[bytes, dict]:
        if self.network is None:
            raise ValueError("the model has no weights to save: call fit first")
        state = {name: value.detach().cpu().clone().contiguous() for name, value in self.network.state_dict().items()}
        weights = save_tensors(state)
        config = {
            "forecaster": self.name,
            "params": asdict(self.params),
            "dependence": asdict(self.dependence),
            "trained_until": self.trained_until,
            "year": self.year,
            "weights_sha256": hashlib.sha256(weights).hexdigest(),
        }
        return weights, config

    def fingerprint(self) -> str:
        config = self._content()[1]
        for name in NOT_THE_RESULT:
            del config["params"][name]
        return hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()

    def save(self, folder: str | Path) -> None:
        """`model.safetensors` and `config.json`, which holds the checksum of the weights and is written last."""
        weights, config = self._content()
        write_atomic(Path(folder) / "model.safetensors", weights)
        write_atomic(Path(folder) / "config.json", json.dumps(config, indent=1).encode())

    @classmethod
    def _empty(cls, config: dict) -> "Transformer":
        """A model of the parameters in `config`, without weights."""
        model = cls(cls.Params(**{**config["params"], "pretrained": ""}))
        model.params.pretrained = config["params"]["pretrained"]
        return model

    @classmethod
    def load(cls, folder: str | Path) -> "Transformer":
        config = read_config(folder)
        if config["forecaster"] != cls.name:
            raise ValueError(f"{folder} holds a {config['forecaster']!r}, not a {cls.name!r}")
        try:
            weights = read_bytes(Path(folder) / "model.safetensors")
            if hashlib.sha256(weights).hexdigest() != config["weights_sha256"]:
                raise ValueError("model.safetensors does not have the checksum in config.json")
            model = cls._empty(config)
            model.dependence = Dependence(**config["dependence"])
            model.trained_until, model.year = config.get("trained_until", ""), config.get("year", True)
            model.network, state = model._new_network(), load_tensors(weights)
            if "known.units" in state:
                model.network.add_known(state["known.units"])
            if has_adapters(state):
                add_adapters(model.network, model.params.rank, model.params.adapter_dropout)
            model.network.load_state_dict(state)
        except (OSError, AttributeError, KeyError, TypeError, ValueError, RuntimeError, SafetensorError) as error:
            raise ValueError(f"{folder} holds no usable {cls.name}: {error}") from None
        return model
