"""`storelab tune`: hyper-parameter search with Optuna, each trial an ordinary run folder.

    runs/<experiment>/study-<hash>/journal.log

A trial's value is the last one of its learning curve: on training scenarios that the learner does not learn from, never
on the held-out ones. Trial n draws with a generator of its own, so that a study that was killed and continued by one
process ends as one that was never stopped. Several processes may work on one study; a trial that a killed one left goes
on from its run's last checkpoint.
"""

import fcntl
import io
import json
import math
import shlex
from contextlib import ExitStack, contextmanager, redirect_stdout
from pathlib import Path

import optuna
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from ...errors import FieldError
from ..config.errors import ConfigError, one_line
from ..config.messages import unknown_key
from ..config.settings import Settings, read, read_study
from ..experiment import checkpoint_steps
from ..inputs import build, data_hash
from ..reports.page import aligned, bracket
from ..runs.folder import Pruned, Run, RunBusy, to_config
from ..runs.provenance import code_hash, digest
from .train import carry_out

STARTUP = 5  # whole trials before the first may be pruned
WARM_UP = 0.25  # share of a trial's evaluations in which it is not
WORDS = ("low", "high", "log", "step", "choices")
ALLOWED = ("agent.", "forecaster.", "env.action", "env.forecast")  # others change the problem, or how it is judged


class _Lock:
    """The journal's lock: the system drops it with the process, where Optuna's own outlive a kill."""

    def __init__(self, path: Path):
        self.path, self.file = path, None

    def acquire(self) -> bool:
        self.file = self.path.open("w")
        fcntl.flock(self.file, fcntl.LOCK_EX)
        return True

    def release(self) -> None:
        self.file.close()


class Search:
    """A study: its space, its journal and the runs of its trials."""

    def __init__(self, config: DictConfig):
        self.params, self.config = read_study(config)
        self.base = read(self.config.copy())
        if self.base.learner is None:
            raise ConfigError("agent: heuristics is not allowed, expected a learner, whose keys are searched")
        self.space = {key: self._distribution(key, spec) for key, spec in _flat(self.params.space).items()}
        for key, of in self.space.items():
            for value in of.choices if isinstance(of, CategoricalDistribution) else (of.low, of.high):
                self.settings({key: value})  # raises where an end of the space is not allowed
        self.data, self.objective = data_hash(self.base), build(self.base).objective
        space = {key: optuna.distributions.distribution_to_json(of) for key, of in self.space.items()}
        config = {key: value for key, value in to_config(self.base).items() if key not in ("runs", "experiment")}
        name = digest([config, space, self.params.prune, self.params.seed, code_hash(), self.data])[:12]
        self.folder = Path(self.base.top.runs) / self.base.top.experiment / f"study-{name}"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(f"runs: {self.folder} cannot be written: {error.strerror}") from error
        journal = JournalFileBackend(str(self.folder / "journal.log"), _Lock(self.folder / ".journal-lock"))
        self.storage = optuna.storages.JournalStorage(journal)

    def _distribution(self, key: str, spec):
        """Optuna's distribution of a key; choices are JSON texts, as they may be lists."""
        if not key.startswith(ALLOWED):
            raise ConfigError(f"tune.space.{key}: not allowed, expected keys of agent or forecaster, env.action, ...")
        try:
            now = OmegaConf.select(self.config, key, throw_on_missing=False)
            OmegaConf.update(self.config.copy(), key, now)
        except OmegaConfBaseException:
            raise ConfigError(f"tune.space: {unknown_key(key)}") from None
        wrong = f"tune.space.{key}: {spec!r} is not allowed, expected low and high (and log, step), or choices"
        if not isinstance(spec, dict) or not spec or set(spec) - set(WORDS):
            raise ConfigError(wrong)
        if "choices" in spec:
            if len(spec) > 1 or not isinstance(spec["choices"], list) or not spec["choices"]:
                raise ConfigError(wrong)
            return CategoricalDistribution([json.dumps(choice) for choice in spec["choices"]])
        numbers = [spec.get("low"), spec.get("high"), spec.get("step", 1)]
        if {*map(type, numbers)} - {int, float} or not isinstance(spec.get("log", False), bool):
            raise ConfigError(wrong)
        whole = not isinstance(now, float) and all(isinstance(spec.get(end), int) for end in ("low", "high"))
        try:
            return (IntDistribution if whole else FloatDistribution)(**spec)
        except (TypeError, ValueError) as error:
            raise ConfigError(f"{wrong}: {one_line(error)}") from error

    def settings(self, values: dict) -> Settings:
        """The settings of a trial."""
        config = self.config.copy()
        for key, value in values.items():
            value = self.value(key, value)
            try:
                OmegaConf.update(config, key, value)
            except OmegaConfBaseException as error:
                raise ConfigError(f"tune.space.{key}: {value!r} is not allowed: {one_line(error.msg)}") from error
        return read(config)

    def value(self, key: str, suggested):
        """What a key is set to by what Optuna suggests."""
        return json.loads(suggested) if isinstance(self.space[key], CategoricalDistribution) else suggested

    def study(self) -> optuna.Study:
        """The study as it is in the journal; the sampler's seed is the next trial's."""
        with _quiet():
            evaluations = self.base.agent.total_steps // checkpoint_steps(self.base)
            median = optuna.pruners.MedianPruner(STARTUP, n_warmup_steps=int(WARM_UP * evaluations))
            study = optuna.create_study(
                storage=self.storage,
                study_name="study",
                load_if_exists=True,
                direction="minimize" if self.objective == "cost" else "maximize",
                pruner=median if self.params.prune else optuna.pruners.NopPruner(),
            )
            study.sampler = optuna.samplers.TPESampler(seed=1_000_003 * self.params.seed + len(study.trials))
        return study

    def claim(self, held: ExitStack):
        """A trial to work on, with its run, which `held` then holds: one that a killed process left, or a new one."""
        with _held(_Lock(self.folder / ".lock")):
            study = self.study()
            left = [optuna.trial.Trial(study, old._trial_id) for old in study.get_trials(states=[TrialState.RUNNING])]
            while left or len(study.trials) < self.params.trials:
                trial = left.pop(0) if left else self.study().ask()
                values = {key: _suggested(trial, key, distribution) for key, distribution in self.space.items()}
                try:
                    settings = self.settings(values)
                    run = Run.of(settings, self.data)
                    if not run.done:
                        held.enter_context(run.open(settings, self.data, self.command(values)))
                    return study, trial, run, settings
                except RunBusy:
                    pass  # another process has it
                except ConfigError as error:  # values that do not go together
                    self.fail(study, trial.number, error)
        return None

    def work(self) -> bool:
        """Carry out one trial; return whether there was one."""
        study = trial = None
        try:
            with ExitStack() as held:
                claimed = self.claim(held)
                if claimed is None:
                    return False
                study, trial, run, settings = claimed
                print(f"trial {trial.number}: {self.words(trial.params)}")
                if not run.done and (run.read("status.json") or {}).get("state") == Pruned.state:
                    raise Pruned("in an earlier process")
                if not run.done:
                    with redirect_stdout(io.StringIO()):  # its report has it
                        carry_out(run, settings, build(settings), self.watch(trial, settings))
            value = run.metrics()[-1]["value"]
            if not math.isfinite(value):
                raise FieldError("value", value, "a finite number")
            study.tell(trial.number, value)
            print(f"trial {trial.number}: {self.objective} {value:,.4f}, {run.folder}")
        except Pruned:
            study.tell(trial.number, state=TrialState.PRUNED)
            print(f"trial {trial.number} is pruned: worse than the median at this point")
        except Exception as error:
            if trial is None:
                raise
            self.fail(study, trial.number, error)
        return True

    def fail(self, study, number: int, error: Exception) -> None:
        """Tell that a trial broke: the study goes on."""
        study.tell(number, state=TrialState.FAIL)
        print(f"trial {number} failed: {type(error).__name__}: {one_line(error)}")

    def watch(self, trial, settings: Settings):
        """Report the learning curve, by the number of the evaluation: other batch sizes stop at other steps."""
        every, reported = checkpoint_steps(settings), set(trial.study.trials[trial.number].intermediate_values)

        def see(rows: list[dict]) -> None:
            step = rows[-1]["step"] // every
            if step not in reported:
                trial.report(rows[-1]["value"], step)
                reported.add(step)
            if rows[-1]["step"] < settings.agent.total_steps and trial.should_prune():
                raise Pruned(f"after {rows[-1]['step']:,} steps")

        return see

    def words(self, values: dict) -> str:
        """What a trial sets, exactly: as overrides."""
        return shlex.join(f"{key}={_text(self.value(key, value))}" for key, value in values.items())

    def command(self, values: dict) -> str:
        """The command of a trial's run."""
        given = HydraConfig.get().overrides.task if HydraConfig.initialized() else OmegaConf.create([])
        task = OmegaConf.to_container(given, resolve=False)
        own = [w for w in task if not w.lstrip("+~").startswith("tune.") and w.lstrip("+").split("=")[0] not in values]
        return " ".join(filter(None, ["storelab train", shlex.join(own), self.words(values)]))

    def tell(self) -> None:
        """Print the trials, and the best one as a command."""
        study = self.study()
        trials = study.trials
        order = sorted(trials, key=lambda t: (t.state.name, t.value if self.objective == "cost" else -(t.value or 0)))
        shown = [("trial", [str(t.number) for t in order]), ("state", [t.state.name.lower() for t in order])]
        shown += [(self.objective, ["" if t.value is None else f"{t.value:,.4f}" for t in order])]
        for key in self.space:
            values = [self.value(key, t.params[key]) if key in t.params else "" for t in order]
            words = [f"{value:.6g}" if isinstance(value, float) else _text(value) for value in values]
            shown.append((key.rpartition(".")[2], words))
        print("\n".join(aligned(shown)))
        counts = {state: sum(t.state == state for t in trials) for state in TrialState}
        print(f"{len(trials)} trials: " + ", ".join(f"{n} {s.name.lower()}" for s, n in counts.items() if n))
        print(f"study: {self.folder}")
        if not counts[TrialState.COMPLETE]:
            raise ConfigError("tune: no trial is complete, expected one at least: their errors stand above")
        best = study.best_trial
        run = Run.of(self.settings(best.params), self.data)
        held = (run.read("results.json") or {}).get("policies", {}).get(self.base.agent.name)
        print(f"best: trial {best.number}, {run.folder}")
        if held:
            print(f"on held-out scenarios: {held['value']:,.4f}{bracket(held['ci_low'], held['ci_high'], ',.4f')}")
        print(f"chosen on one seed, so judge it on others:\n  {self.command(best.params)} seed=1,2,3,4,5 --multirun")


def tune(config: DictConfig) -> None:
    """Search until the study has its number of trials, then tell."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    search = Search(config)
    while search.work():
        pass
    search.tell()


@contextmanager
def _held(lock: _Lock):
    lock.acquire()
    try:
        yield
    finally:
        lock.release()


@contextmanager
def _quiet():
    """Without Optuna's word that it uses an existing study."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)


def _suggested(trial, key: str, of):
    """A trial's value of a key; the same again where it has one already."""
    if isinstance(of, CategoricalDistribution):
        return trial.suggest_categorical(key, of.choices)
    suggest = trial.suggest_int if isinstance(of, IntDistribution) else trial.suggest_float
    return suggest(key, of.low, of.high, step=of.step, log=of.log)


def _text(value) -> str:
    """A value as Hydra's command line has it."""
    return value if isinstance(value, str) else json.dumps(value)


def _flat(space: dict, prefix: str = "") -> dict:
    """Dotted key -> its spec, whether the space is nested or has dotted keys."""
    specs = {}
    for key, spec in space.items():
        nested = isinstance(spec, dict) and spec and not set(spec) & set(WORDS)
        specs |= _flat(spec, f"{prefix}{key}.") if nested else {f"{prefix}{key}": spec}
    return specs
