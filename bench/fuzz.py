"""Random valid configurations of every environment, played: prints what was tried and what failed, exits with 1 then.

    python -P bench/fuzz.py [ENVIRONMENT ...] [--count 20000] [--seed 0] [--heuristics 100] [--show 5]

A configuration draws its parameters from the ranges that their own checks state, on the ends of them too. It is refused
in one line within a second of computing, or it plays: random, lowest, highest and boundary actions, and in one of
`--heuristics` a tuned heuristic. See `storelab.envs.core.fuzz` for what has to hold. Plug-ins' environments are tried
like ours. `--seed S --count 1` draws a failed configuration again.
"""

import argparse
import os
import sys
import warnings

import numpy as np
from storelab.agents.core.rules import rules_of
from storelab.envs.core.contract import Model, Policy
from storelab.envs.core.fuzz import Findings, fuzz
from storelab.envs.core.task import Task
from storelab.envs.registry import environments
from storelab.errors import FieldError
from tqdm import tqdm

LONGEST = 40  # periods of a problem that a heuristic is tuned on


def heuristic(every: int):
    """Return what gives one in `every` models of short problems a heuristic of its own, tuned on two scenarios."""

    def of(model: Model, seed: int) -> Policy | None:
        if seed % every or model.horizon > LONGEST:
            return None
        rules = rules_of(model)
        kinds = rules.available(model)
        if not kinds:
            return None
        kind = kinds[seed // every % len(kinds)]
        try:
            return rules.tune(kind, Task("fuzz", model.params, type(model)), np.arange(2))
        except FieldError:  # not for these parameters
            return None

    return of


def row(name: str, findings: Findings) -> str:
    refused = sum(findings.refused.values())
    cells = (findings.drawn, findings.valid, refused, f"{findings.slowest:.1f}", len(findings.failed))
    return f"| {name} | " + " | ".join(f"{cell:,}" if isinstance(cell, int) else cell for cell in cells) + " |"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("environments", nargs="*", choices=[[], *environments()], help="by default all")
    parser.add_argument("--count", type=int, default=20_000, help="valid configurations of each")
    parser.add_argument("--seed", type=int, default=0, help="of the first configuration; the others follow")
    parser.add_argument("--heuristics", type=int, default=100, help="one configuration in so many plays one; 0: none")
    parser.add_argument("--show", type=int, default=5, help="failed configurations that are written out")
    options = parser.parse_args()
    warnings.simplefilter("ignore")  # what overflows shows in what is checked
    os.environ["OMP_NUM_THREADS"] = "1"
    play, failed = heuristic(options.heuristics) if options.heuristics else None, []
    print(
        "| environment | drawn | valid | values refused | slowest construction, s | failed |\n|---|---|---|---|---|---|"
    )
    for name in options.environments or environments():
        found, bar = Findings(), tqdm(total=options.count, desc=name, disable=None)
        for found in fuzz(environments()[name], options.count, options.seed, play):
            bar.update(found.valid - bar.n)
        bar.close()
        print(row(name, found), flush=True)
        failed += [(name, *failure) for failure in found.failed]
    for name, seed, changes, what in failed[: options.show]:
        print(f"{name}, seed {seed}: {what}\n    {changes}")
    return min(1, len(failed))


if __name__ == "__main__":
    sys.exit(main())
