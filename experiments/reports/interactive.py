"""A matplotlib figure as an SVG with the numbers that it shows, which `viewer.js` lets a reader hover and zoom.

Without a script the picture is the same. A plotting library for the browser would be 1 to 5 MB in each of a sweep's
reports, and every picture would be drawn twice.
"""

import io
import json
import re
from html import escape
from warnings import catch_warnings, filterwarnings

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.category import StrCategoryLocator
from matplotlib.colors import to_hex
from matplotlib.container import BarContainer
from matplotlib.dates import AutoDateFormatter, ConciseDateFormatter, DateFormatter
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator

STYLE = {
    "svg.fonttype": "none",  # text stays text, in the page's font
    "svg.hashsalt": "storelab",  # the same figure gives the same file
    "text.parse_math": False,  # names are text
    "text.usetex": False,
    "path.simplify": False,
    "figure.facecolor": "none",  # the page's
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
    "legend.framealpha": 0.0,
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.3,
    "axes.axisbelow": True,
}
NARROWEST = 0.72  # of its size: a picture that is drawn smaller has unreadable labels, so its box scrolls
PX = 4 / 3  # CSS pixels per point
HIDES_NOTHING = "\u200b"  # a space without width
BAND = "storelab_band"  # attribute of a filled area


def plot(figure: Figure) -> str:
    """Return a figure as an HTML element to stand in a page."""
    drawn = svg(figure)
    width = float(re.search(r'width="([\d.]+)pt"', drawn)[1]) * PX
    style = f"width:100%;height:auto;min-width:{NARROWEST * width:.0f}px;max-width:{width:.0f}px"
    drawn = re.sub(r'width="[\d.]+pt" height="[\d.]+pt"', f'style="{style}" role="img"', drawn, count=1)
    numbers = escape(json.dumps(numbers_of(figure), separators=(",", ":"), allow_nan=False))
    return f'<div class="plot" data-axes="{numbers}"><div class="scroll" tabindex="0">{drawn}</div></div>'


def svg(figure: Figure) -> str:
    """Return a figure as an SVG element."""
    buffer = io.StringIO()
    for place, axis in enumerate(figure.axes, 1):
        axis.patch.set_gid(f"frame_{place}")
        axis.patch.set_visible(True)  # that of a second y axis is not, by default
    with rc_context(STYLE), catch_warnings():
        filterwarnings("ignore", "Glyph .* missing")  # the reader's fonts count
        figure.savefig(buffer, format="svg", bbox_inches="tight", metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    return re.sub(r"<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.S)


def named(name: str) -> str:
    """Return a name as a label: matplotlib hides those that begin with an underscore."""
    return f"{HIDES_NOTHING}{name}" if name.startswith("_") else name


def band(axis: Axes, x, low, high, **style) -> None:
    """Fill between two lines (n,), and keep their numbers for the reader."""
    setattr(axis.fill_between(x, low, high, **style), BAND, (x, low, high))


def numbers_of(figure: Figure) -> list[dict]:
    """Return of each axes of a figure that was drawn what `viewer.js` needs.

    `x` and `y` are its axes: `limits`, `label`, `kind` (number, percent, date: days since 1970, or
    log: of base 10), `names`
    (place -> name, where its ticks are names) and `shared` (the axes that keep the same limits). `equal`: one unit is
    as long in both. `series`: `name`, `colour`, `x` and `y` (lists, null where there is nothing), of bands `top`; and,
    where it is so, `flat` (horizontal bars) or `across` (a level line). Axes that are not `linear` in these
    numbers have no series and cannot be zoomed.
    """
    return [_axes(axis, figure.axes) for axis in figure.axes]


def _axes(axis: Axes, others: list[Axes]) -> dict:
    linear = {axis.get_xscale(), axis.get_yscale()} <= {"linear", "log"} and axis.axison and axis.get_visible()
    shared = {"x": axis.get_shared_x_axes(), "y": axis.get_shared_y_axes()}
    told = {
        name: _scale(getattr(axis, f"{name}axis"), getattr(axis, f"get_{name}lim")())
        | {"shared": [place for place, other in enumerate(others) if other is axis or groups.joined(axis, other)]}
        for name, groups in shared.items()
    }
    return told | {"equal": axis.get_aspect() == 1, "series": _series(axis) if linear else [], "linear": linear}


def _scale(axis, limits) -> dict:
    formatter = axis.get_major_formatter()
    kind, names = "number", {}
    if axis.get_scale() == "log":
        kind, limits = "log", np.log10(limits)
    elif isinstance(formatter, (AutoDateFormatter, ConciseDateFormatter, DateFormatter)):
        kind = "date"
    elif isinstance(axis.get_major_locator(), (FixedLocator, StrCategoryLocator)):
        texts = [label.get_text() for label in axis.get_majorticklabels()]
        names = {f"{place:g}": text for place, text in zip(axis.get_majorticklocs(), texts, strict=True)}
    elif formatter(0.5, None).endswith("%"):
        kind = "percent"
    return {"limits": _list(limits), "kind": kind, "names": names, "label": axis.get_label_text()}


def _series(axis: Axes) -> list[dict]:
    found = []
    for line in axis.lines:
        x, y = axis.convert_xunits(line.get_xdata()), axis.convert_yunits(line.get_ydata())
        wide, high = line.get_transform().contains_branch_seperately(axis.transData)
        if high:
            x = x if wide else axis.get_xlim()  # `axhline`: the same at every x
            found.append((line, line.get_color(), {"x": _list(x), "y": _list(y), "across": not wide}))
    for bars in axis.containers:
        if isinstance(bars, BarContainer) and len(bars.patches):
            flat = bars.orientation == "horizontal"
            middle = [bar.get_y() + bar.get_height() / 2 if flat else bar.get_x() + bar.get_width() / 2 for bar in bars]
            length = [bar.get_x() + bar.get_width() if flat else bar.get_y() + bar.get_height() for bar in bars]
            x, y = (length, middle) if flat else (middle, length)
            found.append((bars, bars.patches[0].get_facecolor(), {"x": _list(x), "y": _list(y), "flat": flat}))
    for area in axis.collections:
        if hasattr(area, BAND):
            x, low, high = getattr(area, BAND)
            numbers = {"x": _list(axis.convert_xunits(x)), "y": _list(low), "top": _list(high)}
            found.append((area, area.get_facecolor()[0], numbers))
    named = [(str(artist.get_label()), colour, numbers) for artist, colour, numbers in found]
    for name in (name for name in ("x", "y") if getattr(axis, f"get_{name}scale")() == "log"):
        for _, _, numbers in found:
            for key in numbers.keys() & {"x": {"x"}, "y": {"y", "top"}}[name]:
                numbers[key] = _list([np.log10(v) if v and v > 0 else np.nan for v in numbers[key]])
    return [
        {"name": name.removeprefix(HIDES_NOTHING), "colour": to_hex(colour), **numbers}
        for name, colour, numbers in named
        if name and not name.startswith("_")
    ]


def _list(values) -> list[float | None]:
    """Numbers as JSON has them, with six digits, which are more than a picture shows."""
    return [float(f"{value:.6g}") if np.isfinite(value) else None for value in np.asarray(values, dtype=float)]
