import inspect
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from storelab.envs import TASKS

pytest.importorskip("stable_baselines3")
import stable_baselines3
import torch
from storelab.agents.sb3 import SB3Learner, SB3Params, algorithm_class, load_policy
from storelab.agents.sb3 import learner as learner_module
from storelab.agents.sb3.params import KNOWN
from storelab.evaluation import evaluate

SMALL = {
    "PPO": {"hyper": {"n_steps": 16, "batch_size": 32, "n_epochs": 2}},
    "A2C": {"hyper": {"n_steps": 8}},
    "SAC": {"hyper": {"buffer_size": 300, "batch_size": 16, "learning_starts": 40}},
    "TD3": {"hyper": {"buffer_size": 300, "batch_size": 16, "learning_starts": 40}},
    "MaskablePPO": {"hyper": {"n_steps": 16, "batch_size": 64, "n_epochs": 1}},
    "DQN": {"hyper": {"buffer_size": 300, "batch_size": 16, "learning_starts": 40, "target_update_interval": 50}},
}


def task_for(algorithm, **changes):
    if algorithm == "MaskablePPO":
        pytest.importorskip("sb3_contrib")
        pytest.importorskip("numba")
        small = {"requests": 1.0, "profile": [1.0, 1.0], "iterations": 5, "customers": 20, "cities": 1, "grid": 1}
        return TASKS["Dispatch"](**{"action": "dispatch", **small, **changes})
    action = "continuous" if algorithm in ("SAC", "TD3") else "multi_discrete"
    return TASKS["LostSales"](**{"horizon": 12, "action": action, **changes})


def make(algorithm, seed=3, **changes):
    params = {"algorithm": algorithm, "num_envs": 4, "net_arch": [8], "device": "cpu", "total_steps": 640, "threads": 1}
    return SB3Learner(task_for(algorithm), SB3Params(**(params | SMALL[algorithm] | changes)), seed)


def weights(learner):
    return {k: v.clone() for k, v in learner.model.policy.state_dict().items()}


def same(a, b):
    return all(torch.equal(a[k], b[k]) for k in a)


@pytest.mark.parametrize("algorithm", SMALL)
@pytest.mark.parametrize("normalize", [True, False])
def test_a_resumed_run_ends_bit_equal(algorithm, normalize, tmp_path):
    norm = {"normalize_observation": normalize, "normalize_reward": normalize}
    straight = make(algorithm, **norm)
    straight.learn(lambda steps: straight.save(tmp_path) if steps == 256 else None, 64, progress=False)
    resumed = make(algorithm, **norm)
    resumed.load(tmp_path)
    assert resumed.steps == 256
    assert not same(weights(resumed), weights(straight))
    np.random.seed(99)  # noqa: NPY002 what the process did before must not matter
    resumed.load(tmp_path)
    resumed.learn(progress=False)
    assert resumed.steps == straight.steps == 640
    assert same(weights(resumed), weights(straight))
    first, second = tmp_path / "a", tmp_path / "b"
    for folder, learner in ((first, straight), (second, resumed)):
        folder.mkdir()
        learner.save(folder)
    for name in ("policy.safetensors", "learner.json", "environments.npz", "normalization.npz", "learner.npz"):
        assert (first / name).read_bytes() == (second / name).read_bytes(), name


def test_another_process_resumes_bit_equal(tmp_path):
    straight = make("PPO")
    straight.learn(lambda steps: straight.save(tmp_path) if steps == 256 else None, 64, progress=False)
    code = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); from pathlib import Path;"
        f"import test_sb3 as t; l = t.make('PPO'); f = Path({str(tmp_path)!r}); l.load(f); l.learn(progress=False);"
        "(f / 'end').mkdir(); l.save(f / 'end')"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    other = make("PPO")
    other.load(tmp_path / "end")
    assert same(weights(other), weights(straight))


@pytest.mark.parametrize("algorithm", SMALL)
def test_same_seed_same_weights_other_seed_others(algorithm):
    runs = []
    for seed in (1, 1, 2):
        learner = make(algorithm, seed=seed)
        learner.learn(total_steps=256, progress=False)
        runs.append(weights(learner))
    a, b, c = runs
    assert same(a, b)
    assert not same(a, c)


@pytest.mark.parametrize("algorithm", SMALL)
def test_a_saved_policy_acts_as_it_did(algorithm, tmp_path):
    learner = make(algorithm)
    learner.learn(total_steps=256, progress=False)
    learner.save(tmp_path)
    task = learner.task
    loaded = load_policy(tmp_path, task)
    horizon = {} if algorithm == "MaskablePPO" else {"horizon": 80}
    episodes = evaluate({"then": learner.policy(), "now": loaded}, task, np.arange(8), **horizon)
    values = episodes.pivot(index="seed", columns="policy", values="value")
    assert (values["then"] == values["now"]).all()
    assert {p.suffix for p in tmp_path.iterdir()} == {".safetensors", ".npz", ".json"}
    with pytest.raises(ValueError, match="observation"):
        load_policy(tmp_path, task_for(algorithm, **{"MaskablePPO": {"grid": 2}}.get(algorithm, {"lead_time": 2})))


@pytest.mark.parametrize("algorithm", ["PPO", "A2C", "SAC", "TD3", "DQN"])
@pytest.mark.slow
def test_it_learns(algorithm):
    """Each algorithm beats its own start and the random policy by far on the newsvendor's one decision."""
    from storelab.agents import tune

    action = "multi_discrete" if algorithm == "DQN" else "continuous"
    task = TASKS["Newsvendor"](action=action, max_order=200)  # half of it, where they start, is far from the optimum
    on_policy = algorithm in ("PPO", "A2C")
    hyper = {"learning_starts": 500, "buffer_size": 20_000, "gradient_steps": 4}
    hyper = {"PPO": {"n_steps": 16}, "A2C": {}}.get(algorithm, hyper)
    rate = {"PPO": 3e-3, "A2C": 1e-2}.get(algorithm, 1e-3)
    params = SB3Params(
        algorithm=algorithm, total_steps=160_000 if on_policy else 60_000, num_envs=16, device="cpu", gamma=0.0,
        net_arch=[32], learning_rate=rate, hyper=hyper,
    )  # fmt: skip
    learner = SB3Learner(task, params, 0)
    before, random = learner.policy(), tune("random", task, [0])
    episodes = evaluate({"before": before, "random": random}, task, np.arange(2000)).groupby("policy")["value"].mean()
    learner.learn(progress=False)
    after = evaluate({"after": learner.policy()}, task, np.arange(2000))["value"].mean()
    optimum = task.reference().value
    assert after - optimum < 0.3 * (episodes.min() - optimum)
    assert after < 4.0  # the optimum costs 2.0, ordering the mean costs 2.8


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: SB3Params(algorithm="TRPO"), "algorithm: 'TRPO'"),
        (lambda: SB3Params(total_steps=0), "total_steps: 0"),
        (lambda: SB3Params(learning_rate=-1.0), "learning_rate: -1.0"),
        (lambda: SB3Params(gamma=1.5), "gamma: 1.5"),
        (lambda: SB3Params(net_arch=[]), "net_arch"),
        (lambda: SB3Params(hyper={"n_step": 5}), "hyper.n_step: 5 is not allowed with PPO"),
        (lambda: SB3Params(device="tpu"), "device: 'tpu'"),
        (lambda: SB3Params(log_std_init=3.0), "log_std_init: 3.0"),
        (lambda: SB3Params("SAC", log_std_init=-2.0), "log_std_init: -2.0 is not allowed with SAC"),
        (lambda: SB3Learner(TASKS["LostSales"](), SB3Params(algorithm="SAC")), "algorithm: 'SAC'.*action=continuous"),
        (
            lambda: SB3Learner(TASKS["LostSales"](), SB3Params("MaskablePPO")),
            "MaskablePPO.*with Inventory",
        ),
        (lambda: SB3Learner(TASKS["Inventory"](items=3), SB3Params(algorithm="DQN")), "DQN.*action=multi_discrete"),
    ],
)
def test_bad_learners_are_refused(build, message):
    with pytest.raises(ValueError, match=message):
        build()


def test_another_learners_checkpoint_is_refused(tmp_path):
    learner = make("PPO")
    learner.learn(total_steps=64, progress=False)
    learner.save(tmp_path)
    with pytest.raises(ValueError, match=r"gamma: 0\.5 is not allowed to go on"):
        make("PPO", gamma=0.5).load(tmp_path)


@pytest.mark.parametrize("items", [1, 3])
def test_the_first_orders_are_small(items):
    """Their mean is below demand: stock does not run up before anything is learnt."""
    task = TASKS["LostSales"](horizon=12, items=items)
    learner = SB3Learner(task, SB3Params(net_arch=[8], device="cpu", per_item=items > 1, threads=1))
    rows = learner.model.env.reset()
    chances = learner.model.policy.get_distribution(torch.tensor(rows)).distribution
    chances = chances if isinstance(chances, list) else [chances]
    for distribution in chances:
        orders = torch.arange(distribution.probs.shape[-1], dtype=torch.float32)
        assert (distribution.probs @ orders < 4.9).all()


def test_the_first_levels_lie_near_the_middle():
    """With a small first deviation PPO learns order-up-to levels; drawn all over the range it orders all or nothing."""
    task = TASKS["LostSales"](action="base_stock")
    params = SB3Params(log_std_init=-2.0, net_arch=[8], device="cpu", threads=1)
    learner = SB3Learner(task, params)
    rows = learner.model.env.reset()
    torch.manual_seed(0)
    drawn = [learner.model.policy(torch.tensor(rows))[0].detach().numpy() for _ in range(20)]
    levels = learner.view.act(np.concatenate(drawn), rows)  # of 0 .. 60
    assert 0.5 < levels.std() < 2
    assert abs(levels.mean() - 30) < 2


def test_the_arguments_that_are_known_without_sb3_are_its_own():
    for name, known in KNOWN.items():
        taken = inspect.signature(algorithm_class(name).__init__).parameters
        assert {argument: taken[argument].annotation for argument in known} == known


@pytest.mark.parametrize("task", ["LostSales", "SupplyChain"])
def test_the_lean_loop_learns_the_weights_of_sb3s_own(monkeypatch, task):
    params = SB3Params(num_envs=16, total_steps=4096, hyper={"n_steps": 16, "batch_size": 64})
    learners = []
    for lean in (True, False):
        if not lean:
            monkeypatch.setattr(learner_module, "LeanPPO", stable_baselines3.PPO)
            monkeypatch.setattr(learner_module, "policy_of", lambda actions: "MlpPolicy")
        learners.append(SB3Learner(TASKS[task](horizon=20), params))
        learners[-1].learn(total_steps=1024, progress=False)
    lean, own = (learner.model.policy.state_dict() for learner in learners)
    assert lean.keys() == own.keys()
    assert all(torch.equal(lean[name], own[name]) for name in lean)
    returns = [[episode["r"] for episode in learner.model.ep_info_buffer] for learner in learners]
    assert returns[0] == returns[1] != []
