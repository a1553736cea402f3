"""The pricing model: demand's distributions, laws of conservation, markdowns, and simulation against references."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from storelab.envs import TASKS, HistoryDemand, PriceDemandParams, Pricing, PricingParams
from storelab.envs.core.demand import Days
from storelab.envs.core.rollout import rollout
from storelab.envs.pricing.demand import CountTable, choose, inverse_transform
from storelab.envs.pricing.references import mnl
from storelab.evaluation import evaluate


@pytest.mark.parametrize("noise", ["poisson", "negative_binomial", "bernoulli"])
@pytest.mark.parametrize("mean", [0.05, 0.9, 12.0, 200.0])
def test_counts_have_their_distribution(noise, mean):
    """Inverse transform: the counts at a fine grid of uniforms have just the probabilities of the pmf."""
    mean = min(mean, 0.9) if noise == "bernoulli" else mean
    pmf = PriceDemandParams(noise=noise, dispersion=3.0).pmf(mean)
    uniform = (np.arange(100_000) + 0.5) / 100_000
    counts = inverse_transform(np.full(uniform.shape, mean), uniform, noise, 3.0)
    shares = np.bincount(counts.astype(int), minlength=len(pmf))[: len(pmf)] / len(uniform)
    assert np.abs(shares - pmf).max() < 1.01e-5
    assert (np.diff(counts) >= 0).all()


@pytest.mark.parametrize("noise", ["poisson", "negative_binomial", "bernoulli"])
def test_a_table_gives_the_same_counts(noise):
    rng, mean = np.random.default_rng(0), np.array([[0.01, 0.9], [3.0, 40.0], [150.0, 0.3]])
    table = CountTable(mean, noise, 3.0)
    which = rng.integers(3, size=(50_000, 2))
    uniform = rng.random(which.shape)
    uniform[:3] = [[0, 1 - 2**-53], [1 / 4096, 1 - 1e-12], [0.5, 4095 / 4096]]
    same = table(which, uniform) == inverse_transform(mean[which, [0, 1]], uniform, noise, 3.0)
    assert same[3:].all()
    assert same[:3].sum() >= 5  # 2^-53 below 1 the last bit decides
    assert not CountTable.fits(np.full((300, 1), 2.0), noise, 3.0)


def test_counts_fall_with_the_price():
    uniform = np.random.default_rng(0).random(1000)
    low, high = (inverse_transform(np.full(1000, mean), uniform, "poisson", 1.0) for mean in (2.0, 3.0))
    assert (low <= high).all()
    assert (low < high).any()


def test_customers_choose_by_the_logit():
    rng, weight = np.random.default_rng(0), np.array([[0.5, 2.0, 1.0]])
    n = 200_000
    taste = rng.standard_exponential((n, 1, 4), dtype=np.float32)
    first, sales, out = choose(np.repeat(weight, n, axis=0), None, np.ones(n), taste)
    share = weight[0] / (1 + weight.sum())
    assert np.abs(first.mean(axis=0) - share).max() < 5 * math.sqrt(0.25 / n)
    assert np.array_equal(first, sales)
    assert not out.any()
    stock = np.repeat([[1.0, 0.0, 1.0]], n, axis=0)  # the second item is out: its customers spread over the others
    first, sales, out = choose(np.repeat(weight, n, axis=0), stock, np.ones(n), taste)
    share = weight[0] * [1, 0, 1] / (1 + weight[0, [0, 2]].sum())
    assert np.abs(sales.mean(axis=0) - share).max() < 5 * math.sqrt(0.25 / n)
    assert np.array_equal(out[:, 1], first[:, 1])
    kept = first[:, [0, 2]].any(axis=1)
    assert np.array_equal(sales[kept], first[kept])  # whoever's first choice is there takes it


def test_customers_choose_one_after_another():
    """Three customers who all want the first item, of which there is one; the second one's next choice is the other."""
    taste = np.array([[[9.0, 1.0, 8.0], [9.0, 1.0, 8.0], [5.0, 1.0, 8.0]]], np.float32)
    first, sales, out = choose(np.ones((1, 2)), np.array([[1.0, 5.0]]), np.array([3.0]), taste)
    assert (first.tolist(), sales.tolist(), out.tolist()) == ([[3, 0]], [[1, 1]], [[2, 0]])


def price_script(prices):
    queue = iter(prices)
    return lambda observation, state, seed: (np.full((len(observation), 1), next(queue), np.float32), state)


def test_a_season_by_hand():
    """Recorded demand, elasticity 1, all terms: every number below was worked out on paper."""
    params = PricingParams(
        horizon=3, initial_stock=9.0, prices=[1.0, 4.0], action="continuous", purchase_cost=0.5, holding_cost=0.1,
        salvage_value=0.25, price_change_cost=2.0, demand=PriceDemandParams(kind="elastic", list_price=2.0),
    )  # fmt: skip
    model = Pricing(params, HistoryDemand(np.full((28, 1), 3.0)))
    scenario = model.scenarios([0]) | {"uniform": np.zeros((1, 4, 1))}
    run = rollout(model, price_script([2.0, 4.0, 1.0]), scenario, trace=True)
    assert run["demand"].ravel().tolist() == [3, 1, 6]  # 3, 1.5 and 6, rounded down
    assert run["sales"].ravel().tolist() == [3, 1, 5]
    assert run["unmet"].ravel().tolist() == [0, 0, 1]
    assert run["revenue"].ravel().tolist() == [6, 4, 5]
    assert run["purchase_cost"].ravel().tolist() == [1.5, 0.5, 2.5]
    assert run["holding_cost"].ravel() == pytest.approx([0.6, 0.5, 0])
    assert run["price_change_cost"].ravel().tolist() == [0, 2, 2]
    assert run["reward"].ravel() == pytest.approx([3.9, 1.0, 0.5])


def test_markdowns_only_fall_and_are_limited():
    model = Pricing(PricingParams(markdown=True, max_changes=2, initial_stock=99.0, horizon=6))
    run = rollout(model, price_script([5, 7, 3, 1, 0, 9]), model.scenarios([0]), trace=True)
    assert run["flow.price"].ravel() == pytest.approx([2.0, 2.0, 1.6, 1.2, 1.2, 1.2])
    assert run["flow.changed"].ravel().tolist() == [0, 0, 1, 1, 0, 0]


def test_the_reference_price_follows_the_prices():
    model = TASKS["PricingReference"](demand={"gain": 1.0, "loss": 3.0}, prices=[2.0, 6.0], horizon=2).model()
    run = rollout(model, price_script([5.0, 4.0]), model.scenarios([0]), trace=True)
    # r = 4.5: 10 - 5 - 3 (.5) = 3.5; r = .7 4.5 + .3 5 = 4.65: 10 - 4 + 1 (.65) = 6.65
    assert run["demand"].ravel() == pytest.approx([3.5, 6.65])


number = st.floats(0, 5, width=32)


@st.composite
def problems(draw):
    """Any valid pricing problem with a few items."""
    items, kind = draw(st.integers(1, 3)), draw(st.sampled_from(["exponential", "elastic", "linear", "mnl"]))
    size = st.floats(0.1, 5)
    demand = {
        "kind": kind,
        "size": draw(size) if kind == "mnl" else draw(st.one_of(size, st.lists(size, min_size=items, max_size=items))),
        "sensitivity": draw(st.floats(0.1, 1.5)),
        "list_price": draw(st.floats(1, 3)),
        "noise": draw(st.sampled_from(["poisson", "negative_binomial"])),
        "utility": draw(st.floats(-2, 2)),
        "gain": draw(number),
        "loss": draw(number),
        "std": draw(number),
    }
    return PricingParams(
        items=items,
        horizon=draw(st.integers(1, 8)),
        continuing=draw(st.booleans()),
        demand=demand,
        initial_stock=draw(st.one_of(st.just(math.inf), st.integers(0, 9).map(float))),
        prices=draw(st.sampled_from([[1.0, 2.0], [0.5, 1.5, 4.0]])),
        action=draw(st.sampled_from(["grid", "continuous"])),
        purchase_cost=draw(number),
        holding_cost=draw(number),
        salvage_value=draw(number),
        price_change_cost=draw(number),
        markdown=draw(st.booleans()),
        max_changes=draw(st.sampled_from([math.inf, 0, 2])),
    )


@given(problems(), st.integers(0, 2**62))
@settings(max_examples=40)
def test_units_and_money_are_conserved(params, seed):
    model = Pricing(params)
    scenario = model.scenarios([seed, seed + 1])

    def act(observation, memory, step):
        assert model.observation_space.shape == observation.shape[1:]
        rng = np.random.default_rng(step)
        return rng.uniform(model.action_low, model.action_high, (2, params.items)), memory

    run = rollout(model, act, scenario, trace=True)
    assert (run["flow.sales"] >= 0).all()
    assert (run["flow.unmet"] >= 0).all()
    if model.limited:
        left = params.per_item("initial_stock") - np.cumsum(run["flow.sales"], axis=1)
        assert np.allclose(left, run["flow.on_hand"], atol=1e-3)
        assert (run["flow.on_hand"] >= 0).all()
    profit = run["item_profit"].sum(axis=2)
    if not params.continuing:
        profit = profit + run["salvage"]
    assert np.allclose(profit, run["reward"], rtol=1e-4, atol=1e-3)
    if params.markdown:
        assert (np.diff(run["flow.price"], axis=1) <= 0).all()
    alone = rollout(model, lambda o, m, s: (act(np.repeat(o, 2, axis=0), m, s)[0][:1], m), model.scenarios([seed]))
    assert np.array_equal(alone["reward"][0], run["reward"][0])


SIMULATED = [
    ("Pricing", {}),
    ("Pricing", {"action": "continuous", "prices": [0.5, 4.0], "initial_stock": 5.0}),
    ("Pricing", {"demand": {"kind": "elastic", "sensitivity": 2.0, "list_price": 1.0, "noise": "negative_binomial"}}),
    ("Pricing", {"markdown": True, "max_changes": 2, "price_change_cost": 0.1, "holding_cost": 0.01}),
    ("Pricing", {"demand": {"noise": "bernoulli", "size": 0.8}, "horizon": 50, "salvage_value": 0.9}),
    ("PricingMNL", {}),
    ("PricingMNL", {"items": 3, "initial_stock": [2, 3, 4], "demand": {"utility": [1, 0.5, 2]}, "salvage_value": 0.2}),
]


@pytest.mark.parametrize(("name", "changes"), SIMULATED)
def test_the_simulated_optimum_is_the_solved_one(name, changes):
    task = TASKS[name](**changes)
    reference = task.reference()
    values = evaluate({"optimum": reference.policy}, task, np.arange(10_000), rows=5000)["value"]
    error = values.std() / math.sqrt(len(values))
    assert abs(values.mean() - reference.value) < 3 * error + reference.tolerance
    assert error < 0.01 * reference.value


@pytest.mark.parametrize("changes", [{}, {"demand": {"loss": 4.0}}, {"demand": {"gain": 0.0, "loss": 0.0}}])
def test_the_simulated_optimum_with_a_reference_price(changes):
    task = TASKS["PricingReference"](**changes)
    reference = task.reference()
    value = evaluate({"optimum": reference.policy}, task, [0, 1])["value"].mean()
    assert value == pytest.approx(reference.value, rel=1e-5)


def test_the_logit_task_at_fixed_prices():
    """One customer a period at most, stock without limit: revenue by the shares."""
    task = TASKS["PricingMNL"](initial_stock=math.inf)
    prices = np.array([2.0, 2.5])
    act = lambda observation, memory, seed: (np.repeat(prices[None], len(observation), axis=0), memory)
    values = evaluate({"fixed": act}, task, np.arange(4000), rows=4000)["value"]
    expected = 40 * 0.5 * mnl.shares([1.0, 1.5], 1.0, prices) @ prices
    assert abs(values.mean() - expected) < 4 * values.std() / math.sqrt(4000)


def test_forecasts_are_observed_where_a_source_tells_them():
    days = Days(forecast=np.arange(60.0).reshape(30, 1, 2))
    params = PricingParams(
        horizon=5, forecast="model", quantiles=[0.1, 0.9], demand=PriceDemandParams(kind="elastic", list_price=2.0)
    )
    model = Pricing(params, HistoryDemand(np.full((30, 1), 3.0), days))
    scenario = model.scenarios([3])
    named = model.features(model.observation(model.initial(1), {k: v[:, 0] for k, v in scenario.items()}))
    assert np.array_equal(named["forecast"][0], scenario["forecast"][0, 0])
    with pytest.raises(ValueError, match="forecast: 'model' is not allowed"):
        Pricing(params)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"prices": [2.0, 1.0]}, "prices: .*rising"),
        ({"prices": [1.0]}, "prices: .*2 to 10000 numbers, rising"),
        ({"initial_stock": -1.0}, "initial_stock: -1.0"),
        ({"items": 2, "initial_stock": [1.0, math.inf]}, "initial_stock: .*inf for all"),
        ({"demand": {"kind": "probit"}}, "demand.kind: 'probit'"),
        ({"demand": {"size": -1.0}}, "demand.size: -1.0"),
        ({"demand": {"size": 1e4}}, "demand.size: .*at most 500"),
        ({"demand": {"kind": "elastic"}}, "demand.list_price: 0.0"),
        ({"demand": {"siz": 1.0}}, "demand.siz: 1.0"),
        ({"max_changes": 1.5}, "max_changes: 1.5"),
        ({"markdown": 1}, "markdown: 1"),
        ({"action": "index"}, "action: 'index'"),
        ({"forecast": "oracle"}, "forecast: 'oracle'"),
        ({"horizon": 0}, "horizon: 0"),
    ],
)
def test_bad_parameters_are_named(changes, words):
    with pytest.raises(ValueError, match=words):
        TASKS["Pricing"](**changes).model()


@pytest.mark.parametrize(
    ("name", "changes", "words"),
    [
        ("Pricing", {"continuing": True}, "continuing"),
        ("Pricing", {"items": 2}, "items: 2"),
        ("Pricing", {"initial_stock": 2.5}, "initial_stock: 2.5"),
        ("PricingMNL", {"action": "grid"}, "action: 'grid'"),
        ("PricingMNL", {"prices": [2.0, 3.0]}, "prices: .*expected a range"),
        ("PricingMNL", {"demand": {"noise": "poisson"}}, "demand.noise: 'poisson'"),
        ("PricingReference", {"demand": {"std": 1.0}}, "demand.std: 1.0"),
    ],
)
def test_references_refuse_what_they_do_not_solve(name, changes, words):
    with pytest.raises(ValueError, match=words):
        TASKS[name](**changes).reference()
