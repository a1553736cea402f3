"""Linear policies for the whole store, learned by covariance matrix adaptation. It needs the extra `dispatch` (cma).

Every day the parameters of the store's heuristics are linear functions of a few features (`marketplace.summary`). The
search starts at the best constant parameters, the tuned composite, and searches all weights by covariance matrix
adaptation (Hansen 2016, arXiv:1604.00772), each generation on fresh training seasons. Policy search
without gradients is a strong baseline where noise is large and policies are small (Mania, Guy and Recht 2018,
arXiv:1803.07055).
"""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from ..envs import Marketplace
from ..envs.core.checks import check_number
from ..envs.core.contract import Model
from ..envs.core.seeds import evolution_keys, evolution_start
from ..envs.core.task import Task
from ..errors import FieldError
from ..reading import read_arrays, read_json
from .core.checkpoints import check_arrays, reading
from .core.evolutionary import own_stream, strategy
from .core.learners import by_generation
from .core.residual import StartRule
from .core.start import check_same, check_start
from .heuristics.marketplace import profits, search_box, summary, to_action, tune, unpack

KIND = "composite"  # the rule that it starts from
START = 64  # training seasons that this is tuned on, where it is not given


@dataclass
class EvolutionParams:
    """Parameters of the search."""

    total_steps: int = 300  # generations
    candidates: int = 20  # policies in a generation
    seasons: int = 24  # training seasons that each of them runs, the same for all
    spread: float = 0.2  # of the first weights, in the spreads of the rule that it starts from
    start: str = ""  # folder of a checkpoint, around whose weights it searches; "": around the best constant ones

    def __post_init__(self):
        check_number("total_steps", self.total_steps, 1, 1e6, integer=True)
        check_number("candidates", self.candidates, 4, 1000, integer=True)
        check_number("seasons", self.seasons, 1, 10_000, integer=True)
        check_number("spread", self.spread, 0, 100, exclusive=True)
        check_start(self.start)

    @property
    def name(self) -> str:
        """Return the learner's name in tables."""
        return "evolution"


Params = EvolutionParams


def check(model: Model, params: EvolutionParams | None) -> None:
    """Raise a FieldError unless the model is a `Marketplace`."""
    if not isinstance(model, Marketplace):
        raise FieldError("environment", type(model).__name__, "Marketplace", "for evolution")


def starts(model: Model, params: EvolutionParams) -> list[str]:
    """Return the kinds of heuristics that it can start from."""
    return [KIND]


@dataclass
class LinearPolicy:
    """Parameters = features @ weights; weights (K, numbers), or (n, K, numbers) by row; the first feature is one."""

    model: Marketplace
    weights: np.ndarray

    def __post_init__(self):
        self._low, self._high, _ = search_box(self.model)

    def __call__(self, observation: np.ndarray, policy_state, seed: int):
        """Act: `act(observation, policy_state, seed) -> (action, policy_state)`."""
        features = summary(self.model, observation)
        values = np.einsum("nk,nka->na" if self.weights.ndim == 3 else "nk,ka->na", features, self.weights)
        values = np.clip(values, self._low, self._high)
        named = self.model.features(observation)
        return to_action(self.model, named, unpack(self.model, values)), policy_state


class Learner:
    """Searches the weights of a `LinearPolicy` on the training demand of a task.

    A checkpoint holds what every candidate so far has earned: with that the search is where it was, bit for bit.

    Attributes:
        due: set it for a call of `on_checkpoint` as soon as one is possible.
    """

    due = False

    def __init__(
        self,
        task: Task,
        params: EvolutionParams,
        seed: int = 0,
        log_folder: str | Path | None = None,
        rule: StartRule | None = None,
    ):
        """Build the learner.

        Args:
            task: of the whole store.
            params: of the learner.
            seed: of the search and its training seasons.
            log_folder: for TensorBoard; None writes nothing.
            rule: that it starts from, of a kind in `starts(model, params)`; None: it is tuned first.

        Raises:
            FieldError: another environment.
            ImportError: without cma.
        """
        self.task, self.params, self.seed, self.model = task, params, seed, task.model("randomised")
        check(self.model, params)
        if rule is None:
            seasons = evolution_start(seed, START)
            rule = StartRule.of(tune(KIND, task, seasons), task.model("train"), seasons)
        constant, scale = _numbers(self.model, rule)
        self._scale = params.spread * scale
        self._shape = _shape(self.model)
        self._start = np.zeros(self._shape)
        self._start[0] = constant  # of the feature that is one
        if params.start:
            self._start = load_policy(params.start, task).weights
        self._log = None
        if log_folder:
            from torch.utils.tensorboard import SummaryWriter

            self._log = SummaryWriter(str(log_folder))
        self._restart(np.empty((0, params.candidates)))

    def _restart(self, earned: np.ndarray) -> None:
        options = own_stream(self.seed) | {"popsize": self.params.candidates}
        self._search, self.earned = strategy(np.zeros(np.prod(self._shape)), 1.0, **options), []
        for values in earned:
            self._search.tell(self._search.ask(), (-values).tolist())
            self.earned.append(values)

    @property
    def steps(self) -> int:
        """Return the generations done."""
        return len(self.earned)

    def learn(
        self,
        on_checkpoint: Callable[[int], None] | None = None,
        checkpoint_every: int = 10,
        total_steps: int | None = None,
        progress: bool = True,
    ) -> None:
        """Search up to `total_steps` generations in all (by default the parameters').

        Args:
            on_checkpoint: called with the generations done, each time that they pass a multiple of `checkpoint_every`.
            checkpoint_every: generations.
            total_steps: where to stop.
            progress: show a bar.
        """
        bar: dict = {"total": total_steps or self.params.total_steps, "desc": self.params.name}
        by_generation(self, self._generation, on_checkpoint, checkpoint_every, disable=not progress or None, **bar)

    def _generation(self) -> None:
        p = self.params
        scenario = self.model.scenarios(evolution_keys(self.seed, self.steps * p.seasons, p.seasons))
        asked = self._search.ask()
        policy = LinearPolicy(self.model, np.repeat(self._weights(np.array(asked)), p.seasons, axis=0))
        values = profits(self.model, policy, scenario, len(asked))
        self._search.tell(asked, (-values).tolist())
        self.earned.append(values)
        if self._log:
            self._log.add_scalar("profit", values.mean(), self.steps)

    def _weights(self, candidates) -> np.ndarray:
        """Return the weights (..., K, numbers) of points of the search (..., K x numbers)."""
        weights = np.reshape(candidates, (*np.shape(candidates)[:-1], *self._shape)) * self._scale
        return weights + self._start

    def save(self, folder: str | Path) -> None:
        """Write all that `load` and `load_policy` need into an existing folder."""
        folder = Path(folder)
        (folder / "params.json").write_text(json.dumps(asdict(self.params) | {"seed": self.seed}))
        np.savez(folder / "search.npz", earned=np.array(self.earned), weights=self.policy().weights)

    def load(self, folder: str | Path) -> None:
        """Go on from what `save` wrote for the same task, parameters and seed.

        Raises:
            FieldError: a checkpoint of other parameters.
        """
        folder = Path(folder)
        with reading(folder):
            check_same(read_json(folder / "params.json"), asdict(self.params) | {"seed": self.seed}, folder)
            earned = read_arrays(folder / "search.npz")["earned"]
            check_arrays({"earned": earned}, {"earned": np.zeros((len(earned), self.params.candidates))})
        self._restart(earned)

    def policy(self) -> LinearPolicy:
        """Return the policy at the mean of the search distribution."""
        return LinearPolicy(self.model, self._weights(np.array(self._search.result.xfavorite)))


def load_policy(folder: str | Path, task: Task) -> LinearPolicy:
    """Rebuild the policy of a checkpoint for a task with the same features and decisions.

    Raises:
        FieldError: a task of another environment, or with other features or decisions.
    """
    model = task.model("test")
    check(model, None)
    if not (Path(folder) / "search.npz").is_file():
        raise FieldError("start", str(folder), "the folder of a checkpoint of the same learner")
    with reading(Path(folder)):
        weights = read_arrays(Path(folder) / "search.npz")["weights"]
        if weights.shape != _shape(model):
            raise FieldError("weights", weights.shape, f"{_shape(model)} for this task")
        check_arrays({"weights": weights}, {"weights": np.zeros(_shape(model))})
    return LinearPolicy(model, weights)


def _numbers(model: Marketplace, rule: StartRule) -> tuple[np.ndarray, np.ndarray]:
    """Return a rule's parameters (numbers,) and their spreads, of which the closing days have a day."""
    sizes, constant, scale = [model.controls[name][0] for name in model.params.decides], [], []
    spreads = np.split(np.asarray(rule.spread), np.cumsum(sizes)[:-1])
    spread = dict(zip(model.params.decides, spreads, strict=True))
    for name in unpack(model, search_box(model)[0]):
        values = np.asarray(rule.params[name], float)
        own = spread.get(name, np.ones(1))
        constant.append(values)
        scale.append(own if len(own) == len(values) else own[:1] / len(own) ** 0.25)
    return np.concatenate(constant), np.concatenate(scale)


def _shape(model: Marketplace) -> tuple[int, int]:
    """Return the numbers of features and of parameters."""
    now = {name: block[:, 0] for name, block in model.scenarios([0]).items()}
    return summary(model, model.observation(model.initial(1), now)).shape[1], len(search_box(model)[0])
