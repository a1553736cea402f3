"""Inventory control of many items: lost sales, backorders, fixed costs, perishables, random supply."""

from ...plugins import Environment, TaskEntry

ENVIRONMENT = Environment(
    name="inventory",
    package=__name__,
    model="model:Inventory",
    params="params:InventoryParams",
    picture="SyntheticStore",
    route="restock",
    tasks={
        "LostSales": TaskEntry(
            "tasks:lost_sales_task", "lost sales with a lead time (Zipkin 2008)", "optimum, by value iteration"
        ),
        "FixedCost": TaskEntry(
            "tasks:fixed_cost_task",
            "fixed order cost, backorders (Zheng and Federgruen 1991)",
            "optimal (s, S)",
            agent="ppo_fixed_cost",
        ),
        "Newsvendor": TaskEntry("tasks:newsvendor_task", "one order, one season", "optimal order"),
        "Perishable": TaskEntry(
            "tasks:perishable_task", "goods that expire (De Moor et al. 2022)", "optimum, by value iteration"
        ),
        "Inventory": TaskEntry("tasks:inventory_task", "any inventory problem, by its parameters"),
    },
)
