"""Two Q-learners who set prices against each other (Calvano et al. 2020, AER 110(10)), through PettingZoo.

pip install '.[multi]'
python examples/pettingzoo_duopoly.py
"""

import sys

import numpy as np
import pettingzoo
import storelab  # noqa: F401 registers the environments


def main(periods: int = 100_000, seed: int = 0) -> None:
    env = pettingzoo.make("parallel", "storelab/PricingDuopoly-v0", horizon=periods)
    rng = np.random.default_rng(seed)
    env.reset(seed=seed)
    prices = {agent: int(env.action_space(agent).nvec[0]) for agent in env.agents}
    last = {agent: 0 for agent in env.agents}
    tables = {agent: np.zeros((*prices.values(), prices[agent])) for agent in env.agents}
    earned = []
    for t in range(periods):
        state = tuple(last.values())
        explore = rng.random(2) < np.exp(-8.0 * t / periods)
        last = {
            agent: int(rng.integers(prices[agent]) if roll else tables[agent][state].argmax())
            for agent, roll in zip(env.agents, explore, strict=True)
        }
        agents = env.agents
        _, rewards, _, truncations, _ = env.step({agent: np.array([a]) for agent, a in last.items()})
        for agent in agents:
            target = rewards[agent] + 0.95 * tables[agent][tuple(last.values())].max()
            cell = (*state, last[agent])
            tables[agent][cell] += 0.15 * (target - tables[agent][cell])
        earned.append([rewards[agent] for agent in agents])
        if all(truncations.values()):
            break
    tail = np.mean(earned[-periods // 10 :], axis=0)
    print(f"profit per period at the end: {tail[0]:.3f} and {tail[1]:.3f} (Nash .223, monopoly .337 in that paper)")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
