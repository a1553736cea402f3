"""A configuration cannot run code: all that Hydra would make of one is checked as soon as it is composed.

Hydra instantiates its launcher, its sweeper and callbacks, and hands its logging settings to `logging.config`, which
makes classes by name. Any of them could be named on the command line or in a YAML of `--config-dir`. Only what is
listed here is allowed, whatever the config says.
"""

import hydra._internal.hydra as hydra_main
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from omegaconf import OmegaConf

from ...errors import FieldError
from .settings import ConfigError

TARGETS = {  # what launchers and sweepers Hydra may make
    "hydra._internal.core_plugins.basic_launcher.BasicLauncher",
    "hydra._internal.core_plugins.basic_sweeper.BasicSweeper",
    "hydra_plugins.hydra_joblib_launcher.joblib_launcher.JoblibLauncher",
    "hydra_plugins.hydra_submitit_launcher.submitit_launcher.LocalLauncher",
    "hydra_plugins.hydra_submitit_launcher.submitit_launcher.SlurmLauncher",
    "hydra_plugins.hydra_ray_launcher.ray_launcher.RayLauncher",
}
LOGGING = {"logging.StreamHandler", "logging.FileHandler", "logging.Formatter", "colorlog.ColoredFormatter"}
STREAMS = {"ext://sys.stdout", "ext://sys.stderr"}
PLACES = ("launcher", "sweeper")  # of targets
LOGS = ("job_logging", "hydra_logging")
SHOWN = "one of the launchers and sweepers that storelab[launch] brings"


class CheckedLoader(ConfigLoaderImpl):
    """Hydra's loader of configs, which refuses those that name code; launchers' workers get it as well."""

    def load_configuration(self, *args, **kwargs):
        """Compose a config; raises ConfigError where it names code."""
        config = super().load_configuration(*args, **kwargs)
        try:
            check(OmegaConf.to_container(config.hydra, resolve=False))
        except FieldError as error:
            raise ConfigError(str(error)) from error
        return config


def install() -> None:
    """Let Hydra compose with the checked loader from now on."""
    hydra_main.ConfigLoaderImpl = CheckedLoader


def check(settings: dict) -> None:
    """Raise a FieldError where Hydra's own settings name code that is not listed here; interpolations count as such."""
    if settings.get("callbacks"):
        raise FieldError("hydra.callbacks", settings["callbacks"], "none: a configuration runs no code")
    for group, value in settings.items():
        _walk(f"hydra.{group}", group, value)


def _walk(place: str, group: str, value) -> None:
    if isinstance(value, dict):
        for key, inner in value.items():
            at = f"{place}.{key}"
            if key == "_target_" and (group not in PLACES or inner not in TARGETS):
                raise FieldError(at, inner, SHOWN)
            if group in LOGS and (key == "()" or (key in ("class", "factory") and inner not in LOGGING)):
                raise FieldError(at, inner, f"one of {', '.join(sorted(LOGGING))}")
            _walk(at, group, inner)
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            _walk(f"{place}[{number}]", group, inner)
    elif isinstance(value, str) and group in (*PLACES, *LOGS):
        if group in LOGS and "://" in value and value not in STREAMS:
            raise FieldError(place, value, f"one of {', '.join(sorted(STREAMS))}")
        if value.startswith("${") and not value.startswith(("${hydra.", "${oc.env:")):  # it may stand for a whole node
            raise FieldError(place, value, "a value, or an interpolation of hydra.* or oc.env")
