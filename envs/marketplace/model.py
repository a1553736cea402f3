"""The whole store: the model behind `storelab/Marketplace-v0`.

One day: goods arrive, visitors see a ranked page and choose, orders are screened, shipped and delivered; then come
reviews, tickets, returns and chargebacks, and customers are won and lost. Chance is drawn beforehand.
"""

import math
from statistics import NormalDist

import numpy as np
from gymnasium import spaces

from ...errors import FieldError
from ..core.checks import check_forecast
from ..core.contract import Model
from ..core.demand import DemandSource
from .fulfilment import SMOOTHING, Thin, added, after_sale, deliver, loyalty, smoothed_delivery, star_odds
from .money import charge, item_profit, terms
from .params import (
    DECISIONS,
    LARGEST_FACTOR,
    Catalogue,
    MarketplaceParams,
    StoreModels,
    controls,
    lambert_markup,
    parts,
)
from .restock import levels, orders_to_suppliers
from .scenario import default_source, draw
from .shopping import Orders, expected_demand, relevance, shop
from .state import Flow, State, balances, float32, initial
from .win_back import joined, write

UNITS = (
    *("visits", "demand", "sales", "unmet", "on_hand", "refused"),
    *("delivered", "late", "reviews", "tickets", "returns"),
)
PANELS = {"units": ("on_hand", "demand", "unmet"), "money": ("price",)}
SMALLEST_FACTOR = 0.2  # lower bound of the factor that a day's demand is divided by
LARGEST_UTILITY = 700.0  # of an item at price 0: exp ends a little above
LARGEST_VISITS = 2**24  # of a day, expected: float32 counts no further


class Marketplace(Model):
    """The whole store: the batched model of `storelab/Marketplace-v0`.

    Pure functions of arrays (num_envs, ...), in NumPy. The models of the store (recommendation, sentiment, service,
    fraud) come in as tables, `StoreModels`.

    ## Action space

    Box, float32: the decisions of the agent (`decides`), in this order. Other decisions follow the named heuristic with
    the parameter of the same name.

    | decision | numbers | bounds | meaning | heuristic |
    |---|---|---|---|---|
    | `restock` | 1 | [-4, 8] | newsvendor: order up to mean + z std of demand in lead time + 1 days | z = `restock` |
    | | I | [0, max_level] | with `resolution=item`: order-up-to levels, units | |
    | `price` | 1 | [0.1, 4] | cost + this x the Lambert-W markup | `price` |
    | | I | [0, max_price] | with `resolution=item`: prices, money | |
    | `dispatch` | 1 | [0, 1] | share of the zones that are visited even if nothing there must go | `dispatch` |
    | `recommendation` | 4 | [0, 1] | weights of relevance, margin, stock and exploration in the ranking | the same |
    | `fraud` | 1 | [0, 1] | orders with at least this score are refused | `fraud` |
    | `marketing` | 1 | [0, max_marketing] | money | `marketing` |

    ## Observation space

    Box (F,), float32, in units and money as they are: `layout` names its parts and `features` splits them.

    | part | shape | what |
    |---|---|---|
    | `on_hand`, `on_order`, `backlog` | (I,) | units |
    | `demand` | (I,) | units per day, smoothed; with `forecast` units per mean day |
    | `price`, `rating` | (I,) | money, of the last day; stars shown |
    | `customers` | (S,) | people |
    | `parcels` | (promise + 1,) | under way for 0, 1, ... days |
    | `delivery` | (1,) | days from order to delivery, smoothed |
    | `file` | (K,) | people still to be written to, by class; where letters are written |
    | `calendar` | (C,) | of the source; by default the weekday's sine and cosine |
    | `exchange` | (S,) | rates of exchange over those at the start; where they move |
    | `forecast` | (Q,) | of the visits' factor over lead time + 1 days, its mean day 1; with `forecast` |
    | `time_left` | (1,) | share of the season; with `continuing=False` |

    ## Dynamics

    **Visits.** Segment s has A_s customers among its N people. Its visits are Poisson with mean
    f (a A_s + o (N - A_s) (1 + lift (1 - exp(-m / scale)))), where f is the day's factor (from the source, at most 3),
    m marketing, and a and o are the rates of customers and of others.

    **Page.** Items are ranked by the weighted sum of relevance, margin, stock (relative to sales in lead time + 1 days)
    and exploration (few reviews), each between 0 and 1. Customers see a page of their segment, others a common one.
    Relevance is the models' score, the popularity so far, or random (`ranking`). Where one markup is set for all items,
    margin does not count: all are equal.

    **Choice.** The utility of an item is taste - b price + `rating_effect` (rating - 3) - `position_effect` log(rank)
    - `delay_effect` (days of delivery, and the lead time if it is out of stock) + Gumbel noise. Buying nothing has 0 +
    noise. A visitor who chooses an item that is out of stock waits for it (backorder). Orders that waited are served
    first, and pay the price of the day on which they were placed.

    **Markets.** With `markets` each segment lives in a country of its own. Customers react to the price with duty and
    value-added tax, (1 + duty) (1 + vat) times the net price, in their own currency, and to `days` more of delivery. A
    unit sent there costs `postage`. Revenue, refunds and chargebacks are net, in home money, at the rate of the order;
    `info` names `duty` and `vat` on the revenue. Rates of exchange are geometric random walks. `market_prices` has one
    net price for all, one price with tax for all (`shown`), or a multiple of the markup for each segment (`own`, S
    numbers in `price`).

    **Fraud.** A share of orders, in proportion to the price, is fraudulent. Screening refuses orders whose score is at
    least the threshold. A fraud that is shipped costs the goods, a chargeback and a fee.

    **Dispatch.** Parcels must go when they would be late tomorrow. With N parcels waiting, u of which must go, and the
    share x of further zones visited, a day's tour costs `tour_cost` (x sqrt(N) + (1 - x) sqrt(u)). A zone is visited
    for all its parcels (Beardwood, Halton and Hammersley 1959; Daganzo 1984). The fleet takes at most
    `fleet_capacity` parcels, less traffic. With `delivery=routed` (fidelity `reference`) parcels have places in
    a city, and the router of `Dispatch` drives the day's tour; see `marketplace_routes`.

    **After the sale.** Stars follow a proportional-odds model of the item's quality, less `late_penalty` if it was
    late. Some buyers write reviews, more of them the further their stars are from the middle. The sentiment model reads
    the reviews, and what it reads makes the rating. Unhappy buyers (1 or 2 stars) write tickets, of which the service
    model answers some. Those whom nobody helped leave; satisfied buyers (4 or 5 stars) become customers. Unhappy buyers
    also send units back. They get back what was paid (on average over the item's units under way), and the unit is in
    stock on the next day.

    **Winning back.** With `lapsed` and `win_back` a file at the start has the customers and the people who have stopped
    buying, whom the store knows by classes of predicted churn alone. A share of marketing's money goes into letters
    with a voucher, one to each, to all classes alike or to the riskiest class first. Lapsed people who come back are
    customers; customers on file count as such all season. See `win_back`.

    **Fidelity.** `reference` lets visitors come one by one and counts parcels, stars, reviews and returns in whole
    numbers. `fast` draws orders as counts and takes the means of what follows (units are divisible).

    ## Reward

    Revenue and, at the end, salvage, less `purchase_cost`, `holding_cost`, `delivery_cost`, `refund_cost`,
    `chargeback_cost`, `screening_cost`, `service_cost`, `marketing_cost` and `voucher_cost`, in money. `info` names
    each of them, the units of `UNITS`, `customers`, and `rating`, the mean over items.

    ## Start and end

    An episode starts with stock for lead time + 2 days of expected demand, the expected demand in the pipeline,
    `initial_customers` and no reviews. After `horizon` days it is truncated (`continuing`), or it terminates: stock and
    pipeline are then worth `salvage_share` of their cost, and each customer `customer_value`.

    ## Examples

    >>> import gymnasium as gym, storelab
    >>> env = gym.make("storelab/Marketplace-v0")
    >>> observation, info = env.reset(seed=0)
    >>> env.action_space.shape
    (9,)
    >>> observation, reward, terminated, truncated, info = env.step([1, 1, 0.5, 1, 0, 0, 0, 0.7, 50])
    >>> sorted(info)[:4]
    ['chargeback_cost', 'clipped_actions', 'customers', 'delivered']

    ## Version history

    v0: the first.
    """

    version = "v0"

    def __init__(self, params: MarketplaceParams, source: DemandSource | None = None):
        """Bind the parameters and a source of the visits' factor (one item; `MEAN_VISITS` of it are a mean day).

        Raises:
            FieldError: a source or tables that do not fit the parameters.
        """
        self.params, self.horizon = params, params.horizon
        self.source = source or default_source()
        self.models = StoreModels.load(params.models) if params.models else StoreModels.none()
        self.catalogue = Catalogue.draw(params)
        if self.source.items != 1:
            raise FieldError("source", self.source.items, "1 item: visits")
        relevance = self.models.relevance
        wanted = (params.segments + 1, params.items)
        if params.ranking == "learned" and np.shape(relevance) != wanted:
            raise FieldError("ranking", params.ranking, f"models with a relevance of shape {wanted}")
        utility = float(self.catalogue.taste.max()) + 2 * params.rating_effect  # of an item with 5 stars for nothing
        if utility > LARGEST_UTILITY:
            expected = f"less, so that no item has a utility above {LARGEST_UTILITY:g}"
            because = f"with mean_cost {params.mean_cost:g}: utilities are up to {utility:.4g}"
            raise FieldError("price_sensitivity", params.price_sensitivity, expected, because)
        self.cost = self.catalogue.cost.astype(np.float32)
        self.markup = lambert_markup(params, self.catalogue)
        self.page_of = np.append(np.arange(params.segments), np.full(params.segments, params.segments))
        self._position = params.position_effect * np.log(np.arange(1, params.page_size + 1))
        quality = self.catalogue.quality
        self.odds = star_odds(quality), star_odds(quality - params.late_penalty)  # of stars in time, and late
        self._largest_rate = params.largest_rate
        busiest = self._largest_rate * LARGEST_FACTOR
        if busiest > LARGEST_VISITS:
            raise FieldError("population", params.population, f"at most {LARGEST_VISITS:,} visits on the busiest day")
        self._candidates = math.ceil(busiest + 6 * math.sqrt(busiest)) + 1  # visitors of a day, at most
        self._normal = [NormalDist().inv_cdf(q) for q in params.quantiles]
        self.routes = None
        if params.delivery == "routed":
            from .routes import Routes

            self.routes = Routes(params)
        self._spaces()
        self.expected = expected_demand(self)  # (I,) units on a mean day

    def _spaces(self):
        p = self.params
        known = self.source.known
        self.layout: dict[str, tuple[int, ...]] = {
            name: (p.items,) for name in ("on_hand", "on_order", "backlog", "demand", "price", "rating")
        }
        self.layout |= {"customers": (p.segments,), "parcels": (p.promise + 1,), "delivery": (1,)}
        self.layout |= {"file": (len(p.risk_lapsed),)} if p.writes else {}
        self._signals = ["calendar"] if "calendar" in known else []
        self.layout |= {name: known[name] for name in self._signals}
        check_forecast(p, known, 1)
        if p.forecast != "none":
            self.layout["forecast"] = (len(p.quantiles),)
            self._signals.append("forecast")
        if p.exchange:
            self.layout["exchange"] = (p.segments,)
            self._signals.append("exchange")
        if not p.continuing:
            self.layout["time_left"] = (1,)
            self._signals.append("time_left")
        free = -np.inf, np.inf  # sums of float32, which rounding may leave below 0
        bounds = dict.fromkeys([name for name in self.layout if name != "time_left"], free)
        bounds["rating"] = 1 - 1e-4, 5 + 1e-4  # a mean of stars, rounded
        self.observation_space = self.box_of(self.layout, bounds)
        self.controls, self.action_parts = controls(p), parts(p)
        chosen = [self.controls[name] for name in p.decides]
        self.action_low, self.action_high = (
            np.concatenate([np.full(size, bounds[side]) for size, *bounds in chosen]) for side in (0, 1)
        )
        self.action_space = spaces.Box(self.action_low.astype(np.float32), self.action_high.astype(np.float32))

    @property
    def start(self) -> float:
        """Return the customers of a segment at the start."""
        return self.params.population / self.params.segments * self.params.initial_customers

    def scenarios(self, seeds) -> dict[str, np.ndarray]:
        """Draw every random quantity of episodes, a row for each seed or key; see `scenario.draw`."""
        return draw(self, seeds)

    # -- the dynamics -----------------------------------------------------------------------------------------------

    def initial(self, num_envs: int) -> State:
        """Return the state at the start."""
        return initial(self, num_envs)

    def decisions(self, action) -> dict[str, np.ndarray]:
        """Return the day's decisions (num_envs, numbers) by name: the agent's, and the heuristics' parameters."""
        p, given, start = self.params, {}, 0
        for name in DECISIONS:
            size = self.controls[name][0]
            if name in p.decides:
                given[name] = np.asarray(action[:, start : start + size], np.float64)
                start += size
            else:
                given[name] = np.broadcast_to(np.atleast_1d(getattr(p, name)), (len(action), np.size(getattr(p, name))))
        return given

    def ratings(self, state: State) -> np.ndarray:
        """Return the stars shown (n, I): the mean of what was read, with `PRIOR_REVIEWS` reviews of 3 stars."""
        return state.stars / state.reviews if self.params.sentiment else np.full_like(state.stars, 3.0)

    restock_levels, relevance = levels, relevance

    def balances(self, before: State, flow: Flow, after: State) -> dict:
        """See `state.balances`."""
        return balances(self, before, flow, after)

    def item_profit(self, flow: Flow) -> np.ndarray:
        """See `money.item_profit`."""
        return item_profit(self, flow)

    def shop(self, state: State, given: dict, shock: dict) -> tuple[np.ndarray, np.ndarray, Orders, np.ndarray]:
        """Let a day's visitors shop, under `decisions`; see `shopping.shop`."""
        return shop(self, state, given, shock)

    def stock(self, state: State) -> np.ndarray:
        """Return the units in stock once the day's goods are in (n, I), float64."""
        return (state.on_hand + state.pipeline[0] + state.returning).astype(np.float64)

    def transition(self, state: State, action, shock: dict) -> tuple[State, Flow]:
        """Move one day on. Deterministic: all chance is in `shock`, the day's slice of the scenario."""
        p, given = self.params, self.decisions(action)
        stock, ordered = self.stock(state), orders_to_suppliers(self, state, given, shock)
        mail = write(p, state.file, given["marketing"])
        price, served, orders, fraudulent = self.shop(state, given | {"marketing": mail.advertising}, shock)
        shipped = served + orders.sold
        money = charge(p, state, price, served, orders, fraudulent)
        thin = Thin(shock.get("thin"), p.items)
        sent, parcels, driving = self._deliver(state, shipped, given, shock, thin)
        after = after_sale(p, self.models, self.odds, sent, 1 - fraudulent, thin)
        paid = state.paid + money.revenue
        under_way = shipped + added(state.parcels).reshape(len(shipped), -1, p.items).sum(axis=1)
        mean_paid = paid / np.maximum(under_way, 1e-9)  # for a unit under way
        buyers = state.buyers + SMOOTHING * (orders.buyers - state.buyers)
        customers, joining = loyalty(p, state.customers, buyers, after, mail.won)
        flow = Flow(
            price=price,
            rating=self.ratings(state),
            visits=orders.visits,
            demand=orders.demand,
            sales=shipped,
            revenue=money.revenue,
            unmet=orders.waiting,
            refused=orders.refused,
            chargebacks=money.chargebacks,
            ordered=ordered,
            arrived=state.pipeline[0],
            on_hand=stock - shipped,
            delivered=added(sent),
            late=after.late,
            driving=driving,
            reviews=after.reviews,
            tickets=after.tickets,
            to_person=after.to_person,
            returns=after.returns,
            refunds=mean_paid * after.returns,
            customers=customers,
            marketing=given["marketing"],
            taxes=money.taxes,
            postage=money.postage,
            letters=mail.letters,
            won=mail.won,
            vouchers=mail.vouchers,
        )
        following = State(
            on_hand=stock - shipped,
            pipeline=(*state.pipeline[1:], ordered),
            backlog=state.backlog - served + orders.waiting,
            owed=money.owed,
            doubtful=money.doubtful,
            parcels=parcels,
            paid=np.maximum(paid - mean_paid * sum(sent), 0),
            returning=after.returns,
            demand=self._smoothed_demand(state, orders, shock),
            popularity=state.popularity + shipped,
            price=price,
            stars=state.stars + after.stars,
            reviews=state.reviews + after.reviews,
            customers=customers,
            buyers=buyers,
            delivery=smoothed_delivery(state.delivery, sent),
            file=joined(p, mail.file, joining),
        )
        return float32(following), float32(flow)

    def _deliver(self, state: State, shipped, given: dict, shock: dict, thin: Thin) -> tuple:
        """Return the units sent by days since the order, the parcels left, and the money for driving (n, 1)."""
        p, capacity = self.params, self.params.fleet_capacity * (1 - shock["traffic"])
        if self.routes is None:
            return deliver(p, (shipped, *state.parcels), given["dispatch"], capacity, thin)
        return self.routes.deliver(shipped, state.parcels, given["dispatch"], capacity, shock)

    def _smoothed_demand(self, state: State, orders: Orders, shock: dict) -> np.ndarray:
        """Return the smoothed demand (n, I), units per day; with forecasts, which are of the factor, per mean day."""
        today = orders.sold + orders.waiting
        if "forecast" in self.layout:
            today = today / np.maximum(shock["factor"], SMALLEST_FACTOR)
        return state.demand + SMOOTHING * (today - state.demand)

    # -- money and observation --------------------------------------------------------------------------------------

    def money(self, flow: Flow) -> dict:
        """Return the day's money by name, each (num_envs,): `revenue` and the costs, all of them positive."""
        return {name: money.sum(axis=1) for name, money in terms(self, flow)}

    def info(self, flow: Flow, terms: dict) -> dict:
        """Return what a day's `info` holds, each (num_envs,): the money of `terms`, units, customers and the rating."""
        units = {name: getattr(flow, name).sum(axis=1) for name in (*UNITS, "customers")}
        if self.params.markets:
            units |= {"duty": flow.taxes[:, 0], "vat": flow.taxes[:, 1]}
        if self.params.writes:
            units |= {"letters": flow.letters[:, 0], "won": flow.won.sum(axis=1)}
        return dict(terms) | units | {"rating": flow.rating.mean(axis=1)}

    def salvage(self, state: State):
        """Return what stock, pipeline and customers are worth (num_envs,) once a season has ended."""
        p = self.params
        units = state.on_hand + state.returning + sum(state.pipeline) - state.backlog
        return p.salvage_share * (self.cost * units).sum(axis=1) + p.customer_value * state.customers.sum(axis=1)

    def observe(self, state: State, signal: dict) -> dict:
        """Return the named features of `layout`; `signal` is what is known before the day's decisions."""
        features = {
            "on_hand": state.on_hand,
            "on_order": sum(state.pipeline),
            "backlog": state.backlog,
            "demand": state.demand,
            "price": state.price,
            "rating": self.ratings(state),
            "customers": state.customers,
            "parcels": np.stack([units.sum(axis=1) for units in state.parcels], axis=1),
            "delivery": state.delivery,
        }
        if self.params.writes:
            features["file"] = state.file.reshape(len(state.file), -1, len(self.params.risk_lapsed)).sum(axis=1)
        for name in self._signals:
            features[name] = np.asarray(signal[name], np.float32)
        return features

    def viewer(self, mode: str):
        """Return what draws an environment of this model; see `MarketplaceViewer`."""
        from .picture import MarketplaceViewer

        return MarketplaceViewer(self, mode)
