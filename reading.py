"""Files that somebody else wrote, read within bounds: bytes, JSON, YAML, arrays. A leaf: imports nothing of ours but
errors.

A file's size is bounded, and so is what it unpacks to: damaged and hostile files end in one ValueError, in memory that
is in proportion to the file.
"""

import json
import math
import os
import stat
import tempfile
import zipfile
import zlib
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from .errors import FieldError

MEGABYTE = 1 << 20
MOST_BYTES = 4096 * MEGABYTE  # of a file of data or weights
MOST_TEXT = 64 * MEGABYTE  # of a file of JSON or YAML
UNPACKED = 256 * MEGABYTE  # what any packed file may unpack to
RATIO = 200  # times its size, what a larger one may: tables of sales reach some 50
ENCRYPTED = b"storelab-encrypted-1 "  # at the beginning of an encrypted file (`data.encryption`)
DEEPEST = 64  # parts within parts
KINDS = {
    stat.S_ISDIR: "a folder",
    stat.S_ISFIFO: "a pipe",
    stat.S_ISSOCK: "a socket",
    stat.S_ISCHR: "a device",
    stat.S_ISBLK: "a device",
}


def check_file(path: str | Path, most: int = MOST_BYTES) -> Path:
    """Return the path of a file of at most `most` bytes.

    Raises FieldError where it is a folder, a pipe or a device, or larger; OSError where there is none.
    """
    path = Path(path)
    status = path.stat()
    for is_kind, kind in KINDS.items():
        if is_kind(status.st_mode):
            raise FieldError(str(path), kind, "a file")
    if status.st_size > most:
        raise FieldError(str(path), _size(status.st_size), f"a file of at most {_size(most)}")
    return path


def read_bytes(path: str | Path, most: int = MOST_BYTES) -> bytes:
    """Return a file's content; raises as `check_file`."""
    with check_file(path, most).open("rb") as file:
        return file.read(os.fstat(file.fileno()).st_size)


def plain_bytes(path: str | Path, most: int = MOST_BYTES) -> bytes:
    """Return a file's content, decrypted where it is encrypted; raises as `read_bytes` and for a missing key."""
    content = read_bytes(path, most)
    if not content.startswith(ENCRYPTED):
        return content
    encryption = import_module(f"{__package__}.data.encryption")  # only where it is needed: envs import none of ours
    return encryption.decrypted(content, Path(path).name)


def check_unpacked(name: str, packed: int, unpacked: int) -> None:
    """Raise FieldError where a file of `packed` bytes would need far more, `unpacked`."""
    if unpacked > max(UNPACKED, RATIO * packed):
        expected = f"at most {_size(UNPACKED)}, or {RATIO} times its size"
        raise FieldError(name, f"{_size(packed)} that unpack to {_size(unpacked)}", expected)


def read_json(path: str | Path, most: int = MOST_TEXT) -> Any:
    """Return what a JSON file holds; raises as `check_file` and `parse_json`."""
    return parse_json(read_bytes(path, most), Path(path).name)


def parse_json(text: str | bytes, name: str) -> Any:
    """Return what a JSON text holds; raises ValueError where it is none, or nested too deeply."""
    try:
        return json.loads(text)
    except RecursionError:
        raise FieldError(name, "JSON", "parts within parts less deep", "so deeply nested") from None


def read_yaml(path: str | Path, most: int = MOST_TEXT, nodes: int = 1_000_000) -> Any:
    """Return what a YAML file holds, plain types alone; raises as `check_file` and `check_yaml`, or ValueError."""
    import yaml

    text = read_bytes(path, most)
    check_yaml(text, Path(path).name, nodes)
    try:
        return yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except (yaml.YAMLError, RecursionError) as error:
        raise ValueError(f"{Path(path).name} is not readable YAML: {' '.join(str(error).split())}") from None


def check_yaml(text: str | bytes, name: str, nodes: int = 1_000_000) -> None:
    """Raise ValueError where YAML has more than `nodes` values, aliases written out, or parts too deep within parts.

    Nothing is made of the text: an alias costs here what it is, not what it stands for.
    """
    import yaml

    sizes: dict[str, int] = {}
    within: list[tuple[str | None, int]] = []  # the anchor of a part, the values before it
    total = 0
    try:
        for event in yaml.parse(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
            if isinstance(event, yaml.AliasEvent):
                if event.anchor not in sizes:
                    raise FieldError(name, f"*{event.anchor}", "an alias of what stands before it")
                total += sizes[event.anchor]
            elif isinstance(event, yaml.CollectionStartEvent):
                within.append((event.anchor, total))
                total += 1
            elif isinstance(event, yaml.CollectionEndEvent):
                anchor, before = within.pop()
                sizes |= {anchor: total - before} if anchor else {}
            elif isinstance(event, yaml.ScalarEvent):
                total += 1
                sizes |= {event.anchor: 1} if event.anchor else {}
            if total > nodes:
                raise FieldError(name, f"more than {nodes:,} values", f"at most {nodes:,}, aliases written out")
            if len(within) > DEEPEST:
                raise FieldError(name, f"parts {len(within)} deep", f"parts at most {DEEPEST} deep within parts")
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{name} is not readable YAML: {' '.join(str(error).split())}") from None


def read_arrays(path: str | Path) -> dict[str, np.ndarray]:
    """Return the arrays of an npz file by name, without pickles.

    Raises as `check_file`, and ValueError where it is damaged, unpacks to far more than it is, or an array's header
    claims another size than its data has.
    """
    path = check_file(path)
    arrays = {}
    try:
        with zipfile.ZipFile(path) as archive:
            check_unpacked(path.name, path.stat().st_size, sum(member.file_size for member in archive.infolist()))
            for member in archive.infolist():
                with archive.open(member) as file:
                    arrays[member.filename.removesuffix(".npy")] = _array(file, member.file_size, member.filename)
    except FieldError:
        raise
    except (OSError, ValueError, EOFError, RuntimeError, NotImplementedError, zlib.error, zipfile.BadZipFile) as error:
        raise ValueError(f"{path.name} is damaged: {' '.join(str(error).split())}") from None
    return arrays


def _array(file, size: int, name: str) -> np.ndarray:
    version = np.lib.format.read_magic(file)
    header = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}.get(version)
    if header is None:
        raise ValueError(f"{name}: version {version} of the npy format is not known")
    shape, fortran, dtype = header(file)
    if dtype.hasobject:
        raise ValueError(f"{name}: it holds Python objects")
    count = math.prod(shape)
    if count * dtype.itemsize != size - file.tell():
        raise ValueError(f"{name}: its header claims the shape {shape}, which its data does not have")
    values = np.frombuffer(bytearray(file.read()), dtype, count) if count and dtype.itemsize else np.empty(count, dtype)
    return values.reshape(shape, order="F" if fortran else "C")


def read_tensors(path: str | Path) -> dict[str, Any]:
    """Return a safetensors file's torch tensors by name; raises as `check_file`, ValueError where it is damaged."""
    from safetensors.torch import load_file

    return _loaded(path, load_file)


def read_weights(path: str | Path) -> dict[str, np.ndarray]:
    """Return a safetensors file's tensors as arrays by name, without torch; raises as `read_tensors`."""
    from safetensors.numpy import load_file

    return _loaded(path, load_file)


def _loaded(path: str | Path, load_file: Callable) -> dict[str, Any]:
    from safetensors import SafetensorError

    try:
        return load_file(check_file(path))
    except SafetensorError as error:
        raise ValueError(f"{Path(path).name} is damaged: {error}") from None


def check_writable(folder: str | Path, field: str) -> None:
    """Raise FieldError where nothing can be written into a folder, or the one that it would be made in; it is tried."""
    at = Path(folder).absolute()
    while not os.path.lexists(at) and at != at.parent:
        at = at.parent
    try:
        with tempfile.TemporaryFile(dir=at) as file:
            file.write(b"x")
    except OSError as error:
        reason = f"as {at} is: {error.strerror}"
        raise FieldError(field, str(folder), "a folder that can be written", reason) from error


def _size(count: int) -> str:
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000 or unit == "GB":
            return f"{count:,.4g} {unit}" if unit != "bytes" else f"{count} bytes"
        count /= 1000
    raise AssertionError
