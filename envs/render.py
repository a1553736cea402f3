"""The picture of an inventory: what a period moved, as a line of text or as a chart over the last periods."""

import numpy as np

WINDOW = 60  # periods shown
SHOWN = {"on_hand": "stock", "backlog": "waiting", "demand": "demand", "ordered": "ordered", "unmet": "unmet"}


class InventoryViewer:
    """Shows a single environment (the first row of its flows), summed over its items."""

    def __init__(self, model, mode: str):
        self.model, self.mode = model, mode
        self._clear()
        self._figure = None

    def _clear(self):
        self.periods, self.profit = 0, 0.0
        self.series = {name: np.zeros(WINDOW) for name in SHOWN}

    def add(self, flow) -> None:
        """Take the flow of a period, or None where an episode starts."""
        if flow is None:
            self._clear()
            return
        self.periods += 1
        self.profit += float(self.model.item_profit(flow)[0].sum())
        for name, values in self.series.items():
            units = getattr(flow, name)
            values[:-1] = values[1:]
            values[-1] = 0.0 if units is None else units[0].sum()

    def render(self):
        """Return a line of text (`ansi`) or a picture (H, W, 3) uint8 (`rgb_array`); `human` shows it and returns None.

        Raises:
            ImportError: without matplotlib, for pictures.
        """
        if self.mode == "ansi":
            units = ", ".join(f"{SHOWN[name]} {values[-1]:g}" for name, values in self.series.items())
            return f"period {self.periods}: {units}; profit so far {self.profit:,.2f}"
        if self._figure is None:
            self._open()
        self._draw()
        if self.mode == "human":
            self._figure.canvas.flush_events()
            return None
        return np.asarray(self._figure.canvas.buffer_rgba())[..., :3].copy()

    def _open(self):
        try:
            from matplotlib.backends.backend_agg import FigureCanvasAgg
            from matplotlib.figure import Figure
        except ImportError as error:
            raise ImportError("pictures need matplotlib: pip install 'storelab[render]'") from error
        if self.mode == "human":
            from matplotlib import pyplot

            self._figure = pyplot.figure(figsize=(8, 4.5), dpi=80)
            self._figure.show()
        else:
            self._figure = Figure(figsize=(8, 4.5), dpi=80)
            FigureCanvasAgg(self._figure)
        stock, flow = self._figure.subplots(2, 1, sharex=True)
        x = np.arange(WINDOW) - WINDOW + 1
        # Artists are kept and only they are drawn anew over the saved background: 20 times faster than a new chart.
        self._artists = {
            "on_hand": stock.step(x, x * 0, where="mid", color="C0", label="stock", animated=True)[0],
            "backlog": stock.step(x, x * 0, where="mid", color="C3", label="waiting", animated=True)[0],
            "demand": flow.step(x, x * 0, where="mid", color="C7", label="demand", animated=True)[0],
            "ordered": flow.step(x, x * 0, where="mid", color="C2", label="ordered", animated=True)[0],
            "unmet": flow.plot(x, x * 0, "o", ms=4, color="C3", label="unmet", animated=True)[0],
        }
        self._title = stock.set_title("", fontsize=10, loc="left", animated=True)
        for axis in (stock, flow):
            axis.set_ylabel("units")
            axis.set_ylim(0, 1)
            axis.legend(loc="upper left", ncols=3, fontsize=8)
        flow.set_xlabel("periods before now")
        flow.set_xlim(x[0] - 1, 1)
        self._figure.tight_layout()
        self._background = None

    def _draw(self):
        canvas = self._figure.canvas
        for axis, names in zip(self._figure.axes, (("on_hand", "backlog"), ("demand", "ordered")), strict=True):
            top = max(self.series[name].max() for name in names)
            if top > axis.get_ylim()[1]:
                axis.set_ylim(0, 1.5 * top)
                self._background = None
        if self._background is None:
            canvas.draw()
            self._background = canvas.copy_from_bbox(self._figure.bbox)
        canvas.restore_region(self._background)
        self._title.set_text(f"period {self.periods}   profit so far {self.profit:,.2f}")
        self._figure.axes[0].draw_artist(self._title)
        for name, artist in self._artists.items():
            values = self.series[name]
            artist.set_ydata(np.where(values > 0, values, np.nan) if name == "unmet" else values)
            artist.axes.draw_artist(artist)
        canvas.blit(self._figure.bbox)

    def close(self) -> None:
        """Close the window."""
        if self._figure is not None and self.mode == "human":
            from matplotlib import pyplot

            pyplot.close(self._figure)
        self._figure = None
