"""A learning curve and its table: where they seem to disagree, sentences from the data say why."""

import numpy as np
import pandas as pd
import pytest
from storelab.evaluation import summarise
from storelab.experiments.reports.learning import contradictions, first_near
from storelab.experiments.reports.plots import learning_curve

NOISE = np.array([0.3, -0.2, 0.1, -0.3, 0.2, -0.1])


def told(agent, rule, held_agent, held_rule, curve=None, objective="cost") -> list[str]:
    """The sentences for values on the curve's six scenarios and on sixty held-out ones."""
    values = pd.DataFrame({"PPO": agent + NOISE, "s_S": rule + NOISE[::-1]})
    held = {"PPO": np.tile(held_agent + NOISE, 10), "s_S": np.tile(held_rule + NOISE[::-1], 10)}
    rows = [(name, seed, value) for name, row in held.items() for seed, value in enumerate(row)]
    table = summarise(pd.DataFrame(rows, columns=["policy", "seed", "value"]), objective, heuristics=["s_S"])
    metrics = [{"step": 10 * k, "value": value} for k, value in enumerate(curve or [agent + 2, agent + 1, agent])]
    return contradictions(values, metrics if curve or objective == "cost" else metrics[-1:], table, 60)


@pytest.mark.parametrize("objective", ["cost", "profit"])
def test_a_curve_that_agrees_needs_no_word(objective):
    assert told(10, 11, 10, 11, objective=objective) == []
    assert told(11, 10, 11, 10, objective=objective) == []


def test_other_scenarios_have_another_level():
    (line,) = told(10, 11, 12, 13)
    assert line.startswith("PPO has 10 [")
    assert "on the curve's 6 training scenarios and 12 [" in line
    assert "on the table's 60 held-out ones." in line


@pytest.mark.parametrize("objective", ["cost", "profit"])
def test_another_winner_is_explained(objective):
    ends, then = ("ahead of", "behind") if objective == "cost" else ("behind", "ahead of")
    line = told(10.0, 10.3, 10.05, 9.8, objective=objective)[-1]
    assert line.startswith(f"PPO ends {ends} s_S on the curve's 6 training scenarios (")
    assert f"and is {then} it on the table's 60 held-out ones" in line


def test_few_scenarios_are_said_to_tell_nothing():
    line = told(10.0, 10.02, 10.02, 9.8)[-1]
    assert "which is not significant" in line


def test_a_curve_that_fell_back_is_said_to_have():
    (line,) = told(10, 11, 10, 11, curve=[12, 9, 10])
    assert line.startswith(
        "The curve was best at step 10, with 9. The table has the policy of step 20, which is best on the validation"
    )


def test_a_policy_that_is_not_the_last_point_is_named():
    line = told(10, 11, 10, 11, curve=[12, 11])[0]
    assert line.startswith("The curve has 11 at step 10, but the policy of the table has 10 on the same scenarios")


def test_the_picture_has_a_band_where_the_intervals_were_kept():
    rows = [{"step": k, "value": 5.0 - k, "low": 4.0 - k, "high": 6.0 - k} for k in range(4)]
    lines = {"s_S (best tuned heuristic)": 2.5, "reference policy": 1.5}
    with_band, without = (learning_curve(of, lines, "PPO", "cost") for of in (rows, [{"step": 1, "value": 5.0}]))
    assert (len(with_band.axes[0].collections), len(without.axes[0].collections)) == (1, 0)
    labels = [text.get_text() for text in with_band.axes[0].get_legend().get_texts()]
    assert labels == ["PPO", *lines]


def test_the_first_point_near_the_reference_is_dated():
    curve = [{"step": step, "seconds": step / 10, "value": value} for step, value in ((10, 8.0), (20, 6.9), (30, 6.85))]
    said = first_near(curve, 6.84, "cost")
    assert "at step 20, after 2 s" in said
    assert "never" in first_near(curve, 6.5, "cost")
    assert "at step 10" in first_near(curve, 8.05, "profit")
