"""A torch policy trained through the environment: the gradient of the cost passes from demand to the weights.

pip install '.[learn]'
python examples/torch_pathwise.py
"""

import sys

import numpy as np
import torch
from storelab.agents import tune
from storelab.envs import TASKS, rollout
from storelab.evaluation import evaluate, summarise


class Net(torch.nn.Module):
    """Observations (n, features) in units to orders (n, 1) in units."""

    def __init__(self, features: int):
        super().__init__()
        self.layers = torch.nn.Sequential(
            torch.nn.Linear(features, 32),
            torch.nn.ReLU(),
            torch.nn.Linear(32, 32),
            torch.nn.ReLU(),
            torch.nn.Linear(32, 1),
        )

    def forward(self, observation):
        return 5.0 + self.layers(observation / 5.0)  # around the mean demand


def main(steps: int = 600, held_out: int = 256) -> None:
    torch.manual_seed(0)
    torch.set_num_threads(1)
    # Learn on divisible goods (lot_size 0), where the cost has a gradient; be judged on whole units.
    learn = TASKS["LostSales"](lot_size=0.0, action="continuous", horizon=60, initial_stock=10.0).model(
        "train", xp=torch
    )
    task = TASKS["LostSales"](action="continuous")
    net = Net(task.model().observation_space.shape[0])
    optimizer = torch.optim.Adam(net.parameters(), lr=3e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)

    def act(observation, policy_state, seed):
        return net(observation), policy_state

    for step in range(steps):
        scenario = learn.scenarios(np.arange(64) + 64 * step)
        scenario = {name: torch.as_tensor(block) for name, block in scenario.items()}
        cost = -rollout(learn, act, scenario)["reward"][:, 10:].mean()
        optimizer.zero_grad()
        cost.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if step % 100 == 0:
            print(f"step {step:4d}: {cost.item():.2f} money per period")

    @torch.no_grad()
    def mine(observation, policy_state, seed):
        return net(torch.as_tensor(observation, dtype=torch.float32)).numpy(), policy_state

    known = task.reference()
    episodes = evaluate({"mine": mine, "base_stock": tune("base_stock", task, range(64))}, task, range(held_out))
    print(
        summarise(episodes, task.objective, known)[["value", "ci_low", "ci_high", "gap_percent"]].round(2).to_string()
    )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
