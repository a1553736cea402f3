"""A graph of items, rules over it and a kind of substitutes, as options of a dataset of purchases."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from ...data import Column, read
from ...errors import FieldError
from ...learning.base import Card

if TYPE_CHECKING:
    from ...recommendation.graph import Graph


@dataclass
class ItemGraph:
    """What is known of items beside who buys them. All empty: nothing is."""

    catalogue: str = ""  # CSV, Excel or Parquet file: item, and `attributes`; also of items that nobody has bought yet
    attributes: list[str] = field(default_factory=list)  # columns of the catalogue
    triples: str = ""  # CSV, Excel or Parquet file: head, relation, tail[, weight]
    rules: str = ""  # file of rules, a line each (docs/knowledge.md)
    kind: str = ""  # attribute whose items can stand for one another

    @property
    def given(self) -> bool:
        """Return whether there is a graph."""
        return bool(self.catalogue or self.attributes or self.triples or self.rules or self.kind)

    def graph(self, items: list[str], own: pd.DataFrame | None = None) -> tuple["Graph", str]:
        """Return the graph and the text of the rules.

        Args:
            items: of the model; those that the catalogue lacks have no attributes.
            own: the catalogue (item, and `category`) of a made-up store, where no file is given.

        Raises:
            ValueError: a file that cannot be read, a column or a row of it that makes no sense, rules that do not hold.
        """
        from ...recommendation.graph import Graph
        from ...recommendation.rules import Rules, text_of

        attributes = list(self.attributes)
        if self.catalogue:
            columns = (Column("item", "text", unique=True), *(Column(n, "text", nullable=True) for n in attributes))
            table = read(self.catalogue, columns)
        elif own is not None:
            attributes = attributes or ["category"]
            table = own
        elif attributes:
            raise FieldError("attributes", attributes, "none without a catalogue")
        else:
            table = pd.DataFrame({"item": []}, dtype=object)
        missing = pd.DataFrame({"item": [item for item in items if item not in set(table["item"])]}, dtype=object)
        whole = pd.DataFrame(pd.concat([table[["item", *attributes]], missing], ignore_index=True))
        graph = Graph.from_catalogue(whole, attributes)
        graph = graph.with_triples(self.triples) if self.triples else graph
        text = text_of(Path(self.rules)) if self.rules else ""
        Rules(text, graph)
        if self.kind and self.kind not in graph.links:
            raise FieldError("kind", self.kind, f"an attribute: {', '.join(graph.links) or 'there are none'}")
        return graph, text

    def keep(self, log, graph: "Graph", rules: str, seed: int, folder: Path, card: Card) -> None:
        """Learn over the graph and write it beside the model in a folder."""
        from ...recommendation.knowledge import FOLDER, Knowledge

        made = Knowledge.fit(log, graph, self.kind, rules, seed)
        made.save(folder / FOLDER, card)
        print(f"model: a graph of {len(graph.items)} items, {len(made.new)} of them new; {len(made.held.rules)} rules")
