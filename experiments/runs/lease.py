"""A lease on a folder: one process at a time works in it, of this machine or of another that shares the file system.

The lease is the file `.lease-N` of the highest N there is; it names its holder. It is held while the holder has the
system's lock on the file, which goes with the process, or, as that lock need not reach other machines, while the file's
time is younger than `STALE`: a thread of the holder renews it. Whoever finds it free or stale creates `.lease-N+1`,
which the file system lets one process do, however many try: none can take over what another just took.
"""

import fcntl
import json
import os
import platform
import re
import tempfile
import threading
import time
from contextlib import contextmanager, suppress
from pathlib import Path

from ...reading import parse_json

LEASE = re.compile(r"\.lease-[0-9]{1,18}")
LONGEST = 4096  # characters of a lease
RENEWED, STALE = 20.0, 180.0  # seconds; network file systems may show a time that is a minute old


class Taken(Exception):
    """Another process holds the lease; the text says which."""


class Lease:
    """A lease that this process took."""

    def __init__(self, folder: Path):
        """Take the lease; raises Taken where another process holds it, OSError where the folder cannot be written."""
        self.folder, self.file = folder, None
        while self.file is None:
            numbers = _numbers(folder)
            who = holder(folder)
            if who:
                raise Taken(who)
            self.number = max(numbers, default=0) + 1
            with suppress(FileExistsError):  # another was faster: look again
                self.file = _path(folder, self.number).open("x")
            if self.file and max(_numbers(folder)) > self.number:  # its view of the folder is long past
                _path(folder, self.number).unlink(missing_ok=True)
                self.file.close()
                self.file = None
        with suppress(OSError):  # a file system without locks: time alone counts
            fcntl.flock(self.file, fcntl.LOCK_EX)
        json.dump({"machine": machine(), "host": platform.node(), "pid": os.getpid()}, self.file)
        self.file.flush()
        for number in numbers:
            _path(folder, number).unlink(missing_ok=True)

    @property
    def lost(self) -> bool:
        """Whether another process took over, as this one did not renew the lease in time."""
        try:
            return max(_numbers(self.folder), default=0) != self.number
        except FileNotFoundError:
            return True

    def renew(self) -> None:
        """Keep the lease from growing stale."""
        with suppress(OSError):  # the next one may get through
            os.utime(self.file.fileno())

    def release(self) -> None:
        """Let the next one take it at once."""
        with suppress(OSError), self.file:
            os.utime(self.file.fileno(), (0, 0))


@contextmanager
def leased(folder: Path):
    """Hold a folder's lease and keep it fresh; raises as `Lease` does."""
    lease, ended = Lease(folder), threading.Event()

    def renew() -> None:
        while not ended.wait(RENEWED):
            lease.renew()

    thread = threading.Thread(target=renew, daemon=True)
    thread.start()
    try:
        yield lease
    finally:
        ended.set()
        thread.join()
        lease.release()


def holder(folder: Path) -> str | None:
    """Who holds a folder's lease; None: nobody."""
    while numbers := _numbers(folder):
        with suppress(FileNotFoundError), _path(folder, max(numbers)).open() as file:  # else one took over just now
            at = os.fstat(file.fileno()).st_mtime
            try:
                named = dict(parse_json(file.read(LONGEST), file.name))
            except (ValueError, TypeError):
                named = {}  # it is being written
            who = f"process {named.get('pid', '?')} on {named.get('host', '?')}"
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return who
            except OSError:
                pass
            else:
                if named.get("machine") == machine():
                    return None  # it ended or was killed
            return who if at and _now(folder) - at < STALE else None
    return None


def machine() -> str:
    """What tells this machine from others, and from itself before it was started anew."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return platform.node()


def _now(folder: Path) -> float:
    """The time by the clock that the folder's files have theirs from."""
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            return os.fstat(file.fileno()).st_mtime
    except OSError:  # not ours to write
        return time.time()


def _path(folder: Path, number: int) -> Path:
    return folder / f".lease-{number}"


def _numbers(folder: Path) -> list[int]:
    return [int(name.removeprefix(".lease-")) for name in os.listdir(folder) if LEASE.fullmatch(name)]
