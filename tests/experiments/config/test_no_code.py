"""Ways of a configuration to code, round about: interpolations, search paths, launchers' shells, runs' own configs."""

import shutil
from contextlib import suppress
from itertools import pairwise

import pytest
import yaml
from storelab.experiments.config.settings import ConfigError
from storelab.experiments.runs.folder import Run
from storelab.experiments.runs.index import read_index

RUN = "{_target_:pandas.read_pickle,filepath_or_buffer:GADGET}"
TRAIN = ("train", "task=LostSales", "agent=heuristics", "env.horizon=60", "--dry-run")
WAYS = {
    "a resolver makes it": ("+hydra.launcher.x=${oc.create:" + RUN + "}", "-m"),
    "round about": ("+hydra.job.x=${oc.create:" + RUN + "}", "+hydra.launcher.x=${hydra.job.x}", "-m"),
    "twice round about": (
        *("+hydra.job.y=${oc.create:{z:" + RUN + "}}", "+hydra.job.x=${oc.select:hydra.job.y.z}"),
        *("+hydra.sweeper.x=${hydra.job.x}", "-m"),
    ),
    "late": ("+hydra.job.x=[" + RUN + "]", "+hydra.launcher.x=${oc.select:hydra.job.x.${hydra.job.num}}", "-m"),
    "by default": ("+hydra.launcher.x=${oc.select:nothing,${oc.create:" + RUN + "}}", "-m"),
    "from the environment": ("+hydra.launcher.x=${oc.decode:${oc.env:GADGET_TEXT}}", "-m"),
    "deprecated": ("+hydra.help.x=" + RUN, "+hydra.launcher.x=${oc.deprecated:hydra.help.x}", "-m"),
    "in a list": ("+hydra.launcher.x=[[" + RUN + "]]", "-m"),
    "partly": ("+hydra.launcher.x={_target_:'pandas.${oc.env:TAIL}',_partial_:true}", "-m"),
    "in logging, round about": (
        *("+hydra.job.x=${oc.create:{class:subprocess.Popen,args:[mkdir,RAN]}}",),
        *("+hydra.job_logging.handlers.x=${hydra.job.x}",),
    ),
    "a factory": ("+hydra.job_logging.handlers.x={'()':os.mkdir,path:RAN}",),
    "an attribute": ("+hydra.hydra_logging.formatters.x={'.':{a:b}}",),
    "a log over a file": ("+hydra.job_logging.handlers.x={class:logging.FileHandler,filename:.bashrc}",),
    "an external": ("+hydra.job_logging.handlers.x={class:logging.StreamHandler,level:'ext://os.environ'}",),
    "a shell of Slurm's": ("hydra/launcher=submitit_slurm", "hydra.launcher.setup=[mkdir RAN]", "-m"),
    "Slurm's parameters": ("hydra/launcher=submitit_slurm", "+hydra.launcher.additional_parameters.x=y", "-m"),
    "Python's": ("hydra/launcher=submitit_local", "+hydra.launcher.python=RAN", "-m"),
    "Ray's": ("+hydra.launcher.ray.init.runtime_env.worker_process_setup_hook=os.getcwd", "-m"),
    "the loader's": ("+hydra.job.env_set.LD_PRELOAD=RAN",),
    "Python's path": ("+hydra.job.env_set.PYTHONPATH=RAN",),
    "a package": ("hydra.searchpath=[pkg://evil]",),
    "a package below": ("hydra.searchpath=[file:///tmp,pkg://evil.conf]",),
    "a learner": ("+agent._target_=os.getcwd",),
    "an environment": ("+env.x={_target_:os.getcwd}",),
    "data": ("data=synthetic", "task=SyntheticStore", "+data.x=[{_target_:os.getcwd}]"),
    "another folder": ("--config-path", "RAN"),
    "another config": ("--config-name", "evil"),
    "a pickled job": ("--experimental-rerun", "GADGET"),
}


@pytest.fixture
def gadget(tmp_path, pickled):
    (tmp_path / "evil" / "conf").mkdir(parents=True)
    for place in (tmp_path / "evil", tmp_path / "evil" / "conf"):
        (place / "__init__.py").write_text(f"import os\nos.mkdir({str(tmp_path / 'ran')!r})\n")
    return pickled


def one_line(done) -> None:
    assert done.status == 2, (done.status, done.out, done.err)
    assert len(done.err.splitlines()) == 1, done.err


@pytest.mark.parametrize("way", WAYS)
def test_no_way_leads_to_code(tmp_path, gadget, storelab, way):
    words = [word.replace("GADGET}", f"{gadget}}}").replace("RAN", str(tmp_path / "ran")) for word in WAYS[way]]
    environment = {"GADGET_TEXT": RUN.replace("GADGET", str(gadget)), "TAIL": "read_pickle"}
    done = storelab(tmp_path, *TRAIN, *words, PYTHONPATH=str(tmp_path), **environment, fresh="pkg" in str(words))
    one_line(done)
    assert not (tmp_path / "ran").exists()
    assert not (tmp_path / "runs").exists()


TORN = ("a: [*a]", "a: 'x", "\0", "a: !!x y", "7")
DEEP = {"list": "[" * 5000 + "]" * 5000, "map": "{a: " * 5000 + "}" * 5000}


def bomb(levels: int = 30) -> str:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n + 1}: &a{n + 1} [{', '.join([f'*a{n}'] * 9)}]" for n in range(levels)]
    return "\n".join(lines) + "\n"


@pytest.mark.slow
@pytest.mark.parametrize("text", [bomb(), *(f"a: {text}\n" for text in DEEP.values()), *TORN])
def test_a_hostile_yaml_of_a_folder_ends_in_one_line(tmp_path, storelab, text):
    folder = tmp_path / "mine" / "agent"
    folder.mkdir(parents=True)
    (folder / "x.yaml").write_text(text)
    one_line(storelab(tmp_path, *TRAIN, "agent=x", "--config-dir", str(tmp_path / "mine")))
    (tmp_path / "mine" / "train.yaml").write_text(text)
    done = storelab(tmp_path, *TRAIN, "hydra.searchpath=[file://mine]", "+agent@x=x")
    assert done.status == 2
    assert len(done.err.splitlines()) == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    "words",
    [
        ["+a=[1,1,1,1,1,1,1,1]", *(f"+{b}=[{','.join([f'${{{a}}}'] * 8)}]" for a, b in pairwise("abcdefghi"))],
        ["+a=" + "[" * 90 + "]" * 90],
        ["+a=${a}"],
        ["+a=${b}", "+b=${a}"],
        ["+a={b:${a}}"],
        ["experiment=${experiment}"],
    ],
    ids=["repeated", "deep", "itself", "circle", "within itself", "a known key"],
)
def test_interpolations_that_explode_end_in_one_line(tmp_path, storelab, words):
    one_line(storelab(tmp_path, *TRAIN, *words))


@pytest.fixture(scope="module")
def finished_run(storelab, tmp_path_factory):
    small = ("evaluation.episodes=8", "evaluation.tuning_episodes=4")
    done = storelab(tmp_path_factory.mktemp("made"), *TRAIN[:-1], *small)
    assert done.status == 0, done.err
    return done.run


HOSTILE = {
    "a target": lambda config: yaml.safe_dump(config | {"agent": {"_target_": "os.getcwd"}}),
    "a target below": lambda config: yaml.safe_dump(config | {"env": {"demand": [{"_target_": "os.getcwd"}]}}),
    "a tag": lambda config: "!!python/object/apply:os.mkdir [ran]\n",
    "a name": lambda config: yaml.safe_dump(config | {"choices": config["choices"] | {"agent": "os.getcwd"}}),
    "an alias bomb": lambda config: bomb() + yaml.safe_dump(config),
    "deep": lambda config: "x: " + DEEP["list"] + "\n" + yaml.safe_dump(config),
    "no mapping": lambda config: "[1, 2]\n",
    "a number": lambda config: "7\n",
    "nothing": lambda config: "",
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", HOSTILE)
def test_a_runs_own_config_names_no_code(tmp_path, storelab, finished_run, kind):
    run = tmp_path / "runs" / "LostSales" / finished_run.name
    shutil.copytree(finished_run, run)
    (run / "config.yaml").write_text(HOSTILE[kind](yaml.safe_load((run / "config.yaml").read_text())))
    for command in ("evaluate", "report"):
        one_line(storelab(tmp_path, command, f"run={run}"))
    done = storelab(tmp_path, "report", "runs/LostSales")
    assert len(done.err.splitlines()) <= 1
    assert "Traceback" not in done.err
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("name", ["status.json", "provenance.json", "heuristics.json", "results.json"])
@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000, "7", "[1]", "null", '"x"', "{}", "1" * 5000, ""])
def test_a_runs_hostile_json_ends_in_one_line(tmp_path, finished_run, name, text):
    run = tmp_path / "runs" / "LostSales" / finished_run.name
    shutil.copytree(finished_run, run)
    (run / name).write_text(text)
    with suppress(ConfigError):
        Run(run).read(name)
    assert len(read_index(tmp_path / "runs")) == 1
