"""The parts of a page: tables that keep their columns, names that stay text, figures with the numbers they show."""

import base64
import hashlib
import json
import re
import shutil
import subprocess
from html import escape, unescape
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib import rc_context
from matplotlib.figure import Figure
from storelab.experiments.reports import plots, sweep_plots
from storelab.experiments.reports.interactive import STYLE, band, named, numbers_of, plot, svg
from storelab.experiments.reports.page import CSS, Link, aligned, figure, html_table, listing, note, page, section

TRICKY = ["<b>bold</b>", "$x^2$", "$\\frac{1}", "a & b", "_hidden", 'say "so"', "50 %", "</svg><script>x()</script>"]
WIDE = [("policy", ["a_policy_with_a_long_name", "PPO"])] + [
    (f"column {k}", ["1.00 [0.00, 2.00]"] * 2) for k in range(12)
]


def drawn(names) -> Figure:
    """Two axes on the same periods: a line, a level and a band; bars."""
    with rc_context(STYLE):
        made = Figure(figsize=(8, 4))
        above, below = made.subplots(2, sharex=True)
        above.plot([0, 1, 2, 3], [1.0, 4.0, np.nan, 2.0], "o-", label=named(names[0]))
        above.axhline(3.0, label="level")
        band(above, [0, 1, 2, 3], [0.0] * 4, [5.0] * 4, alpha=0.2, label="from low to high")
        below.bar([0, 1, 2, 3], [3, 2, 1, 0], label=names[-1])
        below.set_xlabel("period")
        above.set_title(names[0])
        above.legend()
        return made


def whole(names=("PPO", "sold")) -> str:
    """A page with all kinds of parts."""
    parts = [
        section("Results", note("a note"), html_table(WIDE, "PPO")),
        section("Figures", figure(drawn(names), "Two")),
    ]
    return page("A title", ["<h1>A title</h1>", *parts, listing("Configuration", {"name": names[0]})])


def test_a_page_has_all_that_it_needs(self_contained):
    text = whole()
    self_contained(text)
    (script,) = re.findall(r"<script>(.*?)</script>", text, flags=re.S)
    (allowed,) = re.findall(r"script-src 'sha256-([^']*)'", text)
    assert allowed == base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert re.findall(r"<nav>(.*?)</nav>", text)[0].count("<a href=") == 3
    assert len(text) < 100_000


def test_a_table_keeps_its_columns():
    """Its box scrolls, its first column stays, and no rule cuts anything off."""
    assert html_table(WIDE).startswith('<div class="scroll" tabindex="0"')
    assert re.search(r"\.scroll \{[^}]*overflow-x: auto", CSS)
    assert re.search(r"td:first-child \{[^}]*position: sticky; left: 0", CSS)
    assert not re.search(r"overflow(-x)?: (hidden|clip)|text-overflow", CSS)


@pytest.mark.parametrize("name", TRICKY)
def test_names_stay_text(name):
    """In a table, a head, a config, a link, and in a figure's title, legend and numbers."""
    text = whole((name, "sold"))
    table = html_table([(name, [name, Link(name, f"a/{name}")])]) + section(name, note(name))
    assert table.count(escape(name)) >= 5
    assert "<b>" not in table + text
    assert text.count("<script") == 1
    words = [text.strip() for text in ElementTree.fromstring(svg(drawn([name]))).itertext()]
    assert [word.strip("\u200b") for word in words].count(name) == 2
    told = json.loads(unescape(re.findall(r'data-axes="([^"]*)"', plot(drawn([name])))[0]))
    assert told[0]["series"][0]["name"] == name


@settings(max_examples=20, deadline=None)
@given(st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1, max_size=12))
def test_any_name_can_be_drawn(name):
    words = [text.strip() for text in ElementTree.fromstring(svg(drawn([name]))).itertext()]
    assert name in words


def test_a_terminal_shows_links_as_text():
    assert aligned([("run", [Link("abc", "abc/report.html")])])[-1].strip() == "abc"


def test_a_figure_tells_its_numbers():
    made = drawn(["PPO", "sold"])
    svg(made)
    above, below = numbers_of(made)
    line, level, area = above["series"]
    assert (line["name"], line["x"], line["y"]) == ("PPO", [0, 1, 2, 3], [1, 4, None, 2])
    assert (level["across"], level["y"]) == (True, [3, 3])
    assert (area["y"], area["top"]) == ([0] * 4, [5] * 4)
    assert (below["series"][0]["name"], below["series"][0]["y"]) == ("sold", [3, 2, 1, 0])
    assert above["x"]["shared"] == below["x"]["shared"] == [0, 1]
    assert (above["y"]["shared"], below["y"]["shared"]) == ([0], [1])
    assert below["x"]["label"] == "period"


def test_dates_shares_and_names_are_told_as_such():
    made = Figure()
    dates, bars, ticks = made.subplots(3)
    days = pd.date_range("2026-03-01", periods=3)
    dates.plot(days, [0.1, 0.2, 0.3], label="share")
    dates.yaxis.set_major_formatter(lambda y, _: f"{y:.0%}")
    bars.barh(["price", "stock"], [2.0, -1.0], label="units")
    ticks.plot([0, 1], [5, 6], label="score")
    ticks.set_xticks([0, 1], ["0.9", "0.99"])
    svg(made)
    first, second, third = numbers_of(made)
    assert (first["x"]["kind"], first["y"]["kind"], second["x"]["kind"]) == ("date", "percent", "number")
    assert first["series"][0]["x"] == [(day - pd.Timestamp(0)).days for day in days]
    assert second["y"]["names"] == {"0": "price", "1": "stock"}
    assert (second["series"][0]["flat"], second["series"][0]["x"]) == (True, [2, -1])
    assert third["x"]["names"] == {"0": "0.9", "1": "0.99"}


def test_a_log_scale_is_told_in_powers():
    made = Figure()
    axis = made.subplots()
    axis.semilogx([0.001, 0.0, 10], [1, 2, 3], label="loss")
    svg(made)
    (told,) = numbers_of(made)
    assert (told["x"]["kind"], told["series"][0]["x"], told["series"][0]["y"]) == ("log", [-3, None, 1], [1, 2, 3])


def test_a_scale_that_is_neither_linear_nor_log_has_a_picture_alone():
    made = Figure()
    axis = made.subplots()
    axis.plot([1, 2], [1, 100], label="loss")
    axis.set_yscale("symlog")
    assert "<svg" in plot(made)
    assert numbers_of(made)[0] | {"x": 0, "y": 0} == {"x": 0, "y": 0, "equal": False, "series": [], "linear": False}


BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FRAME = """<!DOCTYPE html><body>
<iframe id="page" style="border:0;width:{width}px;height:900px" srcdoc="{text}"></iframe><pre id="told"></pre><script>
const frame = document.getElementById("page");
frame.onload = () => {{
  const page = frame.contentDocument, told = {{ width: page.documentElement.scrollWidth }};
  const plot = page.querySelector(".plot"), svg = plot.querySelector("svg"), {{ PointerEvent }} = frame.contentWindow;
  const overflow = (box) => [box.scrollWidth > box.clientWidth, getComputedStyle(box).overflowX];
  told.boxes = [...page.querySelectorAll(".scroll")].map(overflow);
  svg.scrollIntoView();
  const box = page.querySelector("#frame_1 path").getBoundingClientRect();
  const send = (type, x, y) => svg.dispatchEvent(new PointerEvent(type, {{
    bubbles: true, pointerType: "mouse", clientX: box.x + x * box.width, clientY: box.y + y * box.height }}));
  const line = () => page.querySelector("#axes_1 > [id^=line2d] > path").getAttribute("d");
  const seen = (node) => node.getClientRects().length;
  const ticks = () => [...page.querySelectorAll("#axes_2 text")].filter(seen).map((node) => node.textContent);
  send("pointermove", 0.35, 0.5), told.tip = plot.querySelector(".tip").innerText;
  told.before = line(), told.ticks = ticks();
  send("pointerdown", 0.2, 0.1), send("pointermove", 0.6, 0.8), send("pointerup", 0.6, 0.8);
  told.zoomed = line(), told.finer = ticks();
  svg.dispatchEvent(new PointerEvent("dblclick", {{ bubbles: true }})), told.after = line();
  document.getElementById("told").textContent = JSON.stringify(told);
}};
</script></body>"""


@pytest.mark.slow
@pytest.mark.skipif(BROWSER is None, reason="needs Chromium")
@pytest.mark.parametrize("width", [390, 1280])
def test_in_a_browser(width, tmp_path):
    """No page wider than the window, boxes that scroll, numbers under the pointer, a zoom with its ticks, and back."""
    (tmp_path / "frame.html").write_text(FRAME.format(width=width, text=escape(whole())))
    command = [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path}"]
    command += ["--virtual-time-budget=5000", "--dump-dom", f"file://{tmp_path}/frame.html"]
    dom = subprocess.run(command, capture_output=True, text=True, timeout=120).stdout
    told = json.loads(unescape(re.findall(r'<pre id="told">(.*?)</pre>', dom)[0]))
    assert told["width"] <= width
    assert all(overflow == "auto" for _, overflow in told["boxes"])
    assert [wider for wider, _ in told["boxes"]] == [True, width == 390]
    assert told["tip"].split("\n") == ["1", "PPO: 4", "level: 3", "from low to high: 0 to 5"]
    assert told["zoomed"] != told["before"] == told["after"]
    assert told["finer"] != told["ticks"]


@pytest.mark.slow
@pytest.mark.parametrize("name", TRICKY)
def test_names_stay_text_in_every_figure(name):
    """Of policies, items, forecasters, features, learners and tasks."""
    days = pd.date_range("2026-03-01", periods=4)
    four, levels = np.arange(4.0), np.array([0.1, 0.5, 0.9])
    item = {"past": four, "past_dates": days, "dates": days, "came": four, "levels": levels}
    shares = {"nominal": [0.8], "inside": [0.7], "levels": levels, "below": levels, "up_to": levels}
    rows = pd.DataFrame({"feature": ["units", name], "date": days[:2], "value": 1.0, "attribution": 2.0})
    standing = pd.DataFrame(
        {"kind": ["heuristic", "learner"], "policy": ["base_stock", name], "value": [1.0, 2.0], "fill_rate": 0.9}
    )
    score = pd.DataFrame({"agent": name, "value": ["1", name], "mean": 1.0, "low": 0.0, "high": 2.0})
    figures = [
        plots.learning_curve([{"step": 1, "value": 2.0}], {name: 3.0}, name, "cost"),
        plots.backtest_fans({name: item | {"quantiles": np.sort(np.random.default_rng(0).random((4, 3)))}}),
        plots.calibration({name: shares}),
        plots.explanation(rows, pd.Series({"baseline": 1.0, name: 2.0})),
        sweep_plots.profiles(four, {name: np.zeros((3, 4))}, {name: 0.5}, "score"),
        sweep_plots.curves({name: {name: np.ones((4, 4))}}, {name: standing}, [name], {name: "cost"}),
        sweep_plots.pareto({name: standing.assign(best=True)}, [name], {name: "cost"}),
        sweep_plots.sensitivity({name: score}),
    ]
    for made in figures:
        page = figure(made, name)
        drawn_text = re.findall("<svg.*</svg>", page, flags=re.S)[0]
        words = {text.strip().strip("\u200b") for text in ElementTree.fromstring(drawn_text).itertext()}
        assert name in words
        assert not re.search("<b>|<script", page)
