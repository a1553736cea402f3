"""`storelab dataset`: Minari reads back what the policy did, and its environment gives the same again."""

import numpy as np
import pytest

minari = pytest.importorskip("minari")


@pytest.fixture(scope="module")
def made(finished, storelab, tmp_path_factory):
    """Three episodes of the agent and two of a heuristic."""
    tmp_path = tmp_path_factory.mktemp("datasets")
    at = {"MINARI_DATASETS_PATH": str(tmp_path)}
    agent = storelab(tmp_path, "dataset", f"run={finished.run}", "episodes=3", **at)
    rule = storelab(
        tmp_path, "dataset", f"run={finished.run}", "policy=base_stock", "episodes=2", "name=mine/rule-v1", **at
    )
    assert (agent.status, rule.status) == (0, 0), agent.err + rule.err
    assert agent.out.startswith("3 episodes, 180 transitions of PPO: ")
    assert agent.out.splitlines()[1] == 'minari.load_dataset("storelab/LostSales/PPO-v0")'
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
        return minari.load_dataset("storelab/LostSales/PPO-v0"), minari.load_dataset("mine/rule-v1")


def test_minari_reads_it_back(made):
    for dataset, episodes in zip(made, (3, 2), strict=True):
        assert (dataset.total_episodes, dataset.total_steps) == (episodes, 60 * episodes)
        for episode in dataset.iterate_episodes():
            assert episode.observations.shape == (61, 4)
            assert all(dataset.action_space.contains(action) for action in episode.actions)
            assert not episode.terminations.any()  # a store goes on: it is cut off
            assert episode.truncations.tolist() == [False] * 59 + [True]


def test_its_environment_gives_the_same_again(made):
    for dataset in made:
        env = dataset.recover_environment()
        for episode in dataset.iterate_episodes():
            seed = dataset.storage.get_episode_metadata([episode.id])
            observation, _ = env.reset(seed=int(next(iter(seed))["seed"]))
            for k, action in enumerate(episode.actions):
                np.testing.assert_array_equal(observation, episode.observations[k])
                observation, reward, *_ = env.step(action)
                assert reward == pytest.approx(episode.rewards[k], rel=1e-6)


def test_what_is_wrong_is_told(finished, storelab, tmp_path):
    ended = storelab(tmp_path, "dataset", f"run={finished.run}", "policy=nobody", MINARI_DATASETS_PATH=str(tmp_path))
    assert ended.status == 2
    assert ended.err.startswith("policy: 'nobody' is not allowed, expected one of the run's: ")
    bad = storelab(tmp_path, "dataset", f"run={finished.run}", "name=a b", MINARI_DATASETS_PATH=str(tmp_path))
    assert bad.err.startswith("name: 'a b' is not allowed: ")
