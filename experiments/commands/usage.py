"""What the commands that take plain arguments share: their usage, and an error in one line."""

import argparse
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from ...errors import FieldError
from ..runs.lease import Taken, leased


def carry_out(parser: argparse.ArgumentParser, args: list[str], usage: str, work: Callable, failed: str = "") -> int:
    """Parse a command's arguments and do its work; return the exit status of the command line.

    Args:
        parser: with `add_help=False`.
        args: of the command line.
        usage: printed for `--help`, and to standard error where `work` returns None: the arguments do not go together.
        work: takes the namespace of arguments, returns a status or None; what it raises of what was given is printed.
        failed: a line after that.
    """
    for flag in ("--help", "-h"):
        parser.add_argument(flag, action="store_true")
    try:
        asked = parser.parse_args(args)
    except SystemExit as end:
        return int(end.code or 0)
    if asked.help or asked.h:
        print(usage)
        return 0
    try:
        status = work(asked)
    except (ValueError, OSError, ModuleNotFoundError) as error:
        told = f"{error.filename}: {error.strerror}" if isinstance(error, OSError) and error.strerror else error
        print(told, file=sys.stderr)
        if failed:
            print(failed, file=sys.stderr)
        return 2
    if status is None:
        print(usage, file=sys.stderr)
        return 2
    return status


@contextmanager
def writing(roots: Iterable[Path]) -> Iterator[None]:
    """Hold the leases of folders of data; raises FieldError where another command that changes it has one."""
    with ExitStack() as held:
        for root in roots:
            try:
                held.enter_context(leased(root))
            except Taken as who:
                raise FieldError(
                    "--data", str(root), "a folder that no other command changes", f"as {who} does so"
                ) from None
        yield
