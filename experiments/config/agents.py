"""Whose settings an option of the group `agent` holds: some are found for the tasks of one environment."""

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from ...envs.registry import entries, entry_of, environments
from .errors import ConfigError

PLAIN = "heuristics"  # without a learner: it fits every environment, also where it is some task's own


def own_agent(task: str) -> str:
    """Return the option of `agent` that a task is trained with where none is named; "": the command's default."""
    entry = entry_of(task)
    return entry.agent or environments()[entry.environment].agent


def agents_of(task: str) -> list[str]:
    """Return the options that are some task's own, of the tasks of the same environment."""
    environment = entry_of(task).environment
    own = [own_agent(name) for name, entry in entries().items() if entry.environment == environment]
    return sorted({environments()[environment].agent, *own} - {"", PLAIN})


def all_agents() -> set[str]:
    """Return the options that are some task's own."""
    return {option for name in entries() for option in agents_of(name)}


def whose(task: str, option: str | None) -> str | None:
    """Say whose settings an option holds, where the task has others of the same algorithm; else None."""
    own = own_agent(task)
    if option is None or not own or own == option or own.partition("_")[0] != option.partition("_")[0]:
        return None
    of = [name for name in entries() if own_agent(name) == option]
    theirs = f"those of {', '.join(of)}" if of else "the general ones"
    return f"agent={option}: its settings are {theirs}; found for {task} are those of agent={own}"


def chosen() -> str | None:
    """Return the option of `agent` that the job of Hydra's at hand was started with; None outside of one."""
    return HydraConfig.get().runtime.choices.get("agent") if HydraConfig.initialized() else None


def check_agent(config: DictConfig) -> None:
    """Raise a ConfigError where a job's option of `agent` is another environment's own."""
    if OmegaConf.is_missing(config, "task") or not isinstance(config.task, DictConfig):
        return
    name, option = config.task.get("name"), chosen()
    if name in entries() and option in all_agents() and option not in agents_of(name):
        of = sorted({entry_of(task).environment for task in entries() if option in agents_of(task)})
        allowed = " or ".join([f"agent={one}" for one in agents_of(name)] or ["one that is no environment's own"])
        because = f"it holds settings for {' and '.join(of)}"
        raise ConfigError(f"agent: {option!r} is not allowed with task={name}, expected {allowed}: {because}")
