"""The house: what imports what, what the environments load, and what no file may hold."""

import ast
import doctest
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import gymnasium as gym
import pytest
import storelab
from storelab.envs import TASKS
from storelab.envs.registry import environments

ROOT = Path(storelab.__path__[0])
ALLOWED = {
    "data": set(),
    "envs": set(),
    "learning": {"data"},
    "forecasting": {"data", "learning"},
    "recommendation": {"data", "learning"},
    "language": {"data", "learning"},
    "risk": {"data", "learning"},
    "customers": {"data", "learning"},
    "agents": {"envs"},
    "evaluation": {"envs"},
    "conf": set(),
    "experiments": {
        *("data", "learning", "forecasting", "recommendation", "language", "risk", "customers"),
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
    assert "data" in imported_folders(ROOT / "experiments" / "tasks" / "stores.py")


def test_import_is_light():
    code = (
        "import sys, storelab, storelab.envs, gymnasium; gymnasium.make('storelab/LostSales-v0').reset(seed=0);"
        "print([m for m in ('torch','transformers','stable_baselines3','hydra','omegaconf','matplotlib','scipy')"
        " if m in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_the_rules_and_the_lazy_names_cover_the_folders():
    assert {init.parent.name for init in ROOT.glob("*/__init__.py")} == set(ALLOWED)
    assert set(storelab.__all__) == set(ALLOWED) - {"conf"}


def test_no_hydra_instantiate_and_no_pickle():
    forbidden = ("hydra.utils.instantiate", "_target_", "import pickle", "allow_pickle=True", "weights_only=False")
    for folder in ALLOWED:
        for path in (*(ROOT / folder).rglob("*.py"), *(ROOT / folder).rglob("*.yaml")):
            text = path.read_text()
            if path.name != "guard.py":  # which names what it refuses
                assert not [word for word in forbidden if word in text], path


def test_registered_ids():
    ours = {name for name in gym.registry if name.startswith("storelab/")}
    assert ours == {f"storelab/{name}-v0" if name[-3:-1] != "-v" else f"storelab/{name}" for name in TASKS}


@pytest.mark.parametrize("name", environments())
def test_the_environments_page_runs(name):
    environment = environments()[name]
    module = f"{environment.package}.{environment.model.partition(':')[0]}"
    result = doctest.testmod(import_module(module))
    assert result.attempted >= 3
    assert result.failed == 0
