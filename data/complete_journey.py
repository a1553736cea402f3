"""The 84.51° "Complete Journey" transactions (R package completejourney 1.1, CC0): a year of a US grocer's households,
made into a weekly panel of product types with price and discount.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from ..errors import FieldError
from .contract import Column, Schema, read
from .panel import Panel

TRANSACTIONS_FILES = ("complete_journey_transactions.parquet", "complete_journey_transactions_sample.parquet")
PRODUCTS_FILE = "complete_journey_products.parquet"
LINES: Schema = (
    Column("product_id", "text"),
    Column("quantity", "number", minimum=0),
    Column("sales_value", "number", minimum=0),  # money, what the shop got
    Column("retail_disc", "number"),  # money, the loyalty card's discount, off the shelf price
    Column("transaction_timestamp", "timestamp"),
)
PRODUCTS: Schema = (
    Column("product_id", "text", unique=True),
    Column("department", "text"),
    Column("product_type", "text", nullable=True),
)
NOT_GOODS = ("FUEL", "COUPON", "MISCELLANEOUS")  # departments: quantities that are no units of goods
PROMO_DEPTH = 0.1  # a week's discount from which it counts as a promotion


def load_panel(folder: str | Path, sold_weeks: float = 0.7) -> Panel:
    """The weekly panel of the product types sold in at least `sold_weeks` of the weeks, from a folder with both files.

    Units per week over all stores; price: shelf price per unit; promo: a discount of at least a tenth; covariate
    `discount`: its share of the shelf price. What a type costs and how far it was discounted is known from its sales
    alone: weeks without a sale carry the last price on, without discount. So a covariate reveals a little of the sales
    that it was taken from, the less the more often a type is sold. Households and stores are not read.

    Raises ValueError when a file is missing or not as published, or `sold_weeks` is not in 0 .. 1.
    """
    if not 0 <= sold_weeks <= 1:
        raise FieldError("sold_weeks", sold_weeks, "a number from 0 to 1")
    lines = read(find(Path(folder), TRANSACTIONS_FILES), LINES)
    products = read(find(Path(folder), (PRODUCTS_FILE,)), PRODUCTS).dropna(subset="product_type")
    products = products[~products["department"].isin(NOT_GOODS)]
    lines = lines.merge(products, on="product_id")
    lines = lines[lines["quantity"] > 0]
    day = lines["transaction_timestamp"].dt.normalize()
    weeks = (day.max() - day.min()).days // 7 + (1 if (day.max() - day.min()).days % 7 == 6 else 0)
    lines["week"] = (day - day.min()).dt.days // 7
    lines = lines[lines["week"] < weeks]  # the last one is whole
    sums = lines.groupby(["week", "product_type"])[["quantity", "sales_value", "retail_disc"]].sum()

    def wide(name: str) -> pd.DataFrame:
        return sums[name].unstack().reindex(range(weeks))

    units = wide("quantity")
    units = units.loc[:, units.notna().mean() >= sold_weeks]
    shelf = (wide("sales_value") + wide("retail_disc"))[units.columns]
    discount = (wide("retail_disc")[units.columns] / shelf).clip(0, 1).fillna(0.0).to_numpy()
    price = (shelf / units).where(shelf > 0).ffill().bfill().to_numpy()
    return Panel(
        items=list(units.columns),
        dates=pd.date_range(day.min(), periods=weeks, freq="7D"),
        units=units.fillna(0.0).to_numpy(),
        price=price,
        promo=discount >= PROMO_DEPTH,
        closed=np.zeros(weeks, bool),
        holiday=np.zeros(weeks, bool),
        covariates={"discount": discount},
    )


def find(folder: Path, names: tuple[str, ...]) -> Path:
    for name in names:
        if (folder / name).is_file():
            return folder / name
    raise ValueError(f"{folder}: holds none of {', '.join(names)}; expected a folder with Complete Journey's files")
