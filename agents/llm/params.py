"""What a language model is asked with, how long, and what holds where it says nothing of use."""

import math
import re
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from ...envs.core.checks import check_choice, check_number
from ...errors import FieldError

MODES = ("alone", "advised", "parameters")
FALLBACKS = ("rule", "hold")


@dataclass
class LLMParams:
    """Parameters of a language model as an agent.

    The model is asked at an endpoint where there is a `base_url`, else loaded by its name or folder. Of the modes,
    `alone` shows it the observation, `advised` also what a tuned rule would decide, which holds unless it is changed,
    and with `parameters` it sets the parameters of that rule, which then decides.
    """

    model: str = ""  # name at the endpoint; or a folder or hub name of a causal model (safetensors)
    base_url: str = ""  # of an OpenAI-compatible endpoint, such as http://127.0.0.1:8000/v1; "": a local model
    key_variable: str = "OPENAI_API_KEY"  # of the environment, which holds the endpoint's key; it is never written
    name: str = "llm"  # in tables
    mode: str = "alone"  # alone | advised | parameters: of the best tuned heuristic
    rule: str = ""  # kind of heuristic that advises, corrects and stands in; "": the best one on validation scenarios
    deviation: float = math.inf  # share of an action's range by which it may differ from the rule's; .inf: any
    span: float = 1.0  # parameters only: share of a tuned value by which it may be changed
    every: int = 1  # periods from question to question; decisions stand in between
    memory: int = 5  # earlier periods that stay in the conversation
    fallback: str = "rule"  # rule | hold: who decides once the budget is spent or replies are of no use
    questions: int = 1000  # in an episode, at most
    tokens: int = 1_000_000  # in an episode, at most: of prompts and answers
    limit: int = 5000  # periods asked about in an evaluation: one that would need more is refused before it begins
    rounds: int = 10  # questions in a period, at most: then it ends with the decisions as they stand
    retries: int = 2  # after a reply without a tool call, in a period
    attempts: int = 6  # at a question, where the endpoint does not answer
    backoff: float = 1.0  # seconds after the first of them; doubled each time
    timeout: float = 120.0  # seconds that an answer may take
    concurrency: int = 8  # questions at the same time, or rows of a local model's batch
    answer_tokens: int = 1024  # of an answer, at most
    temperature: float = 0.0
    price_in: float = 0.0  # money per million tokens of prompts
    price_out: float = 0.0  # money per million tokens of answers
    extra: dict[str, Any] = field(default_factory=dict)  # further keys of a request
    total_steps: int = 1  # nothing is trained

    def __post_init__(self):
        check_choice("mode", self.mode, MODES)
        check_choice("fallback", self.fallback, FALLBACKS)
        for name, least, most in (
            *(("every", 1, 1e5), ("memory", 0, 1e4), ("questions", 1, 1e7), ("tokens", 1, 1e10), ("limit", 1, 1e8)),
            *(
                ("rounds", 1, 1000),
                ("retries", 0, 100),
                ("attempts", 1, 100),
                ("concurrency", 1, 1024),
                ("answer_tokens", 1, 1e6),
            ),
        ):
            check_number(name, getattr(self, name), least, most, integer=True)
        for name, most in (("backoff", 3600), ("timeout", 86400), ("temperature", 10), ("span", 100)):
            check_number(name, getattr(self, name), 0, most, exclusive=name in ("timeout", "span"))
        for name in ("price_in", "price_out"):
            check_number(name, getattr(self, name), 0, 1e9)
        check_number("deviation", self.deviation, 0, 1, endless=True)
        for name in ("model", "base_url", "rule"):
            if not isinstance(getattr(self, name), str):
                raise FieldError(name, getattr(self, name), "text")
        if not isinstance(self.name, str) or not re.fullmatch(r"[\w.+-]{1,40}", self.name):
            raise FieldError("name", self.name, "1 to 40 letters, digits and . _ + -")
        if not isinstance(self.key_variable, str) or not re.fullmatch(r"\w{0,100}", self.key_variable):
            raise FieldError("key_variable", "(not shown)", "the name of a variable of the environment, not the key")
        self._check_url()

    def _check_url(self) -> None:
        expected = "http://HOST/v1 or https://HOST/v1, without a user, a password or a query"
        try:
            parts = urlsplit(self.base_url)
            parts.port  # noqa: B018 raises for what is none
        except ValueError:
            raise FieldError("base_url", "(not shown)", expected) from None
        if parts.username or parts.password or parts.query or parts.fragment:
            raise FieldError("base_url", "(not shown)", expected)
        if self.base_url and (parts.scheme not in ("http", "https") or not parts.hostname):
            raise FieldError("base_url", self.base_url, expected)

    @property
    def local(self) -> bool:
        """Return whether the model runs here."""
        return not self.base_url
