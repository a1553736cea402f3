"""What a route needs of the model behind it, and the bodies that all of them share the limits of."""

import re
from abc import ABC, abstractmethod
from datetime import datetime
from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

MAX_ROWS = 1024  # of a request

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
    """A response's body."""

    model: str = Field(description="folder name of the run or model that answered")


class Refused(ValueError):
    """An input that only the model itself finds bad."""


class Served(ABC):
    """A model behind a route. Rows of a request are independent of one another, but for `fraud`."""

    route: str
    about: dict  # what /models tells of it: plain types
    Body: ClassVar[type[Body]]
    Answer: ClassVar[type[Answer]]

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

    def follow(self, old: "Served") -> None:
        """Take the place of a model of the same route, with what it remembers; raises a ValueError where its callers
        would have to change what they send."""
        return
