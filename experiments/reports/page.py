"""The parts of a report: pages, sections, tables and figures as HTML that needs nothing else; tables for a terminal.

A page is a list of pieces of HTML, mostly `section`s. Names, configs and errors come in as text and are escaped here.
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
from html import escape
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING
from urllib.parse import quote

import yaml

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LONG = 40  # characters: a cell of more is broken into lines
CSS = Path(__file__).with_name("page.css").read_text()
SCRIPT = "".join(Path(__file__).with_name(name).read_text() for name in ("viewer.js", "player.js"))
# No browser fetches or runs what the page does not have itself, whatever stands in a name.
POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; media-src data:; "
    f"script-src 'sha256-{base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()}'"
)


class Link(str):
    """A cell's text that leads to a page: `href`, relative to the report's folder."""

    href: str

    @classmethod
    def to(cls, text: str, path: Path, folder: Path) -> str:
        """Return the text as a link from a page in a folder to a file, or as it is where the file is not there."""
        return cls(text, quote(os.path.relpath(path, folder.absolute()))) if path.is_file() else text

    def __new__(cls, text: str, href: str) -> Link:
        """Return the text with its address."""
        link = super().__new__(cls, text)
        link.href = href
        return link


def bracket(low: float | None, high: float | None, form: str, head: str = " ") -> str:
    """An interval as text, after `head`; nothing where there is none (None or NaN)."""
    known = low is not None and high is not None and low == low and high == high
    return f"{head}[{low:{form}}, {high:{form}}]" if known else ""


def aligned(shown: list[tuple[str, list[str]]]) -> list[str]:
    """The lines of headed columns of text."""
    blocks = []
    for place, (head, values) in enumerate(shown):
        width = max(9, *map(len, head.split()), *map(len, values))  # no word is broken
        lines = wrap(head, width)
        align = str.ljust if place == 0 else str.rjust
        blocks.append([align(text, width) for text in [*[""] * (6 - len(lines)), *lines, "-" * width, *values]])
    rows = ("  ".join(row) for row in zip(*blocks, strict=True))
    return [row for row in rows if row.strip()]


def page(title: str, body: list[str]) -> str:
    """A whole HTML page; the sections' heads stand as links on top where there are some."""
    heads = re.findall(r'<section id="([^"]*)"><h2>(.*?)</h2>', "".join(body))
    links = "".join(f'<a href="#{key}">{head}</a> ' for key, head in heads)
    body = [body[0], f"<nav>{links}</nav>", *body[1:]] if len(heads) > 2 else body
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{CSS}</style></head>\n"
        f"<body>\n{chr(10).join(body)}\n<script>{SCRIPT}</script></body>\n</html>\n"
    )


def section(head: str, *pieces: str) -> str:
    """A part of a page under its head (text), of pieces of HTML."""
    key = re.sub(r"[^a-z0-9]+", "-", head.lower()).strip("-")
    return f'<section id="{key}"><h2>{escape(head)}</h2>\n{chr(10).join(pieces)}</section>'


def note(text: str) -> str:
    """A remark in small print."""
    return f'<p class="note">{escape(text)}</p>'


def listing(head: str, value) -> str:
    """A section with plain types as they are, such as a config."""
    text = yaml.safe_dump(value, sort_keys=False, allow_unicode=True, default_flow_style=None, width=100)
    return section(head, f"<pre>{escape(text)}</pre>")


def html_table(shown: list[tuple[str, list[str]]], *compared: str, known: tuple[str, ...] = ()) -> str:
    """Headed columns of text as a table in a box that scrolls, the first column staying in sight.

    Rows that are named `compared` stand out; rows of `known` are what the others are measured against.
    """
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name, _ in shown)
    rows = []
    for k, name in enumerate(shown[0][1]):
        cells = "".join(_cell(values[k]) for _, values in shown)
        kind = ' class="agent"' if name in compared else ' class="known"' if name in known else ""
        rows.append(f"<tr{kind}>{cells}</tr>")
    body = "\n".join(rows)
    return (
        '<div class="scroll" tabindex="0" role="region" aria-label="table">'
        f"<table><thead><tr>{head}</tr></thead><tbody>\n{body}\n</tbody></table></div>"
    )


def _cell(text: str) -> str:
    words = f'<a href="{escape(text.href)}">{escape(text)}</a>' if isinstance(text, Link) else escape(text)
    return f"<td{' class=text' if len(text) > LONG else ''}>{words}</td>"


def picture(element: str, caption: str = "") -> str:
    """An image or a video (HTML) in a box that scrolls where the page is narrow, with its caption."""
    words = f"<figcaption>{escape(caption)}</figcaption>" if caption else ""
    return f'<figure><div class="scroll" tabindex="0">{element}</div>{words}</figure>'


def figure(drawn: Figure, caption: str) -> str:
    """A figure with its caption."""
    from .interactive import plot  # which imports matplotlib

    return f"<figure>{plot(drawn)}<figcaption>{escape(caption)}</figcaption></figure>"
