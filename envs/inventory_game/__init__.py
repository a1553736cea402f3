"""Single-item games with few samples of history, unannounced changes of demand, and orders that may be lost."""

from ...plugins import Environment, TaskEntry

ENVIRONMENT = Environment(
    name="inventory_game",
    package=__name__,
    model="model:InventoryGame",
    params="params:InventoryGameParams",
    picture="InventoryBench",
    tasks={
        "InventoryBench": TaskEntry(
            "tasks:inventory_bench_task",
            "games of InventoryBench (Baek et al. 2025): five samples, changing demand, late and lost orders",
        ),
    },
)
