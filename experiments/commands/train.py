"""`storelab train`: the whole line of one run, from data to report."""

from __future__ import annotations

from typing import TYPE_CHECKING

from omegaconf import DictConfig

from ..config.settings import Settings, read
from ..inputs import data_hash
from ..runs.folder import Run

if TYPE_CHECKING:  # what is heavy loads once there is something to do
    from ...envs import Task
    from ..experiment import Watch


def train(config: DictConfig, command: str | None = None) -> None:
    """Run the whole line, from where an earlier process left it; `command` is what stands for it, else Hydra's."""
    settings = read(config)
    data = data_hash(settings)
    run = Run.of(settings, data)
    if run.done:
        print(f"{run.folder} is finished: nothing to do (storelab report run={run.folder} shows it)")
        return
    from ..inputs import build, started

    run.check_writable()
    task, _ = build(settings), started(settings)  # raises before there is a folder
    with run.open(settings, data, command):
        carry_out(run, settings, task)


def carry_out(run: Run, settings: Settings, task: Task, watch: Watch | None = None) -> None:
    """Do what is left of an open run; `watch` sees the learning curve as it grows, and may raise to end it."""
    from ..experiment import agent, prepare
    from ..inputs import plain_params
    from ..reports.run import present
    from ..runs.trackers import tracking

    print("\n".join([f"run: {run.folder}", *task.notes]))
    run.write_config(settings, plain_params(task))
    if note := (run.read("provenance.json") or {}).get("agent"):
        print(note)
    with tracking(run, settings) as tell:

        def see(rows: list[dict]) -> None:
            tell({"value": rows[-1]["value"], "seconds": rows[-1]["seconds"]}, rows[-1]["step"])
            if watch:
                watch(rows)

        experiment = prepare(run, task, settings)
        if settings.learner:
            experiment.add(agent(run, experiment, see), experiment.choice)
        run.status("running", stage="evaluation")
        episodes = experiment.episodes(settings.evaluation)
        run.write_episodes(episodes)
        present(run, experiment, episodes)
        results = run.read("results.json")
        result = results["policies"][results["agent"] or results["best_heuristic"]]
        tell({f"held_out_{name}": value for name, value in result.items() if value is not None}, None)
