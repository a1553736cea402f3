"""No file of storelab imports in a circle, and the parts of experiments import one way."""

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest
import storelab

ROOT = Path(storelab.__path__[0])
FOLDERS = [init.parent.name for init in ROOT.glob("*/__init__.py") if init.parent.name != "tests"]
# Part of experiments -> the parts that it may import.
BELOW = {
    "fitting": set(),
    "tasks": {"runs"},  # the hash of the code alone: see below
    "config": {"fitting", "tasks"},
    "runs": {"config"},
    "inputs": {"config", "runs"},
    "choice": set(),
    "experiment": {"choice", "inputs", "config", "runs", "tasks"},
    "reports": {"choice", "experiment", "config", "runs"},
    "extras": set(),
    "completion": set(),
    "sweeps": {"config", "runs"},
    "commands": {
        "completion",
        "experiment",
        "extras",
        "inputs",
        "reports",
        "config",
        "runs",
        "fitting",
        "sweeps",
        "tasks",
    },
    "studies": {"choice", "experiment", "inputs", "reports", "config", "runs", "tasks"},
    "serving": {"experiment", "inputs", "config", "runs"},
    "cli": {"commands", "completion", "extras", "reports", "serving"},
}


def files() -> list[Path]:
    """Return the package's own files."""
    return [*ROOT.glob("*.py"), *(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))]


def executed(tree: ast.AST):
    """Yield the nodes of a module that may run: all but what stands under `if TYPE_CHECKING`."""
    for child in ast.iter_child_nodes(tree):
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            continue
        yield child
        yield from executed(child)


def imports(path: Path, root: Path = ROOT) -> set[Path]:
    """Return the files of the package that a file imports by name, wherever in its code."""
    package, targets = path.relative_to(root).parent.parts, set()
    for node in executed(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            if node.level:
                base = [*package[: len(package) - node.level + 1], *(node.module or "").split(".")]
            elif (node.module or "").partition(".")[0] == "storelab":
                base = node.module.split(".")[1:]
            else:
                continue
            base = [part for part in base if part]
            targets |= {file_of(root, [*base, name.name]) or file_of(root, base) for name in node.names}
        elif isinstance(node, ast.Import):
            names = [name.name.split(".") for name in node.names]
            targets |= {file_of(root, name[1:]) for name in names if name[0] == "storelab"}
    return {target for target in targets if target and target != path}


def file_of(root: Path, parts: list[str]) -> Path | None:
    """Return the file of a module or of a package's `__init__`; None where there is none."""
    place = root.joinpath(*parts)
    return next((file for file in (place.with_suffix(".py"), place / "__init__.py") if file.is_file()), None)


def circle(paths: list[Path], root: Path = ROOT) -> list[str]:
    """Return the files of a circle of imports, each imported by the next; none where there is no circle."""
    try:
        TopologicalSorter({path: imports(path, root) for path in paths}).prepare()
    except CycleError as error:
        return [path.relative_to(root).as_posix() for path in error.args[1]]
    return []


def test_no_circle_of_imports():
    assert circle(files()) == []


def test_a_circle_is_seen(tmp_path):
    """Three files, one import in a function, one of a package's name, one absolute."""
    for name, text in {
        "a/__init__.py": "",
        "a/one.py": "def f():\n    from ..b import two",
        "b/__init__.py": "",
        "b/two.py": "from storelab.a.three import x",
        "a/three.py": "from .one import f\nif TYPE_CHECKING:\n    from ..b import other",
        "b/other.py": "from ..a.three import x",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    paths = list(tmp_path.rglob("*.py"))
    assert set(circle(paths, tmp_path)) == {"a/one.py", "a/three.py", "b/two.py"}
    (tmp_path / "b" / "two.py").write_text("x = 1")
    assert circle(paths, tmp_path) == []


@pytest.mark.parametrize("part", BELOW)
def test_experiments_import_one_way(part):
    here = ROOT / "experiments"
    own = list((here / part).rglob("*.py")) or [here / f"{part}.py"]
    targets = {target for path in own for target in imports(path) if target.is_relative_to(here)}
    parts = {target.relative_to(here).parts[0].removesuffix(".py") for target in targets} - {part, "__init__"}
    assert parts <= BELOW[part]
    if part == "tasks":
        assert {target.name for target in targets if target.parent.name == "runs"} <= {"provenance.py"}


def test_the_order_covers_experiments():
    there = {path.stem for path in (ROOT / "experiments").iterdir() if path.suffix == ".py" or path.is_dir()}
    assert there - {"__init__", "__pycache__"} == set(BELOW)
