"""What this package adds to storelab: names only, so that nothing loads before it is used."""

from storelab.plugins import Environment, Plugin, TaskEntry

STAND = Environment(
    name="lemonade",
    package=__package__,
    model="model:LemonadeStand",
    params="model:LemonadeParams",
    tasks={"Lemonade": TaskEntry("tasks:lemonade_task", "a lemonade stand", "optimum, by backward induction")},
    picture="Lemonade",
    rules="rules:RULES",
    agent="cross_entropy",
)

PLUGIN = Plugin(
    environments=(STAND,),
    rules={"inventory": "lemonade.rules:INVENTORY_RULES"},
    learners={"cross_entropy": "lemonade.cross_entropy"},
    forecasters={"drift": "lemonade.drift:Drift"},
    data={"kiosk": "lemonade.kiosk:KioskParams"},
    config="lemonade.conf",
)
