"""Where a run is reported besides its folder, by the key `tracker`: TensorBoard, Weights & Biases or MLflow.

The learner's TensorBoard files lie in the run folder whatever the tracker. The others get the config, the learning
curve, and the held-out result of the agent. A run that goes on is reported under its old name.
"""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ..config.schemas import TRACKERS
from ..config.settings import ConfigError, Settings, one_line
from .folder import Run, to_config
from .index import flat

Tell = Callable[[dict[str, float], int | None], None]  # values, and the step; None: of the whole run


@contextmanager
def tracking(run: Run, settings: Settings) -> Iterator[Tell]:
    """Tell a tracker of an open run.

    Raises:
        ConfigError: the tracker is not installed.
    """
    name = settings.top.tracker
    try:
        with TRACKING[name](run, settings) as tell:
            yield tell
    except ModuleNotFoundError as error:
        if error.name not in (name, "sqlalchemy"):
            raise
        raise ConfigError(f"tracker: {name} is not installed, expected it: pip install 'storelab[{name}]'") from error


@contextmanager
def _tensorboard(run: Run, settings: Settings) -> Iterator[Tell]:
    yield lambda values, step: None  # the learner writes its own


@contextmanager
def _wandb(run: Run, settings: Settings) -> Iterator[Tell]:
    """Its environment variables (WANDB_MODE=offline, WANDB_ENTITY) say the rest."""
    import wandb

    name = run.folder.name
    tracked = wandb.init(
        project=settings.top.experiment, id=name, name=name, dir=run.folder, resume="allow", config=to_config(settings)
    )
    status = 1
    try:
        yield lambda values, step: tracked.summary.update(values) if step is None else tracked.log(values, step=step)
        status = 0
    finally:
        tracked.finish(exit_code=status)


@contextmanager
def _mlflow(run: Run, settings: Settings) -> Iterator[Tell]:
    """Into MLFLOW_TRACKING_URI, or `RUNS/mlflow.db`."""
    from mlflow import MlflowClient
    from mlflow.entities import Metric, Param
    from mlflow.exceptions import MlflowException

    place = os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{Path(settings.top.runs).absolute()}/mlflow.db"
    name, experiment, status = run.folder.name, settings.top.experiment, "FAILED"
    try:
        client = MlflowClient(place)
        known = client.get_experiment_by_name(experiment)
        number = known.experiment_id if known else client.create_experiment(experiment)
        before = client.search_runs([number], f"tags.`storelab.run` = '{name}'")
        tracked = (before[0] if before else client.create_run(number, tags={"storelab.run": name}, run_name=name)).info
        params = [Param(key, str(value)) for key, value in flat(to_config(settings)).items()]
        for first in range(0, len(params), 100):  # MLflow's limit
            client.log_batch(tracked.run_id, params=params[first : first + 100])
    except MlflowException as error:
        raise ConfigError(f"tracker: MLflow at {place}: {one_line(error)}") from error

    def tell(values: dict[str, float], step: int | None) -> None:
        now = int(1000 * time.time())
        client.log_batch(tracked.run_id, [Metric(key, value, now, step or 0) for key, value in values.items()])

    try:
        yield tell
        status = "FINISHED"
    finally:
        client.set_terminated(tracked.run_id, status)


TRACKING = dict(zip(TRACKERS, (_tensorboard, _wandb, _mlflow), strict=True))
