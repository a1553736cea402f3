from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from storelab.envs import TASKS, Arc, DemandParams, Node, SupplyChain
from storelab.envs.core.batch import admit
from storelab.envs.core.rollout import rollout
from storelab.envs.supply_chain.params import network
from storelab.evaluation import evaluate

SHOP = Node(DemandParams(), holding_cost=1.0, backorder_cost=9.0)


def script(rows):
    """A policy that takes the given actions (T, A) one after another."""
    queue = iter(rows)
    return lambda observation, state, seed: (np.tile(np.float32(next(queue)), (len(observation), 1)), state)


def demand(*values):
    """A scenario of one row whose shops' demand is given by period."""
    return {"demand": np.asarray(values, np.float32).reshape(1, len(values), -1)}


@pytest.mark.parametrize(("lead", "expected"), [(0, [5, 5, 2]), (1, [0, 5, 5]), (2, [0, 0, 5])])
def test_a_shipment_serves_the_demand_of_its_lead_time_later(lead, expected):
    nodes = {"a": Node(), "shop": replace(SHOP, backorders=False)}
    model = SupplyChain(network(nodes, [Arc("a", "shop", lead)], horizon=3))
    assert rollout(model, script([[5], [5], [2]]), demand(9, 9, 9, 0))["sales"].ravel().tolist() == expected


@pytest.mark.parametrize(("at_once", "sold"), [(True, [0, 0, 4, 0]), (False, [0, 0, 0, 4])])
def test_when_goods_are_shipped_on(at_once, sold):
    """Four units ordered in the first period, shipped on as soon as may be: lead times 1 and 1."""
    nodes = {"a": Node(), "middle": Node(), "shop": SHOP}
    arcs = [Arc("a", "middle", 1), Arc("middle", "shop", 1)]
    model = SupplyChain(network(nodes, arcs, horizon=4, ships_arrivals=at_once))
    assert rollout(model, script([[4, 4], *[[0, 0]] * 3]), demand(9, 0, 0, 0, 0))["sales"].ravel().tolist() == sold


def test_a_season_by_hand():
    """A factory that makes one unit of two and a shop, all terms: every number was worked out on paper."""
    nodes = {
        "mine": Node(),
        "factory": Node(holding_cost=0.5, backorder_cost=0.25, salvage_value=1.0, initial_stock=6.0),
        "shop": Node(
            DemandParams(), price=10.0, holding_cost=1.0, backorder_cost=2.0, salvage_value=3.0, initial_stock=1.0
        ),
    }
    arcs = [
        Arc("mine", "factory", 1, unit_cost=0.5, fixed_cost=5.0, pipeline_cost=0.1),
        Arc("factory", "shop", 1, unit_cost=1.0, pipeline_cost=0.2, ratio=0.5),
    ]
    model = SupplyChain(network(nodes, arcs, horizon=2, continuing=False))
    run = rollout(
        model, script([[4, 8], [0, 4]]), {**demand(3, 2, 0), "time_left": np.ones((1, 3, 1), np.float32)}, trace=True
    )
    # Period 1: 6 of 8 shipped, 2 owed; 1 sold, 2 wait. Then 4 arrive at the factory and 3 at the shop.
    # Period 2: 4 + 2 requested, 4 shipped, 2 owed; 2 who wait and 1 of 2 are served, 1 waits. Then 2 arrive.
    assert run["sales"].ravel().tolist() == [1, 3]
    assert run["backlog"].ravel().tolist() == [2, 1]
    assert run["flow.shipped"][0, :, :, 0].tolist() == [[4, 6], [0, 4]]
    assert run["flow.owed"][0, :, 1, 0].tolist() == [2, 2]
    expected = {
        "revenue": [10, 30],
        "unit_cost": [8, 4],
        "fixed_cost": [5, 0],
        "pipeline_cost": [0.4 + 1.2, 0.8],
        "holding_cost": [0, 0],
        "backorder_cost": [4 + 0.5, 2 + 0.5],
        "salvage": [0, 6],  # two units that came to the shop; nothing is on the way
    }
    for name, values in expected.items():
        assert np.allclose(run[name].ravel(), values), name
    assert np.allclose(run["reward"].ravel(), [10 - 8 - 5 - 1.6 - 4.5, 30 - 4 - 0.8 - 2.5 + 6])


@pytest.mark.parametrize(
    ("rule", "weights", "given"),
    [
        ("priority", [], [6, 4, 0]),
        ("proportional", [], [4, 4, 2]),  # shares of 3.33 twice and 3.33; rounded down, the rest by priority
        ("learned", [0.0, 0.2, 0.8], [0, 2, 8]),
        ("learned", [0.0, 0.0, 0.0], [6, 4, 0]),
    ],
)
def test_allocation(rule, weights, given):
    nodes = {"a": Node(), "w": Node(initial_stock=10.0), "x": SHOP, "y": SHOP, "z": SHOP}
    arcs = [Arc("w", "x"), Arc("w", "y"), Arc("w", "z"), Arc("a", "w")]
    orders = [6, 6, 3] if rule == "proportional" else [6, 6, 9]
    model = SupplyChain(network(nodes, arcs, horizon=1, allocation=rule))
    action = [*orders, 0, *weights, *([1.0] if weights else [])]
    shipped = rollout(model, script([action]), demand([0, 0, 0], [0, 0, 0]), trace=True)["flow.shipped"]
    assert shipped[0, 0, :3, 0].tolist() == given


def test_shares_of_the_stock_never_ship_more_than_was_asked():
    nodes = {"mine": Node(), "hub": Node(backorders=True, initial_stock=20.0), "a": SHOP, "b": SHOP}
    arcs = [Arc("mine", "hub", 1, max_order=9.0), Arc("hub", "a", 1, max_order=9.0), Arc("hub", "b", 1, max_order=9.0)]
    model = SupplyChain(network(nodes, arcs, horizon=10, allocation="learned", lot_size=0.0, action="continuous"))
    run = rollout(model, random_policy(model), model.scenarios(range(200)), trace=True)
    assert run["flow.owed"].min() >= 0  # part + (request - part) may round to more than the request


def test_capacity_and_storage_are_shared_by_the_items():
    nodes = {"a": Node(), "w": Node(initial_stock=10.0, capacity=9.0), "shop": replace(SHOP, storage=12.0)}
    model = SupplyChain(network(nodes, [Arc("w", "shop", 2), Arc("a", "w")], items=2, horizon=2))
    run = rollout(model, script([[12, 8, 0, 0], [9, 9, 0, 0]]), demand([0, 0], [0, 0], [0, 0]), trace=True)
    assert run["flow.ordered"][0, 0, 0].tolist() == [7, 4]  # 20 scaled down to 12, a hair below
    assert run["flow.shipped"][0, 0, 0].tolist() == [5, 3]  # 11 scaled down to 9
    assert run["overflow"][0].tolist() == [9, 18]  # what is owed takes room as well: 12 less 11 lets one lot of neither


@st.composite
def problems(draw):
    """Any valid network of up to six nodes, with what it needs to be run."""
    items, count = draw(st.integers(1, 3)), draw(st.integers(2, 6))
    number = st.floats(0, 5, width=32)
    per_item = st.one_of(number, st.lists(number, min_size=items, max_size=items))
    names = [f"n{k}" for k in range(count)]
    arcs = []
    for k in range(1, count):
        for source in draw(st.lists(st.integers(0, k - 1), min_size=1 if k == count - 1 else 0, max_size=2)):
            pmf = draw(st.one_of(st.just([]), st.just([]), st.lists(st.integers(1, 9), min_size=1, max_size=3)))
            arcs.append(
                Arc(
                    names[source], names[k], draw(st.integers(0, 4)), [p / sum(pmf) for p in pmf],
                    order_delay=draw(st.sampled_from([0, 0, 1, 2])), unit_cost=draw(per_item),
                    fixed_cost=draw(number), pipeline_cost=draw(number),
                    ratio=draw(st.sampled_from([1.0, 1.0, 2.0, 0.5])),
                    max_order=draw(st.floats(3, 20)), initial_pipeline=float(draw(st.integers(0, 3))),
                )
            )  # fmt: skip
    targets, nodes = {arc.target for arc in arcs}, {}
    for k, name in enumerate(names):
        sells = k == count - 1 or (name in targets and draw(st.booleans()))
        limits = [draw(st.sampled_from([np.inf, np.inf, 7.0, 30.0])) for _ in range(2)]
        money = [draw(per_item) for _ in range(5)]
        mean = DemandParams(mean=draw(st.floats(0.5, 8))) if sells else None
        nodes[name] = Node(mean, draw(st.booleans()), *money, float(draw(st.integers(0, 9))), *limits)
    return network(
        nodes, arcs, items=items, horizon=draw(st.integers(1, 12)), continuing=draw(st.booleans()),
        allocation=draw(st.sampled_from(["proportional", "priority", "learned"])),
        ships_arrivals=draw(st.booleans()), lot_size=draw(st.sampled_from([0.0, 1.0, 3.0])),
        action=draw(st.sampled_from(["continuous", "base_stock"])),
    )  # fmt: skip


def random_policy(model):
    def act(observation, state, seed):
        rng = np.random.default_rng(seed)
        share = rng.uniform(0, 1, (len(observation), len(model.action_low))) ** 2
        return share * model.action_high, state

    return act


@given(params=problems(), seed=st.integers(0, 2**40))
@settings(max_examples=150)
def test_units_and_money_are_conserved(params, seed):
    model = SupplyChain(params)
    run = rollout(model, random_policy(model), model.scenarios([seed, seed + 1]), seed=seed % 1000, trace=True)
    flow = {name[5:]: values.astype(float) for name, values in run.items() if name.startswith("flow.")}
    close = dict(rtol=1e-4, atol=1e-2)
    into, stocks = model.into, len(model.nodes)
    out = (np.arange(stocks)[:, None] == model.source_of).astype(float)
    shape = (2, params.horizon, len(model.shops), params.items)
    sold = np.concatenate(
        [np.zeros((2, params.horizon, stocks - shape[2], params.items)), flow["sales"].reshape(shape)], 2
    )
    # Stock: at the end of every period, what was there and came in is what was sent on, sold or is left.
    started = np.stack([np.full(params.items, float(arc.initial_pipeline)) for arc in params.arcs.values()])
    first = model.per_node("initial_stock") + into @ (started * (model.lead > 0))
    ends = first[:, None] + np.cumsum(flow["received"] - out @ flow["shipped"] - sold, axis=1).swapaxes(1, 2)
    left = flow["on_hand"].swapaxes(1, 2)
    late = ends - left  # what came in after the costs were charged, or cannot be shipped on yet: no more than it was
    assert (late > -1e-2).all()
    assert (late <= flow["received"].swapaxes(1, 2) + 1e-2).all()
    # Shipments: what was on the way, and was shipped, arrived (in units shipped) or is on the way.
    on_way = started * np.maximum(model.lead - 1, 0)
    arrived = on_way + np.cumsum(flow["shipped"], axis=1) - flow["in_transit"]
    assert (np.diff(arrived, axis=1) >= -1e-2).all()
    late_into = (into @ arrived)[:, -1] <= np.cumsum(flow["received"], axis=1)[:, -1] + 1e-2
    assert late_into.all()
    # All that is ordered is shipped, is lost or waits.
    ordered = np.cumsum(flow["ordered"], axis=1)
    met = np.cumsum(flow["shipped"] + flow.get("refused", 0), axis=1) + flow.get("owed", 0)
    extra = started * model.delay[:, None]
    assert (met <= ordered + extra + 1e-2).all()
    if not model.max_delay:
        assert np.allclose(met, ordered, **close)
    # Demand: served, lost or waiting.
    total = np.cumsum(flow["demand"], axis=1)
    assert np.allclose(total, np.cumsum(flow["sales"] + flow.get("lost", 0), axis=1) + flow.get("backlog", 0), **close)
    # Nothing is negative, limits hold, whole lots are ordered.
    assert all((values >= 0).all() for values in flow.values())
    for row, name in enumerate(model.rows):
        sent = flow["shipped"][:, :, model.source_of == row].sum(axis=(2, 3))
        assert (sent <= params.nodes[name].capacity * (1 + 1e-5)).all()
    if params.lot_size:
        lots = flow["ordered"] / params.lot_size
        assert np.allclose(lots, np.round(lots), atol=1e-3)
    # Money: the reward is the sum of the named terms, and of the items.
    signs = {name: 1 if name in ("revenue", "salvage") else -1 for name in run if name.endswith("_cost")}
    signs |= {name: 1 for name in ("revenue", "salvage") if name in run}
    assert np.allclose(run["reward"], sum(sign * run[name] for name, sign in signs.items()), rtol=1e-4, atol=1e-2)
    assert np.allclose(run["reward"], run["item_profit"].sum(axis=2) + run.get("salvage", 0), rtol=1e-4, atol=1e-2)


@given(params=problems(), seed=st.integers(0, 2**40))
@settings(max_examples=40)
def test_observations_tell_the_echelon_position(params, seed):
    model = SupplyChain(params)
    scenario, act, state = model.scenarios([seed]), random_policy(model), model.initial(1)
    for t in range(model.horizon + 1):
        now = {name: block[:, t] for name, block in scenario.items()}
        observation = model.observation(state, now)
        assert model.observation_space.contains(observation[0])
        named = model.features(observation)
        assert {name: value.shape[1:] for name, value in named.items()} == model.layout
        assert np.allclose(model.seen_position(named), model.position(state), rtol=1e-4, atol=1e-2)
        action, _ = act(observation, None, seed % 1000 + t)
        state, _ = model.transition(state, admit(model, action, 1)[0], now)


@given(params=problems(), seed=st.integers(0, 2**40))
@settings(max_examples=40)
def test_torch_agrees_with_numpy_and_rows_with_batches(params, seed):
    torch = pytest.importorskip("torch")
    model, twin = SupplyChain(params), SupplyChain(params, xp=torch)
    scenario = model.scenarios([seed, seed + 1])
    tensors = {name: torch.as_tensor(np.array(block)) for name, block in scenario.items()}
    drawn = np.random.default_rng(seed).uniform(0, 1, (model.horizon, 2, len(model.action_low)))
    actions = np.floor(drawn * model.action_high).astype(np.float32)
    exact = params.lot_size == 1 and model._whole and model._capacity is None and model._storage is None
    exact = exact and params.action == "continuous" and params.allocation == "priority"
    state, other, alone = model.initial(2), twin.initial(2), model.initial(1)
    for t in range(model.horizon):
        shock = {name: block[:, t] for name, block in scenario.items()}
        state, flow = model.transition(state, actions[t], shock)
        alone, one = model.transition(alone, actions[t, 1:], {name: block[1:] for name, block in shock.items()})
        tensor = {name: block[:, t] for name, block in tensors.items()}
        other, tflow = twin.transition(other, torch.as_tensor(actions[t]), tensor)
        assert model.reward(model.money(flow))[1] == model.reward(model.money(one))[0]
        assert np.array_equal(
            model.observation(state, shock)[1], model.observation(alone, {k: v[1:] for k, v in shock.items()})[0]
        )
        for f in fields(flow):
            ours, theirs = getattr(flow, f.name), getattr(tflow, f.name)
            assert (ours is None) == (theirs is None)
            if ours is not None and exact:  # elsewhere floats may round to another lot
                assert np.array_equal(ours, theirs.numpy())
    assert twin.salvage(other).shape == (2,)


def test_gradients_flow_through_the_torch_side():
    torch = pytest.importorskip("torch")
    task = TASKS["Serial"](action="base_stock", horizon=60)
    model = task.model(xp=torch)
    scenario = {name: torch.as_tensor(block) for name, block in task.model().scenarios(np.arange(64)).items()}
    level = torch.tensor([20.0, 10.0, 6.0], requires_grad=True)  # the optimum is 22.72, 12.03, 6.49
    reward = rollout(model, lambda o, s, seed: (level.expand(len(o), 3), s), scenario)["reward"]
    reward.mean().backward()
    assert (level.grad > 0).all()


def test_one_node_is_the_same_as_inventory():
    """A supplier and a shop are what `Inventory` is: the same scenario, orders and costs."""
    from storelab.envs import Inventory, InventoryParams

    costs = dict(holding_cost=1.0, backorder_cost=9.0)
    inventory = Inventory(InventoryParams(lead_time=3, backorder_share=1.0, horizon=40, initial_stock=9.0, **costs))
    nodes = {"a": Node(), "shop": Node(DemandParams(), initial_stock=9.0, **costs)}
    chain = SupplyChain(network(nodes, [Arc("a", "shop", 3)], horizon=40))
    act = lambda observation, state, seed: (np.full((len(observation), 1), 3 + seed % 5), state)
    scenario = chain.scenarios(np.arange(5))
    assert np.array_equal(
        rollout(chain, act, scenario)["reward"], rollout(inventory, act, inventory.scenarios(np.arange(5)))["reward"]
    )


def test_random_lead_times_do_not_cross():
    nodes = {"a": Node(), "shop": SHOP}
    model = SupplyChain(network(nodes, [Arc("a", "shop", 0, [0.3, 0.4, 0.3], max_order=1e5)], horizon=30))
    marks = 2.0 ** np.arange(12)  # each shipment tells itself apart
    scenario = model.scenarios([4]) | {"demand": np.zeros((1, 31, 1), np.float32)}
    run = rollout(model, script([[m] for m in [*marks, *[0] * 18]]), scenario)
    arrived = run["received"].ravel().astype(int)
    assert [k for units in arrived for k in range(12) if units >> k & 1] == list(range(12))


def test_stockouts_are_counted_per_shop_and_item():
    task = TASKS["OneWarehouse"]()
    episodes = evaluate({"none": lambda o, s, seed: (np.zeros((len(o), 11)), s)}, task, np.arange(4))
    assert episodes["stockout_rate"].max() <= 1
    assert episodes["stockout_rate"].min() > 0.9


BAD = Node(DemandParams())


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: network({"a": Node()}, [Arc("a", "b")]), "arcs.a-b.target: 'b' is not allowed, expected one of a"),
        (
            lambda: network({"a": BAD, "b": BAD}, [Arc("a", "b"), Arc("b", "a")]),
            r"arcs: \['a', 'b'\] is not allowed as a cycle",
        ),
        (lambda: network({"a": BAD, "b": BAD}, [Arc("a", "b")]), "nodes.a.demand: .* is not allowed for a supplier"),
        (lambda: network({"a": Node(), "b": Node()}, [Arc("a", "b")]), "nodes: .* is not allowed without customers"),
        (lambda: network({"a": Node(), "b": BAD}, [Arc("a", "b", -1)]), "arcs.a-b.lead_time: -1"),
        (lambda: network({"a": Node(), "b": BAD}, [Arc("a", "b", lead_time_pmf=[0.4])]), "arcs.a-b.lead_time_pmf"),
        (lambda: network({"a": Node(), "b": BAD}, [Arc("a", "b", ratio=0)]), "arcs.a-b.ratio: 0"),
        (lambda: network({"a": Node(), "b": BAD}, [Arc("a", "b", max_order=0.5)]), "arcs.a-b.max_order: 0.5"),
        (lambda: network({"a": Node(capacity=0), "b": BAD}, [Arc("a", "b")]), "nodes.a.capacity: 0"),
        (lambda: network({"a": Node(holding_cost=-1), "b": BAD}, [Arc("a", "b")]), "nodes.a.holding_cost: -1"),
        (lambda: network({"a": Node(backorders=2), "b": BAD}, [Arc("a", "b")]), "nodes.a.backorders: 2"),
        (
            lambda: network({"a": {"stock": 3}, "b": BAD}, [Arc("a", "b")]),
            "nodes.a.stock: 3 is not allowed, expected one of",
        ),
        (lambda: network({}, []), "nodes: {} is not allowed"),
        (lambda: TASKS["Serial"](allocation="fair"), "allocation: 'fair'"),
        (lambda: TASKS["Serial"](nodes={"stage-1": {"holding": 3}}), "nodes.stage-1.holding: 3 is not allowed"),
        (
            lambda: TASKS["Serial"](arcs={"new": {"source": "supplier"}}),
            "arcs.new.target: None is not allowed, expected the name of a node",
        ),
        (lambda: TASKS["Serial"](node={}), "node: {} is not allowed"),
    ],
)
def test_bad_networks_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_changes_reach_single_nodes_and_arcs():
    task = TASKS["Serial"](nodes={"stage-1": {"demand": {"mean": 7.0}}}, arcs={"supplier-stage-3": {"lead_time": 4}})
    assert task.params.nodes["stage-1"].demand == DemandParams("normal", 7.0, 1.0)
    assert task.params.nodes["stage-1"].backorder_cost == 37.12
    assert task.params.arcs["supplier-stage-3"].lead_time == 4
    assert TASKS["Serial"]().params.arcs["supplier-stage-3"].lead_time == 2


def test_orders_up_to_a_level_keep_to_the_largest_order_whatever_arrives_of_them():
    """With a ratio of 0.5 a gap of 10 units asks for 20; `max_order` is of units ordered, 3."""
    nodes = {"supplier": Node(), "shop": Node(DemandParams(mean=5.0), holding_cost=1.0, backorder_cost=9.0)}
    params = network(nodes, [Arc("supplier", "shop", ratio=0.5, max_order=3.0)], action="base_stock", horizon=5)
    model = SupplyChain(params)
    order = model.orders(model.initial(1), np.array([[10.0]], np.float32))
    assert order.tolist() == [[[3.0]]]
    wide = SupplyChain(network(nodes, [Arc("supplier", "shop", ratio=0.5, max_order=50.0)], action="base_stock"))
    high = float(wide.action_high[0])
    assert wide.orders(wide.initial(1), np.array([[min(10.0, high)]], np.float32)).tolist() == [[[20.0]]]
