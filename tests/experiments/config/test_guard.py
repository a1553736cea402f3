"""No configuration runs code, whichever way it comes: each way is tried with a gadget that would leave a mark."""

import subprocess
import sys

import pytest
from storelab.errors import FieldError
from storelab.experiments.config.guard import LOGGING, TARGETS, check

FINE = {
    "callbacks": {},
    "launcher": {"_target_": sorted(TARGETS)[0], "name": "${hydra.job.name}"},
    "job_logging": {"handlers": {"console": {"class": "logging.StreamHandler", "stream": "ext://sys.stdout"}}},
}


@pytest.fixture
def gadget(tmp_path, pickled):
    """Return a pickle that makes a folder when it is loaded, and that folder."""
    return pickled, tmp_path / "ran"


def train(tmp_path, *words):
    command = [sys.executable, "-P", "-m", "storelab.experiments.cli", "train", "task=LostSales", "agent=heuristics"]
    return subprocess.run([*command, *words], cwd=tmp_path, capture_output=True, text=True)


WAYS = [
    "+hydra.callbacks.x={{_target_:pandas.read_pickle,filepath_or_buffer:{gadget}}}",
    "hydra.launcher._target_=pandas.read_pickle",
    "hydra.sweeper._target_=os.system",
    "+hydra.launcher.x={{_target_:pandas.read_pickle,filepath_or_buffer:{gadget}}}",
    "+hydra.job_logging.handlers.x={{class:subprocess.Popen,args:[touch,x]}}",
    "+hydra.job_logging.handlers.x={{class:logging.StreamHandler,stream:'ext://os.environ'}}",
    "+hydra.x={{_target_:os.getcwd}}",
]


@pytest.mark.slow
@pytest.mark.parametrize("way", range(len(WAYS)))
def test_the_command_line_names_no_code(tmp_path, gadget, way):
    path, mark = gadget
    for mode in ([], ["--multirun"]) if way < 2 else ([],):
        done = train(tmp_path, WAYS[way].format(gadget=path), *mode)
        assert done.returncode == 2, done.stderr
        assert len(done.stderr.splitlines()) == 1, done.stderr
        assert done.stderr.startswith("hydra."), done.stderr
    assert not mark.exists()
    assert not (tmp_path / "runs").exists()


def test_a_folder_of_configs_names_no_code(tmp_path, gadget):
    path, mark = gadget
    folder = tmp_path / "mine" / "hydra" / "callbacks"
    folder.mkdir(parents=True)
    (folder / "x.yaml").write_text(f"x:\n  _target_: pandas.read_pickle\n  filepath_or_buffer: {path}\n")
    done = train(tmp_path, "hydra/callbacks=x", "--config-dir", str(tmp_path / "mine"))
    assert done.returncode == 2
    assert done.stderr.startswith("hydra.callbacks: ")
    folder = tmp_path / "mine" / "agent"
    folder.mkdir()
    body = f"# @package hydra\nlauncher:\n  _target_: pandas.read_pickle\n  filepath_or_buffer: {path}\n"
    (folder / "x.yaml").write_text(body)
    done = train(tmp_path, "+agent@hydra=x", "--config-dir", str(tmp_path / "mine"))
    assert done.returncode == 2, done.stderr
    body = (
        f"# @package hydra.job_logging\nhandlers:\n  x:\n    (): pandas.read_pickle\n    filepath_or_buffer: {path}\n"
    )
    (folder / "x.yaml").write_text(body)
    done = train(tmp_path, "+agent@hydra.job_logging=x", "--config-dir", str(tmp_path / "mine"))
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("hydra.job_logging.handlers.x.()"), done.stderr
    assert not mark.exists()


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"callbacks": "${x}"}, "hydra.callbacks"),
        ({"launcher": "${x}"}, "hydra.launcher"),
        ({"launcher": {"_target_": "${x}"}}, "hydra.launcher._target_"),
        ({"launcher": {"deep": [{"x": "${oc.decode:${y}}"}]}}, r"hydra.launcher.deep\[0\].x"),
        ({"sweeper": {"_target_": "x.Y"}}, "hydra.sweeper._target_"),
        ({"job": {"x": [{"_target_": sorted(TARGETS)[0]}]}}, r"hydra.job.x\[0\]._target_"),
        ({"job_logging": {"handlers": {"a": {"class": "x.Y"}}}}, "hydra.job_logging.handlers.a.class"),
        ({"hydra_logging": {"filters": {"a": {"()": "x.Y"}}}}, r"hydra.hydra_logging.filters.a.\(\)"),
        ({"job_logging": {"root": {"level": "cfg://x"}}}, "hydra.job_logging.root.level"),
    ],
)
def test_what_is_refused(settings, field):
    check(FINE)
    with pytest.raises(FieldError, match=f"^{field}: "):
        check(FINE | settings)


def test_the_lists_are_closed():
    assert all(target.startswith(("hydra._internal.", "hydra_plugins.hydra_")) for target in TARGETS)
    assert all(name.startswith(("logging.", "colorlog.")) for name in LOGGING)
