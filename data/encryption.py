"""Tables at rest, encrypted: files that keep their names, and that every loader reads as it reads others.

An encrypted file is a line with the key's name and a Fernet token (AES-128-CBC with HMAC-SHA256, from `cryptography`):
whoever changes or cuts it is found out. The key is of the environment, STORELAB_DATA_KEY, or a file that
STORELAB_DATA_KEY_FILE names, outside the folder of the data. There may be several, one a line (in the variable:
separated by commas): the first encrypts, all decrypt.
"""

import hashlib
import os
from pathlib import Path

from ..errors import FieldError
from ..reading import ENCRYPTED, MEGABYTE, read_bytes

MARK = ENCRYPTED  # the key's name and a line break follow
VARIABLE, FILE = "STORELAB_DATA_KEY", "STORELAB_DATA_KEY_FILE"
NAME = 16  # hexadecimal digits of a key's name


def is_encrypted(path: str | Path) -> bool:
    """Whether a file begins as an encrypted one."""
    with Path(path).open("rb") as file:
        return file.read(len(MARK)) == MARK


def new_key() -> str:
    """Return a key, drawn at random, as it stands in a key file."""
    return _fernet().Fernet.generate_key().decode()


def keys() -> dict[str, str]:
    """Return name -> key, the one that encrypts first; raises FieldError where there is none, or what is none."""
    given, place = os.environ.get(VARIABLE, ""), os.environ.get(FILE, "")
    if given and place:
        raise FieldError(FILE, place, f"{VARIABLE} or {FILE}", "as both are set")
    if place:
        return read_keys(place)
    if not given:
        expected = f"the key in {VARIABLE}, or in the file that {FILE} names"
        raise FieldError(VARIABLE, None, expected, "as a table is encrypted")
    return _named(given.split(","), VARIABLE)


def read_keys(path: str | Path) -> dict[str, str]:
    """Return the keys of a file, one a line, as `keys` does."""
    try:
        text = read_bytes(path, MEGABYTE).decode()
    except (OSError, UnicodeDecodeError) as error:
        raise FieldError(FILE, str(path), f"a file of keys: {getattr(error, 'strerror', error)}") from None
    return _named(text.split(), Path(path).name)


def _named(values: list[str], where: str) -> dict[str, str]:
    found = {}
    for value in filter(None, map(str.strip, values)):
        try:
            _fernet().Fernet(value)
        except ValueError:  # the value is not shown
            expected = "keys as `storelab encrypt --new-key FILE` makes them: 44 characters each"
            raise FieldError(where, f"a key of {len(value)} characters", expected) from None
        found[key_name(value)] = value
    if not found:
        raise FieldError(where, "no key", "a key")
    return found


def key_name(key: str) -> str:
    """Return what an encrypted file says of its key: a digest that does not give it away."""
    return hashlib.sha256(b"storelab key name " + key.encode()).hexdigest()[:NAME]


def encrypted(content: bytes, having: dict[str, str]) -> bytes:
    """Return an encrypted file's content, by the first of the keys."""
    name, key = next(iter(having.items()))
    return MARK + name.encode() + b"\n" + _fernet().Fernet(key).encrypt(content)


def decrypted(content: bytes, file: str, having: dict[str, str] | None = None) -> bytes:
    """Return what an encrypted file's content stands for; `having` are keys by name (default: `keys()`).

    Raises FieldError where there is no key or not the file's, or the file was changed or cut.
    """
    name, _, token = content[len(MARK) :].partition(b"\n")
    having = keys() if having is None else having
    key = having.get(name.decode(errors="replace"))
    if key is None:
        expected = f"its key, {name[:NAME].decode(errors='replace')!r}, among those given ({', '.join(having)})"
        raise FieldError(file, "a file of another key", expected)
    fernet = _fernet()
    try:
        return fernet.Fernet(key).decrypt(token)
    except fernet.InvalidToken:
        raise FieldError(
            file, "an encrypted file", "it as it was written", "as it is damaged, cut or changed"
        ) from None


def check_apart(key_file: str | Path, data: str | Path) -> None:
    """Raise FieldError where a key file lies in the folder of the data that it is the key of, or below it."""
    folder = Path(data).resolve()
    folder = folder if folder.is_dir() else folder.parent
    if Path(key_file).resolve().is_relative_to(folder):
        raise FieldError("key file", str(key_file), f"a file outside the folder of the data, {folder}")


def _fernet():
    try:
        from cryptography import fernet
    except ModuleNotFoundError as error:
        need = "encrypted tables need cryptography: pip install 'storelab[privacy]'"
        raise ModuleNotFoundError(need, name="cryptography") from error
    return fernet
