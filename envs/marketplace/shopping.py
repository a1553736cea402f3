"""How a day's visitors shop in the whole store: a page is ranked, and they choose from it by multinomial logit.

Visitors come in groups: the customers of each segment, who see a page of their segment, then everybody else by
segment, who all see the same page. Two fidelities have one interface: `by_counts` (fast) and `one_by_one` (reference).
"""

from dataclasses import dataclass

import numpy as np

from ..pricing.demand import inverse_transform
from .params import PRIOR_REVIEWS, MarketplaceParams, StoreModels
from .state import State


@dataclass(slots=True)
class Shop:
    """What visitors of G groups meet on a day."""

    rate: np.ndarray  # (n, G) visits expected
    page: np.ndarray  # (n, P, K) items on the pages, best rank first
    page_of: np.ndarray  # (G,) page that a group sees
    utility: np.ndarray  # (n, G, K) of the page's items that are in stock, buying nothing has 0
    delay: float  # utility lost where an item is out of stock and has to be waited for
    accept: np.ndarray  # (n, I) share of orders that screening lets through
    stock: np.ndarray  # (n, I) units
    markets: bool = False  # whether orders are told apart by segment


@dataclass(slots=True)
class Orders:
    """The orders of a day. Arrays (n, I), units, except `visits` (n, 1) and `buyers` (n, G)."""

    visits: np.ndarray
    demand: np.ndarray  # orders placed
    sold: np.ndarray  # from stock
    waiting: np.ndarray  # ordered although out of stock
    refused: np.ndarray  # by screening
    buyers: np.ndarray  # accepted orders by group
    mix: np.ndarray | None = None  # (n, S, I) shares of an item's accepted orders by segment, with markets
    prices: np.ndarray | None = None  # (n, S, I) net prices by market, money, with markets
    log: np.ndarray | None = None  # (k, 3) of each accepted order in turn: row, group, item (`one_by_one`)


def scaled(values: np.ndarray) -> np.ndarray:
    """Scale the last axis to [0, 1]; all 0 where all are the same."""
    low, high = values.min(axis=-1, keepdims=True), values.max(axis=-1, keepdims=True)
    return (values - low) / np.maximum(high - low, 1e-9)


def rank(score: np.ndarray, size: int) -> np.ndarray:
    """Return the `size` items with the highest scores (..., size) of scores (..., I), best first."""
    top = np.argpartition(-score, size - 1, axis=-1)[..., :size] if size < score.shape[-1] else None
    if top is None:
        return np.argsort(-score, axis=-1, kind="stable")
    order = np.argsort(-np.take_along_axis(score, top, axis=-1), axis=-1, kind="stable")
    return np.take_along_axis(top, order, axis=-1)


def rank_pages(p: MarketplaceParams, relevance, state: State, margin, weights) -> np.ndarray:
    """Return the items on the pages (n, S + 1, K), best first: of the customers of each segment, and of all others.

    Args:
        p: the parameters.
        relevance: scores between 0 and 1 (n or 1, S + 1 or 1, I).
        state: of the store.
        margin: price less cost (n, I), money; where all are alike it does not count.
        weights: as in `WEIGHTS` (n, 4).
    """
    cover = np.minimum(state.on_hand / np.maximum(state.demand * (p.lead_time + 1), 1e-3), 1)
    common = weights[:, 1:2] * scaled(margin) + weights[:, 2:3] * cover
    common = common + weights[:, 3:4] * (PRIOR_REVIEWS / state.reviews)
    pages = rank(weights[:, :1, None] * relevance + common[:, None], p.page_size)
    return np.broadcast_to(pages, (len(margin), p.segments + 1, p.page_size))


def visit_rate(p: MarketplaceParams, customers, marketing, factor) -> np.ndarray:
    """Return the visits expected (n, 2 S), float64: customers (n, S) by segment, then other people by segment.

    Args:
        p: the parameters.
        customers: people (n, S).
        marketing: money (n, 1).
        factor: of the day (n, 1).
    """
    lift = 1 + p.marketing_lift * (1 - np.exp(-marketing / p.marketing_scale))
    others = p.population / p.segments - customers
    parts = [p.customer_visits * customers, p.other_visits * others * lift]
    return factor * np.concatenate(parts, axis=1, dtype=np.float64)


def on_page(values: np.ndarray, page: np.ndarray) -> np.ndarray:
    """Return the values (n, I) of the items on pages (n, G, K)."""
    return np.take_along_axis(values, page.reshape(len(page), -1), axis=1).reshape(page.shape)


def _scatter(values: np.ndarray, page: np.ndarray, items: int) -> np.ndarray:
    """Add values (n, G, K) of the items on pages (n, G, K) up by item: (n, I), float64."""
    n = len(values)
    cell = np.arange(n)[:, None, None] * items + page
    return np.bincount(cell.ravel(), values.ravel(), n * items).reshape(n, items)


def _by_group(values: np.ndarray, page: np.ndarray, items: int) -> np.ndarray:
    """Add values (n, G, K) of the items on pages (n, G, K) up by group and item: (n, G, I)."""
    n, groups, size = values.shape
    rows = _scatter(values.reshape(-1, 1, size), page.reshape(-1, 1, size), items)
    return rows.reshape(n, groups, items)


def _mix(placed: np.ndarray) -> np.ndarray:
    """Return the shares (n, S, I) of an item's orders by segment, of orders (n, 2 S, I): customers, then others."""
    segments = placed.shape[1] // 2
    placed = placed[:, :segments] + placed[:, segments:]
    total = placed.sum(axis=1, keepdims=True)
    return np.where(total > 0, placed / np.where(total > 0, total, 1), 1 / segments)


def by_counts(shop: Shop, shock: dict) -> Orders:
    """Shop by counts: Poisson orders per item, and one round of second choices where stock runs out within the day.

    Visits are Poisson, so that first choices are independent Poisson counts: exact where nothing runs out within the
    day. Buyers who find their choice gone see it at its longer delay: what they turn to is exact in the mean
    as long as that is there; if it is gone as well, they wait for it or leave. Refusals, orders by group and second
    choices are means in place of counts (units are divisible).

    Args:
        shop: the day.
        shock: `uniform` (n, I).
    """
    items = shop.stock.shape[1]
    page = shop.page[:, shop.page_of]
    there = on_page(shop.stock, page) > 0
    utility = np.where(there, shop.utility, shop.utility - shop.delay)
    weight = np.exp(utility)
    total = 1 + weight.sum(axis=2, keepdims=True)
    chosen = weight / total * shop.rate[..., None]  # (n, G, K) first choices expected
    mean = _scatter(chosen, page, items)
    orders = inverse_transform(mean * shop.accept, shock["uniform"], "poisson", 0.0).astype(np.float64)
    sold = np.minimum(orders, shop.stock)
    waiting = np.where(shop.stock > 0, 0, orders)
    short = orders - sold - waiting
    groups = chosen * on_page(shop.accept, page)
    if short.any():
        # A first choice is gone and its weight falls by exp(-delay); the noise of each buyer stays as it was. So item j
        # takes them with probability w_j (1 / V' - 1 / V) / P(first choice), and they wait for it with V w' / (V' w).
        part = on_page(short / np.maximum(mean, 1e-12), page) * there  # of the first choices
        less = weight * np.exp(-shop.delay)
        after = total - weight + less
        stay = part * shop.rate[..., None] * less / after
        turn = part * shop.rate[..., None] * (1 / after - 1 / total)
        turned = weight * (turn.sum(axis=2, keepdims=True) - turn)
        turned, stay = (_scatter(units, page, items) for units in (turned, stay))
        second = np.where(shop.stock > 0, np.minimum(turned, shop.stock - sold), 0)
        sold = sold + second
        # Whose second choice is gone as well waits for it as often as those do whose first choice it was.
        patience = _scatter(less / after * shop.rate[..., None], page, items) / np.maximum(mean, 1e-12)
        waiting = waiting + stay + (turned - second) * np.where(shop.stock > 0, patience, 1)
    buyers = groups.sum(axis=2)
    accepted = sold + waiting
    buyers *= accepted.sum(axis=1, keepdims=True) / np.maximum(buyers.sum(axis=1, keepdims=True), 1e-12)
    refused = mean * (1 - shop.accept)
    visits = shop.rate.sum(axis=1, keepdims=True)
    mix = _mix(_by_group(groups, page, items)) if shop.markets else None
    return Orders(visits, accepted + refused, sold, waiting, refused, buyers, mix)


def one_by_one(shop: Shop, shock: dict) -> Orders:
    """Let the visitors come one after another, each with a noise of their own, and see what is in stock.

    Args:
        shop: the day; its expected visits are at most `largest_rate`.
        shock: `candidates` (n, 1), a Poisson number of people who may come; `largest_rate` (n, 1), its mean; `who`
            (n, M) uniform, for the group of a candidate, or none (thinning); `noise` (n, M, K + 1) Gumbel, buying
            nothing first; `lets` (n, M) uniform: an order passes screening below the accepted share.
    """
    n, items = shop.stock.shape
    groups, size = shop.utility.shape[1:]
    edges = np.cumsum(shop.rate, axis=1) / shock["largest_rate"]
    stock = shop.stock.astype(np.float64)
    demand, sold, waiting, refused = (np.zeros((n, items)) for _ in range(4))
    buyers, visits, log = np.zeros((n, groups)), np.zeros((n, 1)), []
    noise = shock["noise"].reshape(n, -1, size + 1)
    for k in range(int(shock["candidates"].max())):
        group = (shock["who"][:, k, None] >= edges).sum(axis=1)
        on = np.flatnonzero((group < groups) & (k < shock["candidates"][:, 0]))
        if not len(on):
            continue
        g = group[on]
        page = shop.page[on, shop.page_of[g]]  # (m, K)
        gone = np.take_along_axis(stock[on], page, axis=1) <= 0
        value = shop.utility[on, g] - shop.delay * gone + noise[on, k, 1:]
        best = value.argmax(axis=1)
        visits[on] += 1
        buys = value[np.arange(len(on)), best] > noise[on, k, 0]
        on, g, item = on[buys], g[buys], page[buys, best[buys]]
        demand[on, item] += 1
        passes = shock["lets"][on, k] < shop.accept[on, item]
        refused[on[~passes], item[~passes]] += 1
        on, g, item = on[passes], g[passes], item[passes]
        buyers[on, g] += 1
        log.append(np.stack([on, g, item], axis=1))
        has = stock[on, item] > 0
        stock[on, item] -= has
        sold[on, item] += has
        waiting[on, item] += ~has
    rows = np.concatenate([np.empty((0, 3), int), *log])
    mix = None
    if shop.markets:
        placed = np.zeros((n, groups, items))
        np.add.at(placed, tuple(rows.T), 1)
        mix = _mix(placed)
    return Orders(visits, demand, sold, waiting, refused, buyers, mix, log=rows)


def shop(model, state: State, given: dict, shock: dict) -> tuple[np.ndarray, np.ndarray, Orders, np.ndarray]:
    """Let a day's visitors shop, under `decisions`.

    Returns:
        Prices (n, I), units that serve those who waited (n, I), orders, the fraudulent share of them (n, I).
    """
    p, c = model.params, model.catalogue
    price, prices = day_prices(model, given["price"], len(state.on_hand))
    fraud_rate = np.clip(p.fraud_share * price / (model.cost.mean() + model.markup), 0, 0.5)
    stock = model.stock(state)
    served = np.minimum(stock, state.backlog)  # before the day's visitors
    alike = p.market_prices == "own" or (given["price"].shape[1] == 1 and _by_markup(p))
    margin = np.zeros_like(price) if alike else price - model.cost  # one markup: a tie, whatever rounding says
    pages = rank_pages(p, model.relevance(state, shock), state, margin, given["recommendation"])
    utility = p.rating_effect * (model.ratings(state) - 3) - p.delay_effect * state.delivery
    seen = pages[:, model.page_of]  # (n, G, K)
    segment = np.tile(np.arange(p.segments), 2)
    taste = c.taste[segment[:, None], seen]
    if prices is None:
        money = on_page(price, seen) * c.sensitivity[segment][:, None]
    else:  # in the market's own money, over its rate of exchange at the start
        felt = c.sensitivity[:, None] * prices / shock.get("exchange", np.ones((1, p.segments)))[:, :, None]
        money = np.take_along_axis(np.concatenate([felt, felt], axis=1), seen, axis=2)
    utility = taste - money + on_page(utility, seen) - model._position
    legitimate, fraudulent = passes(model.models, given["fraud"]) if p.screening else (1.0, 1.0)
    accept = (1 - fraud_rate) * legitimate + fraud_rate * fraudulent
    shop = Shop(
        rate=visit_rate(p, state.customers, given["marketing"], shock["factor"]),
        page=pages,
        page_of=model.page_of,
        utility=utility,
        delay=p.delay_effect * p.lead_time,
        accept=accept,
        stock=stock - served,
        markets=bool(p.markets),
    )
    orders = by_counts(shop, shock) if p.fidelity == "fast" else one_by_one(shop, shock)
    orders.prices = prices
    return price, served, orders, fraud_rate * fraudulent / np.maximum(accept, 1e-12)


def day_prices(model, given: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray | None]:
    """Return net prices (n, I), money, the mean of the markets' where these differ, and by market (n, S, I), if any.

    Args:
        model: the store.
        given: what was decided (n, numbers).
        n: rows.
    """
    p = model.params
    if p.market_prices == "own":
        given = np.broadcast_to(given, (n, p.segments))
        prices = (model.cost + given[..., None] * model.markup).astype(np.float32)
        return prices.mean(axis=1), prices
    price = model.cost + given * model.markup if _by_markup(p) else given
    price = np.broadcast_to(price, (n, p.items)).astype(np.float32)
    if not p.markets:
        return price, None
    factor = np.array([market.factor for market in p.countries], np.float32)
    if p.market_prices == "net":
        return price, np.broadcast_to(price[:, None], (n, p.segments, p.items))
    prices = price[:, None] * (factor[0] / factor)[:, None]  # the price with tax is the first market's everywhere
    return prices.mean(axis=1), prices


def _by_markup(p: MarketplaceParams) -> bool:
    """Return whether prices are decided as multiples of the markup."""
    return p.resolution == "store" or "price" not in p.decides


def relevance(model, state: State, shock: dict) -> np.ndarray:
    """Return scores between 0 and 1 for the pages' ranking (n or 1, S + 1 or 1, I)."""
    p = model.params
    if p.ranking == "learned":
        return scaled(model.models.relevance)[None]
    if p.ranking == "random":
        return shock["scores"].reshape(-1, p.segments + 1, p.items)
    return scaled(np.log(state.popularity))[:, None]


def passes(models: StoreModels, threshold) -> tuple[np.ndarray, np.ndarray]:
    """Return the shares of legitimate and of fraudulent orders (n, 1) below the threshold (n, 1)."""
    grid = np.linspace(0, 1, len(models.legitimate))
    return tuple(1 - np.interp(threshold, grid, table) for table in (models.legitimate, models.fraudulent))


def expected_demand(model) -> np.ndarray:
    """Return the demand of a mean day (I,) at the heuristics' prices and a page of the most popular items."""
    p, c = model.params, model.catalogue
    price, prices = day_prices(model, np.array([[p.price]]), 1)
    price = c.cost + p.price * model.markup if prices is None else prices[0]
    utility = c.taste - c.sensitivity[:, None] * price - p.delay_effect * p.promise
    weight = np.exp(utility) * min(1.0, p.page_size / p.items)
    visits = visit_rate(p, np.full((1, p.segments), model.start), np.full((1, 1), p.marketing), 1.0)
    by_segment = visits[0].reshape(2, p.segments).sum(axis=0)
    return (by_segment[:, None] * weight / (1 + weight.sum(axis=1, keepdims=True))).sum(axis=0)
