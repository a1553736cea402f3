"""A device that is asked for is the one that is used, or an error says which there are."""

import pytest
import torch
from storelab.agents.core.device import device_of
from storelab.agents.pathwise import PathwiseLearner, PathwiseParams
from storelab.agents.sb3 import SB3Learner, SB3Params
from storelab.envs import TASKS

MISSING = f"cuda:{torch.cuda.device_count()}"  # the first that is not there


@pytest.mark.parametrize("name", ["gpu", "cuda:", "cuda:x", "", 0, "CUDA"])
@pytest.mark.parametrize("params", [SB3Params, PathwiseParams])
def test_other_words_are_refused(params, name):
    with pytest.raises(ValueError, match=r"^device: .* is not allowed, expected auto, cpu, cuda or cuda:0"):
        params(device=name)


def test_a_missing_device_is_not_replaced_in_silence():
    with pytest.raises(ValueError, match=f"device: '{MISSING}' is not allowed, expected auto or cpu"):
        SB3Learner(TASKS["LostSales"](horizon=20), SB3Params(device=MISSING, num_envs=2, total_steps=64))
    task = TASKS["LostSales"](horizon=20, action="continuous")
    with pytest.raises(ValueError, match=f"device: '{MISSING}' is not allowed"):
        PathwiseLearner(task, PathwiseParams(device=MISSING, num_envs=4, held_out=4))


def test_auto_takes_what_there_is():
    assert device_of("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    assert device_of("cpu") == torch.device("cpu")
