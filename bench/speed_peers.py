"""Peers of storelab's environments, each in a process of its own, measured in turns with ours: see `speed`."""

import json
import subprocess
import tempfile
import venv
from contextlib import contextmanager
from pathlib import Path

from speed import best_rate, chain, dispatch, network, row, single_env
from storelab.envs import Task
from storelab.envs.core.demand import DemandParams
from storelab.envs.supply_chain.model import SupplyChain
from storelab.envs.supply_chain.params import Arc, Node
from storelab.envs.supply_chain.params import network as network_of

# A peer's process prints a rate for every line that it reads; a step of a network is one, theirs and ours.
TIMED = """
import json, sys, time, warnings
warnings.filterwarnings("ignore")
{setup}
for _ in sys.stdin:
    start = time.process_time()
    done = work()
    print(json.dumps(done / (time.process_time() - start)), flush=True)
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
GYM_INVMGMT = "import gymnasium, gym_invmgmt; env = gymnasium.make('GymInvMgmt/{}-v0').unwrapped" + STEPS
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


def serial() -> Task:
    """Return gym-invmgmt's Serial-v0 as a task: prices between the stages cancel out."""
    nodes = {
        "materials": Node(),
        "factory": Node(holding_cost=0.01, initial_stock=200.0, capacity=100.0, backorders=False),
        "distributor": Node(holding_cost=0.02, initial_stock=100.0, backorders=False),
        "retailer": Node(
            DemandParams(mean=20.0), price=2.0, holding_cost=0.03, backorder_cost=0.1, initial_stock=100.0
        ),
    }
    arcs = [
        Arc("distributor", "retailer", 4, pipeline_cost=0.010),
        Arc("factory", "distributor", 4, unit_cost=0.010, pipeline_cost=0.005),
        Arc("materials", "factory", 0, unit_cost=0.5),
    ]
    rest = {"horizon": 30, "continuing": False, "ships_arrivals": False, "allocation": "priority"}
    return Task("Serial", network_of(nodes, arcs, **rest), SupplyChain)


@contextmanager
def peer(requirement: str, code: str, folder: Path):
    """Install a peer and start it; gives what measures a rate once, or the reason as a text."""
    if not folder.exists():
        venv.create(folder, with_pip=True)
    python = str(folder / "bin" / "python")
    install = subprocess.run(
        [python, "-m", "pip", "install", "-q", *requirement.split()], capture_output=True, text=True
    )
    if install.returncode:
        reasons = [line.strip() for line in install.stderr.splitlines() if "error" in line.lower()]
        yield f"does not install: {(reasons or ['no reason given'])[-1][:110]}"
        return
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True}
    with subprocess.Popen([python, "-c", TIMED.format(setup=code)], **pipes) as process:

        def rate() -> float:
            process.stdin.write("\n")
            process.stdin.flush()
            return json.loads(process.stdout.readline())

        try:
            rate()  # warm, and whatever does not run shows here
            yield rate
        except (ValueError, OSError):
            yield "does not run"
        finally:
            process.stdin.close()


def beside(name: str, requirement: str, code: str, works: dict, unit: str, folder: str, times: float = 0) -> None:
    """Print ours (name of the row -> work) beside a peer's, each the best of five in turns."""
    with peer(requirement, code, Path(folder) / requirement.split("=")[0]) as rate:
        if isinstance(rate, str):
            print(f"| {name} | {unit} |  |  | {requirement.split()[0]} {rate} |  |  |", flush=True)
            return
        theirs, ours = 0.0, dict.fromkeys(works, 0.0)
        for _ in range(5):
            theirs = max(theirs, rate())
            for key, work in works.items():
                ours[key] = max(ours[key], best_rate(work, 1))
        for key, value in ours.items():
            row(f"{name}{key}, beside {requirement.split('=')[0]}", value, unit, peer=theirs, times=times * (not key))


def peers() -> None:
    """Print the rows of gym-invmgmt's own networks, and of stockpyl's."""
    own = {"Serial": serial(), "MultiEchelon": "NetworkManagement"}
    with tempfile.TemporaryDirectory() as folder:
        for name, task in own.items():
            action = [15.0] * (3 if name == "Serial" else 11)
            works = {"": single_env(task, action), ", NumPy": single_env(task, action, "numpy")}
            works[", in a batch of 64"] = chain(task, 64)
            code = GYM_INVMGMT.format(name)
            beside(f"{name}, one `Env`", "gym-invmgmt==0.2.1", code, works, "steps/s", folder, times=1.5)
        works = {"": chain("Serial", 1), ", in a batch of 64": chain("Serial", 64)}
        beside("serial chain of 3 stages", "stockpyl==1.0.2", STOCKPYL, works, "steps/s", folder)


def routing() -> None:
    """Print the rows of routing's peers, whose visits are random, and of sizes as others have them."""
    with tempfile.TemporaryDirectory() as folder:
        beside(
            "or-gym's chain", "or-gym==0.5.0", OR_GYM, {"": single_env("InvManagement", [15.0] * 3)}, "steps/s", folder
        )
        ours = dispatch()
        for requirement, code in ROUTING.items():
            beside("100 customers routed", requirement, code, {"": lambda: 100 * ours()}, "visits/s", folder)
    row("2,000 items x 3 echelons alone, as MABIM", best_rate(network(1)), "item-periods/s")
