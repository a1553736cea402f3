"""The example of docs/pricing.md runs."""

import re
from pathlib import Path

import storelab


def test_the_example_runs():
    text = (Path(storelab.__file__).parent / "docs" / "pricing.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    names = {}
    exec(code, names)
    assert set(names["episodes"]["policy"]) == {"fixed_price", "resolved_fluid", "thompson"}
