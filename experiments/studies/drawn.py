"""What studies over problems drawn at random share: their options, drawing, and files of results."""

import argparse
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from ..config.options import register
from ..config.settings import Settings, read
from ..runs.folder import to_config
from ..runs.provenance import digest

DEMANDS = ("poisson", "negative_binomial", "geometric")  # kinds of demand that are drawn


def evenly(rng: np.random.Generator, ends: tuple[float, float]) -> float:
    """Draw a number evenly in logarithms, to three digits."""
    low, high = np.log(ends)
    return float(f"{np.exp(rng.uniform(low, high)):.3g}")


def options(parser: argparse.ArgumentParser, problems: int, draw: int = 0) -> None:
    """Add the options of which problems are drawn, and of the file of results."""
    parser.add_argument("--problems", type=int, default=problems, help="how many")
    parser.add_argument("--first", type=int, default=0, help="number of the first one")
    parser.add_argument("--draw", type=int, default=draw, help="seed of the problems")
    parser.add_argument("--results", type=Path, help="file of what is finished, a line of JSON each; none is run twice")


def learner_options(parser: argparse.ArgumentParser, agent: str, seeds: int = 1) -> None:
    """Add the options of the learner."""
    parser.add_argument("--agent", default=agent, help="option of the config group `agent`")
    parser.add_argument("--seeds", type=int, default=seeds, help="of the learner, how many, from 0")
    parser.add_argument("overrides", nargs="*", help="key=value, as for `storelab train`")


def drawn(args: argparse.Namespace, problem: Callable[[int, int], dict], task: str) -> Iterator[tuple]:
    """Yield the number, the changes of parameters, the seed and the settings of each run that the options ask for."""
    for number in range(args.first, args.first + args.problems):
        changes = problem(args.draw, number)
        words = [f"env.{key}={value}" for key, value in changes.items()]
        for seed in range(args.seeds):
            settings = compose_settings(args.agent, [*words, f"seed={seed}", *args.overrides], task)
            yield number, changes, seed, settings


def told(changes: dict) -> str:
    """Return a problem's parameters in words."""
    return " ".join(f"{key.rpartition('.')[2]}={value}" for key, value in changes.items()) or "the task's own"


def compose_settings(agent: str, overrides: list[str], task: str = "LostSales") -> Settings:
    """Compose the settings of a run on a task, as `storelab train` does."""
    from hydra import compose, initialize_config_module

    register()
    with initialize_config_module("storelab.conf", version_base="1.3"):
        return read(compose("train", [f"task={task}", f"agent={agent}", *overrides]))


def kept_or_run(settings: Settings, results: Path | None, measure: Callable[[Settings], dict]) -> dict:
    """Return what `measure` does of settings, from a file's lines; else run it and add its line."""
    config = to_config(settings)
    about = {"key": digest(config), "seed": settings.top.seed, **config["env"]}
    return kept(results, {"key": about["key"]}, lambda: about | measure(settings))


def kept(results: Path | None, key: dict, make: Callable[[], dict]) -> dict:
    """Return the line of a file of results that has the values of `key`; else make it, and add it."""
    for line in lines(results):
        if all(line.get(name) == value for name, value in key.items()):
            return line
    made = make()
    if results:
        with results.open("a") as file:
            file.write(json.dumps(made) + "\n")
    return made


def lines(results: Path | None) -> list[dict]:
    """Return the lines of a file of results; none where it is not there."""
    text = results.read_text() if results and results.exists() else ""
    return [json.loads(line) for line in text.splitlines()]
