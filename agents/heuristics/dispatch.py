"""Rules of dispatching, batched, their tuning on training days, and prizes learned by evolution.

A rule is a policy, `act(observation, policy_state, seed) -> (action, policy_state)`. Those that choose a prize
level act in the action modes `prize` and `weights` alike.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ...envs import Dispatch, Task
from ...envs.core.checks import check_number
from ...envs.core.rollout import rollout
from ...envs.core.seeds import purpose_seeds
from ...envs.dispatch.params import EPOCH
from ...envs.dispatch.prizes import PRIZE_FEATURES
from ...envs.dispatch.routing import RoutingProblem, pyvrp
from ...envs.dispatch.state import Job
from ...errors import FieldError
from ..core.evolutionary import strategy
from ..core.rules import Parameters, check_kind
from ..core.tuner import bar

LEVELS = (0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0)  # that tuning tries
GENERATIONS, DAYS = 40, 16  # of `learn_prizes` where it is tuned along with the others
SEEDS, DAYS_OF_SEED = 2_000, 1_000_000  # of `learn_prizes`, and training days of each
FULL = 4.0  # a level that sends all
HEURISTICS = ("greedy", "lazy", "random", "fixed_prize", "prize_by_epoch", "linear_prize")


@dataclass
class Heuristic:
    """A rule that gives every open request a prize, or sends it: plain data, so that it can be kept as JSON.

    `greedy` sends all, `lazy` only what must go, `random` draws a level per day and epoch (in the action mode
    `dispatch` it tosses a coin for each request; only these three act in it), `fixed_prize` has one
    `level` for all, `prize_by_epoch` one `levels[k]` where k epochs are left, `linear_prize` one weight per feature of
    `envs.dispatch.prizes.PRIZE_FEATURES` (action mode `weights` only).
    """

    kind: str
    params: Parameters
    model: Dispatch

    def __call__(self, observation: np.ndarray, policy_state, seed: int):
        """Act: see the module."""
        n = len(observation)
        if self.model.params.action == "dispatch":
            chance = {"greedy": 1.0, "lazy": 0.0, "random": 0.5}[self.kind]
            return np.random.default_rng(seed).random((n, self.model.slots)) < chance, policy_state
        if self.kind == "linear_prize":
            return np.tile(self.params["weights"], (n, 1)), policy_state
        if self.kind == "random":
            level = np.random.default_rng(seed).choice([0.0, *LEVELS, FULL], n)
        elif self.kind == "prize_by_epoch":
            left = self.model.features(observation)["global"][:, 2].astype(int)
            level = np.asarray(self.params["levels"])[left]
        else:
            level = np.full(n, {"greedy": FULL, "lazy": 0.0}.get(self.kind, self.params.get("level", [0.0])[0]))
        return self._action(level), policy_state

    def _action(self, level: np.ndarray) -> np.ndarray:
        """Turn levels (n,) into actions: the nearest one, or the weight of the constant feature."""
        if self.model.params.one_level:
            known = np.minimum(self.model.params.prize_levels, FULL)
            return np.abs(known - level[:, None]).argmin(axis=1)[:, None]
        return level[:, None] * np.eye(len(PRIZE_FEATURES))[0]


def available(model: Dispatch) -> list[str]:
    """Return the kinds of `Heuristic` that a model's action mode allows."""
    if model.params.action == "dispatch":
        return list(HEURISTICS[:3])
    return [kind for kind in HEURISTICS if kind != "linear_prize" or model.params.action == "weights"]


def costs(model: Dispatch, act: Callable, scenario: dict) -> np.ndarray:
    """Return each day's cost (n,), seconds of driving, under a policy."""
    return -rollout(model, act, scenario)["reward"].sum(axis=1)


def tune(kind: str, task: Task, seeds, progress: bool = False) -> Heuristic:
    """Return a rule with its best parameters on training days: `fixed_prize` by trying `LEVELS`, `prize_by_epoch` by
    doing so for one number of epochs left after the other, beginning with the best fixed one.

    Args:
        kind: one of `HEURISTICS`; `linear_prize` is learned by `learn_prizes`, on days of its own.
        task: its training split is used, and no other.
        seeds: of the days, integers.
        progress: show a bar.

    Raises:
        FieldError: a kind that is unknown or does not fit the task's model; it lists what there is.
    """
    model = task.model("train")
    check_kind(kind, available(model), "for this task")
    if kind == "linear_prize":
        return learn_prizes(task, GENERATIONS, DAYS, progress=progress)
    if kind not in ("fixed_prize", "prize_by_epoch"):
        return Heuristic(kind, {}, model)
    scenario = model.scenarios(np.asarray(seeds))

    def mean_cost(levels: list[float]) -> float:
        return float(costs(model, Heuristic("prize_by_epoch", {"levels": levels}, model), scenario).mean())

    fixed = min(LEVELS, key=lambda level: mean_cost([level] * model.horizon))
    if kind == "fixed_prize":
        return Heuristic(kind, {"level": [fixed]}, model)
    levels = [fixed] * model.horizon
    for left in bar(range(1, model.horizon), kind, progress):  # with none left all must go
        levels[left] = min(LEVELS, key=lambda level: mean_cost([*levels[:left], level, *levels[left + 1 :]]))
    return Heuristic(kind, {"levels": levels}, model)


def learn_prizes(
    task: Task,
    generations: int,
    days: int,
    seed: int = 0,
    progress: bool = False,
    on_generation: Callable[[int, list[float], float], None] | None = None,
) -> Heuristic:
    """Learn the weights of linear prizes by covariance matrix adaptation (Hansen 2016, arXiv:1604.00772).

    Every generation runs its candidates on the same `days` fresh training days (common random numbers), each measured
    against prize level 0.4 on that day, so that days of large and of small cost count the same.

    Args:
        task: with the action mode `weights`; its training split is used, and no other.
        generations: of 10 candidates each.
        days: per generation.
        seed: of the candidates and the days, up to 1999.
        progress: show a bar.
        on_generation: called with the generation's number, the weights then, and its candidates' mean share of the
            cost at level 0.4.

    Returns:
        The rule at the mean of the last generation's search distribution.

    Raises:
        FieldError: another action mode, another seed, or more than a million days in all.
        ImportError: without cma.
    """
    check_number("seed", seed, 0, SEEDS - 1, integer=True)
    if generations * days > DAYS_OF_SEED:
        raise FieldError("generations", generations, f"at most {DAYS_OF_SEED // days}", f"with {days} days in each")
    model, start = task.model("train"), np.zeros(len(PRIZE_FEATURES))
    if model.params.action != "weights":
        raise FieldError("action", model.params.action, "weights", "for linear prizes")
    start[0] = 0.4
    search = strategy(start, 0.2, seed=seed + 1, popsize=10)
    for generation in bar(range(generations), "linear_prize", progress):
        first = DAYS_OF_SEED * seed + generation * days
        scenario = model.scenarios(purpose_seeds("prizes", days, first))
        usual = costs(model, Heuristic("linear_prize", {"weights": start.tolist()}, model), scenario)
        asked = search.ask()
        rules = (Heuristic("linear_prize", {"weights": weights.tolist()}, model) for weights in asked)
        shares = [float((costs(model, rule, scenario) / usual).mean()) for rule in rules]
        search.tell(asked, shares)
        if on_generation:
            on_generation(generation + 1, search.result.xfavorite.tolist(), float(np.mean(shares)))
    return Heuristic("linear_prize", {"weights": search.result.xfavorite.tolist()}, model)


@dataclass
class Consensus:
    """Dispatch what most sampled futures dispatch now, in the action mode `dispatch`.

    One round of iterative conditional dispatch (Lan et al. 2024, arXiv:2308.09048): the coming epochs' requests are
    drawn, from the model's source of demand (a forecaster's sample paths, say), a plan with release times is made for
    each draw by PyVRP, and a request is sent now if that share of the plans puts it on a route without requests still
    to come. Plans count on as many vehicles as they like, also where the fleet is limited.
    """

    model: Dispatch
    samples: int = 8  # futures per decision
    ahead: int = 1  # epochs of them
    iterations: int = 25  # of PyVRP, per plan
    threshold: float = 0.5  # share of the plans

    def __call__(self, observation: np.ndarray, policy_state, seed: int):
        """Act: see the module."""
        requests, signal = self.model.recall(observation)
        must_go = self.model.must_go(requests, signal)
        action = np.zeros(must_go.shape)
        for job in self.model.jobs(requests, must_go, signal):
            if not job.must_go.all():  # else there is nothing to decide
                customer = requests.customer[job.row, job.slots]
                rng = np.random.default_rng([seed, job.period, *map(int, customer)])
                plans = [self._plan(job, customer, rng) for _ in range(self.samples)]
                action[job.row, job.slots] = np.mean(plans, axis=0) >= self.threshold
        return action, policy_state

    def _plan(self, job: Job, customer: np.ndarray, rng) -> np.ndarray:
        """Return which of the open requests (m,) bool a plan for one drawn future sends now."""
        city, problem = self.model.cities[job.city], job.problem
        drawn = self.model.days.future(job.city, job.period, self.ahead, rng)
        drawn = [requests[city.depot[requests[:, 0]] == job.depot] for requests in drawn]
        later = np.repeat(np.arange(1, len(drawn) + 1) * EPOCH, [len(d) for d in drawn])
        release = np.append(np.zeros(len(customer) + 1, int), later)
        coming = np.concatenate([*drawn, np.empty((0, 5), int)])
        leave = (job.epoch + 1) * EPOCH
        place = np.concatenate([[job.depot], customer, coming[:, 0]])
        plan = RoutingProblem(
            durations=city.durations[np.ix_(place, place)],
            early=np.append(problem.early, np.maximum(coming[:, 1] - leave, 0)),
            late=np.append(problem.late, coming[:, 2] - leave),
            service=np.append(problem.service, coming[:, 4]),
            demand=np.append(problem.demand, coming[:, 3]),
            capacity=problem.capacity,
            prize=np.zeros(len(place)),
            required=np.ones(len(place), bool),
            release=release,
        )
        now = np.zeros(len(place), bool)
        for route in pyvrp(plan, self.iterations, int(rng.integers(2**31))):
            now[route] = release[route].max() == 0
        return now[1 : len(customer) + 1]
