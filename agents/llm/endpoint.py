"""Questions to an OpenAI-compatible chat endpoint, several at a time, with time limits and patience."""

import json
import os
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, ProxyHandler, Request, build_opener

from ...errors import FieldError, Unavailable
from .params import LLMParams
from .replies import Answer, of_endpoint

LARGEST = 4_000_000  # bytes of a reply that are read
AGAIN = (408, 409, 425, 429, 500, 502, 503, 504, 529)  # states after which the same question may be asked again
LONGEST_WAIT = 300.0  # seconds between two attempts
LOOPBACK = ("127.0.0.1", "localhost", "::1")
Messages = list[dict[str, Any]]


class _NoRedirect(HTTPRedirectHandler):
    """A redirect would take the key elsewhere."""

    def redirect_request(self, *args: Any, **kwargs: Any) -> None:
        return None


class Endpoint:
    """A model at an endpoint. The key is read from the environment, and goes nowhere but into the request's header."""

    def __init__(self, params: LLMParams):
        """Raises a FieldError where a key would be sent in the clear to another machine."""
        self.params = params
        self.key = os.environ.get(params.key_variable, "") if params.key_variable else ""
        parts = urlsplit(params.base_url)
        if self.key and parts.scheme == "http" and parts.hostname not in LOOPBACK:
            raise FieldError("base_url", params.base_url, "https, or a key_variable that is not set", "with a key")
        here = [ProxyHandler({})] if parts.hostname in LOOPBACK else []
        self._opener = build_opener(_NoRedirect(), *here)
        self._url = params.base_url.rstrip("/") + "/chat/completions"

    def ask(self, questions: Sequence[Messages], tools: list[dict[str, Any]]) -> Iterator[tuple[int, Answer]]:
        """Yield each question's place and its answer, as they come.

        Raises:
            Unavailable: after all attempts, or as the endpoint refuses the request (a wrong key, an unknown model).
        """
        with ThreadPoolExecutor(min(self.params.concurrency, len(questions))) as pool:
            asked = {pool.submit(self._one, messages, tools): k for k, messages in enumerate(questions)}
            failed = None
            for done in as_completed(asked):
                if (error := done.exception()) is None:
                    yield asked[done], done.result()
                elif failed is None:  # the others that are under way are waited for and kept
                    failed = error
                    for one in asked:
                        one.cancel()
                if failed is not None and all(one.done() or one.cancelled() for one in asked):
                    break
            if failed is not None:
                raise failed

    def _one(self, messages: Messages, tools: list[dict[str, Any]]) -> Answer:
        p, why, wait = self.params, "", self.params.backoff
        for attempt in range(p.attempts):
            if attempt:
                time.sleep(min(wait, LONGEST_WAIT))
                wait *= 2
            began = time.monotonic()
            try:
                with self._opener.open(self._request(messages, tools), timeout=p.timeout) as reply:
                    body = _read(reply, began + p.timeout)
                return _answer(body, time.monotonic() - began)
            except HTTPError as error:
                said = self._without_key(error.read(2000).decode(errors="replace"))
                if error.code not in AGAIN:
                    why = f"{self._url} refuses the question with {error.code}: {' '.join(said.split())[:200]}"
                    raise Unavailable(f"{why}; expected another agent.model, base_url or key") from None
                why, wait = f"state {error.code}", max(wait, _seconds(error.headers.get("Retry-After")))
            except (URLError, HTTPException, OSError, TimeoutError) as error:
                why = self._without_key(str(getattr(error, "reason", error)) or type(error).__name__)
        times = f"after {p.attempts} attempts"
        raise Unavailable(f"{self._url} does not answer {times} ({why}); the same command goes on from here")

    def _request(self, messages: Messages, tools: list[dict[str, Any]]) -> Request:
        p = self.params
        body = {"model": p.model, "messages": messages, "tools": tools, "temperature": p.temperature}
        body |= {"max_tokens": p.answer_tokens, **p.extra}
        headers = {"Content-Type": "application/json", "User-Agent": "storelab"}
        headers |= {"Authorization": f"Bearer {self.key}"} if self.key else {}
        return Request(self._url, json.dumps(body).encode(), headers)

    def _without_key(self, text: str) -> str:
        return text.replace(self.key, "(key)") if self.key else text

    def cleaned(self, answer: Answer) -> Answer:
        """Return an answer without the key, should an endpoint send it back."""
        if self.key and self.key in json.dumps(answer.plain(), ensure_ascii=False):
            answer.text = self._without_key(answer.text)
            for call in answer.calls:
                call.name, call.arguments = self._without_key(call.name), self._without_key(call.arguments)
        return answer


def _read(reply: Any, until: float) -> bytes:
    """Return a reply's body: a part of it where it is too long; raises TimeoutError where it comes too slowly."""
    parts, size = [], 0
    while size <= LARGEST and (part := reply.read1(65536)):
        parts.append(part)
        size += len(part)
        if time.monotonic() > until:
            raise TimeoutError("the answer takes too long")
    return b"".join(parts)


def _answer(body: bytes, seconds: float) -> Answer:
    if len(body) > LARGEST:
        return Answer(wrong=f"more than {LARGEST:,} bytes", seconds=seconds)
    try:
        return of_endpoint(json.loads(body), seconds)
    except (ValueError, RecursionError):
        return Answer(wrong="no JSON", seconds=seconds)


def _seconds(header: str | None) -> float:
    """Return the seconds of a Retry-After; 0 where it says none."""
    try:
        wait = float(header or 0)
    except ValueError:
        return 0.0
    return wait if 0 <= wait <= LONGEST_WAIT else 0.0
