"""What is kept of a learner: the best on validation scenarios, no less than its start; who goes astray begins anew."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hydra import compose, initialize_config_module
from storelab.agents.core.residual import Residual, starts
from storelab.experiments import experiment
from storelab.experiments.choice import CAUSES, Choice, Judge, best_of, conclude, seed_of, slower
from storelab.experiments.config.options import register
from storelab.experiments.config.settings import read
from storelab.experiments.inputs import build
from storelab.experiments.reports.run import findings
from storelab.experiments.runs.folder import Run

pytest.importorskip("stable_baselines3")
SMALL = ("evaluation.episodes=8", "evaluation.tuning_episodes=4", "evaluation.curve_episodes=2", "env.horizon=60")


class Planted:
    """A learner whose actions are residuals of its rule, the same always: those that `actions` has for its steps."""

    due, made = False, []

    def __init__(self, task, params, seed=0, log_folder=None, rule=None):
        self.task, self.params, self.seed, self.rule, self.steps = task, params, seed, rule, 0
        self.made.append(self)

    @property
    def action(self) -> float:
        return type(self).actions(self.steps, self.seed)

    def policy(self):
        return acting(self.task, self.rule, self.action)

    def learn(self, on_checkpoint, checkpoint_every, progress=True):
        while self.steps < self.params.total_steps:
            self.steps += checkpoint_every
            on_checkpoint(self.steps)

    def save(self, folder):
        folder = Path(folder)
        (folder / "policy.json").write_text(str(self.action))
        (folder / "steps").write_text(str(self.steps))

    def load(self, folder):
        self.steps = int((folder / "steps").read_text())


def acting(task, rule, action):
    model = task.model()
    if rule is None:  # of the largest order
        return lambda observation, policy_state, seed: (
            np.tile(action * model.action_high, (len(observation), 1)),
            None,
        )
    residual = Residual(model, rule)
    return lambda observation, policy_state, seed: (residual(np.full((len(observation), 1), action), observation), None)


@pytest.fixture
def trained(tmp_path, monkeypatch):
    """Return a function that trains a planted learner and returns its run and experiment."""
    register()

    def train(actions, *overrides, residual=True, stop=None):
        task = ("task=Inventory", "env.lost_sale_cost=9", "agent.total_steps=4", "checkpoint_every=1")
        with initialize_config_module("storelab.conf", version_base="1.3"):
            settings = read(compose("train", overrides=[*task, *SMALL, f"runs={tmp_path}", *overrides]))
        Planted.made, Planted.actions = [], staticmethod(actions)
        load = lambda folder, task: acting(task, Planted.made[0].rule, float((folder / "policy.json").read_text()))
        module = SimpleNamespace(Learner=Planted, load_policy=load)
        if residual:
            module.starts = lambda model, params: starts(model)
        monkeypatch.setattr(experiment, "learner_of", lambda settings: module)
        run, task = Run.of(settings, "data"), build(settings)
        with run.open(settings, "data"):
            made = experiment.prepare(run, task, settings)
            made.add(experiment.learn(run, made, stop), made.choice)
        return run, made

    return train


def told(made) -> str:
    episodes = made.episodes(made.settings.evaluation)
    return " ".join(findings(made.summary(episodes), made, 8))


def test_what_does_not_beat_its_start_is_its_start(trained):
    run, made = trained(lambda steps, seed: 2.0 + steps)
    choice = made.choice
    assert choice.rule == choice.start
    values = made.episodes(made.settings.evaluation).pivot(index="seed", columns="policy", values="value")
    assert (values["PPO"] == values[choice.start]).all()
    assert f"PPO did not beat the {choice.start} it starts from on the validation scenarios" in told(made)
    assert f"the policy is the {choice.start}." in told(made)
    again = experiment.learnt(run, made.task, made.settings)
    assert np.array_equal(
        again(np.zeros((3, 1), np.float32), None, 0)[0], made.policies["PPO"](np.zeros((3, 1)), None, 0)[0]
    )


def test_the_best_checkpoint_is_kept_not_the_last(trained):
    """Its start is spoilt, so that a residual of .3 is the best; the learner passes by it."""
    run, made = trained(lambda steps, seed: [0, 3.0, 0.3, 2.0, 4.0][steps], "restarts=0", residual=False)
    values = [row["validation"] for row in run.metrics()]
    assert made.choice.step == 1 + int(np.argmin(values))
    assert made.choice.value == min(values)
    assert run.newest_kept().parent.name == "best"
    assert made.choice.rule is None
    kept = Judge(made.task, 64).values(made.policies["PPO"]).mean()
    assert kept == pytest.approx(min(values))


def test_who_orders_nothing_begins_anew_twice_and_is_warned_of(trained, capsys):
    run, made = trained(lambda steps, seed: 0.0, residual=False)
    assert [learner.seed for learner in Planted.made] == [seed_of(0, k) for k in range(3)]
    rates = [learner.params.learning_rate for learner in Planted.made]
    assert rates == [rates[0], rates[0] / 2, rates[0] / 4]
    assert "Warning: PPO orders nothing on the validation scenarios, in the best of 3 attempts" in told(made)
    assert CAUSES in told(made)
    assert [learner.steps for learner in Planted.made] == [2, 2, 4]  # half of the steps show it, but in the last one
    assert capsys.readouterr().out.count("it begins anew") == 2
    assert {path.name for path in run.folder.glob("metrics*")} == {
        "metrics.jsonl",
        "metrics-1.jsonl",
        "metrics-2.jsonl",
    }


def test_a_better_second_attempt_is_kept(trained):
    _, made = trained(lambda steps, seed: 0.0 if seed == 0 else 0.2, residual=False)
    assert len(Planted.made) > 1
    assert made.choice.of == 1
    assert made.choice.astray[0] == "PPO orders nothing on the validation scenarios"


def test_below_the_best_heuristic_is_said_with_how_much(trained):
    _, made = trained(lambda steps, seed: 1.0, "restarts=0", residual=False)
    assert len(Planted.made) == 1
    text = told(made)
    assert (
        f"Warning: PPO ends below the best tuned heuristic, {made.choice.best}, on the validation scenarios: -" in text
    )


def test_a_killed_attempt_goes_on_where_it_was(trained):
    """The second attempt is stopped and goes on with its own seed; the end is as without a stop."""
    actions = lambda steps, seed: 0.0 if seed == 0 else 0.05 * steps
    _, straight = trained(actions, "restarts=1", residual=False)

    def stop(rows):
        if len(Planted.made) == 2 and len(rows) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trained(actions, "restarts=1", "experiment=again", residual=False, stop=stop)
    _, resumed = trained(actions, "restarts=1", "experiment=again", residual=False)
    assert [learner.seed for learner in Planted.made] == [seed_of(0, 1)]
    assert resumed.choice == straight.choice


def test_judged_are_the_last_training_windows():
    """All different windows of the last days, each once."""
    import pandas as pd
    from storelab.data import Panel
    from storelab.experiments.tasks.stores import store_task

    days, flags = 500, np.zeros(500, bool)
    units = np.arange(days)[:, None] * 1.0 + np.zeros(2)
    panel = Panel(
        ["a", "b"], pd.date_range("2024-01-01", periods=days), units, np.ones(units.shape), units < 0, flags, flags
    )
    task = store_task(panel, horizon=14, lead_time=3)
    judge = Judge(task, 64)
    first = task.model("validation").scenarios(judge.seeds)["demand"][:, 0, 0]
    assert len(np.unique(first)) == len(first) > 8
    assert judge.where == "validation windows"
    assert first.min() >= task.learn.recorded.max()


@pytest.mark.parametrize(("action", "wins"), [(0.0, False), (3.0, False), (0.5, True)])
def test_a_learner_in_python_is_no_less_than_its_start(action, wins):
    """A start that is too low is beaten by half a deviation more; a good one by nothing, and not by itself."""
    from storelab.agents.core.residual import StartRule
    from storelab.agents.heuristics.inventory import Heuristic
    from storelab.envs import TASKS

    task = TASKS["Inventory"](horizon=60, lost_sale_cost=9.0)
    model, level = task.model(), 8.0 if wins else 16.0
    rule = StartRule("base_stock", {"level": [level]}, [3.0])
    Planted.actions = staticmethod(lambda steps, seed: action)
    learner = Planted(task, SimpleNamespace(total_steps=2), rule=rule)
    start, judge = Heuristic("base_stock", rule.params, model), Judge(task, 16)
    load = lambda folder, task: acting(task, rule, float((folder / "policy.json").read_text()))
    kept = best_of(learner, load, judge, start, 1)
    assert (kept is not start) == wins
    assert judge.values(kept).mean() <= judge.values(start).mean()


def windows_task(days: int = 500):
    """A store of two items whose demand is recorded and noisy."""
    import pandas as pd
    from storelab.data import Panel
    from storelab.experiments.tasks.stores import store_task

    flags = np.zeros(days, bool)
    units = np.random.default_rng(0).poisson(20, (days, 2)).astype(float)
    panel = Panel(
        ["a", "b"], pd.date_range("2024-01-01", periods=days), units, np.ones(units.shape), units < 0, flags, flags
    )
    return store_task(panel, horizon=14, lead_time=3)


def test_overlapping_windows_are_not_counted_as_independent():
    """The interval of a lead is far wider than that of the windows' values."""
    task = windows_task()
    judge = Judge(task, 64)
    order = lambda units: lambda seen, memory, seed: (np.full((len(seen), 2), units), memory)
    mean, low, high = judge.lead(order(20.0), order(16.0))
    naive = judge.sign * (judge.values(order(20.0)) - judge.values(order(16.0)))
    assert mean == pytest.approx(naive.mean(), rel=1e-5)
    assert high - low > 2 * 3.92 * naive.std() / len(naive) ** 0.5
    assert judge.lead(order(20.0), order(20.0)) == (0, 0, 0)
    assert judge.block == judge.days.days // 6 < 28


def test_a_lead_by_chance_is_not_kept(trained):
    """An action that is random in effect and best of four on the validation scenarios is no better on others."""
    _, made = trained(lambda steps, seed: [0, 0.004, -0.004, 0.002, -0.002][steps], "evaluation.validation_episodes=4")
    choice = made.choice
    assert choice.rule == choice.start
    ahead = choice.value < choice.values[choice.start]  # a cost
    assert ("no lead" in told(made)) == ahead
    assert f"; the policy is the {choice.start}." in told(made)


@pytest.mark.parametrize(
    ("value", "lead", "kept", "said"),
    [
        (9.0, (2.0, 1.0, 3.0), True, "PPO starts from the newsvendor and beats it on the validation windows: 9"),
        (
            9.0,
            (2.0, -0.5, 4.5),
            False,
            "no significant lead over the newsvendor it starts from: 9 against",
        ),
        (9.0, (2.0, np.nan, np.nan), False, "no significant lead over the newsvendor"),
        (6.5, (-0.5, -1.0, 0.0), False, "Warning: PPO did not beat the newsvendor it starts from on the validation"),
        (6.5, (0.5, 0.1, 1.0), False, "did not beat the newsvendor"),
    ],
)
def test_the_rule_of_what_is_kept(value, lead, kept, said):
    choice = Choice(start="newsvendor", best="newsvendor", values={"newsvendor": 7.0}, value=value, step=5)
    judge = SimpleNamespace(sign=1, where="validation windows", lead=lambda one, other: lead, told=str)
    conclude(choice, judge, "PPO", lambda: None, lambda: None)
    assert (choice.rule is None) == kept
    assert said in choice.said[0]
    assert choice.said[0].startswith("Warning: ") != kept
    assert ("; the policy is the newsvendor." in choice.said[0]) != kept


def test_without_a_start_what_was_learnt_is_kept():
    choice = Choice(best="newsvendor", values={"newsvendor": 7.0}, value=6.0, step=5)
    conclude(choice, SimpleNamespace(sign=1, where="validation scenarios"), "DQN", lambda: None, None)
    assert choice.rule is None
    assert choice.said == []


def test_half_of_the_rate():
    assert slower(SimpleNamespace(learning_rate=1), 0).learning_rate == 1
