"""What it is worth to dispatch an open request now: prizes, in seconds of driving, for the router to collect."""

import math

import numpy as np

from .arrivals import too_late
from .state import REQUEST, Job, State

PRIZE_FEATURES = (
    "one", "urgency", "epochs_left", "nearest_must_go", "nearest_open", "neighbour_next", "neighbour_later", "distance"
)  # fmt: skip
ALONE = 2.0  # prize level above which even a vehicle of its own pays for a request


def prizes(model, job: Job, requests: State, action: np.ndarray) -> np.ndarray:
    """Return the prizes (m,) of a job's requests, seconds of driving; inf for those that are to be sent.

    Args:
        model: `envs.Dispatch`.
        job: one of its `jobs`.
        requests: open in the epoch.
        action: (A,), of the job's row.
    """
    if model.params.action == "dispatch":
        return np.where(action[job.slots] > 0, math.inf, 0)
    if model.params.one_level:
        level = model.params.prize_levels[int(action[0])]
    else:
        level = np.maximum(prize_features(model, job, requests) @ action.astype(float), 0)
    apart = (job.problem.durations[0, 1:] + job.problem.durations[1:, 0]) / 2
    return np.where(level > ALONE, math.inf, np.minimum(level, ALONE) * apart)


def prize_features(model, job: Job, requests: State) -> np.ndarray:
    """Return `PRIZE_FEATURES` of a job's requests (m, 8), most of them between 0 and 1.

    One; one over the epochs that a request can still wait for, at most 8; the share of the epochs left; the nearest
    request that must go, and the second nearest open one, in shares of the mean way from the depot, at most 1; the
    chance that a request near it comes in the next epoch, and in those after it (`Forecast`); the mean way from
    the depot, in shares of the city's mean.
    """
    city, durations, m = model.cities[job.city], job.problem.durations, len(job.slots)
    customer, early, late, _, service = (getattr(requests, name)[job.row, job.slots] for name in REQUEST)
    ahead = [too_late(city, job.epoch + 1 + k, customer, early, late, service) for k in range(1, 8)]
    waits = 1 + np.cumprod(~np.array(ahead).reshape(7, m), axis=0).sum(axis=0)
    waits = np.minimum(waits, model.horizon - job.period)
    apart = (durations + durations.T) / 2
    way = np.maximum(apart[0, 1:], 1)
    among = apart[1:, 1:] / way[:, None]
    to_forced = np.minimum(among[:, job.must_go].min(axis=1, initial=1), 1)
    to_open = np.minimum(np.partition(among, min(2, m - 1), axis=1)[:, min(2, m - 1)], 1) if m else np.zeros(0)
    near = model.forecasts[job.city].neighbours[job.period][:, customer]
    usual = (city.out + city.back)[city.depots :].mean() / 2
    left = (model.horizon - 1 - job.period) / model.horizon
    columns = (np.ones(m), 1 / waits, np.full(m, left), to_forced, to_open, near[0], near[1], way / usual)
    return np.stack(columns, axis=1)
