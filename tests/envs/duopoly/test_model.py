"""The duopoly: published prices, rivals that do what they say, a Q-learner that follows its equation."""

import numpy as np
import pytest
from storelab.agents import rules_of
from storelab.agents.heuristics import duopoly as rules
from storelab.agents.q_learning import play
from storelab.envs import TASKS, Duopoly, DuopolyParams, make_env
from storelab.envs.core.rollout import rollout
from storelab.envs.duopoly import references as reference
from storelab.envs.duopoly.model import initial_values, profit_gain
from storelab.evaluation import evaluate


def test_published_prices_and_profits():
    """Calvano et al. 2020, recomputed (shared/reference/pricing.md)."""
    (nash, earned), (joint, joint_profit) = reference.nash(), reference.monopoly()
    assert nash == pytest.approx([1.472927] * 2, abs=1e-6)
    assert joint == pytest.approx([1.924981] * 2, abs=1e-6)
    assert earned == pytest.approx([0.222927] * 2, abs=1e-6)
    assert joint_profit == pytest.approx([0.337490] * 2, abs=1e-6)
    assert DuopolyParams().prices()[[0, -1]] == pytest.approx([1.427721, 1.970186], abs=1e-6)


@pytest.mark.parametrize(("quality", "cost", "outside"), [((2, 2), (1, 1), 0.0), ((2, 1.5), (1, 0.7), 0.3)])
def test_nobody_gains_alone_from_nash_nor_both_from_monopoly(quality, cost, outside):
    game = {"quality": np.array(quality, float), "outside": outside, "mu": 0.25}
    cost = np.array(cost)
    profit = lambda prices: (prices - cost) * reference.demand(prices, **game)
    nash, earned = reference.nash(quality, outside, 0.25, cost)
    joint, joint_profit = reference.monopoly(quality, outside, 0.25, cost)
    for step in (-0.01, 0.01):
        for i in range(2):
            assert profit(nash + step * np.eye(2)[i])[i] < earned[i]
            assert profit(joint + step * np.eye(2)[i]).sum() < joint_profit.sum()


@pytest.mark.parametrize("rival", ["fixed", "undercut", "best_response"])
def test_the_simulated_optimum_is_the_solved_one(rival):
    task = TASKS["PricingDuopoly"](rival=rival, horizon=40)
    known = task.reference()
    policies = {kind: rules.tune(kind, task, [0]) for kind in rules.HEURISTICS}
    episodes = evaluate(policies | {"optimum": known.policy}, task, [0, 1])
    mean = episodes.groupby("policy")["value"].mean()
    assert mean["optimum"] == pytest.approx(known.value, rel=1e-5)
    assert mean.drop("optimum").max() <= known.value + 1e-6
    if rival == "fixed":  # Nash's price: the nearest grid price to the best response to it
        assert mean["optimum"] == pytest.approx(mean["best_response"], rel=1e-3)


def test_rivals_follow_their_rules():
    model = Duopoly(DuopolyParams(rival="undercut", undercut=0.1, floor=1.5))
    assert model.rival_prices(np.array([[1.9, 0.0], [1.55, 0.0]])) == pytest.approx([1.8, 1.5])
    model = Duopoly(DuopolyParams(rival="best_response"))
    answer = model.rival_prices(np.array([[1.6, 0.0]]))[0]
    near = [model.profits(np.array([1.6, answer + step]))[1] for step in (-0.01, 0.0, 0.01)]
    assert np.argmax(near) == 1


def test_the_learner_follows_its_equation():
    """One period by hand: Q(s, a) moves by alpha towards profit + delta max Q(s', .)."""
    params = DuopolyParams(rival="q_learner", grid=4, exploration_decay=1.0)
    model = Duopoly(params)
    state = model.initial(1)
    shock = {"uniform": np.array([[0.5, 0.8]], np.float32)}  # explores at t = 0 (chance 1), takes price 3
    after, flow = model.transition(state, np.array([[2.0]], np.float32), shock)
    assert flow.price[0] == pytest.approx([model.prices[2], model.prices[3]])
    first = initial_values(model.profits, model.prices, 0.95)[1]
    (last,), (agents,) = model._places(state.price)
    expected = first.copy()
    profit = model.profits(model.prices[[2, 3]])[1]
    expected[last, agents, 3] = 0.85 * first[last, agents, 3] + 0.15 * (profit + 0.95 * first[3, 2].max())
    assert after.values[0] == pytest.approx(expected.ravel(), rel=1e-6)
    assert np.array_equal(state.values[0], first.ravel())  # what was before stays as it was


def test_against_a_fixed_rival_the_learner_learns_the_best_response():
    """The agent always sets one price: the rival ends at its best answer on the grid."""
    params = DuopolyParams(rival="q_learner", grid=5, exploration_decay=0.002, horizon=4000)
    model = Duopoly(params)
    run = rollout(model, lambda o, m, s: (np.full((len(o), 1), 3.0), m), model.scenarios([0, 1, 2]), trace=True)
    best = max(model.prices, key=lambda p: model.profits(np.array([model.prices[3], p]))[1])
    assert run["flow.price"][:, -1, 1] == pytest.approx([best] * 3)


def test_sessions_repeat_and_differ():
    params = DuopolyParams(grid=4, exploration_decay=1e-3)
    one, again, other = (play(params, sessions=3, max_periods=3000, seed=seed) for seed in (0, 0, 1))
    assert np.array_equal(one.policies, again.policies)
    assert not np.array_equal(one.policies, other.policies)
    assert one.policies.shape == (3, 2, 4, 4)
    assert not one.converged.any()


@pytest.mark.slow
def test_learners_collude_as_published():
    """Calvano et al. 2020: about .85 of the way from Nash to monopoly; recomputed about .87."""
    learned = play(DuopolyParams(), sessions=24, seed=0)
    assert learned.converged.mean() > 0.9
    assert 0.80 <= learned.gain.mean() <= 0.92


def test_profit_gain():
    assert profit_gain(0.3, 0.2, 0.4) == pytest.approx(0.5)
    with pytest.raises(ValueError, match="monopoly"):
        profit_gain(0.3, 0.2, 0.2)


def test_parallel_api():
    pytest.importorskip("pettingzoo")
    from pettingzoo.test import parallel_api_test
    from storelab.envs.duopoly.parallel import DuopolyParallel

    parallel_api_test(DuopolyParallel(), num_cycles=120)
    env = DuopolyParallel(DuopolyParams(horizon=3, action="continuous"))
    env.reset(seed=0)
    for t in range(3):
        seen, reward, _, truncated, _ = env.step({"firm_0": [1.5], "firm_1": [1.8]})
        assert truncated["firm_0"] == (t == 2)
    assert [reward["firm_0"], reward["firm_1"]] == pytest.approx(env.model.profits(np.array([1.5, 1.8])), rel=1e-6)
    assert seen["firm_1"] == pytest.approx([1.8, 1.5])
    env.reset()
    with pytest.raises(ValueError, match="action"):
        env.step({"firm_0": [np.nan], "firm_1": [1.8]})


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"rival": "cartel"}, "rival: 'cartel'"),
        ({"rival": "q_learner", "action": "continuous"}, "rival: 'q_learner'"),
        ({"quality": [1.0]}, "quality: .*list of 2"),
        ({"discount": 1.0}, "discount: 1"),
        ({"grid": 1}, "grid: 1"),
    ],
)
def test_bad_parameters_are_named(changes, words):
    with pytest.raises(ValueError, match=words):
        TASKS["PricingDuopoly"](**changes)
    assert rules_of(TASKS["PricingDuopoly"]().model()) is rules
    with pytest.raises(ValueError, match="rival: 'q_learner' is not allowed"):
        TASKS["PricingDuopoly"](rival="q_learner").reference()
    with pytest.raises(ValueError, match="kind: 'greedy'"):
        rules.tune("greedy", TASKS["PricingDuopoly"](), [0])


def test_nash_of_three_firms():
    """Quality 2 and cost 1 for each: p = c + mu / (1 - share), the share at equal prices (Calvano et al. 2020)."""
    prices, profits = reference.nash(quality=(2.0, 2.0, 2.0), cost=(1.0, 1.0, 1.0))
    assert prices.shape == profits.shape == (3,)
    assert prices == pytest.approx([1.370163] * 3, abs=1e-6)
    share = reference.demand(prices)[0]
    assert prices[0] == pytest.approx(1 + 0.25 / (1 - share), abs=1e-9)
    one, _ = reference.nash(quality=2.0, cost=(1.0, 1.0, 1.0))  # one number for all
    assert np.array_equal(one, prices)
    with pytest.raises(ValueError, match=r"cost: \(2,\) is not allowed, expected one per firm, 3"):
        reference.nash(quality=(2.0, 2.0, 2.0), cost=(1.0, 1.0))
    with pytest.raises(ValueError, match=r"quality: .* expected one per firm, at least two"):
        reference.nash(quality=(2.0,), cost=(1.0,))


def test_the_picture_counts_the_agents_profit_alone():
    env = make_env("PricingDuopoly", rival="fixed", render_mode="ansi")
    env.reset(seed=0)
    earned = sum(env.step([7])[1] for _ in range(5))
    assert env.render().endswith(f"profit so far {earned:,.2f}")
