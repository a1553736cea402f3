"""Checkpoints that are whole or not there: written beside, sealed with checksums, renamed; damage is found on reading.

A checkpoint is a folder `<step>/` with any files and `SHA256`, a line `<hash>  <name>` for each of them.
"""

import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path

from ...reading import MEGABYTE, read_bytes

SEAL = "SHA256"


def write_checkpoint(root: Path, step: int, save: Callable[[Path], None], keep: int = 3) -> Path:
    """Let `save` write into a new folder, seal it, put it in place as `root/<step>`, and drop all but `keep` of them.

    A kill at any moment leaves the earlier checkpoints as they were.
    """
    root.mkdir(parents=True, exist_ok=True)
    for leftover in root.glob(".*"):  # of an earlier kill
        shutil.rmtree(leftover)
    part, final = root / f".{step}.part", root / str(step)
    part.mkdir()
    save(part)
    (part / SEAL).write_text("".join(_lines(part)))
    for path in (*part.rglob("*"), part):
        _sync(path)
    if final.exists():  # a damaged one of the same step, or the same again
        final.rename(root / f".{step}.old")
    part.rename(final)
    _sync(root)
    shutil.rmtree(root / f".{step}.old", ignore_errors=True)
    for old in steps(root)[:-keep]:
        shutil.rmtree(root / str(old))
    return final


def steps(root: Path) -> list[int]:
    """The steps that have a checkpoint, whole or damaged, rising."""
    return sorted(int(path.name) for path in root.glob("*") if path.name.isdecimal()) if root.is_dir() else []


def damage(folder: Path) -> str | None:
    """What is wrong with a checkpoint, in words; None when it is whole."""
    try:
        seal = read_bytes(folder / SEAL, MEGABYTE).decode()
    except (OSError, ValueError):
        return f"{SEAL} is missing or unreadable"
    lines, expected = seal.splitlines(keepends=True), _lines(folder)
    if not expected or lines == expected:
        return None if expected else "it is empty"
    wrong = (sorted(set(expected) ^ set(lines)) or [SEAL])[0]
    return f"{wrong.split(maxsplit=1)[-1].strip()} is not as {SEAL} says"


def newest_whole(root: Path, say: Callable[[str], None] = print) -> Path | None:
    """The newest checkpoint that is whole, or None. Damaged ones are passed over, and `say` gets a line on each."""
    for step in reversed(steps(root)):
        wrong = damage(root / str(step))
        if wrong is None:
            return root / str(step)
        say(f"checkpoint {step} is damaged ({wrong}): going back to the one before")
    return None


def _lines(folder: Path) -> list[str]:
    """The lines that `SHA256` has where all is well."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and path != folder / SEAL)
    return [line_of(path, folder) for path in paths]


def line_of(path: Path, folder: Path) -> str:
    """The line `<hash>  <name>` of a file in a folder."""
    with path.open("rb") as file:
        checksum = hashlib.file_digest(file, "sha256").hexdigest()
    return f"{checksum}  {path.relative_to(folder).as_posix()}\n"


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
