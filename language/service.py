"""Customer service: an intent's template, a help passage, or a person; over the turns of a dialogue."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from ..errors import FieldError
from .answers import PERSON, Answers, find_slots
from .base import TextClassifier
from .retrieval import Retrieval
from .text import clean, has_words, language

Lookup = Callable[[str, dict[str, str]], dict[str, str] | None]


@dataclass(frozen=True)
class Dialogue:
    """What is remembered from turn to turn."""

    intent: str = ""  # that waits for a slot
    slots: dict[str, str] = field(default_factory=dict)
    asked: int = 0  # times in a row that the customer was asked something
    language: str = "en"
    closed: bool = False  # handed over to a person


@dataclass(frozen=True)
class Reply:
    """`action`: answer (a template), passage (of the help corpus), ask (for a slot or a sentence), person."""

    action: str
    text: str
    intent: str = ""
    confidence: float = 0.0  # of the intent; for a passage its own
    reason: str = ""  # of a hand-over: asked for, unsure, no facts, too many questions, closed


@dataclass
class ServiceParams:
    """When a machine answers."""

    confidence: float = 0.5  # of the intent (probability x familiarity), below which its template is not used
    passage_confidence: float = 0.45  # of a passage, below which a person takes over
    questions: int = 2  # in a row, after which a person takes over

    def __post_init__(self):
        for name in ("confidence", "passage_confidence"):
            if not 0 <= getattr(self, name) <= 1:
                raise FieldError(name, getattr(self, name), "a number from 0 to 1")
        if self.questions < 0:
            raise FieldError("questions", self.questions, "a whole number from 0")


class Service:
    """Answers batches of messages, each of its own dialogue. It keeps no state: dialogues come in and go out.

    `lookup(intent, slots)` gives the facts for an answer's other slots (from the store's records), None when there are
    none, such as for an unknown order.
    """

    def __init__(
        self,
        classifier: TextClassifier,
        answers: Answers,
        retrieval: Retrieval,
        lookup: Lookup,
        params: ServiceParams | None = None,
    ):
        unknown = set(classifier.labels) - set(answers.intents)
        if unknown:
            raise ValueError(f"classifier has the label {min(unknown)!r}: allowed are {', '.join(answers.intents)}")
        self.classifier, self.answers, self.retrieval = classifier, answers, retrieval
        self.lookup, self.params = lookup, params or ServiceParams()

    def reply(self, dialogues: Sequence[Dialogue], messages: Sequence[str]) -> tuple[list[Reply], list[Dialogue]]:
        """A reply to each message, and the dialogue after it."""
        messages = clean(messages)
        if len(dialogues) != len(messages):
            raise ValueError(
                f"dialogues has {len(dialogues)} entries: allowed are as many as messages, {len(messages)}"
            )
        probabilities, familiar = self.classifier.predict_proba(messages), self.classifier.familiarity(messages)
        order, confidence = self.retrieval.rank(messages) if messages else ([], [])
        # How likely the best label is, if any: of what is like nothing that was asked before, none may be.
        best, sure = probabilities.argmax(1), probabilities.max(1, initial=0.0) * familiar
        passages = [(int(places[0]), float(own)) for places, own in zip(order, confidence, strict=True)]
        rows = zip(dialogues, messages, best.tolist(), sure.tolist(), passages, strict=True)
        turns = [self._turn(*row) for row in rows]
        return [reply for reply, _ in turns], [dialogue for _, dialogue in turns]

    def _turn(self, dialogue: Dialogue, text: str, code: int, sure: float, passage: tuple[int, float]):
        if dialogue.closed:
            return self._person(dialogue, "closed")
        if not has_words(text):
            return self._ask(dialogue, "rephrase")
        given = find_slots(text)
        # A bare order number has no letters of a language: it stays what it was.
        spoken = language(text) if not given or language(text) == "zh" else dialogue.language
        dialogue = replace(
            dialogue,
            slots={**dialogue.slots, **given},
            language=spoken if spoken in self.answers.phrases else dialogue.language,
        )
        intent = self.classifier.labels[code]
        confident = sure >= self.params.confidence
        waits = [slot for slot in self._needs(dialogue.intent) if slot in given]
        missing = [slot for slot in self._needs(dialogue.intent) if slot not in dialogue.slots]
        if waits:  # what was asked for is there: the intent stays, whatever else a number looks like
            intent, sure = dialogue.intent, 1.0
        elif missing and not confident:
            return self._ask(dialogue, missing[0], dialogue.intent, sure)
        elif intent == PERSON and confident:
            return self._person(dialogue, "asked for", intent, sure)
        elif not confident or (spoken not in self.answers.phrases and not given):
            return self._passage(dialogue, passage, sure)
        return self._answer(dialogue, intent, sure)

    def _needs(self, intent: str) -> list[str]:
        return self.answers.intents[intent]["needs"] if intent else []

    def _answer(self, dialogue: Dialogue, intent: str, sure: float):
        missing = [slot for slot in self._needs(intent) if slot not in dialogue.slots]
        if missing:
            asked = dialogue.asked if intent == dialogue.intent else 0
            return self._ask(replace(dialogue, asked=asked), missing[0], intent, sure)
        facts = self.lookup(intent, dict(dialogue.slots))
        text = None if facts is None else self.answers.fill(intent, dialogue.language, {**dialogue.slots, **facts})
        if text is None:
            return self._person(dialogue, "no facts", intent, sure)
        return Reply("answer", text, intent, sure), replace(dialogue, intent="", asked=0)

    def _ask(self, dialogue: Dialogue, phrase: str, intent: str = "", sure: float = 0.0):
        if dialogue.asked >= self.params.questions:
            return self._person(dialogue, "too many questions", intent, sure)
        after = replace(dialogue, intent=intent or dialogue.intent, asked=dialogue.asked + 1)
        return Reply("ask", self.answers.phrases[dialogue.language][phrase], intent, sure), after

    def _passage(self, dialogue: Dialogue, passage: tuple[int, float], sure: float):
        place, confidence = passage
        if confidence < self.params.passage_confidence:
            return self._person(dialogue, "unsure", "", sure)
        return Reply("passage", self.retrieval.passages[place], "", confidence), replace(dialogue, intent="", asked=0)

    def _person(self, dialogue: Dialogue, reason: str, intent: str = "", sure: float = 0.0):
        text = self.answers.phrases[dialogue.language]["person"]
        return Reply("person", text, intent, sure, reason), replace(dialogue, closed=True)


def threshold_for(confidence: np.ndarray, right: np.ndarray, precision: float) -> float:
    """The least confidence (of those seen) from which up at least `precision` of the answers are right; 1 if none.

    `confidence` (N,), `right` (N,) bool, of validation questions; out-of-scope ones are never right.
    """
    if not 0 < precision <= 1:
        raise FieldError("precision", precision, "a number above 0, to 1")
    order = np.argsort(-confidence, kind="stable")
    share = np.cumsum(right[order]) / np.arange(1, len(order) + 1)
    last = np.append(np.diff(confidence[order]) != 0, True)  # equal confidences are answered together
    good = np.flatnonzero((share >= precision) & last)
    return float(confidence[order][good[-1]]) if len(good) else 1.0
