"""Serial systems: the textbook's example, closed forms, and the simulator under the optimal levels."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from storelab.agents.heuristics.supply_chain import Heuristic
from storelab.envs import TASKS, SupplyChain
from storelab.envs.core import pmf
from storelab.envs.inventory.references import newsvendor
from storelab.envs.supply_chain.references import serial
from storelab.evaluation import evaluate

EXAMPLE = ([1, 1, 2], [3.0, 2.0, 2.0], 37.12)  # Snyder and Shen 2019, example 6.1, stage 1 first


def test_the_textbooks_example():
    """Snyder and Shen 2019, example 6.1: cost 47.67 (a coarser grid than ours), local levels 6.484, 5.544, 10.692."""
    solution = serial.solve_normal(5.0, 1.0, *EXAMPLE)
    assert solution.cost == pytest.approx(47.67, abs=0.015)
    assert solution.local == pytest.approx([6.484, 5.544, 10.692], abs=0.02)


@pytest.mark.parametrize("demand", [pmf.poisson(5), pmf.geometric(3), pmf.negative_binomial(4, 2.0)])
@pytest.mark.parametrize("lead", [1, 4])
def test_one_stage_is_a_newsvendor(demand, lead):
    solution = serial.solve(demand, [lead], [2.0], 9.0)
    level, cost = newsvendor.solve(pmf.total(demand, lead), 2.0, 9.0)
    assert solution.echelon.tolist() == [level]
    assert solution.cost == pytest.approx(cost)


@given(
    mean=st.floats(0.5, 8),
    stages=st.lists(st.tuples(st.integers(0, 3), st.floats(0.1, 5)), min_size=1, max_size=4),
    backorder=st.floats(1, 60),
)
@settings(max_examples=60)
def test_shang_song_bounds_hold(mean, stages, backorder):
    leads, holding = ([1 + stages[0][0], *(lead for lead, _ in stages[1:])], [h for _, h in stages])
    demand = pmf.poisson(mean)
    solution = serial.solve(demand, leads, holding, backorder)
    low, high = serial.shang_song(demand, leads, holding, backorder)
    assert (low <= solution.echelon).all()
    assert (solution.echelon <= high).all()


def test_costs_are_those_of_the_levels():
    """No levels beside the optimal ones are better: the recursion's cost is the least, by simulation of the chain."""
    for changes in ({}, {"lot_size": 1.0, "nodes": {"stage-1": {"demand": {"kind": "poisson"}}}}):
        task = TASKS["Serial"](**changes)
        model, reference = task.model(), task.reference()
        levels = reference.levels["level"]
        best = Heuristic("echelon_base_stock", {"level": levels}, model)
        worse = Heuristic("echelon_base_stock", {"level": [levels[0], levels[1], levels[2] + 1.5]}, model)
        episodes = evaluate({"best": best, "worse": worse}, task, np.arange(200), horizon=300)
        values = episodes.pivot(index="seed", columns="policy", values="value")
        error = values["best"].std() / np.sqrt(len(values))
        assert abs(values["best"].mean() - reference.value) < 4 * error + reference.tolerance
        assert error < 0.005 * reference.value  # the test can fail
        assert (values["worse"] - values["best"]).mean() > 0


def test_other_lead_times_and_costs_are_mapped():
    """The model's own conventions: lead times 1, 2, 1 and pipelines that cost what their source charges."""
    arcs = {
        "supplier-stage-3": {"lead_time": 1, "pipeline_cost": 0.0},
        "stage-3-stage-2": {"lead_time": 2, "pipeline_cost": 2.0},
        "stage-2-stage-1": {"lead_time": 1, "pipeline_cost": 4.0},
    }
    task = TASKS["Serial"](arcs=arcs, lot_size=1.0, nodes={"stage-1": {"demand": {"kind": "geometric", "mean": 3.0}}})
    problem = serial.from_network(task.model())
    assert problem.lead_times.tolist() == [2, 2, 1]
    (demand,) = task.params.nodes["stage-1"].demand.pmfs(1)
    solution = serial.solve(demand, problem.lead_times, problem.echelon_holding, problem.backorder_cost)
    best = Heuristic("echelon_base_stock", {"level": solution.echelon[::-1].tolist()}, task.model())
    values = evaluate({"best": best}, task, np.arange(200), horizon=300)["value"]
    error = values.std() / np.sqrt(len(values))
    assert abs(values.mean() - task.reference().value) < 4 * error
    assert error < 0.01 * values.mean()


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="echelon_holding"):
        serial.solve(pmf.poisson(3), [1, 1], [1.0], 9.0)
    with pytest.raises(ValueError, match=r"lead_times: \[0\] is not allowed, expected at least one period in total"):
        serial.solve(pmf.poisson(3), [0], [1.0], 9.0)
    with pytest.raises(ValueError, match="backorder_cost"):
        serial.solve(pmf.poisson(3), [1], [1.0], 0)
    for task in ("OneWarehouse", "BeerGame", "NetworkManagement", "ManyItems"):
        with pytest.raises(ValueError, match=r"is not allowed for this reference, expected (a series|one item)"):
            serial.from_network(TASKS[task]().model())
    with pytest.raises(ValueError, match="unit and fixed costs"):
        serial.from_network(SupplyChain(TASKS["Serial"](arcs={"supplier-stage-3": {"unit_cost": 1.0}}).params))
