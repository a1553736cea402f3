"""RLlib's PPO on a single environment, new API stack.

pip install . 'ray[rllib]' torch    # in an environment of its own: RLlib pins gymnasium
python examples/rllib_ppo.py
"""

import sys

from ray.rllib.algorithms.ppo import PPOConfig


def main(iterations: int = 10, steps: int = 2_000) -> None:
    config = PPOConfig().environment(
        "storelab:storelab/LostSales-v0", env_config={"lead_time": 2, "horizon": 50, "action": "discrete"}
    )
    config = config.env_runners(num_env_runners=0).debugging(seed=0, log_level="ERROR")
    config = config.training(train_batch_size=steps, minibatch_size=min(steps, 250), num_epochs=6, lr=1e-3, gamma=0.98)
    algorithm = config.build_algo()
    try:
        for _ in range(iterations):
            result = algorithm.train()["env_runners"]
            cost = -result["episode_return_mean"] / 50
            print(f"{result['num_env_steps_sampled_lifetime']:7.0f} steps: {cost:.2f} money per period, exploring")
    finally:
        algorithm.stop()


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
