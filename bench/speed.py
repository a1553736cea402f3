"""How fast the environments are, in one process; peers beside it where they can be installed.

    python -P bench/speed.py [ours] [peers]

Without a word both: our figures by wall time, then each peer, which is installed into a temporary virtual environment
of its own, beside ours on a workload of the same shape, by CPU time. The best of several repeats is printed, as other
work on the machine only ever slows a repeat.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path

import gymnasium as gym
import numpy as np
import storelab
from storelab.agents.heuristics import marketplace as rules
from storelab.envs import TASKS, Inventory, InventoryParams
from storelab.envs.core.rollout import rollout

# Each peer prints its best rate of three repeats; a step of a chain of stages is one item-period, theirs and ours.
TIMED = """
import json, time, warnings
warnings.filterwarnings("ignore")
{setup}
best = 0
for _ in range(3):
    start = time.process_time()
    done = work()
    best = max(best, done / (time.process_time() - start))
print(json.dumps(best))
"""
STEPS = """
env.reset()
action = env.action_space.sample()
def work():
    for _ in range(10_000):
        *_, terminated, truncated, _ = env.step(action)
        if terminated or truncated:
            env.reset()
    return 10_000
"""
GYM_INVMGMT = "import gymnasium, gym_invmgmt; env = gymnasium.make('GymInvMgmt/Serial-v0')" + STEPS
OR_GYM = "import or_gym; env = or_gym.make('InvManagement-v1')" + STEPS.replace(
    "terminated, truncated, _", "truncated, _"
)
OR_GYM = OR_GYM.replace("terminated or truncated", "truncated")  # the old interface
STOCKPYL = """
from stockpyl.sim import simulation
from stockpyl.supply_chain_network import serial_system
def work():
    net = serial_system(num_nodes=3, node_order_in_system=[3, 2, 1], shipment_lead_time=[1, 1, 2],
        local_holding_cost=[7, 4, 2], stockout_cost=[37.12, 0, 0], demand_type="N", mean=5, standard_deviation=1,
        policy_type="BS", base_stock_level=[6.49, 5.53, 10.69])
    simulation(net, 1000, rand_seed=0, progress_bar=False)
    return 1000
"""
# Vehicle routing by random feasible visits, nothing else: what an epoch of ours does beside is to build good routes.
JUMANJI = """
import jax, jumanji
from jumanji.environments.routing.cvrp.generator import UniformGenerator
env = jumanji.make("CVRP-v1", generator=UniformGenerator(num_nodes=100, max_capacity=30, max_demand=10))
def step(carry, key):
    state, seen = carry
    logits = jax.numpy.where(seen.observation.action_mask, 0.0, -jax.numpy.inf)
    return jax.vmap(env.step)(state, jax.random.categorical(key, logits)), None
@jax.jit
def run(key):
    start = jax.vmap(env.reset)(jax.random.split(key, 256))
    return jax.lax.scan(step, start, jax.random.split(key, 100))[0][1].reward
run(jax.random.PRNGKey(0)).block_until_ready()
def work():
    run(jax.random.PRNGKey(1)).block_until_ready()
    return 256 * 100
"""
RL4CO = """
import torch
from rl4co.envs import CVRPEnv
torch.set_num_threads(1)
env = CVRPEnv(generator_params={"num_loc": 100}, check_solution=False)
def work():
    state = env.reset(batch_size=[256])
    for _ in range(100):
        state["action"] = torch.multinomial(state["action_mask"].float(), 1).squeeze(-1)
        state = env.step(state)["next"]
    return 256 * 100
"""
ROUTING = {"jumanji==1.1.2": JUMANJI, "rl4co==0.7.0 torch==2.13.0": RL4CO}
PEERS = {  # requirement -> what it runs, our chain of as many stages
    "gym-invmgmt==0.2.1": (GYM_INVMGMT, "InvManagement"),
    "or-gym==0.5.0": (OR_GYM, "InvManagement"),
    "stockpyl==1.0.2": (STOCKPYL, "Serial"),
}


def best_rate(work, repeats: int = 7, clock=time.perf_counter) -> float:
    """Return the most of `work()` units done per second over the repeats."""
    rates = []
    for _ in range(repeats):
        start = clock()
        done = work()
        rates.append(done / (clock() - start))
    return max(rates)


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


def chain(task: str, num_envs: int):
    """Return work that steps serial chains of three stages, alone or in a batch, resets included."""
    env = gym.make_vec(f"storelab/{task}-v0", num_envs=num_envs) if num_envs > 1 else gym.make(f"storelab/{task}-v0")
    env.reset(seed=0)
    action = np.full((num_envs, 3) if num_envs > 1 else 3, 15.0)

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


def single_env():
    """Return work that steps one `gymnasium.make` environment of one item, resets included."""
    env = gym.make("storelab/LostSales-v0")
    env.reset(seed=0)

    def work():
        for _ in range(20_000):
            *_, terminated, truncated, _ = env.step(5)
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


def ours() -> list[tuple[str, float, float, str]]:
    """Return rows of what was measured: name, rate, target, unit."""
    vector = gym.make_vec("storelab/LostSales-v0", num_envs=64)
    vector.reset(seed=0)
    batch = gym.make_vec("storelab/Inventory-v0", num_envs=64, items=100, lead_time=4, horizon=100)
    batch.reset(seed=0)
    resets = [best_rate(lambda: (batch.reset(seed=0), 1)[1], 20)]
    many, few = np.full((64, 100), 5.0), np.full((64, 1), 5)
    rows = [
        ("dynamics, 64 x 100, demand drawn", best_rate(dynamics(True)), 2e7, "item-periods/s"),
        ("dynamics, 64 x 100, drawn scenario", best_rate(dynamics(False)), 2e8, "item-periods/s"),
        ("SupplyChain, 2,000 items x 3 echelons", best_rate(network()), 1e7, "item-periods/s"),
        ("VectorEnv, 64 x 100", 100 * best_rate(adapter(batch.step, many, 64, 200)), 0, "item-periods/s"),
        ("reset of 64 x 100 x 100 periods", 1000 / max(resets), 5, "ms (at most)"),
        ("Env, one item", best_rate(single_env()), 5e4, "steps/s"),
        ("VectorEnv of 64", best_rate(adapter(vector.step, few, 64, 4000)), 1.5e6, "env-steps/s"),
    ]
    rows.append(("dispatch, 100 open requests", best_rate(dispatch()), 200, "epochs/s"))
    rows.append(("the whole store, 64 x 100, demand drawn", best_rate(marketplace(), 3), 2e3, "store-days/s"))
    logit = {"items": 5, "demand": {"size": 10.0, "noise": "poisson", "utility": [1.0, 1.5, 0.5, 0.8, 1.2]}}
    ample, scarce = logit | {"initial_stock": 900.0}, logit | {"initial_stock": 30.0}
    thin = ample | {"demand": logit["demand"] | {"size": 3.0}}
    rows += [
        ("pricing, 4096 x 1, drawn scenario", best_rate(pricing("Pricing", 4096, False, {})), 2e7, "env-steps/s"),
        ("pricing, 4096 x 1, demand drawn", best_rate(pricing("Pricing", 4096, True, {})), 0, "env-steps/s"),
        ("logit, 256 x 5, ample stock", best_rate(pricing("PricingMNL", 256, False, ample, True)), 5e6, "choices/s"),
        ("logit, 1024 x 5, 3 customers", best_rate(pricing("PricingMNL", 1024, False, thin, True)), 5e6, "choices/s"),
        ("logit, 256 x 5, scarce stock", best_rate(pricing("PricingMNL", 256, False, scarce, True)), 0, "choices/s"),
        ("logit, 256 x 5, demand drawn", best_rate(pricing("PricingMNL", 256, True, ample, True)), 0, "choices/s"),
    ]
    try:
        from storelab.agents.core.vec_env import StoreVecEnv
    except ImportError:
        return rows
    sb3 = StoreVecEnv(TASKS["LostSales"]().model(), 64)
    sb3.reset()
    rate = best_rate(adapter(sb3.step, np.full(64, 5), 64, 4000))
    return [*rows, ("Stable-Baselines3 VecEnv of 64", rate, 8e5, "env-steps/s")]


def peer(requirement: str, code: str, folder: Path) -> float | str:
    """Install a peer into a virtual environment of its own and return its rate, or why there is none."""
    venv.create(folder, with_pip=True)
    python = str(folder / "bin" / "python")
    install = subprocess.run(
        [python, "-m", "pip", "install", "-q", *requirement.split()], capture_output=True, text=True
    )
    if install.returncode:
        reasons = [line.strip() for line in install.stderr.splitlines() if "error" in line.lower()]
        telling = [line for line in reasons if " in " in line or "No matching" in line] or reasons
        return f"does not install: {telling[0][:110]}"
    run = subprocess.run([python, "-c", TIMED.format(setup=code)], capture_output=True, text=True)
    if run.returncode:
        return f"does not run: {run.stderr.strip().splitlines()[-1][:110]}"
    return json.loads(run.stdout.splitlines()[-1])


def beside_peers() -> None:
    """Print each peer's rate, ours on the same shape, and how many times theirs that is."""

    def rate(work):
        return best_rate(work, 5, time.process_time)

    print("\nitem-periods per second of CPU time")
    print(f"{'':36} {'peer':>9} {'ours, one':>9} {'times':>6} {'ours, 64':>9} {'times':>6}")
    with tempfile.TemporaryDirectory() as folder:
        for requirement, (code, task) in PEERS.items():
            theirs = peer(requirement, code, Path(folder) / requirement)
            one, many = rate(chain(task, 1)), rate(chain(task, 64))
            if isinstance(theirs, str):
                print(f"{requirement:36} {'-':>9} {one:9.3g} {'-':>6} {many:9.3g} {'-':>6}  {theirs}")
            else:
                times = [f"{ours:9.3g} {ours / theirs:6,.1f}" for ours in (one, many)]
                print(f"{requirement:36} {theirs:9.3g} {' '.join(times)}", flush=True)
        print("\nvisits per second of CPU time: 100 customers a problem, 256 problems at once")
        for requirement, code in ROUTING.items():
            theirs = peer(requirement, code, Path(folder) / requirement.split()[0])
            print(
                f"{requirement.split()[0]:36} {theirs if isinstance(theirs, str) else format(theirs, '9.3g')}",
                flush=True,
            )
        ours = 100 * rate(dispatch())
        print(f"{'dispatch, 100 open requests':36} {ours:9.3g}  requests decided and routed, 300 steps of improvement")
    one = rate(network(1))
    print(f"{'2,000 items x 3 echelons, as MABIM':36} {'-':>9} {one:9.3g}  ReplenishmentEnv has no release to install")


def main() -> None:
    """Print the tables."""
    wanted = sys.argv[1:] or ["ours", "peers"]
    if set(wanted) - {"ours", "peers"}:
        sys.exit(f"{' '.join(wanted)}: not allowed, expected ours or peers")
    print(f"storelab {storelab.__version__}, numpy {np.__version__}, {os.cpu_count()} cores, one process")
    for name, rate, target, unit in ours() if "ours" in wanted else []:
        aim = f"target {target:.2g}" if target else ""
        print(f"{name:38} {rate:10.3g} {unit:16} {aim}")
    if "peers" in wanted:
        beside_peers()


if __name__ == "__main__":
    main()
