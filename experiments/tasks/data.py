"""Where a store's days come from: the options of the group `data`, dataclasses with a method `panel`, by name."""

from dataclasses import dataclass, field
from typing import ClassVar

from omegaconf import MISSING

from ...data import Panel
from ...data.contract import Reading
from ...data.online_retail import load_panel
from ...data.panel import NO_ROW
from ...data.vn2 import read_contest
from ...envs.core.checks import LARGEST, check_choice, check_number
from ...errors import FieldError
from ...plugins import declared, load

OURS = {
    "synthetic": "storelab.data:SyntheticStoreParams",
    "online_retail": f"{__name__}:OnlineRetailParams",
    "panel": f"{__name__}:PanelParams",
    "vn2": f"{__name__}:ContestParams",
}


@dataclass
class OnlineRetailParams:
    path: str = MISSING  # UCI's xlsx or CSV, the raw or ready Parquet, or a folder with one of them

    paid_prices: ClassVar = True  # its prices are what was paid: they are not known in advance

    def panel(self) -> Panel:
        """Return the shop's days."""
        return load_panel(self.path, no_row="refuse")


@dataclass
class PanelParams(Reading):
    """A store's own file: a row per item and day, under the contract PANEL."""

    path: str = MISSING  # CSV, Excel or Parquet; `storelab check PATH` says what is understood of it
    no_row: str = "refuse"  # an item's day without a row: zero (nothing sold) | unobserved; refuse: if most have none
    price: float | None = None  # money per unit of all items, where the file has no column of prices
    covariates: list[str] = field(default_factory=list)  # further columns of numbers, known in advance
    past_covariates: list[str] = field(default_factory=list)  # known when the day is over
    groups: list[str] = field(default_factory=list)  # further columns of labels, one per item: brand, store
    paid_prices: bool = True  # prices are what was paid; false: they are the shop's plan, known in advance

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("no_row", self.no_row, NO_ROW)
        if self.price is not None:
            check_number("price", self.price, 0, LARGEST, exclusive=True)

    def panel(self) -> Panel:
        """Return the store's days."""
        given = {name: value for name, value in vars(self).items() if name not in ("path", "paid_prices")}
        return Panel.from_frame(self.path, **given)


@dataclass
class ContestParams:
    """The files of the VN2 Inventory Planning Challenge."""

    path: str = MISSING  # folder of the contest's files
    start: int | None = None  # row of the history that a pseudo-contest starts with; none: the contest, or the last one

    paid_prices: ClassVar = True  # there are none

    def panel(self) -> Panel:
        """Return the weeks of all series."""
        return read_contest(self.path).panel


def data_options() -> dict[str, type]:
    """Return the options of `data`, ours and the plug-ins'; raises FieldError for a plug-in's with a taken name."""
    added = declared("data")
    for name in OURS.keys() & added:
        raise FieldError("data", name, "a name that is not taken")
    return {name: load(place) for name, place in (OURS | added).items()}
