"""One scenario of a task, played by tool calls from its first period to its last."""

from collections import Counter
from collections.abc import Callable

import numpy as np

from ...errors import FieldError
from ..core.batch import Batch, admit
from ..core.checks import check_number
from ..core.contract import GAINS, Policy
from ..core.random import as_keys
from ..core.seeds import LARGEST_SEED, test_keys
from ..core.task import Task
from .desk import CALLS, Desk, Reply
from .tools import Tool
from .words import briefing, number


class Session:
    """A scenario of a task as text and tools: the same that `evaluate` plays for the seed.

    Attributes:
        done: whether the episode has ended; calls are refused then.
        actions: (periods, A) float32, what was played so far.
    """

    def __init__(
        self,
        task: Task,
        seed: int = 0,
        split: str = "test",
        advice: Policy | None = None,
        calls_per_period: int = CALLS,
        mail: Callable[[int], str] | None = None,
    ):
        """Start the scenario.

        Args:
            task: the problem.
            seed: of the scenario, in its split.
            split: `test` (held out) or another one of the task's.
            advice: a rule, whose decision is shown and stands for what is not set; None: none.
            calls_per_period: after which a period ends by itself.
            mail: gives the text of customers in a period (0, 1, ...), shown as data.

        Raises:
            FieldError: a seed or a number of calls out of its bounds, an unknown split, a horizon within the warm-up.
        """
        check_number("seed", seed, 0, LARGEST_SEED, integer=True)
        check_number("calls_per_period", calls_per_period, 1, 100_000, integer=True)
        self.task, self.seed, self.model = task, seed, task.model(split)
        if task.params.continuing and task.warmup >= self.model.horizon:
            raise FieldError("horizon", self.model.horizon, f"more than the warm-up of {task.warmup} periods")
        self.desk = Desk(self.model, calls_per_period, mail)
        self._advice, self._kept = advice, None
        self._batch = Batch(self.model, 1)
        self._batch.reset(test_keys([seed]) if split == "test" else as_keys([seed]))
        self._played: list[np.ndarray] = []
        self._rewards: list[float] = []
        self._money: list[dict[str, float]] = []
        self.done = False
        self._open()

    def briefing(self) -> str:
        """Return what a player has to know, in Markdown."""
        return briefing(self.task, self.model, self._advice is not None, self.desk.calls_per_period)

    def observation(self) -> str:
        """Return the text of the period's observation; the last one's once the episode has ended."""
        return self.desk.observation()

    def tools(self) -> list[Tool]:
        """Return the tools."""
        return self.desk.tools()

    @property
    def counters(self) -> Counter[str]:
        """Return what was counted: see `Desk`."""
        return self.desk.counters

    @property
    def refusals(self) -> Counter[str]:
        """Return the refusals by reason."""
        return self.desk.refusals

    @property
    def notes(self) -> str:
        """Return the notebook."""
        return self.desk.notes

    @property
    def actions(self) -> np.ndarray:
        """Return what was played so far."""
        return np.array(self._played, np.float32).reshape(-1, len(self.model.action_low))

    def call(self, name: object, arguments: object = None) -> Reply:
        """Do what a tool call asks for; never raises on what is called.

        Where it ends the period, the store moves on, and the reply has the next observation, or the episode's money.
        """
        open_before = not self.done
        reply = self.desk.call(name, arguments)
        if open_before and self.desk.closed:
            self._step()
            return Reply(f"{reply.text}\n\n{self.result() if self.done else self.observation()}", reply.refused)
        return reply

    @property
    def value(self) -> float:
        """Return the episode's value in `task.unit`, as `evaluate` has it. Raises ValueError before the end."""
        sign = 1 if self.task.objective == "profit" else -1
        return sign * self._total(self._rewards)

    @property
    def money(self) -> dict[str, float]:
        """Return the episode's money by name, in the same unit. Raises ValueError before the end."""
        names = dict.fromkeys(name for terms in self._money for name in terms)
        return {name: self._total([terms.get(name, 0.0) for terms in self._money]) for name in names}

    def result(self) -> str:
        """Return what the episode came to, in words. Raises ValueError before its end."""
        terms = ", ".join(f"{name} {number(value)}" for name, value in self.money.items())
        counted = ", ".join(f"{count} {name}" for name, count in self.counters.items())
        return (
            f"The episode has ended. {self.task.objective}: {number(self.value)} ({self.task.unit}).\n"
            f"Of it ({', '.join(GAINS)} are earned, the rest is spent): {terms}.\nCounted: {counted}."
        )

    def _total(self, values: list[float]) -> float:
        """Return the mean of a quantity per period, or its sum over a season, without what is left out at the start."""
        if not self.done:
            raise ValueError("the episode has not ended: its value is known at the end")
        average = self.task.params.continuing
        kept = np.asarray(values, float)[self.task.warmup if average else self.task.uncharged :]
        return float(kept.mean() if average else kept.sum())

    def _open(self) -> None:
        observation, advice = self._batch.observe(), None
        if self._advice is not None:
            advised, self._kept = self._advice(observation, self._kept, len(self._played))
            advice = np.asarray(advised, float).reshape(-1)
        self.desk.begin(observation[0], advice)

    def _step(self) -> None:
        action, _ = admit(self.model, self.desk.action, 1)
        _, terms, reward, ended = self._batch.step(action)
        self._played.append(action[0])
        self._rewards.append(float(reward[0]))
        self._money.append({name: float(np.asarray(value).reshape(-1)[0]) for name, value in terms.items()})
        self.done = bool(ended)
        if not self.done:
            self._open()
