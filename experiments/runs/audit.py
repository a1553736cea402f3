"""Raw identifiers in a run's folder or a saved model's: customers' ids of the data, e-mails, phones, cards, id numbers,
postal addresses.

What a file holds is looked at as what it is: names and values of JSON, YAML, CSV, Parquet, npz and safetensors, else
text. An id of the data is told anywhere where it has letters and digits or 8 digits; as a whole value where it has 4
characters; shorter ones, and numbers, where the name beside them says customer, or 90 % of 20 or more are ids.
"""

import csv
import io
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ...data import files
from ...data.encryption import is_encrypted
from ...data.files import read_parquet
from ...data.masking import BEFORE, Found, find
from ...data.privacy import CUSTOMER_COLUMNS, id_text
from ...reading import parse_json, plain_bytes, read_arrays, read_bytes, read_yaml
from ..config.environment import opened
from ..config.errors import ConfigError, one_line
from ..config.settings import AnySettings, within

POINTING = ("device", "address", "card", "email", "e-mail", "phone")  # columns that point at a person too
ITEMS = ("item", "item_id", "StockCode", "product_id", "sku", "Invoice", "InvoiceNo")  # what else a number may be
NAMED = re.compile(
    r"customer|user|household|member|buyer|client|account|e-?mail|phone|card|ssn|passport|客户|用户", re.I
)
SAID = re.compile(
    r"(?:customer|user|household|member|buyer|client|客户|用户)(?:[ _-]?(?:id|no|number))?['\"]?\W{0,3}([\w.-]{1,64})",
    re.I,
)
TOKEN = re.compile(r"[^\W_](?:[\w.@+-]{0,62}[^\W_])?")
SPOKEN = re.compile(
    r"(?:phone|tel|mobile|cell|call|contact|ssn|social|passport|identity|手机|电话|联系|证)[^\d]{0,25}$", re.I
)
HOME = re.compile(r"(?:address|lives?|living|resid\w{1,5}|ship|deliver|sent|住|地址|寄|送)[^\d\n]{0,25}$", re.I)
PLACED = re.compile(r",\s?[A-Z][A-Za-z.' -]{1,30}|\d{5}(?:-\d{4})?$|[A-Z]{1,2}\d[A-Z0-9]?\s?\d[A-Z]{2}$|box", re.I)
MAIL = re.compile(rb"(?<![\w.+-])[\w.+-]{3,64}@[a-z\d-]{3,63}\.[a-z]{2,6}(?![\w.-])", re.I)  # in bytes that are no text
EMBEDDED = re.compile(r"(?<=data:)[\w/+;=,.-]{0,100}base64,[A-Za-z0-9+/=]*")
SCRIPT = re.compile(r"<(script|style)\b.*?</\1>", re.S)
TAG = re.compile(r"<[^<>]*>")
IMAGES = (".png", ".gif", ".mp4", ".jpg")
MANY, MOST = 20, 0.9  # ids that tell a list of them, and the share of it


@dataclass(frozen=True)
class Leak:
    """A raw identifier: in which file of a folder, where in it, and what it is. The identifier itself is not kept."""

    file: str
    place: str
    kind: str

    def __str__(self) -> str:
        return f"{self.file}, {self.place}: {self.kind}"


@dataclass(frozen=True)
class Ids:
    """Raw ids of customers, as text."""

    all: frozenset[str] = frozenset()
    numbers: bool = True  # numbers of four digits and more are told as a whole value: nothing else is called so
    whole: frozenset[str] = field(init=False)  # that are told as a whole value
    telling: frozenset[str] = field(init=False)  # that are told anywhere

    def __post_init__(self):
        def mixed(name: str) -> bool:
            return len(name) >= 6 and any(map(str.isdigit, name)) and any(map(str.isalpha, name))

        def whole(name: str) -> bool:
            return len(name) >= 4 and (self.numbers or not name.isdigit() or len(name) >= 8)

        object.__setattr__(self, "whole", frozenset(filter(whole, self.all)))
        telling = frozenset(name for name in self.all if mixed(name) or (name.isdigit() and len(name) >= 8))
        object.__setattr__(self, "telling", telling)


def ids_of(path: str | Path, columns: dict[str, str] | None = None) -> Ids:
    """The raw ids of customers in a table, or in the tables of a folder; less what its items and orders are called too.

    `columns`: contract's name -> the table's, as in `data.read`.
    """
    path, own = Path(path), columns or {}
    names = [*CUSTOMER_COLUMNS, *POINTING, *(own[name] for name in (*CUSTOMER_COLUMNS, *POINTING) if name in own)]
    ids: set[str] = set()
    others: set[str] = set()
    for file in sorted(path.iterdir()) if path.is_dir() else [path]:
        if file.suffix.lower() not in files.SUFFIXES or not file.is_file():
            continue
        try:
            frame = files.load(file, [*names, *ITEMS, *own.values()])
        except ValueError:
            if not path.is_dir():
                raise
            continue
        known = files.named(frame.columns, names)
        for place, pointing in enumerate(known):
            unique = pd.Series(frame.iloc[:, place].dropna().unique(), dtype=object)
            names_of = {re.sub(r"^(\d+)\.0$", r"\1", one.strip()) for one in id_text(unique)}
            if frame.columns[place] in POINTING:  # not the kinds of cards or devices
                names_of = {name for name in names_of if not name.isalpha()}
            (ids if pointing else others).update(names_of)
    return Ids(frozenset(ids - others - {"", "-1", "0", "nan", "None", "NULL"}))


def data_of(settings: AnySettings) -> tuple[str, dict[str, str]]:
    """The path of the data that a run reads, "" for none, and its names of columns."""
    source = getattr(settings, "dataset", None) or getattr(settings, "data", None)
    return str(getattr(source, "path", "") or ""), dict(getattr(source, "columns", None) or {})


def data_of_config(config: dict, runs: str) -> tuple[str, dict[str, str]]:
    """`data_of` a run's `config.yaml`, whichever version wrote it; raises ConfigError as its environment is not set."""
    with within("config.yaml"):
        config, _ = opened(config, runs)
    source = config.get("dataset") or config.get("data") or {}
    return str(source.get("path") or ""), dict(source.get("columns") or {})


_allowed = ContextVar("allowed", default=False)


@contextmanager
def identifiers_allowed(allowed: bool) -> Iterator[None]:
    """While it lasts, runs end all the same where their folders hold raw identifiers, if `allowed`."""
    token = _allowed.set(allowed)
    try:
        yield
    finally:
        _allowed.reset(token)


def check_private(folder: Path, settings: AnySettings) -> dict[str, Any]:
    """Raise ConfigError where the folder of a run that has read a customer's data holds raw identifiers.

    Returns what the run's status is to say of them: nothing, or, where they are allowed, how many there are.
    """
    path, columns = data_of(settings)
    if not path:
        return {}
    try:
        ids = ids_of(path, columns)
    except (ValueError, OSError) as error:  # a plug-in reads files of any form
        ids = Ids()
        print(f"audit: ids of customers are not looked for, as no table was read: {one_line(error)}")
    leaks = audit(folder, ids)
    if leaks and _allowed.get():
        print(f"{folder} holds {len(leaks)} raw identifiers, which are allowed: storelab audit {folder} lists them")
        return {"raw_identifiers": len(leaks), "allowed": True}
    if leaks:
        more = f", and {len(leaks) - 1} more" if len(leaks) > 1 else ""
        raise ConfigError(f"{folder} holds raw identifiers: {leaks[0]}{more}; storelab audit {folder} lists them")
    return {}


def audit(folder: str | Path, ids: Ids | None = None) -> list[Leak]:
    """The raw identifiers in a file, or the files of a folder and below, one per place.

    Raises ConfigError for a file that cannot be read as what its name says.
    """
    folder, found = Path(folder), []
    for path in sorted(path for path in folder.rglob("*") if path.is_file()) if folder.is_dir() else [folder]:
        name = path.relative_to(folder).as_posix() if path != folder else path.name
        try:
            places = dict.fromkeys(_leaks(path, ids or Ids()))
        except (OSError, ValueError, csv.Error) as error:
            raise ConfigError(f"{path} cannot be looked into: {' '.join(str(error).split())}") from error
        found += [Leak(name, place, kind) for place, kind in places]
    return found


def _leaks(path: Path, ids: Ids) -> Iterable[tuple[str, str]]:
    """(place, kind) of the raw identifiers in a file."""
    suffix = path.suffix.lower()
    if suffix in IMAGES or path.name.endswith(".lock") or is_encrypted(path):
        return []
    values: Iterator[tuple[str, str, Any]] | None = None
    if suffix == ".json":
        values = _walk(parse_json(read_bytes(path), path.name))
    elif suffix in (".yaml", ".yml"):
        values = _walk(read_yaml(path))
    elif suffix == ".jsonl":
        rows = read_bytes(path).splitlines()
        values = (
            one
            for row, line in enumerate(rows)
            if line
            for one in _walk(parse_json(line, path.name), f"line {row + 1}")
        )
    elif suffix in (".csv", ".tsv"):
        values = _cells(path)
    elif suffix == ".parquet":
        values = _columns(read_parquet(path))
    elif suffix == ".npz":
        values = _arrays(read_arrays(path))
    elif suffix == ".safetensors":
        return _tensors(path, ids)
    if values is not None:
        return _judged(values, ids)
    content = read_bytes(path)
    with suppress(UnicodeDecodeError):
        return _text(content.decode(), ids, suffix in (".html", ".svg"))
    return _bytes(content, ids)


def _walk(value: Any, place: str = "", name: str = "") -> Iterator[tuple[str, str, Any]]:
    """(place, name beside it, value) of all leaves and names of plain types."""
    if isinstance(value, dict):
        yield from ((f"{place}.{key}".lstrip(".")[:200], name, key) for key in value)
        for key, part in value.items():
            yield from _walk(part, f"{place}.{key}".lstrip("."), str(key))
    elif isinstance(value, list):
        for number, part in enumerate(value):
            yield from _walk(part, f"{place}[{number}]", name)
    elif isinstance(value, str | int | float) and not isinstance(value, bool) and name != "path":
        yield place, name, value


def _cells(path: Path) -> Iterator[tuple[str, str, Any]]:
    text = plain_bytes(path).decode(errors="replace")
    separator = "\t" if path.suffix.lower() == ".tsv" else max(",;\t", key=text.partition("\n")[0].count)
    header: list[str] = []
    for row, cells in enumerate(csv.reader(io.StringIO(text), delimiter=separator)):
        header = header or cells
        for place, cell in enumerate(cells):
            name = header[place] if place < len(header) else ""
            yield f"row {row}, column {name!r}", name if row else "", cell


def _columns(frame) -> Iterator[tuple[str, str, Any]]:
    for name in frame.columns:
        values = frame[name]
        whole = values.dtype.kind == "f" and NAMED.search(str(name))  # whole numbers with gaps
        if (
            whole
            or values.dtype.kind in "OUSiu"
            or str(values.dtype) in ("string", "str", "Int64", "Int32", "category")
        ):
            first = values.dropna().drop_duplicates()
            yield from ((f"column {name!r}, row {row + 1}", str(name), one) for row, one in first.items())


def _arrays(arrays: dict[str, np.ndarray]) -> Iterator[tuple[str, str, Any]]:
    for name, array in arrays.items():
        if array.dtype.kind in "USiu":
            for place, value in enumerate(array.ravel().tolist()):
                yield f"{name}[{place}]", name, value.decode(errors="replace") if isinstance(value, bytes) else value


def _tensors(path: Path, ids: Ids) -> Iterator[tuple[str, str]]:
    """Names, metadata, whole numbers and texts (of bytes) of a file of weights; not what is a float."""
    from safetensors import safe_open

    numbers = {}
    with safe_open(path, "numpy") as file:
        yield from _judged(_walk(file.metadata() or {}, "metadata"), ids)
        for name in file.keys():  # noqa: SIM118
            kind = file.get_slice(name).get_dtype()
            if kind == "U8":
                yield from ((f"{name}: {place}", what) for place, what in _bytes(file.get_tensor(name).tobytes(), ids))
            elif kind in ("I32", "I64", "U32", "U64"):
                numbers[name] = file.get_tensor(name)
    yield from _judged(_arrays(numbers), ids)


def _judged(values: Iterable[tuple[str, str, Any]], ids: Ids) -> Iterator[tuple[str, str]]:
    """(place, kind) of the values that are raw identifiers; lists of ids are told by how many of a name are some."""
    lists: dict[str, tuple[str, set, set]] = {}
    for place, name, value in values:
        text = str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
        named = bool(NAMED.search(name))
        if text in ids.all and (named or (isinstance(value, str) and text in ids.whole)):
            yield place, "id of a customer"
        elif isinstance(value, str):
            yield from ((place, what) for what in _kinds(value, ids))
        if not named and text.isdigit():
            first, distinct, known = lists.setdefault(name, (place, set(), set()))
            distinct.add(text)
            known.update({text} & ids.whole)
    for first, distinct, known in lists.values():
        if len(distinct) >= MANY and len(known) >= MOST * len(distinct):
            yield first, f"{len(known)} ids of customers"


def _kinds(text: str, ids: Ids, deep: bool = True) -> list[str]:
    """What a text holds: kinds of personal data and ids; not names of people, which many articles are like."""
    kinds = [place.kind for place in find(text) if place.kind != "name" and _is_certain(text, place)] if deep else []
    kinds = ["id number" if kind == "id" else kind for kind in kinds]
    tokens = (
        {token for found in TOKEN.findall(text) for token in (found, *re.split(r"[.@+]", found))} if ids.all else set()
    )
    said = {one.rstrip(".-") for one in SAID.findall(text)} if ids.all else set()
    return kinds + ["id of a customer"] * (not ids.telling.isdisjoint(tokens) or not ids.all.isdisjoint(said))


def _is_certain(text: str, place: Found) -> bool:
    """Whether a place in a run's file is no number of its tables: digits, blanks and points need a word before.

    Many articles are like a street: an address needs a town or a code after it, a word before, or Chinese writing.
    """
    found, before = text[place.start : place.end], text[max(0, place.start - BEFORE) : place.start]
    count = sum(map(str.isdigit, found))
    if place.kind == "address":
        return bool(HOME.search(before) or PLACED.search(found) or not found.isascii())
    if place.kind in ("email", "card") or (place.kind == "id" and count == 18) or re.search(r"[^\d\s.]", found):
        return True
    return bool(SPOKEN.search(before)) or (count >= 11 and found == text)


def _text(text: str, ids: Ids, markup: bool) -> Iterator[tuple[str, str]]:
    """(place, kind) of a text, by lines; of a page what is shown, and e-mails and ids of it all."""
    if markup:
        whole = EMBEDDED.sub("", text)
        for number, line in enumerate(whole.splitlines()):
            mails = [place.kind for place in find(line) if place.kind == "email"] if "@" in line else []
            yield from ((f"line {number + 1}", kind) for kind in mails + _kinds(line, ids, deep=False))
        text = TAG.sub(" \n", SCRIPT.sub("", whole))
    for number, line in enumerate(text.splitlines()):
        yield from ((f"{'shown text' if markup else 'line'} {number + 1}", kind) for kind in _kinds(line, ids))


def _bytes(content: bytes, ids: Ids) -> Iterator[tuple[str, str]]:
    """(place, kind) of bytes that are no text: e-mails, and ids that tell."""
    yield from ((f"byte {match.start()}", "email") for match in MAIL.finditer(content))
    if ids.telling:
        for match in TOKEN.finditer(content.decode("latin-1")):
            if match[0] in ids.telling:
                yield f"byte {match.start()}", "id of a customer"
