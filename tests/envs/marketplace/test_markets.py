"""The whole store across borders: taxes against closed forms, money conserved, prices by market, rates of exchange."""

import gymnasium as gym
import numpy as np
import pytest
import storelab  # noqa: F401 (registers the environments)
from storelab.agents.heuristics import marketplace as heuristics
from storelab.envs import TASKS, Marketplace, MarketplaceParams
from storelab.envs.core.rollout import play, rollout
from storelab.envs.marketplace.references import bounds
from storelab.errors import FieldError
from storelab.markets import MARKETS, Market, markets_of

SMALL = dict(items=5, horizon=12, population=600.0, page_size=3, fleet_capacity=12.0)
ABROAD = ["gb", "us", "cn"]


def constant(model, price=1.0):
    price = np.ravel(price).tolist()

    def act(observation, state, seed):
        return np.tile([1.0, *price, 0.5, 1, 0, 0, 0.3, 0.9, 60], (len(observation), 1)), state

    return act


@pytest.mark.parametrize("fidelity", ["fast", "reference"])
def test_a_tax_is_a_higher_sensitivity_to_the_net_price(fidelity):
    """One market with VAT and duty earns what a home market does whose customers mind (1 + duty)(1 + vat) as much."""
    taxed = Market("there", vat=0.25, duty=0.1)
    abroad = Marketplace(MarketplaceParams(**SMALL, segments=1, fidelity=fidelity, markets=[taxed]))
    home = Marketplace(MarketplaceParams(**SMALL, segments=1, fidelity=fidelity))
    home.catalogue.sensitivity *= 1.1 * 1.25
    home.markup, home.expected = abroad.markup, abroad.expected
    seasons = home.scenarios(range(6))
    runs = [rollout(model, constant(model), seasons) for model in (home, abroad)]
    assert runs[0]["sales"].sum() > 20
    for name in runs[0]:
        assert np.allclose(runs[0][name], runs[1][name], rtol=1e-4, atol=1e-3), name
    revenue = runs[1]["revenue"]
    assert np.allclose(runs[1]["duty"], 0.1 * revenue, rtol=1e-5)
    assert np.allclose(runs[1]["vat"], 0.25 * 1.1 * revenue, rtol=1e-5)


def test_markets_like_home_change_nothing():
    plain = Marketplace(MarketplaceParams(**SMALL))
    same = Marketplace(MarketplaceParams(**SMALL, markets=[{"name": name} for name in "abc"]))
    seasons = plain.scenarios(range(4))
    runs = [rollout(model, constant(model), seasons) for model in (plain, same)]
    for name in runs[0]:
        assert np.allclose(runs[0][name], runs[1][name], rtol=1e-4, atol=1e-3), name
    assert (runs[1]["duty"] == 0).all()
    assert (runs[1]["postage_cost"] == 0).all()


@pytest.mark.parametrize("prices", ["net", "shown", "own"])
def test_what_customers_pay_is_net_revenue_and_taxes(prices):
    """Order by order, as the log of the reference fidelity tells them: gross = net + duty + value-added tax."""
    params = MarketplaceParams(**SMALL, fidelity="reference", markets=ABROAD, market_prices=prices)
    model, paid = Marketplace(params), []
    shop = model.shop

    def watched(state, given, shock):
        price, served, orders, fraud = shop(state, given, shock)
        row, group, item = orders.log.T
        market = group % 3
        gross = orders.prices[row, market, item] * np.array([m.factor for m in params.countries])[market]
        paid.append(np.bincount(row, gross, len(price)))
        return price, served, orders, fraud

    model.shop = watched
    seasons = model.scenarios(range(4))
    act = constant(model, [1.2, 0.6, 0.9] if prices == "own" else 1.0)
    days = list(play(model, act, seasons))
    net = sum(flow.revenue.sum(axis=1, dtype=float) for _, flow, _ in days)
    taxes = sum(flow.taxes.sum(axis=1, dtype=float) for _, flow, _ in days)
    owed = days[-1][0].owed.reshape(4, 2, 3, 5)[:, 0].sum(axis=2) @ np.array([m.factor for m in params.countries])
    assert (taxes > 0.05 * net).all()
    assert np.allclose(net + taxes + owed, sum(paid), rtol=1e-4)


def test_postage_is_paid_for_every_unit_abroad():
    there = Market("there", postage=2.5)
    model = Marketplace(MarketplaceParams(**SMALL, segments=1, markets=[there]))
    run = rollout(model, constant(model), model.scenarios(range(3)))
    assert np.allclose(run["postage_cost"], 2.5 * run["sales"], rtol=1e-4, atol=1e-3)


def test_days_abroad_are_minded_as_days_at_home():
    params = MarketplaceParams(**SMALL, segments=1)
    home, far = (Marketplace(MarketplaceParams(**SMALL, segments=1, markets=[Market("m", days=d)])) for d in (0, 4))
    assert np.allclose(home.catalogue.taste - far.catalogue.taste, 4 * params.delay_effect)
    assert far.expected.sum() < home.expected.sum()


def test_one_price_with_tax_is_the_same_everywhere_and_own_prices_are_not():
    model = Marketplace(MarketplaceParams(**SMALL, markets=ABROAD, market_prices="shown"))
    state, shock = model.initial(1), {k: v[:, 0] for k, v in model.scenarios([0]).items()}
    factor = np.array([market.factor for market in model.params.countries])
    orders = model.shop(state, model.decisions(constant(model)(np.zeros((1, 1)), None, 0)[0]), shock)[2]
    shown = orders.prices[0] * factor[:, None]
    assert np.allclose(shown, shown[0])
    own = Marketplace(MarketplaceParams(**SMALL, markets=ABROAD, market_prices="own"))
    action = constant(own, [0.5, 1.0, 2.0])(np.zeros((1, 1)), None, 0)[0]
    price, _, orders, _ = own.shop(own.initial(1), own.decisions(action), shock)
    assert np.allclose(orders.prices[0] - own.cost, np.array([[0.5], [1.0], [2.0]]) * own.markup, rtol=1e-5)
    assert np.allclose(price, orders.prices.mean(axis=1))


def test_a_dearer_home_currency_is_a_higher_price_abroad():
    """A rate of exchange of r is a price over r: the same orders as with a sensitivity over r."""
    market = Market("there", "USD", volatility=0.01)
    params = MarketplaceParams(**SMALL, segments=1, markets=[market])
    model, other = Marketplace(params), Marketplace(params)
    seasons = model.scenarios(range(3))
    half = seasons | {"exchange": np.full_like(seasons["exchange"], 0.5)}
    still = seasons | {"exchange": np.ones_like(seasons["exchange"])}
    other.catalogue.sensitivity = other.catalogue.sensitivity * 2
    runs = [rollout(m, constant(m), s) for m, s in ((model, half), (other, still), (model, still))]
    assert np.allclose(runs[0]["demand"], runs[1]["demand"], rtol=1e-4, atol=1e-3)
    assert runs[0]["demand"].sum() < 0.8 * runs[2]["demand"].sum()


def test_rates_of_exchange_are_martingales_and_observed():
    model = Marketplace(MarketplaceParams(**SMALL, markets=ABROAD))
    rates = model.scenarios(range(3000))["exchange"].astype(float)
    assert (rates[:, 0] == 1).all()
    assert (rates[..., 0] == 1).all()  # at home
    deviation = MARKETS["us"].volatility * np.sqrt(SMALL["horizon"])
    assert abs(rates[:, -1, 1].mean() - 1) < 4 * deviation / np.sqrt(3000)
    assert np.log(rates[:, -1, 1]).std() == pytest.approx(deviation, rel=0.06)
    env = gym.make("storelab/MarketplaceMarkets-v0", **SMALL)
    observation, _ = env.reset(seed=0)
    for _ in range(3):
        observation, *_, info = env.step(env.action_space.sample())
    named = env.unwrapped.model.features(observation[None])
    assert named["exchange"].shape == (1, 3)
    assert named["exchange"][0, 1] != 1
    assert {"duty", "vat", "postage_cost"} <= set(info)


def test_rows_do_not_depend_on_their_batch():
    model = Marketplace(MarketplaceParams(**SMALL, markets=ABROAD, market_prices="own"))
    both, alone = model.scenarios([3, 4]), model.scenarios([4])
    assert all((both[name][1] == alone[name][0]).all() for name in both)
    runs = [rollout(model, constant(model, [1, 0.8, 0.9]), s) for s in (both, alone)]
    for name in runs[0]:
        assert np.allclose(runs[0][name][1], runs[1][name][0], rtol=1e-5, atol=1e-4), name


def test_rules_have_a_price_for_each_market():
    task = TASKS["MarketplaceMarkets"](**SMALL)
    rule = heuristics.tune("textbook", task, np.arange(2))
    model = rule.model
    assert len(rule.params["price"]) == 3
    assert model.action_space.shape == (11,)
    low, high, first = heuristics.search_box(model)
    assert len(low) == len(high) == len(first) == 12  # with the closing days
    assert np.size(heuristics.unpack(model, first)["price"]) == 3
    same = TASKS["MarketplaceMarkets"](**SMALL, market_prices="net")
    assert len(heuristics.tune("textbook", same, np.arange(2)).params["price"]) == 1


def test_the_bound_holds_for_one_net_price_and_is_refused_elsewhere():
    still = [Market("gb", vat=0.2), Market("us", "USD", duty=0.1, days=2, postage=1.0), Market("cn", "CNY", vat=0.1)]
    model = Marketplace(MarketplaceParams(**SMALL, markets=still))
    seasons = model.scenarios(range(64))
    best = max(rollout(model, constant(model, x), seasons)["reward"].sum(axis=1).mean() for x in (0.6, 0.8, 1.0, 1.3))
    assert 0 < best < bounds(model, seasons).mean()
    assert TASKS["Marketplace"](segments=3, markets=ABROAD).hindsight is None
    moving = Marketplace(MarketplaceParams(**SMALL, markets=ABROAD))
    with pytest.raises(FieldError, match=r"market_prices: .net"):
        bounds(moving, moving.scenarios([0]))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"markets": ["gb", "us"]}, "markets: .*as many as segments, 3"),
        ({"markets": ["gb", "us", "us"]}, "markets: us, expected each market once|markets: .*once"),
        ({"markets": ["gb", "us", "nowhere"]}, "markets: .*nowhere"),
        ({"markets": ["gb", "us", {"name": "x", "tax": 1}]}, "markets.x.tax"),
        ({"markets": ["gb", "us", {"name": "x", "vat": float("nan")}]}, "markets.x.vat"),
        ({"markets": ["gb", "us", {"name": "x", "currency": "euro"}]}, "markets.x.currency"),
        ({"markets": ["gb", "us", {"name": "x", "language": "fr"}]}, "markets.x.language.*en, zh"),
        ({"market_prices": "own"}, "market_prices"),
        ({"market_prices": "own", "markets": ABROAD, "resolution": "item"}, "market_prices"),
    ],
)
def test_markets_that_make_no_sense_are_refused(changes, message):
    with pytest.raises(FieldError, match=message):
        MarketplaceParams(**changes)


def test_markets_by_name_by_fields_and_themselves():
    given = ["gb", {"name": "home", "vat": 0.1}, Market("x", "USD")]
    assert [market.name for market in markets_of(given)] == ["gb", "home", "x"]
    assert Market("x", vat=0.2, duty=0.1).taxes(100.0) == pytest.approx((10.0, 22.0))
