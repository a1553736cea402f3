"""`storelab benchmark SUITE`: a suite's learners on its tasks, some seeds each, and the table as Markdown.

A suite is data (`conf/suite/*.yaml`): lines of overrides of `storelab train`. Each run is an ordinary run folder, so
that a benchmark that was killed goes on, and runs that are there already count.
"""

import json
import shlex
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from hydra import compose
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from omegaconf import DictConfig

from ...evaluation import HINDSIGHT, REFERENCE, t_interval
from ...learning.base import write_atomic
from ...reading import check_writable
from ..config.errors import ConfigError
from ..config.messages import describe
from ..config.settings import read, read_benchmark, within
from ..inputs import data_hash
from ..reports.page import bracket
from ..reports.standings import lead
from ..runs.folder import Run, RunBusy, to_config
from .train import train

PLACES = ("runs", "output")
OF_TASK = ("env.", "data", "forecaster")  # words that make another problem of a task: it has a table of its own
PROBLEM = ("task", "env", "data", "forecaster", "evaluation")  # parts of a config that the heuristics depend on
HEADS = "better than the best heuristic by [95 % CI] | gap, % | fill rate | runs |\n|---|---|---|---|---|---|"


@dataclass
class Entry:
    """A line of a suite: its runs, one per seed."""

    line: str
    task: str  # with the line's changes to it
    agent: str
    runs: list[Run]


def benchmark(config: DictConfig) -> None:
    """Do what is left of a suite's runs, then write and print its table."""
    top, name, suite = read_benchmark(config)
    path = Path(top.output or Path(top.runs) / f"{name}.md")
    with within(""):
        check_writable(path.parent, "output")
    entries, plan = [], []
    for line in suite.entries:
        words = [*shlex.split(line), *top.overrides, f"runs={top.runs}"]
        entries.append(Entry(line, "", "", []))
        for seed in range(suite.seeds):
            config = _composed(line, [*words, f"seed={seed}"])
            settings = read(config)
            learner = getattr(settings.agent, "name", "")
            if seed and not learner:
                break  # heuristics have no seed
            entries[-1].task, entries[-1].agent = settings.task.name + _changes(line, of_task=True), learner
            entries[-1].runs.append(Run.of(settings, data_hash(settings)))
            problem = {name: value for name, value in to_config(settings).items() if name in PROBLEM}
            command = shlex.join(["storelab", "train", *words, f"seed={seed}"])
            plan.append((entries[-1].runs[-1], problem, config, command))
    for place, (run, problem, config, command) in enumerate(plan, 1):
        print(f"{place} of {len(plan)}: {command}")
        _share(run, [other for other, same, *_ in plan[: place - 1] if same == problem])
        with suppress(RunBusy):
            train(config, command)
    if busy := sum(not run.done for run, *_ in plan):  # what was busy when its turn came may be done by now
        print(f"{busy} of {len(plan)} runs are other processes': the same command gives the table when they are done")
        return
    text = table(name, _command(name), entries, suite.seeds)
    write_atomic(path, text.encode())
    print(f"{text}\ntable: {path}")


def _share(run: Run, others: list[Run]) -> None:
    """Give a run that has not begun the heuristics that another one tuned for the same problem."""
    if run.folder.exists() or run.busy:
        return
    for other in others:
        if other.done and (kept := other.read("heuristics.json")) is not None:
            run.folder.mkdir(parents=True)
            write_atomic(run.folder / "heuristics.json", json.dumps(kept).encode())
            print(f"with the heuristics of {other.folder}")
            return


def _composed(line: str, words: list[str]) -> DictConfig:
    """The config of a run, whose errors name the suite's line."""
    try:
        return compose("train", overrides=words)
    except HydraException as error:
        raise ConfigError(f"{line}: {describe(error, 'train', words)}") from error


def _command(name: str) -> str:
    """What makes the table: with the overrides, which change it, but for the places of the files."""
    given = [word for word in HydraConfig.get().overrides.task if word.partition("=")[0] not in ("suite", *PLACES)]
    quoted = [f'"{word}"' if "'" in word and not set(word) & set('"$`\\!') else shlex.quote(word) for word in given]
    return " ".join(["storelab", "benchmark", name, *quoted])


def table(name: str, command: str, entries: list[Entry], seeds: int) -> str:
    """A suite's table in Markdown: of each task the reference, the learners and the heuristics, best first."""
    note = (
        f"Each table has the {REFERENCE} or the {HINDSIGHT} where there is one, the learners (bold) and all "
        f"heuristics, tuned on training scenarios. All met the same held-out scenarios. Learners' values are means "
        f"over {seeds} seeds, with intervals over seeds (Student's t); the intervals of heuristics are over scenarios. "
        f"What learners are better by has an interval over seeds and scenarios, paired, and none with one seed. Gaps "
        f"are paired, scenario by scenario, with the row '{REFERENCE}' where there is one, else with the {HINDSIGHT}, "
        f"which knows the future."
    )
    lines = [f"# Benchmark: {name}", "", note, "", f"    $ {command}", ""]
    for task in dict.fromkeys(entry.task for entry in entries):
        of = [entry for entry in entries if entry.task == task]
        rows = {}  # policy -> value, interval, better, gap, fill rate, runs
        for entry in of:
            results = [run.read("results.json") for run in entry.runs]
            if None in results:
                raise ConfigError(f"{entry.line}: a run has no results.json, expected one: storelab report run=RUN")
            label = f"**{entry.agent}**" + _changes(entry.line)
            for policy, row in results[0]["policies"].items():
                if policy != entry.agent:
                    best = policy == results[0]["best_heuristic"]
                    rows.setdefault(policy, _row(row | {"better_low": None} if best else row, ""))
            if entry.agent:
                own = [result["policies"][entry.agent] for result in results]
                mean = {key: np.mean([row[key] for row in own]) for key, value in own[0].items() if value is not None}
                ends = [*t_interval(np.array([row["value"] for row in own])), *lead(entry.runs)]
                names = ("ci_low", "ci_high", "better_low", "better_high")
                rows[label] = _row(mean | dict(zip(names, ends, strict=True)), len(own))
        objective, unit = results[0]["objective"], results[0]["unit"]
        order = sorted(rows.items(), key=lambda item: item[1][0] * (1 if objective == "cost" else -1))
        lines += [f"## {task}", "", f"| policy | {objective}, {unit} [95 % CI] | {HEADS}"]
        lines += [f"| {' | '.join([policy, *cells[1:]])} |" for policy, cells in order] + [""]
    return "\n".join(lines)


def _changes(line: str, of_task: bool = False) -> str:
    """What a line sets beside task and agent: of the task, or else of the rest."""
    words = [word for word in shlex.split(line) if not word.startswith(("task=", "agent="))]
    return "".join(f" {word}" for word in words if word.startswith(OF_TASK) == of_task)


def _row(row: dict, runs) -> tuple:
    """The value, and the cells of a row."""

    def text(name: str, form: str) -> str:
        return format(row[name], form) if row.get(name) is not None else ""

    money = ",.2f" if abs(row["value"]) < 1000 else ",.0f"
    value, better = (
        text(name, sign + money) + bracket(row.get(f"{end}_low"), row.get(f"{end}_high"), money)
        for name, sign, end in (("value", "", "ci"), ("better", "+", "better"))
    )
    return (
        row["value"],
        value,
        better,
        text("gap_percent", ".2f"),
        text("fill_rate", ".2%"),
        str(runs),
    )
