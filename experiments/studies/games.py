"""What plays inventory games: the choices of the adaptive policy compared on training draws, the network's training.

    python -m storelab.experiments.studies.games choices [--games 300] [--only NAME ...]
    python -m storelab.experiments.studies.games train [--out agents/adaptive/recurrent.safetensors] [--seed 0]

`choices` prints the mean score on games drawn for tuning, paired with the choices as they are; none of these games is
ever held out. `train` writes the weights of `agents.adaptive.recurrent`.
"""

import argparse
from pathlib import Path

import numpy as np

from ...agents.adaptive.demand import Prior
from ...agents.adaptive.order import Search
from ...agents.adaptive.recurrent import WEIGHTS
from ...agents.heuristics.inventory_game import adaptive
from ...envs import TASKS
from ...envs.core.rollout import rollout
from ...envs.core.seeds import purpose_seeds
from ...envs.inventory_game.score import score
from ...evaluation import mean_interval
from .pages import markdown

CHOICES = {
    "as it is": (Prior(), Search()),
    "hazard .01": (Prior(hazard=0.01, ends=0.01), Search()),
    "hazard .06": (Prior(hazard=0.06, ends=0.06), Search()),
    "no change to come": (Prior(ends=0.0), Search()),
    "narrow slopes": (Prior(slope=0.2), Search()),
    "variation .2": (Prior(variation=0.2), Search()),
    "variation .35": (Prior(variation=0.35), Search()),
    "no season": (Prior(kinds=(0.5, 0.25, 0.25, 1e-9)), Search()),
    "32 paths": (Prior(), Search(paths=32)),
    "256 paths": (Prior(), Search(paths=256)),
    "window 3": (Prior(), Search(window=3)),
    "window 8": (Prior(), Search(window=8)),
    "lower levels": (Prior(), Search(centre=(1.0, -0.12, -1.4))),
    "higher levels": (Prior(), Search(centre=(1.0, -0.08, -1.0))),
}


def choices(games: int, only: list[str]) -> None:
    """Print the scores of the choices, a row as soon as it is there."""
    model = TASKS["InventoryBench"]().model("train")
    scenario = model.scenarios(purpose_seeds("tuning", games))
    promised = scenario["promised"][:, 0, 0]
    heads = ("choice", "all games", "against as it is, paired", "lead time 0", "lead time 4", "stochastic")
    base: np.ndarray | None = None
    rows = []
    for name, (prior, search) in CHOICES.items():
        if only and name not in ("as it is", *only):
            continue
        scores = score(rollout(model, adaptive(model, prior=prior, search=search), scenario)["reward"], scenario)
        base = scores if base is None else base
        low, high = mean_interval((scores - base)[:, None])[:, 0]
        parts = [f"{scores[promised == lead].mean():.4f}" for lead in (0, 4, 2)]
        better = f"{(scores - base).mean():+.4f} [{low:+.4f}, {high:+.4f}]" if scores is not base else ""
        rows.append((name, f"{scores.mean():.4f}", better, *parts))
    print(markdown([heads, *rows]))


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("choices", "train"))
    parser.add_argument("--games", type=int, default=300)
    parser.add_argument("--only", nargs="*", default=[], choices=list(CHOICES))
    parser.add_argument("--out", type=Path, default=WEIGHTS)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    if given.what == "choices":
        choices(given.games, given.only)
        return
    from ...agents.adaptive.training import train

    train(given.out, seed=given.seed)


if __name__ == "__main__":
    main()
