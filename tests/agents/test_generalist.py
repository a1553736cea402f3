"""The generalist: what ships, where it acts, and how far from the optimum."""

import json
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from storelab.agents import as_policies
from storelab.agents.generalist import RANGES, families, generalist, policy, pretrained
from storelab.envs import TASKS
from storelab.envs.core import pmf as pmfs
from storelab.envs.inventory.references import lost_sales
from storelab.errors import FieldError
from storelab.evaluation import REFERENCE, evaluate
from storelab.experiments.studies.lost_sales_table import orders


def actions(task, rows=64):
    model = task.model()
    seen = np.random.default_rng(0).integers(0, 12, (rows, model.observation_space.shape[0])).astype(np.float32)
    return generalist(task)(seen, None, 0)[0]


@pytest.mark.parametrize("family", RANGES)
def test_checkpoint_is_small_and_holds_plain_numbers(family):
    file = policy.CHECKPOINTS / f"{family}.safetensors"
    assert file.stat().st_size < 2e6
    content = file.read_bytes()
    size = int.from_bytes(content[:8], "little")  # safetensors: a header of JSON, then the numbers
    header = json.loads(content[8 : 8 + size])
    assert {entry["dtype"] for entry in header.values()} == {"F32"}
    assert all(np.isfinite(values).all() for values in policy.read(family).values())


@pytest.mark.parametrize("changes", [{}, {"lead_time": 1, "lost_sale_cost": 39.0, "demand": {"kind": "geometric"}}])
def test_lost_sales_is_near_the_optimum(changes):
    task = TASKS["LostSales"](**changes)
    p = task.params
    (pmf,), costs = p.demand.pmfs(1), (p.lead_time, p.holding_cost, p.lost_sale_cost)
    act = partial(orders, task.model(), generalist(task), room=100)
    optimum = lost_sales.solve(pmf, *costs, max_order=int(p.max_order)).cost
    assert 1 - 1e-4 <= lost_sales.evaluate(pmf, *costs, act) / optimum < 1.01


def test_dual_sourcing_is_near_the_optimum():
    task = TASKS["DualSourcing"]()
    values = evaluate({"generalist": generalist(task), REFERENCE: task.reference().policy}, task, np.arange(128))
    means = values.groupby("policy")["value"].mean()
    assert means["generalist"] / means[REFERENCE] < 1.03


@pytest.mark.parametrize("name", policy.TASKS)
def test_same_in_other_money_and_every_time(name):
    task = TASKS[name]()
    if name == "LostSales":
        dearer = TASKS[name](holding_cost=7.0, lost_sale_cost=63.0)
    else:
        arcs = {"express-shop": {"unit_cost": 31.0}, "regular-shop": {"unit_cost": 17.0}}
        dearer = TASKS[name](nodes={"shop": {"holding_cost": 7.0, "backorder_cost": 133.0}}, arcs=arcs)
    assert (actions(task) == actions(task)).all()
    assert (actions(task) == actions(dearer)).all()


@pytest.mark.parametrize("family", RANGES)
def test_features_do_not_depend_on_the_unit_of_demand(family):
    pmf, unit = pmfs.poisson(8.0), 5
    larger = np.zeros(unit * (len(pmf) - 1) + 1)
    larger[::unit] = pmf
    stock, pipeline = np.float32(9.0), np.array([4, 7, 0, 0, 0, 0, 0, 0], np.float32)
    seen = []
    for probabilities, size in ((pmf, 1), (larger, unit)):
        if family == "lost_sales":
            p = families.lost_sales(probabilities, 3, 9.0, 30.0 * size, np.random.default_rng(0))
        else:
            p = families.dual_sourcing(probabilities, (3, 0), 9.0, 2.0, (30.0 * size, 30.0 * size))
        p = {name: values[0] for name, values in families.stacked([p]).items()}
        act = families.lost_sales_orders if family == "lost_sales" else families.dual_sourcing_orders
        asked, features = act(np, {}, p, stock * size, pipeline * size)
        seen.append((asked / size, features[-1]))
    np.testing.assert_allclose(*(asked for asked, _ in seen), rtol=1e-4, atol=1e-3)
    differing = np.abs(seen[0][1] - seen[1][1]) > 1e-2  # how coarse a unit is in deviations stays known, twice
    assert differing.sum() <= 3


def test_items_are_served_side_by_side():
    one = [{"demand": {"mean": m}, "lead_time": lead, "max_order": 4 * m} for m, lead in ((5.0, 2), (20.0, 4))]
    both = TASKS["Inventory"](
        items=2, demand={"mean": [5.0, 20.0]}, lead_time=[2, 4], max_order=[20.0, 80.0], lost_sale_cost=9.0
    )
    seen = np.random.default_rng(0).integers(0, 30, (16, 4, 2)).astype(np.float32)  # on hand, three on order
    seen[:, 2:, 0] = 0
    together = generalist(both)(seen.reshape(16, 8), None, 0)[0]
    for item, changes in enumerate(one):
        task = TASKS["Inventory"](lost_sale_cost=9.0, **changes)
        assert (generalist(task)(seen[:, : changes["lead_time"], item], None, 0)[0][:, 0] == together[:, item]).all()


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"lead_time": 9}, "lead_time"),
        ({"demand": {"mean": 400.0}, "max_order": 1000.0}, "demand.mean"),
        ({"demand": {"kind": "normal", "mean": 50.0}, "max_order": 100.0}, "demand.kind"),
        ({"lost_sale_cost": 0.5}, "lost_sale_cost"),
        ({"max_order": 6.0}, "max_order"),
        ({"fixed_cost": 4.0}, "fixed_cost"),
        ({"backorder_share": 1.0}, "backorder_share"),
        ({"holding_cost": 0.0}, "holding_cost"),
    ],
)
def test_refuses_what_it_was_not_trained_for(changes, field, capsys):
    task = TASKS["LostSales"](**changes)
    with pytest.raises(FieldError, match=rf"^{field}: .* for the generalist") as raised:
        generalist(task)
    assert pretrained(task) == {}
    assert capsys.readouterr().out == f"no generalist: {raised.value}\n"


def test_refuses_other_tasks():
    for name in ("Newsvendor", "BeerGame", "Dispatch"):
        task = TASKS[name]()
        with pytest.raises(FieldError):
            generalist(task)
        assert pretrained(task) == {}


def test_acts_in_every_mode_and_by_its_place():
    task = TASKS["LostSales"]()
    policies = {
        mode: generalist(replace(task, params=replace(task.params, action=mode))) for mode in ("multi_discrete",)
    }
    assert set(as_policies(generalist, task, "generalist")) == {"generalist"}
    levels = TASKS["LostSales"](action="base_stock")
    values = evaluate(policies | {}, task, np.arange(4))["value"].to_numpy()
    assert values == pytest.approx(evaluate({"levels": generalist(levels)}, levels, np.arange(4))["value"].to_numpy())
