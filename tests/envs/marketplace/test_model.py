"""The whole store: conservation of units and money, both fidelities, its parts against closed forms, its adapters."""

from dataclasses import fields
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from storelab.envs import TASKS, Marketplace, MarketplaceParams
from storelab.envs.core.rollout import play, rollout
from storelab.envs.marketplace.fulfilment import Thin, binomial, deliver, star_odds
from storelab.envs.marketplace.params import DECISIONS, Catalogue, StoreModels, lambert_markup
from storelab.envs.marketplace.shopping import Shop, by_counts, one_by_one, rank
from storelab.evaluation import evaluate

SMALL = dict(items=5, horizon=8, population=300.0, page_size=3, fleet_capacity=8.0)


def random_policy(model):
    def act(observation, state, seed):
        rng = np.random.default_rng(seed)
        return rng.uniform(model.action_low, model.action_high, (len(observation), len(model.action_low))), state

    return act


@st.composite
def problems(draw):
    share = st.sampled_from([0.0, 0.3, 1.0])
    return MarketplaceParams(
        items=draw(st.integers(2, 7)), segments=draw(st.integers(1, 3)), horizon=draw(st.integers(1, 10)),
        continuing=draw(st.booleans()), catalogue_seed=draw(st.integers(0, 99)),
        fidelity=draw(st.sampled_from(["fast", "reference"])), resolution=draw(st.sampled_from(["store", "item"])),
        decides=draw(st.sampled_from([list(DECISIONS), ["price"], ["restock", "marketing"]])),
        ranking=draw(st.sampled_from(["popularity", "random"])), sentiment=draw(st.booleans()),
        screening=draw(st.booleans()), forecast=draw(st.sampled_from(["none", "oracle"])),
        population=draw(st.sampled_from([50.0, 400.0])), page_size=2, lead_time=draw(st.integers(1, 4)),
        promise=draw(st.integers(1, 4)), fleet_capacity=draw(st.sampled_from([2.0, 10.0, 500.0])),
        max_level=draw(st.sampled_from([3.0, 100.0])), return_share=draw(share), fraud_share=0.2 * draw(share),
        unhappy_leave=draw(share), satisfied_join=draw(share),
    )  # fmt: skip


@given(params=problems(), seed=st.integers(0, 2**40))
@settings(max_examples=60)
def test_units_and_money_are_conserved(params, seed):
    model = Marketplace(params)
    scenario, start = model.scenarios([seed, seed + 1]), model.initial(2)
    run = rollout(model, random_policy(model), scenario, seed=seed % 1000, trace=True)
    flow = {name[5:]: values.astype(float) for name, values in run.items() if name.startswith("flow.")}
    total = {name: np.cumsum(values, axis=1) for name, values in flow.items()}
    close = dict(rtol=1e-4, atol=1e-2)
    # Stock: what was there, came from suppliers and came back is sold or there; returns are in stock the day after.
    back = total["returns"] - flow["returns"]
    first = start.on_hand.astype(float)[:, None]
    assert np.allclose(first + total["arrived"] + back - total["sales"], flow["on_hand"], **close)
    # Orders to suppliers arrive after the lead time.
    placed = np.concatenate([np.stack(start.pipeline, axis=1), flow["ordered"]], axis=1)
    assert np.allclose(placed[:, : params.horizon], flow["arrived"], **close)
    # What is shipped is delivered, or under way and not negative; what is late was delivered.
    under_way = total["sales"] - total["delivered"]
    assert (under_way >= -1e-2).all()
    assert (flow["late"] <= flow["delivered"] + 1e-3).all()
    # Orders placed are refused, or shipped, or wait.
    waiting = total["demand"] - total["refused"] - total["sales"]
    assert (waiting >= -1e-2).all()
    assert (total["returns"] <= total["delivered"] + 1e-2).all()
    assert (total["reviews"] <= total["delivered"] + 1e-2).all()
    assert ((flow["rating"] >= 1) & (flow["rating"] <= 5)).all()
    assert (flow["customers"] <= params.population / params.segments + 1e-2).all()
    assert all((values >= -1e-4).all() for values in flow.values())
    # Money: the reward is the sum of the named terms, and of the items.
    earned = sum(run[name] for name in ("revenue", "salvage") if name in run)
    spent = sum(values for name, values in run.items() if name.endswith("_cost"))
    assert np.allclose(run["reward"], earned - spent, **close)
    assert np.allclose(run["revenue"], flow["revenue"].sum(axis=2), **close)
    ordered = np.cumsum(flow["price"] * (flow["demand"] - flow["refused"]), axis=1)  # money
    assert (total["revenue"] <= ordered * (1 + 1e-4) + 1e-1).all()  # nobody pays more than the order said
    assert (total["refunds"] <= total["revenue"] * (1 + 1e-4) + 1e-1).all()
    assert np.allclose(run["reward"], run["item_profit"].sum(axis=2) + run.get("salvage", 0), rtol=1e-3, atol=0.1)
    if params.fidelity == "reference":
        for name in ("sales", "delivered", "reviews", "returns", "demand"):
            assert np.allclose(flow[name], np.round(flow[name]), atol=1e-3), name


@pytest.mark.parametrize("fidelity", ["fast", "reference"])
def test_who_waits_pays_the_price_of_the_order(fidelity):
    """Cheap days without stock, dear days on which it arrives: what is paid and owed is what the orders said."""
    model = Marketplace(MarketplaceParams(**SMALL | {"horizon": 20}, fidelity=fidelity, return_share=1.0))

    def act(observation, state, seed):
        return np.tile([-4, (0.1, 4.0)[seed // 5 % 2], 0.5, 1, 0, 0, 0, 1, 60], (len(observation), 1)), state

    days = list(play(model, act, model.scenarios(range(8))))
    flows = [flow for _, flow, _ in days]
    said = sum(flow.price.astype(float) * (flow.demand - flow.refused) for flow in flows)
    revenue, refunds = sum(flow.revenue.astype(float) for flow in flows), sum(flow.refunds for flow in flows)
    last = days[-1][0]
    assert sum(flow.unmet.sum() for flow in flows) > 0.3 * sum(flow.demand.sum() for flow in flows)
    assert np.allclose(revenue + last.owed, said, rtol=1e-3, atol=0.1)
    assert ((last.owed > 1) == (last.backlog > 0.1)).all()
    assert (refunds + last.paid <= revenue + 0.1).all()
    mean = revenue.sum() / sum(flow.sales.sum() for flow in flows)
    assert mean < 0.75 * flows[-1].price.mean()  # most ordered on cheap days


@given(params=problems(), seed=st.integers(0, 2**40))
@settings(max_examples=30)
def test_rows_do_not_depend_on_their_batch(params, seed):
    model = Marketplace(params)
    both, alone = model.scenarios([seed, seed + 1]), model.scenarios([seed + 1])
    assert all((both[name][1] == alone[name][0]).all() for name in both)
    policy = random_policy(model)
    first = policy(np.zeros((1, 1)), None, 3)[0]

    def same(observation, state, seed):
        return np.tile(first, (len(observation), 1)), state

    runs = [rollout(model, same, scenario) for scenario in (both, alone)]
    for name in runs[0]:
        assert np.allclose(runs[0][name][1], runs[1][name][0], rtol=1e-5, atol=1e-4), name


def test_fidelities_agree():
    """In means over seasons, within four standard errors of the difference, and of 3 per cent."""
    means, errors = {}, {}
    for fidelity in ("fast", "reference"):
        model = Marketplace(MarketplaceParams(horizon=21, fidelity=fidelity, fleet_capacity=25.0))
        action = [2.0, 1.0, 0.8, 1.0, 0.0, 0.0, 0.1, 0.95, 60.0]
        run = rollout(model, lambda o, s, seed, a=action: (np.tile(a, (len(o), 1)), s), model.scenarios(range(60)))
        names = (
            "visits",
            "demand",
            "sales",
            "revenue",
            "late",
            "delivered",
            "rating",
            "customers",
            "returns",
            "reward",
        )
        values = {name: run[name].mean(axis=1) for name in names}
        means[fidelity] = {name: value.mean() for name, value in values.items()}
        errors[fidelity] = {name: value.std() / 60**0.5 for name, value in values.items()}
    for name, mean in means["reference"].items():
        bound = 4 * np.hypot(errors["fast"][name], errors["reference"][name]) + 0.01 * abs(mean)
        assert abs(means["fast"][name] - mean) < bound, name
        assert bound < (0.8 if name == "late" else 0.15) * abs(mean), name  # the test can fail


def shop(stock, rate=4.0, accept=1.0, n=4000, delay=0.8):
    """A day of two groups on two pages of three of four items."""
    page = np.array([[0, 1, 2], [3, 1, 0]])
    utility = np.array([[0.5, 0.0, -0.5], [0.2, -0.3, 0.4]])
    return Shop(
        rate=np.full((n, 2), rate), page=np.tile(page, (n, 1, 1)), page_of=np.array([0, 1]),
        utility=np.tile(utility, (n, 1, 1)), delay=delay, accept=np.full((n, 4), accept),
        stock=np.tile(np.asarray(stock, float), (n, 1)),
    )  # fmt: skip


def shocks(n=4000, rate=8.0, many=40):
    rng = np.random.default_rng(0)
    return {
        "uniform": rng.random((n, 4)), "candidates": np.minimum(rng.poisson(rate, (n, 1)), many),
        "largest_rate": np.full((n, 1), rate), "who": rng.random((n, many)), "lets": rng.random((n, many)),
        "noise": rng.gumbel(size=(n, many * 4)),
    }  # fmt: skip


@pytest.mark.parametrize("way", [by_counts, one_by_one])
def test_choices_are_multinomial_logit(way):
    """With stock for all, orders have the logit's means; screening takes its share."""
    day = shop([99] * 4, accept=0.75)
    orders, weight = way(day, shocks()), np.exp(day.utility[0])
    share = weight / (1 + weight.sum(axis=1, keepdims=True))
    expected = np.zeros(4)
    np.add.at(expected, day.page[0], 4.0 * share)
    error = np.sqrt(expected / 4000)
    assert (abs(orders.sold.mean(axis=0) - 0.75 * expected) < 4 * error).all()
    assert (abs(orders.refused.mean(axis=0) - 0.25 * expected) < 4 * error).all()
    assert (orders.waiting == 0).all()
    assert abs(orders.visits.mean() - 8) < 0.2


def test_second_choices_agree_where_stock_runs_out():
    counts, ones = (way(shop([1, 2, 0, 1]), shocks()) for way in (by_counts, one_by_one))
    for name in ("sold", "waiting", "demand"):
        a, b = getattr(counts, name).mean(axis=0), getattr(ones, name).mean(axis=0)
        assert (abs(a - b) < 0.1).all(), (name, a, b)
    assert abs(counts.sold.sum(axis=1).mean() - ones.sold.sum(axis=1).mean()) < 0.08
    assert (counts.sold <= shop([1, 2, 0, 1]).stock + 1e-9).all()


def test_ranking():
    score = np.array([[0.1, 3.0, 2.0, 2.5], [1.0, 1.0, 1.0, 5.0]])
    assert rank(score, 3)[0].tolist() == [1, 3, 2]
    assert rank(score, 4)[1, 0] == 3


@given(seed=st.integers(0, 2**30))
@settings(max_examples=25)
def test_binomial_parts(seed):
    rng = np.random.default_rng(seed)
    units, share = rng.integers(0, 30), rng.choice([0.0, 0.02, 0.5, 0.97, 1.0])
    taken = binomial(np.full(3000, float(units)), np.full(3000, share), rng.random(3000))
    assert ((taken >= 0) & (taken <= units) & (taken == np.round(taken))).all()
    mean, variance = units * share, units * share * (1 - share)
    assert abs(taken.mean() - mean) <= 5 * np.sqrt(variance / 3000) + 1e-12
    assert abs(taken.var() - variance) <= 0.25 * variance + 1e-12


def test_stars():
    odds = star_odds(np.array([-50.0, 0.0, 50.0]))
    assert np.allclose(odds.sum(axis=1), 1)
    assert odds[0].tolist() == pytest.approx([1, 0, 0, 0, 0])
    assert odds[2].tolist() == pytest.approx([0, 0, 0, 0, 1])
    assert odds[1].tolist() == pytest.approx(odds[1][::-1].tolist())  # neither way


def test_a_day_of_delivery_by_hand():
    """Promise of two days, 4 parcels may wait, 9 must go, the fleet carries 100, half the zones are visited."""
    p = MarketplaceParams(items=2, page_size=1, promise=2, stop_cost=1.0, tour_cost=10.0)
    parcels = [np.array([[a, b]], float) for a, b in ((3, 1), (5, 2), (0, 2), (0, 0))]
    one = np.ones((1, 1))
    sent, left, driving = deliver(p, parcels, 0.5 * one, 100 * one, Thin(None, 2))
    assert [units.tolist() for units in sent] == [[[1.5, 0.5]], [[5, 2]], [[0, 2]], [[0, 0]]]
    assert [units.sum() for units in left] == [2, 0, 0]
    assert driving.item() == pytest.approx(11 + 10 * (0.5 * np.sqrt(13) + 0.5 * np.sqrt(9)))
    sent, left, _ = deliver(p, parcels, 0.5 * one, 6 * one, Thin(None, 2))  # six of the nine that must go
    assert sum(units.sum() for units in sent) == pytest.approx(6)
    assert sum(units.sum() for units in left) == pytest.approx(7)


def test_the_markup_is_best_on_a_full_page():
    p = MarketplaceParams(items=6, page_size=6, segments=1)
    c = Catalogue.draw(p)

    def profit(markup):
        weight = np.exp(c.taste[0] - p.delay_effect * p.promise - c.sensitivity[0] * (c.cost + markup))
        return markup * weight.sum() / (1 + weight.sum())

    grid = np.linspace(5, 40, 7_000)
    assert grid[np.argmax([profit(m) for m in grid])] == pytest.approx(lambert_markup(p, c), abs=6e-3)


def test_channels_matter():
    """Switching a channel changes what it should: the same seasons, the same decisions."""
    action = [2.0, 1.0, 0.8, 1.0, 0.0, 0.0, 0.0, 0.97, 60.0]

    def run(**changes):
        model = Marketplace(MarketplaceParams(**changes))
        series = rollout(model, lambda o, s, seed: (np.tile(action, (len(o), 1)), s), model.scenarios(range(40)))
        return {name: values.sum(axis=1).mean() for name, values in series.items()}

    usual = run()
    assert run(ranking="random")["revenue"] < 0.9 * usual["revenue"]
    open_door = run(screening=False)
    assert open_door["chargeback_cost"] > 1.2 * usual["chargeback_cost"]
    assert open_door["refused"] == 0
    assert run(sentiment=False)["returns"] != usual["returns"]
    late = run(fleet_capacity=15.0)
    assert late["late"] > 100 * max(usual["late"], 0.01)
    assert late["rating"] < usual["rating"]
    assert late["customers"] < usual["customers"]


def test_a_recommendation_table_is_followed(tmp_path):
    relevance = np.tile(np.arange(5.0), (4, 1))
    relevance[0] = -relevance[0]
    none = StoreModels.none()
    tables = {f.name: getattr(none, f.name) for f in fields(none) if f.name != "relevance"}
    np.savez(tmp_path / "tables.npz", relevance=relevance, **tables)
    model = Marketplace(MarketplaceParams(**SMALL, ranking="learned", models=str(tmp_path)))
    sales = rollout(
        model, lambda o, s, seed: (np.tile([2, 1, 1, 1, 0, 0, 0, 1, 60], (len(o), 1)), s), model.scenarios(range(50)),
        trace=True,
    )["flow.demand"].sum(axis=(0, 1))  # fmt: skip
    assert sales[3] > 0
    assert Marketplace(MarketplaceParams(**SMALL)).relevance(model.initial(1), {}).shape == (1, 1, 5)


def test_where_all_items_have_one_markup_the_weight_of_margin_changes_nothing():
    """Margins are equal then but for rounding: pages are ranked by what else counts, in whatever units costs are."""
    for price in (0.3, 1.0, 3.7):
        model = Marketplace(MarketplaceParams(**SMALL))
        runs = []
        for margin in (0.0, 1.0):
            action = [2, price, 1, 0.1, margin, 0, 0.2, 1, 60]
            act = lambda o, s, seed, a=action: (np.tile(a, (len(o), 1)), s)
            runs.append(rollout(model, act, model.scenarios(range(3)), trace=True))
        assert all((runs[0][name] == runs[1][name]).all() for name in runs[0])
    item = Marketplace(MarketplaceParams(**SMALL, resolution="item"))
    runs = []
    for margin in (0.0, 1.0):
        action = [20] * 5 + [20, 25, 30, 35, 40] + [1, 0.1, margin, 0, 0.2, 1, 60]
        act = lambda o, s, seed, a=action: (np.tile(a, (len(o), 1)), s)
        runs.append(rollout(item, act, item.scenarios(range(3)), trace=True)["flow.demand"])
    assert (runs[0] != runs[1]).any()  # prices of items' own are told apart


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"items": 1}, "items: 1"),
        ({"decides": ["price", "restock"]}, "decides: .*expected some of restock, price"),
        ({"decides": ["discount"]}, "decides"),
        ({"ranking": "best"}, "ranking: 'best'"),
        ({"page_size": 30}, "page_size: 30"),
        ({"fraud": 1.5}, "fraud: 1.5"),
        ({"recommendation": [1.0, 0.0]}, "recommendation"),
        ({"marketing": 1e5}, "marketing: 100000"),
        ({"models": "/nowhere"}, "models: '/nowhere'"),
        ({"ranking": "learned"}, "ranking: 'learned' is not allowed, expected models"),
        ({"forecast": "model"}, "forecast: 'model'"),
        ({"delivery": "routed"}, "delivery: 'routed' is not allowed"),
    ],
)
def test_bad_parameters_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        TASKS["Marketplace"](**changes).model()


def test_bad_tables_are_refused(tmp_path):
    none = StoreModels.none()
    np.savez(tmp_path / "whole.npz", **{f.name: getattr(none, f.name) for f in fields(none) if f.name != "relevance"})
    whole = (tmp_path / "whole.npz").read_bytes()
    for harm in (whole[: len(whole) // 2], b"", b"junk" * 50, whole[:900] + b"x" * 50 + whole[950:]):
        (tmp_path / "tables.npz").write_bytes(harm)
        with pytest.raises(ValueError, match=r"models: .*expected a folder with tables"):
            StoreModels.load(tmp_path)
    with pytest.raises(ValueError, match=r"reading: .*expected shape \(5, 5\), rows that sum to 1, not shape \(4, 4\)"):
        StoreModels(None, none.legitimate, none.fraudulent, np.eye(4), none.service)
    with pytest.raises(ValueError, match=r"relevance\[0, 0\]: nan is not allowed, expected a finite score"):
        StoreModels(np.full((4, 5), np.nan), none.legitimate, none.fraudulent, np.eye(5), none.service)
    with pytest.raises(ValueError, match=r"legitimate: .*expected at least two shares, falling"):
        StoreModels(None, none.legitimate[::-1], none.fraudulent, np.eye(5), none.service)


def test_several_learners():
    pytest.importorskip("pettingzoo")
    from pettingzoo.test import parallel_api_test
    from storelab.envs.marketplace.parallel import MarketplaceParallel

    parallel_api_test(MarketplaceParallel(MarketplaceParams(**SMALL)), num_cycles=30)
    env = MarketplaceParallel(MarketplaceParams(**SMALL, decides=["price", "fraud"]))
    observations, _ = env.reset(seed=3)
    assert set(observations) == {"price", "fraud"}
    env.action_space("price").seed(0)
    step = env.step({agent: env.action_space(agent).sample() for agent in env.agents})
    assert step[1]["price"] == step[1]["fraud"]


def test_both_tables_of_evaluation():
    task = TASKS["Marketplace"](**SMALL)
    episodes = evaluate({"random": random_policy(task.model())}, task, np.arange(4))
    assert {"revenue", "chargeback_cost", "marketing_cost", "salvage"} <= set(episodes)


def tour_length(city, stops: np.ndarray) -> int:
    """Seconds of the fast router's tour through customers (rows of a city), time and capacity aside."""
    routing = pytest.importorskip("storelab.envs.dispatch.routing")
    place, count = np.append(0, stops), np.zeros(len(stops) + 1, int)
    problem = routing.RoutingProblem(
        durations=city.durations[np.ix_(place, place)], early=count, late=count + 10**7, service=count,
        demand=count, capacity=10**6, prize=count * 0.0, required=np.append(False, count[1:] == 0),
    )  # fmt: skip
    return routing.check_routes(problem, routing.ROUTERS["fast"](problem, 600, 0))


def test_tours_grow_with_the_square_root_of_their_stops():
    """The delivery cost's formula against the router of dispatch, in a generated city."""
    pytest.importorskip("numba")
    from storelab.envs.dispatch.city import synthetic_city

    city, rng, per_root = synthetic_city(0, 300, 8, 10**6), np.random.default_rng(0), []
    for stops in (10, 40, 160):
        places = [rng.choice(np.arange(1, 301), stops, replace=False) for _ in range(8)]
        per_root.append(np.mean([tour_length(city, place) for place in places]) / np.sqrt(stops))
    assert max(per_root) < 1.3 * min(per_root)  # while the stops are 16 times as many


def test_tours_through_some_zones():
    """The formula against the router where a share of twelve sectors of a city is visited, with `-s` as a table."""
    pytest.importorskip("numba")
    from storelab.envs.dispatch.city import synthetic_city

    cities, rng, zones = [synthetic_city(seed, 300, 8, 10**6) for seed in range(4)], np.random.default_rng(0), 12
    ratios = {}
    for waiting, urgent, share in product((60, 120), (0, 15, 30), (1.0, 0.75, 0.5, 0.25, 0.0)):
        if not urgent and not share:
            continue
        lengths = []
        for k in range(12):
            city, everybody = cities[k % 4], np.arange(1, 301)
            angle = np.arctan2(*(city.coords[1:] - city.coords[1:].mean(axis=0)).T)
            sector = angle.argsort().argsort() * zones // 300
            stops = rng.choice(everybody, waiting, replace=False)
            seen = np.isin(sector[stops - 1], rng.permutation(zones)[: round(share * zones)])
            lengths.append(tour_length(city, stops[seen | (np.arange(waiting) < urgent)]))
        formula = share * np.sqrt(waiting) + (1 - share) * np.sqrt(urgent)
        ratios[waiting, urgent, share] = np.mean(lengths) / formula
    usual = np.mean([seconds for (_, _, share), seconds in ratios.items() if share == 1])
    for case, seconds in ratios.items():
        print(case, f"{seconds:,.0f} s per root, {seconds / usual - 1:+.0%}")
    with_urgent = [seconds / usual for (_, urgent, _), seconds in ratios.items() if urgent]
    assert 0.85 < min(with_urgent) <= max(with_urgent) < 1.2
    assert ratios[60, 0, 0.25] > 1.3 * usual  # a few zones and nothing else: the way there is not in the formula


ROUTED = dict(fidelity="reference", delivery="routed")


def routed_days(model, seeds, share=0.6):
    action = [2.0, 1.0, share, 1.0, 0.0, 0.0, 0.0, 0.97, 60.0]
    return list(play(model, lambda o, s, seed: (np.tile(action, (len(o), 1)), s), model.scenarios(seeds)))


@pytest.mark.parametrize("capacity", [3.0, 8.0, 500.0])
def test_every_routed_parcel_is_delivered_once(capacity):
    pytest.importorskip("numba")
    model = Marketplace(MarketplaceParams(**SMALL | {"fleet_capacity": capacity}, **ROUTED))
    days, again, alone = (routed_days(model, seeds) for seeds in ([3, 4], [3, 4], [4]))
    shipped = delivered = np.zeros((2, 5))
    for (state, flow, _), (_, same, _), (_, own, _) in zip(days, again, alone, strict=True):
        shipped, delivered = shipped + flow.sales, delivered + flow.delivered
        under_way = sum(state.parcels).reshape(2, -1, 5).sum(axis=1)
        assert (shipped == delivered + under_way).all()
        assert all((units >= 0).all() and (units == np.round(units)).all() for units in state.parcels)
        assert ((flow.driving > 0) == (flow.delivered.sum(axis=1, keepdims=True) > 0)).all()
        assert all((getattr(flow, f.name) == getattr(same, f.name)).all() for f in fields(flow))
        assert (flow.driving[1] == own.driving[0]).all()
        assert (flow.delivered.sum(axis=1) <= capacity + 0.5).all()
    late = sum(flow.late.sum() for _, flow, _ in days)
    assert late == 0 if capacity > 3 else late > 0


def test_routed_days_agree_with_the_formula():
    """Means per day: delivered and late parcels, money per parcel. `bench/fidelity.py` has them over more seasons."""
    pytest.importorskip("numba")
    for capacity in (40.0, 25.0):
        means, errors = {}, {}
        for delivery in ("formula", "routed"):
            changes = dict(horizon=28, fidelity="reference", delivery=delivery, fleet_capacity=capacity)
            flows = [flow for _, flow, _ in routed_days(Marketplace(MarketplaceParams(**changes)), range(10))]
            delivered, late, driving = (
                np.sum([getattr(flow, name).sum(axis=1) for flow in flows], axis=0) / 28
                for name in ("delivered", "late", "driving")
            )
            rows = np.stack([delivered, late, driving / delivered], axis=1)
            means[delivery], errors[delivery] = rows.mean(axis=0), rows.std(axis=0) / 10**0.5
        bound = 4 * np.hypot(errors["formula"], errors["routed"]) + means["formula"] * [0.01, 0.05, 0.03]
        assert (abs(means["routed"] - means["formula"]) < bound + [0, 0.1, 0]).all()
        assert (bound[[0, 2]] < 0.1 * means["formula"][[0, 2]]).all()  # the test can fail


def test_demand_per_person_is_the_same_at_every_size():
    """At a population of 100,000 it was less than half, at a million a thousandth: the Poisson inverse underflowed."""
    demand = []
    for people in (2e3, 1e5, 1e6):
        changes = {"population": people, "max_level": 1e6, "fleet_capacity": 1e6}
        model = TASKS["Marketplace"](horizon=6, **changes).model()
        usual = np.array([1, 1, 0.5, 1, 0, 0, 0, 0.95, 50.0])
        act = lambda observation, state, seed, usual=usual: (np.tile(usual, (len(observation), 1)), state)
        demand.append(rollout(model, act, model.scenarios(np.arange(8)))["demand"].mean() / people)
    assert demand[1:] == pytest.approx([demand[0]] * 2, rel=0.1)
    with pytest.raises(ValueError, match=r"population: 1000000\.0 is not allowed, expected at most 16,777,216 visits"):
        TASKS["Marketplace"](population=1e6, customer_visits=20.0).model()
