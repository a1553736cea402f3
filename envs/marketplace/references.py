"""A bound on the profit of the whole store: no policy over all six decisions earns more in expectation.

The store is relaxed until days and visitors come apart. The value of the rest of a season is taken for a constant and
so much for each customer. Whatever these numbers are, what a day earns beside them at the most, added up, bounds the
season (the dual of dynamic programming's linear program: de Farias and Van Roy 2003, Operations Research 51(6)). Each
step only adds to what a policy may earn.

1. **Each visitor sees a page and prices of their own.** With weights w_i = exp(utility) and a value v_i of each choice,
   the largest expected profit of a visitor is the R that solves R = max over pages of sum over ranks k of
   k^-position_effect h_i(R), h_i(R) = max over prices of w_i (v_i - R): items with the highest h come first, and those
   with h < 0 not at all (the parametric method for fractions, Dinkelbach 1967; for pages under the multinomial logit,
   Rusmevichientong, Shen and Shmoys 2010, Operations Research 58(6)). With equal sensitivities, no fraud and no
   returns this is the Lambert-W price. Nothing runs out (who turns to another item chooses from lower weights), nor is
   it held. To wait for goods is a choice of its own, at exp(-delay_effect lead_time) of the weight: who is served on
   the last days, whose parcels need not go, bears no cost after the sale. Deliveries are as fast as they can be: one
   day, and the smoothed figure falls from the promise to it.
2. **All segments share a page and a markup** where pages are ranked by popularity and prices are one markup. The profit
   is then a sum of fractions, one per segment, which visitors.py bounds by sorting (`_common`). How many times as many
   visitors one segment can have as another follows from step 7. All segments' R are cut by the same share.
3. **Ratings.** An item with n reviews has (15 + m n) / (5 + n) stars at the most, m being the mean that is read in its
   buyers' reviews, or 3 if that is more; n is what the fleet can have delivered, times the largest share who write.
   With fidelity `reference` it has the highest mean that any review is read as.
4. **Goods.** What was bought, sold, sent back and left over add up. So stock costs at least x (units sold - sent back
   - there at the start, or in the pipeline), at any x between salvage and cost: each such x bounds, the least is taken.
5. **Fraud.** Each order is screened at the best threshold for its price. With `fast`, second choices are not screened
   again: so every order passes as often as one of the item that passes most.
6. **Driving.** A parcel of age a that waits on a day costs c_a at the least from then on. With W parcels free to wait,
   u that must go, x of the zones visited besides and C carried at the most, a tour costs tour_cost (x sqrt(u + W) +
   (1 - x) sqrt(u)), concave in the parcels of each age: so it is enough that the c_a of the day are not too high where
   only one age is there and fills the fleet. Must it go, c <= tour_cost / sqrt(C), and no more than on the next day;
   may it wait, c_a <= (1 - x) c_{a+1} + tour_cost x^1.5 / sqrt(C) for all x, where c_{a+1} is the next day's. At a
   season's end what need not go has cost nothing. Each parcel costs `stop_cost` besides.
7. **Customers.** With `fast` no more parcels are delivered than the fleet carries, so that the customers of a day lie
   between two numbers: as if all buyers joined, or left, who can. In what they are worth, nobody leaves, and a new one
   is worth what one is in the segment where that is most. Everything comes in time. Returns and tickets are those of
   buyers in time, of the honest ones at the highest share of fraud that passes. Satisfied buyers join but for those
   who are customers. Where all visitors of a segment see one page (`popularity`) and parts of units are counted
   (`fast`), the share z of strangers among buyers is never more than among visitors. So z <= 1 - (1 - z0) m / A, with A
   customers of a segment at the start, z0 the share then with the most marketing, and m the fewest that any segment has
   had so far (the share is convex in m where customers visit more often than strangers). To lower m costs customers,
   and must not pay: z0 is raised on days where it would. Else z <= 1.
8. **Visits.** The value of the rest of the season follows by recursion from the end; a customer's is never less than 0.
   Marketing is at its best each day; its profit is convex in the number of people reached, and a line takes its place,
   from the fewest to the most that there can be. A second bound has all people be customers all the time.

What is known beforehand is the scenario's factor of the visits and its traffic; all other chance is averaged over. So
the bound is on the mean over many seasons, not on a single one. One exception: a policy that overruns the fleet until
the end saves what the parcels overdue then would have cost (step 6 counts them as delivered).
"""

import numpy as np

from ...errors import FieldError
from .params import MarketplaceParams
from .visitors import Visitors

CREDITS, COSTS = 5, 2  # points of the grids: a customer's value, cost of goods


def bounded(p: MarketplaceParams) -> bool:
    """Return whether `bounds` holds: one net price in all markets, rates of exchange that stand still, and no letters.

    Taxes and longer ways are in the catalogue's sensitivities and tastes; postage is granted.
    """
    return p.market_prices == "net" and not p.exchange and not p.writes


def bounds(model, scenario: dict) -> np.ndarray:
    """Return a bound on the expected profit (n,), money per episode, salvage included, given each scenario's visits.

    Args:
        model: a `Marketplace`. What it does not let agents decide is held fixed, but for restocking, dispatch and
            ranking, which are bounded as if they were free.
        scenario: of its `scenarios`, n rows.

    Raises:
        FieldError: letters, markets with prices of their own or rates of exchange that move: there is no bound.
    """
    p = model.params
    if not bounded(p):
        if p.writes:
            raise FieldError("win_back", p.win_back, "0: no letters", "for a bound")
        raise FieldError("market_prices", p.market_prices, "net, and markets without volatility", "for a bound")
    shares = np.linspace(0.0 if p.continuing else p.salvage_share, 1, COSTS)
    factor, traffic = (scenario[name][:, : model.horizon, 0].astype(float) for name in ("factor", "traffic"))
    return np.min([_bound(model, factor, traffic, share * model.catalogue.cost) for share in shares], axis=0)


def _bound(model, factor: np.ndarray, traffic: np.ndarray, goods: np.ndarray) -> np.ndarray:
    """Return the bound (n,) with units worth `goods` (I,) money."""
    p, capacity = model.params, model.params.fleet_capacity * (1 - traffic)
    costs = _driving(p, capacity)
    last = p.customer_visits * float(factor[:, max(model.horizon - p.promise + 1, 0) :].sum(axis=1).max())
    largest = 1 + p.customer_value + p.customer_visits * p.horizon / p.price_sensitivity  # guess of a customer's value
    while True:
        visitors = Visitors(model, goods, np.linspace(0, largest, CREDITS), costs, last, _uneven(model))
        season = _Season(model, factor, capacity, costs, visitors)
        value, customer = season.solve()
        if customer.max() <= largest:
            break
        largest *= 4
    start = model.initial(1)
    stock = (start.on_hand + sum(start.pipeline))[0].astype(float)
    value = value + customer.sum(axis=1) * float(start.customers[0, 0])
    return np.minimum(value, season.everybody()) + (goods * stock).sum()


def _uneven(model) -> np.ndarray:
    """Return how many times as many visitors one segment can have as another, by day (T,), not falling."""
    p, start = model.params, float(model.initial(1).customers[0, 0])
    days = np.full((1, model.horizon), p.fleet_capacity)
    fewest, most = (x[0] for x in _customers(model, days, start))
    fewest, most = np.maximum(start - (start * p.segments - fewest), 0), start + (most - start * p.segments)
    most = np.minimum(most, p.population / p.segments)
    free = "marketing" in p.decides
    ratio = np.ones(model.horizon)
    for lift in (1.0, _lift(p, p.max_marketing)) if free else (_lift(p, p.marketing),):
        ends = [p.other_visits * lift * (p.population / p.segments - a) + p.customer_visits * a for a in (fewest, most)]
        least = np.maximum(np.minimum(*ends), 0)
        ratio = np.maximum(ratio, np.where(least > 0, np.maximum(*ends) / np.where(least > 0, least, 1), np.inf))
    return np.maximum.accumulate(ratio)


def _driving(p, capacity: np.ndarray) -> np.ndarray:
    """Return what driving a parcel costs at least that is shipped on a day, if the fleet carries `capacity`, (n, T)."""
    tour = p.tour_cost if p.delivery == "formula" else 0.0  # routed: nothing is known
    costs, waiting = np.zeros(capacity.shape), None
    for t in reversed(range(capacity.shape[1])):
        root, later = np.sqrt(capacity[:, t]), waiting
        waiting = np.zeros((len(root), p.promise))  # of a parcel by its age; at the end what may wait has cost nothing
        waiting[:, -1] = tour / root if later is None else np.minimum(tour / root, later[:, -1])
        for age, rest in enumerate([] if later is None else later.T[1:]):
            share = np.clip(rest * root / max(1.5 * tour, 1e-12), 0, 1) ** 2  # of the zones, the worst case
            waiting[:, age] = (1 - share) * rest + tour * share**1.5 / root
        costs[:, t] = waiting[:, 0]
    return costs


class _Season:
    """The value of the rest of a season, day by day from its end: a constant (n,) and so much per customer (n, S), in
    which parcels pay for their driving when they are shipped."""

    def __init__(self, model, factor: np.ndarray, capacity: np.ndarray, costs: np.ndarray, visitors: Visitors):
        """Take the visits' factor, the parcels that the fleet carries and what they cost at least, (n, T) each."""
        self.model, self.factor, self.capacity, self.costs, self.visitors = model, factor, capacity, costs, visitors
        self.start = float(model.initial(1).customers[0, 0])
        self.fewest, self.most = _customers(model, capacity, self.start)

    def solve(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the constant (n,) and the value of a customer (n, S) at the start of the season."""
        model, p = self.model, self.model.params
        people = p.population / p.segments
        joining = p.satisfied_join * model.odds[0][:, 3:].sum(axis=1).max()  # new customers per parcel, at most
        value, credit, fewer = (np.zeros(len(self.factor)) for _ in range(3))  # fewer: worth of a fewest customer less
        customer = np.full((len(self.factor), p.segments), 0.0 if p.continuing else p.customer_value)
        strangers = _strangers(model, self.start)
        for t in reversed(range(model.horizon)):
            factor, dear = self.factor[:, t], customer.max(axis=1)
            lever = joining * self.capacity[:, t] * dear / max(self.start, 1e-9)
            share = np.maximum(strangers, 1 - (customer.min(axis=1) - fewer) / np.maximum(lever, 1e-12))
            share = np.minimum(share, 1)
            fewer = fewer + lever * (1 - share)
            credit = np.maximum(credit, share * dear)  # of a satisfied buyer, on this day or a later one
            visitor = self.visitors.at(t, credit, self.costs[:, t])  # (n, S) money
            reached = factor * p.other_visits * people * visitor.sum(axis=1)  # money of all, without marketing
            gain, fixed = self._marketing(t, reached, factor[:, None] * p.other_visits * visitor)
            value = value + gain * reached + fixed
            each = p.customer_visits - p.other_visits * gain
            customer = customer + np.maximum(factor[:, None] * visitor * each[:, None], 0)
        return value, customer

    def _marketing(self, t: int, reached: np.ndarray, each: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return by what others' visits are multiplied, net of marketing (n,), and what is earned beside that (n,).

        The best profit is convex in the money of all others' visits; a line takes its place, from the least to the
        most that there can be of it on the day.

        Args:
            t: the day.
            reached: money of all people's visits as others, without marketing (n,).
            each: the same of a single one (n, S).
        """
        p = self.model.params
        if "marketing" not in p.decides:
            return np.full(len(reached), _lift(p, p.marketing)), np.full(len(reached), -p.marketing)
        low = np.maximum(reached - self.most[:, t] * each.max(axis=1), 0)
        high = np.maximum(reached - self.fewest[:, t] * each.min(axis=1), low + 1e-6)
        (least, most), (slope, _) = zip(_best_marketing(p, low), _best_marketing(p, high), strict=True)
        slope = np.maximum((most - least) / (high - low), slope)
        return slope, least - slope * low

    def everybody(self) -> np.ndarray:
        """Return the profit (n,) if all people are always customers, or strangers under the largest marketing at no
        cost; there are no new customers."""
        p, value = self.model.params, 0
        rate = max(p.customer_visits, p.other_visits * _lift(p, p.max_marketing)) * p.population / p.segments
        none = np.zeros(len(self.factor))
        for t in reversed(range(self.model.horizon)):
            value = value + self.factor[:, t] * rate * self.visitors.at(t, none, self.costs[:, t]).sum(axis=1)
        return value + p.customer_value * p.population


def _customers(model, capacity: np.ndarray, start: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the fewest and the most customers (n, T) that there can be on each day, all segments together.

    With fidelity `fast` no more parcels are delivered than the fleet carries: so many buyers at most are satisfied and
    join, or are unhappy, helped by nobody, and leave; all of one segment, perhaps.

    Args:
        model: a `Marketplace`.
        capacity: parcels (n, T).
        start: customers of a segment.
    """
    p = model.params
    if p.fidelity != "fast":
        return np.zeros(capacity.shape), np.full(capacity.shape, p.population)
    satisfied = max(odds[:, 3:].sum(axis=1).max() for odds in model.odds)
    unhappy = max(odds[:, :2].sum(axis=1).max() for odds in model.odds)
    alone = unhappy * (1 - p.ticket_share * (1 - model.models.service[:, 1]).min())
    before, start = np.cumsum(capacity, axis=1) - capacity, start * p.segments
    fewest, most = start - p.unhappy_leave * alone * before, start + p.satisfied_join * satisfied * before
    return np.maximum(fewest, 0), np.minimum(most, p.population)


def _strangers(model, start: float) -> float:
    """Return the highest share of buyers who are no customers, while each segment has at least `start` customers."""
    p = model.params
    others = p.other_visits * _lift(p, p.max_marketing if "marketing" in p.decides else p.marketing)
    if p.ranking != "popularity" or p.fidelity != "fast" or others > p.customer_visits or not start:
        return 1.0
    visits = others * (p.population / p.segments - start), p.customer_visits * start
    return max(0.5, visits[0] / max(sum(visits), 1e-12))  # half of them are in the figures that the season starts with


def _best_marketing(p, reached: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the best profit (n,) on others who bring `reached` (n,) money without marketing, and its slope (n,)."""
    money = p.marketing_scale * np.log(np.maximum(reached * p.marketing_lift / p.marketing_scale, 1.0))
    money = np.minimum(money, p.max_marketing)
    return _lift(p, money) * reached - money, _lift(p, money)


def _lift(p, money):
    return 1 + p.marketing_lift * (1 - np.exp(-money / p.marketing_scale))
