"""A graph of items beside a fitted recommender: new items inherit through it, stock-outs are substituted, rules hold.

What is kept of the purchases are sums over items: no customer is in the folder.
"""

from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import sparse

from ..errors import FieldError
from ..learning.base import Card, load_folder, save_folder
from .base import EPOCH, Histories, Log
from .graph import Graph
from .inherit import ColdTables, Logit, cold_features, fit_cold
from .rules import Rules
from .substitutes import Substitutes

NAME = FOLDER = "knowledge"  # of the model, and of its folder beside a recommender's weights
LATE = 0.25  # of the training days: weights are learnt on what is bought in them
SLACK = 5  # times as many items as a list has are looked at where rules may leave some out


@dataclass
class Knowledge:
    """The graph, and what was learnt over it; see `fit`.

    Attributes:
        graph: items of the catalogue and of the model.
        known: (I,) places of the model's items in the graph.
        tables: what the graph says of new items, those that the model does not know; None: there are none.
        cold: weights of what it says.
        substitutes: offers in the place of items; None: no kind of items was named.
        rules: what holds over lists, as text.
    """

    graph: Graph
    known: np.ndarray
    tables: ColdTables | None = None
    cold: Logit | None = None
    substitutes: Substitutes | None = None
    rules: str = ""
    held: Rules = field(init=False)

    def __post_init__(self):
        self.held = Rules(self.rules, self.graph)

    @classmethod
    def fit(cls, log: Log, graph: Graph, kind: str = "", rules: str = "", seed: int = 0) -> "Knowledge":
        """Learn what counts for new items, and for substitutes, from the last quarter of a log's days.

        Args:
            log: of training days.
            graph: with all items of the log; its others are new.
            kind: attribute, one value per item: items of one value can stand for one another; "": none can, but those
                that a user's triples name.
            rules: the text of a file of rules.
            seed: of the parts of known items that take the place of new ones.

        Raises:
            ValueError: an item of the log that the graph lacks, a kind that is no attribute, rules that do not hold.
        """
        known = np.array([graph.number(item) for item in log.items])
        made = cls(graph, known, rules=rules)
        day, size = log.histories.day, len(graph.items)
        cut = day.min() + (1 - LATE) * (log.end - day.min())
        whole = Histories(known[log.histories.item], day, log.histories.start, log.histories.now)
        warm = np.isin(np.arange(size), known)
        if len(known) < size and graph.links:
            earlier, later = (whole.where(keep).bought(size) for keep in (day < cut, day >= cut))
            made.cold = fit_cold(partial(cold_features, graph), earlier, later, warm, seed)
            made.tables = ColdTables.of(graph, whole.bought(size), np.flatnonzero(~warm))
        if kind:
            frame = pd.DataFrame({"customer": whole.user, "item": np.array(graph.items, object)[whole.item]})
            frame["timestamp"] = EPOCH + (day * 86_400e9).astype("timedelta64[ns]")
            frame["basket"] = frame["customer"].astype(str) + frame["timestamp"].astype(str)
            since = pd.to_datetime(cut, unit="D")
            made.substitutes = Substitutes.fit(frame, graph, kind, since, personal=False).anonymous()
        return made

    @property
    def new(self) -> list[str]:
        """Return the names of the new items."""
        return [] if self.tables is None else [self.graph.items[k] for k in self.tables.candidates]

    def lists(
        self, ranked: np.ndarray, histories: Histories, k: int, new: int, stock: np.ndarray | None = None
    ) -> tuple[list[list[str]], list[list[str]]]:
        """Return lists of names (U, at most k) and, for each, what is said of it.

        Args:
            ranked: (U, M) the model's items, best first, -1 where there are none.
            histories: of the U customers, in the model's items.
            k: length of a list.
            new: how many places are for new items, which inherit through the graph; the last ones before rules bind.
            stock: (G,) which items of the graph there are; None: all.
        """
        known = np.where(ranked >= 0, self.known[np.maximum(ranked, 0)], -1)
        best = np.full((len(known), 0), -1)
        if new and self.tables is not None and self.cold is not None:
            own = Histories(self.known[histories.item], histories.day, histories.start, histories.now)
            utility = self.cold.utility(self.tables.features(own.bought(len(self.graph.items)))[1])
            if stock is not None:
                utility[:, ~stock[self.tables.candidates]] = -np.inf
            order = np.argsort(-utility, axis=1, kind="stable")
            gone = np.take_along_axis(utility, order, axis=1) == -np.inf
            best = np.where(gone, -1, self.tables.candidates[order])
        places = np.concatenate([known[:, : k - new], best[:, :new], known[:, k - new :], best[:, new:]], axis=1)
        held, bound = self.held.hold_lists(places, k)
        rows = [[int(item) for item in row if item >= 0] for row in held]
        past = np.split(self.known[histories.item], histories.start[1:-1])
        fresh = set(best.ravel().tolist())
        said = [
            [self._why(item, mine) for item in row if item in fresh] + [str(one) for one in ones]
            for row, mine, ones in zip(rows, past, bound, strict=True)
        ]
        return [[self.graph.items[item] for item in row] for row in rows], said

    def _why(self, item: int, past: np.ndarray) -> str:
        """Return what a new item inherits from, in words."""
        name = self.graph.items[item]
        links = {other: self.graph.shared(name, self.graph.items[other]) for other in dict.fromkeys(past.tolist())}
        near = max(links, key=lambda other: len(links[other]), default=-1)
        if near < 0 or not links[near]:
            return f"{name} is new"
        return f"{name} is new, like {self.graph.items[near]}: {', '.join(links[near])}"

    def instead(self, item: str, stock: np.ndarray | None, count: int) -> list[tuple[str, list[str]]]:
        """Return what to offer in an item's place, the best first, and what links it to the item.

        Raises:
            FieldError: what is no item of the graph.
        """
        place, size = self.graph.number(item), len(self.graph.items)
        stock = np.ones(size, bool) if stock is None else stock
        if self.substitutes is not None:
            return self.substitutes.offers(item, stock, count)
        told = self.graph.edges["substitute"][[place]].toarray()[0] * stock
        order = np.argsort(-told, kind="stable")[: min(count, int((told > 0).sum()))]
        return [(self.graph.items[k], self.graph.shared(item, self.graph.items[k])) for k in order]

    # -- the folder ---------------------------------------------------------------------------------------------------

    def save(self, folder: str | Path, card: Card) -> None:
        """Write the folder: safetensors and JSON."""
        arrays: dict[str, np.ndarray] = {"known": self.known}
        graph = self.graph
        for kind, tables in (("links", graph.links), ("edges", graph.edges)):
            for name, table in tables.items():
                arrays |= _packed(f"{kind}.{name}", table)
        config = {"items": graph.items, "values": graph.values, "links": list(graph.links), "rules": self.rules}
        config |= {"new": self.tables is not None, "kind": ""}
        if self.tables is not None and self.cold is not None:
            arrays |= {"candidates": self.tables.candidates} | _of_logit("cold", self.cold)
            config |= {"cold": self.cold.names}
            for name in graph.links:
                arrays |= {f"popular.{name}": self.tables.popular[name], f"goes.{name}": self.tables.goes[name]}
        if self.substitutes is not None and self.substitutes.logit is not None:
            config |= {"kind": self.substitutes.within, "substitutes": self.substitutes.logit.names}
            arrays |= {"buyers": self.substitutes.buyers} | _of_logit("substitutes", self.substitutes.logit)
            arrays |= _packed("switched", self.substitutes.switched)
        save_folder(folder, NAME, config, arrays, card)

    @classmethod
    def load(cls, folder: str | Path) -> "Knowledge":
        """Return what `save` wrote. Raises ValueError where it is damaged or something else."""
        _, config, arrays, _ = load_folder(folder, NAME)
        try:
            size = len(config["items"])
            shapes = {name: (size, len(config["values"][name])) for name in config["links"]}
            links = {name: _unpacked(f"links.{name}", arrays, shapes[name]) for name in config["links"]}
            edges = {name: _unpacked(f"edges.{name}", arrays, (size, size)) for name in ("substitute", "complement")}
            graph = Graph(list(config["items"]), dict(config["values"]), links, edges)
            made = cls(graph, arrays["known"].astype(int), rules=str(config["rules"]))
            if config["new"]:
                popular, goes = ({n: arrays[f"{kind}.{n}"] for n in links} for kind in ("popular", "goes"))
                made.tables = ColdTables(graph, arrays["candidates"].astype(int), popular, goes)
                made.cold = _logit("cold", config["cold"], arrays)
            if config["kind"]:
                logit = _logit("substitutes", config["substitutes"], arrays)
                switched = _unpacked("switched", arrays, (size, size))
                nobody = sparse.csr_array((0, size)), pd.Index([])
                made.substitutes = Substitutes(graph, config["kind"], arrays["buyers"], switched, *nobody, logit)
        except (KeyError, TypeError, IndexError, FieldError) as error:
            raise ValueError(f"{folder} holds no usable {NAME}: {error}") from None
        return made


def _packed(name: str, table: sparse.csr_array) -> dict[str, np.ndarray]:
    cells = sparse.coo_array(table)
    return {f"{name}.row": cells.row, f"{name}.column": cells.col, f"{name}.value": cells.data.astype(float)}


def _unpacked(name: str, arrays: dict, shape: tuple[int, int]) -> sparse.csr_array:
    cells = arrays[f"{name}.value"], (arrays[f"{name}.row"].astype(int), arrays[f"{name}.column"].astype(int))
    return sparse.coo_array(cells, shape=shape).tocsr()


def _of_logit(name: str, logit: Logit) -> dict[str, np.ndarray]:
    return {f"{name}.{part}": getattr(logit, part) for part in ("mean", "deviation", "weight")}


def _logit(name: str, names: list[str], arrays: dict) -> Logit:
    return Logit(list(names), *(arrays[f"{name}.{part}"] for part in ("mean", "deviation", "weight")))
