"""Measures of ranked lists and of ratings. Full ranking: every item of the catalogue that may be shown is ranked."""

import numpy as np

TAIL = 0.8  # share of the items, the least bought ones, that is the long tail


def ranking_metrics(lists: np.ndarray, relevant: list[np.ndarray], buyers: np.ndarray) -> dict[str, float]:
    """Measures of lists (U, k) of item numbers, -1 = none, against each user's relevant items (at least one).

    NDCG with binary gains (Järvelin and Kekäläinen 2002); recall: hits / min(k, relevant), so that 1 can be reached;
    MRR: 1 / rank of the first hit, 0 where there is none in the list; coverage: share of the catalogue in any list;
    Gini: of how often each item of the catalogue is listed, 0 = equally; tail share: of the list places; tail recall:
    hits / min(k, relevant) counting tail items alone, over users with any. The tail are the 80 % of the items with the
    fewest `buyers` (I,). Raises ValueError when no user, or a user without relevant items, is given.
    """
    if not len(lists) or any(not len(items) for items in relevant):
        raise ValueError(f"{len(lists)} users are ranked: each needs a relevant item, and one user is needed")
    users, k = lists.shape
    items = len(buyers)
    hits = np.zeros((users, k), bool)
    wanted = np.array([len(items_of_user) for items_of_user in relevant])
    for user, items_of_user in enumerate(relevant):
        hits[user] = np.isin(lists[user], items_of_user)
    discount = 1 / np.log2(np.arange(2, k + 2))
    ideal = np.r_[0, np.cumsum(discount)][np.minimum(wanted, k)]
    first = np.where(hits.any(axis=1), hits.argmax(axis=1), -1)
    shown = np.bincount(lists[lists >= 0], minlength=items)
    tail = tail_items(buyers)
    in_tail = np.r_[tail, False][lists]
    tail_wanted = np.array([tail[items_of_user].sum() for items_of_user in relevant])
    asked = tail_wanted > 0
    tail_recall = (hits & in_tail).sum(axis=1)[asked] / np.minimum(tail_wanted[asked], k)
    return {
        f"NDCG@{k}": float((hits @ discount / ideal).mean()),
        f"Recall@{k}": float((hits.sum(axis=1) / np.minimum(wanted, k)).mean()),
        f"MRR@{k}": float(np.where(first >= 0, 1 / (np.maximum(first, 0) + 1), 0.0).mean()),
        "coverage": float((shown > 0).mean()),
        "Gini": gini(shown),
        "tail share": float(in_tail.sum() / max(1, (lists >= 0).sum())),
        "tail recall": float(tail_recall.mean()) if asked.any() else float("nan"),
    }


def tail_items(buyers: np.ndarray) -> np.ndarray:
    """(I,) bool: the 80 % of the items with the fewest buyers; of equals the later ones."""
    tail = np.ones(len(buyers), bool)
    tail[np.argsort(-np.asarray(buyers, float), kind="stable")[: len(buyers) - round(TAIL * len(buyers))]] = False
    return tail


def gini(counts: np.ndarray) -> float:
    """Gini coefficient of non-negative counts: 0 all equal, (n - 1) / n all on one; 0 where there is none."""
    ordered = np.sort(np.asarray(counts, float))
    n, total = len(ordered), ordered.sum()
    return float(2 * (np.arange(1, n + 1) @ ordered) / (n * total) - (n + 1) / n) if total else 0.0


def rating_metrics(predicted: np.ndarray, stars: np.ndarray) -> dict[str, float]:
    """Mean squared error and its root, in stars squared and stars."""
    mse = float(np.mean((np.asarray(predicted, float) - stars) ** 2))
    return {"MSE": mse, "RMSE": mse**0.5}
