"""The example of docs/risk.md runs, on fewer customers."""

import re
from pathlib import Path

import storelab
from storelab.risk import FEATURES
from storelab.risk.features import STORE


def test_the_example_runs():
    text = (Path(storelab.__file__).parent / "docs" / "risk.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    names = {}
    exec(
        code.replace("customers=1000", "customers=300").replace("epochs=2", "epochs=1, width=8").replace("2000", "200"),
        names,
    )
    assert len(FEATURES) == 52
    assert names["table"].shape[1] == len(STORE.names) == 91
    assert 0 < names["chance"] < 1
    assert bool(names["review"]) in (True, False)
