"""The task of playing inventory games."""

from ..core.task import Task, override
from .model import InventoryGame
from .params import InventoryGameParams


def inventory_bench_task(**changes) -> Task:
    """The synthetic games of InventoryBench, each pattern, variant, lead time and profit as likely; no reference."""
    return Task("InventoryBench", override(InventoryGameParams(), changes), InventoryGame)
