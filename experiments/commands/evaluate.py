"""`storelab evaluate`: the policies of a finished run on other held-out scenarios."""

from omegaconf import DictConfig

from ..config.settings import read_run
from ..experiment import restore
from ..reports.run import text_table
from ..runs.folder import Run


def evaluate(config: DictConfig) -> None:
    """Run a finished run's policies on other held-out scenarios; the episodes stand beside its own."""
    folder, evaluation = read_run(config)
    run = Run(folder)
    run.settings()
    run.check_writable("run")
    experiment = restore(run)
    episodes = experiment.episodes(evaluation)
    name = f"eval-{evaluation.seed}-{evaluation.episodes}.parquet"
    run.write_episodes(episodes, name)
    print(text_table(experiment.summary(episodes), experiment.task.unit))
    print(f"episodes: {run.folder / name}")
