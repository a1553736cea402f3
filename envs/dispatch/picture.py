"""The picture of a delivery day: the map with the requests by state and the vehicles' routes, and the epoch's clock."""

import numpy as np

from ..core.picture import Viewer
from .params import EPOCH, MARGIN

STATES = {"waits": ("C7", "o"), "sent": ("C2", "o"), "must go": ("C3", "s"), "lost": ("k", "x")}  # colour and marker


def by_state(flow) -> dict[str, np.ndarray]:
    """Return the slots of the first row's open requests by state."""
    is_open, sent, must_go = flow.requests.customer[0] > 0, flow.vehicle[0] >= 0, flow.must_go[0]
    chosen = {"waits": is_open & ~sent & ~must_go, "sent": sent & ~must_go, "must go": sent & must_go}
    return {name: np.flatnonzero(mask) for name, mask in (chosen | {"lost": flow.lost[0]}).items()}


def draw_map(axis, model, flow) -> None:
    """Draw the first row of an epoch's flow into an axis: customers, routes by vehicle, requests by state, depots."""
    city, customer = model.cities[flow.city[0, 0]], flow.requests.customer[0]
    coords = city.coords
    axis.set_aspect("equal")
    axis.set_xticks([])
    axis.set_yticks([])
    axis.plot(*coords[city.depots :].T, ".", ms=2, color="0.85")  # where customers live
    for number, route in enumerate(flow.routes(0)):
        depot = city.depot[customer[route[0]]]
        axis.plot(*coords[[depot, *customer[route], depot]].T, "-", lw=1, color=f"C{number % 10}")
    for name, slots in by_state(flow).items():
        colour, marker = STATES[name]
        if name != "lost" or model.limited:
            axis.plot(*coords[customer[slots]].T, marker, ms=5, color=colour, label=name)
    axis.plot(*coords[: city.depots].T, "^", ms=11, color="k", label="depot")


class DispatchViewer(Viewer):
    """Shows the last epoch of a single environment (the first row of its flows)."""

    size = (7, 7)

    def __init__(self, model, mode: str):
        super().__init__(model, mode)
        self.flow, self.cost = None, 0.0

    def add(self, flow) -> None:
        """Take the flow of an epoch, or None where a day starts."""
        self.flow = flow
        self.cost = 0.0 if flow is None else self.cost + float(flow.duration[0])

    def _line(self) -> str:
        if self.flow is None:
            return "the day starts"
        leave = int(self.flow.epoch[0, 0]) * EPOCH + MARGIN
        shown = by_state(self.flow)
        counts = f"{shown['sent'].size + shown['must go'].size} sent, {shown['must go'].size} of them must go"
        vehicles = f"{self.flow.vehicle[0].max() + 1} vehicles, {shown['waits'].size} wait"
        if self.model.limited:
            vehicles += f", {shown['lost'].size} lost"
        return f"leave {leave // 3600:02}:{leave % 3600 // 60:02}   {counts}, {vehicles}; {self.cost:,.0f} s so far"

    def _draw(self):
        self.figure.clear()
        self._map()
        self.figure.canvas.draw()

    def _map(self):
        axis = self.figure.add_subplot()
        axis.set_title(self._line(), fontsize=9, loc="left")
        axis.set_aspect("equal")
        axis.set_xticks([])
        axis.set_yticks([])
        if self.flow is None:
            return
        draw_map(axis, self.model, self.flow)
        axis.legend(loc="upper right", fontsize=8)
        self.figure.tight_layout()
