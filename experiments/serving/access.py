"""API keys: who may do what, and how often.

A key is 256 random bits, so that one SHA-256 of it cannot be guessed back; the file holds those sums, never a key.
"""

import fcntl
import hashlib
import hmac
import json
import os
import re
import secrets
import time
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from ...envs.core.checks import check_choice, check_number
from ...envs.registry import environments
from ...errors import FieldError
from ...learning.base import write_atomic
from ..config.settings import ConfigError


def route_of(environment: str) -> str:
    """Return the route that policies of an environment answer on."""
    return environments()[environment].route or environment


ROUTES = (*dict.fromkeys(map(route_of, environments())), "recommend", "sentiment", "answer", "fraud")
RIGHTS = (*ROUTES, "metrics", "swap")


@dataclass(frozen=True)
class Caller:
    """Who holds a key."""

    name: str  # stands in the log: a service's name, not a person's
    sha256: str  # of the key, hex
    rights: tuple[str, ...]  # of `RIGHTS`
    per_second: float = 100.0  # requests, on average; a burst may be as many at once

    def __post_init__(self):
        if not isinstance(self.name, str) or not re.fullmatch(r"[\w.-]{1,64}", self.name):
            raise FieldError("name", self.name, "up to 64 letters, digits and . _ -")
        if not isinstance(self.sha256, str) or not re.fullmatch(r"[0-9a-f]{64}", self.sha256):
            raise FieldError("sha256", self.sha256, "64 hexadecimal digits")
        if not self.rights:
            raise FieldError("rights", (), f"some of {', '.join(RIGHTS)}")
        for right in self.rights:
            check_choice("rights", right, RIGHTS)
        check_number("per_second", self.per_second, 0, 1e6, exclusive=True)


class Keys:
    """The callers of a key file, each with a token bucket."""

    def __init__(self, callers: list[Caller]):
        self.callers = callers
        self._buckets = {caller.name: (_burst(caller), time.monotonic()) for caller in callers}

    @classmethod
    def read(cls, path: str | Path) -> "Keys":
        """Read a key file; raises ConfigError where it is none or names two callers alike."""
        try:
            callers = [Caller(**entry | {"rights": tuple(entry["rights"])}) for entry in json.loads(_text(path))]
            names = [caller.name for caller in callers]
            if not names or len(set(names)) < len(names):
                raise FieldError("names", names, "one or more, each of them once")
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise ConfigError(f"keys: {str(path)!r} holds no keys ({error}): --add-key NAME makes one") from error
        return cls(callers)

    def find(self, key: str) -> Caller | None:
        """Return who holds a key; all are compared, each in constant time, whichever fits."""
        given, holder = _sum(key), None
        for caller in self.callers:
            if hmac.compare_digest(caller.sha256, given):
                holder = caller
        return holder

    def wait(self, caller: Caller) -> float:
        """Count a request; return 0 where it is within the caller's rate, else the seconds until the next one is."""
        tokens, then = self._buckets[caller.name]
        now = time.monotonic()
        tokens = min(_burst(caller), tokens + (now - then) * caller.per_second)
        self._buckets[caller.name] = (tokens - (tokens >= 1), now)
        return 0.0 if tokens >= 1 else (1 - tokens) / caller.per_second


def add_key(path: str | Path, name: str, rights: tuple[str, ...], per_second: float) -> str:
    """Add a caller to a key file, which is made where there is none; return the key, which is kept nowhere.

    Raises:
        ConfigError: a name that is there already, a right that does not exist, a file that cannot be written.
    """
    key = secrets.token_urlsafe(32)
    try:
        caller = Caller(name, _sum(key), rights, per_second)
    except ValueError as error:
        raise ConfigError(str(error)) from error
    path = Path(path).resolve()  # a link stays one
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _alone(path.parent):
            known = Keys.read(path).callers if path.exists() else []
            if name in {other.name for other in known}:
                raise ConfigError(f"name: {name!r} is not allowed, expected one that {str(path)!r} does not hold yet")
            text = json.dumps([asdict(c) for c in [*known, caller]], indent=1) + "\n"
            if not path.exists():
                os.close(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600))  # write_atomic keeps permissions
            write_atomic(path, text.encode())
    except OSError as error:
        raise ConfigError(f"keys: {str(path)!r} cannot be written: {error.strerror}") from error
    return key


@contextmanager
def _alone(folder: Path):
    """Hold a folder's lock: two that add a key at once would each write a file without the other's."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _burst(caller: Caller) -> float:
    return max(1.0, caller.per_second)


def _sum(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


def _text(path: str | Path) -> str:
    return Path(path).read_text(encoding="utf-8")
