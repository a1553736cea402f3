"""The documentation's site: it builds without a warning, and every link and picture of it leads somewhere."""

import os
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

pytest.importorskip("mkdocs")
ROOT = Path(__file__).parents[1]


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


@pytest.mark.slow
def test_the_site_builds_and_its_links_lead_somewhere(tmp_path):
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
    environments = [page for path, page in pages.items() if path.parent.name == "environments"]
    assert len(environments) == 6
    assert all(page.pictures for page in environments)
