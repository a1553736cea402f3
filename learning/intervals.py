"""Figures of several seeds in one table."""

import numpy as np
import pandas as pd


def intervals(rows: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """Mean over seeds of each figure, and half the width of its 95 % interval by Student's t (NaN with one seed).

    `rows` has `keys`, `seed` and figures. The result is indexed by `keys`, in the order of the rows: `NAME`, `± NAME`
    of each figure, `seeds`. Seeds without the figure do not count for it.
    """
    from scipy.stats import t

    groups = rows.drop(columns="seed").groupby(keys, sort=False, dropna=False)
    means, spreads, counts = groups.mean(), groups.std(), groups.count()
    table = {}
    for name in means:
        factor = t.ppf(0.975, counts[name].clip(lower=2) - 1) / np.sqrt(counts[name])
        table |= {name: means[name], f"± {name}": spreads[name] * factor}
    return pd.DataFrame(table).assign(seeds=groups.size())
