"""PPO without the overhead around its arithmetic: the same operations in the same order as Stable-Baselines3's own.

On batches of a thousand rows and networks of two small layers, half of SB3's time goes to calls of modules, to objects
for distributions, to info dictionaries and to numbers that only a log wants. A test compares the weights bit for bit.
"""

from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3 import PPO
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.utils import explained_variance
from torch.nn import functional


def _through(layers: Any, rows: torch.Tensor) -> torch.Tensor:
    """Return what layers, one after the other, make of rows (n, f), without the hooks of modules, which none has."""
    for layer in layers:
        rows = layer.forward(rows)
    return rows


class LeanPolicy(ActorCriticPolicy):
    """Two separate networks, of actions and of values, over rows (n, f); categorical actions by plain functions."""

    def _heads(self, obs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the values (n, 1) and the logarithms of the actions' probabilities (n, k)."""
        nets, rows = self.mlp_extractor, obs.float()
        latent = _through(nets.policy_net, rows)
        values = self.value_net.forward(_through(nets.value_net, rows))
        logits = self.action_net.forward(latent)
        return values, logits - logits.logsumexp(dim=-1, keepdim=True)

    def forward(self, obs: torch.Tensor, deterministic: bool = False):
        """Return actions (n,), values (n, 1) and the actions' log-probabilities (n,)."""
        values, logits = self._heads(obs)
        probs = functional.softmax(logits, dim=-1)
        actions = probs.argmax(dim=1) if deterministic else torch.multinomial(probs, 1, True)[:, 0]
        return actions, values, logits.gather(-1, actions[:, None])[:, 0]

    def evaluate_actions(self, obs: Any, actions: torch.Tensor):
        """Return values (n, 1), log-probabilities (n,) of actions (n,), and the entropy (n,)."""
        values, logits = self._heads(obs)
        log_prob = logits.gather(-1, actions.long()[:, None])[:, 0]  # first: gradients are summed in this order
        return values, log_prob, -(logits * functional.softmax(logits, dim=-1)).sum(-1)

    def predict_values(self, obs: Any) -> torch.Tensor:
        """Return values (n, 1)."""
        return self.value_net.forward(_through(self.mlp_extractor.value_net, obs.float()))


class LeanPPO(PPO):
    """PPO as SB3 has it, to the bit, where nothing stops an update early and values are not clipped."""

    def _update_info_buffer(self, infos: list[dict[str, Any]], dones: np.ndarray | None = None) -> None:
        """Keep the episodes that ended: only their infos are read."""
        ended = range(len(infos)) if dones is None else np.flatnonzero(dones)
        super()._update_info_buffer([infos[row] for row in ended], None if dones is None else dones[ended])

    def train(self) -> None:
        """Update the policy by the rollout buffer."""
        if self.target_kl is not None or self.clip_range_vf is not None:
            super().train()
            return
        self.policy.set_training_mode(True)
        self._update_learning_rate(self.policy.optimizer)
        clip: float = self.clip_range(self._current_progress_remaining)  # pyright: ignore[reportCallIssue]
        discrete, told = isinstance(self.action_space, spaces.Discrete), []
        weights, optimizer = list(self.policy.parameters()), self.policy.optimizer
        for _ in range(self.n_epochs):
            for part in self.rollout_buffer.get(self.batch_size):
                actions = part.actions.long().flatten() if discrete else part.actions
                values, log_prob, entropy = self.policy.evaluate_actions(part.observations, actions)
                advantages = part.advantages
                if self.normalize_advantage and len(advantages) > 1:
                    advantages = (advantages - advantages.mean()) / (advantages.std() + 1e-8)
                log_ratio = log_prob - part.old_log_prob
                ratio = torch.exp(log_ratio)
                gain = torch.min(advantages * ratio, advantages * torch.clamp(ratio, 1 - clip, 1 + clip))
                losses = -gain.mean(), functional.mse_loss(part.returns, values.flatten())
                entropy_loss = -torch.mean(-log_prob if entropy is None else entropy)
                loss = losses[0] + self.ent_coef * entropy_loss + self.vf_coef * losses[1]
                optimizer.zero_grad()
                loss.backward()
                _clip(weights, self.max_grad_norm)
                optimizer.step()
            told.append([value.detach() for value in (*losses, entropy_loss, loss, log_ratio, ratio)])
            self._n_updates += 1
        self._tell(told, clip)

    def _tell(self, told: list[list[torch.Tensor]], clip: float) -> None:
        """Log the last minibatch of every epoch: means over them."""
        for k, name in enumerate(("policy_gradient_loss", "value_loss", "entropy_loss", "loss")):
            self.logger.record(f"train/{name}", float(torch.stack([row[k] for row in told]).mean()))
        log_ratio, ratio = (torch.cat([row[k] for row in told]) for k in (4, 5))
        self.logger.record("train/approx_kl", float(((ratio - 1) - log_ratio).mean()))
        self.logger.record("train/clip_fraction", float(((ratio - 1).abs() > clip).float().mean()))
        buffer = self.rollout_buffer
        explained = explained_variance(buffer.values.flatten(), buffer.returns.flatten())
        self.logger.record("train/explained_variance", explained)
        if hasattr(self.policy, "log_std"):
            self.logger.record("train/std", torch.exp(self.policy.log_std).mean().item())
        self.logger.record("train/n_updates", self._n_updates, exclude="tensorboard")
        self.logger.record("train/clip_range", clip)


def _clip(weights: list[torch.nn.Parameter], largest: float) -> None:
    """Scale gradients down to a norm of at most `largest`, as `torch.nn.utils.clip_grad_norm_` does."""
    grads = [weight.grad for weight in weights if weight.grad is not None]
    together: Any = torch  # its operations on lists
    total = torch.linalg.vector_norm(torch.stack(together._foreach_norm(grads, 2.0)), 2.0)
    together._foreach_mul_(grads, torch.clamp(largest / (total + 1e-6), max=1.0))


def policy_of(actions: spaces.Space) -> Any:
    """Return the policy class for a learner's space of actions: the lean one for one discrete action."""
    return LeanPolicy if isinstance(actions, spaces.Discrete) else "MlpPolicy"
