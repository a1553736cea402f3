"""What a release has to pass: the sdist and the wheel are built, installed from the wheel, and run from elsewhere.

    python -P bench/release.py            # the light install, its size, the environments and the light examples
    python -P bench/release.py --all      # with every extra; then `storelab demo` as well

It ends with status 1 at the first step that fails. Everything happens in a temporary folder.
"""

import argparse
import os
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
LIGHT, FULL = ("own_heuristic.py",), ("torch_pathwise.py", "sb3_ppo.py", "cleanrl_ppo.py", "pettingzoo_duopoly.py")


def run(what: str, *command: str | Path, cwd: Path) -> None:
    """Run one step, and end the program where it fails."""
    start = time.perf_counter()
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run([*command], cwd=cwd, capture_output=True, text=True, env=environment)
    print(f"{what}: {'done' if done.returncode == 0 else 'FAILED'} in {time.perf_counter() - start:.0f} s", flush=True)
    if done.returncode:
        sys.exit(done.stdout[-2000:] + done.stderr[-4000:])


def size(folder: Path) -> float:
    """Return what a folder takes on disk, in MB."""
    return sum(path.lstat().st_blocks for path in folder.rglob("*")) * 512 / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--all", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        copy, built, venv = folder / "storelab-clone", folder / "built", folder / "venv"
        run("clone", "git", "clone", "-q", ROOT, copy, cwd=folder)
        run("build", sys.executable, "-m", "build", "--outdir", built, copy, cwd=folder)
        (wheel,), (sdist,) = built.glob("*.whl"), built.glob("*.tar.gz")
        with tarfile.open(sdist) as archive:
            names = {Path(*Path(member).parts[1:]).as_posix() for member in archive.getnames()}
        missing = {"pyproject.toml", "README.md", "LICENSE"} - names
        if missing or not any(path.endswith("envs/inventory/model.py") for path in names):
            sys.exit(f"{sdist.name} lacks {sorted(missing) or 'the package'}")
        run("environment", sys.executable, "-m", "venv", venv, cwd=folder)
        extra = "[all]" if options.all else ""
        python, before = venv / "bin" / "python", size(venv)
        install = [python, "-m", "pip", "install", "-q", "-c", copy / "constraints.txt", f"{wheel}{extra}"]
        run(f"install{extra}", *install, cwd=folder)
        print(f"installed: {size(venv) - before:.0f} MB")
        code = "import gymnasium, storelab; print(gymnasium.make('storelab/LostSales-v0').reset(seed=0))"
        run("an environment", python, "-c", code, cwd=folder)
        for example in LIGHT + (FULL if options.all else ()):
            run(example, python, copy / "examples" / example, cwd=folder)
        if options.all:
            run("storelab demo", venv / "bin" / "storelab", "demo", cwd=folder)


if __name__ == "__main__":
    main()
