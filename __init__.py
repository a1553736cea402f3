"""storelab: an e-commerce store to experiment on.

`import storelab` registers the environments with Gymnasium and loads no learning library.
"""

from gymnasium import register

__version__ = "0.1.0"


def _register() -> None:
    tasks = {name: "envs" for name in ("Inventory", "LostSales", "FixedCost", "Newsvendor", "Perishable", "Dispatch")}
    networks = ("SupplyChain", "Serial", "BeerGame", "OneWarehouse", "InvManagement", "NetworkManagement")
    tasks |= {name: "envs" for name in (*networks, "DualSourcing", "ManyItems")}
    tasks |= {name: "envs" for name in ("Pricing", "PricingMNL", "PricingReference", "PricingDuopoly")}
    tasks |= {
        name: "experiments" for name in ("SyntheticStore", "OnlineRetail", "RetailPricing", "Marketplace")
    }  # demand, or forecasts, come from `data` and `forecasting`
    for name, folder in tasks.items():
        register(
            id=f"storelab/{name}-v0",
            entry_point=f"storelab.{folder}.tasks:make_env",
            vector_entry_point=f"storelab.{folder}.tasks:make_vector_env",
            kwargs={"task": name},
            order_enforce=False,  # the environments check order and actions themselves: no wrapper need slow them
            disable_env_checker=True,
        )


_register()
