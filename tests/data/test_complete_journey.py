import numpy as np
import pandas as pd
import pytest
from storelab.data import complete_journey


def made(folder, **changes):
    """Two product types over three weeks and a day; the second has no sale in week 1."""
    lines = pd.DataFrame(
        {
            "product_id": ["1", "2", "2", "3", "1", "3", "1"],
            "quantity": [2.0, 1.0, 0.0, 4.0, 3.0, 2.0, 9.0],
            "sales_value": [4.0, 3.0, 0.0, 8.0, 3.0, 4.0, 9.0],
            "retail_disc": [0.0, 0.0, 0.0, 0.0, 1.5, 0.0, 0.0],
            "transaction_timestamp": pd.to_datetime(
                [
                    "2017-01-01 08:00",
                    "2017-01-02 09:00",
                    "2017-01-03 09:00",
                    "2017-01-07 23:59",
                    "2017-01-09 00:00",
                    "2017-01-21 12:00",
                    "2017-01-22 00:00",
                ]
            ),
        }
    ).assign(**changes)
    lines.to_parquet(folder / "complete_journey_transactions_sample.parquet")
    products = {"product_id": ["1", "2", "3"], "department": "GROCERY", "product_type": ["milk", "milk", "eggs"]}
    pd.DataFrame(products).to_parquet(folder / "complete_journey_products.parquet")
    return folder


def test_weeks_add_up(tmp_path):
    panel = complete_journey.load_panel(made(tmp_path), sold_weeks=0.6)
    assert (panel.items, panel.weekly, len(panel.dates)) == (["eggs", "milk"], True, 3)
    np.testing.assert_array_equal(panel.units, [[4, 3], [0, 3], [2, 0]])
    np.testing.assert_allclose(panel.price, [[2, 7 / 3], [2, 1.5], [2, 1.5]])  # carried on where nothing is sold
    np.testing.assert_allclose(panel.covariates["discount"], [[0, 0], [0, 1.5 / 4.5], [0, 0]])
    assert panel.promo.tolist() == [[False, False], [False, True], [False, False]]
    assert complete_journey.load_panel(tmp_path, sold_weeks=0.9).items == []


def test_errors(tmp_path):
    with pytest.raises(ValueError, match="holds none of complete_journey_transactions"):
        complete_journey.load_panel(tmp_path)
    with pytest.raises(ValueError, match="column 'quantity', row 1"):
        complete_journey.load_panel(made(tmp_path, quantity=-1.0))
    with pytest.raises(ValueError, match="sold_weeks: 2 is not allowed"):
        complete_journey.load_panel(tmp_path, sold_weeks=2)


def test_the_published_sample(real_data):
    panel = complete_journey.load_panel(real_data)
    assert panel.units.shape == (52, 269)
    assert panel.units.sum() == 70_759
