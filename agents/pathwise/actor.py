"""How a pathwise learner's network acts: as a residual of a heuristic, in units of the problem's own demand.

Residual policies (Silver et al. 2018, arXiv:1812.06298) begin where the heuristic ends: the last layer is zero at the
start. What is learnt then depends on neither the width of the action box nor the units of demand, and a task's own
action mode changes nothing: orders are learnt, and told in the mode of the task.
"""

from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import nn

from ...device import device_of
from ...envs import Inventory
from ...envs.core.contract import Policy
from ...envs.core.rollout import rollout
from ...envs.core.seeds import purpose_seeds
from ...envs.core.task import Task
from ...envs.supply_chain.model import SupplyChain
from ...errors import FieldError
from ..core import residual
from ..core.views import view_of
from ..heuristics.inventory import available, tune

MODELS = {Inventory: "continuous", SupplyChain: "base_stock"}  # in which money is continuous in actions of this mode
CONTAINED = {"base_stock", "myopic"}  # kinds that are capped base-stock too, without a cap
TUNING = purpose_seeds("tuning", 64)  # of the training scenarios that the heuristic is tuned on


def _learnt(model: Any) -> Any:
    """Return a model's parameters with the continuous actions that are learnt."""
    return replace(model.params, action=next(mode for kind, mode in MODELS.items() if isinstance(model, kind)))


def learnable(task: Task) -> Task:
    """Return a task with the continuous actions that are learnt: orders of a store, levels of a network."""
    return replace(task, params=_learnt(task.model("train")))


class Inward(torch.autograd.Function):
    """`clamp`, but for the gradient: it passes outside the bounds too where a step down it leads back inside.

    A network whose outputs have all left the bounds is not stuck there.
    """

    @staticmethod
    def forward(ctx: Any, x, low, high):
        """Return x (n, A) inside the bounds (A,)."""
        ctx.save_for_backward(x < low, x > high)
        return torch.minimum(torch.maximum(x, low), high)

    @staticmethod
    def backward(ctx: Any, *gradients):
        """See the class."""
        (gradient,), (below, above) = gradients, ctx.saved_tensors
        outward = (below & (gradient > 0)) | (above & (gradient < 0))
        return gradient.masked_fill(outward, 0.0), None, None


def relaxed(model: Any) -> Any:
    """Return a model on the same demand, with the actions that are learnt."""
    return type(model)(_learnt(model), model.source)


def starts(model: Any, params) -> list[str]:
    """Return the kinds of heuristics that a learner can start from, its actions being residuals of them."""
    model = relaxed(model)
    kinds = residual.starts(model)
    return kinds if isinstance(model, SupplyChain) else [kind for kind in kinds if kind in residual.TENSORS]


def own_start(task: Task) -> residual.StartRule | None:
    """Return the best rule of a store on the tuning scenarios, and tuned there; None of a network."""
    model: Any = task.model("train")
    if isinstance(model, SupplyChain):
        return None
    scenario, tried = model.scenarios(TUNING), []
    warmup = task.warmup if task.params.continuing else 0
    for kind in sorted(set(residual.TENSORS).intersection(available(model)) - CONTAINED):
        heuristic = tune(kind, task, TUNING)
        tried.append((rollout(model, heuristic, scenario)["reward"][:, warmup:].mean(), heuristic))
    _, best = max(tried, key=lambda pair: pair[0])
    return residual.StartRule.of(best, model, TUNING)


class Network(nn.Module):
    """Numbers (n, A) from features (n, F), which are normalised by their mean and standard deviation; 0 at first."""

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, inputs: int, outputs: int, net_arch: list[int]):
        super().__init__()
        sizes = [inputs, *net_arch]
        hidden = [m for a, b in pairwise(sizes) for m in (nn.Linear(a, b), nn.ELU())]
        last = nn.Linear(sizes[-1], outputs)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.layers = nn.Sequential(*hidden, last)
        self.register_buffer("mean", torch.zeros(inputs))
        self.register_buffer("std", torch.ones(inputs))

    def forward(self, features):
        """See the class."""
        return self.layers((features - self.mean) / self.std)


class _Actor:
    """A network's actions on a model's observations, in torch: `learnable` ones, which `policy` tells in the task's."""

    seen_orders: bool  # whether the network sees what the rule orders
    act: Any  # (network, observations (n, F)) -> actions (n, A), and the features that the network saw
    told: Any  # (the task's model, observations (n, F), actions (n, A)), arrays -> actions in the mode of the task

    def __init__(self, task: Task, params, rule: residual.StartRule | None):
        self.task, self.model = task, learnable(task).model("train")
        self.view: Any = view_of(self.model, params.per_item, rule)
        observed, actions = int(self.model.observation_space.shape[0]), len(self.model.action_low)
        self.sizes = {"observation": observed, "action": actions}
        outputs = actions // self.view.rows
        inputs = self.view.observation_space.shape[0] + self.seen_orders * outputs
        self.device = device_of(params.device, [inputs, *params.net_arch, outputs], self.view.rows * params.num_envs)
        self.network = Network(inputs, outputs, list(params.net_arch)).to(self.device)
        self.view.to_torch(self.device)
        low, high = (torch.as_tensor(b, dtype=torch.float32) for b in (self.model.action_low, self.model.action_high))
        self.low, self.high = low.to(self.device), high.to(self.device)

    def policy(self, network: Network) -> Policy:
        """Return a network as a policy `act(observation, policy_state, seed)`: on tensors the learnable actions, on
        arrays those of the task."""
        theirs: Any = self.task.model("train")

        @torch.no_grad()
        def act(observation, policy_state, seed):
            given = torch.as_tensor(observation, dtype=torch.float32, device=self.device)
            action, _ = self.act(network, given)
            if isinstance(observation, torch.Tensor):
                return action, policy_state
            action = action.cpu().numpy()
            if theirs.params.action != self.model.params.action:
                action = self.told(theirs, observation, action)
            return action, policy_state

        return act


class OrderActor(_Actor):
    """Orders of a store: those of the rule, and as many standard deviations of a period's demand more as the network
    says, which sees the rule's orders too."""

    seen_orders = True

    def __init__(self, task: Task, params, rule: residual.StartRule | None):
        if rule is None:
            raise FieldError("rule", rule, "a rule of kind, params and spread: learnt by another version")
        super().__init__(task, params, rule)
        periods = torch.as_tensor(self.model.lead + 1, dtype=torch.float32, device=self.device)
        self.share = periods**-0.5  # of the deviation over the protection interval: a period's

    def act(self, network: Network, observation):
        """Return orders (num_envs, items) at observations (num_envs, F), and the features that the network saw."""
        order, spread = self.view.residual.tensors(observation)
        unit, rows = spread * self.share, self.view.observe(observation)
        features = torch.cat([rows, (order / unit).reshape(len(rows), -1)], dim=1)
        order = order + unit * network(features).reshape(order.shape)
        return Inward.apply(order, self.low, self.high), features

    @staticmethod
    def told(theirs: Inventory, observation: np.ndarray, action: np.ndarray) -> np.ndarray:
        """Return actions of the task's mode that order so much."""
        return theirs.action_of(theirs.features(observation), action)


class LevelActor(_Actor):
    """Order-up-to levels of a network's nodes: those of a heuristic, and deviations from them (`NetworkView`)."""

    seen_orders = False

    def act(self, network: Network, observation):
        """Return levels (num_envs, A) at observations (num_envs, F), and the features that the network saw."""
        features = self.view.observe(observation)
        return self.view.levels(network(features)), features

    def told(self, theirs: SupplyChain, observation: np.ndarray, action: np.ndarray) -> np.ndarray:
        """Return actions of the task's mode that order as much as levels (n, A) do; weights stay as they are."""
        named, model = theirs.features(observation), self.model
        order = model.orders(model.seen_state(named), action)
        levels = order[0].size
        return np.concatenate([theirs.action_of(named, order)[:, :levels], action[:, levels:]], axis=1)


def actor_of(task: Task, params, rule: residual.StartRule | None) -> _Actor:
    """Return what acts for a task, as residuals of a rule."""
    kind = OrderActor if isinstance(task.model("train"), Inventory) else LevelActor
    return kind(task, params, rule)
