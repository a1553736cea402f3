"""The parameters of inventory games, each with its unit, checked where they are made."""

from dataclasses import dataclass, field

from ...errors import FieldError
from ..core.checks import LARGEST, check_choice, check_episode, check_flag, check_list, check_number
from .games import LEADS, PERIODS, RATIOS, VARIANTS


@dataclass
class InventoryGameParams:
    """Parameters of games of one item. An episode is a game, drawn from those that are listed, each as likely."""

    horizon: int = PERIODS  # periods in a game
    patterns: list[str] = field(default_factory=list)  # of demand, names of `games.VARIANTS`; [] all ten
    processes: str = "published"  # published: the forty processes | wide: others of the same kinds
    leads: list[str] = field(default_factory=lambda: list(LEADS))  # 0 | 4 | stochastic: 1, 2, 3 or lost
    profits: list[float] = field(default_factory=lambda: list(RATIOS.values()))  # money per unit sold, rising
    holding_cost: float = 1.0  # money per unit on hand at the end of a period
    max_order: float = 20_000.0  # units per period
    whole: bool = True  # orders are rounded to whole units, or goods are divisible

    def __post_init__(self):
        check_number("horizon", self.horizon, 1, 1000, integer=True)
        for name, allowed in (("patterns", VARIANTS), ("leads", LEADS)):
            given = getattr(self, name)
            if not isinstance(given, list) or (name == "leads" and not given):
                raise FieldError(name, given, f"a list of {', '.join(allowed)}")
            for entry in given:
                if not isinstance(entry, str) or entry not in allowed:
                    raise FieldError(name, entry, f"one of {', '.join(allowed)}")
        check_choice("processes", self.processes, ("published", "wide"))
        if self.processes == "wide" and self.patterns:
            raise FieldError("patterns", self.patterns, "[]", "with processes=wide")
        check_list("profits", self.profits, 0, 1e4, least=1, most=100, rising=True, exclusive=True)
        check_number("holding_cost", self.holding_cost, 0, 1e4)
        check_number("max_order", self.max_order, 1, LARGEST)
        check_flag("whole", self.whole)
        check_episode("horizon", self.horizon, self.numbers)

    @property
    def numbers(self) -> int:
        """Return how many numbers an episode holds."""
        return 20 * (self.horizon + 1)

    @property
    def continuing(self) -> bool:
        """Return False: the horizon ends a game."""
        return False

    @property
    def earns(self) -> bool:
        """Return True: there is revenue."""
        return True

    @property
    def items(self) -> int:
        """Return 1."""
        return 1
