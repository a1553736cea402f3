"""A slow rule beside finished runs: paired on the runs' first scenarios."""

import pandas as pd
import pytest
from storelab.evaluation import HINDSIGHT, evaluate
from storelab.experiments.config.settings import ConfigError
from storelab.experiments.inputs import build
from storelab.experiments.runs.folder import Run
from storelab.experiments.studies.drawn import compose_settings
from storelab.experiments.studies.slow_rules import episodes_of, table


def test_the_table_is_paired_with_the_bound():
    rows = [("a", 0, 8.0), ("a", 1, 18.0), ("b", 0, 5.0), ("b", 1, 15.0), (HINDSIGHT, 0, 10.0), (HINDSIGHT, 1, 20.0)]
    lines = table(pd.DataFrame(rows, columns=["policy", "seed", "value"]), "profit").splitlines()
    assert [line.split(" | ")[0] for line in lines[2:]] == [f"| {HINDSIGHT}", "| a", "| b"]
    assert lines[3].endswith("| 2.0 [2.0, 2.0] | 13.33 |")


def test_the_rule_meets_the_first_scenarios_of_the_runs(tmp_path, monkeypatch):
    """A learner of two runs is the mean of both; what the runs say of the rule itself gives way to what is played."""
    settings = compose_settings("heuristics", ["env.horizon=60"])
    played = evaluate({"mine": lambda seen, state, seed: (seen[:, :1] * 0 + 5, state)}, build(settings), range(6))
    monkeypatch.setattr(Run, "done", True)
    monkeypatch.setattr(Run, "settings", lambda run: settings)
    for k in range(2):
        (tmp_path / str(k)).mkdir()
        played.assign(value=played["value"] + k).to_parquet(tmp_path / str(k) / "eval.parquet")
    episodes, objective = episodes_of([tmp_path / "0", tmp_path / "1"], "myopic", 4)
    assert objective == "cost"
    assert episodes.groupby("policy")["seed"].apply(list).to_dict() == {"mine": [0, 1, 2, 3], "myopic": [0, 1, 2, 3]}
    assert (episodes.query("policy == 'mine'")["value"] == (played["value"] + 0.5)[:4].to_numpy()).all()


def test_what_is_no_finished_run_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="no finished run"):
        episodes_of([tmp_path], "stochastic_program", 2)
