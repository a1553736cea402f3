"""First-month demand of items that have never been sold, by what they say and look like (docs/images.md).

The log of an item's first month is a mean, what its description and its picture say, and an error. Errors are those of
known items in the place of new ones (cross-fitting: an item's error is by a fit without it), so that quantiles are as
wide as new items are uncertain. Without description and picture it is the distribution of the known items.
"""

from dataclasses import dataclass

import numpy as np

from ..data import Panel
from ..data.images import Pictures
from ..errors import FieldError
from ..learning.images import ImageParams, by_content

MONTH = 28  # days
_FOLDS = 5
_LEAST = 10  # known items


@dataclass
class FirstMonths:
    """What is known of items' first months, a row per item."""

    units: np.ndarray  # (I,) units of the first 28 days; of older items of 28 days like their last ones; NaN: new
    launched: np.ndarray  # (I,) bool: the month is the item's first one, as a new item's will be


def first_months(panel: Panel) -> FirstMonths:
    """Return the first months in a daily panel: of items launched in it, and 28 days' mean units of the others.

    An item with fewer than 28 observed days since its launch is new.
    """
    seen = ~np.isnan(panel.units)
    first = np.where(seen.any(axis=0), seen.argmax(axis=0), len(seen))
    launched = first > 0
    units = np.full(len(panel.items), np.nan)
    for item in np.flatnonzero(first + MONTH <= len(seen)):
        days = slice(first[item], first[item] + MONTH) if launched[item] else slice(0, len(seen))
        units[item] = MONTH * np.nanmean(panel.units[days, item])
    return FirstMonths(units, launched)


class FirstMonth:
    """See the module's docstring."""

    def __init__(self, params: ImageParams | None = None):
        """`params` are the picture encoder's."""
        self.params = params or ImageParams()

    def fit(
        self, months: FirstMonths, text: np.ndarray | None = None, pictures: Pictures | None = None
    ) -> "FirstMonth":
        """Learn from the known items of a catalogue, and say something of all of its items.

        Args:
            months: what is known.
            text: (I, F) features of descriptions, such as `recommendation.text.text_features`; None: they say nothing.
            pictures: of the items; None: they say nothing.

        Raises:
            FieldError: fewer than 10 known items, contents of another number of items.
        """
        known = np.flatnonzero(~np.isnan(months.units))
        if len(known) < _LEAST:
            raise FieldError("months", len(known), f"{_LEAST} items or more whose first month is known")
        for name, content in (("text", text), ("pictures", pictures)):
            if content is not None and len(content) != len(months.units):
                raise FieldError(name, len(content), f"as many items as months, {len(months.units)}")
        log = np.log1p(np.nan_to_num(months.units))
        order = np.random.default_rng(self.params.seed).permutation(known)
        self.errors = np.concatenate([
            log[part] - self._center(log, months.launched, np.setdiff1d(known, part), text, pictures)[part]
            for part in np.array_split(order, min(_FOLDS, len(order)))
        ])  # fmt: skip
        self.center = self._center(log, months.launched, known, text, pictures)
        return self

    def _center(
        self,
        log: np.ndarray,
        launched: np.ndarray,
        known: np.ndarray,
        text: np.ndarray | None,
        pictures: Pictures | None,
    ) -> np.ndarray:
        """(I,) the log of every item's month, from what is known of some items."""
        first = np.where(launched, _launch_effect(log, launched, known), 0.0)
        mean = (log - first)[known].mean()
        weights = np.zeros(len(log))
        weights[known] = 1.0
        said = by_content((log - first - mean)[:, None], weights, text, pictures, self.params)
        center = mean + sum((part[:, 0] for part in said.values()), np.zeros(len(log)))
        # Once more, of items alike: by chance those launched lately may be of other kinds.
        return center + np.where(launched, _launch_effect(log - center, launched, known), 0.0)

    def predict(self, levels: np.ndarray) -> np.ndarray:
        """Return quantiles (I,) of each item's first month, units, at one level each (I,), or at one for all."""
        levels = np.broadcast_to(np.asarray(levels, float), self.center.shape)
        if not ((levels > 0) & (levels < 1)).all():
            raise FieldError("levels", levels.tolist(), "numbers between 0 and 1, both excluded")
        return np.maximum(np.expm1(self.center + np.quantile(self.errors, levels)), 0.0)


def _launch_effect(log: np.ndarray, launched: np.ndarray, known: np.ndarray) -> float:
    """How much lower the log of a first month is than that of an older item's 28 days."""
    fresh, old = known[launched[known]], known[~launched[known]]
    return float(log[fresh].mean() - log[old].mean()) if len(fresh) and len(old) else 0.0
