"""The example of docs/language.md runs and gives what its comments say."""

import re
from pathlib import Path

import storelab


def test_the_example_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = (Path(storelab.__file__).parent / "docs" / "language.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    names = {}
    exec(code, names)
    assert names["positive"][0] > names["positive"][1] == names["positive"][2] == names["model"].prior[1]
    assert set(names["by_item"]["item"]) == {f"item {n}" for n in range(5)}
    assert names["reply"].text == "Order 12345 is shipped; it should reach you on 2 May."


def test_the_example_of_the_marketplaces_models_runs():
    text = (Path(storelab.__file__).parent / "docs" / "marketplace_models.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    names = {}
    exec(code, names)
    assert len(set(names["train"]["text"]) & set(names["test"]["text"])) < 150
    assert {"text", "reason", "language", "order", "passage"} == set(names["asked"])
