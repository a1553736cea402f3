"""Conformance over the registry: of every learner that has a start, the untrained policy is the rule it starts from."""

import json
from dataclasses import replace

import numpy as np
import pytest
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st
from storelab.agents import tune
from storelab.agents.core.correction import STEPS, Correction, moves
from storelab.agents.core.residual import StartRule, orders, starts
from storelab.agents.core.rules import rules_of
from storelab.envs import TASKS
from storelab.envs.core.batch import admit
from storelab.envs.core.rollout import rollout
from storelab.envs.core.seeds import purpose_seeds
from storelab.errors import FieldError

pytest.importorskip("stable_baselines3")
from storelab.agents import improvement, pathwise, sb3

SEEDS, TEST = purpose_seeds("tuning", 4), np.arange(2)
SHORT = {
    "ManyItems": {"items": 3, "horizon": 20},
    "SyntheticStore": {"data": {"items": 3, "days": 500}},
    "Marketplace": {"horizon": 8},
}
MODES = {  # tasks in other modes of actions, and of other sizes
    "orders in lots, several items": ("Inventory", {"items": 2, "action": "multi_discrete", "max_order": [9.0, 300.0]}),
    "orders as one number": ("LostSales", {"action": "discrete"}),
    "prices as one number": ("Pricing", {"action": "discrete"}),
    "prices": ("Pricing", {"action": "continuous"}),
    "a rival": ("PricingDuopoly", {"action": "continuous", "horizon": 10}),
    "prices and orders": ("PricingInventory", {"action": "continuous"}),
    "prizes as one number": ("Dispatch", {"action": "discrete"}),
    "weights of prizes": ("Dispatch", {"action": "weights"}),
    "each request": ("Dispatch", {"action": "dispatch"}),
}
GIVEN = {  # rules whose tuning takes long
    "prize_by_epoch": {"levels": [0.4, 0.3, 0.6, 0.4, 0.5, 0.4, 0.8, 1.0]},
    "fixed_prize": {"level": [0.4]},
    "linear_prize": {"weights": [0.4, 0.1, 0.0, 0.2]},
    "composite": None,
}
LEARNERS = {
    **{name: (sb3, sb3.Params(algorithm=name, num_envs=2, net_arch=[4], device="cpu")) for name in sb3.ALGORITHMS},
    "pathwise": (pathwise, pathwise.Params(num_envs=2, net_arch=[4], held_out=2, device="cpu")),
    "rollout": (improvement, improvement.Params(act="simulation", simulations=10, levels=5)),
}
for name in ("DQN", "SAC", "TD3"):
    LEARNERS[name][1].hyper["buffer_size"] = 10


def task_of(name: str, data_of):
    """Return a small task, and the kinds of rules that are tried on it: the first ones and the last."""
    task, changes = MODES.get(name, (name, SHORT.get(name, {})))
    return TASKS[task](**changes, **data_of(task))


def start_of(kind: str, task):
    """Return a start and its rule."""
    model = task.model()
    if kind in GIVEN:
        rules = rules_of(model)
        params = GIVEN[kind] or rules.textbook(model)
        if kind == "linear_prize":
            params = {"weights": np.resize(params["weights"], len(model.action_low)).tolist()}
        rule = rules.Heuristic(kind, params, model)
    else:
        rule = tune(kind, task, SEEDS)
    return StartRule.of(rule, model, SEEDS), rules_of(model).Heuristic(kind, rule.params, model)


@pytest.mark.slow
@pytest.mark.parametrize("name", [*TASKS, *MODES])
def test_untrained_every_learner_is_its_start(name, data_of):
    """Its actions equal the rule's at what the rule meets."""
    task = task_of(name, data_of)
    model, met = task.model(), []
    kinds = starts(model)
    assert kinds or task.name in ("RetailPricing",), "an environment with heuristics has starts"
    tried = kinds[:1] + kinds[1:][-1:]
    rules = {kind: start_of(kind, task) for kind in tried}
    began = 0
    for learner, (module, params) in LEARNERS.items():
        try:
            module.check(model, params)
        except FieldError:
            continue
        able = module.starts(model, params)
        for kind in set(able).intersection(rules):
            start, rule = rules[kind]

            def seen(observation, memory, seed, rule=rule, met=met):
                met.append(np.array(observation))
                return rule(observation, memory, seed)

            met.clear()
            rollout(model, seen, model.scenarios(TEST))
            policy = module.Learner(task, params, 0, rule=start).policy()
            for observation in met[: 1 if learner == "rollout" else 5]:
                mine, its = (admit(model, act(observation, None, 0)[0], len(observation))[0] for act in (policy, rule))
                assert same(model, observation, mine, its), (learner, kind)
            began += 1
    assert began or not kinds


def same(model, observation, mine, its) -> bool:
    """Whether actions are alike within rounding; a level below the position is no order, wherever it is."""
    if getattr(model.params, "action", "") == "base_stock" and hasattr(model, "action_of"):
        named = model.features(observation)
        if not hasattr(model, "arcs"):
            position = np.asarray(model.seen_position(named))
            mine, its = np.maximum(mine, position), np.maximum(its, position)
    lot = 1 if getattr(model.params, "lot_size", 0) and isinstance(model.action_space, spaces.Box) else 0
    return bool(np.allclose(mine, its, rtol=1e-4, atol=max(1e-4, lot)))


@given(reach=st.integers(0, 3000))
@settings(max_examples=50, deadline=None)
def test_moves_grow_away_from_the_middle(reach):
    table = moves(reach)
    middle = len(table) // 2
    assert table[middle] == 0
    assert (table == -table[::-1]).all()
    assert table[-1] == reach
    assert len(table) == 2 * min(reach, STEPS) + 1
    assert (np.diff(table) >= 1).all()


@pytest.mark.parametrize("name", ["prices", "orders as one number", "prices and orders", "weights of prizes"])
def test_all_of_the_action_space_is_reached_near_the_rule_more_finely(name, data_of):
    """In prices every end; in lots four deviations of the demand that the order has to cover."""
    task = task_of(name, data_of)
    model, kind = task.model(), starts(task.model())[0]
    start, _ = start_of(kind, task)
    correction = Correction(model, start)
    assert not orders(model)
    if not isinstance(model.action_space, spaces.Box):
        assert correction.moves.max() == min(np.ceil(4 * start.spread[0]), model.action_high[0])
        assert set(np.diff(correction.moves[0])) >= {1}
        return
    observation = model.observation(model.initial(1), {k: v[:, 0] for k, v in model.scenarios([0]).items()})
    for end, bound in ((-4.0, model.action_low), (4.0, model.action_high)):
        assert np.allclose(correction(np.full((1, len(bound)), end), observation), bound)


@pytest.mark.parametrize("algorithm", ["PPO", "DQN"])
def test_a_checkpoint_keeps_the_rule_and_goes_on(algorithm, tmp_path):
    """Prices: what is learnt is saved, loaded and played alike; a spoilt rule is refused by its field."""
    task = TASKS["Pricing"](action="discrete")
    start, _ = start_of("simulated_dp", task)
    hyper = {"PPO": {"n_steps": 8, "batch_size": 16}, "DQN": {"buffer_size": 50, "learning_starts": 8}}[algorithm]
    params = sb3.Params(algorithm=algorithm, total_steps=64, num_envs=4, net_arch=[4], device="cpu", hyper=hyper)
    made = sb3.Learner(task, params, 0, rule=start)
    made.learn(progress=False)
    made.save(tmp_path)
    model = task.model()
    scenario = model.scenarios(TEST)
    loaded = sb3.load_policy(tmp_path, task)
    again = sb3.Learner(task, params, 0, rule=start)
    again.load(tmp_path)
    rewards = [rollout(model, act, scenario)["reward"] for act in (made.policy(), loaded, again.policy())]
    assert np.array_equal(rewards[0], rewards[1])
    assert np.array_equal(rewards[0], rewards[2])
    kept = json.loads((tmp_path / "policy.json").read_text())
    for bad in (
        {"kind": "thompson"},
        {"kind": "nothing"},
        {"params": {"table": [1.0, 2.0]}},
        {"params": {"table": [float("nan")]}},
        {"params": [1]},
        {"params": {"other": [1.0]}},
        {"spread": [1.0, 2.0]},
        {"spread": [-1.0]},
    ):
        (tmp_path / "policy.json").write_text(json.dumps(kept | {"rule": kept["rule"] | bad}))
        with pytest.raises(FieldError, match=r"kind|rule|checkpoint"):
            sb3.load_policy(tmp_path, task)


@pytest.mark.parametrize(
    ("task", "algorithm", "kind"),
    [
        ("Pricing", "PPO", "thompson"),
        ("Pricing", "PPO", "random"),
        ("LostSales", "PPO", "newsvendor"),
        ("Inventory", "SAC", "s_S"),
        ("Dispatch", "MaskablePPO", "greedy"),
    ],
)
def test_rules_to_start_from_are_named_where_another_is_given(task, algorithm, kind):
    if algorithm == "MaskablePPO":
        pytest.importorskip("sb3_contrib")
    made, rule = TASKS[task](), StartRule(kind, {}, [])
    params = replace(sb3.Params(num_envs=2, device="cpu", hyper={}), algorithm=algorithm, log_std_init=None, hyper={})
    with pytest.raises(FieldError, match=f"^kind: '{kind}' is not allowed to start from with {algorithm}, expected"):
        sb3.Learner(made, params, 0, rule=rule)


def test_where_weights_are_learnt_besides_orders_there_is_no_start():
    assert starts(TASKS["OneWarehouse"](allocation="learned").model()) == []
    assert starts(TASKS["OneWarehouse"]().model()) != []
