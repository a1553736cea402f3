"""`storelab dataset`: what a run's policy did, transition by transition, in Minari's format for offline learning.

Younis et al. 2024, "Minari: a Gymnasium API for managing offline reinforcement learning datasets". The scenarios are
training ones that no learner, tuning or learning curve of a run uses first: held-out ones stay for judging.
"""

import copy
import os
import re
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from minari import create_dataset_from_buffers, load_dataset
from minari.data_collector import EpisodeBuffer
from minari.dataset.minari_dataset import gen_dataset_id, parse_dataset_id
from minari.storage.datasets_root_dir import get_dataset_path
from omegaconf import DictConfig

from ...envs.core.batch import Batch, admit
from ...envs.core.seeds import purpose_seeds
from ...evaluation import scenario_keys
from ...reading import check_writable
from ..config.settings import ConfigError, Settings, read_dataset, within
from ..experiment import restore
from ..runs.folder import Run
from ..runs.provenance import versions

ROWS = 256  # episodes in one batch


def dataset(config: DictConfig) -> None:
    """Write a dataset and say how to load it."""
    top = read_dataset(config)
    run = Run(top.run)
    if top.name:
        check_name(top.name)
    run.settings()
    with within(""):
        check_writable(os.environ.get("MINARI_DATASETS_PATH") or Path.home() / ".minari", "MINARI_DATASETS_PATH")
    experiment = restore(run)
    name = top.policy or experiment.agent or run.read("results.json")["best_heuristic"]
    if name not in experiment.policies:
        allowed = ", ".join(experiment.policies)
        raise ConfigError(f"policy: {name!r} is not allowed, expected one of the run's: {allowed}")
    task = experiment.task
    model = task.model("train")
    if not isinstance(model.observation_space, spaces.Box):
        raise ConfigError(f"run: {task.name} is not allowed, expected a task whose observations are one array")
    called = top.name or f"storelab/{task.name}/{re.sub('[^A-Za-z0-9-]', '-', name)}-v0"
    check_name(called)
    seeds = purpose_seeds("dataset", top.episodes, top.seed)
    batches = [seeds[first : first + ROWS] for first in range(0, len(seeds), ROWS)]
    buffers = [buffer for batch in batches for buffer in _episodes(model, experiment.policies[name], batch, top.seed)]
    made = _written(
        called,
        buffers,
        env=_spec(experiment.settings),
        observation_space=model.observation_space,
        action_space=model.action_space,
        algorithm_name=name,
        data_format="arrow",
        description=f"{task.name}, {top.episodes} training scenarios from seed {seeds[0]}; run {run.folder.name}",
        requirements=[f"storelab=={versions()['storelab']}"],
    )
    print(f"{made.total_episodes} episodes, {made.total_steps:,} transitions of {name}: {made.storage.data_path}")
    print(f'minari.load_dataset("{called}")')


def check_name(called: str) -> None:
    """Raise a ConfigError unless Minari can keep a new dataset of this name, and still read all others."""
    expected = "NAMESPACE/NAME-vN of letters, digits, _ and -, such as mine/base-stock-v0"
    try:
        whole = called == gen_dataset_id(*parse_dataset_id(called)) and "data" not in called.split("/")
    except (ValueError, TypeError):  # the latter of a name without a version
        whole = False
    if not whole:  # Minari reads a folder `data` as the end of a name
        raise ConfigError(f"name: {called!r} is not allowed, expected {expected}")
    root = get_dataset_path().absolute()
    for place in (root / called, *(root / called).parents):
        if place.is_relative_to(root) and (place == root / called or (place / "data").exists()) and place.exists():
            raise ConfigError(f"name: {called!r} is not allowed: {place} is there already, expected another")


def _written(called: str, buffers: list[EpisodeBuffer], **about):
    """Write a dataset under a hidden folder, which Minari passes over, and move it into place once it is whole."""
    root = get_dataset_path().absolute()
    kept = os.environ.get("MINARI_DATASETS_PATH")
    warnings.simplefilter("ignore", UserWarning)  # Minari's, on authors
    try:
        with tempfile.TemporaryDirectory(prefix=".storelab-", dir=root) as part:
            os.environ["MINARI_DATASETS_PATH"] = part
            create_dataset_from_buffers(called, buffers, **about)
            (root / called).parent.mkdir(parents=True, exist_ok=True)
            (Path(part) / called).rename(root / called)
    except OSError as error:
        raise ConfigError(f"name: {called!r} cannot be written in {root}: {error.strerror or error}") from error
    finally:
        os.environ.pop("MINARI_DATASETS_PATH", None)
        os.environ.update({} if kept is None else {"MINARI_DATASETS_PATH": kept})
    return load_dataset(called)


def _episodes(model, act: Callable, seeds: np.ndarray, seed: int) -> list[EpisodeBuffer]:
    """The episodes of some scenarios, which run side by side."""
    batch, memory, n = Batch(model, len(seeds)), None, len(seeds)
    batch.reset(scenario_keys(seeds, "train"))
    seen, done, paid = [batch.observe()], [], []
    for period in range(model.horizon):
        action, memory = act(seen[-1], memory, seed * 1_000_003 + period)
        action, _ = admit(model, action, n)
        paid.append(batch.step(action)[2])
        done.append(action.reshape(n, *model.action_space.shape).astype(model.action_space.dtype))
        seen.append(batch.observe())
    last = np.arange(model.horizon) == model.horizon - 1
    ends, cut = (last, ~last & last) if not model.params.continuing else (~last & last, last)
    seen, done, paid = (np.stack(values, axis=1) for values in (seen, done, paid))
    return [
        EpisodeBuffer(None, int(s), None, seen[k], done[k], list(paid[k].astype(float)), list(ends), list(cut))
        for k, s in enumerate(seeds)
    ]


def _spec(settings: Settings):
    """The environment as Gymnasium makes it, for `recover_environment`; None where it needs data of its own."""
    if settings.data is not None or settings.forecaster is not None:
        return None
    spec = copy.deepcopy(gym.spec(f"storelab/{settings.task.name}-v0"))
    spec.kwargs.update(settings.env)
    return spec
