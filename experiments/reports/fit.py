"""What `storelab fit` came to: a run's figures, and those of a folder's runs side by side."""

from html import escape
from pathlib import Path

import numpy as np
import pandas as pd

from ...data.sheets import write_csv
from ...learning.base import write_atomic
from ...learning.intervals import intervals
from ..config.settings import FitSettings
from ..runs.folder import Run
from .page import Link, aligned, html_table, note, page, section


def present(run: Run, settings: FitSettings) -> None:
    """Print the figures of a finished run."""
    figures = pd.DataFrame(run.read("figures.json")).T
    print("\n".join(aligned(_columns(figures, "model"))))
    if groups := run.read("groups.json"):
        print("\n".join(["", *aligned(_columns(pd.DataFrame(groups).T, "group of test rows")), ""]))
    for name in ("by_item", "by_month"):
        if (picture := run.folder / f"{name}.png").is_file():
            print(f"what reviews say, {name.replace('_', ' ')}: {picture}, {picture.with_suffix('.csv')}")
    print(f"model, with its card: {run.folder / 'model'}\nall runs side by side: storelab report {run.folder.parent}")


def _columns(table: pd.DataFrame, head: str) -> list[tuple[str, list[str]]]:
    shown = [(head, list(map(str, table.index)))]
    return shown + [(name, ["" if pd.isna(v) else f"{v:,.4g}" for v in table[name]]) for name in table]


def table(fits: pd.DataFrame) -> pd.DataFrame:
    """`intervals` of finished runs, rows of the index with `folder`, `problem` (dataset) and `learner` (model)."""
    rows = []
    for run in fits.to_dict("records"):
        for name, figures in Run(run["folder"]).read("figures.json").items():
            label = run["learner"] if name == run["agent"] else name
            rows.append({"dataset": run["problem"], "model": label, "seed": run["seed"], **figures})
    return intervals(pd.DataFrame(rows), ["dataset", "model"])


def groups(fits: pd.DataFrame) -> pd.DataFrame:
    """`intervals` of the errors by group of finished runs, indexed by model and group; empty where no run has any."""
    rows = [
        {"model": run["learner"], "group": group, "seed": run["seed"], **figures}
        for run in fits.to_dict("records")
        for group, figures in (Run(run["folder"]).read("groups.json") or {}).items()
    ]
    return intervals(pd.DataFrame(rows), ["model", "group"]) if rows else pd.DataFrame()


def write_table(folder: Path, fits: pd.DataFrame) -> None:
    """Print the runs of a folder side by side, a table per dataset; write `sweep.html` and `sweep.csv`."""
    whole = table(fits)
    title, means = f"Fits: {folder.absolute().name}", "Mean over seeds ± half the 95 % interval (Student's t)."
    body = [f"<h1>{escape(title)}</h1>", note(means)]
    print(means)
    for dataset, part in whole.groupby(level="dataset", sort=False):
        part = part.droplevel("dataset").dropna(axis=1, how="all")
        names = [name for name in part if not name.startswith("± ") and name != "seeds"]
        shown = [("model", list(part.index)), ("seeds", [f"{count:.0f}" for count in part["seeds"]])]
        shown += [(name, _with_interval(part, name)) for name in names]
        print("\n".join(["", dataset, *aligned(shown)]))
        body.append(section(dataset, html_table(shown)))
        if not (by := groups(fits[fits["problem"] == dataset])).empty:
            shown = [
                ("model", list(by.index.get_level_values(0))),
                ("group of test rows", list(by.index.get_level_values(1))),
            ]
            shown += [(name, _with_interval(by, name)) for name in by if not name.startswith("± ") and name != "seeds"]
            print("\n".join(["", *aligned(shown)]))
            body.append(section(f"{dataset}: by group of the test rows", html_table(shown)))
    rows = fits[["learner", "seed", "folder"]].to_numpy()
    names = [Link.to(f"{model}, seed {seed}", run / "model" / "README.md", folder) for model, seed, run in rows]
    cards = [("model, with its card", names), ("dataset", list(fits["problem"])), ("folder", list(fits["run"]))]
    body.append(section("Runs", html_table(cards)))
    write_atomic(folder / "sweep.csv", write_csv(whole))
    write_atomic(folder / "sweep.html", page(title, body).encode())
    print(f"\nreport: {folder / 'sweep.html'}")


def _with_interval(part: pd.DataFrame, name: str) -> list[str]:
    half = part.get(f"± {name}", pd.Series(np.nan, part.index))
    return [
        "" if pd.isna(mean) else f"{mean:,.4g}" if pd.isna(width) else f"{mean:,.4g} ± {width:,.2g}"
        for mean, width in zip(part[name], half, strict=True)
    ]
