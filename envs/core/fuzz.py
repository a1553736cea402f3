"""Random valid configurations of an environment, played and checked: nothing leaves its space, all sums add up.

The ranges are those that the parameters' own checks state (`checks.bounds_of`), so that every environment is tried
alike, a plug-in's too. A configuration is either refused by a `FieldError` before an episode starts, or it plays.
"""

import math
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

import numpy as np

from ...errors import FieldError
from ...plugins import Environment
from ..registry import TASKS, entry_of, model_of, params_of
from .adapters import StoreEnv
from .batch import Batch, admit
from .checks import Bound, bounds_of
from .contract import GAINS, Model, Policy
from .task import override

ROWS, PERIODS = 5, 8  # episodes side by side: random, lowest, highest, on the boundary, mixed; periods played
SMALL = 20_000  # numbers in an episode of all configurations but the large ones
LARGE = 500  # one configuration in so many may be as large as is allowed
# What costs time by design is drawn up to here, save for those.
EFFORT = {"iterations": 3, "customers": 40, "cities": 2, "depots": 3, "requests": 40, "segments": 6}
ANEW = 0.25  # share of the configurations whose model is built twice, to compare
REFUSED_IN, BUILT_IN = 1.0, 60.0  # seconds of computing


@dataclass
class Findings:
    """What a fuzz found: counts, and each configuration that failed."""

    drawn: int = 0  # configurations
    valid: int = 0  # of them: built and played
    refused: Counter = field(default_factory=Counter)  # values that the checks refused, by the field that was named
    failed: list[tuple[int, dict, str]] = field(default_factory=list)  # seed, changes, what went wrong
    slowest: float = 0.0  # seconds of computing until a model was built


Heuristic = Callable[[Model, int], Policy | None]  # of a model and a seed


def fuzz(environment: Environment, count: int, seed: int = 0, heuristic: Heuristic | None = None) -> Iterator[Findings]:
    """Draw and play random configurations until `count` of them were valid; the same seed draws the same ones.

    Args:
        environment: of the registry.
        count: valid configurations.
        seed: of the first configuration; that of each further one is higher by 1.
        heuristic: returns a policy that plays, too, or None.

    Yields:
        The findings, the same object after each configuration.
    """
    findings = Findings()
    while findings.valid < count:
        _try(findings, environment, seed + findings.drawn, heuristic)
        findings.drawn += 1
        yield findings


def _try(findings: Findings, environment: Environment, seed: int, heuristic: Heuristic | None) -> None:
    rng, changes, start = np.random.default_rng(seed), {}, time.process_time()
    try:
        changes, params = draw(environment, rng, findings.refused)
        start = time.process_time()
        model = build(environment, params)
        took = time.process_time() - start
    except FieldError as refusal:
        took = time.process_time() - start
        findings.refused[refusal.field] += 1
        if took > REFUSED_IN:
            findings.failed.append((seed, changes, f"refused after {took:.1f} s: {refusal}"))
        return
    except Exception as error:
        findings.failed.append((seed, changes, f"at construction: {type(error).__name__}: {error}"))
        return
    findings.valid += 1
    findings.slowest = max(findings.slowest, took)
    if took > BUILT_IN:
        findings.failed.append((seed, changes, f"built in {took:.1f} s"))
    try:
        with np.errstate(all="ignore"):
            check(model, build(environment, params) if rng.random() < ANEW else model, rng)
            policy = heuristic and heuristic(model, seed)
            if policy:
                check_policy(model, policy, seed)
    except Exception as error:
        findings.failed.append((seed, changes, f"{type(error).__name__}: {error}"))


def build(environment: Environment, params) -> Model:
    """Return the environment's model of parameters, with the default demand."""
    return model_of(environment)(params)


# -- configurations ---------------------------------------------------------------------------------------------------


def draw(environment: Environment, rng: np.random.Generator, refused: Counter) -> tuple[dict, Any]:
    """Return random changes (dotted name -> value) of one of the environment's own problems, and its parameters.

    A change that the checks refuse is taken back; `refused` counts it by the field that was named.
    """
    start, large = _start(environment, rng), rng.integers(LARGE) == 0
    while True:
        bounds = bounds_of(start)
        share = rng.choice([0.05, 0.3, 1.0])
        changes = {}
        for name in rng.permutation(list(bounds)):  # choices may change what is allowed of the others
            if rng.random() < share:
                changes[str(name)] = _value(str(name), bounds[name], rng, large)
        params = _changed(start, changes, rng, refused)
        if large or getattr(params, "numbers", 0) <= SMALL:
            return changes, params


def _start(environment: Environment, rng: np.random.Generator):
    """Return the parameters of one of the environment's own tasks, or its defaults."""
    names = [name for name in environment.tasks if not entry_of(name).data]
    pick = int(rng.integers(len(names) + 1))
    return params_of(environment)() if pick == len(names) else _of_task(names[pick])


@cache
def _of_task(name: str):
    return TASKS[name]().params


def _changed(start, changes: dict, rng: np.random.Generator, refused: Counter):
    """Return changed parameters; what they refuse is taken out of `changes`."""
    while True:
        nested: dict = {}
        for name, value in changes.items():  # names of parts, such as `supplier-shop`, have no dots
            group, parts = nested, name.split(".")
            for part in parts[:-1]:
                group = group.setdefault(part, {})
            group[parts[-1]] = value
        try:
            return override(start, nested)
        except FieldError as refusal:
            refused[refusal.field] += 1
            named = [name for name in changes if f".{name}".endswith(f".{refusal.field}")]
            del changes[named[0] if named else str(rng.choice(list(changes)))]


def _value(name: str, bound: Bound, rng: np.random.Generator, large: bool):
    """Return a random value that a bound allows: on its ends, near them, or anywhere by order of magnitude."""
    if bound.choices:
        return bound.choices[rng.integers(len(bound.choices))]
    if bound.optional and rng.random() < 0.2:
        return None
    if not large:
        effort = EFFORT.get(name.rpartition(".")[2], math.inf)
        bound = replace(bound, high=max(bound.low, min(bound.high, effort)))
    if bound.length:
        least, most = bound.length
        size = int(rng.integers(least, min(most, least + 8) + 1))
        values = [_number(bound, rng) for _ in range(size)]
        if bound.rising:
            values = sorted(set(values))
        if bound.total is not None and sum(values) > 0:
            values = (np.array(values) / sum(values) * bound.total).tolist()
        return values
    if bound.items > 1 and rng.random() < 0.5:
        return [_number(bound, rng) for _ in range(bound.items)]
    return _number(bound, rng)


def _number(bound: Bound, rng: np.random.Generator):
    low, high = max(bound.low, -1e12), min(bound.high, 1e12)
    kind = rng.random()
    if bound.endless and kind < 0.1:
        return math.inf
    if kind < 0.15:
        value = low
    elif kind < 0.25:
        value = high
    elif kind < 0.4:
        value = rng.uniform(low, high)
    elif kind < 0.5:
        value = float(rng.integers(math.ceil(low), min(math.floor(high), 30) + 1)) if high >= math.ceil(low) else low
    else:  # by order of magnitude above the low end
        smallest = 1.0 if bound.integer else max(1e-9, (high - low) * 1e-12)
        value = low + math.exp(rng.uniform(math.log(smallest), math.log(max(high - low, smallest))))
    if bound.integer:
        return round(value)
    if bound.exclusive and value <= low:
        value = np.nextafter(low, high) if rng.random() < 0.2 else low + (high - low) * 1e-9
    return float(np.round(value, 6)) if rng.random() < 0.3 and not bound.exclusive else float(value)


# -- checks -----------------------------------------------------------------------------------------------------------


def check(model: Model, again: Model, rng: np.random.Generator) -> None:
    """Play a model under random and extreme actions, in a batch, and its first row alone in `again`, the same model.

    Raises:
        AssertionError: an observation outside its space, money that is not finite or does not sum up to the reward,
            units that came from nowhere or got lost, a row that differs from the same episode alone.
    """
    keys = np.stack([rng.integers(2**62, size=ROWS), np.zeros(ROWS, np.int64)], axis=1).astype(np.uint64)
    batch, alone = Batch(model, ROWS), StoreEnv(again)
    batch.reset(keys)
    check_observation(model, batch.observe())
    single, _ = alone.reset(seed=int(keys[0, 0]))
    assert np.array_equal(single, batch.observe()[0]), "the first observation differs in a batch"
    for actions in _actions(model, rng):
        before = batch.state
        flow, terms, reward, ended = batch.step(admit(model, actions, ROWS)[0])
        check_money(terms, reward)
        check_balances(model.balances(before, flow, batch.state))
        observation = batch.observe()
        check_observation(model, observation)
        single, gained, *_ = alone.step(actions[0])
        assert np.array_equal(single, observation[0]), "an observation differs in a batch"
        assert gained == reward[0].item(), f"a reward differs in a batch: {gained} alone, {reward[0]}"
        if ended:
            break


def check_policy(model: Model, policy, seed: int) -> None:
    """Play a policy for some periods: its actions are finite, and what follows keeps the same laws."""
    batch, memory = Batch(model, 2), None
    batch.reset(np.array([[seed, 0], [seed, 1]], np.uint64))
    for t in range(min(PERIODS, model.horizon)):
        action, memory = policy(batch.observe(), memory, seed + t)
        _, terms, reward, _ = batch.step(admit(model, action, 2)[0])
        check_money(terms, reward)
        check_observation(model, batch.observe())


def _actions(model: Model, rng: np.random.Generator) -> Iterator[np.ndarray]:
    low, high = model.action_low, model.action_high
    for _ in range(min(PERIODS, model.horizon)):
        anywhere = rng.uniform(low, high, (2, len(low)))
        ends = np.where(rng.random((2, len(low))) < 0.5, low, high)
        mixed = np.where(rng.random(len(low)) < 0.5, ends[1], anywhere[1])
        actions = np.stack([anywhere[0], low, high, ends[0], mixed])
        yield np.floor(actions + 0.5) if model.action_space.dtype.kind == "i" else actions


def check_observation(model: Model, observation: np.ndarray) -> None:
    """Raise AssertionError where an observation (num_envs, F) is not finite or outside its space; it names the part."""
    space = model.observation_space
    bad = ~(np.isfinite(observation) & (observation >= space.low) & (observation <= space.high))
    if bad.any() or observation.dtype != np.float32:
        named = model.features(bad)
        wrong = [name for name in named if named[name].any()]
        raise AssertionError(f"observation: {wrong} outside the space: {observation[bad][:3]}")


def check_money(terms: dict, reward: np.ndarray) -> None:
    """Raise AssertionError where money is not finite, or the reward is not the gains less the costs."""
    exact = {name: np.asarray(value, float) for name, value in terms.items()}
    for name, value in exact.items():
        assert np.isfinite(value).all(), f"money: {name} is {value[~np.isfinite(value)][0]}"
    assert np.isfinite(reward).all(), f"reward: {reward}"
    total = sum(value * (1 if name in GAINS else -1) for name, value in exact.items())
    scale = 1e-5 * (1 + sum(np.abs(value) for value in exact.values()))
    assert (np.abs(reward - total) <= scale).all(), f"reward: {reward}, the terms sum to {total}"


def check_balances(balances: dict) -> None:
    """Raise AssertionError where units came from nowhere or got lost: what came in, what went out and is there."""
    for name, (come, gone) in balances.items():
        come, gone = np.asarray(come, float), np.asarray(gone, float)
        whole = (come == np.floor(come)).all() and (gone == np.floor(gone)).all()
        apart = np.abs(come - gone) > (0 if whole else 1e-5 * (1 + np.abs(come)))
        assert not apart.any(), f"balance of {name}: {come[apart][0]!r} came, {gone[apart][0]!r} are accounted for"
