"""The whole store at a glance: shelves, prices, ratings, orders, deliveries and money, as text or as a picture."""

import numpy as np

from ..core.picture import WINDOW, Viewer

LINES = {  # axis -> name of a series -> colour
    "orders": {"visits": "0.6", "orders": "C0", "refused": "C3"},
    "deliveries": {"in time": "C2", "late": "C3"},
    "money": {"profit per day": "C0"},
}
TITLES = {
    "orders": "visits and orders a day",
    "deliveries": "parcels delivered a day",
    "money": "profit per day, money",
}


class MarketplaceViewer(Viewer):
    """Shows a single environment (the first row of its flows): today's items above, the last days below."""

    size = (11, 6)

    def __init__(self, model, mode: str):
        super().__init__(model, mode)
        self._clear()

    def _clear(self):
        self.day, self.profit, self.flow = 0, 0.0, None
        self.series = {name: np.full(WINDOW, np.nan) for lines in LINES.values() for name in lines}

    def add(self, flow) -> None:
        """Take the flow of a day, or None where an episode starts."""
        if flow is None:
            self._clear()
            return
        self.day, self.flow = self.day + 1, flow
        today = float(self.model.reward(self.model.money(flow))[0])
        self.profit += today
        total = {
            name: float(getattr(flow, name)[0].sum()) for name in ("visits", "demand", "refused", "delivered", "late")
        }
        values = {
            "visits": total["visits"], "orders": total["demand"], "refused": total["refused"], "profit per day": today,
            "in time": total["delivered"] - total["late"], "late": total["late"],
        }  # fmt: skip
        for name, series in self.series.items():
            series[:-1] = series[1:]
            series[-1] = values[name]

    def _line(self) -> str:
        if self.flow is None:
            return "the season starts"
        last = {name: series[-1] for name, series in self.series.items()}
        people, rating = self.flow.customers[0].sum(), self.flow.rating[0].mean()
        return (
            f"day {self.day}: {last['visits']:.0f} visits, {last['orders']:.0f} orders, {last['refused']:.1f} refused, "
            f"{last['in time'] + last['late']:.0f} parcels delivered, {last['late']:.1f} late; {people:.0f} customers, "
            f"rating {rating:.2f}; profit so far {self.profit:,.2f}"
        )

    def growing(self) -> list:
        """Return the stock's axis and those over the last days."""
        return [self.figure.axes[0], *self.figure.axes[3:]]

    def widen(self, limits: list[tuple[float, float]]) -> None:
        """Let these axes reach so far, also when they are scaled anew."""
        super().widen(limits)
        self._reach = limits[1:]

    def _open(self):
        super()._open()
        self._reach = [(np.inf, -np.inf)] * len(LINES)
        items = np.arange(1, self.model.params.items + 1)
        above, below = self.figure.subplots(2, 3)
        stock, price, rating = above
        self._stock = stock.bar(items, items * 0.0, color="C0", label="in stock")
        self._waiting = stock.bar(items, items * 0.0, color="C3", label="ordered, not there")
        stock.set_title("stock, units", fontsize=10, loc="left")
        stock.legend(fontsize=8, frameon=False, loc="upper right")
        price.bar(items, self.model.cost, color="0.8", label="cost")
        self._margin = price.bar(items, items * 0.0, bottom=self.model.cost, color="C2", label="margin")
        price.set_title("price, money per unit", fontsize=10, loc="left")
        price.set_ylim(0, 1.1 * (float(self.model.cost.max()) + 2 * self.model.markup))
        price.legend(fontsize=8, frameon=False, loc="upper right")
        self._stars = rating.scatter(items, items * 0.0 + 3, c=items * 0.0 + 3, cmap="RdYlGn", vmin=1.5, vmax=4.5)
        rating.set_title("rating shown, stars", fontsize=10, loc="left")
        rating.set_ylim(1, 5)
        for axis in above:
            axis.set_xlabel("item", fontsize=8)
        x = np.arange(WINDOW) - WINDOW + 1
        self._lines = {}
        for axis, (name, lines) in zip(below, LINES.items(), strict=True):
            axis.set_title(TITLES[name], fontsize=10, loc="left")
            axis.set_xlabel("days before now", fontsize=8)
            axis.set_xlim(x[0] - 1, 1)
            for label, colour in lines.items():
                self._lines[label] = axis.step(x, x * np.nan, where="mid", color=colour, label=label)[0]
            if len(lines) > 1:
                axis.legend(fontsize=8, frameon=False, loc="upper left", ncols=len(lines))
        self.figure.tight_layout(rect=(0, 0, 1, 0.95))
        self._title = self.figure.text(0.01, 0.97, "", fontsize=10)

    def _draw(self):
        if self.flow is not None:
            flow, waiting = self.flow, self.flow.unmet[0]
            for bars, values in ((self._stock, flow.on_hand[0]), (self._waiting, -waiting)):
                for bar, value in zip(bars, values, strict=True):
                    bar.set_height(value)
            for bar, value in zip(self._margin, flow.price[0] - self.model.cost, strict=True):
                bar.set_height(value)
            items = np.arange(1, len(waiting) + 1)
            self._stars.set_offsets(np.stack([items, flow.rating[0]], axis=1))
            self._stars.set_array(flow.rating[0])
            axis = self.figure.axes[0]
            top = max(axis.get_ylim()[1], 1.1 * float(flow.on_hand[0].max()))
            axis.set_ylim(min(axis.get_ylim()[0], -1.1 * float(waiting.max()) - 0.01 * top), top)
        for name, line in self._lines.items():
            line.set_ydata(self.series[name])
        for axis, (low, high) in zip(self.figure.axes[3:], self._reach, strict=True):
            axis.relim()
            axis.autoscale_view(scalex=False)
            ends = axis.get_ylim()
            axis.set_ylim(min(low, ends[0]), max(high, ends[1]), auto=None)
        self._title.set_text(self._line())
        self.figure.canvas.draw()
