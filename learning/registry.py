"""Models by name: one way to create, load and add them, for every package of models. Loads no model's module itself."""

from collections.abc import Iterator, Mapping, MutableMapping
from dataclasses import fields
from importlib import import_module
from pathlib import Path
from typing import Any

from ..errors import FieldError
from ..reading import read_json


class Registry(Mapping):
    """Name -> `module:Class`; a module is imported when its class is used, and one with a leading dot is the package's.

    A class has `name`, `Params` (a dataclass), `fit`, `predict`, `save(folder, ...)` and the class method
    `load(folder)`; its constructor takes an instance of `Params`.
    """

    def __init__(
        self,
        package: str,
        kind: str,
        places: MutableMapping[str, str],
        key: str = "model",
        saved: Mapping[str, str] | None = None,
        params: Mapping[str, str] | None = None,
    ):
        """`kind` names a model in errors; `config.json` of a saved model holds its name under `key`; `saved` is saved
        name -> name, where the two differ; `params` is the place of a class's `Params`, where a lighter module has it.
        """
        self.package, self.kind, self.places, self.key, self.saved = package, kind, places, key, saved or {}
        self._params = params or {}

    def __getitem__(self, name: str) -> str:
        return self.places[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.places)

    def __len__(self) -> int:
        return len(self.places)

    def register(self, name: str, place: str) -> None:
        """Add a model of another package's, `package.module:Class`. Raises FieldError when the name is taken."""
        if name in self:
            raise FieldError(self.kind, name, f"a name other than {', '.join(self)}", "twice")
        if not all(place.partition(":")):
            raise FieldError(f"{self.kind} {name}", place, "package.module:Class")
        self.places[name] = place

    def model_class(self, name: str) -> Any:
        """Return the class of a model. Raises FieldError for an unknown name."""
        if name not in self:
            raise FieldError(self.kind, name, f"one of {', '.join(self)}")
        return self._at(self.places[name])

    def params_class(self, name: str) -> Any:
        """Return the `Params` of a model's class, whose module stays out where it can. Raises as `model_class`."""
        return self._at(self._params[name]) if name in self._params else self.model_class(name).Params

    def _at(self, place: str) -> Any:
        module, _, attribute = place.partition(":")
        return getattr(import_module(module, self.package), attribute)

    def create(self, name: str, **params):
        """Return an untrained model with the fields of its Params.

        Raises FieldError for an unknown name, an unknown field and a value that is not allowed.
        """
        cls = self.model_class(name)
        known = [field.name for field in fields(cls.Params)]
        for field, value in params.items():
            if field not in known:
                raise FieldError(field, value, f"one of the parameters {', '.join(known)}", f"for {name}")
        try:
            return cls(cls.Params(**params))
        except TypeError as error:
            raise ValueError(f"{self.kind} {name}: {error}") from None

    def load(self, folder: str | Path):
        """Return the model saved in `folder`. Runs no code from it; raises ValueError when it is damaged or no such."""
        name = self.saved_name(folder)
        if name not in self:
            raise ValueError(f"{folder} holds a {name!r}, not a {self.kind} ({', '.join(self)})")
        cls = self.model_class(name)
        try:
            return cls.load(folder)
        except (ValueError, OSError, ImportError):
            raise
        except Exception as error:  # what a library meets in a file that is not as it was written
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            raise ValueError(f"{folder} holds no usable {self.kind}: {reason}") from error

    def saved_name(self, folder: str | Path) -> str:
        """Return the name of the model saved in `folder`. Raises ValueError when it holds none."""
        try:
            name = read_json(Path(folder) / "config.json")[self.key]
        except (OSError, KeyError, TypeError, ValueError) as error:
            reason = f"config.json has no {error}" if isinstance(error, KeyError) else error
            raise ValueError(f"{folder} holds no usable {self.kind}: {reason}") from None
        return self.saved.get(name, name) if isinstance(name, str) else repr(name)
