"""What to offer in the place of an item that is out of stock: other items of its kind, by a graph and past switches.

A switch is a purchase of another item of the kind whose item the customer bought the last time. Which links count for
how much is a conditional logit (`Logit`) of what customers switched to.
"""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from scipy import sparse

from ..errors import FieldError
from .graph import Graph
from .inherit import Logit


def switches(purchases: pd.DataFrame, graph: Graph, within: str) -> pd.DataFrame:
    """Return the switches of customers, by time.

    Args:
        purchases: customer, item, basket, timestamp; items that the graph lacks are left out.
        graph: with the attribute `within`.
        within: an attribute, one value per item: items of one value can stand for one another.

    Returns:
        `row` of the purchases (its place), `customer`, `timestamp`, `gone` and `item` (places in the graph).
    """
    kind = kinds(graph, within)
    item = pd.Index(graph.items).get_indexer(purchases["item"])
    frame = purchases[["customer", "basket", "timestamp"]].assign(row=np.arange(len(purchases)), item=item)
    frame = frame[(item >= 0) & (kind[item] >= 0)]
    frame = frame.assign(kind=kind[frame["item"]])
    frame = frame.sort_values(["customer", "kind", "timestamp", "item"], kind="stable")
    before = frame.shift()
    same = (frame["customer"] == before["customer"]) & (frame["kind"] == before["kind"])
    frame["gone"] = before["item"].fillna(-1).astype(int)
    found = same & (frame["basket"] != before["basket"]) & (frame["gone"] != frame["item"])
    return frame[found].sort_values("timestamp", kind="stable")[["row", "customer", "timestamp", "gone", "item"]]


def kinds(graph: Graph, within: str) -> np.ndarray:
    """Return the value (I,) of an attribute that each item has, -1 where it has none.

    Raises:
        FieldError: no such attribute, or an item with two values of it.
    """
    if within not in graph.links:
        raise FieldError("within", within, f"an attribute of the graph: {', '.join(graph.links)}")
    table = graph.links[within]
    count = np.diff(table.indptr)
    if (count > 1).any():
        raise FieldError("within", within, f"one value per item, unlike {graph.items[int(count.argmax())]}")
    kind = np.full(len(graph.items), -1)
    kind[count == 1] = table.indices
    return kind


@dataclass
class Substitutes:
    """Offers in the place of what is out of stock; see the module.

    Attributes:
        graph: the items; a user's own substitutes in it go before all others.
        within: the attribute whose values are kinds of items.
        buyers: (I,) customers who have bought each item.
        switched: (I, I) how often customers went from the row's item to the column's.
        own: (U, I) how often each known customer has bought each item; `customers` their names.
        logit: the weights.
    """

    graph: Graph
    within: str
    buyers: np.ndarray
    switched: sparse.csr_array
    own: sparse.csr_array
    customers: pd.Index
    logit: Logit | None = None

    @classmethod
    def fit(cls, purchases: pd.DataFrame, graph: Graph, within: str, since: pd.Timestamp, personal: bool = True):
        """Learn from purchases (customer, item, basket, timestamp): the weights from the switches since a day, told by
        what was known before it; then take all of them as known.

        Args:
            purchases: all of them are training.
            graph: of the items.
            within: see `switches`.
            since: the day.
            personal: also by what the customer has bought.

        Raises:
            FieldError: no switch since then to something known before.
        """
        events = switches(purchases, graph, within)
        early = purchases["timestamp"] < since
        past = cls._of(purchases[early], events[events["timestamp"] < since], graph, within)
        late = events[events["timestamp"] >= since]
        choice, gone, candidate = past.choices(late)
        user = past.customers.get_indexer(late["customer"])[choice] if personal else None
        names, features = past.features(gone, candidate, user)
        chosen = (candidate == late["item"].to_numpy()[choice]).astype(float)
        made = cls._of(purchases, events, graph, within)
        made.logit = Logit.fit(names, features, choice, chosen)
        return made

    @classmethod
    def _of(cls, purchases: pd.DataFrame, events: pd.DataFrame, graph: Graph, within: str) -> "Substitutes":
        size = len(graph.items)
        item = pd.Index(graph.items).get_indexer(purchases["item"])
        customers = pd.Index(purchases["customer"].unique())
        user = customers.get_indexer(purchases["customer"])
        own = _counts(user[item >= 0], item[item >= 0], (len(customers), size))
        buyers = np.asarray((own > 0).sum(axis=0)).ravel().astype(float)
        switched = _counts(events["gone"].to_numpy(), events["item"].to_numpy(), (size, size))
        return cls(graph, within, buyers, switched, own, customers)

    def anonymous(self) -> "Substitutes":
        """Return the same without the customers: what a server keeps. The weights must not be `personal`."""
        nobody = sparse.csr_array((0, len(self.graph.items)))
        return replace(self, own=nobody, customers=pd.Index([]))

    def choices(self, events: pd.DataFrame) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return all known candidates of the item's kind in each event: which event, what is gone, the candidate."""
        kind = kinds(self.graph, self.within)
        members = [np.flatnonzero((kind == k) & (self.buyers > 0)) for k in range(kind.max() + 1)]
        gone = events["gone"].to_numpy()
        some = [members[kind[a]][members[kind[a]] != a] for a in gone]
        sizes = [len(each) for each in some]
        candidate = np.concatenate(some) if some else np.zeros(0, int)
        return np.repeat(np.arange(len(some)), sizes), np.repeat(gone, sizes), candidate

    def features(self, gone: np.ndarray, candidate: np.ndarray, user=None) -> tuple[list[str], np.ndarray]:
        """Return what speaks for candidates (N,) in the places of items (N,): names of F features, and (N, F).

        With `user` (N,), places in `customers` or -1, also what the customer has bought of it.
        """
        columns = {"popularity": np.log1p(self.buyers[candidate])}
        columns["switches"] = np.log1p(_cells(self.switched, gone, candidate))
        others = {name: table for name, table in self.graph.links.items() if name != self.within}
        for name, table in others.items():
            columns[f"same {name}"] = np.asarray((table[gone] * table[candidate]).sum(axis=1)).ravel() > 0
        for relation, edges in self.graph.edges.items():
            columns[relation] = np.log1p(_cells(edges, gone, candidate))
        if user is not None:
            known = user >= 0
            columns["bought before"] = np.log1p(known * _cells(self.own, user * known, candidate))
            for name, table in others.items():
                mine = sparse.csr_array(self.own @ table)[user * known]
                columns[f"bought of {name}"] = np.log1p(
                    known * np.asarray((mine * table[candidate]).sum(axis=1)).ravel()
                )
        return list(columns), np.stack([np.asarray(column, float) for column in columns.values()], axis=1)

    def offers(
        self, item: str, in_stock: np.ndarray, count: int = 3, customer: str | None = None
    ) -> list[tuple[str, list[str]]]:
        """Return what to offer in an item's place, the best first, and what links it to the item.

        Args:
            item: what is out of stock.
            in_stock: (I,) which items can be offered: those of the kind that somebody has bought, and the user's own.
            count: offers at the most.
            customer: whose purchases count as well, if the weights were learnt with them.

        Raises:
            FieldError: what is no item, a shape that does not fit, a graph with other attributes than in `fit`.
        """
        place, stock = self.graph.number(item), np.asarray(in_stock, bool)
        if stock.shape != (len(self.graph.items),):
            raise FieldError("in_stock", stock.shape, f"shape ({len(self.graph.items)},)")
        if self.logit is None:
            raise ValueError("not fitted: call fit first")
        kind = kinds(self.graph, self.within)
        told = self.graph.edges["substitute"][[place]].toarray()[0]
        alike = (kind == kind[place]) & (kind[place] >= 0) & (self.buyers > 0)
        here = np.flatnonzero(stock & (alike | (told > 0)))
        here = here[here != place]
        personal = any(name.startswith("bought") for name in self.logit.names)
        user = np.full(len(here), self.customers.get_indexer([customer])[0]) if personal else None
        names, features = self.features(np.full(len(here), place), here, user)
        if names != self.logit.names:
            raise FieldError("graph", ", ".join(self.graph.links), "the attributes that the weights were learnt with")
        order = here[np.lexsort((-self.logit.utility(features), -told[here]))]
        return [(self.graph.items[k], self.graph.shared(item, self.graph.items[k])) for k in order[:count]]


def _counts(row: np.ndarray, column: np.ndarray, shape: tuple[int, int]) -> sparse.csr_array:
    return sparse.coo_array((np.ones(len(row)), (row, column)), shape=shape).tocsr()


def _cells(table: sparse.csr_array, row: np.ndarray, column: np.ndarray) -> np.ndarray:
    found = table[row, column]
    return np.asarray(found.toarray() if sparse.issparse(found) else found).ravel()
