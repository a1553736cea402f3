"""Synthetic transactions with six known patterns of fraud, all drawn from one seed (docs/risk.md).

Honest customers live in households that share an address, some a tablet or a card; they change phones and cards, move,
buy presents, use parcel shops and public computers, shop in sprees, retry declined payments and return goods. So each
trace of fraud is also left by somebody honest. What is paid at a compromised merchant looks as always: only what is
known of the merchant's earlier payments tells.
"""

from dataclasses import dataclass, fields

import numpy as np
import pandas as pd

from ..errors import FieldError

PATTERNS = (
    *("", "takeover", "promotion ring", "refund ring", "card testing"),
    *("compromised merchant", "stolen card"),
)
KINDS = ("purchase", "refund")
HOUSEHOLDS = ("single", "family", "shared house", "")  # "": accounts that fraudsters opened
CATEGORIES = 12
DAY = 86_400  # seconds
_DIGITAL, _RESOLD = 0, (1, 2)  # categories: cheap and delivered at once; what a fence buys
_IDS = ("customer", "device", "address", "card")
_COLUMNS = ("time", "customer", "device", "address", "card", "kind", "category", "amount", "promotion", "declined")
_COMPROMISED = 0.8  # share of the payments at a compromised merchant that never reach it


@dataclass
class TransactionParams:
    """Sizes and rates; rates of attacks are per 1,000 customers and day."""

    customers: int = 5000  # honest customers
    days: int = 180  # days
    seed: int = 0  # non-negative integer
    start: str = "2024-01-01"  # first day, YYYY-MM-DD
    rate: float = 0.2  # purchases/day of a customer, mean over customers
    takeovers: float = 0.35  # an account taken over, 1 to 8 purchases within hours
    promotion_rings: float = 0.045  # 5 to 15 accounts opened for their promotions
    refund_rings: float = 0.035  # 3 to 8 accounts that claim refunds on what they keep
    card_tests: float = 0.07  # 5 to 16 small payments to find the stolen cards that work
    compromised_merchants: float = 0.025  # a checkout that was taken over for 21 to 42 days
    stolen_cards: float = 0.03  # a copied card, used in 2 to 5 bursts of 2 to 6 purchases over three weeks

    def __post_init__(self) -> None:
        bounds = {"customers": (10, 1_000_000), "days": (2, 3650), "seed": (0, 2**63 - 1), "rate": (0.001, 10)}
        for field in fields(self):
            value, (low, high) = getattr(self, field.name), bounds.get(field.name, (0, 10))
            if field.type is str:
                continue
            kind = (int, np.integer) if field.type is int else (int, float, np.integer, np.floating)
            if not isinstance(value, kind) or isinstance(value, bool) or not low <= value <= high:
                noun = "whole number" if field.type is int else "number"
                raise FieldError(field.name, value, f"a {noun} from {low} to {high}")
        try:
            start = pd.Timestamp(self.start)
        except (TypeError, ValueError):
            start = pd.NaT
        if not isinstance(self.start, str) or start is pd.NaT or start != start.normalize() or start.tz:
            raise FieldError("start", self.start, "a day YYYY-MM-DD")


@dataclass(eq=False)
class FraudData:
    params: TransactionParams
    transactions: pd.DataFrame  # a row per transaction by time, columns as risk.transactions.TRANSACTIONS
    labels: pd.DataFrame  # a row per transaction: fraud (bool), pattern (one of PATTERNS)
    customers: pd.DataFrame  # customer, household (one of HOUSEHOLDS)


class _People:
    """Honest customers, arrays (C,): who shares what, and when (seconds) devices, cards and homes change."""

    def __init__(self, params: TransactionParams, rng: np.random.Generator):
        count, self.end = params.customers, params.days * DAY
        kind = rng.choice(3, count, p=[0.6, 0.3, 0.1])
        size = np.where(kind == 0, 1, np.where(kind == 1, rng.integers(2, 6, count), rng.integers(4, 11, count)))
        household = np.repeat(np.arange(count), size)[:count]
        self.household = kind[household]
        self.joined = np.where(rng.random(count) < 0.6, 0, rng.integers(0, self.end, count))
        self.rate = rng.gamma(1.0, params.rate, count)  # purchases/day
        self.level = rng.normal(0.0, 0.35, count)  # of log amounts
        self.hour = rng.normal(16.0, 3.0, count)
        self.taste = rng.dirichlet(np.full(CATEGORIES, 0.5), count).cumsum(axis=1)
        self.returns = rng.beta(0.6, 9.0, count)  # share of purchases sent back
        self.category_level = np.r_[np.log(9.0), np.log(95.0), np.log(60.0), rng.uniform(2.3, 4.3, CATEGORIES - 3)]
        self.parcel_shop = np.where(rng.random(count) < 0.12, rng.integers(0, max(3, count // 150), count), -1)
        self.used = dict.fromkeys((*_IDS, "merchant"), 0)
        self.new("customer", count)
        self.parcel_shops = self.new("address", max(3, count // 150))
        self.public = self.new("device", max(2, count // 250))
        together = self.household != 2  # members of a shared house move one by one
        homes = self.new("address", count)[household]
        moves, own_moves = rng.exponential(400 * DAY, count), rng.exponential(250 * DAY, count)
        next_home = np.where(together, self.new("address", count)[household], self.new("address", count))
        self._homes = homes, next_home, np.where(together, moves[household], own_moves)
        self._devices = self.new("device", count), self.new("device", count), rng.exponential(300 * DAY, count)
        cards = np.where((self.household == 1) & (rng.random(count) < 0.3), household, np.arange(count))
        self._cards = self.new("card", count)[cards], self.new("card", count), rng.exponential(500 * DAY, count)
        self.second_card = self.new("card", count)
        self.tablet = self.new("device", count)[household]

    def new(self, name: str, count: int) -> np.ndarray:
        """Codes of `count` customers, devices, addresses or cards that nobody had before."""
        self.used[name] += count
        return np.arange(self.used[name] - count, self.used[name])

    def at(self, name: str, who: np.ndarray, time: np.ndarray) -> np.ndarray:
        """A customer's own device, card or home (`address`) at a time."""
        first, then, change = {"device": self._devices, "card": self._cards, "address": self._homes}[name]
        return np.where(time < change[who], first[who], then[who])

    def price(self, category: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return np.exp(self.category_level[category] + rng.normal(0.0, 0.5, len(category)))


def _rows(time: np.ndarray, pattern: int | np.ndarray = 0, **columns) -> dict[str, np.ndarray]:
    """Columns of transactions, those not named as in an accepted purchase without promotion."""
    shape = np.shape(time)
    plain = {"kind": 0, "promotion": False, "declined": False, "pattern": pattern}
    return {name: np.broadcast_to(value, shape) for name, value in (plain | columns | {"time": time}).items()}


def _honest(people: _People, rng: np.random.Generator, shops: np.random.Generator) -> list[dict]:
    span = (people.end - people.joined) / DAY
    who = np.repeat(np.arange(len(span)), rng.poisson(people.rate * span))
    day = np.floor((people.joined[who] + rng.random(len(who)) * (people.end - people.joined[who])) / DAY)
    usual = people.hour[who] + rng.normal(0.0, 2.5, len(who))
    hour = np.where(rng.random(len(who)) < 0.8, usual, rng.uniform(0.0, 24.0, len(who)))
    time = np.maximum(day * DAY + (hour % 24) * 3600, people.joined[who] + rng.exponential(1800, len(who)))
    spree = rng.random(len(who)) < 0.06
    more = np.repeat(np.flatnonzero(spree), rng.integers(1, 5, spree.sum()))
    who, time = np.r_[who, who[more]], np.r_[time, time[more] + rng.exponential(7200, len(more))]
    count = len(who)
    by_taste = (rng.random(count)[:, None] > people.taste[who]).sum(axis=1)
    category = np.where(
        rng.random(count) < 0.85, np.minimum(by_taste, CATEGORIES - 1), rng.integers(0, CATEGORIES, count)
    )
    amount = people.price(category, rng) * np.exp(people.level[who])
    device = people.at("device", who, time)
    device = np.where((people.household[who] == 1) & (rng.random(count) < 0.2), people.tablet[who], device)
    device = np.where(rng.random(count) < 0.006, rng.choice(people.public, count), device)
    device = np.where(rng.random(count) < 0.04, people.new("device", count), device)  # private browsing
    address = people.at("address", who, time)
    shop = people.parcel_shops[people.parcel_shop[who]]
    address = np.where((people.parcel_shop[who] >= 0) & (rng.random(count) < 0.6), shop, address)
    friend = people.at("address", rng.integers(0, len(span), count), time)
    present = np.where(rng.random(count) < 0.5, friend, people.new("address", count))
    address = np.where(rng.random(count) < 0.05, present, address)
    card = np.where(rng.random(count) < 0.07, people.second_card[who], people.at("card", who, time))
    card = np.where(rng.random(count) < 0.02, people.new("card", count), card)  # one-time card numbers
    fresh = time - people.joined[who] < 3 * DAY
    promotion = rng.random(count) < np.where(fresh & (people.joined[who] > 0), 0.6, 0.15)
    declined = rng.random(count) < 0.03
    shared = {"customer": who, "device": device, "address": address, "category": category, "amount": amount}
    shared["shop"] = shops.random(count)
    bought = _rows(time, card=card, promotion=promotion, declined=declined, **shared)
    again = np.flatnonzero(declined & (rng.random(count) < 0.8))
    retry = {name: value[again] for name, value in bought.items()}
    retry["time"] = retry["time"] + rng.exponential(180, len(again))
    other = rng.random(len(again)) < 0.25
    retry["card"] = np.where(other, people.second_card[retry["customer"]], retry["card"])
    retry["declined"] = rng.random(len(again)) < 0.2
    back = np.flatnonzero(~declined & (rng.random(count) < people.returns[who]))
    refund = {name: value[back] for name, value in bought.items()}
    refund["time"] = refund["time"] + DAY * (1 + rng.gamma(1.5, 4.0, len(back)))
    refund["amount"] = refund["amount"] * np.where(rng.random(len(back)) < 0.7, 1.0, rng.uniform(0.2, 0.9, len(back)))
    return [bought, retry, refund | _rows(refund["time"], kind=1)]


def _takeovers(people: _People, attacks: int, rng: np.random.Generator, _) -> list[dict]:
    """An attacker works some days, on one or two machines of his own, and ships to a few drop addresses."""
    parts = []
    machines, drops, begin = [], [], 0.0
    for attack in range(attacks):
        if attack % 4 == 0:  # four victims each
            machines = people.new("device", rng.integers(1, 4))
            drops, begin = people.new("address", rng.integers(1, 3)), people.end * rng.random()
        start = begin + rng.exponential(4 * DAY)
        known = np.flatnonzero(people.joined < start - 20 * DAY)
        if not len(known):
            continue
        victim = rng.choice(known, p=people.rate[known] / people.rate[known].sum())
        count = min(1 + rng.poisson(2.5), 8)
        time = start + np.r_[0.0, rng.exponential(2400, count - 1).cumsum()]
        who = np.full(count, victim)
        remote = rng.random() < 0.6  # else by the customer's own machine, with malware
        machine = rng.choice(machines) if rng.random() < 0.5 else people.new("device", 1)[0]
        device = np.full(count, machine) if remote else people.at("device", who, time)
        where, own = rng.random(), people.at("address", who, time)
        address = np.full(count, rng.choice(drops if where < 0.5 else people.parcel_shops)) if where < 0.7 else own
        category = np.where(rng.random(count) < 0.45, rng.choice(_RESOLD, count), rng.integers(0, CATEGORIES, count))
        amount = people.price(category, rng) * np.exp(people.level[victim] + rng.normal(0.2, 0.3))
        card = people.at("card", who, time) if rng.random() < 0.75 else np.full(count, people.new("card", 1)[0])
        columns = {"device": device, "address": address, "category": category, "amount": amount, "card": card}
        parts.append(_rows(time, 1, customer=who, declined=rng.random(count) < 0.12, **columns))
    return parts


def _promotion_rings(people: _People, rings: int, rng: np.random.Generator, _) -> list[dict]:
    parts = []
    for _ in range(rings):
        accounts = people.new("customer", rng.integers(5, 16))
        machines = people.new("device", rng.integers(1, 4))
        places = np.r_[people.new("address", rng.integers(2, 5)), rng.choice(people.parcel_shops, 2)]
        favourite = rng.integers(0, CATEGORIES, 3)
        begin = people.end * rng.random()
        for account in accounts:
            count = 1 + rng.binomial(2, 0.5)
            time = begin + 18 * DAY * rng.random() + np.r_[0.0, rng.exponential(2 * DAY, count - 1).cumsum()]
            own = rng.random() < 0.6
            device = people.new("device", 1)[0] if own else rng.choice(machines)
            category = rng.choice(favourite, count)
            columns = {"category": category, "amount": people.price(category, rng) * 0.9, "device": device}
            columns |= {"card": people.new("card", 1)[0], "address": rng.choice(places), "customer": account}
            parts.append(_rows(time, 2, promotion=rng.random(count) < 0.75, **columns))
    return parts


def _refund_rings(people: _People, rings: int, rng: np.random.Generator, shops: np.random.Generator) -> list[dict]:
    """The goods are bought and paid; the claims that they never came or were sent back are the fraud.

    Half of a ring are customers of old who were talked into it and use what they always used.
    """
    parts = []
    for _ in range(rings):
        machines, places = people.new("device", rng.integers(2, 5)), people.new("address", rng.integers(1, 4))
        begin = people.end * rng.random()
        for _ in range(rng.integers(3, 9)):
            count = rng.integers(2, 9)
            time = begin + rng.exponential(12 * DAY) + rng.exponential(5 * DAY, count).cumsum()
            category = np.where(rng.random(count) < 0.4, rng.choice(_RESOLD, count), rng.integers(0, CATEGORIES, count))
            known = np.flatnonzero(people.joined < begin)
            if rng.random() < 0.5 and len(known):
                who = np.full(count, rng.choice(known))
                columns = {name: people.at(name, who, time) for name in ("device", "address", "card")} | {
                    "customer": who
                }
                columns["address"] = np.where(rng.random(count) < 0.3, rng.choice(places), columns["address"])
            else:
                columns = {"customer": people.new("customer", 1)[0], "card": people.new("card", 1)[0]}
                columns["address"] = rng.choice(np.r_[places, rng.choice(people.parcel_shops)])
                columns["device"] = rng.choice(np.r_[machines, people.new("device", 1)])
            columns |= {"category": category, "amount": people.price(category, rng), "shop": shops.random(count)}
            bought = _rows(time, promotion=rng.random(count) < 0.2, **columns)
            claimed = np.flatnonzero(rng.random(count) < 0.5)
            claim = {name: value[claimed] for name, value in bought.items()}
            parts += [bought, claim | _rows(time[claimed] + DAY * (1 + rng.gamma(1.5, 4.0, len(claimed))), 3, kind=1)]
    return parts


def _card_tests(people: _People, attacks: int, rng: np.random.Generator, _) -> list[dict]:
    """Small payments with one stolen card after the other, then something dear with one that works.

    From new accounts or from one whose password was stolen, on machines that change.
    """
    parts = []
    for _ in range(attacks):
        begin, count, buys = people.end * rng.random(), rng.integers(4, 15), rng.integers(0, 3)
        known = np.flatnonzero(people.joined < begin)
        stolen = rng.random() < 0.4 and len(known) > 0
        accounts = rng.choice(known, 1) if stolen else people.new("customer", rng.integers(2, 7))
        machines, places = people.new("device", rng.integers(1, 6)), people.new("address", rng.integers(1, 4))
        time = begin + rng.exponential(rng.choice([120, 1800, 4 * 3600]), count).cumsum()
        cards, declined = people.new("card", count), rng.random(count) < 0.35
        category = np.where(rng.random(count) < 0.4, _DIGITAL, rng.integers(0, CATEGORIES, count))
        amount = people.price(category, rng) * rng.uniform(0.3, 1.0, count)
        columns = {"customer": rng.choice(accounts, count), "device": rng.choice(machines, count), "card": cards}
        columns |= {"address": rng.choice(places, count), "category": category, "amount": amount, "declined": declined}
        parts.append(_rows(time, 4, **columns))
        works = cards[~declined]
        if len(works) and buys:
            category = rng.choice(_RESOLD, buys)
            columns = {"customer": rng.choice(accounts), "device": rng.choice(machines), "address": rng.choice(places)}
            columns |= {"card": rng.choice(works, buys), "category": category}
            later = time[-1] + rng.exponential(3 * 3600, buys).cumsum()
            parts.append(_rows(later, 4, amount=people.price(category, rng) * 1.2, **columns))
    return parts


def _stolen_cards(people: _People, attacks: int, rng: np.random.Generator, _) -> list[dict]:
    """A copied card and its owner's account, used in bursts on new machines while the owner goes on buying."""
    parts = []
    for _ in range(attacks):
        begin, bursts = people.end * rng.random(), rng.integers(2, 6)
        known = np.flatnonzero(people.joined < begin)
        if not len(known):
            continue
        victim = rng.choice(known)
        for start in np.sort(rng.uniform(0.0, 21 * DAY, bursts)):
            count = rng.integers(2, 7)
            time = begin + start + np.r_[0.0, rng.exponential(1200, count - 1).cumsum()]
            who, category = np.full(count, victim), rng.integers(0, CATEGORIES, count)
            address = people.at("address", who, time) if rng.random() < 0.6 else rng.choice(people.parcel_shops)
            columns = {"customer": who, "category": category, "card": people.at("card", who, begin)}
            columns |= {"device": people.new("device", 1)[0], "address": address, "declined": rng.random(count) < 0.08}
            amount = people.price(category, rng) * np.exp(people.level[victim] + rng.normal(0.3, 0.3))
            parts.append(_rows(time, 6, amount=amount, **columns))
    return parts


class _Shops:
    """Merchants, a few large ones in each category; `count` in all."""

    def __init__(self, count: int, rng: np.random.Generator):
        self.category = np.r_[np.arange(CATEGORIES), rng.integers(0, CATEGORIES, count - CATEGORIES)]
        self.weight = rng.pareto(1.5, count) + 0.3

    def of(self, category: np.ndarray, draw: np.ndarray) -> np.ndarray:
        """The merchants that draws (n,) from 0 to 1 choose among those of categories (n,)."""
        chosen = np.empty(len(category), np.int64)
        for number in range(CATEGORIES):
            rows, there = category == number, np.flatnonzero(self.category == number)
            share = self.weight[there].cumsum() / self.weight[there].sum()
            chosen[rows] = there[np.minimum(np.searchsorted(share, draw[rows], side="right"), len(there) - 1)]
        return chosen


def _compromise(table: dict, attacks: int, shops: int, end: float, rng: np.random.Generator) -> None:
    """Most of what is paid at some merchants for some weeks becomes a fraud: nothing else about it changes."""
    for _ in range(attacks):
        begin, days, shop = end * rng.random(), rng.uniform(21, 42), rng.integers(shops)
        there = (table["merchant"] == shop) & (table["time"] >= begin) & (table["time"] < begin + days * DAY)
        there &= (table["pattern"] == 0) & (table["kind"] == 0) & (rng.random(len(there)) < _COMPROMISED)
        table["pattern"] = np.where(there, 5, table["pattern"])


def generate(params: TransactionParams) -> FraudData:
    """Draw the transactions. The same parameters give the same tables."""
    streams = [np.random.default_rng([params.seed, part]) for part in range(10)]
    people, shops = _People(params, streams[0]), streams[8]
    parts = _honest(people, streams[1], shops)
    makers = {"takeovers": _takeovers, "promotion_rings": _promotion_rings, "refund_rings": _refund_rings}
    makers |= {"card_tests": _card_tests, "stolen_cards": _stolen_cards}
    size = params.customers / 1000 * params.days
    for rng, (name, make) in zip([*streams[2:6], streams[7]], makers.items(), strict=True):
        parts += make(people, rng.poisson(getattr(params, name) * size), rng, shops)
    for part in parts:
        if "shop" not in part:
            part["shop"] = shops.random(len(part["time"]))
    table = {name: np.concatenate([part[name] for part in parts]) for name in (*_COLUMNS, "shop", "pattern")}
    inside = np.flatnonzero((table["time"] >= 0) & (table["time"] < people.end))
    order = inside[np.argsort(table["time"][inside], kind="stable")]
    table = {name: values[order] for name, values in table.items()}
    places = _Shops(max(2 * CATEGORIES, params.customers // 5), shops)
    table["merchant"] = places.of(table["category"], table["shop"])
    taken = streams[9].poisson(params.compromised_merchants * size)
    _compromise(table, taken, len(places.category), people.end, streams[9])
    people.new("merchant", len(places.category))
    # Ids drawn at random: their order carries no information.
    ids = {name: streams[6].permutation(count) for name, count in people.used.items()}
    texts = {name: np.array([f"{name}-{n:07d}" for n in codes], dtype=object) for name, codes in ids.items()}
    start = np.datetime64(params.start, "s")
    frame = pd.DataFrame({"timestamp": start + table["time"].astype(np.int64).astype("timedelta64[s]")})
    for name in _IDS:
        frame[name] = texts[name][table[name]]
    frame["kind"] = np.array(KINDS, dtype=object)[table["kind"]]
    frame["category"] = np.array([f"category-{n}" for n in range(CATEGORIES)], dtype=object)[table["category"]]
    frame["amount"] = np.round(table["amount"], 2).clip(0.01)
    frame["promotion"], frame["declined"] = table["promotion"].astype(bool), table["declined"].astype(bool)
    frame["merchant"] = texts["merchant"][table["merchant"]]
    pattern = np.array(PATTERNS, dtype=object)[table["pattern"]]
    household = np.r_[people.household, np.full(people.used["customer"] - params.customers, 3)]
    customers = pd.DataFrame(
        {"customer": texts["customer"], "household": np.array(HOUSEHOLDS, dtype=object)[household]}
    )
    return FraudData(params, frame, pd.DataFrame({"fraud": table["pattern"] > 0, "pattern": pattern}), customers)
