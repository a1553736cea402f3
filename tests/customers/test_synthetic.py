"""The made-up customers are what the model says they are."""

import numpy as np
import pytest
from storelab.customers import CustomerParams, generate
from storelab.customers.histories import days_of


def test_the_same_seed_is_the_same_population_and_another_is_not():
    one, two = (generate(CustomerParams(customers=50, seed=4)).events for _ in range(2))
    assert one.equals(two)
    assert not one.equals(generate(CustomerParams(customers=50, seed=5)).events)


def test_staying_customers_buy_at_their_rate_and_nobody_buys_after_leaving():
    made = generate(CustomerParams(customers=800, leave=0.0, unhappy_leave=0.0, days=4000, mean_gap=20.0))
    day, number = days_of(made.events) + made.first, made.events["customer"].str[1:].astype(int).to_numpy()
    assert np.isinf(made.left).all()
    first = np.array([day[number == one].min() for one in range(800)])
    expected = (made.rate * (4000 - first)).sum()  # a Poisson process from the first purchase on
    assert abs(len(day) - 800 - expected) < 4 * np.sqrt(expected)
    leaving = generate(CustomerParams(customers=300))
    day = leaving.events.assign(day=days_of(leaving.events) + leaving.first).groupby("customer")["day"].max()
    left = leaving.left[day.index.str[1:].astype(int)]
    assert (day.to_numpy() <= left + 1e-4).all()
    assert np.isfinite(left).mean() > 0.3


def test_bad_experiences_drive_customers_away():
    made = generate(CustomerParams(customers=2000, leave=0.02, unhappy_leave=0.5, reviewed=0.99, seed=1))
    last = ~made.events.duplicated("customer", keep="last")
    number = made.events["customer"].str[1:].astype(int)
    leaves = last & np.isfinite(made.left[number])
    unhappy = made.events["rating"] <= 2
    assert leaves[unhappy].mean() > 5 * leaves[made.events["rating"] >= 4].mean()


@pytest.mark.parametrize(("name", "value"), [("customers", 0), ("mean_gap", -1.0), ("leave", 1.0), ("seed", True)])
def test_bad_parameters_are_named(name, value):
    with pytest.raises(ValueError, match=f"{name}: {value} is not allowed"):
        CustomerParams(**{name: value})
