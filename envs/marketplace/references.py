"""A bound on the profit of the whole store: no policy over all six decisions earns more in expectation.

The store is relaxed until days and visitors come apart; every step only adds to what a policy may earn.

1. **Each visitor sees a page and prices of their own.** With weights w_i = exp(utility) and a value v_i of each choice,
   the largest expected profit of a visitor is the R that solves R = max over pages of sum over ranks k of
   k^-position_effect h_i(R), h_i(R) = max over prices of w_i (v_i - R): items with the highest h come first, and those
   with h < 0 not at all (the parametric method for fractions, Dinkelbach 1967; for pages under the multinomial logit,
   Rusmevichientong, Shen and Shmoys 2010, Operations Research 58(6)). With equal sensitivities, no fraud and no
   returns this is the Lambert-W price. Nothing is ever out of stock (those who wait or turn to another item have
   lower weights), nor held. Ratings are at their highest: with fidelity `fast` the mean that is read in a buyer's
   review, or the 3 stars of the start if that is more, with `reference` the highest mean that any review is read as.
   Delivery takes the one day at least that it can, from the first day on as fast as the smoothed figure can fall.
2. **Goods.** What was bought, sold, sent back and left over add up. So stock costs at least x (units sold - sent back
   - there at the start, or in the pipeline), at any x between salvage and cost: each such x bounds, the least is taken.
3. **Fraud.** Each order is screened at the best threshold for its price.
4. **Delivery.** Parcels that the fleet carries, D <= C, cost at least `stop_cost` each and, on average over days,
   tour_cost / sqrt(C) (1 - 4/27 (promise - 1)) each. With W parcels free to wait, u that must go and K = tour_cost /
   sqrt(C), a tour costs tour_cost (x sqrt(u + W) + (1 - x) sqrt(u)) >= K (u + x W) - 4/27 K W: the difference is
   concave in u and in W, and at the ends it is at least 0, as max x (1 - sqrt(x)) = 4/27. Summed over days, where a
   parcel is free on promise - 1 days at most, this is what is said. Parcels that need not go before the season ends
   may stay, and what others saved on their account is counted.
5. **After the sale.** Everything comes in time, a new customer is worth what one is in the segment where that is most,
   and nobody leaves. Returns and tickets are those of buyers in time, of the honest ones at the highest share of fraud
   that passes. Satisfied buyers join but for those who are customers. Where all visitors of a segment see one page
   (`popularity`) and parts of units are counted (`fast`), the share z of strangers among buyers is never more than
   among visitors. So z <= 1 - (1 - z0) m / A, with A customers of a segment at the start, z0 the share then with the
   most marketing, and m the fewest that any segment has had so far (the share is convex in m where customers visit
   more often than strangers). To lower m costs customers, and must not pay: z0 is raised on days where it would.
   Else z <= 1.
6. **Visits.** The value of the rest of the season is then a constant plus so much per customer (never less than 0),
   by recursion from the end. Marketing is at its best each day; it is convex in the number of people reached, and
   the line from none to all of them takes its place. A second bound has all people be customers all the time.

What is known beforehand is the scenario's factor of the visits and its traffic; all other chance is averaged over. So
the bound is on the mean over many seasons, not on a single one. Two exceptions: a policy that overruns the fleet until
the end saves what the parcels overdue then would have cost (step 4 counts them as delivered); and with fidelity `fast`
second choices are not screened again, which step 1 neglects.
"""

import numpy as np

PRICES, VALUES, CREDITS, COSTS = 250, 80, 7, 3  # points of the grids: prices, R, a customer's value, cost of goods
SHORTER = 4 / 27  # max x (1 - sqrt(x))


def bounds(model, scenario: dict) -> np.ndarray:
    """Return a bound on the expected profit (n,), money per episode, salvage included, given each scenario's visits.

    Args:
        model: a `Marketplace`. What it does not let agents decide is held fixed, but for restocking, dispatch and
            ranking, which are bounded as if they were free.
        scenario: of its `scenarios`, n rows.
    """
    p = model.params
    shares = np.linspace(0.0 if p.continuing else p.salvage_share, 1, COSTS)
    factor, traffic = (scenario[name][:, : model.horizon, 0].astype(float) for name in ("factor", "traffic"))
    return np.min([_bound(model, factor, traffic, share * model.catalogue.cost) for share in shares], axis=0)


def _bound(model, factor: np.ndarray, traffic: np.ndarray, goods: np.ndarray) -> np.ndarray:
    """Return the bound (n,) with units worth `goods` (I,) money."""
    p = model.params
    largest = 1 + p.customer_value + p.customer_visits * p.horizon / p.price_sensitivity  # guess of a customer's value
    while True:
        credits = np.linspace(0, largest, CREDITS)
        worth = visitor_values(model, goods, credits)  # (T, S, CREDITS)
        value, customer = _season(model, factor, traffic, credits, worth)
        if customer.max() <= largest:
            break
        largest *= 4
    start = model.initial(1)
    stock = (start.on_hand + sum(start.pipeline))[0].astype(float)
    value = value + customer.sum(axis=1) * float(start.customers[0, 0])
    return np.minimum(value, _everybody(model, factor, worth[:, :, 0])) + (goods * stock).sum()


def _everybody(model, factor, worth: np.ndarray) -> np.ndarray:
    """Return the profit (n,) if all people are always customers, or strangers under the largest marketing at no cost.

    Args:
        model: a `Marketplace`.
        factor: of the visits (n, T).
        worth: largest profit of a visitor (T, S) if new customers are worth nothing: there are none.
    """
    p = model.params
    rate = max(p.customer_visits, p.other_visits * _lift(p, p.max_marketing))
    return factor @ worth.sum(axis=1) * rate * p.population / p.segments + p.customer_value * p.population


def _season(model, factor, traffic, credits, worth) -> tuple[np.ndarray, np.ndarray]:
    """Return the constant (n,) and the value of a customer (n, S) at the start of the season."""
    p = model.params
    people, start = p.population / p.segments, float(model.initial(1).customers[0, 0])
    joining = p.satisfied_join * model.odds[0][:, 3:].sum(axis=1).max()  # new customers per parcel, at most
    value, credit, fewer = (np.zeros(len(factor)) for _ in range(3))  # fewer: worth of one less of the fewest customers
    customer = np.full((len(factor), p.segments), 0.0 if p.continuing else p.customer_value)
    strangers = _strangers(model, start)
    for t in reversed(range(model.horizon)):
        dear = customer.max(axis=1)
        lever = joining * p.fleet_capacity * (1 - traffic[:, t]) * dear / max(start, 1e-9)
        share = np.maximum(strangers, 1 - (customer.min(axis=1) - fewer) / np.maximum(lever, 1e-12))
        share = np.minimum(share, 1)
        fewer = fewer + lever * (1 - share)
        credit = np.maximum(credit, share * dear)  # of a satisfied buyer, on this day or a later one
        visitor = np.stack([np.interp(credit, credits, row) for row in worth[t]], axis=1)  # (n, S) money, convex
        reached = factor[:, t] * p.other_visits * people * visitor.sum(axis=1)  # money of all, without marketing
        gain, spent = _marketing(model, reached)
        value = value + gain * reached - spent
        each = p.customer_visits - p.other_visits * gain
        customer = customer + np.maximum(factor[:, t, None] * visitor * each[:, None], 0)
    return value, customer


def _strangers(model, start: float) -> float:
    """Return the highest share of buyers who are no customers, while each segment has at least `start` customers."""
    p = model.params
    others = p.other_visits * _lift(p, p.max_marketing if "marketing" in p.decides else p.marketing)
    if p.ranking != "popularity" or p.fidelity != "fast" or others > p.customer_visits or not start:
        return 1.0
    visits = others * (p.population / p.segments - start), p.customer_visits * start
    return max(0.5, visits[0] / max(sum(visits), 1e-12))  # half of them are in the figures that the season starts with


def _marketing(model, reached: np.ndarray) -> tuple[np.ndarray, float]:
    """Return by what others' visits are multiplied, net of marketing (n,), and what is spent whatever it brings."""
    p = model.params
    if "marketing" not in p.decides:
        return np.full(len(reached), _lift(p, p.marketing)), p.marketing
    money = p.marketing_scale * np.log(np.maximum(reached * p.marketing_lift / p.marketing_scale, 1.0))
    money = np.minimum(money, p.max_marketing)
    return _lift(p, money) - money / np.maximum(reached, 1e-12), 0.0


def _lift(p, money):
    return 1 + p.marketing_lift * (1 - np.exp(-money / p.marketing_scale))


def visitor_values(model, goods: np.ndarray, credits: np.ndarray) -> np.ndarray:
    """Return the largest expected profit of a visitor (T, S, C), money, where a new customer is worth `credits` (C,).

    Args:
        model: a `Marketplace`.
        goods: money per unit (I,).
        credits: money, rising.
    """
    p, c = model.params, model.catalogue
    late = p.promise - 1  # days at the season's end whose parcels need not go
    price, slack = _prices(model)
    ranks = np.arange(1, p.page_size + 1.0) ** -p.position_effect
    rating = p.rating_effect * (_highest_ratings(model) - 3)
    days = np.arange(model.horizon)
    speed = np.exp(-p.delay_effect * (1 + (p.promise - 1) * 0.9**days))
    utility = c.taste[..., None] + rating[:, None] - c.sensitivity[:, None, None] * price
    weight = np.exp(utility) * (1 + (c.sensitivity.max() * slack[:, None]) ** 2 / 4)  # between two prices of the grid
    worth = np.empty((model.horizon, p.segments, len(credits)))
    for k, credit in enumerate(credits):
        for last in (False, True):
            chosen = days >= model.horizon - late if last else days < model.horizon - late
            if not chosen.any():
                continue
            value = _order_values(model, price, goods, credit, last)
            worth[chosen, :, k] = _solve(weight, value, ranks, speed[chosen])
    return worth


def _solve(weight, value, ranks, scale) -> np.ndarray:
    """Return the R (T, S) with R = scale (T,) x H(R), from above; H is convex, and lies below its chords.

    Args:
        weight: (S, I, P) at scale 1.
        value: of an order (I, P), money.
        ranks: weights of the ranks (K,).
        scale: of all weights (T,).
    """
    highest = max(float(value.max()), 1e-9)
    grid = highest * np.linspace(0, 1, VALUES)
    best = np.stack([(weight * (value - r)).max(axis=2) for r in grid])  # (VALUES, S, I)
    height = np.maximum(np.sort(best, axis=2)[..., ::-1][..., : len(ranks)], 0) @ ranks
    solution = np.empty((len(scale), len(weight)))
    for s in range(len(weight)):
        low, high = np.zeros(len(scale)), np.full(len(scale), highest)
        for _ in range(40):
            middle = (low + high) / 2
            above = scale * np.interp(middle, grid, height[:, s]) > middle
            low, high = np.where(above, middle, low), np.where(above, high, middle)
        solution[:, s] = high
    return solution


def _prices(model) -> tuple[np.ndarray, np.ndarray]:
    """Return the prices (I, P) that may be set, on a grid, and its steps (I,)."""
    p, cost = model.params, model.cost.astype(float)
    low, high = (cost + x * model.markup for x in (model.controls["price"][1:]))
    if "price" not in p.decides:
        low = high = cost + p.price * model.markup
    elif p.resolution == "item":
        low, high = 0 * cost, 0 * cost + p.max_price
    steps = PRICES if (high > low).any() else 2
    grid = np.linspace(low, high, steps, axis=1)
    return grid, grid[:, 1] - grid[:, 0]


def _highest_ratings(model) -> np.ndarray:
    """Return the highest ratings (I,) that can be shown."""
    p, means = model.params, model.models.reading @ np.arange(1, 6)
    if not p.sentiment:
        return np.full(p.items, 3.0)
    if p.fidelity == "reference":
        return np.full(p.items, max(3.0, means.max()))
    written = [odds * np.asarray(p.review_share) for odds in model.odds]  # by stars, in time and late
    read = [(w @ means) / np.maximum(w.sum(axis=1), 1e-12) for w in written]
    return np.maximum(3.0, np.maximum(*read))


def _order_values(model, price, goods, credit: float, last: bool) -> np.ndarray:
    """Return the largest profit of an order at prices (I, P), screened at the best threshold, money (I, P)."""
    p = model.params
    fraud = np.clip(p.fraud_share * price / (model.catalogue.cost.mean() + model.markup), 0, 0.5)
    if not p.screening:
        passes = [(1.0, 1.0)]
    elif "fraud" not in p.decides:
        passes = [tuple(float(x) for x in model._passes(p.fraud))]
    else:
        passes = list(zip(1 - model.models.legitimate, 1 - model.models.fraudulent, strict=True))
    worst = max(fraud.max() * f / max((1 - fraud.max()) * h + fraud.max() * f, 1e-12) for h, f in passes)
    unit = price - goods[:, None] + _after_sale(model, price - goods[:, None], credit, 1 - worst, last)
    best = np.full(price.shape, -np.inf)
    for honest, cheats in passes:
        taken = (1 - fraud) * honest + fraud * cheats
        worth = taken * unit - fraud * cheats * (price + p.chargeback_fee) - p.refusal_cost * (1 - taken)
        best = np.maximum(best, worth)
    return best


def _after_sale(model, margin, credit: float, honest: float, last: bool) -> np.ndarray:
    """Return what a shipped unit brings after the sale, mostly costs, money (I, P), for margins (I, P)."""
    p, (odds, _) = model.params, model.odds
    unhappy, satisfied = odds[:, :2].sum(axis=1)[:, None], odds[:, 3:].sum(axis=1)[:, None]
    tour = p.tour_cost / np.sqrt(p.fleet_capacity) if p.delivery == "formula" else 0.0  # routed: nothing is known
    driving = p.stop_cost + tour * max(1 - SHORTER * (p.promise - 1), 0)
    back = p.return_share * (np.maximum(-margin, 0) - honest * unhappy * np.maximum(margin, 0))
    tickets = honest * unhappy * p.ticket_share * model.models.service[:, 2].min() * p.service_cost
    brings = back - driving - tickets + p.satisfied_join * satisfied * credit
    return np.maximum(brings, SHORTER * tour * (p.promise - 1)) if last else brings
