"""How fast the environments are, in one process; peers beside it where they can be installed.

    python -P bench/speed.py [ours] [peers]

Without a word both: our figures by wall time, then each peer, which is installed into a temporary virtual environment
of its own, beside ours on a workload of the same shape, by CPU time. The best of several repeats is printed, as other
work on the machine only ever slows a repeat.
"""

import os
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import storelab
from storelab.agents.heuristics import marketplace as rules
from storelab.envs import TASKS, Inventory, InventoryParams, make_env, make_vector_env
from storelab.envs.core.rollout import rollout
from storelab.evaluation import evaluate


def best_rate(work: Callable[[], float], repeats: int = 7) -> float:
    """Return the most of `work()` units done per second of CPU time over the repeats."""
    rates = []
    for _ in range(repeats):
        start = time.process_time()
        done = work()
        rates.append(done / (time.process_time() - start))
    return max(rates)


def row(name: str, ours: float, unit: str, target: float = 0, peer: float | None = None, times: float = 0) -> None:
    """Print a row of the table; a target is at least for rates, at most for times, and `times` is of the ratio."""
    most = unit.split()[0] in ("ms", "s", "MB")
    aim = f"{times:g} times" if times else f"{'at most' if most else 'at least'} {target:,.9g}" if target else ""
    held = ours / peer >= times if times and peer else (ours <= target if most else ours >= target) if target else None
    beside = ["", ""] if peer is None else [f"{peer:,.3g}", f"{ours / peer:.2f}"]
    cells = [name, unit, aim, f"{ours:,.3g}", *beside, "" if held is None else "yes" if held else "**no**"]
    print(f"| {' | '.join(cells)} |", flush=True)


def dynamics(draw: bool):
    """Return work that runs whole episodes of 64 environments x 100 items at constant orders, demand drawn or not."""
    params = InventoryParams(items=100, lead_time=4, lost_sale_cost=9.0, horizon=100)
    model = Inventory(params)
    scenario, action = model.scenarios(np.arange(64)), np.full((64, 100), 5, np.float32)

    def work():
        nonlocal scenario
        if draw:
            scenario = model.scenarios(np.arange(64))
        state, total = model.initial(64), np.zeros(64, np.float32)
        for t in range(params.horizon):
            state, flow = model.transition(state, action, {name: block[:, t] for name, block in scenario.items()})
            total += model.reward(model.money(flow))
        return 64 * 100 * params.horizon

    return work


def pricing(name: str, num_envs: int, draw: bool, changes: dict, customers: bool = False):
    """Return work that runs whole seasons at constant prices; it counts environment steps or customers' choices."""
    model = TASKS[name](**changes).model()
    scenario = model.scenarios(np.arange(num_envs))
    action = np.full((num_envs, model.params.items), np.floor(model.action_high.mean() / 3), np.float32)

    def work():
        nonlocal scenario
        if draw:
            scenario = model.scenarios(np.arange(num_envs))
        state, total = model.initial(num_envs), np.zeros(num_envs, np.float32)
        for t in range(model.horizon):
            state, flow = model.transition(state, action, {name: block[:, t] for name, block in scenario.items()})
            total += model.reward(model.money(flow))
        return scenario["customers"][:, :-1].sum() if customers else num_envs * model.horizon

    return work


def network(num_envs: int = 8, items: int = 2000):
    """Return work that runs whole episodes of many items in three echelons with shared storage, demand drawn.

    An item counts once per period, whatever the echelons it passes.
    """
    model = TASKS["ManyItems"](items=items).model()
    action = np.tile(np.float32(0.3 * model.action_high), (num_envs, 1))

    def work():
        scenario, state = model.scenarios(np.arange(num_envs)), model.initial(num_envs)
        for t in range(model.horizon):
            state, flow = model.transition(state, action, {name: block[:, t] for name, block in scenario.items()})
            model.reward(model.money(flow))
        return num_envs * items * model.horizon

    return work


def chain(task, num_envs: int):
    """Return work that steps chains (a task or its name) of three stages, alone or in a batch, resets included."""
    env = make_vector_env(task, num_envs) if num_envs > 1 else make_env(task)
    env.reset(seed=0)
    action = np.full((num_envs, len(env.model.action_high)), 15.0)

    def work():
        for _ in range(2_000):
            *_, terminated, truncated, _ = env.step(action)
            if num_envs == 1 and (terminated or truncated):
                env.reset()
        return 2_000 * num_envs

    return work


def adapter(step, action, envs: int, steps: int):
    """Return work that steps an adapter."""

    def work():
        for _ in range(steps):
            step(action)
        return envs * steps

    return work


def single_env(task, action, kernel: str = "auto"):
    """Return work that steps one environment of a task, or of its name, resets included."""
    env = make_env(task, kernel=kernel)
    env.reset(seed=0)

    def work():
        for _ in range(20_000):
            *_, terminated, truncated, _ = env.step(action)
            if terminated or truncated:
                env.reset()
        return 20_000

    return work


def dispatch():
    """Return work that decides epochs of about 100 open requests, routes by the fast router included."""
    model = TASKS["Dispatch"](requests=200.0, profile=[1.0, 1.0]).model()
    scenario = model.scenarios(np.arange(20))
    shock = {name: block[:, 0] for name, block in scenario.items()}
    state, action = model.initial(20), np.full((20, 1), 4)
    model.transition(state, action, shock)  # compiled

    def work():
        model.transition(state, action, shock)
        return 20

    return work


def marketplace():
    """Return work that runs whole seasons of the whole store with 100 items, under the textbook's rules."""
    model = TASKS["Marketplace"](items=100, population=10_000.0, fleet_capacity=200.0).model()
    rule = rules.Heuristic("textbook", rules.textbook(model), model)

    def work():
        rollout(model, rule, model.scenarios(np.arange(64)))
        return 64 * model.horizon

    return work


def environments() -> None:
    """Print the rows of stepping and drawing."""
    vectors = {n: make_vector_env("LostSales", n) for n in (64, 4096)}
    batch = make_vector_env("Inventory", 64, items=100, lead_time=4, horizon=100)
    for env in (*vectors.values(), batch):
        env.reset(seed=0)
    row("LostSales, one `Env`", best_rate(single_env("LostSales", 5)), "steps/s", 1e5)
    row("LostSales, one `Env`, NumPy", best_rate(single_env("LostSales", 5, "numpy")), "steps/s")
    for n, steps, target in ((64, 4_000, 1.5e6), (4096, 402, 4e7)):
        rate = best_rate(adapter(vectors[n].step, np.full((n, 1), 5), n, steps))
        row(f"LostSales, `VectorEnv` of {n:,}, resets included", rate, "env-steps/s", target)
    numpy = make_vector_env("LostSales", 4096, kernel="numpy")
    numpy.reset(seed=0)
    rate = best_rate(adapter(numpy.step, np.full((4096, 1), 5), 4096, 402))
    row("LostSales, `VectorEnv` of 4,096, NumPy", rate, "env-steps/s")
    resets = best_rate(lambda: (batch.reset(seed=0), 1)[1], 20)
    row("`reset` of 64 environments x 100 items x 100 periods", 1000 / resets, "ms", 2)
    row("64 x 100 items, whole episodes, demand drawn", best_rate(dynamics(True)), "item-periods/s", 2e7)
    row("64 x 100 items, whole episodes, demand given", best_rate(dynamics(False)), "item-periods/s", 2e8)
    row("2,000 items x 3 echelons", best_rate(network()), "item-periods/s", 1e7)
    row("Pricing, 4,096 x 1, demand given", best_rate(pricing("Pricing", 4096, False, {})), "env-steps/s", 2e7)
    row("the whole store, 64 x 100 items, demand drawn", best_rate(marketplace(), 3), "store-days/s", 2e3)
    row("dispatch, 100 open requests", best_rate(dispatch()), "epochs/s", 200)
    evaluation()


def evaluation() -> None:
    """Print what evaluation needs of memory: it draws scenarios in chunks, so that their number does not count."""

    def act(observation, policy_state, seed):
        return np.full((len(observation), 1), 5), policy_state

    task, peaks = TASKS["LostSales"](), []
    for count in (512, 2_048, 8_192):
        evaluate({"five": act}, task, np.arange(count))
        peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
    row("evaluation: memory for 6,144 scenarios more", peaks[2] - peaks[1], "MB", 10)


def training() -> None:
    """Print the row of PPO: 100,000 steps, scaled up to 2,000,000."""
    from storelab.agents.core.vec_env import StoreVecEnv
    from storelab.agents.sb3 import SB3Learner, SB3Params

    vector = StoreVecEnv(TASKS["LostSales"]().model(), 64)
    vector.reset()
    rate = best_rate(adapter(vector.step, np.full(64, 5), 64, 4000))
    row("LostSales, Stable-Baselines3's `VecEnv` of 64", rate, "env-steps/s", 8e5)
    learner = SB3Learner(TASKS["LostSales"](), SB3Params())
    learner.learn(total_steps=20_480, progress=False)

    def work():
        before = learner.steps
        learner.learn(total_steps=before + 36_864, progress=False)
        return learner.steps - before

    row("PPO, 2,000,000 steps of LostSales (from 110,592)", 2e6 / best_rate(work, 3), "s", 45)


def main() -> None:
    """Print the table."""
    sys.path.append(str(Path(__file__).parent))  # last: nothing here hides what is installed
    from speed_commands import commands
    from speed_peers import peers, routing

    groups = {"environments": environments, "training": training, "commands": commands, "peers": peers, "more": routing}
    wanted = sys.argv[1:] or list(groups)
    if set(wanted) - set(groups):
        sys.exit(f"{' '.join(wanted)}: not allowed, expected some of {', '.join(groups)}")
    print(f"storelab {storelab.__version__}, numpy {np.__version__}, {os.cpu_count()} cores, CPU time of one thread\n")
    print("| what | unit | target | storelab | peer | ratio | target held |\n|---|---|---|---|---|---|---|")
    for name in wanted:
        groups[name]()


if __name__ == "__main__":
    main()
