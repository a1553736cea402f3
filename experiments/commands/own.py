"""Policies of a user's own, which the command line alone can name: `--policy [NAME=]WHAT`, and what belongs to it.

WHAT is code (`module:name`, `file.py:name`), which is imported; an archive of Stable-Baselines3 (`.zip`); the folder of
a finished run, whose learner it is; or `pretrained:TASK`, a run that ships. No config and no run folder leads here: a
run keeps names and hashes alone.
"""

import hashlib
import re
import sys
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

from ...agents import as_policies
from ...envs import Policy, Task
from ...errors import FieldError
from ..config.errors import ConfigError, one_line
from ..config.settings import Settings
from ..experiment import learnt
from ..runs.folder import Run
from ..runs.shipped import PREFIX, unpacked

COMMANDS = ("evaluate", "watch")  # that take policies
POLICY, WORDS, MARKS = "--policy", ("--weights", "--vecnormalize"), ("--trust", "--scalar")
FLAGS = (POLICY, *WORDS, *MARKS)
NAME = re.compile(r"([A-Za-z]\w*(?:[ .+-]\w+)*)=(.+)")  # no path before the sign
KINDS = "module:name, file.py:name, an archive.zip, the folder of a finished run or pretrained:TASK"


@dataclass
class Own:
    """A policy as the command line names it."""

    what: str
    name: str = ""
    weights: str | None = None  # of a torch module, safetensors
    vecnormalize: str | None = None  # statistics beside an archive
    trust: bool = False  # an archive may be read, which can run code
    scalar: bool = False  # a function of one observation

    @property
    def kind(self) -> str:
        """Return `archive`, `run` or `code`."""
        if self.what.endswith(".zip"):
            return "archive"
        if self.what.startswith(PREFIX):
            return "run"
        folder = Path(self.what)
        return "run" if folder.is_dir() and not (folder / "__init__.py").exists() else "code"

    @property
    def field(self) -> str:
        """Return what errors call it."""
        return f"policy {self.name or self.what}"

    def words(self) -> list[str]:
        """Return the words of the command line that it was named by."""
        values = [word for flag in WORDS if (value := getattr(self, flag[2:])) for word in (flag, value)]
        marks = [flag for flag in MARKS if getattr(self, flag[2:])]
        return [POLICY, f"{self.name}={self.what}" if self.name else self.what, *values, *marks]


def take(args: list[str]) -> tuple[list[Own], list[str]]:
    """Split the words of a command line into the policies and the rest.

    Raises:
        ConfigError: a flag without its value, before the policy that it belongs to, or with one of another kind.
    """
    found: list[Own] = []
    rest, words = [], iter(args)
    for word in words:
        flag, equals, value = word.partition("=")
        if flag not in FLAGS:
            rest.append(word)
            continue
        if flag not in MARKS:
            value = value if equals else next(words, "")
            if not value or value.startswith("--"):
                raise ConfigError(f"{flag}: not set, expected {KINDS if flag == POLICY else 'a file'}")
        if flag == POLICY:
            named = NAME.fullmatch(value)
            found.append(Own(named[2], named[1]) if named else Own(value))
        elif not found:
            raise ConfigError(f"{flag}: not allowed here, expected it behind the {POLICY} that it belongs to")
        else:
            setattr(found[-1], flag[2:], True if flag in MARKS else value)
    for own in found:
        _check(own)
    return found, rest


def _check(own: Own) -> None:
    """Refuse flags that do nothing for a kind of policy, and an archive without trust."""
    kind = own.kind
    allowed = {"archive": ("trust", "vecnormalize"), "run": (), "code": ("weights", "scalar")}[kind]
    for flag in (*WORDS, *MARKS):
        if getattr(own, flag[2:]) and flag[2:] not in allowed:
            raise ConfigError(f"{flag}: not allowed with {POLICY} {own.what}, expected it with another kind of policy")
    if kind == "archive" and not own.trust:
        why = "an archive of Stable-Baselines3 is a pickle and can run code"
        raise ConfigError(f"{own.field}: not opened without --trust, as {why}")


@dataclass
class Found:
    """A policy that was found, and where."""

    own: Own
    given: Any  # what code named; None of other kinds
    module: ModuleType | None = None

    def policies(self, task: Task) -> dict[str, Policy]:
        """Return the policies that it stands for, by name.

        Raises:
            ConfigError: in one line, why it is none for this task.
        """
        own, field = self.own, self.own.field
        try:
            if own.kind == "archive":
                return {own.name or Path(own.what).stem: _archive(own, task)}
            if own.kind == "run":
                return _of_run(own, task)
            name = own.name or own.what.rpartition(":")[2].rpartition(".")[2]
            return as_policies(self.given, task, name, own.scalar, own.weights)
        except (ConfigError, FieldError) as error:
            said = one_line(error)
            raise ConfigError(said if said.startswith("policy ") else f"{field}: {said}") from error
        except Exception as error:  # of the user's code
            raise ConfigError(f"{field}: {type(error).__name__}: {one_line(error)}") from error

    def provenance(self, names: Collection[str]) -> dict:
        """Return where it came from, with a hash of its source: what a run's folder keeps of it, and never reads."""
        own = self.own
        files = [*self._files(), *(Path(path) for path in (own.weights, own.vecnormalize) if path)]
        total = hashlib.sha256()
        for path in files:
            total.update(path.name.encode() + hashlib.sha256(path.read_bytes()).digest())
        came = {"names": list(names), "from": " ".join(own.words()[1:]), "files": [str(path) for path in files]}
        return came | {"sha256": total.hexdigest()}

    def _files(self) -> list[Path]:
        """The files that it is made from: of code, what was imported from the same folder or package."""
        place = unpacked(self.own.what)
        if self.own.kind == "archive":
            return [place]
        if self.own.kind == "run":
            return sorted(path for path in place.glob("checkpoints/*/*") if path.is_file())
        return sorted(set(self._sources()))

    def _sources(self) -> Iterator[Path]:
        file = getattr(self.module, "__file__", None)
        if self.module is None or not file:
            return
        root, top = Path(file).resolve().parent, self.module.__name__.partition(".")[0]
        yield Path(file).resolve()
        for name, module in sorted(sys.modules.items()):
            path = getattr(module, "__file__", None)
            first = name.partition(".")[0]
            if (
                not path
                or not Path(path).is_absolute()
                or not Path(path).is_file()
                or first in ("storelab", *sys.stdlib_module_names)
            ):
                continue
            own = first == top or ("site-packages" not in path and Path(path).resolve().is_relative_to(root))
            if own:
                yield Path(path).resolve()


def find(own: Own) -> Found:
    """Return what a policy of the command line names; its code is imported here.

    Raises:
        ConfigError: there is no such file, module or name (it says which there are), or the import failed.
    """
    if own.kind != "code":
        if not unpacked(own.what).exists():
            raise ConfigError(f"{own.field}: no such file, expected an archive of Stable-Baselines3")
        return Found(own, None)
    place, colon, name = own.what.rpartition(":")
    if not colon or place.endswith(":"):
        place, name = own.what, ""
    if not place.endswith(".py") and not all(part.isidentifier() for part in place.split(".")):
        raise ConfigError(f"{own.field}: not readable, expected {KINDS}")
    module = _imported(own, place)
    given: Any = module
    for part in name.split(".") if name else ():
        if not hasattr(given, part):
            raise ConfigError(f"{own.field}: {place} has no {name!r}, {_there(module, name)}")
        given = getattr(given, part)
    if given is module and not hasattr(module, "HEURISTICS"):
        raise ConfigError(f"{own.field}: names a whole module, expected {place}:NAME ({_there(module, '')})")
    return Found(own, given, module)


def _there(module: ModuleType, name: str) -> str:
    """What a module has that may be a policy."""
    own = [key for key, value in vars(module).items() if getattr(value, "__module__", None) == module.__name__]
    names = sorted(key for key in own or vars(module) if not key.startswith("_"))
    near = get_close_matches(name, names, n=1)
    return f"{f'did you mean {near[0]}? ' if near else ''}found: {', '.join(names[:30]) or 'nothing'}"


def _imported(own: Own, place: str) -> ModuleType:
    """Import a module, or a file by its path. Its folder, or the current one, is searched first, as by `python`."""
    path = Path(place)
    from_file = place.endswith(".py")
    if from_file and not path.is_file():
        there = sorted(file.name for file in path.parent.glob("*.py"))
        raise ConfigError(f"{own.field}: no file {place}, found: {', '.join(there[:30]) or 'no *.py there'}")
    root = str(path.resolve().parent if from_file else Path.cwd())
    if root not in sys.path:
        sys.path.insert(0, root)
    try:
        return _from_file(path.resolve()) if from_file else import_module(place)
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if not from_file and (place == missing or place.startswith(f"{missing}.")):
            there = ", ".join(sorted(file.stem for file in Path(root).glob("*.py"))[:30])
            said = f"no module {missing}, expected one that is installed or lies in {root} (found: {there or 'none'})"
            raise ConfigError(f"{own.field}: {said}") from error
        raise ConfigError(f"{own.field}: {place} cannot be imported ({one_line(error)})") from error
    except (Exception, SystemExit) as error:
        raise ConfigError(f"{own.field}: {place} cannot be imported ({_told(error)})") from error


def _told(error: BaseException) -> str:
    return f"{type(error).__name__}: {one_line(error)}"


def _from_file(path: Path) -> ModuleType:
    """Import a file under a name that no other module has."""
    name = f"{path.stem}_{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"
    if name in sys.modules:
        return sys.modules[name]
    spec = spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is no module")
    module = sys.modules[name] = module_from_spec(spec)  # dataclasses look themselves up
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _archive(own: Own, task: Task) -> Policy:
    try:
        from ...agents.sb3 import load_archive
    except ModuleNotFoundError as error:
        expected = "expected it: pip install 'storelab[learn]'"
        raise ConfigError(f"{own.field}: {error.name} is not installed, {expected}") from error
    return load_archive(own.what, task.model("test"), own.trust, own.vecnormalize)


def _of_run(own: Own, task: Task) -> dict[str, Policy]:
    """The learner of another finished run, on this task."""
    run = Run(own.what)
    settings = run.settings()
    policy = learnt(run, task, settings) if isinstance(settings, Settings) else None
    if policy is None:
        raise ConfigError(f"{own.field}: not allowed, expected a finished run of storelab train with a learner")
    return {own.name or settings.agent.name: policy}
