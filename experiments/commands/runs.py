"""`storelab runs`: the runs that there are, what one holds, how two differ, and which can go."""

import json
import shutil
import sys
from pathlib import Path

import pandas as pd

from ...evaluation import mean_interval
from ..config.settings import ConfigError
from ..reports.page import aligned, bracket
from ..runs.folder import Run
from ..runs.index import NAME, flat, read_index, select, swept, unflat

USAGE = """usage: storelab runs [list] [KEY=VALUE[,VALUE] ...]
       storelab runs show RUN
       storelab runs compare RUN RUN
       storelab runs clean [KEY=VALUE ...] [--yes]

  list       show a table of the runs, with the first line of each error
  show       show a run's config, provenance and results
  compare    show differences in config and provenance, and the results, paired where the scenarios are the same
  clean      list failed and killed runs; with --yes delete them

KEY is a key of the config (env.horizon, agent.gamma), or run, experiment, seed, command, task, agent, state (finished,
failed, running, unfinished, damaged). runs=FOLDER is the folder of all runs (default: runs). RUN is a run's folder."""


def runs(args: list[str]) -> int:
    """Do one of them; return the exit status."""
    if "--help" in args or "-h" in args:
        print(USAGE)
        return 0
    what = args.pop(0) if args and args[0] in ("list", "show", "compare", "clean") else "list"
    try:
        if what == "show" and len(args) == 1:
            show(*args)
        elif what == "compare" and len(args) == 2:
            compare(*args)
        elif what == "clean":
            return clean([arg for arg in args if arg != "--yes"], delete="--yes" in args)
        elif what == "list":
            _list(_selected(args)[1])
        else:
            raise ConfigError(f"{what}: {len(args)} runs are not allowed, expected {1 + (what == 'compare')}")
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def _selected(filters: list[str]) -> tuple[Path, pd.DataFrame]:
    """The folder of `runs=FOLDER`, and the part of its index that the other filters leave."""
    places = [text.partition("=")[2] for text in filters if text.startswith("runs=")]
    folder = Path(places[-1] if places else "runs")
    return folder, select(read_index(folder), [text for text in filters if not text.startswith("runs=")])


def _list(index: pd.DataFrame) -> None:
    if index.empty:
        print("no such runs")
        return

    def figures(name: str, form: str) -> list[str]:
        return ["" if pd.isna(value) else format(value, form) for value in index[name]]

    shown = [(name, list(index[name])) for name in ("run", "state", "task", "agent")]
    if any(told := swept(index)):
        shown.append(("swept", told))
    shown += [("result", figures("value", ",.4g" if index["value"].abs().max() < 1000 else ",.0f"))]
    shown += [("of policy", list(index["policy"])), ("better than the best heuristic by", figures("better", "+,.4g"))]
    shown += [("gap, %", figures("gap_percent", ".2f"))]
    units = [", ".join(filter(None, pair)) for pair in index[["objective", "unit"]].to_numpy()]
    print("\n".join(aligned([*shown, ("result is, unit", units)])))
    counts = ", ".join(f"{count} {state}" for state, count in index["state"].value_counts().items())
    print(f"\n{len(index)} runs: {counts}")
    for run, error in index.loc[index["error"] != "", ["run", "error"]].to_numpy():
        print(f"  {run}: {error}")


def _row(folder: str) -> pd.Series:
    """The row of a run's folder."""
    path = Path(folder)
    if not (NAME.fullmatch(path.name) and path.is_dir()):
        raise ConfigError(f"run: {folder!r} is not allowed, expected the folder of a run")
    index = read_index(path.absolute().parents[1])
    return index[index["run"] == f"{path.absolute().parent.name}/{path.name}"].iloc[0]


def show(folder: str) -> None:
    """Print a run's state, config, provenance and results."""
    row, run = _row(folder), Run(folder)
    _list(pd.DataFrame([row]))
    print(f"\nstage: {row['stage']}, {row['time']}\n\nconfig\n{unflat(row['config'])}")
    came = flat(run.read("provenance.json") or {})
    print("\n".join(["provenance", *aligned([("key", list(came)), ("value", list(map(str, came.values())))])]))
    results = run.read("results.json")
    if results:
        print(f"\n{', '.join(filter(None, (row['objective'], row['unit'])))}")
        table = pd.DataFrame(results["policies"]).T
        print(table.filter(["value", "ci_low", "ci_high", "better"]).to_string())


def compare(first: str, second: str) -> None:
    """Print where two runs differ, and their results side by side."""
    rows, folders = [_row(folder) for folder in (first, second)], [Run(folder) for folder in (first, second)]
    for head, (a, b) in {
        "config": [json.loads(row["config"]) for row in rows],
        "provenance": [flat(run.read("provenance.json") or {}) for run in folders],
    }.items():
        keys = [key for key in {**a, **b} if a.get(key) != b.get(key) and key != "command"]
        columns = [
            ("key", keys),
            *((run, [str(side.get(key, "")) for key in keys]) for run, side in (("A", a), ("B", b))),
        ]
        print("\n".join([f"{head}: {len(keys)} differ", *(aligned(columns) if keys else [])]))
    results = [run.read("results.json") for run in folders]
    if not all(results):
        print("results: not both have any")
        return
    units = [f"{result['objective']}, {result['unit']}" for result in results]
    print(f"results: {' and '.join(dict.fromkeys(units))}")
    policies = [result["policies"] for result in results]
    names = list(dict.fromkeys([*policies[0], *policies[1]]))
    columns = [[f"{side[name]['value']:,.4f}" if name in side else "" for name in names] for side in policies]
    print("\n".join(aligned([("policy", names), ("A", columns[0]), ("B", columns[1])])))
    print(_paired(rows, folders))


def _paired(rows: list[pd.Series], folders: list[Run]) -> str:
    """The difference of the runs' own policies over the same scenarios, where they had the same."""
    parts = ("task.", "env.", "data.", "forecaster.", "evaluation.", "choices.env", "choices.data")
    problems = [{k: v for k, v in json.loads(row["config"]).items() if k.startswith(parts)} for row in rows]
    if not all((folder.folder / "eval.parquet").is_file() for folder in folders):
        return "not paired: not both have episodes"
    if problems[0] != problems[1] or len({(row["code"], row["data"]) for row in rows}) > 1:
        return "not paired: their tasks, evaluations, data or code differ"
    values = [
        run.episodes().query("policy == @name").set_index("seed")["value"]
        for run, name in zip(folders, (row["policy"] for row in rows), strict=True)
    ]
    difference = (values[0] - values[1]).to_frame()
    low, high = mean_interval(difference)[:, 0]
    names = [f"{side}'s {row['policy']}" for side, row in zip("AB", rows, strict=True)]
    return (
        f"{' less '.join(names)}: {difference.iloc[:, 0].mean():+,.4f} {rows[0]['unit']} ({rows[0]['objective']})"
        f"{bracket(low, high, ',.4f', ', 95 % CI ')}, paired over {len(difference)} scenarios"
    )


def clean(filters: list[str], delete: bool = False) -> int:
    """List failed and killed runs, or delete them; return the exit status."""
    folder, index = _selected(filters)
    index = index[index["state"].isin(["failed", "unfinished"])]
    _list(index)
    if not delete:
        print("nothing was deleted: --yes deletes these" if len(index) else "nothing to delete")
        return 0
    kept = 0
    for run in index["run"]:
        try:
            with Run(folder / run).alone():
                if Run(folder / run).done:
                    raise ConfigError("it is finished by now")
                shutil.rmtree(folder / run)
            print(f"deleted {run}")
        except (ConfigError, OSError) as error:
            kept += 1
            print(f"{run} is not deleted: {error}", file=sys.stderr)
    return 1 if kept else 0
