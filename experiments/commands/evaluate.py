"""`storelab evaluate`: the policies of a run, and a user's own beside them, on the same held-out scenarios."""

import shlex
import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import asdict, replace

import pandas as pd
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from ...evaluation import HINDSIGHT, REFERENCE
from ...evaluation import evaluate as played
from ..config.errors import ConfigError
from ..config.schemas import EvaluationParams
from ..config.settings import read, read_run, within
from ..experiment import Experiment, restore
from ..inputs import data_hash
from ..reports.run import present, text_table
from ..runs.folder import Run
from ..runs.provenance import code_hash, digest, provenance
from .own import Found, Own, find
from .train import train


def evaluate(config: DictConfig, own: Sequence[Own] = ()) -> None:
    """Run a finished run's policies on other held-out scenarios; the episodes stand beside its own.

    With policies of one's own the table, the episodes and a report of all stand in a folder of `evaluations`. A config
    of `train` makes its run first, where it is not there.
    """
    found = [find(one) for one in own]  # what cannot be imported shows before anything runs
    if "task" not in config:
        if OmegaConf.is_missing(config, "run"):
            raise ConfigError("run: not set, expected run=VALUE, the folder of a finished run, or task=NAME")
        folder, evaluation = read_run(config)
        run = Run(folder)
        run.settings()
        run.check_writable("run")
    else:
        settings = read(config)
        run, evaluation = Run.of(settings, data_hash(settings)), settings.evaluation
        with redirect_stdout(sys.stderr if found else sys.stdout):  # one table on the standard output
            train(config)
        if not found:
            return
    experiment = restore(run)
    if found:
        compare(run, experiment, evaluation, found)
        return
    episodes = experiment.episodes(evaluation)
    name = f"eval-{evaluation.seed}-{evaluation.episodes}.parquet"
    run.write_episodes(episodes, name)
    print(text_table(experiment.summary(episodes), experiment.task.unit))
    print(f"episodes: {run.folder / name}")


def compare(run: Run, experiment: Experiment, evaluation: EvaluationParams, found: Sequence[Found]) -> None:
    """Play policies of one's own on the scenarios of an experiment's policies; write and print what came out.

    Raises:
        ConfigError: a name that is taken, a policy that raises or returns the wrong thing.
    """
    came = add(experiment, found)
    try:
        with within(""):
            episodes = _episodes(run, experiment, evaluation)
    except ConfigError as error:
        raise _with_hint(error, found) from error
    key = digest([came, asdict(evaluation), code_hash()])[:12]
    folder = Run(run.folder / "evaluations" / key)
    folder.folder.mkdir(parents=True, exist_ok=True)
    whole = provenance((run.read("provenance.json") or {}).get("data", ""), _command(found))
    folder.write("provenance.json", whole | {"run": run.folder.name, "policies": came})
    folder.write_episodes(episodes)
    present(folder, experiment, episodes, run)


def add(experiment: Experiment, found: Sequence[Found]) -> list[dict]:
    """Let policies of one's own compete; return where they came from. Raises ConfigError for a name that is taken."""
    came = []
    for one in found:
        policies = one.policies(experiment.task)
        for name in policies:
            if name in experiment.policies or name in (HINDSIGHT, REFERENCE):
                expected = "expected another one: --policy NAME=..."
                raise ConfigError(f"{one.own.field}: the name {name!r} is taken, {expected}")
        experiment.policies |= policies
        experiment.own += tuple(policies)
        came.append(one.provenance(policies))
    return came


def _episodes(run: Run, experiment: Experiment, evaluation: EvaluationParams) -> pd.DataFrame:
    """The episodes of all policies; those that the run has of these scenarios, by this code, are not played again."""
    same = all(getattr(evaluation, key) == getattr(experiment.settings.evaluation, key) for key in ("seed", "episodes"))
    if not same or (run.read("provenance.json") or {}).get("code") != code_hash():
        return experiment.episodes(evaluation)
    known = run.episodes()
    own = {name: experiment.policies[name] for name in experiment.own}
    task = replace(experiment.task, hindsight=None)  # the bound is known as well
    return pd.concat([known, played(own, task, known["seed"].unique(), progress=True)], ignore_index=True)


def _with_hint(error: ConfigError, found: Sequence[Found]) -> ConfigError:
    """The error of a policy, with what to try where it is a function that may be one of a single observation."""
    may_be = [one for one in found if one.own.kind == "code" and not one.own.scalar]
    hint = " (a function of one observation: --scalar)" if may_be and "policy " in str(error) else ""
    return ConfigError(f"{error}{hint}")


def _command(found: Sequence[Found]) -> str:
    """The command line."""
    words = [word for one in found for word in one.own.words()]
    overrides = HydraConfig.get().overrides.task if HydraConfig.initialized() else []
    return shlex.join(["storelab", "evaluate", *overrides, *words])
