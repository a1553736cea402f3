"""For whom a model errs: figures by group of the test rows, one mechanism for every kind of model."""

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


def of_lists(lists: np.ndarray, wanted: list[np.ndarray], bought: np.ndarray, buyers: np.ndarray) -> Groups:
    """Error, the share of what was bought that is not listed, by customers' purchases and by items' buyers.

    Lists (U, k), wanted items per user, how much each user had bought (U,) and each item's buyers (I,).
    """
    user = np.repeat(np.arange(len(wanted)), [len(items) for items in wanted])
    item = np.concatenate(wanted)
    missed = ~(lists[user] == item[:, None]).any(axis=1)
    own, popularity = thirds(bought[user], "customer's purchases"), thirds(buyers[item], "item's buyers")
    return by_group({"error": missed}, own, popularity)


def of_ratings(error: np.ndarray, given: np.ndarray, received: np.ndarray) -> Groups:
    """Absolute error in stars (n,) by how many ratings the customer gave and the item got before (n,)."""
    return by_group({"error": error}, thirds(given, "customer's ratings"), thirds(received, "item's ratings"))


def of_texts(model, texts: list[str], labels: list, seed: int = 0) -> Groups:
    """Share of wrong labels by language, under typos, and in other words where these differ, beside the same texts."""
    from ...language.noise import paraphrased, with_typos
    from ...language.text import language

    texts, labels = texts[:_TEXTS], np.asarray(labels[:_TEXTS], object)
    wrong = lambda read: np.array([said != label for said, label in zip(model.predict(read), labels, strict=True)])
    plain, other = wrong(texts), paraphrased(texts)
    found = by_group({"error": plain}, np.array([f"language: {language(text)}" for text in texts], object))
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
