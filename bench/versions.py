"""The tests under other versions of Python and of the dependencies: what pyproject.toml promises.

    python -P bench/versions.py                                      # the pinned versions, this Python
    python -P bench/versions.py --python 3.13                        # another Python, one that is installed here
    python -P bench/versions.py --resolution lowest-direct           # the lowest versions that pyproject.toml allows
    python -P bench/versions.py --resolution highest -- tests/envs   # the newest ones; what follows -- is pytest's

uv (`pip install uv`) makes the environment in a temporary folder, with every extra: several GB where torch comes with
CUDA. It ends with pytest's status.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
SHOWN = ("gymnasium", "numpy", "pandas", "torch", "stable-baselines3", "transformers", "hydra-core", "scipy", "pyarrow")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", default=f"{sys.version_info[0]}.{sys.version_info[1]}")
    parser.add_argument("--resolution", choices=("pinned", "lowest-direct", "highest"), default="pinned")
    parser.add_argument("tests", nargs="*", default=[], help="arguments of pytest")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        python = Path(folder) / "bin" / "python"
        how = ["-c", "constraints.txt"] if options.resolution == "pinned" else ["--resolution", options.resolution]
        subprocess.run(["uv", "venv", "-q", "-p", options.python, folder], check=True)
        install = ["uv", "pip", "install", "-q", "-p", python, *how, "-e", ".[all,dev]"]
        subprocess.run(install, cwd=ROOT, check=True)
        code = f"from importlib.metadata import version; print(*(f'{{n}} {{version(n)}}' for n in {SHOWN}), sep=', ')"
        subprocess.run([python, "-c", f"import sys; print('Python', sys.version.split()[0]); {code}"], check=True)
        tests = [python, "-m", "pytest", "-m", "not slow", "-n", "2", "--dist", "loadfile", *options.tests]
        return subprocess.run(tests, cwd=ROOT, env=os.environ | {"OMP_NUM_THREADS": "1"}).returncode


if __name__ == "__main__":
    sys.exit(main())
