"""`storelab serve` as a process: one line for what is wrong, keys, a real socket, an orderly end."""

import json
import os
import signal
import socket
import time
from contextlib import suppress
from pathlib import Path
from urllib.error import URLError
from urllib.request import Request, urlopen

import pytest
from storelab.experiments.serving.wire import GRACE_SECONDS


@pytest.mark.slow
@pytest.mark.parametrize(
    ("args", "line"),
    [
        ((), "the following arguments are required: --keys"),
        (
            ("--keys", "keys.json", "--port", "65536"),
            "argument --port: '65536' is not allowed, expected a whole",
        ),
        (
            ("--keys", "keys.json", "--port", "99999"),
            "argument --port: '99999' is not allowed, expected a whole",
        ),
        (
            ("--keys", "keys.json", "--port=-1"),
            "argument --port: '-1' is not allowed, expected a whole",
        ),
        (("--keys", "keys.json", "--port", "8e3"), "argument --port: '8e3' is not allowed, expected a whole"),
        (("--keys", "keys.json", "--port", "9" * 5000), "argument --port: '9999"),
        (("--keys", "none.json"), "keys: 'none.json' holds no keys ("),
        (("--keys", "keys.json"), "RUN: none is not allowed, expected a run, "),
        (("--keys", "keys.json", "nowhere"), "run: "),
        (
            ("--keys", "keys.json", "nowhere", "--writer", "x"),
            "--writer: 'x' is not allowed, expected --language with it",
        ),
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


@pytest.fixture
def server(start, storelab, runs, tmp_path):
    """A process that serves a run: itself, its port, a key."""
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
    return process, port, key


def children(pid: int) -> list[int]:
    """Processes below one, the model's among them."""
    found = [int(n) for path in Path(f"/proc/{pid}/task").glob("*/children") for n in path.read_text().split()]
    return found + [pid for child in found for pid in children(child)]


@pytest.mark.slow
def test_sigterm_ends_it_whatever_clients_do(server):
    """Idle, half a head, half a body, an answer that nobody reads; and a model's process that stands still."""
    process, port, key = server
    head = f"POST /restock HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\nContent-Type: application/json\r\n"
    rows = json.dumps({"observations": [[3, 1, 0, 2]] * 1000})
    whole = f"{head}Content-Length: {len(rows)}\r\n\r\n{rows}"
    said = [
        "",
        head,
        f"{head}Content-Length: 100\r\n\r\n{{",
        f"{head}Transfer-Encoding: chunked\r\n\r\n5\r\n{{",
        whole * 40,
    ]
    clients = [socket.create_connection(("127.0.0.1", port)) for _ in said]
    for client, text in zip(clients, said, strict=True):
        client.setblocking(False)
        with suppress(BlockingIOError):
            client.send(text.encode())
    below = children(process.pid)
    assert len(below) >= 2
    for pid in below:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGSTOP)
    os.kill(process.pid, signal.SIGTERM)
    assert process.ended_within(4 * GRACE_SECONDS)  # the machine may be slow; bench/attack.py takes the time
    for client in clients:
        client.close()
    for pid in below:  # none is left behind
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)
    while any(Path(f"/proc/{pid}").exists() and "Z" not in state(pid) for pid in below):
        time.sleep(0.05)


def state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "Z"


def test_a_process_answers_and_ends(server):
    process, port, key = server
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
