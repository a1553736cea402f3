"""The parts of a report: pages, tables and figures as HTML that needs nothing else; tables for a terminal."""

from html import escape
from textwrap import wrap

from matplotlib.figure import Figure

from . import plots

LONG = 40  # characters: a cell of more is broken into lines
CSS = """
body { font: 15px/1.5 system-ui, sans-serif; color: #222; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2.2rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; width: 100%; }
th, td { text-align: right; padding: .3rem .6rem; border-bottom: 1px solid #ddd; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; } td.text { white-space: normal; min-width: 14rem; }
tr.agent { font-weight: 600; background: #eef4fb; }
th { border-bottom: 2px solid #888; vertical-align: bottom; white-space: normal; }
pre { background: #f6f6f6; padding: .8rem; overflow-x: auto; font-size: 13px; } .scroll { overflow-x: auto; }
p.note, figcaption { color: #555; font-size: 14px; } figure { margin: 1rem 0; } svg { max-width: 100%; height: auto; }
"""


def aligned(shown: list[tuple[str, list[str]]]) -> list[str]:
    """The lines of headed columns of text."""
    blocks = []
    for place, (head, values) in enumerate(shown):
        width = max(9, *map(len, values))
        lines = wrap(head, width)
        align = str.ljust if place == 0 else str.rjust
        blocks.append([align(text, width) for text in [*[""] * (6 - len(lines)), *lines, "-" * width, *values]])
    rows = ("  ".join(row) for row in zip(*blocks, strict=True))
    return [row for row in rows if row.strip()]


def page(title: str, body: list[str]) -> str:
    """A whole HTML page."""
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head><meta charset="utf-8"><title>{escape(title)}</title>'
        f"<style>{CSS}</style></head>\n<body>\n{chr(10).join(body)}\n</body>\n</html>\n"
    )


def html_table(shown: list[tuple[str, list[str]]], agent: str | None = None) -> str:
    """Headed columns of text as a table; the row that is named `agent` stands out."""
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name, _ in shown)
    rows = []
    for k, name in enumerate(shown[0][1]):
        cells = "".join(_cell(values[k]) for _, values in shown)
        rows.append(f"<tr{' class=' + chr(34) + 'agent' + chr(34) if name == agent else ''}>{cells}</tr>")
    body = "\n".join(rows)
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>\n{body}\n</tbody></table></div>'


def _cell(text: str) -> str:
    return f"<td{' class=text' if len(text) > LONG else ''}>{escape(text)}</td>"


def figure(drawn: Figure, caption: str) -> str:
    """A figure with its caption."""
    return f"<figure>{plots.svg(drawn)}<figcaption>{escape(caption)}</figcaption></figure>"
