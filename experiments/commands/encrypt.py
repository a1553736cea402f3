"""`storelab encrypt`: tables encrypted at rest, their keys made and changed."""

import argparse
import os
from pathlib import Path

from ...data import encryption
from ...data.files import SUFFIXES
from ...errors import FieldError
from ...learning.base import write_atomic
from ...reading import plain_bytes, read_bytes
from .usage import carry_out, writing

USAGE = """usage: storelab encrypt --new-key FILE
       storelab encrypt PATH ...
       storelab encrypt --rotate [--drop-old] PATH ...
       storelab encrypt --decrypt PATH ...

Encrypts tables (CSV, Excel, Parquet) in place, each as a whole or not at all. Every command reads them as before.
PATH is a table, or a folder with tables in it and below. The key is in the file that STORELAB_DATA_KEY_FILE names,
outside the folder of the data, or in STORELAB_DATA_KEY.

  --new-key FILE   make a key file that only you can read
  --rotate         add a new first key to the key file and encrypt the tables with it; old keys stay for other tables
  --drop-old       then remove the old keys from the key file: other tables encrypted with them are lost
  --decrypt        write the tables as they were"""


def encrypt(args: list[str]) -> int:
    """Do one of them; return the exit status of the command line."""
    parser = argparse.ArgumentParser(prog="storelab encrypt", usage=USAGE[7:], add_help=False)
    parser.add_argument("paths", nargs="*", type=Path)
    parser.add_argument("--new-key", type=Path)
    for flag in ("--rotate", "--drop-old", "--decrypt"):
        parser.add_argument(flag, action="store_true")
    return carry_out(parser, args, USAGE, _encrypt)


def _encrypt(asked: argparse.Namespace) -> int | None:
    one = sum(map(bool, (asked.new_key, asked.rotate, asked.decrypt))) <= 1
    if not one or bool(asked.new_key) == bool(asked.paths) or (asked.drop_old and not asked.rotate):
        return None
    if asked.new_key:
        make_key(asked.new_key)
    else:
        found = tables(asked.paths)
        with writing(sorted({path.parent.resolve() for path in found})):
            rotate(asked.paths, asked.drop_old) if asked.rotate else change(asked.paths, asked.decrypt)
    return 0


def make_key(path: Path) -> None:
    """Write a file with a new key; raises FieldError where there is one."""
    key = encryption.new_key()
    try:
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(f"{key}\n")
    except FileExistsError:
        raise FieldError("--new-key", str(path), "a file that is not there yet") from None
    print(f"key {encryption.key_name(key)} is in {path}: export {encryption.FILE}={path.resolve()}")
    print("keep a copy elsewhere: without it the tables are lost")


def tables(paths: list[Path]) -> list[Path]:
    """The tables among paths and in folders; raises FieldError where one is none."""
    found = []
    for path in paths:
        if path.is_dir():
            found += sorted(file for file in path.rglob("*") if file.suffix.lower() in SUFFIXES and file.is_file())
        elif path.suffix.lower() in SUFFIXES and path.is_file():
            found.append(path)
        else:
            raise FieldError("PATH", str(path), f"a folder, or a table that is there, one of {', '.join(SUFFIXES)}")
    if not found:
        raise FieldError("PATH", ", ".join(map(str, paths)), f"tables in it, {', '.join(SUFFIXES)}")
    return list(dict.fromkeys(found))


def change(paths: list[Path], back: bool) -> None:
    """Encrypt tables, or decrypt them: those that are not so yet."""
    having, found = encryption.keys(), tables(paths)
    _check_apart(paths)
    for path in found:
        if encryption.is_encrypted(path) != back:
            print(f"{path} is {'not encrypted' if back else 'encrypted already'}")
            continue
        content = read_bytes(path)
        new = encryption.decrypted(content, path.name, having) if back else encryption.encrypted(content, having)
        write_atomic(path, new)
        print(f"{path} is {'decrypted' if back else f'encrypted by key {next(iter(having))}'}")


def rotate(paths: list[Path], drop_old: bool) -> None:
    """Encrypt tables by a new key, which stands first in the key file from before until after."""
    place = os.environ.get(encryption.FILE, "")
    if not place:
        raise FieldError(encryption.FILE, None, "the key file, which gets the new key")
    found, old = tables(paths), encryption.keys()
    _check_apart(paths)
    key = encryption.new_key()
    having = {encryption.key_name(key): key} | old
    write_atomic(Path(place), "".join(f"{one}\n" for one in having.values()).encode())
    for path in found:
        write_atomic(path, encryption.encrypted(plain_bytes(path), having))
        print(f"{path} is encrypted by key {next(iter(having))}")
    if drop_old:
        write_atomic(Path(place), f"{key}\n".encode())
    kept = "" if drop_old else f", and the old ones: {', '.join(old)}"
    print(f"{place} has the key {next(iter(having))}{kept}")


def _check_apart(paths: list[Path]) -> None:
    if place := os.environ.get(encryption.FILE, ""):
        for path in paths:
            encryption.check_apart(place, path)
