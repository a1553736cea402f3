"""The pathwise learner: policies trained by backpropagating cost through a model's own `transition`, in torch.

Hindsight differentiable policy optimisation (Alvo, Russo and Kanoria 2023, arXiv:2306.11246; Madeka et al. 2022,
arXiv:2210.03137): in a drawn scenario the cost of a whole window is a differentiable function of the policy's weights.
Where the problem goes on without end, every window starts from the states in which the last one left the policy, and
ends with `lookahead` periods in which the policy acts but does not learn: so every order that is learnt from is charged
with what it does for at least so long. Seasons are learnt whole, their salvage included.

A checkpoint is plain data, and on the CPU a run that goes on from it ends bit-equal to one that was never stopped.
"""

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from ...device import check_device
from ...envs.core.checks import check_choice, check_flag, check_number
from ...envs.core.contract import Model, Policy
from ...envs.core.rollout import rollout
from ...envs.core.seeds import purpose_seeds, training_seeds
from ...envs.core.task import Task
from ...errors import FieldError
from ..core.checkpoints import reading
from ..core.residual import StartRule
from ..core.start import check_start
from . import state as pathwise_state
from .actor import MODELS, actor_of, learnable, own_start

AVERAGE = 0.99  # per gradient step, of the exponential moving average of the weights that is judged and kept
ASTRAY, CALMER = 4, 3  # checks in a row behind the start after which it restarts, and by what the rate is divided then
BURN_IN = 2**61  # episode of the training scenarios on which the heuristic runs before the first step
NUDGE = 1e-3  # lots, see `_whole`


@dataclass
class PathwiseParams:
    """Parameters of a pathwise learner."""

    total_steps: int = 800  # gradient steps, at most
    num_envs: int = 512  # scenarios in a mini-batch, drawn anew for every step
    per_item: bool = True  # one policy for all items, each a row of its own; false: one for the whole store at once
    periods: int = 16  # that are learnt from in a step (of a season: all)
    lookahead: int = 16  # periods that follow, only to see what the orders did (of a season: none)
    learning_rate: float = 0.02  # of Adam, at the start; falls to zero by a half cosine
    net_arch: list[int] = field(default_factory=lambda: [32, 32])  # units of the hidden layers
    rounding: str = "stochastic"  # of orders to whole lots while it learns: stochastic | none
    check_every: int = 25  # gradient steps between checks on held-out scenarios
    held_out: int = 256  # training scenarios that are not learnt from
    patience: int = 20  # checks without improvement after which it stops
    device: str = "auto"  # auto | cpu | cuda | cuda:0 ...
    threads: int = 1  # of torch: small networks gain nothing by more; 0: as torch chooses
    # Where recorded days are replayed: learn on them in blocks and randomised; false: as they were.
    randomise: bool = True
    start: str = ""  # folder of a checkpoint, whose weights and normalisation it begins with; "": none

    def __post_init__(self):
        for name in ("total_steps", "num_envs", "periods", "check_every", "held_out", "patience"):
            check_number(name, getattr(self, name), 1, 1e9, integer=True)
        check_number("lookahead", self.lookahead, 0, 1e6, integer=True)
        check_number("learning_rate", self.learning_rate, 0, 1, exclusive=True)
        check_number("net_arch", self.net_arch, 1, 1e5, integer=True, items=max(1, np.size(self.net_arch)))
        check_flag("per_item", self.per_item)
        check_choice("rounding", self.rounding, ("stochastic", "none"))
        check_device(self.device)
        check_number("threads", self.threads, 0, 1024, integer=True)
        check_flag("randomise", self.randomise)
        check_start(self.start)

    @property
    def name(self) -> str:
        """Return the learner's name in tables."""
        return "pathwise"


def check(model: Model, params: PathwiseParams) -> None:
    """Check that gradients pass through a model (NumPy).

    Raises:
        FieldError: another environment, or fixed costs of orders.
    """
    if not isinstance(model, tuple(MODELS)):
        expected = "Inventory or SupplyChain: no gradient passes through choices of customers or routes"
        raise FieldError("environment", type(model).__name__, expected, "for the pathwise learner")
    shock = {name: block[:, 0] for name, block in model.scenarios([0]).items()}
    _, flow = model.transition(model.initial(1), model.action_low[None].astype(np.float32), shock)
    for name in model.money(flow):
        if name.startswith("fixed"):
            expected = "0: no gradient passes through a cost of ordering at all"
            raise FieldError(name, getattr(model.params, name, "> 0"), expected, "for the pathwise learner")


class PathwiseLearner:
    """A learner on the training demand of a task.

    Attributes:
        steps: gradient steps done.
        best: the latest network that did about as well as any on the held-out scenarios, and no worse than the start.
        begun: the start's profit there, money per period (continuing) or episode, (held_out,); None before it learns.
        top: the largest profit there.
        restarts: how often it began anew from `best`, see `_judge`.
        note: what it makes of the task's action mode, a line; "" where it learns in that.
        due: set it for a call of `on_checkpoint` as soon as one is possible.
    """

    due = False

    def __init__(self, task, params: PathwiseParams, seed: int = 0, log_folder=None, rule: StartRule | None = None):
        """Build the learner.

        Args:
            task: an `envs.Task`, or what has its `params`, `warmup` and `model(split, xp=, device=)`.
            params: of the learner.
            seed: of the weights, the rounding and the training scenarios.
            log_folder: not used.
            rule: that its actions are residuals of, so that it starts there, of a kind in `starts(model, params)`; by
                default a store's is tuned here, and a network's are levels by the critical fractile.

        Raises:
            FieldError: a model that passes no gradients (see `check`).
        """
        check(task.model("train"), params)
        if params.threads:
            torch.set_num_threads(params.threads)
        torch.manual_seed(seed)
        self.task, self.params, self.seed = task, params, seed
        self.problem = learnable(task)
        if params.start:
            rule = StartRule.kept(Path(params.start), self.problem.model("train"))
        self.rule = rule or own_start(self.problem)
        self.actor = actor_of(task, params, self.rule)
        mode, own = self.problem.params.action, task.params.action
        self.note = "" if mode == own else f"learns with action={mode}; its policy acts with action={own}"
        self.network, self.device = self.actor.network, self.actor.device
        self.moments = torch.zeros(3, len(self.network.mean), dtype=torch.float64)  # count, sum, sum of squares
        if params.start:
            pathwise_state.begin(self, Path(params.start))
        self.average, self.best = copy.deepcopy(self.network), copy.deepcopy(self.network)
        self.frozen = copy.deepcopy(self.network).requires_grad_(False)
        for mine, theirs in zip(self.frozen.parameters(), self.network.parameters(), strict=True):
            mine.data = theirs.data  # the same numbers, updated in place
        self.frozen.mean, self.frozen.std = self.network.mean, self.network.std
        self.optimizer = self._adam()
        self.rng = torch.Generator(self.device).manual_seed(seed)
        self.continuing = task.params.continuing
        self.lot = float(getattr(task.params, "lot_size", 0)) if params.rounding != "none" else 0.0
        self.model = self._relaxed()
        self.learnt = params.periods if self.continuing else self.model.horizon
        self.state = self.model.initial(params.num_envs)
        self.steps, self.waited, self.astray, self.restarts = 0, 0, 0, 0
        self.begun: Any = None
        self.top: Any = None
        self.scale = 0.0  # money: the first window's, in which costs are counted
        self.judge = self.problem.model("validation", xp=torch, device=self.device)
        self.held_out = self._tensors(self.judge.scenarios(purpose_seeds("validation", params.held_out)))

    def _adam(self):
        return torch.optim.Adam(self.network.parameters(), lr=self.params.learning_rate)

    def _relaxed(self):
        """Return the model that is learnt on: divisible goods, and as long as a window."""
        task, p, changes = self.problem, self.params, {}
        if self.continuing:
            changes["horizon"] = p.periods + (p.lookahead and p.lookahead + task.model("train").max_lead)
        if any(f.name == "lot_size" for f in fields(task.params)):
            changes["lot_size"] = 0.0
        task = replace(task, params=replace(task.params, **changes))
        return task.model("randomised" if p.randomise else "learn", xp=torch, device=self.device)

    def _tensors(self, scenario: dict) -> dict:
        return {name: torch.tensor(block, device=self.device) for name, block in scenario.items()}

    @property
    def stopped(self) -> bool:
        """Return whether the held-out scenarios have shown no improvement for too long."""
        return self.waited >= self.params.patience

    def learn(
        self,
        on_checkpoint: Callable[[int], None] | None = None,
        checkpoint_every: int = 100,
        total_steps: int | None = None,
        progress: bool = True,
    ) -> None:
        """Learn up to `total_steps` in all (by default the parameters'; the schedule always runs over theirs).

        Args:
            on_checkpoint: called with the steps done at each multiple of `checkpoint_every`; at these moments `save`
                and `policy` are allowed.
            checkpoint_every: gradient steps.
            total_steps: where to stop.
            progress: show a bar.
        """
        from tqdm import tqdm

        stop = total_steps or self.params.total_steps
        if self.begun is None:
            self._burn_in()
            self.begun = self.top = self._profit(self.network)
        with tqdm(total=stop, initial=self.steps, unit="step", disable=not progress or None) as bar:
            bar.set_description(f"{self.params.name} seed {self.seed}")
            while self.steps < stop and not self.stopped:
                self._step()
                if self.steps % self.params.check_every == 0 or self.steps == self.params.total_steps:
                    self._judge()
                    bar.set_postfix_str(f"held out {self.top.mean().item():,.4g}", refresh=False)
                if on_checkpoint and (self.due or self.steps % checkpoint_every == 0):
                    on_checkpoint(self.steps)
                bar.update()

    def _step(self) -> None:
        """One gradient step on a mini-batch of scenarios of its own."""
        p = self.params
        rate = p.learning_rate / CALMER**self.restarts
        for group in self.optimizer.param_groups:
            group["lr"] = rate * (1 + math.cos(math.pi * self.steps / p.total_steps)) / 2
        cost, state, seen = self._window(self.steps)
        self.optimizer.zero_grad()
        (cost / self.scale).backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimizer.step()
        self.steps += 1
        if self.continuing:
            self.state = pathwise_state.mapped(state, torch.detach)
        self._normalise(seen)
        with torch.no_grad():
            keep = min(AVERAGE, self.steps / (10 + self.steps))
            for mine, theirs in zip(self.average.parameters(), self.network.parameters(), strict=True):
                mine.lerp_(theirs, 1 - keep)

    @torch.no_grad()
    def _burn_in(self) -> None:
        """Run the policy that it (re)starts with, for the states, the scale of costs and that of the features."""
        self.state = self.model.initial(self.params.num_envs)
        cost, state, seen = self._window(BURN_IN + self.restarts)
        self.scale = max(abs(cost.item()), 1e-6)
        self.state = state if self.continuing else self.state
        self._normalise(seen)

    def _window(self, episode: int):
        """Return the cost per learnt period of a window, the state after the learnt periods, the features there."""
        p, model = self.params, self.model
        keys = np.stack([training_seeds(self.seed, p.num_envs), np.full(p.num_envs, episode)], axis=1)
        scenario = self._tensors(model.scenarios(keys))
        state = self.state if self.continuing else model.initial(p.num_envs)
        seen, carried = [], None
        cost: Any = 0.0
        for t in range(model.horizon):
            shock = {name: block[:, t] for name, block in scenario.items()}
            network = self.network if t < self.learnt else self.frozen
            action, features = self.actor.act(network, model.observation(state, shock))
            action = self._whole(action)
            state, flow = model.transition(state, action, shock)
            terms = model.money(flow)
            if t == model.horizon - 1 and not self.continuing:
                terms["salvage"] = model.salvage(state)
            cost = cost - model.reward(terms).mean()
            if t < self.learnt:
                seen.append(features.detach())
                carried = state
        return cost / self.learnt, carried, torch.cat(seen)

    def _whole(self, action):
        """Round actions to whole lots at random, the mean kept; the gradient passes as if they had not been rounded.

        Costs have a kink at every whole unit. A hair on the side that the action lies on picks the slope there: the
        gradient is then that of the cost interpolated between whole lots.
        """
        if not self.lot:
            return action
        asked = action.detach() / self.lot
        whole = torch.floor(asked + torch.rand(asked.shape, generator=self.rng, device=self.device))
        whole = ((whole + NUDGE * (asked.clamp(min=0.5) - whole)) * self.lot - action).detach()
        return action + whole * (self.actor.high > self.lot)  # a range of one lot or less is a share, not an order

    def _normalise(self, seen) -> None:
        """Take features (n, f) into the running mean and standard deviation."""
        seen = seen.cpu().double()
        count = torch.full_like(seen[0], len(seen))
        self.moments += torch.stack([count, seen.sum(0), (seen**2).sum(0)])
        mean = self.moments[1] / self.moments[0]
        std = (self.moments[2] / self.moments[0] - mean**2).clamp(min=0).sqrt()
        self.network.mean.copy_(mean)
        self.network.std.copy_(torch.where(std > 1e-4 * mean.abs() + 1e-6, std, 1.0))

    @torch.no_grad()
    def _profit(self, network):
        """Return a network's profit on the held-out scenarios (held_out,), orders in whole lots."""
        reward = rollout(self.judge, self.actor.policy(network), self.held_out)["reward"]
        return (reward[:, self.task.warmup :].mean(1) if self.continuing else reward.sum(1)).double().cpu()

    def _judge(self) -> None:
        """Keep the averaged weights if they do about as well as any on the held-out scenarios, and beat the start.

        About as well: no worse by more than the standard error of the paired difference (the one-standard-error rule of
        Breiman et al. 1984, section 3.4.3). Early weights that were lucky there then give way to later ones. Weights
        that are behind the start by two such errors, `ASTRAY` checks in a row, are given up: it learns on from the
        best ones, in the states that these lead to, at a `CALMER`th of the learning rate.
        """
        self.average.mean.copy_(self.network.mean)
        self.average.std.copy_(self.network.std)
        values = self._profit(self.average)
        self.waited += 1
        if values.mean() > self.top.mean():
            self.top, self.waited = values, 0
        if _behind(values, self.top) <= 1 and values.mean() >= self.begun.mean():
            self.best.load_state_dict(self.average.state_dict())
        self.astray = 0 if _behind(values, self.begun) <= 2 else self.astray + 1
        if self.astray == ASTRAY:
            self._restart()

    def _restart(self) -> None:
        """Begin anew from the best weights, see `_judge`."""
        self.restarts, self.astray = self.restarts + 1, 0
        for network in (self.network, self.average):
            network.load_state_dict(self.best.state_dict())
        self.optimizer = self._adam()
        self.moments.zero_()
        self._burn_in()

    def policy(self) -> Policy:
        """Return the policy of `best`, or before the first check as it is: `act(observation, policy_state, seed)`."""
        return self.actor.policy(copy.deepcopy(self.best))

    def save(self, folder: str | Path) -> None:
        """Write all that `load` needs to go on exactly into an existing folder (see `state`)."""
        pathwise_state.save(self, Path(folder))

    def load(self, folder: str | Path) -> None:
        """Go on from what `save` wrote for the same task, parameters and seed.

        Raises:
            FieldError: a checkpoint of other parameters or of another shape.
        """
        pathwise_state.load(self, Path(folder))


def _behind(values, others) -> float:
    """Return by how many standard errors of the paired difference (n,) values are behind others; nan if any is."""
    difference = others - values
    error = difference.std(correction=0) / len(difference) ** 0.5
    return (difference.mean() / (error + 1e-12)).item()


def load_policy(folder: str | Path, task: Task) -> Policy:
    """Rebuild the policy of a checkpoint for a task with the same observations and actions, on the CPU.

    Raises:
        FieldError: a task whose observations or actions have another shape.
    """
    params = PathwiseParams(**pathwise_state.params_of(Path(folder)))
    with reading(Path(folder)):
        rule = StartRule.kept(Path(folder), learnable(task).model("train"))
    actor = actor_of(task, replace(params, device="cpu", start=""), rule)
    pathwise_state.load_weights(actor, Path(folder))
    return actor.policy(actor.network)
