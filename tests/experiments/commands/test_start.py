"""`agent.start=RUN`: a finished run goes on with more steps, in a run of its own that resumes as any other."""

import json

import numpy as np
import pytest
from storelab.experiments.runs.folder import Run

from ..conftest import PPO


@pytest.mark.slow
def test_a_finished_run_goes_on_and_a_killed_one_resumes_exactly(finished, start, storelab, tmp_path):
    words = (*PPO, f"agent.start={finished.run}", "agent.total_steps=4096")
    (tmp_path / "whole").mkdir()
    whole = storelab(tmp_path / "whole", *words)
    assert whole.status == 0, whole.err
    assert f"begins with the weights of {finished.run}/best/" in whole.out
    (tmp_path / "killed").mkdir()
    killed = start(tmp_path / "killed", *words)
    killed.until(lambda: len(killed.checkpoints) > 1)
    killed.kill()
    resumed = storelab(tmp_path / "killed", *words)
    assert resumed.status == 0, resumed.err
    assert "going on from " in resumed.out
    one, other = Run(whole.run).episodes(), Run(resumed.run).episodes()
    np.testing.assert_array_equal(one["value"], other["value"])
    curve = [row["value"] for row in Run(whole.run).metrics()]
    assert curve == [row["value"] for row in Run(resumed.run).metrics()]
    again = storelab(tmp_path / "whole", "report", f"run={whole.run}")
    assert again.status == 0, again.err


@pytest.mark.slow
def test_what_cannot_be_begun_with_is_told_before_there_is_a_folder(finished, storelab, tmp_path):
    for start, line in {
        "nowhere": "agent.start: 'nowhere' is not allowed, expected the folder of a finished run",
        str(tmp_path): "agent.start: ",
    }.items():
        ended = storelab(tmp_path, *PPO, f"agent.start={start}")
        assert (ended.status, ended.err.count("\n")) == (2, 1), ended.err
        assert ended.err.startswith(line)
        assert not (tmp_path / "runs").exists()
    other = storelab(tmp_path, *PPO, f"agent.start={finished.run}", "agent.net_arch=[4]")
    assert other.status == 2
    assert other.err.startswith("agent.net_arch: [4] is not allowed to begin with its weights, expected [8] as in ")
    assert json.loads((finished.run / "status.json").read_text())["state"] == "finished"
