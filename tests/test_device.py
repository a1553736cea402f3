"""A device that is asked for is the one that is used, or an error says which there are."""

import pytest
import torch
from storelab import device as devices
from storelab.agents.pathwise import PathwiseLearner, PathwiseParams
from storelab.agents.sb3 import SB3Learner, SB3Params
from storelab.data import SyntheticStoreParams, generate
from storelab.device import check_device, device_of, seconds
from storelab.envs import TASKS
from storelab.experiments.fitting.models import MODELS, schema
from storelab.forecasting import FORECASTERS, create

LOADED: list = [FORECASTERS.model_class(name).Params for name in FORECASTERS] + [schema(name) for name in MODELS]
TAKING = [SB3Params, PathwiseParams, *(kind for kind in LOADED if "device" in kind.__dataclass_fields__)]
MISSING = f"cuda:{torch.cuda.device_count()}"  # the first that is not there


@pytest.mark.parametrize("name", ["gpu", "cuda:", "cuda:x", "", 0, "CUDA"])
@pytest.mark.parametrize("params", TAKING)
def test_other_words_are_refused(params, name):
    with pytest.raises(ValueError, match=r"^device: .* is not allowed, expected (auto, cpu, cuda or cuda:0|type str)"):
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


@pytest.mark.parametrize("faster", ["cpu", "cuda"])
def test_auto_takes_the_faster_device_for_the_size_of_a_network(monkeypatch, faster):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(devices, "seconds", lambda device, widths, rows: (device != faster) + sum(widths) * rows)
    assert device_of("auto", [8, 64, 1], 32).type == faster
    assert device_of("auto").type == "cuda"
    assert device_of("cpu", [8, 64, 1], 32).type == "cpu"


def test_what_a_network_takes_is_measured_and_leaves_the_generator_alone():
    before = torch.get_rng_state()
    assert seconds("cpu", (4, 2048, 2048, 1), 512) > seconds("cpu", (4, 8, 1), 1) > 0
    assert (torch.get_rng_state() == before).all()


@pytest.mark.parametrize("params", TAKING)
def test_every_device_by_name_is_allowed_wherever_one_is_taken(params):
    for name in ("auto", "cpu", "cuda", "cuda:0", "cuda:1", "cuda:12"):
        assert params(device=name).device == name
        check_device(name)
    assert len(TAKING) > 4


def test_a_model_of_the_store_asks_for_its_device_as_well():
    with pytest.raises(ValueError, match=f"device: '{MISSING}' is not allowed, expected auto or cpu"):
        device_of(MISSING)
    panel = generate(SyntheticStoreParams(items=2, days=200)).panel
    with pytest.raises(ValueError, match=f"device: '{MISSING}' is not allowed"):
        create("transformer", device=MISSING, fine_tune_steps=1, progress=False).fine_tune(panel)
