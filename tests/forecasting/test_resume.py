"""A training that was killed goes on from its last checkpoint and ends with the very same weights."""

import os
import signal
import subprocess
import sys
import time

import pytest
import torch
from storelab.data import SyntheticStoreParams, generate
from storelab.forecasting import create
from storelab.forecasting.transformer import Transformer
from storelab.learning.training import _Run

CODE = """
import sys, torch
torch.set_num_threads(1)
from storelab.data import SyntheticStoreParams, generate
from storelab.forecasting import create
panel = generate(SyntheticStoreParams(items=6, days=400)).panel
settings = {"fine_tune_steps": 200, "batch_size": 16, "patience": 100, "progress": False}
create("transformer", method="lora", checkpoints=sys.argv[1], **settings).fine_tune(panel)
"""


SMALL = {"batch_size": 16, "patience": 100, "progress": False}


class Interrupted(Exception):
    pass


def interrupted(monkeypatch, saves: int, training, panel) -> None:
    """The training dies right after so many checkpoints."""
    save, count = _Run.save, []

    def dying(run, file):
        save(run, file)
        count.append(file)
        if len(count) == saves:
            raise Interrupted

    with monkeypatch.context() as patch:
        patch.setattr(_Run, "save", dying)
        with pytest.raises(Interrupted):
            training(panel)


@pytest.fixture(scope="module")
def panel():
    return generate(SyntheticStoreParams(items=6, days=400)).panel


@pytest.fixture(autouse=True)
def _without_calibration(monkeypatch):
    """It comes after the training and takes longer than these short ones."""
    monkeypatch.setattr(Transformer, "_calibrate", lambda *panels: None)


def weights(model) -> dict[str, torch.Tensor]:
    return model.network.state_dict()


@pytest.mark.slow
@pytest.mark.parametrize("method", ["full", "head", "adapter", "lora", "adalora"])
def test_fine_tuning_goes_on_bit_equal(panel, tmp_path, monkeypatch, method):
    past = panel.until(340)
    settings = {"method": method, "adapter_dropout": 0.1, "fine_tune_steps": 40, **SMALL}
    whole = create("transformer", **settings).fine_tune(past)
    # adalora: some ranks are gone, others still to go
    interrupted(monkeypatch, 14, create("transformer", **settings, checkpoints=str(tmp_path)).fine_tune, past)
    assert len(list(tmp_path.iterdir())) == 1
    steps = []
    advance = _Run.advance
    monkeypatch.setattr(_Run, "advance", lambda run, *rest: steps.append(run.step) or advance(run, *rest))
    resumed = create("transformer", **settings, checkpoints=str(tmp_path)).fine_tune(past)
    assert steps[0] == 28
    for name, value in weights(whole).items():
        assert torch.equal(value, weights(resumed)[name]), name
    assert resumed.fingerprint() == whole.fingerprint()
    without_time = [[{**row, "seconds": 0} for row in model.history[1:]] for model in (whole, resumed)]
    assert without_time[0] == without_time[1]
    assert not list(tmp_path.iterdir())  # a training that is done leaves none


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_fit_with_dropout_goes_on_bit_equal(panel, tmp_path, monkeypatch, optimizer):
    settings = {"pretrained": "", "steps": 30, "optimizer": optimizer, "dropout": 0.2, **SMALL}
    whole = create("transformer", **settings).fit(panel.until(340))
    past = panel.until(340)
    interrupted(monkeypatch, 11, create("transformer", **settings, checkpoints=str(tmp_path)).fit, past)
    resumed = create("transformer", **settings, checkpoints=str(tmp_path)).fit(panel.until(340))
    assert resumed.fingerprint() == whole.fingerprint()


@pytest.mark.slow
def test_killed_by_the_system(panel, tmp_path):
    """kill -9 somewhere in the training, then the same again: as if nothing had been."""
    command = [sys.executable, "-c", CODE, str(tmp_path)]
    process = subprocess.Popen(command, env={**os.environ, "OMP_NUM_THREADS": "1"})
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob("*.safetensors")):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert list(tmp_path.glob("*.safetensors"))
    settings = {"method": "lora", "fine_tune_steps": 200, **SMALL}
    resumed = create("transformer", **settings, checkpoints=str(tmp_path)).fine_tune(panel)
    assert resumed.fingerprint() == create("transformer", **settings).fine_tune(panel).fingerprint()


@pytest.mark.parametrize("damage", ["flip", "truncate", "empty"])
def test_a_damaged_checkpoint_is_not_used(panel, tmp_path, monkeypatch, damage):
    settings = {"fine_tune_steps": 20, "batch_size": 16, "progress": False}
    past = panel.until(340)
    interrupted(monkeypatch, 5, create("transformer", **settings, checkpoints=str(tmp_path)).fine_tune, past)
    (file,) = tmp_path.iterdir()
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes({"flip": content, "truncate": content[:-9], "empty": b""}[damage])
    resumed = create("transformer", **settings, checkpoints=str(tmp_path)).fine_tune(panel.until(340))
    assert resumed.fingerprint() == create("transformer", **settings).fine_tune(panel.until(340)).fingerprint()


def test_another_training_takes_no_foreign_checkpoint(panel, tmp_path, monkeypatch):
    settings = {"fine_tune_steps": 20, "batch_size": 16, "progress": False, "checkpoints": str(tmp_path)}
    interrupted(monkeypatch, 5, create("transformer", **settings).fine_tune, panel.until(340))
    other = create("transformer", **settings).fine_tune(panel.until(341))
    assert [row["step"] for row in other.history][:2] == [0, 1]
    assert len(list(tmp_path.iterdir())) == 1  # the first one's is still there


def test_tensorboard(panel, tmp_path):
    # Without what is known in advance three steps are no gain here: so there is no second training, on all days.
    quick = {"fine_tune_steps": 3, "planned": False, "progress": False}
    create("transformer", tensorboard=str(tmp_path), **quick).fine_tune(panel.until(340))
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    (folder,) = tmp_path.iterdir()
    events = EventAccumulator(str(folder)).Reload()
    assert [event.step for event in events.Scalars("validation_loss")] == [1, 2, 3]
    assert events.Scalars("train_loss")[0].value > 0
