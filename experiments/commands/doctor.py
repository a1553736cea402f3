"""`storelab doctor`: what is installed, on which device things run, where files can be written, and what is wrong."""

import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import gymnasium as gym

from ..extras import WHAT, absent
from ..runs.provenance import device, git_commit, versions

NEEDED_DISK = 1.0  # GB


def doctor(args: list[str]) -> int:
    """Print what was found; return 1 where something is wrong, else 0."""
    if args:
        print("usage: storelab doctor\n\nVersions, device, threads, folders, free disk; exits with 1 on trouble.")
        return 0 if args in (["--help"], ["-h"]) else 2
    wrong = []
    print("versions")
    for name, version in versions().items():
        print(f"  {name:20} {version}")
    print(f"  {'git commit':20} {git_commit() or 'not in a git checkout'}")
    print("device")
    for name, value in device().items():
        print(f"  {name:20} {value}")
    print("folders")
    for folder in (Path("runs"), Path(tempfile.gettempdir())):
        _check(f"{folder} is writable", lambda folder=folder: _writable(folder), wrong)
        _check(f"{folder} has room", lambda folder=folder: _room(folder), wrong)
    print("checks")
    _check("an environment runs", _environment, wrong)
    if "not installed" not in versions()["torch"]:
        _check("torch computes", _torch, wrong)
    if lacking := absent():
        print("not installed")
        for extra, names in lacking.items():
            print(f"  {', '.join(names)}\n    for {WHAT.get(extra, extra)} (pip install 'storelab[{extra}]')")
    well = f"what is installed is well; {len(lacking)} extras are not complete" if lacking else "all is well"
    print(f"{len(wrong)} of these are wrong: {', '.join(wrong)}" if wrong else well)
    return 1 if wrong else 0


def _check(name: str, check: Callable[[], str], wrong: list[str]) -> None:
    try:
        print(f"  {name:36} {check()}")
    except Exception as error:  # a doctor reports whatever it finds
        print(f"  {name:36} WRONG: {error}")
        wrong.append(name)


def _writable(folder: Path) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=folder) as file:
        file.write(b"storelab")
        file.flush()
    return str(folder.resolve())


def _room(folder: Path) -> str:
    free = shutil.disk_usage(folder).free / 1e9
    if free < NEEDED_DISK:
        raise OSError(f"{free:.2f} GB free, {NEEDED_DISK:g} GB needed")
    return f"{free:,.0f} GB free"


def _environment() -> str:
    env = gym.make_vec("storelab/LostSales-v0", num_envs=64)
    env.reset(seed=0)
    started = time.perf_counter()
    for _ in range(200):
        env.step(env.action_space.sample())
    return f"{64 * 200 / (time.perf_counter() - started):,.0f} steps/s"


def _torch() -> str:
    import torch

    where = "cuda" if torch.cuda.is_available() else "cpu"
    matrix = torch.eye(64, device=where) * 2
    if float((matrix @ matrix).sum()) != 256.0:
        raise ArithmeticError(f"a matrix product on {where} is wrong")
    return f"on {where}"
