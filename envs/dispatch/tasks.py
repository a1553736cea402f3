"""Same-day delivery as a task."""

from ..core.task import Task, override
from .model import Dispatch
from .params import DispatchParams


def dispatch_task(**changes) -> Task:
    """Same-day delivery in waves (Kool et al. 2022), in generated cities or in `instances`; no reference."""
    return Task("Dispatch", override(DispatchParams(), changes), Dispatch)
