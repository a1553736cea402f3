"""Rules over a graph of items, from a file that people read: checked before use, held, and explained when they bind.

    python -m storelab.recommendation.rules RULES CATALOGUE [--attributes NAME ...] [--triples FILE]

A line of the file is a rule; what follows a # is a remark. A set is an item, or all items with an attribute's value,
`ATTRIBUTE=VALUE`; names with spaces stand in quotes.

    never brand=Alpha beside brand=Beta    # on one page
    price small <= large                   # a price ladder
    price category=refill <= 0.5 * pump    # with a factor
    price category=snacks >= 1.20          # a bound, money

The command checks rules against a catalogue with the columns item and price, and prints the prices that hold them.
"""

import argparse
import re
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import sparse

from ..data import Column, read
from ..errors import FieldError
from .graph import Graph

MOST_PAIRS = 20_000  # of items, that a rule may mean
SHOWN = 6  # items of a rule, in words
ROUNDS, PRECISION = 2_000, 1e-9  # of Dykstra's projections, of logs
_LADDER = re.compile(r"(<=|>=)$")


@dataclass(frozen=True)
class Rule:
    """A line of the file."""

    line: int
    text: str
    kind: str  # beside | price
    first: str
    second: str | float  # a set, or a bound in money
    factor: float = 1.0  # price of the first <= factor x price of the second

    def __str__(self) -> str:
        return f"line {self.line} ({self.text})"


@dataclass(frozen=True)
class Bound:
    """Where a rule changed something."""

    rule: Rule
    what: str

    def __str__(self) -> str:
        return f"{self.what}: {self.rule}"


class Rules:
    """Rules over the items of a graph.

    Args:
        source: the file, or its text.
        graph: which items and values there are.

    Raises:
        ValueError: a line that is no rule, with its number; a set that no item is in; rules that contradict one
            another, each of them named.
    """

    def __init__(self, source: str | Path, graph: Graph):
        self.graph = graph
        text = text_of(source) if isinstance(source, Path) else source
        self.rules = [rule for number, line in enumerate(text.splitlines(), 1) for rule in _parsed(number, line, graph)]
        size = len(graph.items)
        self.low: list[tuple[int, int, float, int]] = []  # x_a <= x_b + w in logs of prices; b or a = I: money 1
        beside = []
        for place, rule in enumerate(self.rules):
            first = self._members(rule, rule.first)
            if isinstance(rule.second, float):
                bound = float(np.log(rule.second))
                upper = rule.factor > 0
                self.low += [(a, size, bound, place) if upper else (size, a, -bound, place) for a in first]
                continue
            second = self._members(rule, rule.second)
            if len(first) * len(second) > MOST_PAIRS:
                raise ValueError(f"{rule}: {len(first) * len(second):,} pairs of items, allowed are {MOST_PAIRS:,}")
            pairs = [(int(a), int(b)) for a in first for b in second if a != b]
            if not pairs:
                raise ValueError(f"{rule}: one item alone on both sides, expected two")
            if rule.kind == "price":
                self.low += [(a, b, float(np.log(rule.factor)), place) for a, b in pairs]
            else:
                beside += [(a, b, place) for a, b in pairs] + [(b, a, place) for a, b in pairs]
        self.never = _apart(beside, size)
        self._check()

    def _members(self, rule: Rule, name: str) -> np.ndarray:
        try:
            return self.graph.members(name)
        except FieldError as error:
            raise ValueError(f"{rule}: {error}") from None

    def _check(self) -> None:
        """Raise where no prices hold all rules: a cycle of ladders and bounds whose factors come to less than 1
        (difference constraints: Cormen et al. 2009, section 24.4)."""
        if not self.low:
            return
        a, b, weight, place = (np.array(column) for column in zip(*self.low, strict=True))
        size = len(self.graph.items) + 1
        distance, via = np.zeros(size), np.full(size, -1)
        for _ in range(size + 1):
            reach = distance[b] + weight
            order = np.lexsort((reach, a))
            first = order[np.r_[True, a[order][1:] != a[order][:-1]]]
            better = first[reach[first] < distance[a[first]] - 1e-9]
            if not len(better):
                return
            distance[a[better]], via[a[better]] = reach[better], better
        node, seen = int(a[better[0]]), []
        for _ in range(size):  # well inside the cycle
            node = int(b[via[node]])
        start = node
        while not seen or node != start:
            seen.append(int(place[via[node]]))
            node = int(b[via[node]])
        guilty = [self.rules[k] for k in sorted(set(seen))]
        raise ValueError(f"rules contradict one another, no prices hold them all: {', '.join(map(str, guilty))}")

    # -- prices -------------------------------------------------------------------------------------------------------

    def hold_prices(self, price: np.ndarray) -> tuple[np.ndarray, list[Bound]]:
        """Return the prices (I,) that hold all rules and differ least from the given ones, in squares of logs, and
        which rules bind.

        By Dykstra's projections (Boyle and Dykstra 1986), and a last pass that lowers prices, or raises them to a
        bound, by what rounding has left.

        Raises:
            FieldError: prices that are no positive numbers, or of another shape.
        """
        price = np.asarray(price, float)
        if price.shape != (len(self.graph.items),) or not (np.isfinite(price) & (price > 0)).all():
            raise FieldError("price", price.shape, f"positive numbers, shape ({len(self.graph.items)},)")
        if not self.low:
            return price.copy(), []
        x, binding = self._projected(np.r_[np.log(price), 0.0])
        held = np.where(np.abs(x[:-1] - np.log(price)) > 1e-12, np.exp(x[:-1]), price)
        moved: dict[int, dict[int, None]] = {}  # rule -> items whose prices it changed, in their order
        for k in np.flatnonzero(binding):
            a, b, _, place = self.low[k]
            changed = [i for i in (a, b) if i < len(price) and abs(held[i] / price[i] - 1) > 1e-6]
            moved.setdefault(place, {}).update(dict.fromkeys(changed))
        return held, [self._said(place, list(items), price, held) for place, items in sorted(moved.items()) if items]

    def _said(self, place: int, items: list[int], price: np.ndarray, held: np.ndarray) -> Bound:
        names = self.graph.items
        words = [f"price of {names[i]} {price[i]:,.2f} -> {held[i]:,.2f}" for i in items[:SHOWN]]
        words += [f"{len(items) - SHOWN:,} more"] if len(items) > SHOWN else []
        return Bound(self.rules[place], ", ".join(words))

    def _projected(self, start: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The nearest log prices, and which inequalities bind."""
        x, steps = start.copy(), np.zeros(len(self.low))
        fixed = len(start) - 1
        share = [1.0 if fixed in (a, b) else 0.5 for a, b, _, _ in self.low]
        for _ in range(ROUNDS):
            moved = 0.0
            for k, (a, b, weight, _) in enumerate(self.low):
                over = x[a] - x[b] - weight + steps[k] / share[k]
                step = max(0.0, over) * share[k]
                change = step - steps[k]
                if change:
                    x[a] -= change if a != fixed else 0.0
                    x[b] += change if b != fixed else 0.0
                    steps[k], moved = step, max(moved, abs(change))
            if moved < PRECISION:
                break
        binding = steps > 1e-9
        for _ in range(len(x)):  # what is left is below the precision
            before = x.copy()
            for a, b, weight, _ in self.low:
                if a != fixed:
                    x[a] = min(x[a], x[b] + weight)
                elif x[b] < -weight:
                    x[b] = -weight
            if np.array_equal(before, x):
                break
        return x, binding

    # -- pages --------------------------------------------------------------------------------------------------------

    def hold_lists(self, ranked: np.ndarray, count: int) -> tuple[np.ndarray, list[list[Bound]]]:
        """Return lists (U, count) without two items that are never beside each other: the better one stays.

        Args:
            ranked: (U, M) items by their places, the best first; -1: none.
            count: length of a list; -1 where fewer are left.

        Returns:
            The lists, and for each of them what was left out of its first `count` and why.
        """
        ranked = np.asarray(ranked)
        lists = np.full((len(ranked), count), -1)
        filled, said = np.zeros(len(ranked), int), [[] for _ in ranked]
        for rank in range(ranked.shape[1]):
            item = ranked[:, rank]
            here = np.flatnonzero((item >= 0) & (filled < count))
            if self.never.nnz and len(here):
                rows = np.repeat(item[here], count)
                found = self.never[rows, np.maximum(lists[here].ravel(), 0)]
                places = np.asarray(found.toarray() if sparse.issparse(found) else found).reshape(len(here), count) - 1
                against = np.where(lists[here] >= 0, places, -1)
                for row in np.flatnonzero((against >= 0).any(axis=1)):
                    user, place = here[row], int(np.argmax(against[row] >= 0))
                    rule, other = self.rules[against[row, place]], self.graph.items[lists[here[row], place]]
                    said[user].append(Bound(rule, f"{self.graph.items[item[user]]} left out beside {other}"))
                here = here[(against < 0).all(axis=1)]
            lists[here, filled[here]] = item[here]
            filled[here] += 1
        return lists, said

    def broken(self, price: np.ndarray) -> int:
        """Return how many inequalities of prices (I,) are not held, to a millionth."""
        x = np.r_[np.log(np.asarray(price, float)), 0.0]
        return sum(x[a] > x[b] + weight + 1e-6 for a, b, weight, _ in self.low)


def text_of(path: Path) -> str:
    """Return the text of a file of rules; raises ValueError where it is none in UTF-8."""
    try:
        return path.read_text("utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError(f"{path}: not UTF-8, expected a file of text in it") from None


def _apart(beside: list[tuple[int, int, int]], size: int) -> sparse.csr_array:
    """A table (I, I) of the first rule that keeps two items apart, its place + 1."""
    if not beside:
        return sparse.csr_array((size, size), dtype=np.int64)
    a, b, place = np.array(beside).T
    _, first = np.unique(a * size + b, return_index=True)
    return sparse.coo_array((place[first] + 1, (a[first], b[first])), shape=(size, size)).tocsr()


def _parsed(number: int, line: str, graph: Graph) -> list[Rule]:
    """The rule of a line; none in an empty one."""
    try:
        words = shlex.split(line, comments=True)
    except ValueError as error:
        raise ValueError(f"line {number} ({line.strip()}): {str(error).lower()}") from None
    if not words:
        return []
    text = " ".join(shlex.quote(word) if " " in word else word for word in words)
    if words[0] == "never" and len(words) == 4 and words[2] == "beside":
        return [Rule(number, text, "beside", words[1], words[3])]
    if words[0] == "price" and len(words) in (4, 6) and words[2] in ("<=", ">="):
        first, sign, rest = words[1], words[2], words[3:]
        factor = _number(rest[0])
        if len(rest) == 1 and factor is not None and rest[0] in graph.items:
            ways = f"1 * {rest[0]} for the item, {factor!r}0 for money"
            raise ValueError(f"line {number} ({text}): {rest[0]} is an item and a number, expected {ways}")
        if len(rest) == 1 and factor is None:
            return [Rule(number, text, "price", *((first, rest[0]) if sign == "<=" else (rest[0], first)))]
        if len(rest) == 1 and factor is not None and factor > 0:
            return [Rule(number, text, "price", first, factor, 1.0 if sign == "<=" else -1.0)]
        if len(rest) == 3 and rest[1] == "*" and factor is not None and factor > 0:
            pair = (first, rest[2], factor) if sign == "<=" else (rest[2], first, 1 / factor)
            return [Rule(number, text, "price", *pair)]
    raise ValueError(
        f"line {number} ({text}) is no rule, expected 'never SET beside SET', 'price SET <= SET', "
        "'price SET <= FACTOR * SET' or 'price SET <= MONEY' (also with >=), numbers above 0"
    )


def _number(word: str) -> float | None:
    try:
        value = float(word)
    except ValueError:
        return None
    return value if np.isfinite(value) else None


def main(arguments: list[str] | None = None) -> int:
    """Check rules against a catalogue and print the prices that hold them; 0: they hold, 1: some bind, 2: an error."""
    parser = argparse.ArgumentParser(description="Check rules, and the prices that hold them.")
    parser.add_argument("rules", type=Path, help="the file of rules")
    parser.add_argument("catalogue", type=Path, help="CSV, Excel or Parquet: item, price, and attributes")
    parser.add_argument("--attributes", nargs="*", default=[], help="columns of the catalogue that rules may name")
    parser.add_argument("--triples", type=Path, help="a user's own links: head, relation, tail[, weight]")
    given = parser.parse_args(arguments)
    columns = (Column("item", "text", unique=True), Column("price", "number", above=0))
    columns += tuple(Column(name, "text", nullable=True) for name in given.attributes)
    try:
        catalogue = read(given.catalogue, columns)
        graph = Graph.from_catalogue(catalogue, given.attributes)
        graph = graph.with_triples(given.triples) if given.triples else graph
        rules = Rules(given.rules, graph)
    except (ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    held, bound = rules.hold_prices(catalogue["price"].to_numpy(float))
    print(f"{len(rules.rules)} rules, {len(bound)} bind")
    print("\n".join(map(str, bound)))
    print(pd.DataFrame({"item": graph.items, "price": np.round(held, 4)}).to_csv(index=False), end="")
    return 1 if bound else 0


if __name__ == "__main__":
    sys.exit(main())
