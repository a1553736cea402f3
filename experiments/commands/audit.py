"""`storelab audit`: whether a run's folder, or a saved model's, holds raw identifiers of customers."""

import sys
from pathlib import Path

from ..config.settings import ConfigError, within
from ..runs.audit import Ids, audit, data_of_config, ids_of
from ..runs.folder import Run

USAGE = """usage: storelab audit FOLDER [--data PATH]

Searches all files of FOLDER, a run's or a saved model's, for raw identifiers: customers' ids of the data that it was
made from, e-mails, phones, cards, id numbers, postal addresses. Prints file and place of each.

  --data PATH   the table, or folder of tables, that it was made from, if the run does not name it or it has moved

Exit status: 0 none was found, 1 some were, 2 the folder is not readable."""
SHOWN = 100


def audit_folder(args: list[str]) -> int:
    """Print what was found; return the exit status of `USAGE`."""
    if args in (["--help"], ["-h"]):
        print(USAGE)
        return 0
    data = args.pop(args.index("--data") + 1) if "--data" in args[:-1] else ""
    paths = [arg for arg in args if arg != "--data"]
    if len(paths) != 1 or ("--data" in args and not data):
        print(USAGE, file=sys.stderr)
        return 2
    folder = Path(paths[0])
    try:
        if not folder.is_dir():
            raise ConfigError(f"FOLDER: {paths[0]!r} is not allowed, expected the folder of a run or a model")
        ids, told = _ids(folder, data)
        leaks = audit(folder, ids)
    except (ConfigError, ModuleNotFoundError) as error:
        print(error, file=sys.stderr)
        return 2
    print(told)
    for leak in leaks[:SHOWN]:
        print(leak)
    if len(leaks) > SHOWN:
        print(f"and {len(leaks) - SHOWN} more")
    print(f"{folder}: {len(leaks)} raw identifiers" if leaks else f"{folder}: no raw identifiers")
    return 1 if leaks else 0


def _ids(folder: Path, data: str) -> tuple[Ids, str]:
    """The raw ids of the data that a folder was made from, and what is said of it."""
    columns, run = {}, next((place for place in (folder, folder.parent) if (place / "config.yaml").is_file()), None)
    if run is not None:
        path, columns = data_of_config(Run(run).config(), str(run.absolute().parent.parent))
        data = data or path
        if not data:
            return Ids(), "the run has read no file of data: ids of customers are made up"
    if not data:
        return Ids(), "the data is not known, --data names it: no ids of customers are looked for"
    if not Path(data).exists():
        raise ConfigError(f"data: {data!r} is not there, expected --data PATH")
    with within("data"):
        ids = ids_of(data, columns)
    return ids, f"{len(ids.all)} ids of customers of {Path(data).name} are looked for"
