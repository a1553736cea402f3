import numpy as np
import pandas as pd
import pytest
from storelab.envs import TASKS
from storelab.errors import FieldError
from storelab.evaluation import HINDSIGHT, REFERENCE, evaluate, scenario_keys, summarise


def position_policy(model, rule):
    """Return a policy that orders `rule(position)`, the inventory position being (n, 1) units."""

    def act(observation, state, seed):
        named = model.features(observation)
        return rule(named["on_hand"] + named["pipeline"].sum(axis=1)), state

    return act


def test_summary_pairs_on_scenarios():
    task = TASKS["LostSales"]()
    model = task.model()
    policies = {f"S={s}": position_policy(model, lambda x, s=s: np.maximum(s - x, 0)) for s in (20, 27, 28)}
    episodes = evaluate(policies, task, np.arange(300))
    table = summarise(episodes, task.objective, task.reference())
    assert table.index[0] == table.attrs["best_heuristic"]
    assert table["better"].iloc[0] == 0
    # Paired on common scenarios, the interval of the difference is far narrower than that of the values.
    paired = table.loc["S=27", "better_high"] - table.loc["S=27", "better_low"]
    assert paired < 0.5 * (table.loc["S=27", "ci_high"] - table.loc["S=27", "ci_low"])
    assert (table["gap"] > 0).all()
    assert np.allclose(table["gap"], table["value"] - task.reference().value)
    assert table.index.tolist() == ["S=28", "S=27", "S=20"]
    assert table["fill_rate"].is_monotonic_decreasing
    assert table["stockout_rate"].is_monotonic_increasing
    assert table["turns"].is_monotonic_increasing
    assert 0 < table["fill_rate"].iloc[-1] < table["fill_rate"].iloc[0] < 1


@pytest.mark.parametrize("action", ["multi_discrete", "base_stock"])
def test_a_gap_is_paired_with_the_reference_that_is_played(action):
    """On few scenarios the luck of their demand is larger than the gap: paired, it falls out, and nobody beats it."""
    task = TASKS["LostSales"](action=action)
    model, known = task.model(), task.reference()
    order = lambda named, rule: model.action_of(named, np.maximum(rule - model.seen_position(named), 0))
    policies = {f"S={s}": lambda o, state, seed, s=s: (order(model.features(o), s), state) for s in (27, 28)}
    episodes = evaluate(policies | {REFERENCE: known.policy}, task, np.arange(40))
    others = episodes[episodes["policy"] != REFERENCE]
    paired, alone = (summarise(of, task.objective, known) for of in (episodes, others))
    assert (paired.attrs["gap_to"], alone.attrs["gap_to"]) == (REFERENCE, "reference value")
    assert paired.loc[REFERENCE, ["gap", "gap_low", "gap_high"]].tolist() == [0, 0, 0]
    assert paired.attrs["best_heuristic"] == "S=28"
    values = episodes.pivot(index="seed", columns="policy", values="value")
    for name in policies:
        assert paired.loc[name, "gap"] == pytest.approx((values[name] - values[REFERENCE]).mean())
        assert paired.loc[name, "gap_percent"] == pytest.approx(100 * paired.loc[name, "gap"] / known.value)
        width, wide = (table.loc[name, "gap_high"] - table.loc[name, "gap_low"] for table in (paired, alone))
        assert width < 0.7 * wide
        assert paired.loc[name, "gap_low"] > 0
    assert abs(paired.loc[REFERENCE, "value"] - known.value) < 0.5


def test_a_bound_in_hindsight_is_paired_with_where_there_is_no_reference():
    rows = [("a", 0, 5.0), ("a", 1, 7.0), (HINDSIGHT, 0, 6.0), (HINDSIGHT, 1, 9.0)]
    table = summarise(pd.DataFrame(rows, columns=["policy", "seed", "value"]), "profit")
    assert table.attrs["gap_to"] == HINDSIGHT
    assert table.loc["a", ["gap", "gap_percent"]].tolist() == [1.5, 20]
    assert summarise(pd.DataFrame(rows[:2], columns=["policy", "seed", "value"]), "profit").attrs["gap_to"] is None


@pytest.mark.parametrize("name", sorted(set(TASKS) - {"ManyItems"}))  # 2,000 items: the same model as SupplyChain
def test_every_task_is_summed_up(name, data_of):
    """Also those without stock, whose episodes have no fill rate."""
    task = TASKS[name](**data_of(name))
    low = task.model().action_low
    policies = {"lowest": lambda observation, state, seed: (np.tile(low, (len(observation), 1)), state)}
    table = summarise(evaluate(policies, task, np.arange(2)), task.objective, None)
    assert np.isfinite(table["value"]).all()
    assert ("fill_rate" in table) == (name not in ("Dispatch", "PricingReference", "PricingDuopoly"))


def test_held_out_scenarios_never_meet_those_of_training():
    train, test = scenario_keys([3, 4], "train"), scenario_keys([3, 4], "test")
    assert train.tolist() == [[3, 0], [4, 0]]
    assert test.tolist() == [[3, 2**63], [4, 2**63]]


def test_batches_do_not_change_the_episodes():
    task = TASKS["LostSales"](horizon=80)
    act = position_policy(task.model(), lambda x: np.maximum(28 - x, 0))
    whole, parts = (evaluate({"p": act}, task, np.arange(20), rows=rows) for rows in (20, 7))
    assert whole.equals(parts)


def test_the_warm_up_must_leave_something():
    with pytest.raises(ValueError, match="horizon: 50"):
        evaluate({}, TASKS["LostSales"](), np.arange(2), horizon=50)


def test_the_name_of_the_bound_is_no_policys():
    task = TASKS["LostSales"](horizon=120)
    policies = {HINDSIGHT: position_policy(task.model(), lambda position: 0 * position)}
    with pytest.raises(FieldError, match="policies: 'hindsight bound' is not allowed, expected another name"):
        evaluate(policies, task, range(2))
