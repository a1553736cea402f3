"""The routes: one per model, with batches of 1 to `MAX_ROWS` rows; /swap puts a newer run behind one while it answers.

Each model has a process and a queue of its own, so that no route waits for another: this process only passes bytes on.
"""

import logging
from asyncio import get_running_loop
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Literal

from fastapi import FastAPI, HTTPException, Request, Response, Security
from fastapi.security import HTTPBearer
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BaseModel, Field, ValidationError, create_model

from ...errors import FieldError
from ..config.settings import ConfigError, one_line
from ..runs.provenance import versions
from .access import Keys
from .gate import Gate, Metrics
from .served import Answer, Body, Problem, first_error, schemas_of
from .worker import Gone, Worker

NAME = r"^[A-Za-z0-9][\w.+-]{0,199}$"  # of a folder beside the present one: no path
WAITING = 16  # requests of a route, the one that is being answered among them
LOG = logging.getLogger("storelab.serve")


class Health(BaseModel):
    status: Literal["ok"] = "ok"


WHY = {400: "no JSON", 401: "no known key", 403: "the key lacks the right", 408: "a body that took too long"}
WHY |= {413: "too large a body", 415: "not application/json", 422: "a bad value", 429: "too many requests"}
WHY |= {500: "an internal error", 503: "the route's queue is full"}
REFUSALS = {status: {"model": Problem, "description": why} for status, why in WHY.items()}


class Slot:
    """A route's model, which may change, the queue before it, and how others are loaded from beside its folder."""

    def __init__(self, folder: Path, load: str, **how):
        """Start a process with the model; `load`: "module:name" of what loads it, with `how`. Raises as `Worker`."""
        folder = folder.resolve()
        self.root, self.load, self.how, self.begun = folder.parent, load, how, []
        self.waiting, self.loading, self.ended = 0, False, False
        self.worker = self._begin(folder)
        self.turns, self.loads = ThreadPoolExecutor(1), ThreadPoolExecutor(1)  # the first alone talks to the worker

    def _begin(self, folder: Path) -> Worker:
        self.begun = [process for process in self.begun if process.is_alive()]
        return Worker(folder, self.load, self.begun, self.how)

    async def answer(self, content: bytes) -> tuple[int, bytes, int]:
        """Return status, JSON and the number of rows; raises 503 where the queue is full."""
        if self.waiting >= WAITING:
            raise HTTPException(503, f"queue: {WAITING} requests wait for this route", {"Retry-After": "1"})
        self.waiting += 1
        try:
            status, answer, rows, problem = await get_running_loop().run_in_executor(self.turns, self._ask, content)
        finally:
            self.waiting -= 1
        if problem:
            LOG.error("/%s: %s", self.worker.route, problem)
        return status, answer, rows

    def _ask(self, content: bytes) -> tuple[int, bytes, int, str]:
        try:
            return self.worker.answer(content)
        except Gone as error:
            problem = str(error)
        try:
            self.worker = self.worker if self.ended else self._begin(self.worker.folder)
        except ConfigError as error:  # the next request tries again
            problem += f"; {error}"
        return 500, Problem(detail="internal error").model_dump_json().encode(), 0, problem

    async def swap(self, name: str) -> None:
        """Load the folder `name` beside the present one while that goes on answering, then put it in its place."""
        if self.loading:
            raise HTTPException(409, "name: another one is being loaded")
        if not (self.root / name).is_dir():
            raise HTTPException(404, f"name: {name!r} is not allowed, expected a folder beside the present one")
        self.loading, loop = True, get_running_loop()
        try:
            fresh = await loop.run_in_executor(self.loads, self._begin, self.root / name)
            await loop.run_in_executor(self.turns, self._put, fresh)
        except ValueError as error:
            raise HTTPException(422, one_line(error)) from error
        except Gone as error:
            raise HTTPException(500, f"internal error: {error}") from error
        finally:
            self.loading = False

    def _put(self, fresh: Worker) -> None:
        old = self.worker
        try:
            if fresh.route != old.route:
                raise FieldError("name", fresh.folder.name, f"one for {old.route}", f"as it is for {fresh.route}")
            fresh.follow(old)
        except BaseException:
            fresh.stop()
            raise
        self.worker = fresh
        old.stop()

    def stop(self) -> None:
        """End the processes: the present one once it has written what it remembers, others whatever they are at."""
        if not self.ended:
            self.ended = True
            for executor in (self.loads, self.turns):
                executor.shutdown(wait=False, cancel_futures=True)
            self.worker.let_go()
        for process in self.begun:
            process.kill()


def stop_all(slots: list[Slot]) -> None:
    """End the processes of some models, side by side."""
    if slots:
        with ThreadPoolExecutor(len(slots)) as pool:
            list(pool.map(Slot.stop, slots))


def create_app(slots: list[Slot], keys: Keys) -> FastAPI:
    """The API of some models.

    Args:
        slots: one per route; the app ends their processes when it ends.
        keys: who may do what.

    Raises:
        ValueError: two models for one route, or none at all.
    """
    by_route = {slot.worker.route: slot for slot in slots}
    if not slots or len(by_route) < len(slots):
        routes = ", ".join(slot.worker.route for slot in slots) or "none"
        raise FieldError("models", routes, "one or more of different routes")

    @asynccontextmanager
    async def life(app):
        yield
        stop_all(slots)

    metrics = Metrics()
    app = FastAPI(title="storelab", version=versions()["storelab"], docs_url=None, redoc_url=None, lifespan=life)
    app.add_middleware(Gate, keys=keys, metrics=metrics)
    with_key = {"dependencies": [Security(HTTPBearer(auto_error=False))], "responses": REFUSALS}
    components = {}
    for slot in slots:
        _add(app, slot, metrics, with_key, components)

    @app.get("/health")
    async def health() -> Health:
        return Health()

    @app.get("/models", **with_key)
    async def models() -> dict[str, dict]:
        """What stands behind each route: for a policy also the parts of an observation and the bounds of actions."""
        now = {route: slot.worker for route, slot in by_route.items()}
        return {route: {"model": worker.folder.name} | worker.about for route, worker in now.items()}

    @app.get("/metrics", response_class=Response, **with_key)
    async def prometheus() -> Response:
        """Counts and times in Prometheus' text format."""
        return Response(generate_latest(metrics.registry), media_type=CONTENT_TYPE_LATEST)

    names = Annotated[str, Field(pattern=NAME, description="of a folder beside the present one")]
    swap_body = create_model("SwapBody", __base__=Body, route=(Literal[tuple(by_route)], ...), name=(names, ...))
    (body_schema, answer_schema), schemas = schemas_of(swap_body, Answer)
    components |= schemas
    other = {404: {"model": Problem, "description": "no such folder"}}
    other |= {409: {"model": Problem, "description": "another one is being loaded"}}

    @app.post("/swap", **_documented(body_schema, answer_schema, with_key | {"responses": REFUSALS | other}))
    async def swap(request: Request) -> Response:
        """Put another run or model behind a route; a run has to be finished, and to observe and act as the present."""
        try:
            body = swap_body.model_validate_json(await _content(request))
        except ValidationError as error:
            raise HTTPException(422, first_error(error)) from error
        await by_route[body.route].swap(body.name)
        return Response(Answer(model=body.name).model_dump_json(), media_type="application/json")

    def openapi() -> dict:
        schema = FastAPI.openapi(app)
        schema["components"]["schemas"] |= components
        return schema

    app.openapi, app.state.slots = openapi, slots
    return app


def _add(app: FastAPI, slot: Slot, metrics: Metrics, with_key: dict, components: dict) -> None:
    hello = slot.worker.hello
    route, told = hello["route"], _documented(hello["body"], hello["answer"], with_key)
    components |= hello["schemas"]

    @app.post(f"/{route}", name=route, description=hello["description"], **told)
    async def endpoint(request: Request) -> Response:
        status, answer, rows = await slot.answer(await _content(request))
        metrics.rows.labels(route).inc(rows)
        return Response(answer, status, media_type="application/json")


def _documented(body: dict, answer: dict, with_key: dict) -> dict:
    """What tells of a route whose body is read elsewhere: the schemas of its body and of its answer."""
    request = {"required": True, "content": {"application/json": {"schema": body}}}
    answers = {200: {"description": "the answer", "content": {"application/json": {"schema": answer}}}}
    return with_key | {
        "responses": answers | with_key["responses"],
        "openapi_extra": {"requestBody": request},
        "response_class": Response,
    }


async def _content(request: Request) -> bytes:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise HTTPException(415, f"content-type: {kind!r:.80} is not allowed, expected application/json")
    return await request.body()
