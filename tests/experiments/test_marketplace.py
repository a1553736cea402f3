"""The whole store from the command line: a run, its report with the replay, and forecasts of recorded visits."""

import base64
import io
import re

import numpy as np
import pytest
from storelab.envs import TASKS
from storelab.forecasting import create

SMALL = ("env.items=4", "env.page_size=2", "env.horizon=6", "env.population=200")
RUN = (
    *("train", "task=Marketplace", "agent=evolution", *SMALL, "agent.total_steps=2", "agent.candidates=4"),
    *("agent.seasons=2", "evaluation.episodes=4", "evaluation.tuning_episodes=2", "evaluation.curve_episodes=2"),
)


@pytest.mark.slow
def test_a_run_and_its_replay(storelab, tmp_path):
    pytest.importorskip("cma")
    storelab(tmp_path, *RUN)
    (page,) = tmp_path.glob("runs/Marketplace/*/report.html")
    (gif,) = re.findall(r"data:image/gif;base64,([^\"]*)", page.read_text())
    from PIL import Image

    picture = Image.open(io.BytesIO(base64.b64decode(gif)))
    assert picture.n_frames == 6  # a day each
    assert "composite" in page.read_text()


def test_visits_are_recorded_days_and_forecast():
    small = dict(items=3, page_size=2, horizon=14, population=200.0)
    data = {"items": 5, "days": 400}
    tasks = {name: TASKS["Marketplace"](data=data, forecast=name, **small) for name in ("none", "oracle")}
    tasks["model"] = TASKS["Marketplace"](
        data=data, forecast="model", forecaster=create("moving_average"), quantiles=[0.1, 0.5, 0.9], **small
    )
    seen = {name: task.model("test").scenarios(range(6)) for name, task in tasks.items()}
    assert "forecast" not in seen["none"]
    oracle, model = seen["oracle"]["forecast"], seen["model"]["forecast"]
    assert (oracle[..., 0] == oracle[..., 2]).all()
    factor = seen["oracle"]["factor"][..., 0]
    assert oracle[0, 0, 0] == pytest.approx(factor[0, :6].mean(), rel=1e-4)  # lead time + 1 days
    assert (np.diff(model, axis=2) >= 0).all()
    assert abs(model[..., 1].mean() - seen["model"]["factor"].mean()) < 0.25
    with pytest.raises(ValueError, match="forecast: 'model' is not allowed without data"):
        TASKS["Marketplace"](forecast="model")
