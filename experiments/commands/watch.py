"""`storelab watch RUN`: a run's policy beside the best heuristic on the same held-out scenario, as an animation."""

from collections.abc import Sequence
from html import escape
from pathlib import Path

from omegaconf import DictConfig

from ...evaluation import checked, scenario_keys
from ...learning.base import write_atomic
from ..config.schemas import WatchParams
from ..config.settings import read_watch, within
from ..experiment import Experiment, restore
from ..reports.page import note, page, section
from ..reports.replay import Frames, ffmpeg, frames, gif, joined, mp4, player, with_animation
from ..runs.folder import Run
from .evaluate import add
from .own import Own, find


def watch(config: DictConfig, own: Sequence[Own] = ()) -> None:
    """Write the animation beside the run's report, and as HTML into it as well."""
    params = read_watch(config)
    if params.format == "mp4":
        ffmpeg()  # missing, it shows before anything is drawn
    found = [find(one) for one in own]
    run = Run(params.run)
    experiment = restore(run)
    add(experiment, found)
    seed = experiment.settings.evaluation.seed if params.scenario is None else params.scenario
    model = experiment.task.model("test")
    shown = {name: checked(name, experiment.policies[name], model) for name in to_watch(run, experiment)}
    with within(""):
        drawn = frames(model, shown, model.scenarios(scenario_keys([seed], "test")), params.frames)
    path = Path(params.output) if params.output else run.folder / f"watch-{seed}.{params.format}"
    title = f"{experiment.task.name}, held-out scenario {seed}: {' and '.join(shown)}"
    _write(path, drawn, title, params, run.folder / "report.html")
    print(f"{title}\nanimation: {path}")


def to_watch(run: Run, experiment: Experiment) -> list[str]:
    """Return the names of what is drawn, the best heuristic last; of heuristics alone the two best."""
    table = experiment.summary(run.episodes())
    best = table.attrs["best_heuristic"]
    heuristics = [name for name in table.index if name in experiment.heuristics]
    others = experiment.own or experiment.compared or [name for name in heuristics if name != best][:1]
    return [*others, best]


def _write(path: Path, drawn: Frames, title: str, params: WatchParams, report: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if params.format == "html":
        about = "The same scenario under each policy, at the same scales."
        part = section("Watch", f"<p>{escape(title)}</p>", player(drawn, title, params.seconds), note(about))
        write_atomic(path, page(title, [f"<h1>{escape(title)}</h1>", part]).encode())
        if report.is_file():
            write_atomic(report, with_animation(report.read_text(), part).encode())
    elif params.format == "gif":
        write_atomic(path, gif(joined(drawn), params.seconds))
    else:
        beside = path.with_name(f"{path.name}.tmp")
        mp4(joined(drawn), params.seconds, str(beside))
        beside.replace(path)
