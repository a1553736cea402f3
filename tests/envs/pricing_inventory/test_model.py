"""The model of price and order: conservation, money, demand that answers to the price, spaces, rules and the task."""

import doctest
import math

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from hypothesis import given, settings
from hypothesis import strategies as st
from storelab.agents import tune
from storelab.envs import TASKS
from storelab.envs.core.batch import admit
from storelab.envs.core.rollout import rollout
from storelab.envs.pricing_inventory import model as module
from storelab.envs.pricing_inventory.heuristics import RULES
from storelab.envs.pricing_inventory.model import PricingInventory
from storelab.envs.pricing_inventory.params import DemandCurveParams, PricingInventoryParams
from storelab.errors import FieldError

ID = "storelab/PricingInventory-v0"


@st.composite
def problems(draw):
    """Return any valid parameters of a size that runs at once."""
    number = lambda high: draw(st.floats(0, high, allow_nan=False))
    kind = draw(st.sampled_from(["linear", "exponential", "logit"]))
    demand = DemandCurveParams(
        kind=kind,
        size=draw(st.floats(0.01, 500)),
        sensitivity=number(50),
        utility=draw(st.floats(-100, 100)),
        noise=draw(st.sampled_from(["poisson", "negative_binomial"])),
        dispersion=draw(st.floats(0.1, 1e6)),
    )
    action = draw(st.sampled_from(["grid", "continuous"]))
    least = 1 if action == "grid" else 2
    prices = draw(st.lists(st.integers(0, 10_000), min_size=least, max_size=8, unique=True))
    life = draw(st.sampled_from([math.inf, 1, 2, 3, 7]))
    return PricingInventoryParams(
        horizon=draw(st.integers(1, 6)),
        demand=demand,
        prices=[price / 100 for price in sorted(prices)],
        action=action,
        max_order=draw(st.integers(1, 1000)),
        unmet=draw(st.sampled_from(["backorder", "lost"])),
        initial_stock=0 if life == 1 else draw(st.integers(0, 1000)),
        shelf_life=life,
        **{f"{name}_cost": number(100) for name in ("purchase", "fixed", "holding", "backorder", "lost_sale", "waste")},
        salvage_value=number(100),
    )


@given(problems(), st.integers(0, 2**31))
@settings(max_examples=150)
def test_units_and_money_are_kept(params, seed):
    """What comes in is sold, left or wasted; who came was served, waits or is lost; the money sums to the reward."""
    model, rng, n = PricingInventory(params), np.random.default_rng(seed), 5
    scenario, state = model.scenarios(seed + np.arange(n)), model.initial(n)
    for t in range(params.horizon):
        shock = {name: block[:, t] for name, block in scenario.items()}
        seen = model.observation(state, shock)
        assert seen.dtype == np.float32
        assert all(model.observation_space.contains(row) for row in seen)
        asked = rng.uniform(model.action_low, model.action_high, (n, 2))
        before, (state, flow) = state, model.transition(state, admit(model, asked, n)[0], shock)
        waste = 0 if flow.waste is None else flow.waste
        assert np.array_equal(before.on_hand + flow.ordered, flow.sales + flow.on_hand + waste)
        if state.backlog is not None:
            assert np.array_equal(before.backlog + flow.demand, flow.sales + state.backlog)
            assert not (state.backlog * state.on_hand).any()
            assert np.array_equal(flow.paid, flow.demand)
        else:
            assert np.array_equal(flow.demand, flow.sales + flow.unmet)
            assert np.array_equal(flow.paid, flow.sales)
        if state.shelf is not None:
            assert np.array_equal(state.shelf.sum(axis=1, keepdims=True), state.on_hand)
            assert (state.shelf >= 0).all()
        for name in ("demand", "ordered", "sales", "unmet", "on_hand"):
            units = getattr(flow, name)
            assert units.dtype == np.float32
            assert (units >= 0).all()
            assert np.array_equal(units, np.rint(units))
        assert ((model.prices[0] - 1e-4 <= flow.price) & (flow.price <= model.prices[-1] + 1e-4)).all()
        terms = model.money(flow)
        assert all(np.isfinite(value).all() and (value >= 0).all() for value in terms.values())
        costs = sum(value for name, value in terms.items() if name != "revenue")
        assert model.reward(terms) == pytest.approx(terms["revenue"] - costs, rel=1e-4, abs=1e-2)
        assert model.item_profit(flow)[:, 0] == pytest.approx(model.reward(terms))
    assert np.isfinite(model.salvage(state)).all()


def test_a_period_by_hand():
    """Two wait, five come in, four want one: three are served of this period's, who all pay; one more waits."""
    model = PricingInventory(PricingInventoryParams(fixed_cost=7.0, prices=[2.0, 3.0], initial_stock=0))
    state = module.State(np.zeros((1, 1), np.float32), np.full((1, 1), 2, np.float32), None)
    mean, uniform = 14.0, 0.001  # a count that is small by its uniform
    below = np.cumsum([math.exp(-mean) * mean**k / math.factorial(k) for k in range(30)])
    wanted = int(np.searchsorted(below, uniform, side="right"))
    assert wanted == 4
    state, flow = model.transition(state, np.array([[1, 5]], np.float32), {"uniform": np.full((1, 1), uniform)})
    assert [int(getattr(flow, name)[0, 0]) for name in ("demand", "sales", "unmet", "paid", "on_hand", "backlog")] == [
        *(4, 5, 1, 4, 0, 1)
    ]
    terms = {name: value.item() for name, value in model.money(flow).items()}
    assert terms == {
        **{"revenue": 12.0, "purchase_cost": 10.0, "fixed_cost": 7.0, "holding_cost": 0.0, "backorder_cost": 2.0}
    }
    assert model.salvage(state).tolist() == [-2.0]


def test_the_oldest_units_are_sold_first_and_expire():
    model = PricingInventory(PricingInventoryParams(unmet="lost", shelf_life=3, prices=[9.0], demand={"size": 18.0}))
    shelf = np.array([[2.0, 3.0]], np.float32)  # one and two periods left; nobody comes at a price of 9
    state = module.State(shelf.sum(axis=1, keepdims=True), None, shelf)
    state, flow = model.transition(state, np.array([[0, 4]], np.float32), {"uniform": np.full((1, 1), 0.5)})
    assert (flow.demand.item(), flow.waste.item(), flow.on_hand.item()) == (0.0, 2.0, 7.0)
    assert state.shelf.tolist() == [[3.0, 4.0]]
    left = module._oldest_first(np.array([[2.0, 3.0, 4.0]]), np.array([[4.0]]))
    assert left.tolist() == [[0.0, 1.0, 4.0]]


@pytest.mark.parametrize("action", ["grid", "continuous"])
@pytest.mark.parametrize("kind", ["linear", "exponential", "logit"])
@pytest.mark.parametrize("noise", ["poisson", "negative_binomial"])
def test_demand_has_its_mean_and_falls_with_the_price(action, kind, noise):
    curve = DemandCurveParams(kind, 20.0, {"linear": 2.0}.get(kind, 0.4), noise=noise)
    model = PricingInventory(PricingInventoryParams(horizon=1, demand=curve, action=action))
    scenario = model.scenarios(np.arange(20_000))
    shock, last = {name: block[:, 0] for name, block in scenario.items()}, np.inf
    for k, price in enumerate(model.prices):
        chosen = np.tile([k if action == "grid" else price, 0.0], (20_000, 1)).astype(np.float32)
        _, flow = model.transition(model.initial(20_000), chosen, shock)
        demand = flow.demand[:, 0].astype(float)
        mean = float(curve.mean(price))
        variance = mean + (mean**2 / 2 if noise == "negative_binomial" else 0)
        assert abs(demand.mean() - mean) < 4.5 * math.sqrt(variance / 20_000) + 1e-9
        assert (demand <= last).all()  # in every scenario
        last = demand


def test_a_grid_and_a_continuous_price_bring_the_same_demand():
    grid, continuous = (PricingInventory(PricingInventoryParams(action=a)) for a in ("grid", "continuous"))
    scenario = grid.scenarios(np.arange(500))
    for k in (0, 6, 12):
        runs = [
            rollout(model, lambda o, s, seed, a=a: (np.tile(a, (len(o), 1)), s), scenario)
            for model, a in ((grid, [k, 8.0]), (continuous, [grid.prices[k], 8.0]))
        ]
        assert np.array_equal(runs[0]["reward"], runs[1]["reward"])


def test_scenarios_depend_on_their_own_key_alone():
    model = PricingInventory(PricingInventoryParams())
    few, many = model.scenarios([7]), model.scenarios(np.arange(10))
    assert all(np.array_equal(few[name][0], many[name][7]) for name in few)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"horizon": 0}, "horizon"),
        ({"prices": []}, "prices"),
        ({"prices": [2.0, 1.0]}, "prices"),
        ({"prices": [2.0], "action": "continuous"}, "prices"),
        ({"prices": [-1.0, 1.0]}, "prices"),
        ({"max_order": 0}, "max_order"),
        ({"max_order": 2.5}, "max_order"),
        ({"unmet": "some"}, "unmet"),
        ({"action": "base_stock"}, "action"),
        ({"shelf_life": 0}, "shelf_life"),
        ({"shelf_life": 1.5}, "shelf_life"),
        ({"shelf_life": 1, "initial_stock": 1}, "initial_stock"),
        ({"fixed_cost": -1.0}, "fixed_cost"),
        ({"salvage_value": math.nan}, "salvage_value"),
        ({"demand": {"kind": "mnl"}}, "demand.kind"),
        ({"demand": {"size": 0.0}}, "demand.size"),
        ({"demand": {"size": 600.0}}, "demand.size"),
        ({"demand": {"sensitivity": -1.0}}, "demand.sensitivity"),
        ({"demand": {"dispersion": 0.01}}, "demand.dispersion"),
        ({"colour": 1}, "colour"),
    ],
)
def test_bad_parameters_are_refused(changes, field):
    with pytest.raises(FieldError) as error:
        TASKS["PricingInventory"](**changes)
    assert error.value.field == field


def test_a_source_of_demand_is_refused():
    with pytest.raises(FieldError, match="source"):
        gym.make(ID, source=object())


@pytest.mark.parametrize("changes", [{}, {"action": "continuous", "unmet": "lost", "shelf_life": 3}])
def test_gymnasium(changes):
    check_env(gym.make(ID, **changes).unwrapped, skip_render_check=True)
    env = gym.make(ID, **changes)
    env.reset(seed=3)
    total, ended = 0.0, False
    while not ended:
        _, reward, ended, truncated, info = env.step([5, 8])
        gains = info["revenue"] + info.get("salvage", 0.0)
        assert reward == pytest.approx(gains - sum(v for k, v in info.items() if k.endswith("_cost")), abs=1e-3)
        total += reward
    assert not truncated
    many = gym.make_vec(ID, num_envs=2, **changes)
    many.reset(seed=[3, 4])
    both = sum(many.step(np.array([[5, 8], [5, 8]]))[1][0] for _ in range(20))
    assert both == pytest.approx(total)


@pytest.mark.parametrize("changes", [{}, {"unmet": "lost", "shelf_life": 2}])
def test_the_picture(changes):
    text = gym.make(ID, render_mode="ansi", **changes)
    text.reset(seed=0)
    text.step([6, 12])
    assert "price 6" in text.render()
    assert "ordered 12" in text.render()
    picture = gym.make(ID, render_mode="rgb_array", **changes)
    picture.reset(seed=0)
    before = picture.render()
    picture.step([6, 12])
    assert before.shape == picture.render().shape
    assert (before != picture.render()).any()


def test_the_page_runs():
    result = doctest.testmod(module)
    assert result.attempted >= 6
    assert result.failed == 0


# -- rules -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("action", ["grid", "continuous"])
@pytest.mark.parametrize(
    "changes",
    [{}, {"fixed_cost": 0.0}, {"unmet": "lost", "shelf_life": 2, "waste_cost": 1.0}, {"prices": [6.0, 6.5]}],
)
def test_every_rule_acts_inside_the_space(action, changes):
    model = TASKS["PricingInventory"](action=action, **changes).model()
    scenario = model.scenarios(np.arange(32))
    for name, rule in RULES.items():
        if not rule.fits(model):
            continue
        for share in (0.0, 0.4, 1.0):
            boxes = rule.parameters(model, scenario)
            values = {key: np.full((1, 1), low + share * (high - low)) for key, (low, high, _) in boxes.items()}
            policy = lambda seen, state, seed, rule=rule, values=values: (
                rule.act(model, model.features(seen), seed, **values),
                state,
            )
            run = rollout(model, policy, scenario)
            assert np.isfinite(run["reward"]).all(), name
            assert not run["clipped_actions"].any(), name


def test_rules_are_tuned_where_there_is_one_price():
    """Then a level is all there is to find: it lies near the optimal one."""
    task = TASKS["PricingInventory"](prices=[6.0], fixed_cost=0.0)
    heuristic = tune("base_stock_fixed_price", task, range(64))
    assert heuristic.params["price"] == [6.0]
    assert abs(heuristic.params["level"][0] - task.reference().levels["order_up_to"][0]) <= 2


def test_separate_is_the_riskless_price_and_the_newsvendor():
    """The price (a / b + c) / 2 = 6 brings 8 customers; 2 / (2 + 0.5) = 0.8 of Poisson(8) lies at 10 or less."""
    model = TASKS["PricingInventory"](fixed_cost=0.0).model()
    named = {"on_hand": np.array([[3.0], [0.0]]), "backlog": np.array([[0.0], [2.0]]), "time_left": np.ones((2, 1))}
    assert RULES["separate"].act(model, named, 0).tolist() == [[6, 7], [6, 12]]


def test_separate_needs_a_price_that_earns():
    assert not RULES["separate"].fits(TASKS["PricingInventory"](purchase_cost=9.0).model())
    assert not RULES["separate"].fits(TASKS["PricingInventory"](holding_cost=0.0).model())
    assert RULES["separate"].fits(TASKS["PricingInventory"]().model())


def test_the_list_price_falls_above_the_level():
    model = TASKS["PricingInventory"](fixed_cost=0.0).model()
    named = {"on_hand": np.array([[8.0], [14.0]]), "backlog": np.zeros((2, 1)), "time_left": np.ones((2, 1))}
    values = {"price": np.array([[6.0]]), "level": np.array([[10.0]]), "slope": np.array([[0.25]])}
    action = RULES["base_stock_list_price"].act(model, named, 0, **values)
    assert action.tolist() == [[6, 2], [4, 0]]  # 6 and 5


def test_s_S_p():
    model = TASKS["PricingInventory"]().model()
    named = {"on_hand": np.array([[2.0], [12.0], [2.0]]), "backlog": np.zeros((3, 1))}
    named["time_left"] = np.array([[1.0], [1.0], [0.05]])
    values = {"reorder": np.array([[2.0]]), "size": np.array([[20.0]]), "price": np.array([[6.0]])}
    action = RULES["s_S_p"].act(model, named, 0, **values, slope=np.array([[0.05]]))
    # 22 units: 10 above the middle, half a unit of money off; in the last period no more than the 8 expected.
    assert action.tolist() == [[5, 20], [6, 0], [6, 6]]


def test_tuned_rules_lie_below_the_optimum():
    """Both decided together is better than one after the other, and neither is better than the dynamic program."""
    task = TASKS["PricingInventory"]()
    model = task.model("test")
    scenario, known = model.scenarios(np.arange(2000)), task.reference()
    score = lambda policy: rollout(model, policy, scenario)["reward"].sum(axis=1, dtype=float)
    best = score(known.policy)
    gaps = {}
    for kind in ("separate", "s_S_p", "random"):
        lost = best - score(tune(kind, task, range(64)))
        gaps[kind] = lost.mean()
        assert lost.mean() > 4 * lost.std() / math.sqrt(len(lost))
    assert gaps["s_S_p"] < gaps["separate"] < gaps["random"]
