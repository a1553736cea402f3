"""Price and order of one item, decided together."""

from ...plugins import Environment, TaskEntry

ENVIRONMENT = Environment(
    name="pricing_inventory",
    package=__name__,
    model="model:PricingInventory",
    params="params:PricingInventoryParams",
    picture="PricingInventory",
    rules="heuristics:RULES",
    agent="ppo_pricing",
    exports=("params:DemandCurveParams",),
    tasks={
        "PricingInventory": TaskEntry(
            "tasks:pricing_inventory_task",
            "price and order decided together (Federgruen and Heching 1999, Chen and Simchi-Levi 2004)",
            "optimum, by backward induction",
        ),
    },
)
