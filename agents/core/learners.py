"""The learners by name: storelab's and those of plug-ins. A learner's module loads when it is used."""

from collections.abc import Callable, Iterator, Mapping
from types import ModuleType
from typing import Any

from ...errors import FieldError
from ...plugins import declared, load

NAMES = ("sb3", "pathwise", "evolution", "improvement", "llm")
OURS = {name: f"{__name__.partition('.core.')[0]}.{name}" for name in NAMES}


class _Learners(Mapping[str, ModuleType]):
    """Name -> module with `Params`, `check`, and `Learner` and `load_policy`, or `acting`: see the contract."""

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


def by_generation(
    learner: Any, generation: Callable[[], None], on_checkpoint: Callable[[int], None] | None, every: int, **bar
) -> None:
    """Let a learner learn generation by generation, up to `bar["total"]` of them in all.

    Args:
        learner: with `steps`, the generations done, and `due`, whether a call of `on_checkpoint` is asked for.
        generation: does one, which `steps` then counts.
        on_checkpoint: called with the generations done, each time that they pass a multiple of `every`.
        every: generations.
        **bar: of tqdm.
    """
    from tqdm import tqdm

    with tqdm(initial=learner.steps, unit="step", **bar) as shown:
        while learner.steps < bar["total"]:
            generation()
            shown.update()
            if on_checkpoint and (learner.due or learner.steps % every == 0):
                on_checkpoint(learner.steps)
