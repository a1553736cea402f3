"""A forecaster for a store that has just opened: from 7 days on, adapted in a few steps.

Its weights are meta-trained to be adapted (`meta`): on thousands of drawn stores, a few steps on what was seen of each
lower the loss of the month after (first-order model-agnostic meta-learning, Finn, Abbeel & Levine 2017,
arXiv:1703.03400). All days seen are trained on; none is held out, for none can be spared.
"""

from dataclasses import dataclass

from ..data import Panel
from .params import TransformerParams
from .transformer import Transformer
from .windows import PATCH

LEAST_DAYS = 7  # a season of the week


@dataclass
class NewStoreParams(TransformerParams):
    """Those of the sequence model; the defaults are for few days."""

    pretrained: str = "new_store"  # shipped checkpoint to start from: new_store (meta-trained), small; "" = none
    fine_tune_steps: int = 40  # at most; 0: the weights as they are
    validation: int = 0  # last days, kept for early stopping; 0: all days train


class NewStore(Transformer):
    """See the module's docstring. With fewer than three weeks `fine_tune` finds no window, and the weights stay.

    Raises ValueError for a history of fewer than 7 days.
    """

    name = "new_store"
    Params = NewStoreParams
    least_history = LEAST_DAYS

    @property
    def least_days(self) -> int:
        return LEAST_DAYS

    def fine_tune(self, panel: Panel) -> "NewStore":
        """Adapt to the days of the panel, from the weights that are there."""
        if self.network is None:
            self.fit(panel)
            return self
        windows = self._training_windows(panel)
        stop = windows.days - self.params.validation - PATCH + 1
        if self.params.fine_tune_steps and len(windows.origins(0, max(0, stop))[0]):
            self._train(panel, windows, self._fine_tuning())
        self.trained_until = str(panel.dates[-1].date())
        return self
