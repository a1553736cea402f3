"""What learners add to the whole store's composite: each begins there, and is played beside it on held-out seasons.

    python -m storelab.experiments.studies.marketplace_learners RUN --results learners.jsonl --page [KEY=VALUE ...]

RUN is the folder of a finished `storelab train task=Marketplace` (of the same store, where `env.KEY=VALUE` changes it),
whose composite the learners start from. The best checkpoint on the validation seasons is kept where its lead over the
composite, on fresh ones, has a 95 % interval above zero; else the composite is (`choice.best_of`). The file has a line
for each finished learner and seed, which is not run again. Prints a table in Markdown; `--page` writes it into
docs/benchmark_marketplace.md.
"""

import argparse
import shlex
from dataclasses import replace
from pathlib import Path

import numpy as np

from ...agents import rules_of
from ...agents.core.residual import StartRule
from ...envs.core.seeds import purpose_seeds
from ...errors import FieldError
from ...evaluation import evaluate, hierarchical_interval, mean_interval
from ..choice import Judge, best_of
from ..config.settings import Settings
from ..inputs import build, learner_of
from ..runs.folder import Run
from .drawn import compose_settings, kept_or_run, lines
from .pages import ROOT, block, markdown, put

MODULE = "storelab.experiments.studies.marketplace_learners"
PAGE = ROOT / "docs" / "benchmark_marketplace.md"
CHECKS = 8  # checkpoints that are judged
LEARNERS = {  # name -> option of the config group `agent`, and further overrides
    "PPO": ("ppo_marketplace", []),
    "PPO, item by item": ("ppo_marketplace", ["env.resolution=item"]),
    "evolution": ("evolution", []),
}


def measure(settings: Settings, params: dict) -> dict:
    """Return what a learner earns, and the composite that it started from, on held-out seasons, money each.

    Args:
        settings: of the learner and its task.
        params: of the composite.
    """
    task, seed, agent = build(settings), settings.top.seed, settings.agent
    model, module = task.model("train"), learner_of(settings)
    composite = rules_of(model).Heuristic("composite", params, model)
    rule = StartRule.of(composite, model, purpose_seeds("tuning", settings.evaluation.tuning_episodes))
    learner = module.Learner(task, agent, seed, rule=rule)
    judge = Judge(task, settings.evaluation.validation_episodes)
    policy = best_of(learner, module.load_policy, judge, composite, max(1, agent.total_steps // CHECKS))
    seeds = settings.evaluation.seed + np.arange(settings.evaluation.episodes)
    played = evaluate({"learnt": policy, "composite": composite}, replace(task, hindsight=None), seeds)
    values = played.pivot(index="seed", columns="policy", values="value")
    kept = {name: values[name].round(2).tolist() for name in ("learnt", "composite")}
    return kept | {"learner": "", "kept": policy is not composite, "steps": agent.total_steps}


def table(rows: list[dict]) -> str:
    """Return the table of finished runs, in Markdown: a row per learner."""
    head = ("learner", "steps", "seeds", "profit per season, money", "better than the composite by [95 % CI]")
    out: list[tuple[str, ...]] = [(*head, "least of the seeds [95 % CI]", "seeds ahead, kept")]
    for name in dict.fromkeys(row["learner"] for row in rows):
        of = [row for row in rows if row["learner"] == name]
        ahead = np.array([np.subtract(row["learnt"], row["composite"]) for row in of])  # (seeds, seasons)
        each = ahead.mean(axis=1)
        low, high = hierarchical_interval(ahead) if len(of) > 1 else mean_interval(ahead.T)[:, 0]
        ends = [mean_interval(values[:, None])[:, 0] for values in ahead]
        worst = int(each.argmin())
        out.append(
            (
                name,
                f"{of[0]['steps']:,}",
                f"{len(of)}",
                f"{np.mean([row['learnt'] for row in of]):,.0f}, composite {np.mean(of[0]['composite']):,.0f}",
                f"{each.mean():+,.0f} [{low:,.0f}, {high:,.0f}]",
                f"{each[worst]:+,.0f} [{ends[worst][0]:,.0f}, {ends[worst][1]:,.0f}]",
                f"{sum(end[0] > 0 for end in ends)} of {len(of)}, {sum(row['kept'] for row in of)}",
            )
        )
    return markdown(out)


def main(arguments: list[str] | None = None) -> None:
    """Run what is left, then print the table of all that is there."""
    parser = argparse.ArgumentParser(prog="marketplace_learners", description=str(__doc__).split("\n")[0])
    parser.add_argument("run", help="folder of a finished run of task=Marketplace")
    parser.add_argument("--results", type=Path, required=True, help="file of finished runs, a line of JSON each")
    parser.add_argument("--learners", nargs="+", choices=list(LEARNERS), default=list(LEARNERS))
    parser.add_argument("--seeds", type=int, default=5, help="of each learner, how many (default 5)")
    parser.add_argument("--first", type=int, default=0, help="the first seed (default 0)")
    parser.add_argument("--page", action="store_true", help=f"write the table into docs/{PAGE.name}")
    given, overrides = parser.parse_known_args(arguments)
    tuned = Run(Path(given.run)).read("heuristics.json") or {}
    if "composite" not in tuned:
        raise FieldError("run", given.run, "the folder of a run with a tuned composite")
    for seed in range(given.first, given.first + given.seeds):
        for name in given.learners:
            agent, own = LEARNERS[name]
            usual = ["evaluation.episodes=512", "evaluation.validation_episodes=256"]
            settings = compose_settings(agent, [*usual, *own, *overrides, f"seed={seed}"], "Marketplace")
            make = lambda settings, name=name: measure(settings, tuned["composite"]) | {"learner": name}
            row = kept_or_run(settings, given.results, make)
            print(f"{name}, seed {seed}: {np.mean(np.subtract(row['learnt'], row['composite'])):+,.1f}", flush=True)
    text = table(sorted(lines(given.results), key=lambda row: (list(LEARNERS).index(row["learner"]), row["seed"])))
    print(text)
    if given.page:
        some = [] if given.learners == list(LEARNERS) else ["--learners", *given.learners]
        command = f"python -m {MODULE} RUN {shlex.join([*some, '--results', 'learners.jsonl', '--page', *overrides])}"
        put(PAGE, "learners", MODULE, block(command, text))


if __name__ == "__main__":
    main()
