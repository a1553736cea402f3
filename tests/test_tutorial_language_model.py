"""The tutorial on language models, as a reader would run it: its Python, then its commands against the stand-in."""

import importlib.util
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "tutorial_language_model.md"
FEW = ("evaluation.episodes=2", "evaluation.tuning_episodes=2", "evaluation.validation_episodes=2")


def test_the_tutorial_runs(tmp_path):
    spec = importlib.util.spec_from_file_location("stand_in", ROOT / "examples" / "stand_in_server.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    steps = re.findall(r"```(python|console)\n(.*?)```", PAGE.read_text(), re.S)
    code = "\n".join(text for kind, text in steps if kind == "python")
    said = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, capture_output=True, text=True).stdout
    assert "refused: order: 1000 is not from 0 to 100" in said
    assert "The episode has ended. cost: " in said
    commands = [shlex.split(line[2:]) for kind, text in steps if kind == "console" for line in text.splitlines()]
    with module.StandIn() as server:
        for _, *words in commands:
            words = [word for word in words if not word.startswith(("agent.base_url", "evaluation."))]
            command = [sys.executable, "-m", "storelab.experiments.cli", *words, f"agent.base_url={server.url}", *FEW]
            env = os.environ | {"OMP_NUM_THREADS": "1"}
            done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=env)
            assert done.returncode == 0, done.stderr
            assert re.search(r"^llm .* 0\.0$", done.stdout, re.M), done.stdout
