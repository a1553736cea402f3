"""TorchRL's PPO on the batched environment.

pip install '.[learn]' torchrl
python examples/torchrl_ppo.py
"""

import sys

import storelab  # noqa: F401 registers the environments
import torch
from tensordict.nn import TensorDictModule
from torch import nn
from torchrl.collectors import Collector
from torchrl.envs import Compose, RewardSum, TransformedEnv
from torchrl.envs.libs.gym import GymEnv
from torchrl.modules import OneHotCategorical, ProbabilisticActor, ValueOperator
from torchrl.objectives import ClipPPOLoss
from torchrl.objectives.value import GAE


def network(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, outputs))


def main(frames: int = 60_000) -> None:
    torch.manual_seed(0)
    torch.set_num_threads(1)
    env = TransformedEnv(
        GymEnv("storelab/LostSales-v0", lead_time=2, horizon=50, action="discrete"), Compose(RewardSum())
    )
    inputs, actions = env.observation_spec["observation"].shape[-1], env.action_spec.space.n
    actor = ProbabilisticActor(
        TensorDictModule(network(inputs, actions), in_keys=["observation"], out_keys=["logits"]),
        in_keys=["logits"],
        distribution_class=OneHotCategorical,
        return_log_prob=True,
    )
    critic = ValueOperator(network(inputs, 1), in_keys=["observation"])
    advantage = GAE(gamma=0.98, lmbda=0.95, value_network=critic, average_gae=True)
    loss = ClipPPOLoss(actor, critic, clip_epsilon=0.2, entropy_coeff=0.001)
    optimizer = torch.optim.Adam(loss.parameters(), lr=1e-3)
    size = min(2_000, frames)
    collector = Collector(env, actor, frames_per_batch=size, total_frames=frames)
    for number, batch in enumerate(collector):
        batch["next", "reward"] /= 20.0  # money, scaled to the size of a critic's errors
        for _ in range(6):
            advantage(batch)
            for part in torch.randperm(len(batch)).chunk(8):
                terms = loss(batch[part])
                optimizer.zero_grad()
                (terms["loss_objective"] + terms["loss_critic"] + terms["loss_entropy"]).backward()
                nn.utils.clip_grad_norm_(loss.parameters(), 0.5)
                optimizer.step()
        ended = batch["next", "done"].squeeze(-1)
        cost = -batch["next", "episode_reward"][ended].mean() / 50
        print(f"{(number + 1) * size:7d} steps: {cost:.2f} money per period, exploring")
    collector.shutdown()


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
