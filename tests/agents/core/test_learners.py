"""Learners by name: ours and plug-ins'; one home of their defaults; streams of training that no other purpose has."""

from dataclasses import asdict
from importlib import resources

import numpy as np
import pytest
import yaml
from storelab import plugins
from storelab.agents.core.learners import LEARNERS
from storelab.envs import TASKS
from storelab.envs.core.seeds import PURPOSES, purpose_seeds
from storelab.errors import FieldError

pytest.importorskip("stable_baselines3")
from storelab.agents.evolution import EvolutionParams
from storelab.agents.improvement import ImprovementParams
from storelab.agents.llm import LLMParams
from storelab.agents.pathwise import PathwiseParams
from storelab.agents.sb3 import SB3Learner, SB3Params


def test_every_learner_has_what_the_contract_says():
    assert list(LEARNERS)[:5] == ["sb3", "pathwise", "evolution", "improvement", "llm"]
    for name in LEARNERS:
        module = LEARNERS[name]
        params = module.Params()
        assert params.total_steps > 0
        assert params.name
        assert callable(module.check)
        if hasattr(module, "acting"):  # it learns nothing
            continue
        for method in ("learn", "save", "load", "policy", "due", "steps"):
            assert hasattr(module.Learner, method) or name == "pathwise"
        assert callable(module.load_policy)


def test_an_unknown_learner_is_refused():
    assert "dreamer" not in LEARNERS
    with pytest.raises(
        FieldError, match="learner: 'dreamer' is not allowed, expected one of sb3, pathwise, evolution, imp"
    ):
        LEARNERS["dreamer"]


def test_a_plug_in_adds_a_learner(monkeypatch):
    place = "storelab.agents.evolution"
    monkeypatch.setattr(plugins, "plugins", lambda: {"mine": plugins.Plugin(learners={"mine": place})})
    assert LEARNERS["mine"] is LEARNERS["evolution"]
    assert len(LEARNERS) == 6
    monkeypatch.setattr(plugins, "plugins", lambda: {"mine": plugins.Plugin(learners={"sb3": place})})
    with pytest.raises(FieldError, match="learners: 'sb3' is not allowed, expected a name that is not taken"):
        LEARNERS["mine"]


def written(option: str) -> dict:
    """Return what an option of `agent` says itself."""
    values = yaml.safe_load((resources.files("storelab.conf") / "agent" / f"{option}.yaml").read_text())
    return {name: value for name, value in values.items() if name != "defaults"}


@pytest.mark.parametrize(
    ("option", "kind"),
    [
        ("ppo", SB3Params),
        ("pathwise", PathwiseParams),
        ("evolution", EvolutionParams),
        ("improvement", ImprovementParams),
        ("llm", LLMParams),
    ],
)
def test_python_and_the_command_line_have_the_same_defaults(option, kind):
    assert asdict(kind(**written(option))) == asdict(kind())


@pytest.mark.parametrize("option", ["a2c", "sac", "td3", "dqn"])
def test_an_algorithm_without_a_gaussian_of_its_own_has_no_first_deviation(option):
    params = SB3Params(**written(option))
    assert params.log_std_init == 0
    assert params.hyper == written(option)["hyper"]


def test_what_is_given_goes_over_the_algorithms_defaults():
    params = SB3Params(hyper={"n_steps": 8})
    assert params.hyper == {**SB3Params().hyper, "n_steps": 8}
    assert SB3Params("SAC").hyper == {}


@pytest.mark.parametrize("seed", [0, 3, 1100, 1200, 2**31 - 1])
def test_a_learner_trains_on_scenarios_that_no_other_purpose_has(seed):
    """With the seed 1100 PPO once trained on the scenarios of its own learning curve."""
    params = SB3Params(num_envs=4, net_arch=[8], device="cpu", hyper={"n_steps": 8, "batch_size": 32})
    learner = SB3Learner(TASKS["LostSales"](horizon=12), params, seed)
    learner.model.env.reset()
    trained_on = learner.envs._batch.keys
    for purpose in PURPOSES:
        others = purpose_seeds(purpose, 1_000_000)
        assert not np.isin(trained_on[:, 0], others.astype(np.uint64)).any()
    assert (trained_on[:, 1] == 0).all()
    assert len(np.unique(trained_on[:, 0])) == 4
