"""What a store's customers write: reviews that follow their experience, and service tickets; English and Chinese.

A grammar over the lists of `phrases`: opening, clauses about the whole, the quality, the price and the delivery, joined
by how far they agree, with negation, irony, hopes and fears that were not met, typos, emoji. Texts are drawn one by
one from their experience, each with its own random numbers: the first rows are the same, however many are drawn.

With `without=(3,)` every fourth phrase of each list is left out: a model that is trained on the others meets wordings
in all other texts that it never saw, as it would in a store.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from ..errors import FieldError
from .noise import with_typos
from .phrases import EMOJI, OTHER, REVIEWS, SLOTS, TICKETS

LANGUAGES = ("en", "zh")
REASONS = ("late", "return", "refund", "damaged", "other")  # of tickets; other: out of scope
_CUTS = (-1.25, -0.75, -0.1, 0.75)  # of satisfaction, between 1, 2, 3, 4 and 5 stars
_TYPOS, _TYPO_RATE = 0.3, 0.04  # share of the texts that have some, of their letters
_DRAWS = 40  # uniform numbers that a text may use


def experiences(count: int, chinese: float = 0.4, seed: int = 0) -> pd.DataFrame:
    """What `count` customers lived through: language, late (bool), quality and price (1 bad to 5 good), stars.

    Satisfaction is a sum of the three and of noise; stars cut it at fixed points, so that 5 are most frequent.
    `chinese` is the share who write Chinese. Raises ValueError for a count below 1 or a share outside 0 to 1.
    """
    if count < 1:
        raise FieldError("count", count, "a whole number from 1")
    if not 0 <= chinese <= 1:
        raise FieldError("chinese", chinese, "a number from 0 to 1")
    generator = np.random.default_rng([seed, 0])
    normal, uniform = (draw((count, 3)) for draw in (generator.spawn(1)[0].standard_normal, generator.random))
    quality, price = (np.clip(np.rint(3.4 + normal[:, k]), 1, 5).astype(int) for k in (0, 1))
    late = uniform[:, 0] < 0.15
    satisfaction = 0.7 * (quality - 3.4) + 0.3 * (price - 3.4) - 1.1 * late + 0.6 * normal[:, 2] + 0.4
    stars = 1 + np.searchsorted(_CUTS, satisfaction)
    language = np.where(uniform[:, 1] < chinese, "zh", "en")
    return pd.DataFrame({"language": language, "late": late, "quality": quality, "price": price, "stars": stars})


def reviews(count: int, chinese: float = 0.4, seed: int = 0, without: tuple[int, ...] = ()) -> pd.DataFrame:
    """`experiences` with the text and `positive` (4 stars and more), as `tables.reviews` takes them.

    The phrases at the places `without` (0 to 3) of every four of a list are left out.
    """
    table = experiences(count, chinese, seed)
    return table.assign(text=write(table, seed, without), positive=(table["stars"] >= 4).astype(int))


def write(lived: pd.DataFrame, seed: int = 0, without: tuple[int, ...] = ()) -> list[str]:
    """A review of each experience, with the columns of `experiences`."""
    draws = np.random.default_rng([seed, 1]).random((len(lived), _DRAWS))
    rows = zip(lived.itertuples(index=False), draws, strict=True)
    return _misspelt([_review(row, _Draws(draw, row.language, without)) for row, draw in rows], draws, seed)


def reviews_of(ratings: pd.DataFrame, seed: int = 0, without: tuple[int, ...] = ()) -> pd.DataFrame:
    """The ratings of a store with a review of each: `text`, in its row's language, and late, quality and price.

    Args:
        ratings: with `rating` (1 to 5 stars) and `language` (en or zh), as those of a synthetic store with markets.
        seed: of what was lived through, given the stars, and of the texts.
        without: as in `reviews`.

    Raises:
        FieldError: a column that is missing, or a value in it that is none.
    """
    for name, allowed in (("rating", range(1, 6)), ("language", LANGUAGES)):
        if name not in ratings:
            raise FieldError("ratings", ", ".join(ratings), f"a column {name}")
        wrong = ratings[name][~ratings[name].isin(allowed)]
        if len(wrong):
            raise FieldError(f"ratings.{name}", wrong.iloc[0], f"one of {', '.join(map(str, allowed))}")
    pool = experiences(max(20 * len(ratings), 1000), 0.0, seed)
    generator, lived = np.random.default_rng([seed, 3]), np.zeros(len(ratings), int)
    for stars in range(1, 6):
        rows = np.flatnonzero(ratings["rating"].to_numpy() == stars)
        lived[rows] = generator.choice(np.flatnonzero(pool["stars"] == stars), len(rows))
    told = pool.iloc[lived].reset_index(drop=True).assign(language=ratings["language"].to_numpy())
    table = ratings.reset_index(drop=True).assign(**{name: told[name] for name in ("late", "quality", "price")})
    return table.assign(text=write(told, seed, without))


def tickets_in(languages: Sequence[str], seed: int = 0, without: tuple[int, ...] = ()) -> pd.DataFrame:
    """A ticket in each of the languages, such as those of a synthetic store's orders with markets; see `tickets`."""
    for language in languages:
        if language not in LANGUAGES:
            raise FieldError("languages", language, f"one of {', '.join(LANGUAGES)}")
    draws = np.random.default_rng([seed, 2]).random((len(languages), _DRAWS))
    rows = [_ticket(_Draws(draw, language, without)) for draw, language in zip(draws, languages, strict=True)]
    table = pd.DataFrame(rows, columns=["reason", "language", "text", "order", "passage"])
    return table.assign(text=_misspelt(table["text"].tolist(), draws, seed))


def tickets(count: int, chinese: float = 0.4, seed: int = 0, without: tuple[int, ...] = ()) -> pd.DataFrame:
    """`count` service tickets, a row each: reason (one of REASONS, equally often), language, text, order, passage.

    `order` is the number that the customer knows, in half of the texts. One of the reason other is answered by the help
    corpus' passage of the title `passage`; "" stands for none.
    """
    return tickets_in(experiences(count, chinese, seed)["language"].tolist(), seed, without)


class _Draws:
    """One text's random numbers, used up in turn, and what they pick."""

    def __init__(self, numbers: np.ndarray, language: str, without: tuple[int, ...]):
        self.numbers, self.language = iter(numbers.tolist()), language
        self.places = [place for place in range(4) if place not in without]
        order = 10_000 + int(next(self.numbers) * 90_000)
        self.slots = {"o": str(order), "d": str(3 + int(next(self.numbers) * 12))}
        self.slots |= {name: self.pick(words) for name, words in SLOTS[language].items()}

    def chance(self, probability: float) -> bool:
        return next(self.numbers) < probability

    def pick(self, values):
        return values[int(next(self.numbers) * len(values))]

    def phrase(self, phrases: tuple[str, ...]) -> str:
        number = int(next(self.numbers) * (len(phrases) // 4) * len(self.places))
        four, place = divmod(number, len(self.places))
        return phrases[4 * four + self.places[place]].format(**self.slots)


def _review(row, draws: _Draws) -> str:
    said = REVIEWS[row.language]
    near = lambda stars, spread: min(5, max(1, stars + draws.pick((-1, 1)))) if draws.chance(spread) else stars
    whole = near(row.stars, 0.2)
    parts = [(whole, draws.phrase(said["overall"][whole - 1]))] if draws.chance(0.85) else []
    for name in ("quality", "price"):
        level = near(getattr(row, name), 0.15)
        if draws.chance(0.4):
            parts.append((level, draws.phrase(said[name][level - 1])))
    if draws.chance(0.7 if row.late else 0.3) or not parts:
        parts.append((2 if row.late else 4, draws.phrase(said["delivery"][0 if row.late else 1])))
    if draws.chance(0.4):  # the whole comes last
        parts.append(parts.pop(0))
    text = draws.phrase(said["opening"]) + draws.pick(said["same"][:2]) if draws.chance(0.25) else ""
    for place, (level, clause) in enumerate(parts):
        if place:
            apart = (level - 3) * (parts[place - 1][0] - 3) < 0
            text += draws.pick(said["contrast" if apart else "same"])
        text += clause
    text += draws.pick(said["end"]) + (EMOJI[whole - 1] if draws.chance(0.1) else "")
    return text[0].upper() + text[1:] if draws.chance(0.6) else text


def _ticket(draws: _Draws) -> tuple[str, str, str, str, str]:
    language, said, passage = draws.language, TICKETS[draws.language], ""
    reason = draws.pick(REASONS)
    if reason == "other":
        passage = draws.pick(sorted(OTHER[language])[1:]) if draws.chance(0.5) else ""
        text = draws.phrase(OTHER[language][passage]) if not passage else draws.pick(OTHER[language][passage])
    else:
        text = (draws.phrase(said["before"]) if draws.chance(0.25) else "") + draws.phrase(said[reason])
        if draws.slots["o"] not in text and draws.chance(0.5):
            text += draws.phrase(said["order"])
    text = draws.pick(said["greeting"]) + text + (draws.phrase(said["after"]) if draws.chance(0.25) else "")
    return reason, language, text, draws.slots["o"], passage


def _misspelt(texts: list[str], draws: np.ndarray, seed: int) -> list[str]:
    """Typos in the letters of some of the texts; the last of their numbers says in which."""
    typed = with_typos(texts, _TYPO_RATE, seed)
    return [new if draw < _TYPOS else text for text, new, draw in zip(texts, typed, draws[:, -1], strict=True)]
