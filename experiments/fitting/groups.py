"""For whom a model errs: figures by group of the test rows, one mechanism for every kind of model."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

Groups = dict[str, dict[str, float]]  # group -> rows, and its figures
TYPOS = 0.05  # of the letters
_TEXTS = 2000  # that are read again with typos and in other words, at most


def by_group(figures: dict[str, np.ndarray], *groupings: np.ndarray) -> Groups:
    """Per group of each grouping (n,) how many rows it has, and the mean of each figure (n,); NaN does not count."""
    found: Groups = {}
    for labels in groupings:
        table = pd.DataFrame(figures).groupby(np.asarray(labels, object))
        counts, means = table.size(), table.mean()
        found |= {
            str(group): {"rows": float(counts[group])} | means.loc[group].dropna().to_dict() for group in counts.index
        }
    return found


def thirds(values: np.ndarray, what: str) -> np.ndarray:
    """Labels (n,) of the thirds that whole numbers (n,) fall into, named by their bounds; equal ones stay together."""
    values = np.asarray(values, int)
    part = np.searchsorted(np.unique(np.quantile(values, [1 / 3, 2 / 3], method="lower")), values)
    bounds = {number: (values[part == number].min(), values[part == number].max()) for number in np.unique(part)}
    return np.array([f"{what}: {bounds[n][0]} to {bounds[n][1]}" for n in part], object)


def named(group: Sequence | np.ndarray | None) -> list[np.ndarray]:
    """A grouping (n,) by a table's own column `group`; NaN where it has none. No grouping where there is no column."""
    if group is None or not any(group):
        return []
    return [np.array([f"group: {name}" if name else np.nan for name in group], object)]


def of_lists(
    lists: np.ndarray, wanted: list[np.ndarray], bought: np.ndarray, buyers: np.ndarray, group: np.ndarray | None = None
) -> Groups:
    """Error, the share of what was bought that is not listed, by customers' purchases, by items' buyers and by group.

    Lists (U, k), wanted items per user, how much each user had bought (U,), each item's buyers (I,), users' group (U,).
    """
    user = np.repeat(np.arange(len(wanted)), [len(items) for items in wanted])
    item = np.concatenate(wanted)
    missed = ~(lists[user] == item[:, None]).any(axis=1)
    own, popularity = thirds(bought[user], "customer's purchases"), thirds(buyers[item], "item's buyers")
    return by_group({"error": missed}, own, popularity, *named(None if group is None else group[user]))


def of_ratings(error: np.ndarray, given: np.ndarray, received: np.ndarray, group: np.ndarray | None = None) -> Groups:
    """Absolute error in stars (n,) by how many ratings the customer gave and the item got before (n,), and by group."""
    by = thirds(given, "customer's ratings"), thirds(received, "item's ratings")
    return by_group({"error": error}, *by, *named(group))


def of_texts(model, texts: list[str], labels: list, seed: int = 0, group: list | None = None) -> Groups:
    """Share of wrong labels by language and group, under typos, in other words where these differ: of as many."""
    from ...language.noise import paraphrased, with_typos
    from ...language.text import language

    texts, labels = texts[:_TEXTS], np.asarray(labels[:_TEXTS], object)
    wrong = lambda read: np.array([said != label for said, label in zip(model.predict(read), labels, strict=True)])
    plain, other = wrong(texts), paraphrased(texts)
    spoken = np.array([f"language: {language(text)}" for text in texts], object)
    found = by_group({"error": plain}, spoken, *named(None if group is None else group[:_TEXTS]))
    changed = np.array([new != old for new, old in zip(other, texts, strict=True)])
    found["as they are"] = {"rows": float(len(texts)), "error": float(plain.mean())}
    found[f"typos in {TYPOS:.0%} of the letters"] = {
        "rows": float(len(texts)),
        "error": float(wrong(with_typos(texts, TYPOS, seed)).mean()),
    }
    if changed.any():
        rows = {"rows": float(changed.sum())}
        found["those that a paraphrase changes"] = rows | {"error": float(plain[changed].mean())}
        found["these, paraphrased"] = rows | {"error": float(wrong(other)[changed].mean())}
    return found
