"""What policies learn on where recorded days are replayed, and the last of these days, on which they are chosen."""

from dataclasses import replace

import numpy as np

from ...envs import Task
from ...envs.core.demand import HistoryDemand
from ...envs.core.randomised import BLOCK, WEEK, Randomisation, RandomisedDemand

SHARE = 0.25  # of the training days: those that policies are chosen on, if they hold `WINDOWS` different episodes
WINDOWS = 8  # days on which an episode can begin: every weekday, at the least
WEEKS = 8  # that stay together, of a weekly store


def learnt_on(task: Task, cover, weekly: bool = False) -> Task:
    """Return a task whose learners learn on its first training days, randomised, and are chosen on its last ones.

    The days have none in common. Where there are too few for both, learners learn and are chosen on all of them.

    Args:
        task: with recorded days to train on; others stay as they are.
        cover: periods of the protection interval, (I,) or one for all.
        weekly: whether a period is a week.
    """
    source, block, week = task.train, WEEKS if weekly else BLOCK, 1 if weekly else WEEK
    if not isinstance(source, HistoryDemand):
        return task
    model, how = task.model("train"), Randomisation()
    quantiles = task.params.quantiles if "forecast" in source.known else ()
    least = model.horizon + int(np.max(cover))  # days of an episode, with what its last orders cover
    last = max(least + WINDOWS - 1, round(SHARE * source.days))
    kind = "weeks" if weekly else "days"
    if source.days - last < max(block, least):
        notes = f"learning: {source.days} training {kind} are too few to choose policies on the last of them"
        if source.days < block:
            return replace(task, notes=(*task.notes, notes))
        made = RandomisedDemand(source, cover, how, quantiles, block, week)
        return replace(task, randomised=made, notes=(*task.notes, notes))
    first = source.part(0, source.days - last)
    return replace(
        task,
        learn=first,
        randomised=RandomisedDemand(first, cover, how, quantiles, block, week),
        validation=source.part(source.days - last, source.days),
        notes=(
            *task.notes,
            f"learning: policies learn from the first {first.days} training {kind}, in blocks of "
            f"{block} and randomised; on the last {last} it is chosen which of what was learnt is kept",
        ),
    )
