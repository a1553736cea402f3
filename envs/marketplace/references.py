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

from .model import SMOOTHING
from .visitors import Visitors

CREDITS, DRIVING, DELAYS, COSTS = 7, 3, 24, 3  # points of the grids: a customer's value, driving, days, cost of goods


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
    capacity, waits = p.fleet_capacity * (1 - traffic), _waits(p)
    tour = p.tour_cost if p.delivery == "formula" else 0.0  # routed: nothing is known
    driving = np.linspace(0, 1.5 * tour / np.sqrt(capacity.min()) + 1e-9, DRIVING)
    largest = 1 + p.customer_value + p.customer_visits * p.horizon / p.price_sensitivity  # guess of a customer's value
    while True:
        visitors = Visitors(model, goods, 1 + waits, np.linspace(0, largest, CREDITS), driving)
        season = _Season(model, factor, capacity, tour, waits, visitors)
        value, customer = season.solve()
        if customer.max() <= largest:
            break
        largest *= 4
    start = model.initial(1)
    stock = (start.on_hand + sum(start.pipeline))[0].astype(float)
    value = value + customer.sum(axis=1) * float(start.customers[0, 0])
    return np.minimum(value, season.everybody()) + (goods * stock).sum()


def _waits(p) -> np.ndarray:
    """Return days (T, J) that the smoothed time from order to delivery may be above one, from the shortest on."""
    shortest = (p.promise - 1) * (1 - SMOOTHING) ** np.arange(p.horizon)
    return np.linspace(shortest, p.promise + 1, DELAYS, axis=1)


class _Season:
    """The value of the rest of a season, day by day from its end: a constant (n,) and so much per customer (n, S), less
    so much per parcel that waits, by its age (n, promise), and per day that deliveries take (n,)."""

    def __init__(self, model, factor, capacity, tour: float, waits, visitors: Visitors):
        """Take the visits' factor (n, T), parcels that the fleet carries (n, T), and what `_bound` has of the rest."""
        self.model, self.factor, self.capacity, self.tour = model, factor, capacity, tour
        self.waits, self.visitors = waits, visitors
        self.start = float(model.initial(1).customers[0, 0])
        self.fewest, self.most = self._customers()

    def solve(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the constant (n,) and the value of a customer (n, S) at the start of the season."""
        model, p = self.model, self.model.params
        people = p.population / p.segments
        joining = p.satisfied_join * model.odds[0][:, 3:].sum(axis=1).max()  # new customers per parcel, at most
        # fewer: worth of one less of the fewest customers; delay: of a day less until deliveries
        value, credit, fewer, delay = (np.zeros(len(self.factor)) for _ in range(4))
        customer = np.full((len(self.factor), p.segments), 0.0 if p.continuing else p.customer_value)
        waiting, strangers = None, _strangers(model, self.start)
        for t in reversed(range(model.horizon)):
            factor, dear = self.factor[:, t], customer.max(axis=1)
            lever = joining * self.capacity[:, t] * dear / max(self.start, 1e-9)
            share = np.maximum(strangers, 1 - (customer.min(axis=1) - fewer) / np.maximum(lever, 1e-12))
            share = np.minimum(share, 1)
            fewer = fewer + lever * (1 - share)
            credit = np.maximum(credit, share * dear)  # of a satisfied buyer, on this day or a later one
            waiting = self._dispatch(t, waiting, delay)
            offers = self.visitors.at(t, credit, waiting[:, 0])  # (n, J, S)
            slope = self._slope(t, offers)
            delay = slope + (1 - SMOOTHING) * delay
            visitor = offers[:, 0]  # (n, S) money
            reached = factor * p.other_visits * people * visitor.sum(axis=1)  # money of all, without marketing
            gain, fixed = self._marketing(t, reached, factor[:, None] * p.other_visits * visitor)
            value = value + gain * reached + fixed + slope * self.waits[t, 1]
            each = p.customer_visits - p.other_visits * gain
            customer = customer + np.maximum(factor[:, None] * visitor * each[:, None], 0)
        return value - delay * (p.promise - 1), customer

    def _dispatch(self, t: int, later: np.ndarray | None, delay: np.ndarray) -> np.ndarray:
        """Return what a parcel that waits on a day will cost at least, by its age (n, promise).

        Args:
            t: the day.
            later: the same of the day after; None on the last one: what waits then has cost nothing.
            delay: what a day more until deliveries costs from the day after on (n,).
        """
        p, capacity = self.model.params, self.capacity[:, t]
        slow = SMOOTHING * delay / capacity  # of a parcel, per day of its age: the mean is over `capacity` at the most
        last = self.tour / np.sqrt(capacity) + slow * (p.promise - 1)
        costs = np.zeros((len(capacity), p.promise))
        costs[:, -1] = last if later is None else np.minimum(last, later[:, -1])
        for age in range(p.promise - 1) if later is not None else ():
            rest = later[:, age + 1]
            root = np.maximum(rest - slow * age, 0) * np.sqrt(capacity) / max(1.5 * self.tour, 1e-12)
            share = np.clip(root, 0, 1) ** 2  # of the zones, the worst case
            costs[:, age] = (1 - share) * rest + share * slow * age + self.tour * share**1.5 / np.sqrt(capacity)
        return costs

    def _slope(self, t: int, offers: np.ndarray) -> np.ndarray:
        """Return what a day until deliveries may be charged (n,), so that the shortest time still is the best."""
        p, factor = self.model.params, self.factor[:, t]
        if p.fidelity != "fast":
            return np.zeros(len(factor))
        lost = offers[:, :1] - offers[:, 1:]  # (n, J - 1, S) money of a visitor
        people, more = p.population / p.segments, max(p.customer_visits - p.other_visits, 0)
        everyone = min(p.customer_visits, p.other_visits) * people * lost.sum(axis=2)
        lost = factor[:, None] * (everyone + more * self.fewest[:, t, None] * lost.min(axis=2))
        return np.maximum(np.min(lost[:, :-1] / (self.waits[t, 2:] - self.waits[t, 1]), axis=1), 0)

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

    def _customers(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the fewest and the most customers (n, T) that there can be on each day, all segments together.

        With fidelity `fast` no more parcels are delivered than the fleet carries: so many buyers at most are satisfied
        and join, or are unhappy, helped by nobody, and leave.
        """
        p, model = self.model.params, self.model
        if p.fidelity != "fast":
            return np.zeros(self.factor.shape), np.full(self.factor.shape, p.population)
        satisfied = max(odds[:, 3:].sum(axis=1).max() for odds in model.odds)
        unhappy = max(odds[:, :2].sum(axis=1).max() for odds in model.odds)
        alone = unhappy * (1 - p.ticket_share * (1 - model.models.service[:, 1]).min())
        before = np.cumsum(self.capacity, axis=1) - self.capacity
        start = self.start * p.segments
        fewest, most = start - p.unhappy_leave * alone * before, start + p.satisfied_join * satisfied * before
        return np.maximum(fewest, 0), np.minimum(most, p.population)

    def everybody(self) -> np.ndarray:
        """Return the profit (n,) if all people are always customers, or strangers under the largest marketing at no
        cost; there are no new customers, and the time that deliveries take is worth nothing."""
        p, value, waiting = self.model.params, 0, None
        rate = max(p.customer_visits, p.other_visits * _lift(p, p.max_marketing)) * p.population / p.segments
        none = np.zeros(len(self.factor))
        for t in reversed(range(self.model.horizon)):
            waiting = self._dispatch(t, waiting, none)
            value = value + self.factor[:, t] * rate * self.visitors.at(t, none, waiting[:, 0])[:, 0].sum(axis=1)
        return value + p.customer_value * p.population


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
