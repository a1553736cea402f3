"""The house: what imports what, what `import storelab` loads, and that the packages listed are the folders there."""

import ast
import doctest
import glob
import subprocess
import sys
import tomllib
from importlib import import_module
from pathlib import Path

import gymnasium as gym
import pytest
import storelab
from storelab.experiments.tasks import TASKS

ROOT = Path(storelab.__file__).parent
ALLOWED = {
    "data": set(),
    "envs": set(),
    "learning": {"data"},
    "forecasting": {"data", "learning"},
    "recommendation": {"data", "learning"},
    "language": {"data", "learning"},
    "risk": {"data", "learning"},
    "agents": {"envs"},
    "evaluation": {"envs"},
    "conf": set(),
    "experiments": {
        *("data", "learning", "forecasting", "recommendation", "language", "risk"),
        *("envs", "agents", "evaluation", "conf"),
    },
}


def imported_folders(path: Path) -> set[str]:
    """Return the top folders of storelab that a module imports, wherever in its code."""
    package = path.relative_to(ROOT).parent.parts
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = package[: len(package) - node.level + 1]
            names = (node.module or "").split(".") if node.module else []
            target = [*base, *names] or [alias.name for alias in node.names]
            found.add(target[0])
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module.split(".")[1]} if node.module.startswith("storelab.") else set()
        elif isinstance(node, ast.Import):
            found |= {a.name.split(".")[1] for a in node.names if a.name.startswith("storelab.")}
    return found


@pytest.mark.parametrize("folder", ALLOWED)
def test_imports_run_one_way(folder):
    for path in (ROOT / folder).rglob("*.py"):
        foreign = {name for name in imported_folders(path) if name in ALLOWED} - {folder}
        assert foreign <= ALLOWED[folder], f"{path.relative_to(ROOT)} imports {foreign - ALLOWED[folder]}"


def test_the_import_test_sees_what_is_there():
    assert "envs" in imported_folders(ROOT / "evaluation" / "evaluate.py")
    assert "data" in imported_folders(ROOT / "experiments" / "tasks.py")


def test_import_is_light():
    code = (
        "import sys, storelab, storelab.envs, gymnasium; gymnasium.make('storelab/LostSales-v0').reset(seed=0);"
        "print([m for m in ('torch','transformers','stable_baselines3','hydra','omegaconf','matplotlib','scipy')"
        " if m in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_packages_are_the_folders():
    listed = set(tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"])
    hidden = ("tests", "bench", "build", "runs", "docs")
    found = {"storelab"}
    for init in ROOT.rglob("__init__.py"):
        parts = init.parent.relative_to(ROOT).parts
        if parts and parts[0] not in hidden and not parts[0].startswith("."):
            found.add(".".join(["storelab", *parts]))
    assert listed == found


def test_the_wheel_takes_all_files_of_the_packages():
    """Every tracked file of a package's folder is a module of a listed package or matches its package-data."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    taken = set()
    for name in settings["packages"]:
        folder = "/".join(name.split(".")[1:])
        patterns = ["*.py", *settings["package-data"].get(name, [])]
        found = [glob.glob(pattern, root_dir=ROOT / folder, recursive=True) for pattern in patterns]
        taken |= {Path(folder, file) for files in found for file in files}
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    if listing.returncode:
        pytest.skip("not a git checkout")
    tracked = [Path(name) for name in listing.stdout.split("\0") if name]
    inside = {path for path in tracked if path.parts[0] in ALLOWED} | {Path("py.typed"), Path("__init__.py")}
    assert Path("forecasting/checkpoints/small/model.safetensors") in inside
    assert sorted(map(str, inside - taken)) == []


def test_no_hydra_instantiate_and_no_pickle():
    forbidden = ("hydra.utils.instantiate", "_target_", "import pickle", "allow_pickle=True", "weights_only=False")
    for folder in ALLOWED:
        for path in (*(ROOT / folder).rglob("*.py"), *(ROOT / folder).rglob("*.yaml")):
            text = path.read_text()
            assert not [word for word in forbidden if word in text], path


def test_registered_ids():
    ours = {name for name in gym.registry if name.startswith("storelab/")}
    assert ours == {f"storelab/{name}-v0" for name in TASKS}


@pytest.mark.parametrize(
    "page", ["inventory", "pricing", "duopoly", "dispatch", "supply_chain", "network", "marketplace"]
)
def test_the_environments_page_runs(page):
    result = doctest.testmod(import_module(f"storelab.envs.{page}"))
    assert result.attempted >= {"network": 3, "dispatch": 5, "marketplace": 5}.get(page, 6)
    assert result.failed == 0
