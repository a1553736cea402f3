from itertools import pairwise

import numpy as np
import pytest
from storelab.envs import make_env


def test_ansi_tells_the_period():
    env = make_env("LostSales", render_mode="ansi")
    env.reset(seed=0)
    *_, info = env.step(4)
    text = env.render()
    assert text.startswith("period 1: ")
    assert f"demand {info['demand']:g}" in text
    assert f"stock {info['on_hand']:g}" in text


def test_pictures_follow_the_store():
    pytest.importorskip("matplotlib")
    env = make_env("FixedCost", render_mode="rgb_array")
    env.reset(seed=0)
    pictures = [env.render()]
    for t in range(30):
        env.step(40 if t % 4 == 0 else 0)
        pictures.append(env.render())
    assert all(p.shape == pictures[0].shape and p.dtype == np.uint8 for p in pictures)
    assert all((a != b).any() for a, b in pairwise(pictures))
    env.reset(seed=0)
    again = env.render()
    assert np.mean(again != pictures[0]) < 0.05  # empty again, but for the scale
    env.close()


def test_render_without_a_mode_returns_nothing():
    env = make_env()
    env.reset(seed=0)
    with pytest.warns(UserWarning, match="render_mode"):
        assert env.render() is None
