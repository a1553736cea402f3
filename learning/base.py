"""Folders of saved models: weights as safetensors, a config with their checksum, a model card. No code comes from one.

Loads no torch: what is saved and loaded are NumPy arrays.
"""

import hashlib
import json
import os
import shutil
import sys
import warnings
from dataclasses import asdict, dataclass, field
from importlib import import_module
from pathlib import Path

import numpy as np

from ..errors import FieldError
from ..reading import check_file, read_bytes, read_json

ANEW = "fit_anew.json"  # beside a model, in a run's folder: it has to be fitted anew


def needs(module: str, extra: str):
    """Import a library that only some models need; a ModuleNotFoundError says which extra brings it."""
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        name = module.partition(".")[0]
        raise ModuleNotFoundError(f"{name} is needed: pip install 'storelab[{extra}]'", name=name) from error


def write_atomic(path: Path, content: bytes) -> None:
    """Write beside, then rename: a reader never sees half a file.

    Where a file is there already, its permissions stay, and a symbolic link to it goes on pointing to it.

    Raises:
        FieldError: a folder, a pipe or a device is there, or a link to one.
    """
    path = path.resolve()
    if path.exists():
        check_file(path, most=sys.maxsize)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.write_bytes(content)
        if path.exists():
            shutil.copymode(path, part)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


@dataclass
class Card:
    """A model card (Mitchell et al. 2019, arXiv:1810.03993), cut to what decides whether a model fits a purpose."""

    data: str  # what it was trained on, its source and licence
    split: str  # how training, validation and test rows were separated
    figures: dict[str, float]  # measured on the test rows; empty: nothing was
    intended_use: str
    limits: str
    groups: dict[str, dict[str, float]] = field(default_factory=dict)  # of the test rows: how many, and their figures

    def __post_init__(self):
        for name, value in asdict(self).items():
            if name not in ("figures", "groups") and not (isinstance(value, str) and value.strip()):
                raise FieldError(f"card.{name}", value, "text")

    def markdown(self, title: str, config: dict) -> str:
        """The card as a page."""
        measured = [f"| {name} | {value:.4g} |" for name, value in self.figures.items()]
        figures = "\n".join(["| figure | value |", "|---|---|", *measured]) if measured else "None measured."
        parts = {"Data": self.data, "Split": self.split, "Figures": figures}
        parts |= {"By group": self._by_group()} if self.groups else {}
        parts["Intended use"] = self.intended_use
        parts |= {"Limits": self.limits, "Configuration": f"```json\n{json.dumps(config, indent=1)}\n```"}
        return f"# {title}\n" + "".join(f"\n## {head}\n\n{text}\n" for head, text in parts.items())

    def _by_group(self) -> str:
        names = list(dict.fromkeys(name for row in self.groups.values() for name in row))
        lines = [f"| group | {' | '.join(names)} |", "|---" * (len(names) + 1) + "|"]
        for group, row in self.groups.items():
            shown = [f"{row[name]:.4g}" if name in row else "" for name in names]
            lines.append(f"| {group} | {' | '.join(shown)} |")
        return "\n".join(lines)


def save_folder(folder: str | Path, model: str, config: dict, arrays: dict[str, np.ndarray], card: Card) -> None:
    """Write `model.safetensors`, `README.md` (the card) and, last, `config.json`: plain types, checksums of the weights
    and of itself.

    `model` names what it is: `load_folder` asks for the same name.
    """
    from safetensors.numpy import save

    weights = save({name: np.ascontiguousarray(value) for name, value in arrays.items()})
    whole = {"model": model, "config": config, "card": asdict(card)}
    whole["weights_sha256"] = hashlib.sha256(weights).hexdigest()
    whole["sha256"] = _own_sum(whole)
    folder = Path(folder)
    write_atomic(folder / "model.safetensors", weights)
    write_atomic(folder / "README.md", card.markdown(f"storelab {model}", config).encode())
    write_atomic(folder / "config.json", json.dumps(whole, indent=1).encode())


def load_folder(folder: str | Path, model: str | None = None) -> tuple[str, dict, dict[str, np.ndarray], Card]:
    """Name, config, arrays and card of a folder that `save_folder` wrote.

    Warns of one that `mark_anew` marked.
    Raises ValueError when it holds none, another model than `model`, a damaged one, or weights that are not finite.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        whole = read_json(Path(folder) / "config.json")
        weights = read_bytes(Path(folder) / "model.safetensors")
        if whole.pop("sha256", None) != _own_sum(whole):
            raise ValueError("config.json does not have the checksum in it")
        saved, config, card = whole["model"], dict(whole["config"]), Card(**whole["card"])
        if hashlib.sha256(weights).hexdigest() != whole["weights_sha256"]:
            raise ValueError("model.safetensors does not have the checksum in config.json")
        arrays = load(weights)
        if name := not_finite(arrays):
            raise ValueError(f"{name} of model.safetensors holds a number that is not finite")
    except (OSError, AttributeError, KeyError, TypeError, ValueError, SafetensorError) as error:
        reason = f"{error!r} is missing" if isinstance(error, KeyError) else error
        raise ValueError(f"{folder} holds no usable model: {reason}") from None
    if model is not None and saved != model:
        raise ValueError(f"{folder} holds a {saved!r}, not a {model!r}")
    warn_anew(folder)
    return saved, config, arrays, card


def mark_anew(folder: str | Path, reason: str) -> None:
    """Leave beside a saved model, or in a run's folder, that it must be fitted anew, and why; `warn_anew` tells."""
    write_atomic(Path(folder) / ANEW, (json.dumps({"reason": reason}, indent=1) + "\n").encode())


def warn_anew(folder: str | Path) -> None:
    """Warn of a model, or of a run, that must be fitted anew."""
    if (Path(folder) / ANEW).is_file():
        told = f"{folder} must be fitted anew: it may have seen a customer who was forgotten since ({ANEW} says why)"
        warnings.warn(told, stacklevel=3)


def not_finite(arrays: dict[str, np.ndarray]) -> str | None:
    """The name of the first array with a number that is not finite; None where all are."""
    floats = {name: array for name, array in arrays.items() if array.dtype.kind == "f"}
    return next((name for name, array in floats.items() if not np.isfinite(array).all()), None)


def _own_sum(whole: dict) -> str:
    return hashlib.sha256(json.dumps(whole, sort_keys=True).encode()).hexdigest()
