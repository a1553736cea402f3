"""Letters to lapsed customers of the whole store: closed forms of a day, people conserved, churn against evenly."""

import numpy as np
import pytest
from storelab.agents.heuristics import marketplace as heuristics
from storelab.envs import Marketplace, MarketplaceParams
from storelab.envs.core.rollout import play, rollout
from storelab.envs.marketplace.references import bounded, bounds
from storelab.errors import FieldError

SMALL = dict(items=5, horizon=8, population=600.0, page_size=3, fleet_capacity=12.0)
LETTERS = dict(lapsed=0.2, win_back=0.5, risk_lapsed=[0.6, 0.3, 0.1], risk_customers=[0.1, 0.3, 0.6])
FIELDS = ("visits", "sales", "customers", "on_hand", "driving", "revenue", "marketing")


def constant(marketing):
    return lambda observation, state, seed: (
        np.tile([1.0, 1.0, 0.5, 1, 0, 0, 0.3, 0.9, marketing], (len(observation), 1)),
        state,
    )


def days(marketing=60.0, **params):
    model = Marketplace(MarketplaceParams(**SMALL | params))
    return model, list(play(model, constant(marketing), model.scenarios(range(3))))


@pytest.mark.parametrize("fidelity", ["fast", "reference"])
@pytest.mark.parametrize("off", ["lapsed", "win_back", "letters"])
def test_without_letters_nothing_changes(fidelity, off):
    """Bit by bit, whichever of the three is 0; and the observation and the money have no more parts."""
    plain, usual = days(fidelity=fidelity)
    model, played = days(fidelity=fidelity, **LETTERS | {off: 0.0})
    assert model.layout == plain.layout
    for (_, flow, _), (_, other, _) in zip(usual, played, strict=True):
        assert model.money(other).keys() == plain.money(flow).keys()
        for name in FIELDS:
            assert np.array_equal(getattr(flow, name), getattr(other, name)), name


def test_the_first_day_in_closed_form():
    """30 letters among 120 lapsed people and 90 customers, of whom the riskiest class has 72 and 9."""
    for by, lapsed in (("churn", 30 * 72 / 81), ("evenly", 30 * 120 / 210)):
        model, played = days(**LETTERS, win_back_by=by, letter_returns=0.25, voucher=3.0, voucher_used=0.8)
        _, flow, _ = played[0]
        assert flow.letters[:, 0] == pytest.approx(30)
        assert flow.won.sum(axis=1) == pytest.approx(0.25 * lapsed, rel=1e-5)
        assert flow.won == pytest.approx(np.repeat(flow.won.sum(axis=1, keepdims=True) / 3, 3, axis=1), rel=1e-5)
        money = model.money(flow)
        assert money["voucher_cost"] == pytest.approx(3 * (0.25 * lapsed + 0.8 * (30 - lapsed)), rel=1e-5)
        assert money["marketing_cost"] == pytest.approx(60)


def test_letters_take_advertising_from_the_day():
    """A day whose letters take 20 of 60 has the visits of a day with 40 of marketing."""
    _, played = days(60, **LETTERS | {"win_back": 1 / 3})
    _, plain = days(40)
    assert played[0][1].visits == pytest.approx(plain[0][1].visits, rel=1e-6)


def test_customers_and_lapsed_people_are_conserved():
    """Where nobody else joins or leaves and every letter brings one back, customers and the file's lapsed are as many
    as at the start; and at the end of the file no more letters are written."""
    still = dict(satisfied_join=0.0, unhappy_leave=0.0, letter_returns=1.0)
    for by in ("evenly", "churn"):
        _, played = days(100, **LETTERS | still, win_back_by=by)
        people = [
            after.customers.sum(axis=1) + after.file.reshape(3, 2, -1)[:, 0].sum(axis=1) for after, _, _ in played
        ]
        assert np.allclose(people, 210, rtol=1e-5)
        assert sum(flow.letters for _, flow, _ in played) == pytest.approx(210, rel=1e-5)
        assert played[-1][1].letters == pytest.approx(0, abs=1e-3)
        assert played[-1][1].customers.sum(axis=1) == pytest.approx(210, rel=1e-5)


def test_who_joins_by_buying_gets_no_letter_as_a_lapsed_one():
    """Without letters on the way, the file's lapsed people fall as the people do who are no customers."""
    model, played = days(1e-9, **LETTERS, unhappy_leave=0.0)
    start = model.initial(3)
    others, lapsed = 200 - start.customers, start.file.reshape(3, 2, 3, 3)[:, 0].sum(axis=2)
    after = played[-1][0]
    left = after.file.reshape(3, 2, 3, 3)[:, 0].sum(axis=2)
    assert (left < 0.999 * lapsed).all()
    assert left / lapsed == pytest.approx((200 - after.customers) / others, rel=1e-4)


def test_the_riskiest_classes_are_written_to_first_and_the_others_not_at_all():
    model, played = days(20, **LETTERS, win_back_by="churn", letters=0.4, satisfied_join=0.0)
    first = model.observe(model.initial(1), dict.fromkeys(model._signals, np.zeros((1, 1))))["file"]
    assert first[0] == pytest.approx([81, 3, 0], abs=1e-3)  # 84 of 210, the first class having 81
    assert model.layout["file"] == (3,)
    later = played[3][0].file.reshape(3, 2, 3, 3).sum(axis=(1, 2))
    assert later[0] == pytest.approx([41, 3, 0], abs=1e-3)


def test_one_class_cannot_tell_people_apart():
    one = LETTERS | dict(risk_lapsed=[1.0], risk_customers=[1.0], letters=0.5)
    runs = []
    for by in ("evenly", "churn"):
        model = Marketplace(MarketplaceParams(**SMALL, **one, win_back_by=by))
        runs.append(rollout(model, constant(60), model.scenarios(range(3)))["reward"])
    assert np.allclose(*runs, rtol=1e-5, atol=1e-3)


def test_a_better_model_wins_back_more():
    won = []
    for risk in ([1 / 3] * 3, [0.6, 0.3, 0.1], [1.0, 0.0, 0.0]):
        changes = LETTERS | dict(risk_lapsed=risk, risk_customers=risk[::-1], letters=0.4, win_back_by="churn")
        won.append(sum(flow.won.sum() for _, flow, _ in days(100, **changes)[1]))
    assert won[0] < 0.9 * won[1] < 0.81 * won[2]


def test_no_bound_with_letters_but_the_heuristics_play():
    params = MarketplaceParams(**SMALL, **LETTERS)
    model = Marketplace(params)
    assert not bounded(params)
    with pytest.raises(FieldError, match="win_back"):
        bounds(model, model.scenarios(range(2)))
    rule = heuristics.Heuristic("composite", heuristics.textbook(model), model)
    assert np.isfinite(rollout(model, rule, model.scenarios(range(2)))["reward"]).all()


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"lapsed": 0.9}, "lapsed"),
        ({"win_back": 1.5}, "win_back"),
        ({"win_back_by": "age"}, "win_back_by"),
        ({"letter_cost": 0.0}, "letter_cost"),
        ({"risk_lapsed": [0.5, 0.5]}, "risk_customers"),
        ({"risk_lapsed": [0.5, 0.4], "risk_customers": [0.5, 0.5]}, "risk_lapsed"),
    ],
)
def test_bad_parameters_are_named(changes, field):
    with pytest.raises(FieldError, match=field):
        MarketplaceParams(**SMALL, **changes)
