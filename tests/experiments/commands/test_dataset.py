"""`storelab dataset`: Minari reads back what the policy did, and its environment gives the same again."""

import numpy as np
import pytest
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st
from storelab.experiments.config.errors import ConfigError

minari = pytest.importorskip("minari")
from minari.data_collector import EpisodeBuffer  # noqa: E402
from storelab.experiments.commands.dataset import _written, check_name  # noqa: E402

SPACE = spaces.Box(-1, 1, (1,))
ONES = np.zeros((2, 1), np.float32)
BUFFER = EpisodeBuffer(None, 0, None, ONES, ONES[:1], [0.0], [True], [False])


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
    assert bad.err.startswith("name: 'a b' is not allowed, expected NAMESPACE/NAME-vN of letters, digits, _ and -")
    assert not list(tmp_path.iterdir())
    taken = storelab(tmp_path, "dataset", f"run={finished.run}", "episodes=2", "name=a-v0", MINARI_DATASETS_PATH=".")
    again = storelab(tmp_path, "dataset", f"run={finished.run}", "episodes=2", "name=a-v0", MINARI_DATASETS_PATH=".")
    inside = storelab(tmp_path, "dataset", f"run={finished.run}", "name=a-v0/b-v0", MINARI_DATASETS_PATH=".")
    assert [ended.status for ended in (taken, again, inside)] == [0, 2, 2], taken.err
    assert "a-v0 is there already" in again.err
    assert "a-v0 is there already" in inside.err


NAMES = st.one_of(
    st.text(alphabet="ab1-_v/. data", min_size=1, max_size=12),
    st.builds(lambda name, version: f"{name}-v{version}", st.text(alphabet="aB/-_", max_size=6), st.integers(0, 99)),
    st.builds("{}data{}-v0".format, st.sampled_from(["", "x/", "data/"]), st.sampled_from(["", "/y", "y"])),
)


def taken(name: str) -> bool:
    """Return whether a name is allowed."""
    try:
        check_name(name)
        return True
    except ConfigError:
        return False


@given(NAMES)
@settings(max_examples=200)
def test_a_name_is_taken_or_refused_before_anything_is_written(tmp_path_factory, name):
    """What is taken lies where Minari looks for it, and what else lies there is still read."""
    root = tmp_path_factory.mktemp("minari")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MINARI_DATASETS_PATH", str(root))
        if not taken(name):
            assert not list(root.iterdir())
            return
        _written(name, [BUFFER], observation_space=SPACE, action_space=SPACE, data_format="arrow")
        assert list(minari.list_local_datasets()) == [name]
        with pytest.raises(ConfigError, match="is there already"):
            check_name(name)


def test_nothing_is_left_where_writing_fails(tmp_path, monkeypatch):
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    broken = EpisodeBuffer(None, 0, None, np.zeros((3, 1)), np.zeros((5, 1)), [0.0], [True], [False])
    with pytest.raises(TypeError):
        _written("mine/x-v0", [BUFFER, broken], observation_space=SPACE, action_space=SPACE, data_format="arrow")
    assert not list(tmp_path.iterdir())
    with pytest.raises(ConfigError, match="cannot be written"):
        _written("a" * 300 + "-v0", [BUFFER], observation_space=SPACE, action_space=SPACE, data_format="arrow")
    assert not list(tmp_path.iterdir())
