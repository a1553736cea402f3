"""Pre-trained agents: each is a whole run, plays as it did when it was made, and is asked for by name."""

import pytest
from storelab.evaluation import evaluate
from storelab.experiments.config.errors import ConfigError
from storelab.experiments.experiment import learnt
from storelab.experiments.inputs import build
from storelab.experiments.runs.folder import Run
from storelab.experiments.runs.shipped import named, tasks, unpacked
from storelab.experiments.studies.pretrained import pack


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("name", tasks())
def test_an_agent_plays_as_it_did(name):
    run = Run(named(name))
    assert run.damage() is None
    settings, known = run.settings(), run.episodes()
    task = build(settings)
    assert task.name == name
    policy, agent = learnt(run, task, settings), settings.agent.name
    assert policy is not None
    seeds = known["seed"].unique()[:2]
    played = evaluate({agent: policy}, task, seeds).set_index("seed")["value"]
    before = known[known["policy"] == agent].set_index("seed")["value"]
    for seed in seeds:  # another processor may round another way
        assert played[seed] == pytest.approx(before[seed], rel=0.02)


def test_a_copy_is_made_once(tmp_path):
    place = unpacked(named("LostSales"))
    assert place.is_dir()
    assert place.resolve().is_relative_to(tmp_path)
    (place / "mark").touch()
    assert unpacked(named("LostSales")) == place
    assert (place / "mark").exists()
    assert [path.name for path in place.parent.iterdir()] == [place.name]


def test_an_agent_that_does_not_ship_is_refused():
    with pytest.raises(ConfigError, match=r"run: 'pretrained:Nowhere' is not allowed, expected one of .*LostSales"):
        Run("pretrained:Nowhere")


def test_a_run_without_a_learner_is_not_packed(tmp_path):
    run = Run(unpacked(named("LostSales")))
    run.write("choice.json", run.read("choice.json") | {"rule": "base_stock"})
    assert "kept no learner" in pack(run)
