"""PPO by default on every task: which tasks, the figures of a run, and the table of the page."""

import numpy as np
import pytest
from storelab.experiments.studies import defaults
from storelab.experiments.studies.drawn import compose_settings
from storelab.experiments.studies.pages import block, filled

pytest.importorskip("stable_baselines3")
SMALL = (
    "agent.total_steps=1024",
    "evaluation.episodes=8",
    "evaluation.tuning_episodes=8",
    "evaluation.curve_episodes=4",
)


def row(task: str, seed: int, **changes) -> dict:
    own = {"to": "reference policy", "best": "s_S", "best_gap": 2.0, "gap": 1.0 + seed, "lead": 0.5, "start": "s_S"}
    return {"task": task, "seed": seed, "rule": None, "seconds": 10.0, "near_step": 5, "near_cpu": 3.0} | own | changes


def test_every_task_with_its_own_data_is_there():
    names = defaults.tasks()
    assert set(defaults.FIRST) == set(names[:3])
    assert {"Pricing", "Dispatch", "SyntheticStore", "PricingInventory"} < set(names)
    assert not {"OnlineRetail", "Store", "VN2"} & set(names)
    assert defaults.agent_of("FixedCost") == "ppo_fixed_cost"


def test_a_run_is_measured_on_held_out_scenarios():
    settings = compose_settings(defaults.agent_of("Pricing"), ["seed=3", *SMALL, "restarts=0"], "Pricing")
    told = defaults.measure(settings)
    assert told == told | {"task": "Pricing", "to": "reference policy", "attempts": 1}
    assert told["start"] in ("simulated_dp", "resolved_fluid", "markdown", "fixed_price", "fluid", "myopic")
    assert np.isfinite([told["gap"], told["best_gap"], told["lead"]]).all()
    assert 0 < told["learning"] < told["seconds"]
    assert (told["near_cpu"] is None) == (told["near_step"] is None)


def test_the_table_has_a_row_per_task_with_its_worst_seed():
    rows = [row("LostSales", 0), row("LostSales", 1, near_cpu=None, rule="s_S")]
    rows.append(row("BeerGame", 0, to=None, gap=None, best_gap=None, near_cpu=None))
    first, second = defaults.markdown(rows).splitlines()[2:]
    assert first.startswith("| LostSales (`ppo`) | reference policy | s_S, 2.00 | 1.50 [-4.85, 7.85] | 2.00 | 0.50 [")
    assert first.endswith("| 1 of 2 | 10 | 3, 1 of 2 never |")
    assert second == "| BeerGame (`ppo_network`) |  | s_S |  |  | 0.50 | 0.50 | 0 of 1 | 10 |  |"


def test_the_page_has_the_block():
    text = filled(defaults.PAGE.read_text(), "ppo", f"python -m {defaults.MODULE}", block("a command", "| a |"))
    assert "\n    $ a command\n\n| a |\n\n<!-- end -->" in text
