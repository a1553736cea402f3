"""`storelab forget`: one customer taken out of tables, and the models that have seen them named."""

import argparse
import json
import os
import re
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from ...data import encryption, removal
from ...data.privacy import default_key
from ...errors import FieldError
from ...learning.base import mark_anew, write_atomic
from ...reading import check_file, read_json
from ..config.settings import ConfigError
from ..runs.audit import Ids, audit, data_of_config
from ..runs.folder import Run
from ..runs.provenance import source_hash
from .usage import carry_out, writing

USAGE = """usage: storelab forget CUSTOMER --data PATH [--data PATH ...] [--runs FOLDER] [--models FOLDER]
                       [--column NAME] [--dry-run]

Deletes the rows of one customer from tables (CSV, Excel, Parquet), JSON and npz files. If one file cannot be read, no
file is changed. Names and marks the runs and models that have seen the customer: they must be fitted anew, and warn of
it when they are loaded. If the command is killed, the next one on the same folder finishes it, for any customer.
CUSTOMER is the id in the tables, or its pseudonym; with STORELAB_KEY set either finds both.

  --data PATH      a file, or a folder with files in it and below; encrypted files stay encrypted
  --runs FOLDER    folder of runs (default: runs)
  --models FOLDER  folder of saved models elsewhere
  --column NAME    a column of ids besides the usual names (customer, user_id, household_id, ...)
  --dry-run        show what would be done

Exit status: 0 done; 1 no file holds the customer, or a file that is no table still does; 2 a file is not readable, or
another command writes there."""
JOURNAL = ".storelab-forget.json"  # in the folders of the data, while files are replaced
PART = ".forget.part"  # end of the name of a file that is to take another's place
SEEN = re.compile(r"file (.+), SHA-256 ([0-9a-f]{64})")  # in a model's card


@dataclass
class Part:
    """A file without the customer, written beside the one that it replaces."""

    path: Path
    written: Path
    rows: int
    total: str  # of the file's data, as runs know it


def forget(args: list[str]) -> int:
    """Do it; return the exit status of `USAGE`."""
    parser = argparse.ArgumentParser(prog="storelab forget", usage=USAGE[7:], add_help=False)
    parser.add_argument("customer", nargs="?")
    for name in ("--data", "--models", "--column"):
        parser.add_argument(name, action="append", default=[])
    parser.add_argument("--runs", default="runs")
    parser.add_argument("--dry-run", action="store_true")
    return carry_out(parser, args, USAGE, _forget, failed="nothing was changed")


def _forget(asked: argparse.Namespace) -> int | None:
    if not asked.customer or not asked.data:
        return None
    key = default_key() if os.environ.get("STORELAB_KEY") is not None else None
    customer = removal.Customer(asked.customer, key, asked.column)
    files = _files([Path(path) for path in asked.data])
    roots = sorted({path.parent.resolve() for path in files})
    if asked.dry_run:
        parts = _replace(files, customer, asked, [])
    else:
        with writing(roots):
            _finish(roots)
            parts = _replace(files, customer, asked, roots)
    left = [] if asked.dry_run else _left(asked.data, customer)
    for line in left:
        print(f"still holds the customer: {line}", file=sys.stderr)
    if not parts:
        print(f"none of {len(files)} files holds the customer", file=sys.stderr)
    return 1 if left or not parts else 0


def _replace(files: list[Path], customer: removal.Customer, asked: argparse.Namespace, roots: list[Path]) -> list[Part]:
    """Files without the customer in the place of theirs, and marks on what has seen them; with no roots, tell alone."""
    parts: list[Part] = []
    journals = [root / JOURNAL for root in roots]
    try:
        for path in files:
            _prepare(path, customer, parts)
        for part in parts:
            print(f"{part.path}: {part.rows} rows {'are gone' if roots else 'would go'}")
        seen = _seen(parts, [Path(asked.runs), *map(Path, asked.models)])
        told = [f"  {folder}: {how}" for folder, how in seen]
        print("\n".join(["to be fitted anew:", *told]) if told else "no run or model to fit anew")
        cache = Path(asked.runs) / "cache"
        if seen and cache.is_dir():
            print(f"{cache} may hold forecasters of such data: delete it, runs make it anew")
        if roots and parts:  # from here on a killed command is finished by the next one
            rows = [[str(part.path), str(part.written), part.total] for part in parts]
            marks = [[str(folder.resolve()), how] for folder, how in seen]
            content = {"journals": list(map(str, journals)), "files": rows, "marks": marks}
            for journal in journals:
                write_atomic(journal, json.dumps(content, indent=1).encode())
    except BaseException:
        for journal in journals:
            journal.unlink(missing_ok=True)
        raise
    finally:
        if not (roots and all(journal.exists() for journal in journals)):
            for part in parts:
                part.written.unlink(missing_ok=True)
    _finish(roots, told=False)
    return parts


def _finish(roots: list[Path], told: bool = True) -> None:
    """Do what journals say is to be done, and take away what a command left that was killed before it had one.

    A file that was changed since is left as it is: it is looked through anew.
    """
    for journal in (root / JOURNAL for root in roots if (root / JOURNAL).is_file()):
        content = read_json(journal)
        if told:
            print(f"{journal}: what a command that was killed had begun is finished")
        for folder, how in content["marks"]:
            if Path(folder).is_dir():
                mark_anew(folder, how)
        for path, written, total in content["files"]:
            if Path(written).is_file() and Path(path).is_file() and source_hash(path) == total:
                os.replace(written, path)
            Path(written).unlink(missing_ok=True)
        for other in content["journals"]:
            Path(other).unlink(missing_ok=True)
    for root in roots:
        for part in root.glob(f".*{PART}"):
            part.unlink(missing_ok=True)


def _files(paths: list[Path]) -> list[Path]:
    found = []
    for path in paths:
        if path.is_dir():
            found += sorted(
                p for p in path.rglob("*") if p.suffix.lower() in removal.SUFFIXES and p.is_file() and p.name != JOURNAL
            )
        elif path.suffix.lower() in removal.SUFFIXES:
            found.append(check_file(path))
        else:
            raise FieldError("--data", str(path), f"a folder or a file, one of {', '.join(removal.SUFFIXES)}")
    return list(dict.fromkeys(found))


def _prepare(path: Path, customer: removal.Customer, parts: list[Part]) -> None:
    """Write a file without the customer beside it, where it holds them."""
    content, rows = removal.without(path, customer)
    if not rows:
        return
    path = path.resolve()
    part = Part(path, path.with_name(f".{path.name}{PART}"), rows, source_hash(path))
    parts.append(part)
    part.written.write_bytes(
        encryption.encrypted(content, encryption.keys()) if encryption.is_encrypted(path) else content
    )
    shutil.copymode(path, part.written)


def _seen(parts: list[Part], folders: list[Path]) -> list[tuple[Path, str]]:
    """Folders of runs and models that were made from the files, as they were or as they are by name; and how."""
    found = []
    for folder in folders:
        for config in sorted(folder.rglob("config.yaml")):
            how = _how_run(config.parent, parts)
            own = [config.parent, config.parent / "model"]
            found += [(place, how) for place in own if how and (place == own[0] or (place / "config.json").is_file())]
        for config in sorted(folder.rglob("config.json")):
            how = _how_model(config, parts)
            found += [(config.parent, how)] if how else []
    return found


def _how_run(folder: Path, parts: list[Part]) -> str:
    run = Run(folder)
    try:
        source = (run.read("provenance.json") or {}).get("data")
        path, _ = data_of_config(run.config(), str(folder.absolute().parent.parent))
    except ConfigError as error:
        return f"not readable, it may have seen the customer ({error})"
    for part in parts:
        if source == part.total:
            return f"has seen the customer in {part.path.name}"
    place = Path(path).resolve() if path else None
    for part in parts:
        if place and (part.path == place or part.path.is_relative_to(place)):
            same = place.is_dir() and source == source_hash(place)
            return f"{'has' if same else 'may have'} seen the customer, in {part.path.name}"
    return ""


def _how_model(config: Path, parts: list[Part]) -> str:
    if any((above / "config.yaml").is_file() for above in config.parents[1:4]):
        return ""  # its run is named
    try:
        data = str(read_json(config)["card"]["data"])
    except (ValueError, KeyError, TypeError):
        return ""
    said = SEEN.search(data)
    for part in parts if said else []:
        if said[2] == part.total:
            return f"has seen the customer in {part.path.name}"
        if said[1] in (part.path.name, part.path.parent.name):
            return f"may have seen the customer, in a {said[1]}"
    return ""


def _left(places: list[str], customer: removal.Customer) -> list[str]:
    """Places in files, those that are no tables too, that have the customer's id in another column or in a text."""
    ids, lines = Ids(frozenset(customer.names), numbers=False), []
    for place in map(Path, places):
        try:
            found = audit(place, ids)
        except ConfigError as error:
            print(f"not looked into: {error}", file=sys.stderr)
            continue
        lines += [
            f"{place / leak.file if place.is_dir() else place}, {leak.place}"
            for leak in found
            if "customer" in leak.kind
        ]
    return lines
