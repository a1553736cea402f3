"""The documentation's site: it builds, its links lead somewhere, and tables and pages agree with the registry."""

import inspect
import json
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from storelab.envs import TASKS
from storelab.envs.registry import entries, model_of
from storelab.experiments.studies.pages import COMMAND, PAGES, own_environments, written

from .envs.core.test_adapters import VARIANTS

ROOT = Path(__file__).parents[1]
MORE = ("Inventory", {"shelf_life": 3, "backorder_share": 0.5, "forecast": "history", "disruption_probability": 0.1})


class Page(HTMLParser):
    """The targets of a page's links, and the anchors that it has."""

    def __init__(self, path: Path):
        super().__init__()
        self.targets, self.anchors, self.pictures = [], set(), 0
        self.feed(path.read_text())

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.targets += [attrs[name] for name in ("href", "src") if attrs.get(name)]
        self.anchors |= {attrs["id"]} if attrs.get("id") else set()
        self.pictures += tag == "img"


@pytest.mark.parametrize("page", PAGES)
def test_the_tables_of_tasks_are_as_the_registry_has_them(page):
    text = (ROOT / page).read_text()
    assert text == written(page), f"{page} is stale: {COMMAND} writes it anew"
    assert all(f"{task}-{entries()[task].version}`" in text for task in ("LostSales", "RetailPricing", "Serial"))


@pytest.mark.parametrize("environment", own_environments(), ids=lambda environment: environment.name)
def test_an_environments_page_lists_observations_in_the_vectors_order(environment):
    section = inspect.getdoc(model_of(environment)).partition("## Observation space")[2].partition("\n## ")[0]
    lines = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")] or [section]
    listed = [name for line in lines for name in re.findall(r"`(\w+)`", line)]
    tasks = [(name, {}) for name, entry in entries().items() if not entry.data or entry.optional_data]
    for name, changes in (*tasks, ("SyntheticStore", {"data": {"items": 3, "days": 400}}), *VARIANTS, MORE):
        if entries()[name].environment == environment.name:
            layout = TASKS[name](**changes).model().layout
            assert [part for part in listed if part in layout] == list(layout), name


@pytest.mark.slow
def test_the_site_builds_and_its_links_lead_somewhere(tmp_path):
    pytest.importorskip("mkdocs")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=os.environ | {"NO_COLOR": "1"})
    assert built.returncode == 0, built.stderr
    pages = {path: Page(path) for path in tmp_path.rglob("*.html")}
    assert len(pages) >= 26
    checked = 0
    for path, page in pages.items():
        for target in page.targets:
            url = urlsplit(target)
            if url.scheme or url.netloc or path.name == "404.html":
                continue
            there = (path.parent / unquote(url.path)).resolve() if url.path else path
            assert there.exists(), f"{path.name}: {target}"
            anchors = pages[there].anchors if there in pages else {unquote(url.fragment)}
            assert not url.fragment or unquote(url.fragment) in anchors, f"{path.name}: {target}"
            checked += 1
    assert checked > 500
    environments = {path.stem: page for path, page in pages.items() if path.parent.name == "environments"}
    assert sorted(environments) == sorted(environment.name for environment in own_environments())
    assert all(page.pictures for page in environments.values())
    assert "storelab.evaluation.evaluate.evaluate" in pages[tmp_path / "api" / "evaluation.html"].anchors
    for page in (ROOT / "docs").glob("tutorial_*.md"):
        cells = json.loads((tmp_path / f"{page.stem}.ipynb").read_text())["cells"]
        code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
        blocks = re.findall(r"```python\n(.*?)```", page.read_text(), re.S)
        assert {block.strip() for block in blocks} <= set(code), page.stem
    first = pages[tmp_path / "index.html"].targets  # its navigation
    assert {f"environments/{name}.html" for name in environments} | {"pricing_inventory.html"} <= set(first)


def test_what_security_names_is_there():
    """Each promise names tests and trials; a name without a folder is a test of the server's, or at the top."""
    text = (ROOT / "SECURITY.md").read_text()
    tests = set(re.findall(r"`([\w/]*test_\w+\.py)`", text))
    assert len(tests) > 10
    for name in tests:
        assert any((ROOT / place / name).is_file() for place in ("tests", "tests/experiments/serving")), name
    trials = {name for words in re.findall(r"`attack\.py ([a-z_ ]+)`", text) for name in words.split()}
    there = {
        name
        for path in (ROOT / "bench").glob("attack_*.py")
        for name in re.findall(r"@trial\ndef (\w+)", path.read_text())
    }
    assert trials
    assert trials <= there
