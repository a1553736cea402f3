"""Stable-Baselines3's PPO by hand, on the batched environment, judged beside a heuristic and the optimum.

pip install '.[learn]'
python examples/sb3_ppo.py
"""

import sys

import numpy as np
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import VecNormalize
from storelab.agents import tune
from storelab.agents.core.vec_env import StoreVecEnv
from storelab.envs import TASKS
from storelab.evaluation import evaluate, summarise


def main(steps: int = 300_000, held_out: int = 256) -> None:
    task = TASKS["LostSales"](lead_time=2)
    env = VecNormalize(StoreVecEnv(task.model("train"), num_envs=64), gamma=0.98)  # PPO's seed is its seed too
    learner = PPO("MlpPolicy", env, n_steps=32, batch_size=512, gamma=0.98, learning_rate=1e-3, seed=0, device="cpu")
    learner.learn(steps)

    def ppo(observation, policy_state, seed):
        actions, _ = learner.predict(env.normalize_obs(np.asarray(observation)), deterministic=True)
        return actions, policy_state

    known = task.reference()
    episodes = evaluate({"PPO": ppo, "base_stock": tune("base_stock", task, range(64))}, task, range(held_out))
    print(
        summarise(episodes, task.objective, known)[["value", "ci_low", "ci_high", "gap_percent"]].round(2).to_string()
    )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
