"""The files that tables come in, read as text: CSV of any usual make, Excel, Parquet. What was understood is noted."""

import csv
import io
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import islice
from pathlib import Path
from zipfile import ZipFile

import pandas as pd

from ..errors import FieldError
from ..reading import check_file, check_unpacked, plain_bytes
from .encryption import is_encrypted

MOST_COLUMNS = 10_000  # of a table
SHEET_ROWS, SHEET_CELLS = 1_048_576, 100_000_000  # the most rows that Excel has
TEXT = (".csv", ".tsv", ".txt")
SUFFIXES = (*TEXT, ".xlsx", ".parquet")
SEPARATORS = (",", ";", "\t", "|")
_BOMS = (  # UTF-32's begins with UTF-16's
    (b"\xef\xbb\xbf", "utf-8-sig"),
    (b"\xff\xfe\x00\x00", "utf-32"),
    (b"\x00\x00\xfe\xff", "utf-32"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)


def load(path: Path, names: Sequence[str], encoding: str = "") -> pd.DataFrame:
    """Read a file's columns whose names are among `names`, blanks and case aside.

    `encoding` is that of a file of text, by Python's names; "": told from its bytes, see `decode`.

    The frame's index is the row in the file, from 0, the header not counted. Its `attrs` have the file's `name`,
    `found`, the names of all columns, and `notes`, what was understood of the file. Raises ValueError where the file
    is none of SUFFIXES, or not readable as what its name says, or would need far more memory than it is large.
    """
    suffix = path.suffix.lower()
    if path.is_dir():
        raise ValueError(f"{path}: is a folder; expected a file, one of {', '.join(SUFFIXES)}")
    if suffix not in SUFFIXES:
        raise ValueError(f"{path.name}: unknown file type {suffix!r}; expected one of {', '.join(SUFFIXES)}")
    if encoding and suffix not in TEXT:
        raise FieldError("encoding", encoding, f"none: a {suffix[1:]} file says its own", "here")
    reader = {".parquet": _parquet, ".xlsx": _sheets}.get(suffix) or partial(_text, encoding=encoding)
    check_file(path)
    with _readable(path):
        frame, found, notes = reader(path, names)
    frame.attrs = {"name": path.name, "found": found, "notes": notes}
    return frame


@contextmanager
def _readable(path: Path):
    """Turn what a library meets in a damaged file, which may be any error, into a ValueError that names the file."""
    try:
        yield
    except (ModuleNotFoundError, PermissionError, FieldError):
        raise
    except MemoryError as error:
        raise ValueError(f"{path.name}: it needs more memory than there is") from error
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(f"{path.name}: not readable as {path.suffix[1:].lower()}: {reason}") from error


def named(columns: Sequence, names: Sequence[str]) -> list[bool]:
    """Which columns are among `names`, blanks around them and case aside."""
    known = {name.strip().casefold() for name in names}
    return [str(column).strip().casefold() in known for column in columns]


def parquet_columns(path: str | Path) -> list[str]:
    """Return the names of a Parquet file's columns; raises as `read_parquet`."""
    with _readable(path := check_file(path)):
        return _arrow(path).read_schema(_opened(path)).names


def read_parquet(path: str | Path, columns: Sequence[str] | None = None) -> pd.DataFrame:
    """Read a Parquet file, or some of its columns, text as objects.

    Equal texts are one object, so that a file takes no more memory than its pages unpack to and 8 bytes a value.

    Raises:
        ValueError: a damaged file, columns of lists, one that would need far more memory than it is large.
        ModuleNotFoundError: it says which extra reads such files.
        OSError: no such file.
    """
    with _readable(check_file(path)):
        return _table(Path(path), columns)


def _opened(path: Path) -> Path | io.BytesIO:
    """What a library reads a file from: its path, or, of an encrypted one, its content."""
    return io.BytesIO(plain_bytes(path)) if is_encrypted(path) else path


def _table(path: Path, columns: Sequence[str] | None) -> pd.DataFrame:
    pq, source = _arrow(path), _opened(path)
    with pq.ParquetFile(source) as file:
        kinds = file.schema_arrow
        wanted = list(kinds.names if columns is None else columns)
        _check_pages(path, file.metadata, set(wanted))
        twice = [name for name in wanted if wanted.count(name) > 1]
        if twice:
            raise ValueError(f"column {twice[0]!r} appears more than once; expected once")
        nested = [name for name in wanted if kinds.field(name).type.num_fields]
        if nested:
            raise ValueError(f"column {nested[0]!r} holds lists or records; expected a value per row")
        texts = [name for name in wanted if _is_text(kinds.field(name).type)]
    with pq.ParquetFile(source, read_dictionary=texts) as file:
        table = file.read(columns=wanted)
    check_unpacked(path.name, path.stat().st_size, sum(_characters(column) for column in table.columns))
    frame = table.to_pandas()
    frame = frame.reset_index() if set(wanted) & set(frame.index.names) else frame
    for name in texts:
        if name in frame:
            frame[name] = frame[name].astype(object).where(frame[name].notna(), None)
    return frame


def _check_pages(path: Path, footer, wanted: set[str]) -> None:
    """Raise ValueError where a Parquet file's pages of some columns, or the values in them, take too much memory."""
    needed = 0
    for group in range(footer.num_row_groups):
        for place in range(footer.num_columns):
            chunk = footer.row_group(group).column(place)
            if chunk.path_in_schema.partition(".")[0] in wanted:
                width = max(8, footer.schema.column(place).length or 0)
                needed += chunk.total_uncompressed_size + width * chunk.num_values
    check_unpacked(path.name, path.stat().st_size, max(needed, 8 * footer.num_rows * len(wanted)))


def _characters(column) -> int:
    """The bytes of a coded column's text, each row's own; 0 for other columns."""
    import pyarrow.compute as pc
    import pyarrow.types as types

    if not (types.is_dictionary(column.type) and _is_text(column.type.value_type)):
        return 0
    return sum(pc.sum(pc.take(pc.binary_length(part.dictionary), part.indices)).as_py() or 0 for part in column.chunks)


def _is_text(kind) -> bool:
    import pyarrow.types as types

    return types.is_string(kind) or types.is_large_string(kind) or types.is_binary(kind) or types.is_large_binary(kind)


def _arrow(path: Path):
    try:
        import pyarrow.parquet as pq
    except ModuleNotFoundError as error:
        need = "Parquet files need pyarrow: pip install 'storelab[parquet]'"
        raise ModuleNotFoundError(f"{path.name}: {need}", name="pyarrow") from error
    return pq


def decode(raw: bytes, encoding: str = "") -> tuple[str, str]:
    """Text and its encoding: the one given, else by the byte order mark, else UTF-16 (every other byte 0), UTF-8,
    GB 18030, Windows-1252.

    GB 18030 (with GBK and GB 2312 in it) has most of its characters among the 3,755 usual ones and the marks of GB
    2312. Windows-1252 has single letters beyond ASCII, two in a row at most, as Western languages do. Raises
    ValueError where a file is neither: it is then of another script, and its encoding has to be said.
    """
    if encoding:
        try:
            return raw.decode(encoding), encoding
        except (LookupError, UnicodeDecodeError) as error:
            raise FieldError("encoding", encoding, f"one that the file is in: {error}") from None
    for mark, encoding in _BOMS:
        if raw.startswith(mark):
            return raw.decode(encoding), encoding
    sample = raw[:4096]
    for encoding, zeros in (("utf-16-le", sample[1::2]), ("utf-16-be", sample[0::2])):
        if zeros.count(0) > 0.4 * max(len(zeros), 1) and len(raw) % 2 == 0:
            return raw.decode(encoding), encoding
    for encoding, fits in (("utf-8", lambda raw: True), ("gb18030", _chinese), ("cp1252", _western)):
        try:
            if fits(raw):
                return raw.decode(encoding), encoding
        except UnicodeDecodeError:
            pass
    if _western(raw):
        return raw.decode("latin-1"), "latin-1"  # every byte is a character
    raise ValueError("its bytes do not tell its encoding; expected encoding=NAME, such as shift_jis, cp1251 or big5")


def _chinese(raw: bytes) -> bool:
    """Whether most characters beyond ASCII are usual ones of GB 2312: marks in rows 1 to 3, first level in 16 to 55."""
    beyond = [char.encode("gb18030") for char in raw.decode("gb18030") if char > "\x7f"]
    pairs = [pair for pair in beyond if len(pair) == 2 and pair[1] > 0xA0]
    usual = [0xB0 <= pair[0] < 0xD8 for pair in pairs if not 0xA4 <= pair[0] < 0xB0 and 0xA1 <= pair[0] < 0xD8]
    return len(usual) >= 0.9 * len(beyond) and any(usual)


def _western(raw: bytes) -> bool:
    """Whether letters beyond ASCII stand alone, or two in a row, as in Western languages."""
    runs = re.findall(rb"[\x80-\xff]+", raw)
    return sum(len(run) < 3 for run in runs) >= 0.9 * len(runs)


def _text(path: Path, names: Sequence[str], encoding: str) -> tuple[pd.DataFrame, list[str], list[str]]:
    """A table of text, every cell as the file says it: items keep leading zeros, errors show what stands there."""
    text, encoding = decode(plain_bytes(path), encoding)
    if "\0" in text:
        raise ValueError("it holds NUL characters, which no text has")
    text = re.sub(r"\r\n?", "\n", text) if "\n" not in text else text  # an old Mac's lines
    notes = [] if encoding in ("utf-8", "utf-8-sig") else [f"the encoding is read as {encoding}"]
    head = re.match(r"(?:[ \t]*(?:#[^\n]*|sep=.)?\r?\n)*", text).group()
    comments = len(re.findall(r"^[ \t]*#", head, re.MULTILINE))
    notes += [f"{comments} comment lines before the header are left out"] if comments else []
    header = text[len(head) :].partition("\n")[0]
    separator = separator_of(header, names)
    if header.count(separator) >= MOST_COLUMNS:
        raise ValueError(f"its header has {header.count(separator) + 1:,} fields; expected at most {MOST_COLUMNS:,}")
    notes += [f"columns are separated by {separator!r}"] if separator != "," else []
    try:
        # The header is read as a row: a row with more fields is then an error, not a silent index column.
        frame = pd.read_csv(
            io.StringIO(text[len(head) :]),
            header=None,
            dtype=str,
            keep_default_na=False,
            na_values=[""],
            sep=separator,
            skipinitialspace=True,
        )
    except pd.errors.ParserError as error:
        numbers = re.search(r"Expected (\d+) fields in line (\d+), saw (\d+)", str(error))
        if not numbers:
            raise
        expected, line, saw = map(int, numbers.groups())
        line += head.count("\n")
        raise ValueError(
            f"line {line} has {saw} fields separated by {separator!r}; expected {expected}, as in the header"
        ) from error
    frame = frame.iloc[1:].reset_index(drop=True).set_axis(frame.iloc[0].fillna("").str.strip(), axis=1)
    frame = frame.rename_axis(None, axis=1)
    rest = frame.iloc[:, 1:].isna().all(axis=1)
    first = frame.iloc[:, 0]
    empty = rest & (first.isna() | (first.str.startswith("#", na=False) & (frame.shape[1] > 1)))
    if empty.any():
        notes.append(f"{int(empty.sum())} rows are empty or a comment, and left out")
    return frame.loc[~empty, named(frame.columns, names)], [name for name in frame if name], notes


def separator_of(header: str, names: Sequence[str]) -> str:
    """What splits the header into most of the names asked for, and then into most names."""

    def split(separator: str) -> tuple[int, int]:
        fields = next(csv.reader([header.strip()], delimiter=separator, skipinitialspace=True), [])
        return sum(named(fields, names)), len(fields)

    return max(SEPARATORS, key=split)


def _parquet(path: Path, names: Sequence[str]) -> tuple[pd.DataFrame, list[str], list[str]]:
    there = _arrow(path).read_schema(_opened(path)).names
    wanted = [name for name, asked in zip(there, named(there, names), strict=True) if asked]
    return _table(path, wanted).reset_index(drop=True), there, []


def _sheets(path: Path, names: Sequence[str]) -> tuple[pd.DataFrame, list[str], list[str]]:
    """The rows of all sheets whose header has the most of the names asked for, one sheet after the other."""
    from openpyxl import load_workbook
    from tqdm import tqdm

    size, source = path.stat().st_size, _opened(path)
    with ZipFile(source) as archive:
        check_unpacked(path.name, size, sum(member.file_size for member in archive.infolist()))
    book = load_workbook(source, read_only=True, data_only=True)
    frames, there, notes = {}, {}, []
    for sheet in book.worksheets:
        claimed = sheet.max_row
        sheet.reset_dimensions()  # what the file claims need not be so
        rows = _at_most(SHEET_ROWS, sheet)
        above, header = _header(rows, names)
        keep = [place for place, asked in enumerate(named(header, names)) if asked]
        columns = [header[place] for place in keep]
        for name in columns:
            if columns.count(name) > 1:
                raise ValueError(f"sheet {sheet.title!r}: column {name!r} appears more than once; expected once")
        progress = tqdm(rows, total=claimed and claimed - 1, desc=path.name, unit=" rows", leave=False, disable=None)
        cells = (row for row in progress if any(cell is not None for cell in row))
        values, characters = [], 0
        for row in cells:
            values.append([row[place] if place < len(row) else None for place in keep])
            characters += sum(len(cell) for cell in values[-1] if isinstance(cell, str))
            check_unpacked(path.name, size, characters)
        frames[sheet.title] = pd.DataFrame(values, columns=columns, dtype=object)
        there |= dict.fromkeys(name for name in header if name)
        notes += [f"{above} rows above the header of sheet {sheet.title!r} are left out"] if above and keep else []
    book.close()
    widest = max((frame.shape[1] for frame in frames.values()), default=0)
    read = [title for title, frame in frames.items() if frame.shape[1] == widest]
    notes += [f"the sheets {', '.join(map(repr, read))} are read as one table"] if len(read) > 1 else []
    skipped = [title for title in frames if title not in read]
    notes += [f"not read, as columns are missing there: the sheets {', '.join(map(repr, skipped))}"] if skipped else []
    return pd.concat([frames[title] for title in read], ignore_index=True), list(there), notes


def _at_most(most: int, sheet) -> Iterator[tuple]:
    """The rows of a sheet, whose cells may claim any number of row and column."""
    cells = 0
    for number, row in enumerate(sheet.iter_rows(values_only=True)):
        cells += len(row)
        if number >= most or cells > SHEET_CELLS or len(row) > MOST_COLUMNS:
            limit = f"at most {most:,} rows, {MOST_COLUMNS:,} columns and {SHEET_CELLS:,} cells"
            shown = f"{number + 1:,} rows, {len(row):,} columns and {cells:,} cells"
            raise ValueError(f"sheet {sheet.title!r}: {shown}; expected {limit}")
        yield row


def _header(rows: Iterator[tuple], names: Sequence[str], within: int = 20) -> tuple[int, list[str]]:
    """The number of rows above a sheet's header, and it: the first row with a name asked for, else the first row."""
    first = []
    for above, row in enumerate(islice(rows, within)):
        header = [str(cell).strip() if cell is not None else "" for cell in row]
        if any(named(header, names)):
            return above, header
        first = first or header
    return 0, first
