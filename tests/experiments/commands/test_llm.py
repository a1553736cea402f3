"""`storelab train agent=llm`, each a process: after kill -9 no answered question is asked again, and the table is that
of a run that was never killed."""

import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pandas as pd
import pytest
import storelab

ROOT = Path(storelab.__path__[0])
KEY = "sk-never-written"
TASKS = {
    "LostSales": ("env.horizon=56",),
    "SupplyChain": ("env.horizon=56",),
    "Marketplace": ("env.horizon=56", "agent.rule=textbook"),
}
SMALL = ("evaluation.episodes=2", "evaluation.tuning_episodes=2", "evaluation.validation_episodes=2")


@pytest.fixture(scope="module")
def stand_in():
    spec = importlib.util.spec_from_file_location("stand_in", ROOT / "examples" / "stand_in_server.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def begin(runs: Path, url: str, task: str, *more: str) -> subprocess.Popen:
    words = [f"task={task}", "agent=llm", "agent.model=scripted", f"agent.base_url={url}", f"runs={runs}", *SMALL]
    words += [*TASKS[task], "agent.concurrency=1", "agent.price_in=1", "agent.price_out=4", *more]
    command = [sys.executable, "-m", "storelab.experiments.cli", "train", *words]
    env = os.environ | {"OMP_NUM_THREADS": "1", "OPENAI_API_KEY": KEY}
    return subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


@pytest.mark.slow
def test_a_killed_run_goes_on_without_asking_again(stand_in, tmp_path):
    at, held, go = 40, threading.Event(), threading.Event()

    def answer(question):
        if len(server.questions) == at:
            held.set()
            go.wait(60)
        return stand_in.script(question)

    with stand_in.StandIn(answer=answer) as server:
        process = begin(tmp_path / "runs", server.url, "LostSales")
        assert held.wait(120)
        process.send_signal(signal.SIGKILL)
        process.wait()
        go.set()
        asked = [json.dumps(question) for question in server.questions]
        assert len(asked) == len(set(asked)) == at
        said, _ = begin(tmp_path / "runs", server.url, "LostSales").communicate(timeout=300)
        after = [json.dumps(question) for question in server.questions[at:]]
        assert set(asked) & set(after) == {asked[-1]}  # the one that was never answered
        count = len(server.questions)
        begin(tmp_path / "whole", server.url, "LostSales").communicate(timeout=300)
        assert len(server.questions) - count == count - 1
    (run,), (other,) = ((tmp_path / name).glob("LostSales/*-s0") for name in ("runs", "whole"))
    mine, theirs = (pd.read_parquet(folder / "eval.parquet") for folder in (run, other))
    assert mine.equals(theirs)
    assert "fallback" in said
    for path in (path for path in tmp_path.rglob("*") if path.is_file()):
        assert KEY.encode() not in path.read_bytes()
    page = (run / "report.html").read_text()
    assert re.search(r"llm.*56\.0", page, re.S)
    assert len(list((run / "transcripts").glob("test-*.jsonl"))) == 2


@pytest.mark.slow
@pytest.mark.parametrize("task", ["SupplyChain", "Marketplace"])
def test_it_stands_in_the_report_of_other_problems(stand_in, tmp_path, task):
    with stand_in.StandIn() as server:
        said, _ = begin(tmp_path, server.url, task).communicate(timeout=600)
    (run,) = tmp_path.glob(f"{task}/*-s0")
    results = json.loads((run / "results.json").read_text())
    assert results["policies"]["llm"]["questions"] == 56, said
    assert {"random", "llm"} < set(results["policies"])


def test_what_would_cost_too_much_is_refused_before_it_begins(stand_in, tmp_path):
    with stand_in.StandIn() as server:
        said, _ = begin(tmp_path, server.url, "LostSales", "agent.limit=100").communicate(timeout=120)
    assert "agent.limit: 100 is not allowed as 2 episodes ask in 112 periods" in said
    assert server.questions == []
