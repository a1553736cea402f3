"""Stores as tasks: demand, prices and calendar from `data`, forecasts from `forecasting`, for the environments."""

from ...plugins import TaskEntry

BOUND = "bound in hindsight"

STORES = {
    "SyntheticStore": TaskEntry(
        f"{__name__}.stores:synthetic_store_task",
        "20 items of a synthetic store with seasons, promotions and a long tail",
        BOUND,
        environment="inventory",
        agent="ppo_store",
        data=("synthetic",),
    ),
    "OnlineRetail": TaskEntry(
        f"{__name__}.stores:online_retail_task",
        "50 items of a real shop, replayed",
        BOUND,
        environment="inventory",
        agent="ppo_store",
        data=("online_retail",),
        panel=True,
    ),
    "OnlineRetail-v1": TaskEntry(
        f"{__name__}.stores:online_retail_ii_task",
        "the same shop over two years, judged on its second autumn",
        BOUND,
        environment="inventory",
        agent="ppo_store",
        data=("online_retail",),
        panel=True,
        version="v1",
    ),
    "Store": TaskEntry(
        f"{__name__}.stores:store_task",
        "a store of your own: the items of a file, replayed",
        BOUND,
        environment="inventory",
        agent="ppo_store",
        data=("panel",),
        forecaster="ensemble",
        panel=True,
    ),
    "VN2": TaskEntry(
        f"{__name__}.vn2:vn2_task",
        "the VN2 Inventory Planning Challenge: weekly orders for 599 series of a grocery chain",
        "cost with perfect foresight",
        environment="inventory",
        agent="heuristics",
        data=("vn2",),
    ),
    "RetailPricing": TaskEntry(
        f"{__name__}.retail_pricing:retail_pricing_task",
        "prices on recorded demand and estimated elasticities",
        BOUND,
        environment="pricing",
        data=("online_retail",),
        panel=True,
    ),
    "Marketplace": TaskEntry(
        f"{__name__}.stores:marketplace_task",
        "the whole store: six decisions, the store's own models inside",
        "tuned composite of heuristics; a loose bound",
        environment="marketplace",
        data=("synthetic",),
        optional_data=True,
    ),
}
