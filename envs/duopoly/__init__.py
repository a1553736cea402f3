"""Repeated price competition of two firms."""

from ...plugins import Environment, TaskEntry

ENVIRONMENT = Environment(
    name="duopoly",
    package=__name__,
    model="model:Duopoly",
    parallel="parallel:DuopolyParallel",
    params="params:DuopolyParams",
    agent="ppo_pricing",
    picture="PricingDuopoly",
    route="price",
    tasks={
        "PricingDuopoly": TaskEntry(
            "tasks:pricing_duopoly_task",
            "two firms (Calvano et al. 2020)",
            "best response by backward induction; Nash and monopoly prices",
        )
    },
)
