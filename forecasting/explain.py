"""What drove a forecast: parts of it, in units, that features and past days have in it, and add up to it.

LightGBM: exact TreeSHAP (Lundberg et al. 2020, Nature Machine Intelligence 2). The sequence model: integrated gradients
(Sundararajan, Taly & Yan 2017, arXiv:1703.01365) by Captum, from a plain history to the item's own. Both explain the
model, not the world: of features that go together one may have what is the other's due.
"""

from dataclasses import replace

import numpy as np
import pandas as pd
import torch

from ..data import Panel
from ..errors import FieldError
from ..learning.base import needs
from .base import Forecaster, Known, check_inputs
from .cold_start import new_items
from .distribution import at_levels, mean
from .gradient_boosting import GradientBoosting, feature_names
from .transformer import Transformer
from .windows import CHANNELS, COVARIATES, NAMES, PATCH, Windows

_LEVELS = ("units", "store")  # channels that are asinh(1) on a day like the days before
_AS_THEY_ARE = ("observed", "price known", "days ahead")  # channels that the baseline shares
_STEPS = 128  # of the integral
_STEPS_AT_ONCE = 64


def explain(
    forecaster: Forecaster, history: Panel, known: Known, item: str, first: int = 1, last: int = 0, level=None
) -> pd.DataFrame:
    """What one item's forecast, summed over days ahead `first` .. `last` (0: all), is made of.

    The forecast is the mean (`level` None) or the quantile at `level` of each day, summed, before rounding to whole
    units. Columns: feature; date, of the day that the feature is of (NaT: of the item or the whole horizon); value, the
    feature's; attribution, in units. The attributions sum to the forecast. The first row, "baseline", is what the model
    says without any of them: for `lightgbm` the mean over its training rows at the item's level; for `transformer` the
    forecast of an item that sold its level (mean of 56 days) on each day observed, at its usual price, without
    promotion, holiday or closed day, at the usual value of each covariate, in a store that sold as ever, on no
    particular weekday or day of the year ("season", of the whole horizon). "not attributed": what quantiles cut at 0
    are above the trees' own; what the integral's numerical error is.

    Raises ValueError for an unknown item, days outside the horizon, a level outside (0, 1), another forecaster, or an
    item without an observed day (the sequence model's forecast of it is a mixture of others).
    """
    check_inputs(history, known, (0.5 if level is None else level,))
    last = last or known.horizon
    if item not in history.items:
        raise FieldError("item", item, f"an item of the panel, such as {', '.join(history.items[:3])}")
    if not 1 <= first <= last <= known.horizon:
        raise FieldError("first, last", (first, last), f"days in 1 .. {known.horizon}, in order")
    if forecaster.name not in EXPLAINED:
        raise FieldError("forecaster", forecaster.name, f"one of {', '.join(EXPLAINED)}")
    column, days = history.items.index(item), slice(first - 1, last)
    rows = EXPLAINED[forecaster.name](forecaster, history, known, column, days, level)
    return pd.DataFrame(rows, columns=["feature", "date", "value", "attribution"]).astype({"date": "datetime64[ns]"})


def _read(forecaster, quantiles: torch.Tensor, scale: torch.Tensor, level: float | None) -> torch.Tensor:
    """The mean or the quantile at `level` (B, H) of quantiles at LEVELS (B, H, Q)."""
    tail = forecaster.dependence.tail
    if level is None:
        return mean(quantiles, scale, tail)
    return at_levels(quantiles, scale, tail, quantiles.new_full((*scale.shape, 1), level))[..., 0]


def _trees(model: GradientBoosting, history: Panel, known: Known, column: int, days: slice, level) -> list[tuple]:
    features, parts, scales = model.contributions(history, known, column)
    features, parts, scales, dates = features[days], parts[days], scales[days], known.dates[days]
    raw = parts.sum(axis=-1)
    order = raw.argsort(axis=-1)
    parts = np.take_along_axis(parts, order[..., None], axis=1) * scales[:, None, None]
    raw = np.take_along_axis(raw, order, axis=1) * scales[:, None]
    # The forecast is linear in the quantiles: their weights are its gradient.
    quantiles = torch.from_numpy(raw.clip(min=0.0))[None].requires_grad_()
    forecast = _read(model, quantiles, torch.from_numpy(scales)[None], level).sum()
    (weight,) = torch.autograd.grad(forecast, quantiles)
    weight = weight[0].numpy()
    by_day = np.einsum("hq,hqf->hf", weight, parts)  # (H, F + 1)
    cut = float((weight * (raw.clip(min=0.0) - raw)).sum())
    rest = float(forecast.detach()) - float((weight * quantiles.detach().numpy()[0]).sum())  # of the tail, by the scale
    names = feature_names(history, model.params.planned)
    of_item = names.index("days ahead")
    rows = [("baseline", None, np.nan, float(by_day[:, -1].sum()) + rest)]
    rows += [(names[k], None, features[0, k], by_day[:, k].sum()) for k in range(of_item)]
    rows += [
        (names[k], date, features[h, k], by_day[h, k])
        for k in range(of_item, len(names))
        for h, date in enumerate(dates)
    ]
    return [*rows, ("not attributed", None, np.nan, cut)]


def _network(model: Transformer, history: Panel, known: Known, column: int, days: slice, level) -> list[tuple]:
    IntegratedGradients = needs("captum.attr", "explain").IntegratedGradients
    past = model._past(history)
    model._forecast(history, known)  # its checks; the network is on its device, without dropout
    if any(column in new for new, _ in new_items(past)):
        raise ValueError(f"item {history.items[column]!r} has no observed day: its forecast is a mixture of others'")
    windows = Windows(past, model.params.context, model.params.horizon, model.params.planned, known, model.year)
    own = windows.batch(torch.tensor([column]), torch.tensor([windows.days])).to(model.device)
    scale = own.scale[:, None] * ~own.closed

    def forecast(before, ahead, summary, covariates=own.covariates) -> torch.Tensor:
        seen = own.seen.expand(len(before), -1)
        batch = replace(own, past=before, future=ahead, seen=seen, summary=summary, covariates=covariates)
        z = model.network(batch).sort(dim=-1).values.clamp(min=0)
        scales = scale.expand(len(before), -1)
        return _read(model, z.sinh() * scales[..., None], scales, level)[:, days].sum(dim=1)

    inputs = own.past, own.future, own.summary
    plain = _plain(own.past, past=True), _plain(own.future, past=False), own.summary.clone()
    plain[2][:, -7:] = 1 / 7
    if model.network.known:
        usual = own.covariates[..., :COVARIATES] - own.covariates[..., COVARIATES:]
        inputs, plain = (*inputs, own.covariates), (*plain, torch.cat([usual, torch.zeros_like(usual)], dim=-1))
    attributions = IntegratedGradients(forecast).attribute(
        inputs, plain, n_steps=_STEPS, internal_batch_size=_STEPS_AT_ONCE, method="gausslegendre"
    )
    with torch.no_grad():
        whole, baseline = float(forecast(*inputs)), float(forecast(*plain))
    parts = torch.cat(attributions[:2], dim=1).unflatten(2, (PATCH, CHANNELS)).flatten(1, 2)[0].cpu().numpy()  # (T, C)
    first_day = known.dates[0]
    rows = [("baseline", None, np.nan, baseline), ("weekday", first_day, first_day.dayofweek, attributions[2].sum())]
    first, past_days = NAMES.index("covariate"), PATCH * own.past.shape[1]
    for part in attributions[3:]:
        parts[past_days:, first : first + COVARIATES] += part[0].unflatten(1, (2, COVARIATES)).sum(dim=1).cpu().numpy()
    wave = [channel for channel, name in enumerate(NAMES) if name == "wave"]
    rows.append(("season", None, np.nan, parts[:, wave].sum()))
    rows += _rows_of_days(model, parts, windows, past, known, column)
    rows = [(name, date, float(value), float(part)) for name, date, value, part in rows]
    return [*rows, ("not attributed", None, np.nan, whole - sum(row[3] for row in rows))]


def _plain(patches: torch.Tensor, past: bool) -> torch.Tensor:
    """Patches without news: units at the scale where observed, the usual price, no promotion, holiday or closed day."""
    days = patches.unflatten(2, (PATCH, CHANNELS)).clone()
    observed = days[..., NAMES.index("observed")].clone()
    for channel, name in enumerate(NAMES):
        if name not in _AS_THEY_ARE:
            days[..., channel] = observed * np.arcsinh(1.0) if past and name in _LEVELS else 0.0
    return days.flatten(2)


def _rows_of_days(model, parts: np.ndarray, windows: Windows, past: Panel, known: Known, column: int) -> list[tuple]:
    """Rows of the days that panel and horizon have, from the parts (T, C) of the context and the days after it."""
    start, days = windows.before - len(past.dates), len(past.dates) + known.horizon

    def joined(before: np.ndarray, ahead: np.ndarray) -> np.ndarray:
        return np.concatenate([before, ahead if model.params.planned else np.full(known.horizon, np.nan)])

    values = {
        "units": past.units[:, column],
        "store": windows.store[windows.before :][: len(past.dates)].numpy(),
        "price": joined(past.price[:, column], known.price[:, column]),
        "promotion": joined(past.promo[:, column], known.promo[:, column]),
        "closed": np.concatenate([past.closed, known.closed]),
        "holiday": np.concatenate([past.holiday, known.holiday]),
    }
    channels = [(name, NAMES.index(name), column_of_days) for name, column_of_days in values.items()]
    for slot, (name, table) in enumerate(past.covariates.items()):
        both = joined(table[:, column], known.covariates[name][:, column])
        channels.append((name, NAMES.index("covariate") + slot, both))
    for slot, (name, table) in enumerate(past.past_covariates.items()):
        channels.append((name, NAMES.index("past covariate") + slot, table[:, column]))
    dates, parts = past.dates.append(known.dates), parts[start : start + days]
    return [
        (name, dates[day], value, parts[day, channel])
        for name, channel, column_of_days in channels
        for day, value in enumerate(column_of_days)
    ]


EXPLAINED = {GradientBoosting.name: _trees, Transformer.name: _network}
