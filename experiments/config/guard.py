"""A configuration cannot run code: all that Hydra would make of one is checked as soon as it is composed.

Hydra instantiates its launcher, its sweeper and callbacks, and hands its logging settings to `logging.config`, which
makes classes by name. Any of them could be named on the command line or in a YAML of `--config-dir`. Only what is
listed here is allowed, whatever the config says: what stands in it is checked as soon as it is composed, interpolations
as what they stand for; and where Hydra looks up what to make by its name, it finds these names alone.

Configs come from our package, from those of plug-ins and from folders, as YAML files of bounded size and depth.
"""

import os
import re
from contextlib import contextmanager
from importlib import resources
from pathlib import Path

import hydra._internal.core_plugins.file_config_source as folders
import hydra._internal.core_plugins.importlib_resources_config_source as packages
import hydra._internal.hydra as hydra_main
import hydra._internal.instantiate._instantiate2 as making
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.sources_registry import SourcesRegistry
from hydra.core.plugins import Plugins
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from ...errors import FieldError
from ...plugins import plugins
from ...reading import MEGABYTE, check_yaml, read_bytes
from . import environment
from .errors import ConfigError, one_line
from .plain import plain

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
CODE = {  # settings of launchers that hold commands of a shell, or have Python import something
    *("setup", "python", "srun_args", "additional_parameters"),
    *("runtime_env", "worker_process_setup_hook", "job_config", "_system_config"),
}
ENVIRONMENT = {  # what `hydra.job.env_set` may set: other variables say what a process loads
    *("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS", "CUDA_VISIBLE_DEVICES"),
}
NODES = 10_000  # values of a YAML file, aliases written out: what Hydra composes in a second or two
PATH = re.compile(r"(\$\{(hydra[.:]|oc\.env:)[\w.]+\}|[^$])*")  # interpolations that may be open until a job runs
SHOWN = "one of the launchers and sweepers that storelab[launch] brings"


class CheckedLoader(ConfigLoaderImpl):
    """Hydra's loader of configs, which refuses those that name code; launchers' workers get it as well."""

    def load_configuration(self, *args, **kwargs):
        """Compose a config; raises ConfigError where it names code."""
        install()
        config = super().load_configuration(*args, **kwargs)
        try:
            check(OmegaConf.to_container(config.hydra, resolve=False))
            check(plain(config.hydra, "hydra"))
        except FieldError as error:
            raise ConfigError(str(error)) from error
        return config


class FileConfigSource(folders.FileConfigSource):
    """A folder of configs; Hydra knows the class by this name."""

    def load_config(self, config_path: str):
        """Read a config; raises ConfigError where its file is too large, or has too much or too deep parts."""
        name = self._normalize_file_name(config_path)
        path = Path(self.path, name)
        if path.is_file():
            _look(name, path)
        with _readable(name):
            return super().load_config(config_path)


class ImportlibResourcesConfigSource(packages.ImportlibResourcesConfigSource):
    """A package of configs, ours, Hydra's or a plug-in's: Python imports it to find them."""

    def __init__(self, provider: str, path: str):
        super().__init__(provider, path)
        known = ["storelab.conf", "hydra.conf", *(plugin.config for plugin in plugins().values() if plugin.config)]
        if self.path not in known and not self.path.startswith("hydra_plugins."):
            raise ConfigError(f"hydra.searchpath: {path!r} is not allowed, expected folders, or pkg:// of a plug-in")

    def load_config(self, config_path: str):
        """Read a config; raises as that of a folder."""
        name = self._normalize_file_name(config_path)
        with resources.as_file(resources.files(self.path).joinpath(name)) as path:
            if path.is_file():
                _look(name, path)
        with _readable(name):
            return super().load_config(config_path)


def _look(name: str, path: Path) -> None:
    with _readable(name):
        check_yaml(read_bytes(path, MEGABYTE), name, NODES)


@contextmanager
def _readable(name: str):
    try:
        yield
    except FieldError as error:
        raise ConfigError(str(error)) from error
    except (ValueError, TypeError, OSError, YAMLError, OmegaConfBaseException) as error:
        raise ConfigError(f"{name} is no config: {one_line(error)}") from error


def install() -> None:
    """From now on Hydra composes with the checked loader, reads files within bounds and makes what is listed alone."""
    hydra_main.ConfigLoaderImpl = CheckedLoader
    environment.install()
    Plugins.instance()  # which registers Hydra's own
    for source in (FileConfigSource, ImportlibResourcesConfigSource):
        SourcesRegistry.instance().types[source.scheme()] = source
    if making._resolve_target is not _listed:
        making._resolve_target = _listed


_resolve = making._resolve_target


def _listed(target, full_key: str):
    name = target if isinstance(target, str) else f"{target.__module__}.{target.__qualname__}"
    if name not in TARGETS:
        raise ConfigError(str(FieldError(f"{full_key or 'hydra'}._target_", name, SHOWN)))
    return _resolve(target, full_key)


def check(settings: dict) -> None:
    """Raise a FieldError where Hydra's own settings name code that is not listed here; interpolations count as such."""
    if settings.get("callbacks"):
        raise FieldError("hydra.callbacks", settings["callbacks"], "none: a configuration runs no code")
    for name, value in ((settings.get("job") or {}).get("env_set") or {}).items():
        if name not in ENVIRONMENT and os.environ.get(name) != value:  # `env_copy` sets what is set
            raise FieldError("hydra.job.env_set", name, f"one of {', '.join(sorted(ENVIRONMENT))}")
    for group, value in settings.items():
        _walk(f"hydra.{group}", group, value)


def _walk(place: str, group: str, value) -> None:
    if isinstance(value, dict):
        for key, inner in value.items():
            at = f"{place}.{key}"
            if key == "_target_" and (group not in PLACES or inner not in TARGETS):
                raise FieldError(at, inner, SHOWN)
            if group in PLACES and key in CODE and inner not in (None, "", [], {}):
                raise FieldError(at, inner, "nothing: a configuration runs no code")
            if group in LOGS and key == "filename" and not str(inner).endswith(".log"):
                raise FieldError(at, inner, "a name that ends in .log")
            if group in LOGS and (key in ("()", ".") or (key in ("class", "factory") and inner not in LOGGING)):
                raise FieldError(at, inner, f"one of {', '.join(sorted(LOGGING))}")
            _walk(at, group, inner)
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            _walk(f"{place}[{number}]", group, inner)
    elif isinstance(value, str) and group in (*PLACES, *LOGS):
        if group in LOGS and "://" in value and value not in STREAMS:
            raise FieldError(place, value, f"one of {', '.join(sorted(STREAMS))}")
        if value.startswith("${") and not PATH.fullmatch(value):  # it may stand for a whole node
            raise FieldError(place, value, "a value, or an interpolation of hydra.* or oc.env")
