"""A policy that asks a language model: a conversation per episode over the tools of `envs.play`, batched over episodes.

A rule may stand beside it: what it decides is shown, bounds what the model decides, or holds where the model says
nothing of use (see `LLMParams`).
"""

import inspect
import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ...envs.core.contract import Model, Part, Policy
from ...envs.core.task import Task
from ...envs.play import Board, Desk, briefing, tools_of
from ...errors import FieldError
from ..core.rules import rules_of
from .endpoint import Endpoint, Messages
from .local import Local
from .params import LLMParams
from .replies import Answer
from .transcripts import ELSE, Transcripts, digest_of

LARGEST_RULE = 500  # parameters of a rule that a model may set
COLUMNS = ("questions", "tokens", "spend", "refused", "unusable", "forced", "unset", "fallback", "corrected")
AGAIN = "No tool was called. Decide by calling tools, and call end_period last."
HOW = """You play by tool calls. You may call several tools in one reply: the decisions first, `end_period` last. Say
little besides."""


def check(model: Model, params: LLMParams) -> None:
    """Check that there is a model to ask, and a rule where one is needed; raises FieldError."""
    if not params.model:
        raise FieldError("model", params.model, "the endpoint's name of a model, or a folder or hub name of one")
    kinds = _kinds(model)
    if params.rule and params.rule not in kinds:
        raise FieldError("rule", params.rule, f"'' or one of {', '.join(kinds)}")
    if not kinds and (params.mode != "alone" or math.isfinite(params.deviation)):
        raise FieldError("mode", params.mode, "alone, without a deviation: there are no heuristics here")


def _kinds(model: Model) -> list[str]:
    try:
        return [kind for kind in rules_of(model).available(model) if kind != "random"]
    except FieldError:  # a model that no environment declares
        return []


def acting(
    task: Task, params: LLMParams, folder: Path | None, rules: Mapping[str, Policy], best: str | None
) -> "LLMPolicy":
    """Return the policy.

    Args:
        task: the problem.
        params: of the agent.
        folder: of the transcripts; None: they are not kept.
        rules: the tuned heuristics by name.
        best: the best one of them on validation scenarios; None: there is none.
    """
    kind = params.rule or best
    return LLMPolicy(task, params, folder, None if kind is None else rules[kind])


@dataclass
class Episode:
    """A conversation, and what it took."""

    name: str
    desk: Desk
    asked: bool = False  # whether the model decides in this period
    rounds: int = 0  # questions in this period
    retries: int = 0  # of them, without a tool call
    rule: np.ndarray | None = None  # what the rule decides in this period
    periods: list[Messages] = field(default_factory=list)  # the turns of each period in which it was asked
    logged: int = 0  # turns of the period that its transcript has
    counts: dict[str, float] = field(default_factory=lambda: defaultdict(float))


class LLMPolicy:
    """Asks a language model what to do; see `LLMParams`, and `envs.core.contract.Policy` for what a policy is.

    An identical conversation has an identical answer, and is asked once. `begin` says which scenarios come, after which
    `tally` says what each of them took.

    Attributes:
        mail: seed of a scenario -> the messages of its customers by period, or None; its `counters` are in the tally.
    """

    def __init__(self, task: Task, params: LLMParams, folder: Path | None = None, rule: Policy | None = None):
        """Bind a task, and a tuned heuristic of it where one is to advise, to correct or to stand in.

        Raises:
            FieldError: a mode that needs a rule without one, or a rule whose parameters are not numbers or too many.
        """
        self.task, self.params, self.rule = task, params, rule
        self.model = task.model("test")
        if rule is None and (params.mode != "alone" or math.isfinite(params.deviation)):
            raise FieldError("mode", params.mode, "alone, without a deviation: there is no rule")
        self.board = _board(rule, params.span) if params.mode == "parameters" else Board.of(self.model)
        self.tools = [tool.plain() for tool in tools_of(self.board)]
        self.transcripts = Transcripts(folder)
        self._asker: Endpoint | Local | None = None
        self.mail: Callable[[int], Callable[[int], str] | None] | None = None
        self._names: list[str] = []
        self._mails: list[Callable[[int], str] | None] = []
        self._episodes: list[Episode] = []
        self._system = "\n\n".join([briefing(task, self.model, self._advised, board=self.board), self._how()])

    @property
    def _advised(self) -> bool:
        return self.params.mode == "advised"

    def _how(self) -> str:
        parts = [HOW]
        if self.params.every > 1:
            parts.append(f"You are asked every {self.params.every} periods; what you decide stands until then.")
        if self.params.mode == "parameters":
            parts.append(
                f"You set the parameters of a rule, {getattr(self.rule, 'kind', '')}, which decides by them. At first "
                f"they are as tuned: {self._tuned()}.\n{inspect.getdoc(type(self.rule))}"
            )
        return "\n\n".join(parts)

    def _tuned(self) -> str:
        first, places = self.board.first(), self.board.places()
        return "; ".join(f"{name}: {', '.join(f'{x:.5g}' for x in first[place])}" for name, place in places.items())

    # -- what `evaluate` asks of a policy that keeps accounts ----------------------------------------------------------

    def begin(self, seeds: Sequence[int], split: str) -> None:
        """Say which scenarios the next episodes are, in the order of their rows."""
        self._names = [f"{split}-{int(seed):06d}" for seed in seeds]
        self._mails = [self.mail(int(seed)) if self.mail else None for seed in seeds]

    def tally(self) -> dict[str, np.ndarray]:
        """Return what each of the last episodes took, name -> (n,): see `COLUMNS`.

        Answers that were there already count as if they had been asked for, so that a resumed run has the same table.
        """
        mails = [getattr(episode.desk.mail, "counters", {}) for episode in self._episodes]
        rows = [{**e.desk.counters, **e.counts, **mail} for e, mail in zip(self._episodes, mails, strict=True)]
        names = [*COLUMNS, *(mails[0] if mails else ())]
        return {name: np.array([row.get(name, 0) for row in rows], float) for name in names}

    # -- the policy ----------------------------------------------------------------------------------------------------

    def __call__(self, observation: np.ndarray, policy_state: Any, seed: int):
        """Act: see `envs.core.contract.Policy`.

        Raises:
            Unavailable: the endpoint does not answer, or refuses; what it answered is kept.
        """
        episodes, kept = policy_state or (self._opened(len(observation)), None)
        decided = None
        if self.rule is not None:
            decided, kept = self.rule(observation, kept, seed)
            decided = np.asarray(decided, float).reshape(len(observation), -1)
        for row, episode in enumerate(episodes):
            self._show(episode, observation[row], None if decided is None else decided[row])
        self._converse(episodes)
        actions = [
            self._action(episode, observation[row], None if decided is None else decided[row])
            for row, episode in enumerate(episodes)
        ]
        return np.stack(actions), (episodes, kept)

    def _opened(self, rows: int) -> list[Episode]:
        names = self._names if len(self._names) == rows else [ELSE] * rows
        mails = self._mails if len(self._mails) == rows else [None] * rows
        self._names, self._mails = [], []
        desks = [Desk(self.model, board=self.board, mail=mail) for mail in mails]
        self._episodes = [Episode(name, desk) for name, desk in zip(names, desks, strict=True)]
        return self._episodes

    def _show(self, episode: Episode, observation: np.ndarray, decided: np.ndarray | None) -> None:
        """Open a period: with a question, or as one that passes by."""
        desk, advice = episode.desk, decided if self._advised else None
        episode.asked = (desk.period + 1) % self.params.every == 0
        if not episode.asked or self._spent(episode):
            desk.pass_by(advice)
            if episode.asked:
                self._fall_back(episode, decided)
            episode.asked = False
            return
        text = desk.begin(observation, advice)
        episode.rounds = episode.retries = episode.logged = 0
        standing = [] if self._advised else [f"Decisions as they stand: {desk.decided()}"]
        notes = [f"Your notebook:\n{desk.notes}"] if desk.notes else []
        episode.periods.append([{"role": "user", "content": "\n".join([text, *standing, *notes])}])
        del episode.periods[: -self.params.memory - 1]
        episode.rule = decided

    def _spent(self, episode: Episode) -> bool:
        counts = episode.counts
        return counts["questions"] >= self.params.questions or counts["tokens"] >= self.params.tokens

    def _fall_back(self, episode: Episode, decided: np.ndarray | None) -> None:
        """Let the rule decide, or let the decisions stand, as the model does not."""
        episode.counts["fallback"] += 1
        episode.desk.close()
        if self.params.fallback == "rule" and decided is not None:
            rule = self.board.first() if self.params.mode == "parameters" else decided
            episode.desk.take(rule)

    def _converse(self, episodes: list[Episode]) -> None:
        """Ask until every period is closed."""
        while pending := [episode for episode in episodes if episode.asked and not episode.desk.closed]:
            for episode, answer in zip(pending, self._answers(pending), strict=True):
                self._take(episode, answer)

    def _take(self, episode: Episode, answer: Answer) -> None:
        counts, params = episode.counts, self.params
        counts["questions"] += 1
        counts["tokens"] += answer.prompt_tokens + answer.answer_tokens
        counts["spend"] += (answer.prompt_tokens * params.price_in + answer.answer_tokens * params.price_out) / 1e6
        results = []
        for call in answer.calls:
            results.append(episode.desk.call(call.name, call.arguments).text)
        if not answer.calls:
            counts["unusable"] += 1
            episode.retries += 1
            results.append(AGAIN)
        episode.periods[-1] += answer.messages(results, int(counts["questions"]))
        useless = not answer.calls and episode.retries > params.retries
        episode.rounds += 1
        if not episode.desk.closed and (useless or self._spent(episode)):
            self._fall_back(episode, episode.rule)
        elif not episode.desk.closed and episode.rounds >= params.rounds:
            episode.desk.counters["forced"] += 1
            episode.desk.close()

    def _answers(self, pending: list[Episode]) -> list[Answer]:
        """Return the answers of the episodes: those that are known, and the others by asking."""
        asked = [self._messages(episode) for episode in pending]
        digests = [digest_of(self._request(messages)) for messages in asked]
        unknown = {digest: k for k, digest in enumerate(digests) if self.transcripts.known(digest) is None}
        if unknown:
            places = list(unknown.values())
            for k, answer in self._ask([asked[place] for place in places]):
                self._keep(pending[places[k]], digests[places[k]], answer)
        answers = []
        for episode, digest in zip(pending, digests, strict=True):
            answer = self.transcripts.known(digest)
            assert answer is not None
            self._keep(episode, digest, answer)
            answers.append(answer)
        return answers

    def _ask(self, questions: list[Messages]):
        if self._asker is None:
            self._asker = (Local if self.params.local else Endpoint)(self.params)
        for k, answer in self._asker.ask(questions, self.tools):
            yield k, self._asker.cleaned(answer)

    def _keep(self, episode: Episode, digest: str, answer: Answer) -> None:
        turns = episode.periods[-1]
        self.transcripts.keep(episode.name, digest, turns[episode.logged :], answer)
        episode.logged = len(turns)

    def _messages(self, episode: Episode) -> Messages:
        return [{"role": "system", "content": self._system}, *(turn for turns in episode.periods for turn in turns)]

    def _request(self, messages: Messages) -> list[Any]:
        p = self.params
        return [p.base_url, p.model, p.temperature, p.answer_tokens, p.extra, self.tools, messages]

    def _action(self, episode: Episode, observation: np.ndarray, decided: np.ndarray | None) -> np.ndarray:
        """Return the action (A,) that follows from what was decided."""
        action = episode.desk.action
        if self.params.mode == "parameters":
            params = {name: action[place].tolist() for name, place in self.board.places().items()}
            rule = rules_of(self.model).Heuristic(getattr(self.rule, "kind", ""), params, self.model)
            action = np.asarray(rule(observation[None], None, 0)[0], float).reshape(-1)
        if decided is None or not math.isfinite(self.params.deviation):
            return action
        room = self.params.deviation * (self.model.action_high - self.model.action_low)
        within = np.clip(action, decided - room, decided + room)
        episode.counts["corrected"] += int(not np.array_equal(within, action))
        return within


def _board(rule: Any, span: float) -> Board:
    """Return the board of a rule's parameters: as tuned, and as far around that as `span` says."""
    given = {name: np.ravel(np.asarray(values)) for name, values in getattr(rule, "params", {}).items()}
    numbers = sum(map(len, given.values()))
    plain = all(values.dtype.kind in "iuf" and np.isfinite(values).all() for values in given.values())
    if not 1 <= numbers <= LARGEST_RULE or not plain:
        kind = getattr(rule, "kind", type(rule).__name__)
        raise FieldError("rule", kind, f"one with 1 to {LARGEST_RULE} numbers as parameters", "here")
    first = np.concatenate([values.astype(float) for values in given.values()])
    room = span * np.maximum(np.abs(first), 1.0)
    parts = {name: Part(len(values), "parameter of the rule") for name, values in given.items()}
    return Board(parts, first - room, first + room, start=first)
