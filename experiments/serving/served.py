"""What a route needs of the model behind it, and the bodies that all of them share the limits of."""

import re
from abc import ABC, abstractmethod
from datetime import datetime
from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, ValidationError
from pydantic.json_schema import models_json_schema

from ...errors import FieldError

MAX_ROWS = 1024  # of a request
DEPTH = 8  # lists and objects of a body inside one another
MEMBERS = 1000  # of an object in a body
ITEMS = 100_000  # of a list in a body

Id = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Text = Annotated[str, StringConstraints(max_length=10_000)]


def _iso(value):
    if not isinstance(value, str) or not re.match(r"\d{4}-\d\d-\d\d", value):
        raise ValueError("expected ISO 8601, such as 2024-02-01T12:00:00Z")
    return value


def _whole(value):
    return int(value) if isinstance(value, float) and value.is_integer() else value


Whole = Annotated[int, BeforeValidator(_whole)]  # JSON has one kind of number: 2.0 is whole
Time = Annotated[datetime, Field(strict=False), BeforeValidator(_iso)]  # else numbers were taken for seconds


class Body(BaseModel):
    """A request's body, its rows first: what is not known is refused, and so is a number that is not finite, or a
    value of another type (`false` is no number, 0 no `false`)."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, strict=True)


class Answer(BaseModel):
    """A response's body. Numbers that are not finite are an error of the model's."""

    model_config = ConfigDict(allow_inf_nan=False)

    model: str = Field(description="folder name of the run or model that answered")


class Problem(BaseModel):
    """The body of a refusal."""

    detail: str = Field(description="the field, its value and what is allowed, or why else")


class Refused(ValueError):
    """An input that only the model itself finds bad."""


def check_size(body) -> None:
    """Raise FieldError where parsed JSON is deeper or longer than a body may be, before its errors are collected."""
    level, depth = [body], 0
    while level := [part for part in level if isinstance(part, list | dict)]:
        depth += 1
        if depth > DEPTH:
            raise FieldError("body", depth, f"at most {DEPTH} lists and objects inside one another")
        for part in level:
            most, what = (MEMBERS, "members of an object") if isinstance(part, dict) else (ITEMS, "items of a list")
            if len(part) > most:
                raise FieldError("body", len(part), f"at most {most} {what}")
        level = [value for part in level for value in (part.values() if isinstance(part, dict) else part)]


def first_error(error: ValidationError) -> str:
    """The first of the errors in one line: the field, the value and what is allowed."""
    first = error.errors(include_url=False)[0]
    steps = [f"[{step}]" if isinstance(step, int) else f".{step}" for step in first["loc"]]
    field = "".join(steps).removeprefix(".") or "body"
    value = "missing" if first["type"] == "missing" else f"{first['input']!r:.80} is not allowed"
    return f"{field[:200]}: {value}: {first['msg']}"


def schemas_of(body: type[Body], answer: type[Answer]) -> tuple[list[dict], dict]:
    """OpenAPI's references to both, and the schemas that they refer to by name."""
    types = [(body, "validation"), (answer, "serialization")]
    names, schemas = models_json_schema(types, ref_template="#/components/schemas/{model}")
    return [names[one] for one in types], schemas["$defs"]


class Served(ABC):
    """A model behind a route. Rows of a request are independent of one another, but for `fraud`."""

    route: str
    about: dict  # what /models tells of it: plain types
    sample: dict  # a request that it is tried with before it serves
    Body: ClassVar[type[Body]]
    Answer: ClassVar[type[Answer]]
    row: ClassVar[str]  # field of `Answer` that has a row per row of the request
    width: int | None = None  # numbers in each of these rows

    def __init__(self, folder: Path):
        self.folder = folder

    @abstractmethod
    def read(self, body):
        """Return what `answer` takes of a body; raises a ValueError that names the field, the value, what is allowed.

        Types and bounds are the schema's; here stands what depends on the model.
        """

    @abstractmethod
    def answer(self, inputs) -> dict:
        """Return the fields of `Answer`, but for `model`; raises Refused for what the model itself finds bad."""

    def finished(self, inputs) -> Answer:
        """The checked answer; raises a ValidationError where a number in it is none."""
        return self.Answer(model=self.folder.name, **self.answer(inputs))

    def trial(self) -> None:
        """Answer the sample; raises ValueError where numbers or shapes are not what they should be."""
        try:
            body = self.Body.model_validate(self.sample)
            rows = getattr(self.finished(self.read(body)), self.row)
        except ValidationError as error:
            problem = first_error(error)
        except ValueError as error:
            problem = str(error)
        else:
            widths = {len(row) for row in rows} if self.width else {None}
            asked = len(self.rows(body))
            if len(rows) == asked and widths == {self.width}:
                return
            problem = f"{self.row} has {len(rows)} rows of {widths} numbers, expected {asked} of {self.width}"
        raise ValueError(f"{self.folder.name} cannot be served: its answer to a sample is wrong: {problem}")

    @staticmethod
    def rows(body: Body) -> list:
        """The rows of a request."""
        return getattr(body, next(iter(type(body).model_fields)))

    def memory(self):
        """What is remembered from request to request."""
        return

    def keep(self) -> None:
        """Write what is remembered to where the next process finds it, if it is to outlive this one."""
        return

    def follow(self, about: dict, memory) -> None:
        """Take the place of a model of the same route, of which /models tells `about`, with what it remembers; raises
        a ValueError where its callers would have to change what they send."""
        return
