"""README and docs: their Python runs, their commands are understood, their links lead somewhere."""

import re
import shlex
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
from hydra import compose, initialize_config_module
from hydra.core.override_parser.overrides_parser import OverridesParser
from storelab.experiments.cli import COMMANDS, CONTESTS, HYDRA
from storelab.experiments.commands import own
from storelab.experiments.commands.compose import config_of
from storelab.experiments.config.options import register

ROOT = Path(__file__).parents[1]
PAGES = [
    *(ROOT / f"{name}.md" for name in ("README", "SECURITY", "CHANGELOG", "CONTRIBUTING")),
    *sorted((ROOT / "docs").glob("*.md")),
]
EXAMPLES = {page: re.findall(r"```python\n(.*?)```", page.read_text(), re.S) for page in PAGES}
LONG = {"forecasting", "pathwise", "risk", "supply_chain"}
ELSEWHERE = {
    "dispatch",
    "language",
    "marketplace",
    "marketplace_models",
    "pricing",
    "recommendation",
    "vn2",
}  # by folder
PLUG_IN = "tutorial_add_environment"  # by test_plugins.py, as it needs the example package


def commands(page: Path) -> list[list[str]]:
    """The words after `storelab` of a page's commands."""
    lines = re.findall(r"^(?:    )?\$ (?:\w+=\S+ )*storelab ((?:.*\\\n)*.*)$", page.read_text(), re.M)
    if page.name == "README.md":
        lines += re.findall(r"`storelab ([^`]+)`", page.read_text())
    return [shlex.split(line.replace("\\\n", " "), comments=True) for line in lines]


@pytest.mark.parametrize(
    "page",
    [
        pytest.param(page, id=page.stem, marks=[pytest.mark.slow] if page.stem in LONG else [])
        for page in PAGES
        if EXAMPLES[page] and page.stem not in {*ELSEWHERE, PLUG_IN}
    ],
)
def test_examples_run(page, tmp_path):
    """A page's blocks one after another, as a reader would run them."""
    code = "\n".join(EXAMPLES[page])
    done = subprocess.run(
        [sys.executable, "-P", "-W", "error", "-c", code], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() or "print" not in code


@pytest.mark.slow
@pytest.mark.parametrize(
    "page", [page for page in PAGES if commands(page) and page.stem != PLUG_IN], ids=lambda page: page.stem
)
def test_commands_are_understood(page):
    """Each command exists and its config composes: groups, options and keys are there. Of a sweep: the first job."""
    for command, *words in commands(page):
        assert command in COMMANDS or command.startswith("-"), command
        if words and words[0] in CONTESTS:
            import_module(f"storelab.experiments.commands.{words[0]}").settings(words[1:])
            continue
        words = own.take(words)[1] if command in own.COMMANDS else words
        command, words = config_of(command, words)
        overrides = [word for word in words if "=" in word and not word.startswith(("-", "hydra"))]
        if command not in HYDRA or any(word.startswith("--") and "=" in word for word in words):
            continue
        jobs = []
        for override in OverridesParser.create().parse_overrides(overrides):
            first = next(override.sweep_string_iterator()) if override.is_sweep_override() else None
            jobs.append(f"{override.get_key_element()}={first}" if first else override.input_line)
        register(command=command)
        with initialize_config_module("storelab.conf", version_base="1.3"):
            compose(command, jobs)


def test_the_commands_are_found():
    assert sum(len(commands(page)) for page in PAGES) > 60
    assert ["train", "seed=0,1,2", "agent=ppo,a2c", "--multirun"] in commands(ROOT / "README.md")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files(page):
    for target in re.findall(r"\]\(([\w./-]+\.\w+)(?:#[^)]*)?\)", page.read_text()):
        assert (page.parent / target).exists(), f"{page.name}: {target}"


@pytest.mark.parametrize("page", [page for page in PAGES if page.name != "CHANGELOG.md"], ids=lambda page: page.name)
def test_files_that_are_named_are_there(page):
    """Tests, benchmarks and modules, from the root of the repository."""
    folders = "agents|bench|conf|customers|data|envs|experiments|forecasting|language|recommendation|risk|tests"
    for name in re.findall(rf"(?<![\w/.])((?:{folders})/[\w/]+\.(?:py|yaml))", page.read_text()):
        assert (ROOT / name).exists() or (page.name == "SECURITY.md" and (ROOT / "tests" / name).exists()), name


def test_the_two_commands_are_the_makefiles():
    readme, rules = (ROOT / "README.md").read_text(), (ROOT / "Makefile").read_text()
    for target in ("demo", "test", "bench", "slow", "hostile"):
        assert f"make {target}" in readme, target
        assert re.search(rf"^{target}:", rules, re.M), target
    assert "make test" in (ROOT / ".ci" / "run").read_text()


def test_the_readme_is_short_and_shows_what_its_code_prints():
    readme = (ROOT / "README.md").read_text()
    assert len(readme.split()) < 900
    code, shown = re.findall(r"```(?:python|text)\n(.*?)```", readme, re.S)
    printed = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True).stdout
    assert [line.split() for line in printed.splitlines()] == [line.split() for line in shown.splitlines()]
