"""The parameters of the whole store, its catalogue, and what its models answer: checked where they are made."""

import math
from dataclasses import dataclass, field, fields
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np

from ...errors import FieldError
from ...markets import Market, markets_of
from ...reading import read_arrays
from ..core.checks import LARGEST, check_choice, check_episode, check_flag, check_list, check_number, check_quantiles
from ..core.contract import Array, Part
from ..pricing.references.mnl import lambert_w

DECISIONS = ("restock", "price", "dispatch", "recommendation", "fraud", "marketing")
WEIGHTS = ("relevance", "margin", "stock", "exploration")  # of the ranking
UNITS = {  # of the decisions
    "restock": "standard deviations of the demand of lead time + 1 days above its mean, up to which is ordered",
    "price": "multiple of the Lambert-W markup, on top of the cost",
    "dispatch": "share of the zones that are visited although nothing there must go",
    "recommendation": "weights in the ranking",
    "fraud": "score from which on orders are refused",
    "marketing": "money per day",
}
UNITS_BY_ITEM = {"restock": "units: order-up-to level of each item", "price": "money: price of each item"}
TRAITS = 4  # latent factors of tastes
PRIOR_REVIEWS = 5.0  # reviews of 3 stars that a rating starts with
LARGEST_FACTOR = 3.0  # a day's factor of visits is cut there
UNTOLD = {"told": False}  # metadata of a parameter that the briefing of a player leaves out
GRID = 101  # thresholds of the default fraud score's tables


@dataclass
class MarketplaceParams:
    """Parameters of the whole store. Rates are per day; "share" is a number between 0 and 1."""

    items: int = 20
    segments: int = 3  # of customers, each with tastes of its own
    horizon: int = 56  # days in an episode
    continuing: bool = False  # the horizon cuts an endless problem (truncated), or it ends a season (terminated)
    catalogue_seed: int = 0  # of tastes, costs and qualities: another seed is another store
    fidelity: str = "fast"  # fast: counts of customers | reference: customer by customer
    # Who decides, and what holds where the agent does not: the parameters of the named heuristics.
    decides: list[str] = field(default_factory=lambda: list(DECISIONS))  # what actions are made of
    resolution: str = "store"  # store: one number for all items (restock, price) | item: one for each
    restock: float = 1.0  # newsvendor: standard deviations of demand above its mean, ordered up to
    price: float = 1.0  # the Lambert-W markup times this
    dispatch: float = 0.5  # share of the city's zones that are visited although nothing there must go
    recommendation: list[float] = field(default_factory=lambda: [1.0, 0.0, 0.0, 0.0])  # weights, see `WEIGHTS`
    fraud: float = 0.95  # orders with a fraud score of at least this are refused
    marketing: float = 50.0  # money per day
    # Channels: each can be switched, so that its effect is measured.
    ranking: str = "popularity"  # learned (the models' scores) | popularity (sales so far) | random
    sentiment: bool = True  # ratings read from reviews are shown
    screening: bool = True  # orders are screened for fraud
    forecast: str = "none"  # none | model | oracle: quantiles of the visits to come, observed and used to restock
    models: str = ""  # folder with the tables of the store's models; "": `StoreModels.none()`
    quantiles: list[float] = field(default_factory=lambda: [0.1, 0.5, 0.9])
    # Messages of customers, which players by text read: no number depends on them, and no player is told of these two.
    injected_reviews: float | None = field(
        default=None, metadata=UNTOLD
    )  # share that hides an order; None: no messages
    review_guard: bool = field(default=False, metadata=UNTOLD)  # messages that look like orders are withheld
    # Customers.
    population: float = 2000.0  # people, in equal segments
    initial_customers: float = 0.15  # share of them who are customers at the start
    customer_visits: float = 0.08  # visits per customer
    other_visits: float = 0.01  # visits per person who is no customer, without marketing
    marketing_lift: float = 2.0  # largest increase of other visits by marketing, as a multiple of them
    marketing_scale: float = 60.0  # money per day that brings 63 % of it
    page_size: int = 8  # items shown to a visitor
    position_effect: float = 0.4  # utility lost per unit of log(rank)
    price_sensitivity: float = 0.12  # utility lost per unit of money; segments differ by up to 20 %
    rating_effect: float = 0.3  # utility per star above 3
    delay_effect: float = 0.15  # utility lost per day of expected delivery
    satisfied_join: float = 0.3  # share of satisfied buyers who become customers
    unhappy_leave: float = 0.6  # share of unhappy buyers whom nobody helped who leave
    customer_value: float = 5.0  # money per customer at the end of a season
    # Letters with a voucher to those who have stopped buying: see `win_back`. The riskiest class is the first one.
    lapsed: float = 0.0  # share of people who bought once, stopped, and are on file beside the customers
    win_back: float = 0.0  # share of the marketing's money that goes into letters while there is somebody to write to
    win_back_by: str = "evenly"  # evenly: all classes alike | churn: the riskiest class first
    letters: float = 1.0  # share of the file that is written to, once each
    risk_lapsed: list[float] = field(default_factory=lambda: [1.0])  # of lapsed people, by class of predicted churn
    risk_customers: list[float] = field(default_factory=lambda: [1.0])  # of customers, by the same classes
    letter_cost: float = 1.0  # money
    letter_returns: float = 0.2  # share of lapsed people whom a letter brings back
    voucher: float = 4.0  # money off a purchase
    voucher_used: float = 0.9  # share of customers who use it on what they would have bought anyway
    # Goods.
    lead_time: int = 5  # days until an order to the supplier arrives
    mean_cost: float = 10.0  # money per unit
    holding_cost: float = 0.05  # money per unit on hand and day
    salvage_share: float = 0.8  # of the cost, for what is left when a season ends
    max_level: float = 200.0  # units: the highest order-up-to level
    max_price: float = 60.0  # money
    max_marketing: float = 200.0  # money per day
    # Delivery.
    delivery: str = "formula"  # formula: tours of `tour_cost` | routed: by the router (fidelity reference)
    promise: int = 3  # days from order to delivery; later is late
    fleet_capacity: float = 40.0  # parcels per day; traffic takes up to 30 % of it
    stop_cost: float = 0.8  # money per parcel
    tour_cost: float = 20.0  # money x sqrt(parcels): driving through a city, Beardwood, Halton and Hammersley 1959
    # After the sale.
    late_penalty: float = 2.0  # logits of satisfaction
    review_share: list[float] = field(default_factory=lambda: [0.3, 0.15, 0.1, 0.1, 0.2])  # who write, by 1 .. 5 stars
    ticket_share: float = 0.5  # of late or unhappy buyers who write to the service
    service_cost: float = 3.0  # money per ticket that a person answers
    return_share: float = 0.5  # of unhappy buyers who send the unit back
    fraud_share: float = 0.03  # of orders at the mean price, in proportion to the price
    chargeback_fee: float = 30.0  # money per fraudulent order that was shipped
    refusal_cost: float = 1.0  # money per refused order: its review
    # Across borders: with `markets` each segment lives in one of them, the first one at home. Prices are net.
    markets: list[Any] = field(default_factory=list)  # names of `storelab.markets.MARKETS`, or dicts of a `Market`
    market_prices: str = "net"  # net: one net price | shown: one price with tax | own: a markup for each market

    def __post_init__(self):
        for name, low, high in (("items", 2, 1000), ("segments", 1, 20), ("horizon", 1, 10_000)):
            check_number(name, getattr(self, name), low, high, integer=True)
        for name, low, high in (("lead_time", 1, 60), ("promise", 1, 10), ("catalogue_seed", 0, 2**31 - 1)):
            check_number(name, getattr(self, name), low, high, integer=True)
        check_number("page_size", self.page_size, 1, self.items, integer=True)
        check_choice("fidelity", self.fidelity, ("fast", "reference"))
        check_choice("resolution", self.resolution, ("store", "item"))
        check_choice("ranking", self.ranking, ("learned", "popularity", "random"))
        check_choice("forecast", self.forecast, ("none", "model", "oracle"))
        check_choice("delivery", self.delivery, ("formula", "routed") if self.fidelity == "reference" else ("formula",))
        check_number("injected_reviews", self.injected_reviews, 0, 1, optional=True)
        for name in ("continuing", "sentiment", "screening", "review_guard"):
            check_flag(name, getattr(self, name))
        if not self.decides or list(self.decides) != [name for name in DECISIONS if name in self.decides]:
            raise FieldError("decides", self.decides, f"some of {', '.join(DECISIONS)}, in this order")
        shares = ("dispatch", "fraud", "initial_customers", "satisfied_join", "unhappy_leave", "salvage_share")
        shares += ("win_back", "letters", "letter_returns", "voucher_used")
        for name in (*shares, "ticket_share", "return_share"):
            check_number(name, getattr(self, name), 0, 1)
        check_number("fraud_share", self.fraud_share, 0, 0.2)
        check_number("restock", self.restock, -4, 8)
        check_number("price", self.price, 0.1, 4)
        check_list("recommendation", self.recommendation, 0, 1, least=len(WEIGHTS), most=len(WEIGHTS))
        check_list("review_share", self.review_share, 0, 1, least=5, most=5)
        visits = ("customer_visits", "other_visits")
        effects = ("position_effect", "rating_effect", "delay_effect", "late_penalty")
        for name in (*visits, *effects, "marketing_lift"):
            check_number(name, getattr(self, name), 0, 20)
        check_number("price_sensitivity", self.price_sensitivity, 1e-6, LARGEST)
        positive = ("population", "mean_cost", "max_level", "max_price", "max_marketing")
        for name in (*positive, "fleet_capacity", "marketing_scale"):
            check_number(name, getattr(self, name), 0, LARGEST, exclusive=True)
        costs = ("customer_value", "holding_cost", "stop_cost", "tour_cost", "service_cost", "chargeback_fee")
        for name in (*costs, "refusal_cost"):
            check_number(name, getattr(self, name), 0, LARGEST)
        check_number("marketing", self.marketing, 0, self.max_marketing)
        check_quantiles(self.quantiles)
        self._check_letters()
        if len(markets_of(self.markets)) not in (0, self.segments):
            raise FieldError("markets", self.markets, f"none, or as many as segments, {self.segments}")
        own = self.markets and self.resolution == "store"
        allowed = ("net", "shown", "own") if own else ("net",)  # the others need markets, and resolution=store
        check_choice("market_prices", self.market_prices, allowed)
        if not isinstance(self.models, str):
            raise FieldError("models", self.models, "the path of a folder")
        check_episode("horizon", self.horizon, self.numbers)

    def _check_letters(self):
        check_number("lapsed", self.lapsed, 0, 1 - self.initial_customers)
        check_choice("win_back_by", self.win_back_by, ("evenly", "churn"))
        check_number("letter_cost", self.letter_cost, 0, LARGEST, exclusive=True)
        check_number("voucher", self.voucher, 0, LARGEST)
        check_list("risk_lapsed", self.risk_lapsed, 0, 1, most=100, total=1)
        classes = len(self.risk_lapsed)
        check_list("risk_customers", self.risk_customers, 0, 1, least=classes, most=classes, total=1)

    @property
    def writes(self) -> bool:
        """Return whether letters are written to lapsed people."""
        return self.lapsed > 0 and self.win_back > 0 and self.letters > 0

    @property
    def countries(self) -> list[Market]:
        """Return the markets, one per segment; none where the store sells at home alone."""
        return markets_of(self.markets)

    @property
    def exchange(self) -> bool:
        """Return whether rates of exchange move."""
        return any(market.volatility > 0 for market in self.countries)

    @property
    def largest_rate(self) -> float:
        """Return the visits expected at most on a mean day."""
        return self.population * max(self.customer_visits, self.other_visits * (1 + self.marketing_lift))

    @property
    def numbers(self) -> float:
        """Return how many numbers an episode holds: what is drawn over its days, and the state."""
        visitors = LARGEST_FACTOR * self.largest_rate
        drawn = self.items * (1 + (self.segments + 1) * (self.ranking == "random"))
        if self.fidelity == "reference":
            visitors += 6 * math.sqrt(visitors) + 1
            drawn += visitors * (self.page_size + 4) + self.items * (
                self.promise + 18 + 24 * (self.delivery == "routed")
            )
        return (self.horizon + 1) * drawn + self.items * (self.lead_time + self.promise + 12)

    @property
    def earns(self) -> bool:
        """Return True: there is revenue."""
        return True


def controls(p: MarketplaceParams) -> dict[str, tuple[int, float, float]]:
    """Return what each decision is made of: how many numbers, the lowest and the highest."""
    wide = p.items if p.resolution == "item" else 1
    item = p.resolution == "item"
    prices = p.segments if p.market_prices == "own" else 1
    return {
        "restock": (wide, 0.0, p.max_level) if item else (1, -4.0, 8.0),
        "price": (wide, 0.0, p.max_price) if item else (prices, 0.1, 4.0),
        "dispatch": (1, 0.0, 1.0),
        "recommendation": (len(WEIGHTS), 0.0, 1.0),
        "fraud": (1, 0.0, 1.0),
        "marketing": (1, 0.0, p.max_marketing),
    }


def parts(p: MarketplaceParams) -> dict[str, Part]:
    """Return the parts of an action by name: what is decided, in words."""
    units = UNITS | (UNITS_BY_ITEM if p.resolution == "item" else {})
    numbers = {name: size for name, (size, *_) in controls(p).items()}
    names: dict[str, tuple[str, ...]] = {"recommendation": WEIGHTS}
    if p.market_prices == "own":
        names["price"] = tuple(market.name for market in p.countries)
    return {name: Part(numbers[name], units[name], names.get(name, ())) for name in p.decides}


@dataclass
class Catalogue:
    """The items and the customers' tastes, drawn from `catalogue_seed`."""

    cost: np.ndarray  # (I,) money
    quality: np.ndarray  # (I,) logits of satisfaction with a unit that came in time
    taste: np.ndarray  # (S, I) utilities at price 0, without rating and delay, but for that of the way abroad
    sensitivity: np.ndarray  # (S,) utility per unit of net money: taxes are in it

    @classmethod
    def draw(cls, p: MarketplaceParams) -> "Catalogue":
        """Draw the catalogue of the parameters: tastes are products of latent factors, as in matrix factorisation."""
        rng = np.random.default_rng([p.catalogue_seed, p.items, p.segments])
        cost = p.mean_cost * np.exp(0.4 * rng.standard_normal(p.items) - 0.08)
        quality = 1.0 + rng.standard_normal(p.items)
        traits, wishes = rng.standard_normal((p.items, TRAITS)), rng.standard_normal((p.segments, TRAITS))
        appeal = 0.5 * rng.standard_normal(p.items) + 0.2 * quality
        # An item at cost plus one 1 / b has on average 1 / page_size of the weight of buying nothing.
        base = 1 + p.price_sensitivity * cost - np.log(p.page_size) + p.delay_effect * p.promise
        taste = base + appeal + 0.5 * wishes @ traits.T / np.sqrt(TRAITS) * 2
        spread = np.linspace(-0.2, 0.2, p.segments) if p.segments > 1 else np.zeros(1)
        sensitivity = p.price_sensitivity * (1 + spread)
        if p.markets:
            taste = taste - p.delay_effect * np.array([[market.days] for market in p.countries])
            sensitivity = sensitivity * np.array([market.factor for market in p.countries])
        return cls(cost, quality, taste, sensitivity)


@dataclass
class StoreModels:
    """The answers of the store's models, as tables: see `experiments.store_models` for how they are made.

    Given the experience, texts and orders are independent draws. So reading many of them in a batch beforehand and
    drawing from what the model answered is the same as reading them one by one.
    """

    relevance: Array  # (S + 1, I) scores for customers of each segment, last row: others; None: none
    legitimate: np.ndarray  # (B,) share of legitimate orders with a score of at least b / (B - 1), b = 0 ... B - 1
    fraudulent: np.ndarray  # (B,) the same of fraudulent ones
    reading: np.ndarray  # (5, 5) probability that a review of 1 .. 5 stars (row) is read as 1 .. 5 (column)
    service: np.ndarray  # (2, 3) tickets on late parcels, on the goods: answered rightly, wrongly, handed over

    def __post_init__(self):
        if self.relevance is not None and not np.isfinite(self.relevance).all():
            bad = np.argwhere(~np.isfinite(self.relevance))[0]
            raise FieldError(f"relevance{bad.tolist()}", float(self.relevance[tuple(bad)]), "a finite score")
        for name, ndim in (("legitimate", 1), ("fraudulent", 1), ("reading", 2), ("service", 2)):
            table = np.asarray(getattr(self, name), float)
            if table.ndim != ndim or not ((table >= 0) & (table <= 1 + 1e-9)).all():
                raise FieldError(name, table.tolist(), f"shares in [0, 1], an array of {ndim} dimensions")
            setattr(self, name, table)
        for name in ("legitimate", "fraudulent"):
            table = getattr(self, name)
            if len(table) != len(self.legitimate) or len(table) < 2 or (np.diff(table) > 1e-9).any():
                expected = "at least two shares, falling, as many in legitimate and fraudulent"
                raise FieldError(name, table.tolist(), expected)
        for name, shape in (("reading", (5, 5)), ("service", (2, 3))):
            table = getattr(self, name)
            if table.shape != shape or not np.allclose(table.sum(axis=1), 1, atol=1e-6):
                raise FieldError(name, table.tolist(), f"shape {shape}, rows that sum to 1, not shape {table.shape}")

    @classmethod
    def load(cls, folder: str | Path) -> "StoreModels":
        """Read `tables.npz` of a folder that `experiments.store_models` has written.

        Raises:
            FieldError: no such file, a table that is missing or malformed.
        """
        try:
            given: dict[str, Any] = {"relevance": None} | read_arrays(Path(folder) / "tables.npz")
        except (OSError, ValueError) as error:
            raise FieldError("models", str(folder), "a folder with tables.npz") from error
        missing = [f.name for f in fields(cls) if f.name not in given]
        if missing:
            raise FieldError("models", str(folder), f"tables with {', '.join(missing)}")
        return cls(**{f.name: given[f.name] for f in fields(cls)})

    @classmethod
    def none(cls, separation: float = 2.0) -> "StoreModels":
        """Return what holds without models: reviews carry their stars, people answer all tickets, a binormal score.

        The fraud score is the standard normal distribution function of x, which is standard normal for legitimate
        orders and `separation` higher for fraudulent ones (binormal ROC curve: Pepe 2003, section 4.4).
        """
        normal, scores = NormalDist(), np.linspace(0, 1, GRID)
        fraudulent = [1 - normal.cdf(normal.inv_cdf(score) - separation) for score in scores[1:-1]]
        above = 1 - scores, np.array([1, *fraudulent, 0])
        service = np.tile([0.0, 0.0, 1.0], (2, 1))
        return cls(None, *above, np.eye(5), service)


def lambert_markup(p: MarketplaceParams, catalogue: Catalogue, segments: Any = slice(None)) -> float:
    """Return the markup over cost that is best for all items on one full page of unlimited stock, money.

    With utilities a_i - b p_i and buying nothing at 0, the best prices are c_i + (1 + W(sum exp(a_i - b c_i - 1))) / b
    with Lambert's W (Li and Huh 2011, MSOM 13(4)); tastes are averaged over segments, and the page_size best items of
    the average customer stand for the page.
    """
    b = float(catalogue.sensitivity[segments].mean())
    weights = np.exp(catalogue.taste[segments].mean(axis=0) - p.delay_effect * p.promise - b * catalogue.cost - 1)
    total = float(np.sort(weights)[-p.page_size :].sum())
    w = np.float64(lambert_w(total))
    for _ in range(2):  # Newton's method on w e^w = total, to the last digit
        w -= (w * np.exp(w) - total) / (np.exp(w) * (1 + w))
    return (1 + w) / b
