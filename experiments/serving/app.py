"""The routes: one per model, with batches of 1 to `MAX_ROWS` rows; /swap puts a newer run behind one while it answers.

A model answers one request at a time: none of them is made for several threads, and the order of transactions counts.
"""

import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal

from fastapi import FastAPI, HTTPException, Response, Security
from fastapi.concurrency import run_in_threadpool
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.security import HTTPBearer
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BaseModel, Field, create_model

from ...errors import FieldError
from ..config.settings import one_line
from ..runs.provenance import versions
from .access import Keys
from .gate import Gate, Metrics
from .served import Answer, Body, Refused, Served

NAME = r"^[A-Za-z0-9][\w.+-]{0,199}$"  # of a folder beside the present one: no path


class Problem(BaseModel):
    detail: str = Field(description="the field, its value and what is allowed, or why else")


class Health(BaseModel):
    status: Literal["ok"] = "ok"


WHY = {400: "no JSON", 401: "no known key", 403: "the key lacks the right", 413: "too large a body"}
WHY |= {422: "a bad value", 429: "too many requests", 500: "an error of ours"}
REFUSALS = {status: {"model": Problem, "description": why} for status, why in WHY.items()}


class Slot:
    """A route's model, which may change, and how others are loaded from the folder that it lies in."""

    def __init__(self, folder: Path, load: Callable[[Path], Served]):
        folder = folder.resolve()
        self.root, self.load, self.served = folder.parent, load, load(folder)
        self.lock, self.loading = threading.Lock(), threading.Lock()

    def answer(self, body) -> dict:
        """Answer with the model of this moment."""
        with self.lock:
            try:
                result = self.served.answer(self._read(body))
            except Refused as error:
                raise HTTPException(422, one_line(error)) from error
            return result | {"model": self.served.folder.name}

    def _read(self, body):
        try:
            return self.served.read(body)
        except (ValueError, OverflowError) as error:  # the latter of times at the calendar's ends
            raise HTTPException(422, one_line(error)) from error

    def swap(self, name: str) -> None:
        """Load the folder `name` beside the present one while that goes on answering, then put it in its place."""
        if not self.loading.acquire(blocking=False):
            raise HTTPException(409, "name: another one is being loaded")
        try:
            if not (self.root / name).is_dir():
                raise HTTPException(404, f"name: {name!r} is not allowed, expected a folder beside the present one")
            fresh = self.load(self.root / name)
            with self.lock:
                if fresh.route != self.served.route:
                    raise FieldError("name", name, f"one for {self.served.route}", f"as it is for {fresh.route}")
                fresh.follow(self.served)
                self.served = fresh
        except ValueError as error:
            raise HTTPException(422, one_line(error)) from error
        finally:
            self.loading.release()


def create_app(slots: list[Slot], keys: Keys) -> FastAPI:
    """The API of some models.

    Args:
        slots: one per route.
        keys: who may do what.

    Raises:
        ValueError: two models for one route, or none at all.
    """
    by_route = {slot.served.route: slot for slot in slots}
    if not slots or len(by_route) < len(slots):
        routes = ", ".join(slot.served.route for slot in slots) or "none"
        raise FieldError("models", routes, "one or more of different routes")
    metrics = Metrics()
    app = FastAPI(title="storelab", version=versions()["storelab"], docs_url=None, redoc_url=None)
    app.add_middleware(Gate, keys=keys, metrics=metrics)
    app.add_exception_handler(RequestValidationError, _bad_request)
    with_key = {"dependencies": [Security(HTTPBearer(auto_error=False))], "responses": REFUSALS}
    for route, slot in by_route.items():
        _add(app, route, slot, metrics, with_key)

    @app.get("/health")
    async def health() -> Health:
        return Health()

    @app.get("/models", **with_key)
    async def models() -> dict[str, dict]:
        """What stands behind each route: for a policy also the parts of an observation and the bounds of actions."""
        now = {route: slot.served for route, slot in by_route.items()}
        return {route: {"model": served.folder.name} | served.about for route, served in now.items()}

    @app.get("/metrics", response_class=Response, **with_key)
    async def prometheus() -> Response:
        """Counts and times in Prometheus' text format."""
        return Response(generate_latest(metrics.registry), media_type=CONTENT_TYPE_LATEST)

    names = Annotated[str, Field(pattern=NAME, description="of a folder beside the present one")]
    swap_body = create_model("SwapBody", __base__=Body, route=(Literal[tuple(by_route)], ...), name=(names, ...))
    other = {404: {"model": Problem, "description": "no such folder"}}
    other |= {409: {"model": Problem, "description": "another one is being loaded"}}

    @app.post("/swap", **with_key | {"responses": REFUSALS | other})
    def swap(body: swap_body) -> Answer:
        """Put another run or model behind a route; a run has to be finished, and to observe and act as the present."""
        by_route[body.route].swap(body.name)
        return Answer(model=body.name)

    return app


def _add(app: FastAPI, route: str, slot: Slot, metrics: Metrics, with_key: dict) -> None:
    first = slot.served
    body_type, answer_type = first.Body, first.Answer

    @app.post(f"/{route}", name=route, description=first.__doc__, response_model=answer_type, **with_key)
    async def endpoint(body: body_type):  # else FastAPI takes a thread for each step of its own too
        result = await run_in_threadpool(slot.answer, body)
        metrics.rows.labels(route).inc(len(next(getattr(body, name) for name in type(body).model_fields)))
        return result


async def _bad_request(request, error: RequestValidationError) -> JSONResponse:
    """The first of the errors in one line: the field, the value and what is allowed. 400 for what is no JSON."""
    first = error.errors()[0]
    if first["type"] == "json_invalid":
        return JSONResponse({"detail": f"body: no JSON ({first['ctx']['error']})"}, 400)
    steps = [f"[{step}]" if isinstance(step, int) else f".{step}" for step in first["loc"][1:]]
    field = re.sub(r"^\.", "", "".join(steps)) or "body"
    value = "missing" if first["type"] == "missing" else f"{first['input']!r:.80} is not allowed"
    detail = f"{field[:200]}: {value}: {first['msg']}".encode(errors="backslashreplace").decode()  # lone surrogates
    return JSONResponse({"detail": detail}, 422)
