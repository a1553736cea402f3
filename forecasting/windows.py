"""A panel cut into windows for the sequence model: past patches, future patches, targets, all in scaled units.

Training and prediction take their windows here, so that they cannot differ. Units enter a window from the days
before its origin only; the days from the origin on give covariates, and targets that the model never sees.
"""

from dataclasses import dataclass, fields

import numpy as np
import torch

from ..data import Panel
from ..errors import FieldError
from .base import Known
from .censored import demand_of
from .params import PATCH

SCALE_DAYS = 56  # days whose mean is the scale
COVARIATES, PAST_COVARIATES = 4, 2  # slots for a panel's own
# Of a day, in this order; `store`: all items' sales; `wave`: sine and cosine of the year and of half of it.
NAMES = ("units", "observed", "price", "price known", "promotion", "closed", "holiday", "days ahead", "store")
NAMES += ("wave",) * 4 + ("covariate",) * COVARIATES + ("past covariate",) * PAST_COVARIATES
CHANNELS = len(NAMES)
SUMMARY = 9  # log scale, log days observed, weekday of the origin (one of seven; none in a weekly panel)
LEAST_OBSERVED = 14  # days an item must have been observed before a training origin


@dataclass
class Batch:
    """`B` windows of `P` past and `F` future patches."""

    past: torch.Tensor  # (B, P, 7 * CHANNELS)
    future: torch.Tensor  # (B, F, 7 * CHANNELS)
    seen: torch.Tensor  # (B, P) bool, patches with an observed day
    summary: torch.Tensor  # (B, SUMMARY)
    scale: torch.Tensor  # (B,) units/day
    target: torch.Tensor  # (B, 7 * F) asinh(units / scale), NaN = not observed, closed or not there
    closed: torch.Tensor  # (B, 7 * F) bool
    filled: torch.Tensor  # (B, COVARIATES + PAST_COVARIATES) bool, slots that the panel has a covariate for
    covariates: torch.Tensor  # (B, 7 * F, 2 * COVARIATES) of the horizon: values, values less the usual; 0 = not known

    @classmethod
    def concatenate(cls, batches: "list[Batch]") -> "Batch":
        return cls(**{f.name: torch.cat([getattr(batch, f.name) for batch in batches]) for f in fields(cls)})

    def to(self, device: torch.device) -> "Batch":
        return Batch(**{f.name: getattr(self, f.name).to(device) for f in fields(self)})


class Windows:
    """The arrays of a panel, padded by a context of missing days in front and a horizon behind."""

    def __init__(
        self, panel: Panel, context: int, horizon: int, planned: bool, known: Known | None = None, year: bool = True
    ):
        """`planned`: price and promotion of the horizon are known in advance; else the last price is held.

        Without `year` the waves of the year are left out: see `year_of`.
        """
        # Patches before a short panel would be missing throughout: they are left out.
        self.past_patches, self.future_patches = -(-min(context, len(panel.dates)) // PATCH), -(-horizon // PATCH)
        self.planned = planned
        before, behind = PATCH * self.past_patches, PATCH * self.future_patches
        days = len(panel.dates)

        def pad(past: np.ndarray, future: np.ndarray | None, fill: float) -> torch.Tensor:
            """(before + D + behind, ...) float32"""
            array = np.full((before + days + behind, *past.shape[1:]), fill, np.float32)
            array[before : before + days] = past
            if future is not None:
                array[before + days : before + days + len(future)] = future
            return torch.from_numpy(array)

        self.before, self.days, self.items = before, days, len(panel.items)
        self.first_weekday = None if panel.weekly else int(panel.dates[0].dayofweek)
        self.year = _waves(panel, before, behind) if year else torch.zeros(before + days + behind, 4)
        units = np.where(panel.closed[:, None], np.nan, demand_of(panel))
        self.units = pad(units, None, np.nan)
        price = pad(panel.price, known and known.price, np.nan)
        self.log_price = torch.where(price > 0, price, torch.nan).log()
        self.last_log_price = _forward_fill(self.log_price)
        self.promo = pad(panel.promo, known and known.promo, 0.0)
        self.closed = pad(panel.closed, known and known.closed, 0.0)
        self.holiday = pad(panel.holiday, known and known.holiday, 0.0)
        for kind, largest in (("covariates", COVARIATES), ("past_covariates", PAST_COVARIATES)):
            if len(getattr(panel, kind)) > largest:
                raise FieldError(kind, list(getattr(panel, kind)), f"at most {largest}")
        self.covariates = [
            pad(values, known and known.covariates[name], np.nan) for name, values in panel.covariates.items()
        ]
        self.past_covariates = [pad(values, None, np.nan) for values in panel.past_covariates.values()]
        slots = ((self.covariates, COVARIATES), (self.past_covariates, PAST_COVARIATES))
        self.filled = torch.tensor([place < len(tables) for tables, count in slots for place in range(count)])
        # (before + D + behind,) mean root of the items' units: bulk orders are not to drown the rest.
        self.store = self.units.sqrt().nanmean(dim=1).nan_to_num()
        self._set_scale(floor=1.0 / context)

    def _set_scale(self, floor: float) -> None:
        """Mean of the observed days of the last 56 before each origin, (days + 1, I), with fallbacks.

        No sale in 56 days: the mean of the whole context, at least one unit in it. Never observed: the median
        scale of the panel's other items on that day.
        """
        observed = ~self.units.isnan()
        total, count = _running(self.units.nan_to_num().double()), _running(observed.double())

        def trailing(table: torch.Tensor, width: int) -> torch.Tensor:
            end = torch.arange(self.before, self.before + self.days + 1)
            return table[end] - table[(end - width).clamp(min=0)]

        near = trailing(total, SCALE_DAYS) / trailing(count, SCALE_DAYS)  # 0 / 0 = NaN
        far = trailing(total, self.before) / trailing(count, self.before)
        scale = torch.where(near > 0, near, torch.where(far > 0, far, torch.where(far == 0, floor, torch.nan)))
        usual = scale.nanmedian(dim=1, keepdim=True).values.nan_to_num(nan=1.0)
        self.scale = torch.where(scale.isnan(), usual, scale).float()
        self.observed_days = trailing(count, self.before).float()
        of_store, of_days = _running(self.store.double()), _running(observed.any(dim=1).double())
        usual = trailing(of_store, SCALE_DAYS) / trailing(of_days, SCALE_DAYS)
        self.store_scale = torch.where(usual > 0, usual, 1.0).float()

    def origins(self, start: int, stop: int) -> tuple[torch.Tensor, torch.Tensor]:
        """(items, origins) with enough observed days before and a target after, start <= origin < stop."""
        enough = self.observed_days[start:stop] >= LEAST_OBSERVED
        origin, item = torch.nonzero(enough, as_tuple=True)
        return item, origin + start

    def batch(self, item: torch.Tensor, origin: torch.Tensor, target_stop: int | None = None) -> Batch:
        """The windows of items (B,) at origins (B,); targets from day `target_stop` on are left out."""
        past_days, future_days = PATCH * self.past_patches, PATCH * self.future_patches
        day = self.before + origin[:, None] + torch.arange(-past_days, future_days)  # (B, T) in padded arrays
        column = item[:, None]
        scale = self.scale[origin, item]
        units = self.units[day, column]
        past_z = torch.asinh(units[:, :past_days] / scale[:, None])
        target = torch.asinh(units[:, past_days:] / scale[:, None])
        closed = self.closed[day]
        target = torch.where(closed[:, past_days:] > 0, torch.nan, target)
        if target_stop is not None:
            target = torch.where(day[:, past_days:] >= self.before + target_stop, torch.nan, target)

        log_price, promo = self.last_log_price[day, column], self.promo[day, column]
        price_known = (~self.log_price[day, column].isnan()).float()
        if not self.planned:
            log_price[:, past_days:] = log_price[:, past_days - 1 : past_days]
            promo[:, past_days:] = 0.0
            price_known[:, past_days:] = 0.0
        usual = log_price[:, max(0, past_days - SCALE_DAYS) : past_days].nanmean(dim=1, keepdim=True)
        ratio = (log_price - usual).nan_to_num()

        observed = torch.cat([~past_z.isnan(), torch.zeros_like(target, dtype=torch.bool)], dim=1).float()
        z = torch.cat([past_z.nan_to_num(), torch.zeros_like(target)], dim=1)
        ahead = (day - self.before - origin[:, None]).clamp(min=-1).float().add(1.0).div(future_days)
        channels = [z, observed, ratio, price_known, promo, closed, self.holiday[day], ahead]
        channels += [self._store_channel(day, origin, past_days), *self.year[day].unbind(dim=-1)]
        channels += self._slots(self.covariates, COVARIATES, day, column, past_days, self.planned)
        channels += self._slots(self.past_covariates, PAST_COVARIATES, day, column, past_days, False)
        level = torch.stack([scale.log(), self.observed_days[origin, item].log1p()], dim=1)
        weekday = torch.zeros(len(origin), 7)
        if self.first_weekday is not None:
            weekday = torch.nn.functional.one_hot((self.first_weekday + origin) % 7, 7)
        patches = torch.stack(channels, dim=-1).unflatten(1, (-1, PATCH)).flatten(2)  # (B, P + F, 7 * C)
        return Batch(
            past=patches[:, : self.past_patches],
            future=patches[:, self.past_patches :],
            seen=observed[:, :past_days].unflatten(1, (-1, PATCH)).any(dim=2),
            summary=torch.cat([level, weekday], dim=1),
            scale=scale,
            target=target,
            closed=closed[:, past_days:] > 0,
            filled=self.filled.expand(len(origin), -1),
            covariates=self._known_covariates(day, column, past_days),
        )

    def _known_covariates(self, day: torch.Tensor, column: torch.Tensor, past_days: int) -> torch.Tensor:
        """(B, 7 * F, 2 * COVARIATES), in the panel's units; usual is the mean of the context."""
        covariates = torch.zeros(len(day), day.shape[1] - past_days, 2 * COVARIATES)
        for slot, table in enumerate(self.covariates if self.planned else []):
            values = table[day, column]
            usual = values[:, :past_days].nanmean(dim=1, keepdim=True)
            covariates[..., slot] = values[:, past_days:]
            covariates[..., COVARIATES + slot] = values[:, past_days:] - usual
        return covariates.nan_to_num()

    def covariate_units(self) -> torch.Tensor:
        """(COVARIATES,): of each covariate the standard deviation within an item, over the items; 1 where it is 0."""
        spreads = [(table - table.nanmean(dim=0)).square().nanmean().sqrt() for table in self.covariates]
        return torch.tensor(
            [float(spread) if spread > 1e-6 else 1.0 for spread in spreads] + [1.0] * (COVARIATES - len(spreads))
        )

    def _store_channel(self, day: torch.Tensor, origin: torch.Tensor, past_days: int) -> torch.Tensor:
        """asinh of the whole store's sales by their mean of the 56 days before the origin, (B, T); 0 from there on."""
        scale = self.store_scale[origin][:, None]
        past = torch.asinh(self.store[day[:, :past_days]] / scale)
        return torch.cat([past, torch.zeros(day.shape[0], day.shape[1] - past_days)], dim=1)

    @staticmethod
    def _slots(tables, count: int, day, column, past_days: int, planned: bool) -> list[torch.Tensor]:
        """Covariates (B, T) less their mean of the context, by its standard deviation; 0 where not known or empty.

        One that did not change in the context, as a flag of what never was, is only less its mean.
        """
        channels = []
        for table in tables:
            values = table[day, column]
            past = values[:, :past_days]
            mean = past.nanmean(dim=1, keepdim=True).nan_to_num()
            spread = (past - mean).square().nanmean(dim=1, keepdim=True).sqrt().nan_to_num()
            values = (values - mean) / torch.where(spread > 1e-4 * (1 + mean.abs()), spread, 1.0)
            if not planned:
                values[:, past_days:] = 0.0
            channels.append(values.nan_to_num().clamp(-5, 5))
        return channels + [torch.zeros(day.shape)] * (count - len(channels))


def year_of(panel: Panel) -> bool:
    """Whether a model trained on the panel reads the year: in a weekly one, if each week of it was a target.

    A season that was not there yet would be read off from what the waves did by chance in those that were. Of a daily
    panel's year the pre-trained weights know; weeks pass seven times as fast.
    """
    return not panel.weekly or len(panel.dates) >= LEAST_OBSERVED + 52


def _waves(panel: Panel, before: int, behind: int) -> torch.Tensor:
    """(before + D + behind, 4): sine and cosine of the year and of half of it, on every padded day."""
    days = np.arange(-before, len(panel.dates) + behind) * (7 if panel.weekly else 1)
    angle = 2 * np.pi * (panel.dates[0].dayofyear + days)[:, None] / 365.25 * np.array([1.0, 2.0])
    return torch.from_numpy(np.concatenate([np.sin(angle), np.cos(angle)], axis=1).astype(np.float32))


def _running(values: torch.Tensor) -> torch.Tensor:
    """(T + 1, I): sums over the days before each row."""
    return torch.cat([torch.zeros_like(values[:1]), values.cumsum(dim=0)])


def _forward_fill(values: torch.Tensor) -> torch.Tensor:
    """The last value that is not NaN, day by day."""
    row = torch.arange(len(values))[:, None].expand(values.shape)
    last = torch.where(values.isnan(), -1, row).cummax(dim=0).values
    return torch.where(last < 0, torch.nan, values.gather(0, last.clamp(min=0)))
