"""One customer taken out of a file: CSV, Excel, Parquet, JSON (a value, or one per line) and npz. All else stays as it
is; of a CSV file byte for byte.
"""

import csv
import io
import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from ..reading import parse_json, plain_bytes, read_arrays
from .files import TEXT, decode, named, separator_of
from .privacy import CUSTOMER_COLUMNS, pseudonymise

SUFFIXES = (*TEXT, ".parquet", ".xlsx", ".json", ".jsonl", ".npz")


class Customer:
    """A customer by the raw id or by the pseudonym under a key; `columns` are the names that hold ids."""

    def __init__(self, name: str, key: bytes | None, columns: Sequence[str] = ()):
        self.name, self.key = _plain(name), key
        self.columns = [*CUSTOMER_COLUMNS, *columns]
        self.names = {self.name}
        self.looked: dict[str, bool] = {}
        if key is not None:
            self.names.add(pseudonymise(pd.Series([self.name], dtype=object), key).iloc[0])

    def __call__(self, value) -> bool:
        """Whether an id is the customer's: raw, its pseudonym, or the raw one of the pseudonym that was given."""
        if isinstance(value, float | np.floating) and not np.isnan(value) and float(value).is_integer():
            value = int(value)
        text = _plain(str(value))
        if text in self.names or self.key is None or not re.fullmatch(r"[0-9a-f]{16}", self.name):
            return text in self.names
        if text not in self.looked:
            self.looked[text] = pseudonymise(pd.Series([text], dtype=object), self.key).iloc[0] == self.name
        return self.looked[text]

    def among(self, values: Sequence) -> np.ndarray:
        """(n,) bool: which ids are the customer's."""
        codes, unique = pd.factorize(np.asarray(values, dtype=object))
        return np.array([*(self(value) for value in unique), False])[codes]


def _plain(text: str) -> str:
    return re.sub(r"^(\d+)\.0$", r"\1", str(text).strip())


def without(path: Path, customer: Customer) -> tuple[bytes, int]:
    """A file's content without the rows of a customer, not encrypted, and how many rows there were.

    Raises ValueError where the file is not readable as what its name says.
    """
    content, suffix = plain_bytes(path), path.suffix.lower()
    work: Callable = {".parquet": _parquet, ".xlsx": _sheets, ".json": _json, ".jsonl": _lines}.get(suffix, _text)
    try:
        return _arrays(path, customer) if suffix == ".npz" else work(content, customer)
    except (ModuleNotFoundError, MemoryError):
        raise
    except Exception as error:  # any, of a damaged file
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(f"{path}: not readable as {suffix[1:]}: {reason}") from error


def _text(content: bytes, customer: Customer) -> tuple[bytes, int]:
    text, encoding = decode(content)
    head = re.match(r"(?:[ \t]*(?:#[^\n]*|sep=.)?\r?\n)*", text)
    above = head.group() if head else ""
    separator = separator_of(text[len(above) :].splitlines()[0] if text[len(above) :] else "", customer.columns)
    raw: list[str] = []

    def lines():
        for line in io.StringIO(text[len(above) :], newline=""):
            raw.append(line)
            yield line

    kept, places, count = [above], None, 0
    for cells in csv.reader(lines(), delimiter=separator, skipinitialspace=True):
        if places is None:
            places = [place for place, asked in enumerate(named(cells, customer.columns)) if asked]
        elif any(place < len(cells) and customer(cells[place]) for place in places):
            count += 1
            raw.clear()
        kept += raw
        raw.clear()
    return ("".join(kept).encode(encoding), count) if count else (content, 0)


def _parquet(content: bytes, customer: Customer) -> tuple[bytes, int]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    file = pq.ParquetFile(io.BytesIO(content))
    table = file.read()
    gone = np.zeros(table.num_rows, bool)
    for name, asked in zip(table.column_names, named(table.column_names, customer.columns), strict=True):
        if asked:
            gone |= customer.among(table[name].to_pandas())
    if not gone.any():
        return content, 0
    buffer, groups = io.BytesIO(), file.metadata
    packed = groups.row_group(0).column(0).compression if groups.num_row_groups else "SNAPPY"
    pq.write_table(table.filter(pa.array(~gone)), buffer, compression="NONE" if packed == "UNCOMPRESSED" else packed)
    return buffer.getvalue(), int(gone.sum())


def _sheets(content: bytes, customer: Customer) -> tuple[bytes, int]:
    from openpyxl import load_workbook

    book, count = load_workbook(io.BytesIO(content)), 0
    for sheet in book.worksheets:
        places: list[int] = []
        gone: list[int] = []
        for number, row in enumerate(sheet.iter_rows(values_only=True), 1):
            if not places and number <= 20:
                header = ["" if cell is None else cell for cell in row]
                places = [place for place, asked in enumerate(named(header, customer.columns)) if asked]
            elif any(customer(row[place]) for place in places):
                gone.append(number)
        for number in reversed(gone):
            sheet.delete_rows(number)
        count += len(gone)
    buffer = io.BytesIO()
    book.save(buffer)
    return (buffer.getvalue(), count) if count else (content, 0)


def _json(content: bytes, customer: Customer) -> tuple[bytes, int]:
    value, count = _less(parse_json(content, "JSON"), "", customer)
    return ((json.dumps(value, indent=1, ensure_ascii=False) + "\n").encode(), count) if count else (content, 0)


def _lines(content: bytes, customer: Customer) -> tuple[bytes, int]:
    kept, count = [], 0
    for line in content.splitlines(keepends=True):
        value, gone = _less(parse_json(line, "JSON"), "", customer) if line.strip() else (None, 0)
        count += gone
        if not gone:
            kept.append(line)
        elif value is not None:
            kept.append((json.dumps(value, ensure_ascii=False) + "\n").encode())
    return b"".join(kept), count


def _less(value, name: str, customer: Customer):
    """A value of plain types without the customer's parts (None: it is one itself), and how many there were.

    The customer's are an object with the id under a name of ids, a value under the id, and the id in a list of ids.
    """
    names, count = named([name, name.removesuffix("s")], customer.columns), 0
    if isinstance(value, dict):
        if any(customer(part) for key, part in value.items() if named([key], customer.columns)[0]):
            return None, 1
        kept = {}
        for key, part in value.items():
            less, gone = (None, 1) if any(names) and customer(key) else _less(part, str(key), customer)
            count += gone
            if less is not None or not gone:
                kept[key] = less
        return kept, count
    if isinstance(value, list):
        parts = []
        for part in value:
            less, gone = (None, 1) if any(names) and customer(part) else _less(part, name, customer)
            count += gone
            parts += [less] if less is not None or not gone else []
        return parts, count
    return value, 0


def _arrays(path: Path, customer: Customer) -> tuple[bytes, int]:
    """Rows of all arrays that are as long as the one of the ids."""
    arrays = read_arrays(path)
    gone = np.zeros(0, bool)
    for name, asked in zip(arrays, named(list(arrays), customer.columns), strict=True):
        if asked and arrays[name].ndim == 1:
            values = [one.decode(errors="replace") if isinstance(one, bytes) else one for one in arrays[name].tolist()]
            found = customer.among(values)
            gone = gone | found if len(gone) == len(found) else found
    if not gone.any():
        return b"", 0
    buffer = io.BytesIO()
    np.savez(buffer, **{k: v[~gone] if v.shape[:1] == gone.shape else v for k, v in arrays.items()})
    return buffer.getvalue(), int(gone.sum())
