"""A graph of what a shop sells: items, their categories, brands and other attributes, substitutes and complements.

It is made of three sources: a catalogue's columns, baskets, and a user's own triples (head, relation, tail). Items that
nobody has bought yet are in it by their attributes, and inherit from others through them (`inherit`).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import sparse

from ..data import Column, read
from ..data.contract import Schema
from ..errors import FieldError

BETWEEN = ("substitute", "complement")  # relations between two items, in both directions
TRIPLES: Schema = (
    Column("head", "text"),  # an item of the catalogue
    Column("relation", "text"),  # substitute, complement, or the name of an attribute
    Column("tail", "text"),  # an item, or the attribute's value
    Column("weight", "number", required=False, above=0),  # of the link; 1 where there is none
)
LEAST_TOGETHER = 3  # baskets that a complement is found in at least
EVIDENCE = 10.83  # log-likelihood ratio of a complement at least: p = .001 (Dunning 1993)


@dataclass(eq=False)
class Graph:
    """Items and what links them.

    Attributes:
        items: (I,) names.
        values: attribute -> names of its V values.
        links: attribute -> (I, V) weights, mostly 1: which values an item has.
        edges: relation of `BETWEEN` -> (I, I) weights, symmetric.
    """

    items: list[str]
    values: dict[str, list[str]] = field(default_factory=dict)
    links: dict[str, sparse.csr_array] = field(default_factory=dict)
    edges: dict[str, sparse.csr_array] = field(default_factory=dict)

    def __post_init__(self):
        doubled = pd.Index(self.items)[pd.Index(self.items).duplicated()]
        if len(doubled):
            raise FieldError("items", doubled[0], "each item once")
        for relation in BETWEEN:
            self.edges.setdefault(relation, sparse.csr_array((len(self.items), len(self.items))))

    @classmethod
    def from_catalogue(cls, catalogue: pd.DataFrame, attributes: Sequence[str], item: str = "item") -> "Graph":
        """Make a graph of a table with a row per item; an empty cell is no link.

        Raises:
            FieldError: a column that is not there, an item twice, an attribute with the name of a relation of items.
        """
        for name in (item, *attributes):
            if name not in catalogue:
                raise FieldError("attributes", name, f"columns of the catalogue: {', '.join(map(str, catalogue))}")
        blank = np.flatnonzero(catalogue[item].isna() | (catalogue[item].astype(str).str.strip() == ""))
        if len(blank):
            raise FieldError(f"row {blank[0] + 1} of {item}", "", "a name")
        graph = cls(catalogue[item].astype(str).tolist())
        for name in attributes:
            if name in BETWEEN:
                raise FieldError("attributes", name, "a name other than substitute and complement")
            column = catalogue[name].astype(object)
            known = np.flatnonzero(column.notna() & (column.astype(str).str.strip() != ""))
            codes, values = pd.factorize(column.iloc[known].astype(str), sort=True)
            graph.values[name] = list(values)
            graph.links[name] = _table(known, codes, np.ones(len(known)), (len(graph.items), len(values)))
        return graph

    def with_triples(self, source: str | Path | pd.DataFrame) -> "Graph":
        """Return the graph with a user's triples: a CSV, Excel or Parquet file or a table under `TRIPLES`.

        Raises:
            ValueError: a column that is missing or a value that is none, with its row (the header is not counted); a
                head, or a tail of `substitute` and `complement`, that is no item; an item linked with itself; a pair
                that is both; a triple that stands twice with another weight.
        """
        frame = read(source, TRIPLES)
        weight = frame["weight"].to_numpy(float) if "weight" in frame else np.ones(len(frame))
        number = {name: k for k, name in enumerate(self.items)}
        between = frame["relation"].isin(BETWEEN).to_numpy()
        seen: dict[tuple, tuple[int, float]] = {}
        for row, (head, relation, tail) in enumerate(frame[["head", "relation", "tail"]].itertuples(index=False), 1):
            for name, value in [("head", head), *([("tail", tail)] if between[row - 1] else [])]:
                if value not in number:
                    raise ValueError(f"column '{name}', row {row}: {value!r} is no item of the catalogue")
            if between[row - 1] and head == tail:
                raise ValueError(f"column 'tail', row {row}: {tail!r} is the head itself, expected another item")
            key = (relation, *(sorted((head, tail)) if between[row - 1] else (head, tail)))
            first, before = seen.setdefault(key, (row, weight[row - 1]))
            if before != weight[row - 1]:
                was = f"expected the weight of row {first}, {before:g}"
                raise ValueError(f"column 'weight', row {row}: {weight[row - 1]:g} for the same triple, {was}")
            other = (BETWEEN[1 - BETWEEN.index(relation)], *key[1:]) if between[row - 1] else None
            if other in seen:
                raise ValueError(
                    f"column 'relation', row {row}: {head!r} and {tail!r} are {relation}s, expected {other[0]}s as in "
                    f"row {seen[other][0]}"
                )
        return self._joined(seen, number)

    def _joined(self, triples: dict[tuple, tuple[int, float]], number: dict[str, int]) -> "Graph":
        """The graph with triples (relation, head, tail) -> (row, weight), which go before what it has."""
        made = Graph(self.items, {k: [*v] for k, v in self.values.items()}, dict(self.links), dict(self.edges))
        rows = pd.DataFrame([(*key, weight) for key, (_, weight) in triples.items()], columns=["r", "h", "t", "w"])
        for relation, part in rows.groupby("r"):
            head = part["h"].map(number).to_numpy()
            if relation in BETWEEN:
                tail = part["t"].map(number).to_numpy()
                both = np.r_[head, tail], np.r_[tail, head], np.tile(part["w"].to_numpy(float), 2)
                made.edges[relation] = _over(_table(*both, made.edges[relation].shape), made.edges[relation])
                continue
            values = made.values.setdefault(relation, [])
            values += [value for value in dict.fromkeys(part["t"]) if value not in set(values)]
            place = {value: k for k, value in enumerate(values)}
            shape = len(self.items), len(values)
            new = _table(head, part["t"].map(place).to_numpy(), part["w"].to_numpy(float), shape)
            old = made.links.get(relation, sparse.csr_array(shape)).copy()
            old.resize(shape)
            made.links[relation] = _over(new, old)
        return made

    def with_baskets(self, baskets: Iterable[Sequence[str]] | sparse.csr_array) -> "Graph":
        """Return the graph with the complements that baskets show: pairs bought together more often than by chance, in
        at least 3 baskets and with a log-likelihood ratio above 10.83 (Dunning 1993, Accurate methods for the
        statistics of surprise and coincidence). Weight: log of the lift. A user's own triples stay as they are.

        Args:
            baskets: lists of items, those that the catalogue lacks being left out; or (B, I), 1 where bought.
        """
        if sparse.issparse(baskets):
            table = sparse.csr_array(baskets)
        else:
            number = {name: k for k, name in enumerate(self.items)}
            pairs = [(k, number[name]) for k, some in enumerate(baskets) for name in set(some) if name in number]
            row, column = np.array(pairs, int).reshape(-1, 2).T
            table = _table(row, column, np.ones(len(row)), (int(row.max(initial=-1)) + 1, len(self.items)))
        count, total = np.asarray(table.sum(axis=0)).ravel(), table.shape[0]
        together = sparse.coo_array(sparse.triu(table.T @ table, 1))
        keep = together.data >= LEAST_TOGETHER
        a, b, both = together.row[keep], together.col[keep], together.data[keep]
        lift = both * total / (count[a] * count[b])
        keep = (lift > 1) & (_evidence(both, count[a], count[b], total) > EVIDENCE)
        keep &= np.asarray(self.edges["substitute"][a, b]).ravel() == 0
        a, b, weight = a[keep], b[keep], np.log(lift[keep])
        found = _table(np.r_[a, b], np.r_[b, a], np.r_[weight, weight], (len(self.items),) * 2)
        return Graph(
            self.items, self.values, self.links, self.edges | {"complement": _over(self.edges["complement"], found)}
        )

    def shared(self, first: str, second: str) -> list[str]:
        """Return in words what links two items: relations between them, and values that both have.

        Raises:
            FieldError: what is no item.
        """
        a, b = self.number(first), self.number(second)
        said = [relation for relation in BETWEEN if self.edges[relation][a, b] > 0]
        for name, table in self.links.items():
            same = np.intersect1d(table[[a]].indices, table[[b]].indices)
            said += [f"{name} {self.values[name][value]}" for value in same]
        return said

    def number(self, item: str) -> int:
        """Return an item's place.

        Raises:
            FieldError: what is no item.
        """
        try:
            return self.items.index(item)
        except ValueError:
            raise FieldError("item", item, "an item of the graph") from None

    def members(self, what: str) -> np.ndarray:
        """Return the places of an item by its name, or of all with an attribute's value by `attribute=value`.

        Raises:
            FieldError: what is neither.
        """
        if what in self.items:
            return np.array([self.items.index(what)])
        name, equals, value = what.partition("=")
        if equals and value in self.values.get(name, ()):
            return np.unique(self.links[name][:, [self.values[name].index(value)]].tocoo().row)
        known = ", ".join(self.values) or "none"
        raise FieldError("name", what, f"an item, or ATTRIBUTE=VALUE as items have it (attributes: {known})")


def _table(row, column, weight, shape: tuple[int, int]) -> sparse.csr_array:
    table = sparse.coo_array((np.asarray(weight, float), (row, column)), shape=shape).tocsr()
    return table


def _over(first: sparse.csr_array, second: sparse.csr_array) -> sparse.csr_array:
    """The weights of the first table, and where it has none of the second."""
    return sparse.csr_array(first + second - second * (first > 0))


def _evidence(both, first, second, total) -> np.ndarray:
    """The log-likelihood ratio of pairs' counts in a table of two by two, against independence (Dunning 1993)."""
    cells = np.stack([both, first - both, second - both, total - first - second + both])
    expected = np.stack([first * second, first * (total - second), (total - first) * second])
    expected = np.concatenate([expected, [(total - first) * (total - second)]]) / total
    with np.errstate(divide="ignore", invalid="ignore"):
        return 2 * np.where(cells > 0, cells * np.log(cells / expected), 0.0).sum(axis=0)
