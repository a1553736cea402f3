"""The measurement of a GPU runs on the CPU, in tiny sizes."""

import subprocess
import sys
from pathlib import Path

import pytest
import storelab

GPU = Path(storelab.__file__).parent / "bench" / "gpu.py"


def table(*args: str) -> list[str]:
    done = subprocess.run([sys.executable, "-P", GPU, "--quick", *args], capture_output=True, text=True, check=True)
    return [line for line in done.stdout.splitlines() if line.startswith("| ")][1:]


def test_a_row_is_measured_on_the_cpu():
    (row,) = table("--rows", "dynamics")
    name, unit, cpu, *_ = row.strip("| ").split(" | ")
    assert (name, unit) == ("dynamics on tensors, 2,000 items x 3 echelons", "item-periods/s")
    assert float(cpu) > 0


@pytest.mark.slow
def test_every_row_is():
    assert len(table()) >= 10
