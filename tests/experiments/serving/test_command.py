"""`storelab serve` as a process: one line for what is wrong, keys, a real socket, an orderly end."""

import json
import os
import signal
import socket
from urllib.error import URLError
from urllib.request import Request, urlopen

import pytest


@pytest.mark.parametrize(
    ("args", "line"),
    [
        ((), "the following arguments are required: --keys"),
        (("--keys", "none.json"), "keys: 'none.json' holds no keys ("),
        (("--keys", "keys.json"), "RUN: none is not allowed, expected a run, "),
        (("--keys", "keys.json", "nowhere"), "run: "),
        (("--keys", "keys.json", "--risk", "nowhere"), ""),
        (("--keys", "keys.json", "--add-key", "x", "--rights", "fly"), "rights: 'fly' is not allowed, expected one of"),
    ],
)
def test_bad_lines_end_in_one_line(args, line, storelab, tmp_path):
    storelab(tmp_path, "serve", "--keys", "keys.json", "--add-key", "shop", "--rights", "restock")
    ended = storelab(tmp_path, "serve", *args)
    assert ended.status == 2
    assert ended.err.startswith(line)
    assert (ended.err.count("\n"), ended.out) == (1, "")


def test_a_process_answers_and_ends(start, storelab, runs, tmp_path):
    key = storelab(tmp_path, "serve", "--keys", "keys.json", "--add-key", "shop", "--rights", "restock").out.strip()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = start(tmp_path, "serve", str(runs / "ppo"), "--keys", "keys.json", "--port", str(port))

    def answers() -> bool:
        try:
            return urlopen(f"http://127.0.0.1:{port}/health", timeout=5).status == 200
        except URLError:
            return False

    process.until(answers)
    body = json.dumps({"observations": [[3, 1, 0, 2]]}).encode()
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    with urlopen(Request(f"http://127.0.0.1:{port}/restock", body, headers), timeout=30) as answer:
        assert json.load(answer)["policy"] == "PPO"
        assert "server" not in answer.headers
    os.kill(process.pid, signal.SIGTERM)
    process.wait(60)
    assert "/restock shop 200" in process.err
    assert "127.0.0.1:" not in process.err.replace(f"127.0.0.1:{port}", "")
    assert key not in process.err
