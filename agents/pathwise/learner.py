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
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from gymnasium import spaces
from torch import nn

from ...device import check_device, device_of
from ...envs import Inventory
from ...envs.core.checks import check_choice, check_flag, check_number
from ...envs.core.contract import Model, Policy
from ...envs.core.rollout import rollout
from ...envs.core.seeds import purpose_seeds, training_seeds
from ...envs.core.task import Task
from ...envs.supply_chain.model import SupplyChain
from ...errors import FieldError
from ..core import residual
from ..core.checkpoints import reading
from ..core.residual import StartRule
from ..core.start import check_start
from ..core.views import ItemView, NetworkView, view_of
from . import state as pathwise_state

AVERAGE = 0.99  # per gradient step, of the exponential moving average of the weights that is judged and kept
MODELS: tuple[type[Model], ...] = (Inventory, SupplyChain)  # in which money is a continuous function of the actions
NUDGE = 1e-3  # lots, see `_whole`


@dataclass
class PathwiseParams:
    """A pathwise learner and how long it learns."""

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
    randomise: bool = (
        True  # where recorded days are replayed: learn on them in blocks and randomised; false: as they were
    )
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
        FieldError: another environment, discrete actions, or fixed costs of orders.
    """
    if not isinstance(model, MODELS):
        expected = "Inventory or SupplyChain: no gradient passes through choices of customers or routes"
        raise FieldError("environment", type(model).__name__, expected, "for the pathwise learner")
    if not isinstance(model.action_space, spaces.Box):
        expected = "continuous or base_stock: no gradient passes through discrete actions"
        raise FieldError("action", model.params.action, expected, "for the pathwise learner")
    shock = {name: block[:, 0] for name, block in model.scenarios([0]).items()}
    _, flow = model.transition(model.initial(1), model.action_low[None].astype(np.float32), shock)
    for name in model.money(flow):
        if name.startswith("fixed"):
            expected = "0: no gradient passes through a cost of ordering at all"
            raise FieldError(name, getattr(model.params, name, "> 0"), expected, "for the pathwise learner")


def starts(model: Model, params: PathwiseParams) -> list[str]:
    """Return the kinds of heuristics that a learner can start from, its actions being residuals of them."""
    kinds = residual.starts(model)
    if isinstance(model, SupplyChain):
        return kinds if model.params.action == "base_stock" else []
    return [kind for kind in kinds if kind in residual.TENSORS]


class Network(nn.Module):
    """Numbers (n, A) from features (n, F), which are normalised by their mean and standard deviation."""

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, inputs: int, outputs: int, net_arch: list[int], start: float):
        super().__init__()
        sizes = [inputs, *net_arch]
        hidden = [m for a, b in pairwise(sizes) for m in (nn.Linear(a, b), nn.ELU())]
        last = nn.Linear(sizes[-1], outputs)
        with torch.no_grad():  # near one number for all
            last.weight.mul_(0.1)
            last.bias.fill_(start)
        self.layers = nn.Sequential(*hidden, last)
        self.register_buffer("mean", torch.zeros(inputs))
        self.register_buffer("std", torch.ones(inputs))

    def forward(self, features):
        """See the class."""
        return self.layers((features - self.mean) / self.std)


class _Actor:
    """A network's actions on a model's observations, in torch."""

    def __init__(self, task, params: PathwiseParams, rule: StartRule | None = None):
        model = task.model("train")
        check(model, params)
        self.device = device_of(params.device)
        self.rule, self.view = rule, cast("Any", view_of(model, params.per_item, rule))
        self.residual = rule is not None or isinstance(self.view, NetworkView)
        # As in `ItemView`: the levels of interest lie far below the largest.
        self.power = 2 if isinstance(self.view, ItemView) else 1
        self.sizes = {
            "observation": int(model.observation_space.shape[0]),
            "action": len(model.action_low),
        }
        inputs, outputs = self.view.observation_space.shape[0], self.sizes["action"] // self.view.rows
        start = 0.0 if self.residual else -0.5  # at the heuristic's levels, or below the middle of the range
        self.network = Network(inputs, outputs, list(params.net_arch), start).to(self.device)
        if rule:  # its first policy is the rule, exactly
            nn.init.zeros_(cast("Any", self.network.layers[-1]).weight)
        self.view.to_torch(self.device)
        low, high = (torch.as_tensor(b, dtype=torch.float32) for b in (model.action_low, model.action_high))
        self.low, self.range = low.to(self.device), (high - low).to(self.device)

    def act(self, network: Network, features, observation):
        """Return actions (num_envs, A) at a learner's features (num_envs x rows, f) of observations (num_envs, F)."""
        numbers = network(features).reshape(len(observation), -1)
        if self.rule and not isinstance(self.view, NetworkView):
            return self.view.residual.tensors(numbers, observation)
        if self.residual:
            return self.view.levels(numbers)
        share = torch.sigmoid(numbers)
        return self.low + self.range * (share if self.power == 1 else share**self.power)

    def policy(self, network: Network) -> Policy:
        """Return a network as a policy `act(observation, policy_state, seed)`, on NumPy arrays or tensors."""

        @torch.no_grad()
        def act(observation, policy_state, seed):
            given = torch.as_tensor(observation, dtype=torch.float32, device=self.device)
            action = self.act(network, self.view.observe(given), given)
            return action if isinstance(observation, torch.Tensor) else action.cpu().numpy(), policy_state

        return act


class PathwiseLearner:
    """A learner on the training demand of a task.

    Attributes:
        steps: gradient steps done.
        best: the latest network that did about as well as any on the held-out scenarios.
        top: the largest profit there, money per period (continuing) or episode, (held_out,); None before a check.
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
            rule: that its actions are residuals of, so that it starts there; of a kind in `starts(model, params)`.

        Raises:
            FieldError: a model that passes no gradients (see `check`).
        """
        if params.threads:
            torch.set_num_threads(params.threads)
        torch.manual_seed(seed)
        self.task, self.params, self.seed = task, params, seed
        if params.start:
            rule = StartRule.kept(Path(params.start), task.model("train"))
        self.rule, self.actor = rule, _Actor(task, params, rule)
        self.network, self.device = self.actor.network, self.actor.device
        self.moments = torch.zeros(3, len(self.network.mean), dtype=torch.float64)  # count, sum, sum of squares
        if params.start:
            pathwise_state.begin(self, Path(params.start))
        self.average, self.best = copy.deepcopy(self.network), copy.deepcopy(self.network)
        self.frozen = copy.deepcopy(self.network).requires_grad_(False)
        for mine, theirs in zip(self.frozen.parameters(), self.network.parameters(), strict=True):
            mine.data = theirs.data  # the same numbers, updated in place
        self.frozen.mean, self.frozen.std = self.network.mean, self.network.std
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=params.learning_rate)
        self.rng = torch.Generator(self.device).manual_seed(seed)
        self.continuing = task.params.continuing
        self.lot = float(getattr(task.params, "lot_size", 0)) if params.rounding != "none" else 0.0
        self.model = self._relaxed()
        self.learnt = params.periods if self.continuing else self.model.horizon
        self.state = self.model.initial(params.num_envs)
        self.steps, self.waited = 0, 0
        self.top: Any = None
        self.scale = 0.0  # money: the first window's, in which costs are counted
        self.judge = task.model("validation", xp=torch, device=self.device)
        self.held_out = self._tensors(self.judge.scenarios(purpose_seeds("validation", params.held_out)))

    def _relaxed(self):
        """Return the model that is learnt on: divisible goods, and as long as a window."""
        task, changes = self.task, {}
        if self.continuing:
            changes["horizon"] = self.params.periods + self.params.lookahead
        if any(f.name == "lot_size" for f in fields(task.params)):
            changes["lot_size"] = 0.0
        task = replace(task, params=replace(task.params, **changes))
        return task.model("randomised" if self.params.randomise else "learn", xp=torch, device=self.device)

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
        for group in self.optimizer.param_groups:
            group["lr"] = p.learning_rate * (1 + math.cos(math.pi * self.steps / p.total_steps)) / 2
        cost, state, seen = self._window()
        if not self.scale:
            self.scale = max(abs(cost.item()), 1e-6)
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

    def _window(self):
        """Return the cost per learnt period of a window, the state after the learnt periods, the features there."""
        p, model, view = self.params, self.model, self.actor.view
        keys = np.stack([training_seeds(self.seed, p.num_envs), np.full(p.num_envs, self.steps)], axis=1)
        scenario = self._tensors(model.scenarios(keys))
        state = self.state if self.continuing else model.initial(p.num_envs)
        seen, carried = [], None
        cost: Any = 0.0
        for t in range(model.horizon):
            shock = {name: block[:, t] for name, block in scenario.items()}
            observation = model.observation(state, shock)
            features = view.observe(observation)
            network = self.network if t < self.learnt else self.frozen
            action = self._whole(self.actor.act(network, features, observation))
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
        whole = ((whole + NUDGE * (asked - whole)) * self.lot - action).detach()
        return action + whole * (self.actor.range > self.lot)  # a range of one lot or less is a share, not an order

    def _normalise(self, seen) -> None:
        """Take features (n, f) into the running mean and standard deviation."""
        seen = seen.cpu().double()
        count = torch.full_like(seen[0], len(seen))
        self.moments += torch.stack([count, seen.sum(0), (seen**2).sum(0)])
        mean = self.moments[1] / self.moments[0]
        std = (self.moments[2] / self.moments[0] - mean**2).clamp(min=0).sqrt()
        self.network.mean.copy_(mean)
        self.network.std.copy_(torch.where(std > 1e-4 * mean.abs() + 1e-6, std, 1.0))

    def _judge(self) -> None:
        """Keep the averaged weights if they do about as well as any on the held-out scenarios, orders in whole lots.

        As well: no worse by more than the standard error of the paired difference (the one-standard-error rule of
        Breiman et al. 1984, section 3.4.3). Early weights that were lucky there then give way to later ones.
        """
        self.average.mean.copy_(self.network.mean)
        self.average.std.copy_(self.network.std)
        with torch.no_grad():
            reward = rollout(self.judge, self.actor.policy(self.average), self.held_out)["reward"]
        values = (reward[:, self.task.warmup :].mean(1) if self.continuing else reward.sum(1)).double().cpu()
        self.waited += 1
        if self.top is None or values.mean() > self.top.mean():
            self.top, self.waited = values, 0
        behind = self.top - values
        if behind.mean() <= behind.std(correction=0) / len(behind) ** 0.5:
            self.best.load_state_dict(self.average.state_dict())

    def policy(self) -> Policy:
        """Return the policy of `best`, or before the first check as it is: `act(observation, policy_state, seed)`."""
        return self.actor.policy(copy.deepcopy(self.network if self.top is None else self.best))

    def save(self, folder: str | Path) -> None:
        """Write all that `load` needs to go on exactly into an existing folder (see `state`)."""
        pathwise_state.save(self, Path(folder))

    def load(self, folder: str | Path) -> None:
        """Go on from what `save` wrote for the same task, parameters and seed.

        Raises:
            FieldError: a checkpoint of other parameters or of another shape.
        """
        pathwise_state.load(self, Path(folder))


def load_policy(folder: str | Path, task: Task) -> Policy:
    """Rebuild the policy of a checkpoint for a task with the same observations and actions, on the CPU.

    Raises:
        FieldError: a task whose observations or actions have another shape.
    """
    params = PathwiseParams(**pathwise_state.params_of(Path(folder)))
    with reading(Path(folder)):
        rule = StartRule.kept(Path(folder), task.model("train"))
    actor = _Actor(task, replace(params, device="cpu", start=""), rule)
    pathwise_state.load_weights(actor, Path(folder))
    return actor.policy(actor.network)
