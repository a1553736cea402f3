"""The tutorial on own data, as a reader would run it: its Python, then its commands, the learner's steps but few."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

PAGE = Path(__file__).parents[1] / "docs" / "tutorial_own_data.md"
FEW = ("agent.total_steps=4096", "agent.hyper.n_steps=16", "agent.num_envs=8", "evaluation.episodes=4", "env.items=2")
FEW += ("evaluation.tuning_episodes=4", "evaluation.curve_episodes=4", "agent.device=cpu", "agent.threads=1")


def test_from_a_file_with_the_usual_mistakes_to_a_report(tmp_path):
    page = PAGE.read_text()
    steps = re.findall(r"```(python|console)\n(.*?)```", page, re.S)
    code = [text for kind, text in steps if kind == "python"]
    subprocess.run([sys.executable, "-c", "\n".join(code)], cwd=tmp_path, check=True)
    commands = [shlex.split(line[2:]) for kind, text in steps if kind == "console" for line in text.splitlines()]
    assert [words[1] for words in commands] == ["check", "check", "backtest", "train"]
    status = {"check": 1, "backtest": 0, "train": 0}  # till.csv and sales.csv: something looks wrong
    said = []
    for name, *words in (words[1:] for words in commands):
        few = [word for word in words if word.partition("=")[0] not in {one.partition("=")[0] for one in FEW}]
        words = [*few, *FEW] if name == "train" else words
        command = [sys.executable, "-m", "storelab.experiments.cli", name, *words]
        env = os.environ | {"OMP_NUM_THREADS": "1"}
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=env)
        assert done.returncode == status[name], done.stderr
        said.append(done.stdout)
    assert said[0] in page
    assert "split by time: 2022-03-01 to 2022-08-15 for a forecaster alone" in said[3]
    (report,) = tmp_path.glob("runs/Store/*/report.html")
    assert "column &#x27;sku&#x27; is read as" in report.read_text()
