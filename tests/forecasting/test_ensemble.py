"""The ensemble is the mean of its members, saved and loaded with them."""

import numpy as np
import pytest
from storelab.data import Panel
from storelab.forecasting import create, known_future, load

from .conftest import QUICK

ORIGIN = 340


def test_quantiles_are_the_members_mean(panel, ready):
    halves = Panel(**vars(panel) | {"units": panel.units + 0.5})  # none is rounded
    history, known = halves.until(ORIGIN), known_future(halves, ORIGIN, 14)
    ensemble = ready["ensemble"]
    own = [member.predict(history, known) for member in ensemble.members]
    np.testing.assert_allclose(ensemble.predict(history, known), np.mean(own, axis=0), rtol=1e-4, atol=1e-4)
    assert (own[0] != own[1]).any()


def test_one_name_twice_takes_two_seeds():
    params = {"transformer": QUICK["transformer"]}
    ensemble = create("ensemble", members=["transformer", "transformer"], params=params, planned=False, seed=5)
    assert [member.params.seed for member in ensemble.members] == [5, 6]
    assert not any(member.params.planned for member in ensemble.members)


def test_a_changed_member_is_noticed(ready, tmp_path):
    ready["ensemble"].save(tmp_path)
    ready["lightgbm"].save(tmp_path / "member-0")
    with pytest.raises(ValueError, match="holds no usable ensemble: its members do not have the fingerprints"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("params", "match"),
    [
        ({"members": []}, r"members: \[\] is not allowed, expected a list of transformer, lightgbm, hub"),
        ({"members": ["tsb"]}, r"members: \['tsb'\] is not allowed"),
        ({"params": {"hub": {}}}, "params: .* is not allowed with 'hub', expected keys of transformer"),
        ({"params": {"lightgbm": {"seed": 1}}}, "params\\.lightgbm: {'seed': 1} is not allowed"),
        ({"planned": 1}, "planned: 1 is not allowed, expected a bool"),
    ],
)
def test_bad_parameters(params, match):
    with pytest.raises(ValueError, match=match):
        create("ensemble", **params)
