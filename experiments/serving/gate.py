"""What every request passes: body size, key, right and rate, before a byte of the body is read; counts and a log line.

A log line has the route, the caller's name, the status and the time taken: no address, no key, nothing of a body, and
of an error of ours its type and place alone, as its text could quote a body.
"""

import logging
import time
import traceback

from prometheus_client import CollectorRegistry, Counter, Histogram
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from .access import RIGHTS, Keys

LOG = logging.getLogger("storelab.serve")
MAX_BYTES = 4 * 2**20  # of a body
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
            caller = None if route in OPEN else self._caller(scope, RIGHT_OF[route])
            await self.app(scope, _limited(scope, receive), watched)
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

    def _caller(self, scope, right: str | None):
        """Return who asks; raises 401, 403 or 429."""
        given = dict(scope["headers"]).get(b"authorization", b"").decode("latin-1")
        scheme, _, key = given.partition(" ")
        caller = self.keys.find(key.strip()) if scheme.lower() == "bearer" else None
        if caller is None:
            detail = "key: missing or unknown, expected the header Authorization: Bearer KEY"
            raise HTTPException(401, detail, {"WWW-Authenticate": "Bearer"})
        seconds = self.keys.wait(caller)
        if seconds:
            detail = f"rate: more than {caller.per_second:g} requests per second are not allowed"
            raise HTTPException(429, detail, {"Retry-After": str(int(seconds) + 1)})
        if right is not None and right not in caller.rights:
            raise HTTPException(403, f"rights: {', '.join(caller.rights)} do not allow this, expected {right}")
        return caller


def _limited(scope, receive):
    """Return `receive` that raises 413 where a body says or turns out to be larger than `MAX_BYTES`."""
    too_large = HTTPException(413, f"body: larger than allowed, expected at most {MAX_BYTES} bytes")
    said = dict(scope["headers"]).get(b"content-length", b"0")
    if said.isdigit() and int(said) > MAX_BYTES:
        raise too_large
    read = 0

    async def limited():
        nonlocal read
        message = await receive()
        read += len(message.get("body", b""))
        if read > MAX_BYTES:
            raise too_large
        return message

    return limited
