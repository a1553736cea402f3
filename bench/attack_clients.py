"""Clients that hold what they have got: they are let go, and SIGTERM waits for none of them."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import time

from attack import Outcome, trial
from attack_server import ROW, Server, below, worst
from storelab.experiments.serving.gate import BODY_SECONDS
from storelab.experiments.serving.wire import GRACE_SECONDS, HEAD_SECONDS, TAKE_SECONDS
from storelab.experiments.serving.worker import END_SECONDS


@trial
def slow_clients() -> list[Outcome]:
    """Clients that hold connections; all the while requests are answered, and each client is let go in time."""
    kinds = {
        "silent": (lambda s: b"", HEAD_SECONDS),
        "half a head": (lambda s: s.head("/restock", None)[:-2], HEAD_SECONDS),
        "a head a byte at a time": (lambda s: s.head("/restock", None)[:-2], HEAD_SECONDS),
        "half a body": (lambda s: s.head("/restock", 100) + b"{", BODY_SECONDS),
        "a body a byte at a time": (lambda s: s.head("/restock", 2**22) + b" " * 9, BODY_SECONDS),
        "an unknown key, and a body without end": (
            lambda s: s.head("/restock", 2**22).replace(b"Bearer ", b"Bearer x"),
            40,
        ),
        "reading nothing": (lambda s: (s.head("/recommend", len(large)) + large) * 20, TAKE_SECONDS + 60),
    }
    outcomes, each = [], 30
    bought = [{"item": "item-1", "time": "2024-01-01"}]
    large = json.dumps({"customers": [bought] * 1000, "now": "2024-02-01", "k": 50}).encode()
    with Server() as server:
        for kind, (said, seconds) in kinds.items():
            count, before = 4 if kind == "reading nothing" else each, server.sockets()
            clients = [socket.socket() for _ in range(count)]
            for client in clients:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                client.connect(("127.0.0.1", server.port))
                client.setblocking(False)
                with contextlib.suppress(BlockingIOError):
                    client.send(said(server))
            begun, open_, asked, good = time.monotonic(), list(clients), 0, 0
            while open_ and time.monotonic() < begun + seconds + 15:
                asked += 1
                good += server.ask("POST", "/restock", ROW)[0] == 200
                time.sleep(0.25)
                if kind == "reading nothing":  # it cannot notice
                    open_ = open_[: server.sockets() - before]
                else:
                    open_ = [client for client in open_ if not _gone(client, kind)]
            took = time.monotonic() - begun
            for client in clients:
                client.close()
            outcomes.append(Outcome(f"clients, {kind}: let go", count, count - len(open_), f"after {took:.0f} s"))
            outcomes.append(Outcome("requests meanwhile", asked, good))
    return outcomes


def _gone(client: socket.socket, kind: str) -> bool:
    """Whether the server has closed the connection; trickles a byte where the kind does."""
    try:
        if "byte" in kind or "end" in kind:
            client.send(b" ")
        return client.recv(1 << 16) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


@trial
def sigterm() -> list[Outcome]:
    """SIGTERM while clients hold connections in every way, and while a model's process stands still."""
    took, count = [], 4
    for number in range(count):
        with Server() as server:
            body = worst("recommend")
            said = [b"", server.head("/restock", None), server.head("/restock", 100) + b"{"]
            said += [server.head("/recommend", len(body)) + body] * 4
            clients = [socket.create_connection(("127.0.0.1", server.port)) for _ in said]
            for client, text in zip(clients, said, strict=True):
                client.setblocking(False)
                with contextlib.suppress(BlockingIOError):
                    client.send(text)
            for pid in below(server.process.pid) if number % 2 else []:
                os.kill(pid, signal.SIGSTOP)
            begun = time.monotonic()
            server.process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                server.process.wait(60)
            took.append(time.monotonic() - begun)
    held = sum(seconds < GRACE_SECONDS + END_SECONDS + 2 for seconds in took)
    return [Outcome("SIGTERM with open, half-sent and unread requests", count, held, f"at most {max(took):.1f} s")]
