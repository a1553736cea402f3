"""Dynamic pricing of a stock over a season."""

from ...plugins import Environment, TaskEntry

ENVIRONMENT = Environment(
    name="pricing",
    package=__name__,
    model="model:Pricing",
    params="params:PricingParams",
    agent="ppo_pricing",
    picture="Pricing",
    route="price",
    exports=("params:PriceDemandParams",),
    tasks={
        "Pricing": TaskEntry(
            "tasks:pricing_task",
            "a stock sold over a season (Gallego and van Ryzin 1994)",
            "optimum, by backward induction",
        ),
        "PricingMNL": TaskEntry(
            "tasks:pricing_mnl_task", "substitutes with stocks and logit customers", "optimum, by backward induction"
        ),
        "PricingReference": TaskEntry(
            "tasks:pricing_reference_task",
            "customers who remember prices (Popescu and Wu 2007)",
            "optimum, linear-quadratic or by backward induction",
        ),
    },
)
