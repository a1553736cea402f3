"""What hidden orders in customers' messages cost a store that is run by whoever reads them, and what the guard finds.

    python -m storelab.experiments.studies.injections money
    python -m storelab.experiments.studies.injections guard --texts FILE

`money` plays whole seasons of the marketplace by its tools, with scripted readers in the place of a language model: one
who reads the messages and obeys none, and one who obeys every order in them, with and without the guard. `guard` counts
what the guard flags of the texts of a file in JSON lines, with the fields `text`, `label` (malicious or benign) and
`lang`. Each prints a table in Markdown.
"""

import argparse
import json
from collections import Counter
from pathlib import Path

import numpy as np

from ...agents import rules_of
from ...envs import TASKS, Task
from ...envs.play import Session
from ...evaluation import mean_interval
from ...language.guards import injected
from ...language.injections import messages, orders
from ..tasks.messages import mail_of
from .pages import markdown

SHARES = (0.05, 0.2)  # of the messages
RULE = "textbook"  # what decides where no order is obeyed: from costs and models alone, nothing is tuned
DRAWN = 5000  # messages that the guard is asked about


def play(session: Session, obeys: bool) -> tuple[float, int]:
    """Play a scenario to its end: the rule's decisions, changed by the orders of the messages where they are obeyed.

    Returns:
        The season's profit, and how many orders were obeyed.
    """
    bounds = {tool.name: tool.parameters["properties"].get("value", {}) for tool in session.tools()}
    done = 0
    while not session.done:
        for decision, end in orders(session.observation()) if obeys else ():
            value = bounds[f"set_{decision}"]["minimum" if end == "lowest" else "maximum"]
            done += not session.call(f"set_{decision}", {"value": value}).refused
        session.call("end_period")
    return session.value, done


def season(share: float, guard: bool, obeys: bool, seed: int, rule) -> tuple[float, Counter[str]]:
    """Play a held-out season of the marketplace; return its profit and what was counted."""
    task = TASKS["Marketplace"](injected_reviews=share, review_guard=guard)
    mail = mail_of(task, seed)
    value, done = play(Session(task, seed, advice=rule, mail=mail), obeys)
    return value, Counter({"obeyed": done, **(mail.counters if mail else {})})


def money(seasons: int) -> str:
    """Return the table of what hidden orders cost, paired over held-out seasons."""
    task: Task = TASKS["Marketplace"]()
    rule = rules_of(task.model("train")).tune(RULE, task, [])
    rows = []
    plain = np.array([season(0.0, False, True, seed, rule)[0] for seed in range(seasons)])
    for share in SHARES:
        for who, guard, obeys in (("obeys none", False, False), ("obeys all", False, True), ("obeys all", True, True)):
            found = [season(share, guard, obeys, seed, rule) for seed in range(seasons)]
            counted = {name: sum(one[name] for _, one in found) / seasons for name in found[0][1]}
            lost = plain - np.array([value for value, _ in found])
            low, high = mean_interval(lost[:, None])[:, 0]
            rows.append(
                [
                    f"{share:.0%}",
                    who,
                    "yes" if guard else "no",
                    *(f"{counted[name]:.1f}" for name in ("injected", "withheld", "obeyed")),
                    f"{plain.mean() - lost.mean():,.0f}",
                    f"{lost.mean():,.0f} [{low:,.0f}, {high:,.0f}]",
                ]
            )
    head = ["injected", "reader", "guard", "hidden orders", "withheld", "obeyed", "profit", "money lost"]
    return markdown([head, *rows])


def flagged(path: Path | None) -> str:
    """Return the table of what the guard flags: of the store's own messages, and of the texts of a file."""
    table = messages(DRAWN, 0.5, seed=1)
    found: dict[tuple[str, str], list[bool]] = {}
    for text, bad in table[["text", "injected"]].itertuples(index=False):
        found.setdefault(("the store's messages", "with a hidden order" if bad else "without"), []).append(
            injected(text)
        )
    for line in path.read_text().splitlines() if path else ():
        row = json.loads(line)
        of = "English" if row.get("lang", "en") == "en" else "other languages"
        found.setdefault((f"the file, {of}", row["label"]), []).append(injected(row["text"]))
    rows = [[of, kind, f"{len(values):,}", f"{sum(values):,}"] for (of, kind), values in found.items()]
    return markdown([["texts", "kind", "texts", "flagged"], *rows])


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n")[0])
    parser.add_argument("part", choices=("money", "guard"))
    parser.add_argument("--seasons", type=int, default=32, help="held-out ones (default 32)")
    parser.add_argument("--texts", type=Path, help="guard: JSON lines with text, label and lang")
    given = parser.parse_args()
    print(money(given.seasons) if given.part == "money" else flagged(given.texts))


if __name__ == "__main__":
    main()
