"""The package: what its wheel holds, what `import storelab` loads, and that type checkers see it from elsewhere."""

import json
import re
import shutil
import subprocess
import sys
import zipfile
from importlib.util import find_spec
from pathlib import Path

import pytest
import storelab

ROOT = Path(__file__).parents[1]


def python(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def test_the_wheel_holds_the_files_of_the_packages_and_no_others(tmp_path):
    listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listing = subprocess.run(listing, cwd=ROOT, capture_output=True, text=True)
    if listing.returncode:
        pytest.skip("not a git checkout")
    files = [path for path in map(Path, filter(None, listing.stdout.split("\0"))) if (ROOT / path).exists()]
    for path in files:  # a clean copy: what an earlier build left in the checkout has no say
        (tmp_path / "copy" / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / path, tmp_path / "copy" / path, follow_symlinks=False)
    build = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", tmp_path]
    subprocess.run([*build, tmp_path / "copy"], check=True)
    (wheel,) = tmp_path.glob("*.whl")
    held = {Path(name) for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}

    folders = {path.parts[0] for path in files if path.parts[1:] == ("__init__.py",)}
    modules = {path for path in files if path.parent == Path() and (path.suffix == ".py" or path.name == "py.typed")}
    assert not folders & {"tests", "bench", "docs", "src"}
    assert held == {Path("storelab", path) for path in {path for path in files if path.parts[0] in folders} | modules}
    assert Path("storelab/forecasting/checkpoints/small/model.safetensors") in held


def test_a_bare_import_loads_no_package_but_gymnasiums():
    code = (
        "import sys, gymnasium; before = set(sys.modules); import storelab;"
        "print(sorted({m.partition('.')[0] for m in set(sys.modules) - before} - sys.stdlib_module_names))"
    )
    expected = ["pettingzoo", "storelab"] if find_spec("pettingzoo") else ["storelab"]  # light: it has a registry too
    assert python(code) == str(expected)


def test_subpackages_load_when_they_are_named():
    code = (
        "import pydoc, sys, storelab; assert set(storelab.__all__) <= set(dir(storelab)), dir(storelab);"
        "print('class Inventory' in pydoc.render_doc(storelab.envs.Inventory, renderer=pydoc.plaintext),"
        "storelab.agents.tune.__name__, hasattr(storelab, 'shop'),"
        "[m for m in ('torch','transformers','stable_baselines3','hydra','omegaconf','matplotlib','scipy')"
        " if m in sys.modules])"
    )
    assert python(code) == "True tune False []"


def test_a_checkouts_modules_are_loaded_once_and_from_their_own_paths():
    code = "import storelab; print(storelab.data.__file__, storelab.data.__spec__.origin)"
    assert {Path(path) for path in python(code).split()} == {Path(storelab.__path__[0], "data", "__init__.py")}
    assert Path(storelab.__path__[0]).resolve() == Path(storelab.__path__[0])


@pytest.mark.slow  # a time, which the parallel tests would lengthen
def test_a_bare_import_takes_less_than_0_3_seconds():
    code = "import time; start = time.perf_counter(); import storelab; print(time.perf_counter() - start)"
    assert min(float(python(code)) for _ in range(5)) < 0.3


def test_type_checkers_see_every_module_and_accept_the_tutorials(tmp_path):
    """From a folder outside the checkout, with the environment's Python alone, as an editor would."""
    root = Path(storelab.__path__[0])
    modules = [path.relative_to(root) for init in root.glob("*/__init__.py") for path in init.parent.rglob("*.py")]
    names = sorted({".".join(["storelab", *path.with_suffix("").parts]).removesuffix(".__init__") for path in modules})
    script = [f"import {name}" for name in names] + ["model: storelab.envs.Inventory"]
    (tmp_path / "modules.py").write_text("\n".join(script))
    for page in (ROOT / "docs").glob("tutorial_*.md"):
        blocks = re.findall(r"```python\n(.*?)```", page.read_text(), re.S)
        (tmp_path / f"{page.stem}.py").write_text("\n".join(blocks))
    (tmp_path / "pyrightconfig.json").write_text(json.dumps({"typeCheckingMode": "basic"}))
    checker = [sys.executable, "-m", "basedpyright", "--pythonpath", sys.executable, "-p", tmp_path]
    done = subprocess.run(checker, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
