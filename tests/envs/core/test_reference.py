import pytest
from storelab.envs import Reference

good = {
    "name": "optimal policy",
    "value": 6.8359,
    "criterion": "average cost per period",
    "kind": "exact",
    "tolerance": 1e-5,
    "source": "Zipkin 2008",
}


def test_defaults():
    assert Reference(**good).policy is None
    assert Reference(**good).unit == "cost per period"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("criterion", "average"),
        ("kind", "optimal"),
        ("value", float("nan")),
        ("tolerance", -1.0),
        ("tolerance", float("inf")),
    ],
)
def test_bad_fields_are_named(field, value):
    with pytest.raises(ValueError, match=f"{field}: .* not allowed"):
        Reference(**{**good, field: value})
