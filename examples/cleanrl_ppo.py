"""PPO in one file in the manner of CleanRL (Huang et al. 2022, JMLR 23), on `gymnasium.make_vec`.

pip install '.[learn]'
python examples/cleanrl_ppo.py
"""

import sys

import gymnasium as gym
import numpy as np
import storelab  # noqa: F401 registers the environments
import torch
from gymnasium.wrappers.vector import NormalizeObservation, NormalizeReward, RecordEpisodeStatistics
from torch import nn

ENVS, STEPS, EPOCHS, MINIBATCHES, GAMMA, LAMBDA, CLIP = 64, 32, 4, 4, 0.98, 0.95, 0.2


def network(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, outputs))


def main(total: int = 400_000) -> None:
    torch.manual_seed(0)
    torch.set_num_threads(1)
    envs = gym.make_vec("storelab/LostSales-v0", num_envs=ENVS, lead_time=2, action="discrete")  # NEXT_STEP autoreset
    statistics = RecordEpisodeStatistics(envs, buffer_length=ENVS)
    envs = NormalizeReward(NormalizeObservation(statistics), gamma=GAMMA)
    inputs, actions = envs.single_observation_space.shape[0], envs.single_action_space.n
    actor, critic = network(inputs, actions), network(inputs, 1)
    with torch.no_grad():
        actor[-1].weight.mul_(0.01)
    parameters = [*actor.parameters(), *critic.parameters()]
    optimizer = torch.optim.Adam(parameters, lr=1e-3, eps=1e-5)

    seen = torch.as_tensor(envs.reset(seed=0)[0], dtype=torch.float32)
    over = torch.zeros(ENVS)
    updates = max(1, total // (ENVS * STEPS))
    for update in range(updates):
        optimizer.param_groups[0]["lr"] = 1e-3 * (1 - update / updates)
        rows = []
        for _ in range(STEPS):
            with torch.no_grad():
                choice = torch.distributions.Categorical(logits=actor(seen))
                action = choice.sample()
                row = [seen, action, choice.log_prob(action), critic(seen).squeeze(1), over]
            observation, reward, terminated, truncated, _ = envs.step(action.numpy())
            # The problem is endless: a truncated episode keeps its value, so that only `terminated` ends a return.
            rows.append([*row, torch.as_tensor(reward, dtype=torch.float32), torch.as_tensor(terminated).float()])
            seen = torch.as_tensor(observation, dtype=torch.float32)
            over = torch.as_tensor(terminated | truncated).float()
        states, taken, before, values, resets, rewards, ends = (
            torch.stack(column) for column in zip(*rows, strict=True)
        )
        with torch.no_grad():
            following = torch.cat([values[1:], critic(seen).T])
        restarts = torch.cat([resets[1:], over[None]])  # the next state begins another episode's first return
        advantages, tail = torch.zeros_like(rewards), torch.zeros(ENVS)
        for t in reversed(range(STEPS)):
            delta = rewards[t] + GAMMA * following[t] * (1 - ends[t]) - values[t]
            tail = delta + GAMMA * LAMBDA * (1 - restarts[t]) * tail
            advantages[t] = tail
        kept = (resets == 0).flatten()  # under NEXT_STEP the step after an episode's last one only resets
        batch = [x.flatten(0, 1)[kept] for x in (states, taken, before, advantages, advantages + values)]
        for _ in range(EPOCHS):
            for part in torch.randperm(len(batch[0])).chunk(MINIBATCHES):
                state, action, old, advantage, target = (x[part] for x in batch)
                choice = torch.distributions.Categorical(logits=actor(state))
                ratio = (choice.log_prob(action) - old).exp()
                advantage = (advantage - advantage.mean()) / (advantage.std() + 1e-8)
                gain = torch.min(ratio * advantage, ratio.clamp(1 - CLIP, 1 + CLIP) * advantage).mean()
                error = (critic(state).squeeze(1) - target).pow(2).mean()
                optimizer.zero_grad()
                (0.5 * error - gain - 0.001 * choice.entropy().mean()).backward()
                nn.utils.clip_grad_norm_(parameters, 0.5)
                optimizer.step()
        if statistics.return_queue and (update % 20 == 0 or update == updates - 1):
            steps = (update + 1) * ENVS * STEPS
            print(f"{steps:8d} steps: {-np.mean(statistics.return_queue) / 200:.2f} money per period, exploring")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
