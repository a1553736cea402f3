from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from storelab.agents import tune
from storelab.envs import TASKS, DemandParams, TableDemand
from storelab.envs.core import pmf
from storelab.envs.core.rollout import rollout
from storelab.envs.core.seeds import purpose_seeds
from storelab.envs.inventory.references import lost_sales
from storelab.evaluation import evaluate

pytest.importorskip("stable_baselines3")  # of the same extra
import torch
from storelab.agents.core.residual import StartRule
from storelab.agents.pathwise import PathwiseLearner, PathwiseParams, load_policy, starts
from storelab.agents.pathwise import learner as pathwise
from storelab.agents.pathwise.actor import Inward
from storelab.experiments.studies import lost_sales_range
from storelab.experiments.studies.drawn import compose_settings
from storelab.experiments.studies.lost_sales_table import ROOM, orders

SMALL = {"total_steps": 24, "num_envs": 16, "periods": 6, "lookahead": 4, "net_arch": [8], "check_every": 5}
SMALL |= {"held_out": 8, "device": "cpu"}
STORE = {"items": 3, "lead_time": [1, 3, 2], "purchase_cost": [1.0, 2.0, 3.0], "price": [2.0, 3.0, 9.0]}
STORE |= {"max_order": [9, 20, 30], "action": "base_stock"}
SEASON = {"continuing": False, "salvage_value": [0.5, 1.0, 2.0], "horizon": 12}


def make(seed=3, task=None, **changes) -> PathwiseLearner:
    task = task or TASKS["LostSales"](horizon=60, lead_time=2, action="continuous")
    return PathwiseLearner(task, PathwiseParams(**SMALL | changes), seed)


def trained(**more) -> PathwiseLearner:
    learner = make(**more)
    learner.learn(progress=False)
    return learner


def same(a: PathwiseLearner, b: PathwiseLearner) -> bool:
    parts = [(getattr(a, n).state_dict(), getattr(b, n).state_dict()) for n in ("network", "average", "best")]
    return all(torch.equal(x[k], y[k]) for x, y in parts for k in x)


@pytest.mark.parametrize("order", [3.2, 4.9, 6.5])
def test_the_gradient_is_that_of_the_cost_between_whole_orders(order):
    """One season of one period: the cost of k + 1 units less that of k is h where demand is k or less, else -p."""
    learner = make(task=TASKS["Newsvendor"](demand={"kind": "poisson", "mean": 5.0}, max_order=20.0), num_envs=20_000)
    model = learner.model
    demand = model.scenarios(np.arange(20_000))["demand"][:, 0]
    asked = torch.full((20_000, 1), order, requires_grad=True)
    _, flow = model.transition(model.initial(20_000), learner._whole(asked), {"demand": torch.tensor(demand)})
    ordered = flow.ordered.detach().numpy()
    assert np.abs(ordered - np.round(ordered)).max() < 2e-3
    assert ordered.mean() == pytest.approx(order, abs=0.02)
    (-model.reward(model.money(flow)).mean()).backward()
    expected = np.where(demand <= np.floor(order), 0.18, -0.70).mean()
    assert asked.grad.sum().item() == pytest.approx(expected, abs=1e-6)


def test_it_finds_the_newsvendors_order():
    """Snyder and Shen 2019, Example 4.3: 56.6 units of a normal demand; whole units and truncation move it little."""
    task = TASKS["Newsvendor"]()
    learner = trained(task=task, total_steps=300, num_envs=512, check_every=20, held_out=4096)
    order, _ = learner.policy()(np.array([[0, 1]], np.float32), None, 0)
    assert 55.5 < order.item() < 57.6


def test_it_comes_near_the_optimum_within_seconds():
    task = TASKS["LostSales"](lead_time=1, lost_sale_cost=4.0, action="continuous")
    size = {"total_steps": 150, "num_envs": 256, "net_arch": [32, 32], "held_out": 256}
    learner = trained(task=task, periods=8, lookahead=8, check_every=25, **size)
    (demand,) = task.params.demand.pmfs(1)
    value = lost_sales.evaluate(demand, 1, 1.0, 4.0, partial(orders, task.model(), learner.policy()))
    assert 4.0407 - 1e-4 < value < 1.005 * 4.0407


@pytest.mark.slow
def test_it_reaches_the_optimum_of_a_long_lead_time():
    """Zipkin 2008, recomputed exactly: 6.8359 at L = 4, p = 9; the best capped base-stock policy has 6.9123."""
    task = TASKS["LostSales"](action="continuous")
    learner = PathwiseLearner(task, PathwiseParams(device="cpu"), 0)
    learner.learn(progress=False)
    (demand,) = task.params.demand.pmfs(1)
    value = lost_sales.evaluate(demand, 4, 1.0, 9.0, partial(orders, task.model(), learner.policy()))
    assert 6.8359 - 1e-4 < value < 1.003 * 6.8359


def test_the_tables_orders_are_those_of_the_environment():
    task = TASKS["LostSales"](lead_time=2, action="base_stock")
    model, act = task.model(), trained(task=task).policy()
    state, scenario = model.initial(5), model.scenarios(np.arange(5))
    for t in range(10):
        shock = {name: block[:, t] for name, block in scenario.items()}
        action = act(model.observation(state, shock), None, 0)[0]
        told = orders(model, act, np.concatenate([state.on_hand, *state.pipeline], axis=1))
        state, flow = model.transition(state, action, shock)
        assert np.array_equal(flow.ordered[:, 0], told)


def test_the_table_ends_for_a_policy_that_orders_more_than_demand():
    """Orders of 12 a period, where 5 are asked for, fill `ROOM`; at lead time 1 two periods' demand is out of it."""
    model = TASKS["LostSales"](lead_time=1).model()
    act = lambda seen, state, seed: (np.full((len(seen), 1), 12), state)
    assert orders(model, act, np.array([[0], [ROOM - 3], [ROOM + 2]])).tolist() == [12, 3, 0]
    cost = lost_sales.evaluate(pmf.poisson(5), 1, 1.0, 9.0, partial(orders, model, act))
    assert cost == pytest.approx(ROOM - 10, abs=0.01)


@pytest.mark.parametrize("changes", [STORE, STORE | SEASON])
def test_a_resumed_run_ends_bit_equal(changes, tmp_path):
    task = TASKS["Inventory"](**{"horizon": 20, "lost_sale_cost": 1.0} | changes)
    straight = make(task=task)
    straight.learn(lambda steps: straight.save(tmp_path) if steps == 10 else None, 10, progress=False)
    resumed = make(task=task)
    torch.manual_seed(99)  # what the process did before must not matter
    resumed.load(tmp_path)
    assert resumed.steps == 10
    assert not same(resumed, straight)
    resumed.learn(progress=False)
    assert resumed.steps == straight.steps == 24
    assert same(resumed, straight)
    first, second = tmp_path / "a", tmp_path / "b"
    for folder, learner in ((first, straight), (second, resumed)):
        folder.mkdir()
        learner.save(folder)
    assert {p.suffix for p in first.iterdir()} == {".safetensors", ".json"}
    assert all((second / path.name).read_bytes() == path.read_bytes() for path in first.iterdir())


def test_same_seed_same_weights_other_seed_others():
    a, b, c = trained(seed=1), trained(seed=1), trained(seed=2)
    assert same(a, b)
    assert not same(a, c)


@pytest.mark.parametrize("per_item", [True, False])
def test_a_saved_policy_acts_as_it_did(per_item, tmp_path):
    task = TASKS["Inventory"](horizon=20, lost_sale_cost=1.0, **STORE)
    learner = trained(task=task, per_item=per_item)
    learner.save(tmp_path)
    episodes = evaluate({"then": learner.policy(), "now": load_policy(tmp_path, task)}, task, np.arange(8))
    values = episodes.pivot(index="seed", columns="policy", values="value")
    assert (values["then"] == values["now"]).all()
    with pytest.raises(ValueError, match="observation"):
        load_policy(tmp_path, replace(task, params=replace(task.params, lead_time=1)))


def test_a_row_acts_as_it_does_alone():
    learner = trained(task=TASKS["Inventory"](horizon=20, lost_sale_cost=1.0, **STORE))
    seen = np.random.default_rng(0).uniform(0, 20, (7, *learner.judge.observation_space.shape)).astype(np.float32)
    act = learner.policy()
    assert np.allclose(act(seen, None, 0)[0], np.concatenate([act(row[None], None, 0)[0] for row in seen]), atol=1e-5)


@pytest.mark.parametrize("action", ["multi_discrete", "discrete", "base_stock", "continuous"])
def test_it_begins_at_the_tuned_heuristic_in_every_action_mode(action):
    task = TASKS["LostSales"](lead_time=2, action=action)
    learner = make(task=task)
    heuristic = tune("capped_base_stock", task, purpose_seeds("tuning", 64))
    scenario = task.model().scenarios(np.arange(8))
    policies = (learner.policy(), heuristic)
    orders = [rollout(task.model(), act, scenario, trace=True)["flow.ordered"] for act in policies]
    assert np.array_equal(*orders)
    assert (learner.note == "") == (action == "continuous")


@pytest.mark.parametrize("changes", [{"action": "multi_discrete"}, {"max_order": 120.0}, {"action": "base_stock"}])
def test_what_is_learnt_does_not_depend_on_the_action_box(changes):
    """The same orders at most states: rounding in float32 is all that may differ."""
    seen = np.random.default_rng(0).integers(0, 8, (200, 2)).astype(np.float32)
    ordered = []
    for one in ({}, changes):
        task = TASKS["LostSales"](**{"horizon": 60, "lead_time": 2, "action": "continuous"} | one)
        model, act = task.model(), trained(task=task).policy()
        action, _ = act(seen, None, 0)
        state = replace(model.initial(200), on_hand=seen[:, :1], pipeline=(seen[:, 1:],))
        ordered.append(model.orders(state, action))
        assert model.action_space.contains(action[0].astype(model.action_space.dtype))
    assert (ordered[0] == ordered[1]).mean() > 0.98


def test_the_unit_of_demand_changes_only_the_unit_of_orders():
    """A hundredfold demand, in lots of 100: the same problem."""
    few = trained(task=TASKS["Inventory"](lost_sale_cost=4.0, horizon=40, lead_time=2))
    task = TASKS["Inventory"](lost_sale_cost=4.0, horizon=40, lead_time=2, max_order=2000.0, lot_size=100.0)
    (pmf,) = DemandParams().pmfs(1)
    many = replace(task, train=TableDemand([np.kron(pmf, np.eye(1, 100)[0])[: 100 * len(pmf) - 99]]))
    learnt = trained(task=many)
    seen = np.random.default_rng(0).integers(0, 8, (100, 2)).astype(np.float32)
    orders, hundreds = (np.round(x.policy()(k * seen, None, 0)[0] / k) for x, k in ((few, 1), (learnt, 100)))
    assert (orders == hundreds).mean() > 0.95


def test_gradients_lead_back_into_the_bounds():
    x = torch.tensor([[-3.0, -3.0, 2.0, 9.0, 9.0]], requires_grad=True)
    inside = Inward.apply(x, torch.zeros(5), torch.full((5,), 5.0))
    (inside * torch.tensor([1.0, -1.0, 1.0, 1.0, -1.0])).sum().backward()
    assert inside.tolist() == [[0, 0, 2, 5, 5]]
    assert x.grad.tolist() == [[0, -1, 1, 1, 0]]  # a step against it raises what is below, and lowers what is above


def test_weights_that_go_astray_are_given_up(tmp_path):
    """A rate that ruins every policy: it restarts from the best one, and ends no worse than the heuristic."""
    learner = make(learning_rate=0.99, check_every=1, total_steps=40, patience=40)
    learner.learn(progress=False)
    assert learner.restarts >= 1
    assert learner._profit(learner.best).mean() >= learner.begun.mean()
    learner.save(tmp_path)
    again = make(learning_rate=0.99, check_every=1, total_steps=40, patience=40)
    again.load(tmp_path)
    assert again.restarts == learner.restarts


def test_it_starts_from_what_it_is_given_in_any_mode():
    task = TASKS["Inventory"](items=2, lead_time=[1, 3], lost_sale_cost=4.0, action="multi_discrete")
    assert starts(task.model(), PathwiseParams()) == ["base_stock", "capped_base_stock", "myopic"]
    heuristic = tune("myopic", task, purpose_seeds("tuning", 8))
    rule = StartRule.of(heuristic, task.model(), purpose_seeds("tuning", 8))
    scenario = task.model().scenarios(np.arange(8))
    policies = (PathwiseLearner(task, PathwiseParams(**SMALL), rule=rule).policy(), heuristic)
    orders = [rollout(task.model(), act, scenario, trace=True)["flow.ordered"] for act in policies]
    assert np.array_equal(*np.round(orders))


@pytest.mark.slow
@pytest.mark.parametrize("number", range(6))
def test_problems_drawn_at_random_are_learnt(number):
    """Within half a per cent of the optimum, or as good as the best heuristic where the optimum is not known."""
    changes = [f"env.{key}={value}" for key, value in lost_sales_range.problem(2, number).items()]
    run = lost_sales_range.measure(compose_settings("pathwise", [*changes, "agent.device=cpu"]))
    assert run["gap"] < (0.5 if run["to"] == "optimum" else run["half"])


def test_problems_are_drawn_from_the_documented_ranges(monkeypatch):
    drawn = [lost_sales_range.problem(0, number) for number in range(200)]
    assert drawn[7] == lost_sales_range.problem(0, 7) != lost_sales_range.problem(1, 7)
    assert {p["demand.kind"] for p in drawn} == {"poisson", "negative_binomial", "geometric"}
    assert {p["lead_time"] for p in drawn} == set(range(9))
    assert all(2 <= p["demand.mean"] <= 200 for p in drawn)
    assert all(1.5 <= p["max_order"] / p["demand.mean"] <= 10.5 for p in drawn)


def test_the_gap_of_a_problem_is_measured(monkeypatch):
    """To the optimum, exactly, at a short lead time; to the best heuristic, simulated, at a long one."""
    monkeypatch.setattr(lost_sales_range, "EPISODES", 8)
    monkeypatch.setattr(lost_sales_range, "HORIZON", 80)
    words = ["agent.total_steps=2", "agent.num_envs=8", "agent.held_out=8", "agent.check_every=1", "env.demand.mean=2"]
    for lead_time, exact in ((1, True), (5, False)):
        settings = compose_settings("pathwise", [*words, f"env.lead_time={lead_time}"])
        run = lost_sales_range.measure(settings)
        assert (run["to"] == "optimum", run["half"] == 0) == (exact, exact)
        assert -5 < run["gap"] < 20


def test_items_share_one_network():
    """Two items that are alike get the same orders in the same state; the network is no larger for more of them."""
    task = TASKS["Inventory"](items=2, lead_time=2, lost_sale_cost=4.0, horizon=40)
    one = trained(task=task)
    assert one.network.layers[-1].out_features == 1
    assert one.actor.act(one.best, torch.ones(4, 4))[0].shape == (4, 2)
    assert trained(task=task, per_item=False).network.layers[-1].out_features == 2


def test_a_network_is_learnt():
    """Weights in [0, 1] beside the orders are left as they are; only orders are rounded."""
    task = TASKS["InvManagement"](allocation="learned")
    learner = make(task=task, total_steps=30, num_envs=64, check_every=10)
    before = learner.policy()
    learner.learn(progress=False)
    values = evaluate({"before": before, "after": learner.policy()}, task, np.arange(8))
    means = values.groupby("policy")["value"].mean()
    assert means["after"] > means["before"] + 20 > 600
    asked = torch.full((9, len(learner.actor.low)), 0.3)
    orders_only = (learner._whole(asked) != asked).all(dim=0)
    assert torch.equal(orders_only, learner.actor.high > 1)


def test_a_networks_levels_are_learnt_from_the_heuristics_on():
    """With units as actions two of five seeds bought no raw material any more, and stayed at 755."""
    task = TASKS["NetworkManagement"](action="base_stock")
    learner = make(task=task, total_steps=20, num_envs=16, check_every=10, net_arch=[32, 32])
    before = learner.policy()
    learner.learn(progress=False)
    values = evaluate({"before": before, "after": learner.policy()}, replace(task, hindsight=None), np.arange(16))
    means = values.groupby("policy")["value"].mean()
    assert means["after"] > means["before"] + 5 > 740


def test_weights_that_were_lucky_once_give_way_to_later_ones(monkeypatch):
    """A rule that keeps the best ever on few scenarios would stay at the second check."""
    learner, kept = make(held_out=100), []
    noise = torch.linspace(-1, 1, 100)
    learner.begun = learner.top = noise - 9
    for check, profit in enumerate((-2 + 0 * noise, 0.1 + noise, 0 * noise, -0.5 + 0 * noise, 0.05 + 0 * noise)):
        monkeypatch.setattr(pathwise, "rollout", lambda *args, told=profit: {"reward": told[:, None].expand(-1, 60)})
        next(learner.average.parameters()).data.fill_(check)
        learner._judge()
        kept.append((int(next(learner.best.parameters()).flatten()[0]), learner.waited))
    assert kept == [(0, 0), (1, 0), (1, 1), (1, 2), (4, 3)]


def test_it_stops_early_and_stays_so(tmp_path):
    learner = trained(learning_rate=1e-12, patience=2, check_every=1)
    assert learner.stopped
    assert learner.steps < 24
    learner.save(tmp_path)
    again = make(learning_rate=1e-12, patience=2, check_every=1)
    again.load(tmp_path)
    again.learn(progress=False)
    assert again.steps == learner.steps


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: make(task=TASKS["FixedCost"](action="continuous")), "fixed_cost: 64.0 is not allowed"),
        (lambda: make(task=TASKS["Pricing"]()), "environment: 'Pricing' is not allowed"),
        (lambda: PathwiseParams(total_steps=0), "total_steps: 0"),
        (lambda: PathwiseParams(lookahead=-1), "lookahead: -1"),
        (lambda: PathwiseParams(rounding="up"), "rounding: 'up'"),
        (lambda: PathwiseParams(net_arch=[]), "net_arch"),
    ],
)
def test_what_cannot_be_learnt_is_refused(build, message):
    with pytest.raises(ValueError, match=message):
        build()


def test_another_learners_checkpoint_is_refused(tmp_path):
    trained().save(tmp_path)
    with pytest.raises(ValueError, match=r"learning_rate: 0\.5 is not allowed to go on"):
        make(learning_rate=0.5).load(tmp_path)
    with pytest.raises(ValueError, match="seed"):
        make(seed=4).load(tmp_path)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_it_learns_on_cuda(tmp_path):
    learner = trained(device="cuda")
    learner.save(tmp_path)
    seen = np.ones((3, 2), np.float32)
    assert np.allclose(learner.policy()(seen, None, 0)[0], load_policy(tmp_path, learner.task)(seen, None, 0)[0])
