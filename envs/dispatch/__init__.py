"""Same-day delivery in waves."""

from ...plugins import Environment, TaskEntry

ENVIRONMENT = Environment(
    name="dispatch",
    package=__name__,
    model="model:Dispatch",
    params="params:DispatchParams",
    agent="ppo_dispatch",
    picture="Dispatch",
    tasks={
        "Dispatch": TaskEntry(
            "tasks:dispatch_task", "same-day delivery in waves (EURO Meets NeurIPS 2022)", "best known, in hindsight"
        )
    },
)
