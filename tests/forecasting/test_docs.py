"""The example of docs/forecasting.md runs and gives the shapes that its comments say."""

import re
from pathlib import Path

import storelab


def test_the_example_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = (Path(storelab.__file__).parent / "docs" / "forecasting.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    names = {}
    exec(code.replace("fine_tune_steps=50", "fine_tune_steps=3, progress=False"), names)
    assert names["quantiles"].shape == (40, 14, 9)
    assert names["mean"].shape == (40, 14)
    assert names["paths"].shape == (40, 200, 14)
    assert names["need"].shape == (2, 40, 2)
    assert names["table"]["wQL"].notna().all()
    assert {path.name for path in (tmp_path / "my_forecaster").iterdir()} == {"config.json", "model.safetensors"}
    assert len(list((tmp_path / "forecasts").iterdir())) == 1
