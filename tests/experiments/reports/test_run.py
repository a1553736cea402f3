"""The report's words and numbers: they hold whoever wins, carry their units, and nothing in a name is markup."""

import re
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from storelab.agents import tune
from storelab.agents.heuristics import dispatch as rules
from storelab.envs import TASKS, HistoryDemand
from storelab.evaluation import REFERENCE, evaluate, summarise
from storelab.experiments.config.schemas import EvaluationParams
from storelab.experiments.experiment import Experiment
from storelab.experiments.reports.run import columns, findings, render, text_table

LOST_SALES = TASKS["LostSales"](horizon=60)


def table(agent, good, poor=None, objective="cost", **more):
    """The table of an agent and two heuristics, a value for each scenario."""
    poor = np.add(good, 5) if poor is None else poor
    values = {"PPO": agent, "base_stock": good, "s_S": poor} | more
    rows = [
        {"policy": name, "seed": seed, "value": value, "demand": 5.0, "sales": 4.5, "unmet": 0.5, "on_hand": 9.0}
        | {"stockout_rate": 0.125}
        for name, row in values.items()
        for seed, value in enumerate(row)
    ]
    return summarise(pd.DataFrame(rows), objective, heuristics=["base_stock", "s_S"])


def said(shown, task=LOST_SALES, reference=None):
    experiment = SimpleNamespace(task=task, compared=["PPO"], pretrained=(), reference=reference, choice=None)
    return findings(shown, experiment, 6)


BASE = np.array([10.0, 12.0, 9.0, 11.0, 10.5, 9.5])
NOISE = np.array([0.3, -0.2, 0.1, -0.3, 0.2, -0.1])


@pytest.mark.parametrize(
    ("objective", "agent", "verdict", "best", "difference"),
    [
        ("cost", BASE - 2 + NOISE, "is better than", "base_stock", "+2.00 money per period (+19.35 % of its cost)"),
        ("cost", BASE + 2 + NOISE, "is worse than", "base_stock", "-2.00 money per period (-19.35 % of its cost)"),
        ("cost", BASE + NOISE, "does not differ significantly from", "base_stock", ""),
        ("profit", BASE + 12 + NOISE, "is better than", "s_S", "+7.00 money per period (+45.65 % of its profit)"),
        ("profit", BASE + 3 + NOISE, "is worse than", "s_S", "-2.00 money per period (-13.04 % of its profit)"),
        ("profit", -BASE + NOISE + 1, "is worse than", "s_S", "-24.67 money per period (-160.87 % of its profit)"),
    ],
)
def test_the_verdict_goes_with_the_numbers(objective, agent, verdict, best, difference):
    first = said(table(agent, BASE, objective=objective))[0]
    assert first.startswith(f"PPO {verdict} the best tuned heuristic, {best}: {difference}")
    assert first.endswith("paired over 6 scenarios.")


def test_the_reference_is_named_with_its_criterion():
    shown = table(BASE, BASE)
    line = said(shown, reference=LOST_SALES.reference())[1]
    assert line.startswith("Reference: optimal policy, 6.8359 money per period (exact, average cost per period, ")
    assert said(shown)[1] == "No reference is known for these parameters."
    bound = table(BASE, BASE, objective="profit", **{"hindsight bound": BASE + 9})
    assert said(bound)[1].startswith("Reference: a bound in hindsight")


def test_the_gap_says_what_it_is_taken_to():
    """A policy that was played, a bound per scenario, or a number alone."""
    reference = LOST_SALES.reference()
    values = {"PPO": BASE + 1, "base_stock": BASE + 0.2}
    rows = lambda more: [(k, seed, v) for k, row in (values | more).items() for seed, v in enumerate(row)]
    sums = lambda more, known: summarise(pd.DataFrame(rows(more), columns=["policy", "seed", "value"]), "cost", known)
    told = lambda table, known: (columns(table)[3][0], said(table, reference=known)[1])
    head, line = told(sums({"reference policy": BASE}, reference), reference)
    assert head == "gap to the reference policy"
    assert "Its policy is the row 'reference policy', with 10.3333 [" in line
    head, line = told(sums({}, reference), reference)
    assert head == "gap to the reference's value, not paired"
    assert "It was not played on these scenarios: gaps are to this number" in line
    bound = replace(reference, kind="bound", policy=None)
    assert "It has no policy that could be played: gaps are to this number" in told(sums({}, bound), bound)[1]
    assert told(sums({"hindsight bound": BASE}, None), None)[0] == "gap to the hindsight bound"


def test_small_values_have_more_digits():
    shown = dict(columns(table(BASE / 100 + 0.0013, BASE / 100, poor=BASE / 99)))
    assert shown["cost"][0].startswith("0.1033 [")
    assert shown["better than base_stock by"][2] == "-0.0013 [-0.0013, -0.0013]"


def test_the_reference_is_played_and_shown(self_contained):
    """As a row that is no heuristic, on the held-out scenarios of the others."""
    task = TASKS["Newsvendor"]()
    policies = {kind: tune(kind, task, np.arange(32)) for kind in ("random", "base_stock")}
    experiment = Experiment(task, None, task.reference(), policies)
    episodes = experiment.episodes(EvaluationParams(episodes=12))
    assert episodes.groupby("policy")["seed"].nunique().to_dict() == dict.fromkeys(
        ["base_stock", "random", REFERENCE], 12
    )
    shown = experiment.summary(episodes)
    assert shown.attrs["best_heuristic"] == "base_stock"
    page = render(experiment, episodes, [], {}, {}, {})
    self_contained(page)
    assert re.search(r'<tr class="known"><td>reference policy</td>.*<td>0\.00 \[0\.00, 0\.00\]</td>', page)
    assert page.count("Its policy is the row") == 1


def test_recorded_days_come_with_their_warning():
    demand = np.full((100, 1), 5)
    params = LOST_SALES.params
    recorded = SimpleNamespace(params=params, test=HistoryDemand(demand), unit="money per episode")
    line = said(table(BASE, BASE), task=recorded)[-1]
    assert "the 6 different windows of 60 days found in 100 held-out days" in line
    assert not any("windows" in line for line in said(table(BASE, BASE)))


def test_the_best_heuristic_is_never_the_agent():
    shown = table(BASE - 5, BASE)
    assert list(shown.index) == ["PPO", "base_stock", "s_S"]
    assert columns(shown)[2][0] == "better than base_stock by"


def test_columns_have_signs_digits_and_units():
    shown = dict(columns(table(BASE + 1, BASE)))
    assert shown["policy"] == ["base_stock", "PPO", "s_S"]
    assert shown["cost"][0].startswith("10.33 [")
    assert shown["better than base_stock by"][1] == "-1.00 [-1.00, -1.00]"
    assert shown["fill rate"] == ["90.00%"] * 3
    assert shown["stock-out rate"] == ["12.50%"] * 3
    large = dict(columns(table(1000 * BASE, 900 * BASE, objective="profit")))
    assert large["profit"][0].startswith("10,333 [")
    assert "gap, %" not in shown


def test_one_scenario_has_no_interval():
    shown = table(np.array([5.0]), np.array([4.0]))
    assert dict(columns(shown))["cost"] == ["4.00", "5.00", "9.00"]
    lines = said(shown)
    assert not [line for line in lines if "nan" in line]
    assert lines[0].startswith("PPO does not differ significantly from the best tuned heuristic")


def test_every_line_of_the_terminal_table_is_as_wide():
    text = text_table(table(BASE + 1, BASE), "money per period")
    first, *lines = text.splitlines()
    assert first == "Held-out scenarios; cost and differences in money per period, [95 % confidence interval]"
    rule = next(line for line in lines if line.startswith("---"))
    rows = lines[lines.index(rule) + 1 :]
    assert {len(line) for line in rows} == {len(rule)}
    assert [line.split()[0] for line in rows] == ["base_stock", "PPO", "s_S"]


def test_nothing_in_a_config_is_markup():
    task = TASKS["Newsvendor"]()
    policies = {"random": tune("random", task, [0])}
    experiment = Experiment(task, None, task.reference(), policies)
    config = {"data": {"path": "<script>alert(1)</script>"}}
    page = render(
        experiment,
        evaluate(policies, task, np.arange(4)),
        [],
        {"command": "a <b> & c"},
        config,
        {"base_stock": {"level": ["<b>"]}},
    )
    assert page.count("<script") == 1  # the viewer
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "a &lt;b&gt; &amp; c" in page
    assert "Learning curve" not in page


def test_dispatch_shows_its_routes():
    pytest.importorskip("numba")
    small = {"requests": 12.0, "profile": [1.0, 2.0], "customers": 30, "cities": 1, "iterations": 10, "vehicles": 1}
    task = TASKS["Dispatch"](**small)
    policies = {kind: rules.tune(kind, task, [0]) for kind in ("greedy", "lazy")}
    episodes = evaluate(policies, task, np.arange(3))
    page = render(Experiment(task, None, None, policies), episodes, [], {}, {}, {})
    assert "<h2>Routes</h2>" in page
    assert "seconds of driving per episode." in page
    assert all(f">{clock}:00" in page for clock in ("01", "02"))
