"""The picture of a store: what a period moved, as a line of text or as a chart over the last periods."""

from abc import ABC, abstractmethod
from typing import Any

import numpy as np

WINDOW = 60  # periods shown
NAMES = {"on_hand": "stock", "backlog": "waiting"}  # of a flow's fields, where they have another one here
COLOURS = {
    "on_hand": "C0",
    "backlog": "C3",
    "demand": "C7",
    "ordered": "C2",
    "unmet": "C3",
    "price": "C2",
    "sales": "C0",
}


class Viewer(ABC):
    """A picture of a single environment, as text or as a figure of matplotlib."""

    size: tuple[float, float]  # inches

    def __init__(self, model, mode: str):
        self.model, self.mode = model, mode
        self._figure: Any = None

    @abstractmethod
    def add(self, flow) -> None:
        """Take the flow of a period, or None where an episode starts."""

    @abstractmethod
    def _line(self) -> str:
        """Return the picture as a line of text."""

    @abstractmethod
    def _draw(self) -> None:
        """Bring the open figure up to date."""

    def __getstate__(self) -> dict[str, Any]:
        """What a copy or a pickle takes along: what was seen. It opens a figure of its own."""
        names = getattr(self, "_before", vars(self))
        return {name: getattr(self, name) for name in names} | {"_figure": None}

    @property
    def figure(self) -> Any:
        """Return the open figure of matplotlib; raises RuntimeError where none is open."""
        if self._figure is None:
            raise RuntimeError("the figure is not open: call render first")
        return self._figure

    def render(self):
        """Return a line of text (`ansi`) or a picture (H, W, 3) uint8 (`rgb_array`); `human` shows it and returns None.

        Raises:
            ImportError: without matplotlib, for pictures.
        """
        if self.mode == "ansi":
            return self._line()
        if self._figure is None:
            self._before = tuple(vars(self))  # all else is the figure's
            self._open()
        self._draw()
        if self.mode == "human":
            self.figure.canvas.flush_events()
            return None
        return np.asarray(self.figure.canvas.buffer_rgba())[..., :3].copy()

    def growing(self) -> list:
        """Return the open figure's axes that grow with what they show; by default none do."""
        return []

    def limits(self) -> list[tuple[float, float]]:
        """Return the ends of the growing axes."""
        return [axis.get_ylim() for axis in self.growing()]

    def widen(self, limits: list[tuple[float, float]]) -> None:
        """Let the growing axes reach so far, so that pictures beside one another have one scale."""
        for axis, ends in zip(self.growing(), limits, strict=True):
            axis.set_ylim(*ends, auto=None)

    def _open(self):
        try:
            from matplotlib.backends.backend_agg import FigureCanvasAgg
            from matplotlib.figure import Figure
        except ImportError as error:
            raise ImportError("pictures need matplotlib: pip install 'storelab[render]'") from error
        if self.mode == "human":
            from matplotlib import pyplot

            self._figure = pyplot.figure(figsize=self.size, dpi=80)
            self._figure.show()
        else:
            self._figure = Figure(figsize=self.size, dpi=80)
            FigureCanvasAgg(self._figure)

    def close(self) -> None:
        """Close the window."""
        if self._figure is not None and self.mode == "human":
            from matplotlib import pyplot

            pyplot.close(self._figure)
        self._figure = None


class StoreViewer(Viewer):
    """Shows a single environment (the first row of its flows): sums over its items, of prices the mean."""

    size = (8, 4.5)

    def __init__(self, model, mode: str, panels: dict[str, tuple[str, ...]]):
        """Show the fields of a flow that `panels` lists: the unit of each of two panels -> the fields in it."""
        super().__init__(model, mode)
        self.panels = panels
        self._clear()

    def _clear(self):
        self.periods, self.profit = 0, 0.0
        self.series = {name: np.zeros(WINDOW) for names in self.panels.values() for name in names}

    def add(self, flow) -> None:
        """Take the flow of a period, or None where an episode starts."""
        if flow is None:
            self._clear()
            return
        self.periods += 1
        self.profit += float(self.model.reward(self.model.money(flow))[0])
        for name, values in self.series.items():
            moved = getattr(flow, name)
            values[:-1] = values[1:]
            values[-1] = 0.0 if moved is None else moved[0].mean() if name == "price" else moved[0].sum()

    def growing(self) -> list:
        """Return both panels."""
        return self.figure.axes

    def widen(self, limits: list[tuple[float, float]]) -> None:
        """Let the panels reach so far."""
        super().widen(limits)
        self._background = None

    def _line(self) -> str:
        units = ", ".join(f"{NAMES.get(name, name)} {values[-1]:g}" for name, values in self.series.items())
        return f"period {self.periods}: {units}; profit so far {self.profit:,.2f}"

    def _open(self):
        super()._open()
        axes = self.figure.subplots(2, 1, sharex=True)
        x = np.arange(WINDOW) - WINDOW + 1
        # Artists are kept and only they are drawn anew over the saved background: 20 times faster than a new chart.
        self._artists = {}
        for axis, (unit, names) in zip(axes, self.panels.items(), strict=True):
            for name in names:
                look = {"label": NAMES.get(name, name), "color": COLOURS.get(name), "animated": True}
                dots = axis.plot(x, x * 0, "o", ms=4, **look) if name == "unmet" else None
                self._artists[name] = (dots or axis.step(x, x * 0, where="mid", **look))[0]
            axis.set_ylabel(unit)
            axis.set_ylim(0, 1)
            axis.legend(loc="upper left", ncols=3, fontsize=8)
        self._title = axes[0].set_title("", fontsize=10, loc="left", animated=True)
        axes[1].set_xlabel("periods before now")
        axes[1].set_xlim(x[0] - 1, 1)
        self.figure.tight_layout()
        self._background = None

    def _draw(self):
        figure, canvas = self.figure, self.figure.canvas
        for axis, names in zip(figure.axes, self.panels.values(), strict=True):
            top = max(self.series[name].max() for name in names)
            if top > axis.get_ylim()[1]:
                axis.set_ylim(0, 1.5 * top)
                self._background = None
        if self._background is None:
            canvas.draw()
            self._background = canvas.copy_from_bbox(figure.bbox)
        canvas.restore_region(self._background)
        self._title.set_text(f"period {self.periods}   profit so far {self.profit:,.2f}")
        figure.axes[0].draw_artist(self._title)
        for name, artist in self._artists.items():
            values = self.series[name]
            artist.set_ydata(np.where(values > 0, values, np.nan) if name == "unmet" else values)
            artist.axes.draw_artist(artist)
        canvas.blit(figure.bbox)
