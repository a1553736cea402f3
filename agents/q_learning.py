"""Two Q-learners who set prices against one another: the experiment of Calvano et al. 2020, many sessions at once."""

from dataclasses import dataclass

import numpy as np

from ..envs.core.checks import check_number
from ..envs.duopoly import references as reference
from ..envs.duopoly.model import Duopoly, DuopolyParams, initial_values, profit_gain

STABLE = 100_000  # periods with the same greedy prices in all states: converged (the paper's criterion)
CYCLE = 1_000  # periods of greedy play over which profits are averaged, after as many


@dataclass
class Sessions:
    """Results of sessions of two Q-learners."""

    gain: np.ndarray  # (sessions,) profit gain: 0 Nash, 1 monopoly
    prices: np.ndarray  # (sessions, 2) mean prices, money
    converged: np.ndarray  # (sessions,) bool
    periods: np.ndarray  # (sessions,) until convergence, or `max_periods`
    policies: np.ndarray  # (sessions, 2, m, m) index of the greedy price after own and rival's last


def play(params: DuopolyParams, sessions: int = 32, max_periods: int = 3_000_000, seed: int = 0) -> Sessions:
    """Let two tabular Q-learners with memory one learn from one another until neither's policy changes.

    A session ends when its greedy policies have not changed for `STABLE` periods. Profits are those of greedy play
    afterwards.

    Args:
        params: of the game and of the learners: `learning_rate`, `exploration_decay`, `discount`.
        sessions: independent ones.
        max_periods: after which a session ends.
        seed: of prices at the start and of exploration.

    Raises:
        FieldError: a number out of its bounds.
    """
    check_number("sessions", sessions, 1, 100_000, integer=True)
    check_number("max_periods", max_periods, 1, 1e9, integer=True)
    block = min(2_000, max_periods)  # periods drawn, and looked over, at a time
    model = Duopoly(params)
    m, prices, rng = params.grid, model.prices, np.random.default_rng(seed)
    pairs = np.stack(np.meshgrid(prices, prices, indexing="ij"), axis=-1)
    earned = model.profits(pairs).reshape(m * m, 2)  # of both firms, by own and rival's price of firm 0
    # Each learner's values (learner, m^2 states, m prices), flat; a state is own last x m + rival's last.
    values = np.repeat(initial_values(model.profits, prices, params.discount)[None], sessions, axis=0)
    q, learners = values.reshape(-1, m), 2 * sessions
    policy = q.argmax(axis=1)  # (learners m^2,)
    base, me = np.arange(learners) * m * m, np.arange(learners)
    other, second = me ^ 1, (me % 2).astype(bool)
    last = rng.integers(m, size=learners)
    row = base + last * m + last[other]
    since, ended, open_ = np.zeros(learners, int), np.full(sessions, max_periods), np.ones(sessions, bool)
    converged = np.zeros(sessions, bool)
    policies, states = np.empty((sessions, 2, m, m), int), np.empty(sessions, int)  # as they were when they ended
    for t in range(max_periods):
        if t % block == 0:
            chance = np.exp(-params.exploration_decay * np.arange(t, t + block))[:, None]
            explores = rng.random((block, learners)) < chance
            drawn = rng.integers(m, size=(block, learners))
        choice = np.where(explores[t % block], drawn[t % block], policy[row])
        rivals = choice[other]
        profit = earned[np.where(second, rivals * m + choice, choice * m + rivals), me % 2]
        following = base + choice * m + rivals
        target = profit + params.discount * q[following, policy[following]]
        q[row, choice] += params.learning_rate * (target - q[row, choice])
        greedy = q[row].argmax(axis=1)
        changed = greedy != policy[row]
        if changed.any():
            policy[row] = greedy
            since[changed] = t + 1
        row = following
        if t % block == block - 1:
            stable = t + 1 - since.reshape(sessions, 2).max(axis=1) >= STABLE
            done = open_ & (stable | (t + 1 + block > max_periods))
            ended[done], converged[done] = t + 1, stable[done]
            policies[done] = policy.reshape(sessions, 2, m, m)[done]
            states[done] = (row - base)[::2][done]
            open_ &= ~done
            if not open_.any():
                break
    return _greedy_play(model, policies, states, ended, converged)


def _greedy_play(model: Duopoly, policies: np.ndarray, state: np.ndarray, ended, converged) -> Sessions:
    """Play the greedy policies on, and average over whole cycles (all of them are far shorter than `CYCLE`)."""
    m, n = model.params.grid, len(policies)
    own, rivals = np.divmod(state, m)  # of the first firm
    each, price, profit = np.arange(n), np.zeros((n, 2)), np.zeros((n, 2))
    for t in range(2 * CYCLE):
        own, rivals = policies[each, 0, own, rivals], policies[each, 1, rivals, own]
        if t >= CYCLE:
            now = model.prices[np.stack([own, rivals], axis=1)]
            price, profit = price + now / CYCLE, profit + model.profits(now) / CYCLE
    p = model.params
    nash = reference.nash(**p.logit(), cost=model.cost)[1].mean() * p.customers
    monopoly = reference.monopoly(**p.logit(), cost=model.cost)[1].mean() * p.customers
    gain = np.array([profit_gain(value, nash, monopoly) for value in profit.mean(axis=1)])
    return Sessions(gain, price, converged, ended, policies)
