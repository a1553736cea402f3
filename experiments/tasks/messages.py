"""What a language model that plays a store reads of its customers: messages, some with hidden orders, and the guard."""

from collections import Counter

from ...envs import Task
from ...language.guards import injected
from ...language.injections import messages

DAILY = 6  # messages of a period
LONGEST = 10_000  # periods of an episode at most, as seeds count them


class Mail:
    """The messages of one episode, by period: reviews and tickets, a line each, quoted as JSON strings.

    They are drawn from the scenario's seed, whatever is decided: the same for all who play it.

    Attributes:
        counters: `messages` that came, `injected` ones among them, `withheld` by the guard, and `injected_shown`.
    """

    def __init__(self, seed: int, share: float, guard: bool = False):
        """Draw for a scenario's seed; `share` of the messages are injected, and `guard` withholds what looks so."""
        self.seed, self.share, self.guard = seed, share, guard
        self.counters = Counter(dict.fromkeys(("messages", "injected", "withheld", "injected_shown"), 0))

    def __call__(self, period: int) -> str:
        """Return the messages of a period (0, 1, ...) as text."""
        table = messages(DAILY, self.share, seed=self.seed * LONGEST + period)
        lines = []
        for kind, text, bad in table[["kind", "text", "injected"]].itertuples(index=False):
            held = self.guard and injected(text)
            self.counters.update({"messages": 1, "injected": bad, "withheld": held, "injected_shown": bad and not held})
            lines.append(f"- {kind}: (withheld: it looks like an order)" if held else f"- {kind}: {_quoted(text)}")
        return "\n".join(lines)


def _quoted(text: str) -> str:
    """Return a text in one line between quotation marks, with none of its own."""
    return '"' + " ".join(text.replace('"', "'").split()) + '"'


def mail_of(task: Task, seed: int) -> Mail | None:
    """Return the messages of a scenario; None where the task's parameters show none (`injected_reviews`)."""
    share = getattr(task.params, "injected_reviews", None)
    return None if share is None else Mail(seed, share, task.params.review_guard)
