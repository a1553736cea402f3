"""The report's pictures say what they show."""

from types import SimpleNamespace

import numpy as np
from storelab.experiments.reports.pictures import _fan


def test_the_fan_counts_all_items_not_only_the_one_that_it_shows():
    """The item shown is the most asked for, which came high; the other one came low as often."""
    days, lead = 40, np.array([2, 1])
    model = SimpleNamespace(lead=lead, params=SimpleNamespace(quantiles=[0.1, 0.9], items=2))
    demand = np.stack([np.full(days, 10.0), np.full(days, 1.0)], axis=1)[None]
    forecast = np.tile(
        [[5.0, 20.0], [5.0, 20.0]], (1, days, 1, 1)
    )  # 30 came above the first item's, 2 below the other's
    figure, caption = _fan(model, {"demand": demand, "forecast": forecast}, 0)
    assert figure.axes
    assert (
        caption
        == "What came, over all 2 items in this one window: 51% under the 10% quantile, 51% under the 90% quantile."
    )
