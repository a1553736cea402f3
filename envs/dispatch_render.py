"""The picture of a delivery day: the map with the requests by state and the vehicles' routes, and the epoch's clock."""

import numpy as np

from .dispatch_params import EPOCH, MARGIN

STATES = {"waits": ("C7", "o"), "sent": ("C2", "o"), "must go": ("C3", "s")}  # colour and marker


class DispatchViewer:
    """Shows the last epoch of a single environment (the first row of its flows)."""

    def __init__(self, model, mode: str):
        self.model, self.mode = model, mode
        self.flow, self.cost, self._figure = None, 0.0, None

    def add(self, flow) -> None:
        """Take the flow of an epoch, or None where a day starts."""
        self.flow = flow
        self.cost = 0.0 if flow is None else self.cost + float(flow.duration[0])

    def _line(self) -> str:
        if self.flow is None:
            return "the day starts"
        leave = int(self.flow.epoch[0, 0]) * EPOCH + MARGIN
        shown = self._requests()
        counts = f"{shown['sent'].size + shown['must go'].size} sent, {shown['must go'].size} of them must go"
        vehicles = f"{self.flow.vehicle[0].max() + 1} vehicles, {shown['waits'].size} wait"
        return f"leave {leave // 3600:02}:{leave % 3600 // 60:02}   {counts}, {vehicles}; {self.cost:,.0f} s so far"

    def _requests(self) -> dict[str, np.ndarray]:
        """Return the slots of the open requests by state."""
        flow = self.flow
        is_open, sent, must_go = flow.requests.customer[0] > 0, flow.vehicle[0] >= 0, flow.must_go[0]
        chosen = {"waits": is_open & ~sent, "sent": sent & ~must_go, "must go": must_go}
        return {name: np.flatnonzero(mask) for name, mask in chosen.items()}

    def render(self):
        """Return a line of text (`ansi`) or a picture (H, W, 3) uint8 (`rgb_array`); `human` shows it and returns None.

        Raises:
            ImportError: without matplotlib, for pictures.
        """
        if self.mode == "ansi":
            return self._line()
        if self._figure is None:
            self._open()
        self._draw()
        self._figure.canvas.draw()
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

            self._figure = pyplot.figure(figsize=(7, 7), dpi=80)
            self._figure.show()
        else:
            self._figure = Figure(figsize=(7, 7), dpi=80)
            FigureCanvasAgg(self._figure)

    def _draw(self):
        self._figure.clear()
        axis = self._figure.add_subplot()
        axis.set_title(self._line(), fontsize=9, loc="left")
        axis.set_aspect("equal")
        axis.set_xticks([])
        axis.set_yticks([])
        if self.flow is None:
            return
        coords, customer = self.model.cities[self.flow.city[0, 0]].coords, self.flow.requests.customer[0]
        axis.plot(*coords[1:].T, ".", ms=2, color="0.85")  # where customers live
        for number, route in enumerate(self.flow.routes(0)):
            axis.plot(*coords[[0, *customer[route], 0]].T, "-", lw=1, color=f"C{number % 10}")
        for name, slots in self._requests().items():
            colour, marker = STATES[name]
            axis.plot(*coords[customer[slots]].T, marker, ms=5, color=colour, label=name)
        axis.plot(*coords[0], "^", ms=11, color="k", label="depot")
        axis.legend(loc="upper right", fontsize=8)
        self._figure.tight_layout()

    def close(self) -> None:
        """Close the window."""
        if self._figure is not None and self.mode == "human":
            from matplotlib import pyplot

            pyplot.close(self._figure)
        self._figure = None
