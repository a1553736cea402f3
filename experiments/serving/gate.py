"""What every request passes: body size, key, right and rate, before a byte of the body is read; counts and a log line.

A log line has the route, the caller's name, the status and the time taken: no address, no key, nothing of a body, and
of an error of ours its type and place alone, as its text could quote a body.
"""

import asyncio
import logging
import time
import traceback

from prometheus_client import CollectorRegistry, Counter, Histogram
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse

from .access import RIGHTS, Caller, Keys

LOG = logging.getLogger("storelab.serve")
MAX_BYTES = 4 * 2**20  # of a body
MAX_BYTES_OF = {"/swap": 2**12}
HELD = 2**28  # bytes, of the bodies of all requests that are not yet answered
BODY_SECONDS = 30.0  # from a request's head to the end of its body
LEFT = 499  # logged and counted where a client has gone before it was answered
OPEN = ("/health", "/openapi.json")  # without a key
SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5)  # bounds of the histogram
RIGHT_OF = {f"/{name}": name for name in RIGHTS} | {"/models": None}  # None: any key will do


class Metrics:
    """What /metrics tells."""

    def __init__(self):
        self.registry = CollectorRegistry()
        self.requests = Counter("storelab_requests", "Requests", ["route", "status"], registry=self.registry)
        self.rows = Counter("storelab_rows", "Rows answered", ["route"], registry=self.registry)
        self.seconds = Histogram(
            "storelab_request_seconds", "Time to answer", ["route"], buckets=SECONDS, registry=self.registry
        )


class Gate:
    """ASGI middleware around the routes."""

    def __init__(self, app, keys: Keys, metrics: Metrics):
        self.app, self.keys, self.metrics = app, keys, metrics

    async def __call__(self, scope, receive, send):
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        begun, path, status, caller = time.perf_counter(), scope["path"], 0, None
        route = path if path in RIGHT_OF or path in OPEN else "other"

        async def watched(message):
            nonlocal status
            status = message["status"] if message["type"] == "http.response.start" else status
            await send(message)

        try:
            if route == "other":  # what is not listed here reaches no route
                raise HTTPException(404, "path: no such route, /openapi.json lists them")
            if route not in OPEN:
                caller = self._caller(scope)
                self._admit(caller, RIGHT_OF[route])
            reading = _Reading(scope, receive, MAX_BYTES_OF.get(route, MAX_BYTES))
            try:
                await self.app(scope, reading, watched)
            finally:
                reading.done()
        except ClientDisconnect:
            status = LEFT
        except HTTPException as refusal:
            await JSONResponse({"detail": refusal.detail}, refusal.status_code, refusal.headers)(
                scope, receive, watched
            )
        except Exception as error:
            last = traceback.extract_tb(error.__traceback__)[-1]
            LOG.error("%s: %s at %s:%s", route, type(error).__name__, last.filename, last.lineno)
            if not status:
                await JSONResponse({"detail": "internal error"}, 500)(scope, receive, watched)
        finally:
            taken = time.perf_counter() - begun
            self.metrics.requests.labels(route, status).inc()
            self.metrics.seconds.labels(route).observe(taken)
            LOG.info("%s %s %d %.1f ms", route, caller.name if caller else "-", status, 1000 * taken)

    def _caller(self, scope) -> Caller:
        """Return who asks; raises 401."""
        given = dict(scope["headers"]).get(b"authorization", b"").decode("latin-1")
        scheme, _, key = given.partition(" ")
        caller = self.keys.find(key.strip()) if scheme.lower() == "bearer" else None
        if caller is None:
            detail = "key: missing or unknown, expected the header Authorization: Bearer KEY"
            raise HTTPException(401, detail, {"WWW-Authenticate": "Bearer"})
        return caller

    def _admit(self, caller: Caller, right: str | None) -> None:
        """Count a request; raises 429 or 403."""
        seconds = self.keys.wait(caller)
        if seconds:
            detail = f"rate: more than {caller.per_second:g} requests per second are not allowed"
            raise HTTPException(429, detail, {"Retry-After": str(int(seconds) + 1)})
        if right is not None and right not in caller.rights:
            raise HTTPException(403, f"rights: {', '.join(caller.rights)} do not allow this, expected {right}")


class _Reading:
    """`receive` of a request, within limits: 413 for a body that says or turns out to be too large, 408 for one that
    takes too long, 503 where all bodies together are too large. What still comes then is thrown away, for a while."""

    held = 0  # bytes, of the bodies of all requests that are not yet answered

    def __init__(self, scope, receive, most: int):
        self.receive, self.most = receive, most
        self.read, self.whole, self.due = 0, False, time.monotonic() + BODY_SECONDS
        said = dict(scope["headers"]).get(b"content-length", b"0")
        if said.isdigit() and (len(said) > 15 or int(said) > most):
            self._refuse_size()

    async def __call__(self):
        if self.whole:
            return await self.receive()
        try:
            message = await asyncio.wait_for(self.receive(), self.due - time.monotonic())
        except TimeoutError:
            raise HTTPException(408, f"body: not whole after {BODY_SECONDS:g} s") from None
        length, self.whole = len(message.get("body", b"")), not message.get("more_body", False)
        self.read += length
        _Reading.held += length
        if self.read > self.most:
            self._refuse_size()
        if _Reading.held > HELD:
            raise HTTPException(503, "body: no room for more at the moment", {"Retry-After": "1"})
        return message

    def done(self) -> None:
        """Count the body no longer."""
        _Reading.held -= self.read

    def _refuse_size(self):
        raise HTTPException(413, f"body: larger than allowed, expected at most {self.most} bytes")
