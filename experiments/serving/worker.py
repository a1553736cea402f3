"""A model in a process of its own: what it does with memory, time or its libraries harms no other route.

The server passes on bytes: JSON is read, checked, answered and written here. A model answers one request at a time, as
none of them is made for several threads and the order of transactions counts.
"""

import logging
import multiprocessing
import os
import signal
import threading
import time
import traceback
from contextlib import suppress
from importlib import import_module
from multiprocessing.connection import Connection, wait
from pathlib import Path

from pydantic import ValidationError
from pydantic_core import from_json

from ..config.settings import ConfigError, one_line
from . import logs
from .served import Problem, Refused, Served, check_size, first_error, schemas_of

LOG = logging.getLogger("storelab.serve")
LOAD_SECONDS = 300.0  # for a model to load and to answer its canned request
ANSWER_SECONDS = 60.0  # for a request, after which the process is ended and another begun
QUIET = 1.0  # seconds without a request after which what is remembered is written,
SOONEST, LATEST = 30.0, 300.0  # but not sooner after the last time, and without such a pause at the latest then
END_SECONDS = 3.0  # for a process that is let go to write what it remembers
_METHODS = multiprocessing.get_all_start_methods()
CONTEXT = multiprocessing.get_context("forkserver" if "forkserver" in _METHODS else "spawn")


class Gone(Exception):
    """The process has ended, or took too long and was ended."""


class Worker:
    """The server's end of a model's process. Only one thread at a time may ask it.

    Attributes:
        about: what /models tells of the model.
        hello: its route, description, and the schemas of bodies and answers.
    """

    def __init__(self, folder: Path, load: str, begun: list, how: dict | None = None):
        """Start the process and wait until the model has answered its canned request.

        Args:
            folder: what is loaded.
            load: "module:name" of what loads it.
            begun: the process is put into it before anything is waited for.
            how: keywords of what loads it.

        Raises:
            ConfigError: what is wrong with the folder, or how the process ended.
        """
        self.folder = folder
        self._end, theirs = CONTEXT.Pipe()
        self.process = CONTEXT.Process(target=_work, args=(theirs, folder, load, how or {}), daemon=True)
        self.process.start()
        begun.append(self.process)
        theirs.close()
        try:
            problem, self.hello = self._receive(LOAD_SECONDS)
        except Gone as error:
            raise ConfigError(f"name: {folder.name!r} is not allowed as {error} while it was loaded") from None
        if problem:
            self.stop()
            raise ConfigError(problem)
        self.route, self.about = self.hello["route"], self.hello["about"]

    def answer(self, body: bytes) -> tuple[int, bytes, int, str]:
        """Return status, JSON, the number of rows, and of an error of ours its type and place. Raises Gone."""
        self._send(("answer", body))
        return self._receive(ANSWER_SECONDS)

    def follow(self, old: "Worker") -> None:
        """Take over what the old one remembers; raises ValueError where its callers would have to change, and Gone."""
        old._send(("memory",))
        memory = old._receive(ANSWER_SECONDS, raw=True)
        self._send(("follow", old.about))
        self._end.send_bytes(memory)
        problem = self._receive(ANSWER_SECONDS)
        if problem:
            raise ValueError(problem)

    def stop(self) -> None:
        """End the process, whatever it is at."""
        self.process.kill()
        self.process.join()

    def let_go(self) -> None:
        """Let the process write what it remembers, and end it."""
        threading.Thread(target=self._tell, daemon=True).start()  # of one that reads nothing the pipe may be full
        self.process.join(END_SECONDS)
        self.process.kill()  # no waiting: who would tell of its end may stand still as well

    def _tell(self) -> None:
        with suppress(OSError):  # it may have ended already
            self._end.send(("end",))

    def _send(self, message: tuple) -> None:
        try:
            self._end.send(message)
        except OSError as error:
            raise Gone(self._how()) from error

    def _receive(self, seconds: float, raw: bool = False):
        try:
            if self._end.poll(seconds):
                return self._end.recv_bytes() if raw else self._end.recv()
        except (EOFError, OSError):
            raise Gone(self._how()) from None
        self.stop()
        raise Gone(f"its process took longer than {seconds:g} s")

    def _how(self) -> str:
        self.process.join(5)
        code = self.process.exitcode
        return f"its process ended with {f'signal {-code}' if code is not None and code < 0 else f'status {code}'}"


def _work(end: Connection, folder: Path, load: str, how: dict) -> None:
    """The process: load, answer a canned request, then whatever comes, until the server hangs up."""
    for number in (signal.SIGINT, signal.SIGTERM):  # the server decides when requests have been answered
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    logs.begin()
    try:
        module, _, name = load.partition(":")
        served: Served = getattr(import_module(module), name)(folder, **how)
        served.trial()
        end.send(("", _hello(served)))
    except Exception as error:  # a library's own, of what it cannot read
        kind = "" if isinstance(error, ValueError) else f"{folder.name} cannot be served: {type(error).__name__}: "
        end.send((kind + one_line(error), None))
        return
    changed, kept = False, time.monotonic()
    while True:
        age = time.monotonic() - kept
        if changed and (age > LATEST or not end.poll(max(QUIET, SOONEST - age))):
            _keep(served)
            changed, kept = False, time.monotonic()
        try:
            what, *given = end.recv()
        except EOFError:
            return
        if what == "end":
            if changed:
                _keep(served)
            return
        if what == "answer":
            end.send(_answer(served, *given))
            changed = True
        elif what == "memory":
            end.send(served.memory())
        else:
            end.send(_follow(served, *given, end.recv()))
            changed = True


def _keep(served: Served) -> None:
    try:
        served.keep()
    except OSError as error:  # a folder that may not be written to: the process goes on
        LOG.warning("/%s: what it remembers is not written: %s", served.route, error)


def _end_with_parent() -> None:
    wait([multiprocessing.parent_process().sentinel])
    os._exit(1)


def _hello(served: Served) -> dict:
    (body, answer), schemas = schemas_of(served.Body, served.Answer)
    hello = {"route": served.route, "about": served.about, "description": served.__doc__}
    return hello | {"body": body, "answer": answer, "schemas": schemas}


def _follow(served: Served, about: dict, memory) -> str:
    try:
        served.follow(about, memory)
    except ValueError as error:
        return one_line(error)
    return ""


def _answer(served: Served, content: bytes) -> tuple[int, bytes, int, str]:
    try:
        given = from_json(content)
    except ValueError as error:
        return 400, _problem(f"body: no JSON ({error})"), 0, ""
    try:
        check_size(given)
        body = served.Body.model_validate(given)
        inputs = served.read(body)
    except ValidationError as error:
        return 422, _problem(first_error(error)), 0, ""
    except (ValueError, OverflowError) as error:  # the latter of times at the calendar's ends
        return 422, _problem(one_line(error)), 0, ""
    try:
        answer = served.finished(inputs)
        return 200, answer.model_dump_json().encode(), len(served.rows(body)), ""
    except Refused as error:
        return 422, _problem(one_line(error)), 0, ""
    except Exception as error:  # its text could quote the body
        last = traceback.extract_tb(error.__traceback__)[-1]
        return 500, _problem("internal error"), 0, f"{type(error).__name__} at {last.filename}:{last.lineno}"


def _problem(detail: str) -> bytes:
    return Problem(detail=detail).model_dump_json().encode()
