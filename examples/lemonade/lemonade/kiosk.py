"""A kiosk's till as data: a CSV file with the columns day, flavour, litres and price."""

from dataclasses import dataclass

import pandas as pd
from storelab.data import Panel
from storelab.errors import FieldError


@dataclass
class KioskParams:
    """Where the till's file is."""

    path: str = ""  # CSV: day (YYYY-MM-DD), flavour, litres, price (money per litre)

    def __post_init__(self):
        if not self.path:
            raise FieldError("path", self.path, "the path of a CSV file")

    def panel(self) -> Panel:
        """Return the days of the till, an item for each flavour; raises ValueError naming a wrong column or row."""
        names = {"day": "date", "flavour": "item", "litres": "units"}
        return Panel.from_frame(pd.read_csv(self.path, dtype=str).rename(columns=names))
