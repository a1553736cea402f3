"""Inventory control in a network of suppliers, warehouses, factories and shops."""

from ...plugins import Environment, TaskEntry

BOUND = "bound in hindsight"

ENVIRONMENT = Environment(
    name="supply_chain",
    package=__name__,
    model="model:SupplyChain",
    params="params:SupplyChainParams",
    agent="ppo_network",
    picture="BeerGame",
    route="restock",
    exports=("params:Node", "params:Arc", "params:network"),
    tasks={
        "SupplyChain": TaskEntry("tasks:supply_chain_task", "any network without cycles, by its parameters"),
        "Serial": TaskEntry(
            "tasks:serial_task", "three stages in series (Clark and Scarf 1960)", "optimal echelon base-stock levels"
        ),
        "BeerGame": TaskEntry("tasks:beer_game_task", "the beer game (Sterman 1989)", BOUND),
        "OneWarehouse": TaskEntry(
            "tasks:one_warehouse_task", "one warehouse, ten shops (Federgruen and Zipkin 1984)", "none"
        ),
        "InvManagement": TaskEntry("tasks:inv_management_task", "or-gym's serial chain (Hubbs et al. 2020)", BOUND),
        "NetworkManagement": TaskEntry("tasks:network_management_task", "or-gym's network (Perez et al. 2021)", BOUND),
        "DualSourcing": TaskEntry(
            "tasks:dual_sourcing_task",
            "a cheap slow supplier and a costly fast one (Veeraraghavan and Scheller-Wolf 2008)",
            "optimum, by value iteration",
        ),
        "ManyItems": TaskEntry("tasks:many_items_task", "many items in three echelons, as in MABIM (Yang et al. 2023)"),
    },
)
