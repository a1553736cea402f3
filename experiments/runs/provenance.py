"""What a result came from: versions, code, data and device, and the hashes that tell two runs apart."""

import hashlib
import importlib.metadata
import json
import os
import platform
import shlex
import subprocess
from functools import cache
from pathlib import Path

from ...data.encryption import is_encrypted
from ...plugins import folders, packages
from ...reading import check_file, plain_bytes

ROOT = Path(__file__).parents[2]
PACKAGES = (  # what a result may depend on
    "storelab",
    "numpy",
    "pandas",
    "pyarrow",
    "gymnasium",
    "torch",
    "transformers",
    "chronos-forecasting",
    "statsforecast",
    "lightgbm",
    "captum",
    "stable-baselines3",
    "safetensors",
    "hydra-core",
    "omegaconf",
    "matplotlib",
)


def digest(value) -> str:
    """SHA-256 of a value of plain types."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


@cache
def code_hash(*parts: str) -> str:
    """Return SHA-256 over the files of the package and of the plug-ins' packages: code, configs, shipped weights.

    With `parts`, over these folders of the package alone, and the plug-ins' packages.
    """
    ours = [ROOT / part for part in parts or sorted(init.parent.name for init in ROOT.glob("*/__init__.py"))]
    ours += [] if parts else [*ROOT.glob("[a-z]*.py")]  # the leaves: errors, plugins, ...
    total = hashlib.sha256()
    for root, places in ((ROOT, ours), *((place.parent, [place]) for place in folders())):
        for path in sorted(path for place in places for path in _files(place)):
            total.update(path.relative_to(root).as_posix().encode() + hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()


def _files(place: Path) -> list[Path]:
    """The files of a folder, or a file itself."""
    paths = place.rglob("*") if place.is_dir() else [place]
    return [path for path in paths if path.is_file() and "__pycache__" not in path.parts]


def source_hash(path: str | Path) -> str:
    """SHA-256 over a data file, or over the files of a folder (their names and contents), of encrypted ones decrypted.

    Names that begin with a point are no data: leases and journals.
    Raises FieldError for a pipe, a device and the like, OSError for what cannot be read.
    """
    path = Path(path)
    own = lambda p: p.is_file() and not p.name.startswith(".")
    files = sorted(filter(own, path.iterdir())) if path.is_dir() else [path]
    total = hashlib.sha256()
    for file in files:
        with check_file(file).open("rb") as content:
            digest = hashlib.file_digest(content, "sha256").digest()
        if is_encrypted(file):
            digest = hashlib.sha256(plain_bytes(file)).digest()
        total.update(file.name.encode() + digest)
    return total.hexdigest()


def versions() -> dict[str, str]:
    """Return the versions of Python, of the packages that a result may depend on, and of the plug-ins' packages."""
    installed = {"python": platform.python_version(), "platform": platform.platform()}
    for name in (*PACKAGES, *packages()):
        try:
            installed[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            installed[name] = "not installed"
    return installed


def git_commit() -> str | None:
    """The commit of the checkout that the package runs from, with "+changes" where files differ; None outside git."""

    def git(*words: str) -> str:
        command = ["git", "-C", str(ROOT), *words]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()

    try:
        if Path(git("rev-parse", "--show-toplevel")) != ROOT:
            return None  # an installed package inside someone else's repository
        return git("rev-parse", "HEAD") + ("+changes" if git("status", "--porcelain") else "")
    except (OSError, subprocess.SubprocessError):
        return None


def device() -> dict[str, object]:
    """The device that `auto` means here, and the threads that torch uses."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    try:
        import torch
    except ImportError:
        return {"device": "cpu (torch is not installed)", "cores": cores}
    name = f"cuda ({torch.cuda.get_device_name()})" if torch.cuda.is_available() else "cpu"
    return {"device": name, "cores": cores, "threads": torch.get_num_threads()}


def command_line() -> str:
    """The command that this job of Hydra's was started by (of a sweep: this one job)."""
    from hydra.core.hydra_config import HydraConfig
    from omegaconf import OmegaConf

    if not HydraConfig.initialized():
        return "from Python"
    job = HydraConfig.get()
    overrides = OmegaConf.to_container(job.overrides.task, resolve=False)  # values of the environment are not written
    return shlex.join(["storelab", job.job.config_name, *overrides])


def provenance(data: str, command: str | None = None) -> dict:
    """What `provenance.json` says of a run; `data` is the hash of its data, `command` what made it (None: Hydra's)."""
    return {
        "command": command or command_line(),
        "versions": versions(),
        "git": git_commit(),
        "code": code_hash(),
        "data": data,
        **device(),
    }
