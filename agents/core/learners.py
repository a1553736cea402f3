"""The learners by name: ours and those of plug-ins. A module of learners loads when it is asked for."""

from collections.abc import Iterator, Mapping
from types import ModuleType

from ...errors import FieldError
from ...plugins import declared, load

OURS = {name: f"{__name__.partition('.core.')[0]}.{name}" for name in ("sb3", "pathwise", "evolution", "improvement")}


class _Learners(Mapping[str, ModuleType]):
    """Name -> module with `Params`, `Learner`, `check` and `load_policy`: see `envs.core.contract.Learner`."""

    def _places(self) -> dict[str, str]:
        theirs = declared("learners")
        for name in theirs:
            if name in OURS:
                raise FieldError("learners", name, "a name that is not taken")
        return OURS | theirs

    def __getitem__(self, name: str) -> ModuleType:
        places = self._places()
        if name not in places:
            raise FieldError("learner", name, f"one of {', '.join(places)}")
        return load(places[name])

    def __contains__(self, name: object) -> bool:
        return name in self._places()

    def __iter__(self) -> Iterator[str]:
        return iter(self._places())

    def __len__(self) -> int:
        return len(self._places())


LEARNERS = _Learners()
