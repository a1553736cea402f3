"""`storelab tune`: the number of trials is reached after a kill, nothing is repeated, what is bad is pruned."""

import pytest
from hydra import compose, initialize_config_module
from storelab.experiments.config.options import register
from storelab.experiments.config.settings import ConfigError

optuna = pytest.importorskip("optuna")
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock  # noqa: E402
from storelab.experiments.commands.tune import Search  # noqa: E402

SPACE = (
    "tune.space={agent.learning_rate: {low: 1e-2, high: 3e-1, log: true}, agent.hyper: {n_epochs: {choices: [1, 2]}}}"
)
TRIALS = 8


@pytest.fixture(scope="module")
def search(finished):
    """The command of a small search."""
    plain = [arg for arg in finished.args if not arg.startswith(("train", "agent.total_steps", "agent.hyper.n_epochs"))]
    plain.append("env.action=continuous")  # whose best order moves at once: pruning needs curves that differ
    return "tune", *plain, "agent.total_steps=1024", f"tune.trials={TRIALS}", SPACE


@pytest.fixture(scope="module")
def continued(search, start, storelab, tmp_path_factory):
    """A search that was killed in its third trial, and its repetition."""
    folder = tmp_path_factory.mktemp("search")
    killed = start(folder, *search)
    killed.until(lambda: len(list(folder.glob("runs/*/*/DONE"))) == 2 and len(killed.checkpoints) > 2)
    killed.kill()
    return storelab(folder, *search)


def trials(folder):
    (journal,) = folder.glob("runs/*/study-*/journal.log")
    storage = optuna.storages.JournalStorage(JournalFileBackend(str(journal), JournalFileOpenLock(str(journal))))
    return optuna.load_study(study_name="study", storage=storage).trials


@pytest.mark.slow
def test_a_killed_search_reaches_its_number_and_repeats_nothing(continued):
    assert continued.status == 0, continued.err
    found = trials(continued.folder)
    assert len(found) == TRIALS
    assert len({tuple(trial.params.values()) for trial in found}) == TRIALS
    assert {trial.state.name for trial in found} == {"COMPLETE", "PRUNED"}
    runs = list(continued.folder.glob("runs/LostSales/*-s0"))
    assert len(runs) == TRIALS
    assert len([run for run in runs if (run / "DONE").is_file()]) == sum(t.state.name == "COMPLETE" for t in found)
    assert "trial 0" not in continued.out.partition("state")[0]  # not done again
    assert "trial 2: agent.learning_rate=" in continued.out


def test_the_best_is_a_command_whose_run_is_there(continued, storelab):
    best = min(trial.value for trial in trials(continued.folder) if trial.state.name == "COMPLETE")
    assert f"{best:,.4f}" in continued.out
    line = continued.out.splitlines()[-1].strip().replace("'", "")
    assert line.endswith(" seed=1,2,3,4,5 --multirun")
    again = storelab(continued.folder, *line.removesuffix(" seed=1,2,3,4,5 --multirun").split()[1:])
    assert "is finished: nothing to do" in again.out, again.err


def test_pruned_runs_are_no_failures(continued, storelab):
    listed = storelab(continued.folder, "runs", "state=pruned").out
    pruned = sum(trial.state.name == "PRUNED" for trial in trials(continued.folder))
    assert f"{pruned} runs: {pruned} pruned" in listed
    assert storelab(continued.folder, "runs", "state=failed").out == "no such runs\n"


def test_a_finished_search_does_nothing(continued, storelab):
    again = storelab(continued.folder, *continued.args)
    assert (again.status, again.out[again.out.index("---------") :]) == (
        0,
        continued.out[continued.out.index("---------") :],
    )


@pytest.mark.slow
def test_a_killed_search_ends_as_one_that_was_not(continued, search, storelab, tmp_path):
    straight = storelab(tmp_path, *search)
    same = lambda trial: (trial.number, trial.state, trial.params, trial.value, trial.intermediate_values)
    assert [same(trial) for trial in trials(continued.folder)] == [same(trial) for trial in trials(straight.folder)]


@pytest.mark.slow
def test_two_processes_share_the_trials(search, start, tmp_path):
    both = [start(tmp_path, *search) for _ in range(2)]
    assert [command.wait(1200).status for command in both] == [0, 0], both[0].err + both[1].err
    found = trials(tmp_path)
    assert len(found) == TRIALS
    assert {trial.state.name for trial in found} <= {"COMPLETE", "PRUNED"}
    told = [{line.split()[1] for line in command.out.splitlines() if line.startswith("trial ")} for command in both]
    assert all(told), "one did nothing"
    assert not {word.strip(":") for word in told[0]} & {word.strip(":") for word in told[1]} - {"state"}


BAD = {
    "tune.trials=3": "tune.space: None is not allowed, expected keys to search over",
    "tune.space={agent.gama: {low: 0, high: 1}}": "tune.space: agent.gama: no such key, did you mean agent.gamma?",
    "tune.space={agent.gamma: {low: 0, high: 2}}": "agent.gamma: 2.0 is not allowed, expected a number >= 0 and <= 1",
    "tune.space={agent.gamma: {lo: 0, high: 1}}": "tune.space.agent.gamma: {'lo': 0, 'high': 1} is not",
    "tune.space={agent.gamma: {low: 1, high: 0}}": "tune.space.agent.gamma: {'low': 1, 'high': 0} is not allowed",
    "tune.space={agent.gamma: {choices: []}}": "tune.space.agent.gamma: {'choices': []} is not allowed, expected low",
    "tune.space={agent.gamma: 3}": "tune.space.agent.gamma: 3 is not allowed, expected low and high",
    "tune.space={agent.num_envs: {low: 1, high: 2, log: yes}}": "tune.space.agent.num_envs: {'low': 1",
    "tune.space={seed: {choices: [1, 2]}}": "tune.space.seed: not allowed, expected keys of agent",
    "tune.space={env.lead_time: {choices: [1, 2]}}": "tune.space.env.lead_time: not allowed, expected keys of agent",
    "tune.trials=0": "tune.trials: 0 is not allowed, expected an integer >= 1",
}


@pytest.mark.parametrize(("override", "line"), BAD.items(), ids=BAD)
def test_bad_spaces_end_in_one_line(override, line, tmp_path):
    register()
    good = "tune.space={agent.gamma: {low: 0.9, high: 1}}"
    with initialize_config_module("storelab.conf", version_base="1.3"):
        more = [] if "space" in override or line.startswith("tune.space: None") else [good]
        config = compose("tune", overrides=[f"runs={tmp_path}", override, *more])
    with pytest.raises(ConfigError) as error:
        Search(config)
    assert str(error.value).startswith(line)
    assert "\n" not in str(error.value)
    assert not list(tmp_path.iterdir())
