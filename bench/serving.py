"""What `storelab serve` needs to answer: CPU time within the application, and times over a socket under load.

    python -P bench/serving.py RUN
    python -P bench/serving.py RUN --recommendation DIR --rate 500 [--seconds 20]

RUN is a finished run. The first takes the CPU time of batches through the whole application, but for uvicorn and the
socket; the test client's share is in the figures of the application, `model` is the policy alone, with its checks. The
second starts the server and sends requests of one row at a rate, to each route alone, from this process: a request's
time counts from when it was due, so that a server that falls behind cannot hide it.
"""

import argparse
import asyncio
import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from fastapi.testclient import TestClient
from storelab import recommendation
from storelab.experiments.serving.access import add_key
from storelab.experiments.serving.app import Keys, Slot, create_app
from storelab.experiments.serving.policies import Policy

CONNECTIONS = 16
BATCHES = {1: 300, 64: 100, 1024: 10}  # rows in a request -> requests


def cpu(call: Callable, times: int) -> float:
    """Median CPU seconds of a call, all threads."""
    taken = []
    for _ in range(times):
        begun = time.process_time()
        call()
        taken.append(time.process_time() - begun)
    return float(np.median(taken))


def batches(run: str) -> None:
    """Print the table of CPU times."""
    slot = Slot(Path(run), Policy)
    route, size = slot.served.route, len(slot.served.columns)
    with tempfile.TemporaryDirectory() as folder:
        key = add_key(Path(folder) / "keys.json", "bench", (route,), 1e6)
        app = create_app([slot], Keys.read(Path(folder) / "keys.json"))
    drawn = np.random.default_rng(0).integers(0, 10, (max(BATCHES), size)).tolist()
    print(f"{route}, {slot.served.name}, {size} numbers a row")
    print("| rows | application ms | model ms | rows per CPU second |\n|---|---|---|---|")
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    with TestClient(app, headers=headers) as client:
        for rows, times in BATCHES.items():
            content = json.dumps({"observations": drawn[:rows]})
            body = slot.served.Body.model_validate_json(content)
            assert client.post(f"/{route}", content=content).status_code == 200
            whole = cpu(lambda content=content: client.post(f"/{route}", content=content), times)
            alone = cpu(lambda body=body: slot.answer(body), times)
            print(f"| {rows} | {1000 * whole:.2f} | {1000 * alone:.2f} | {rows / whole:,.0f} |", flush=True)


async def send(port: int, request: bytes, due: list[float], taken: list[float]) -> None:
    """Send a request at each of some times over one connection; append what each took (s)."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for at in due:
        await asyncio.sleep(max(0.0, at - time.perf_counter()))
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200 "):
            raise SystemExit(head.decode())
        await reader.readexactly(int(head.lower().partition(b"content-length:")[2].split(b"\r")[0]))
        taken.append(time.perf_counter() - at)
    writer.close()


async def offer(port: int, request: bytes, rate: float, seconds: float) -> tuple[np.ndarray, float]:
    """Offer requests at a rate over `CONNECTIONS`; return what each took (s) and how many a second were answered."""
    count, begin, taken = int(rate * seconds), time.perf_counter() + 0.1, []
    due = [[begin + k / rate for k in range(one, count, CONNECTIONS)] for one in range(CONNECTIONS)]
    await asyncio.gather(*(send(port, request, times, taken) for times in due))
    return np.array(taken), count / (time.perf_counter() - begin)


@contextlib.contextmanager
def serving(args: list[str], folder: str):
    """A server in a process of its own: its port, a key, and a function that returns its CPU seconds."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    keys = Path(folder) / "keys.json"
    key = add_key(keys, "bench", ("restock", "price", "dispatch", "store", "recommend"), 1e6)
    command = [sys.executable, "-P", "-m", "storelab.experiments.cli", "serve", *args]
    command += ["--keys", str(keys), "--port", str(port)]
    with (Path(folder) / "log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env=os.environ | {"OMP_NUM_THREADS": "1"})
    used = lambda: (
        sum(map(int, Path(f"/proc/{process.pid}/stat").read_text().split()[13:15])) / os.sysconf("SC_CLK_TCK")
    )
    try:
        while process.poll() is None:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            time.sleep(0.2)
        else:
            raise SystemExit((Path(folder) / "log").read_text())
        yield port, key, used
    finally:
        process.terminate()
        process.wait()


def load(options) -> None:
    """Print the table of times under load."""
    policy = Policy(Path(options.run))
    row = np.random.default_rng(0).integers(0, 10, len(policy.columns)).tolist()
    bodies, args = {policy.route: {"observations": [row]}}, [options.run]
    if options.recommendation:
        items = recommendation.load(options.recommendation).items
        bought = [{"item": items[k % len(items)], "time": f"2024-01-{k + 1:02}T10:00:00"} for k in range(20)]
        bodies["recommend"] = {"customers": [bought], "now": "2024-02-01T00:00:00", "k": 10}
        args += ["--recommendation", options.recommendation]
    print("| route | answered a second | p50, ms | p99, ms | longest, ms | server's CPU, ms a request |")
    print("|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder, serving(args, folder) as (port, key, used):
        for route, body in bodies.items():
            content = json.dumps(body)
            request = f"POST /{route} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\n"
            request += f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n{content}"
            asyncio.run(offer(port, request.encode(), min(50, options.rate), 2))  # warm
            before = used()
            taken, answered = asyncio.run(offer(port, request.encode(), options.rate, options.seconds))
            cpu = 1000 * (used() - before) / len(taken)
            middle, late, last = 1000 * np.quantile(taken, [0.5, 0.99, 1])
            print(f"| {route} | {answered:.0f} | {middle:.1f} | {late:.1f} | {last:.1f} | {cpu:.2f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", metavar="RUN")
    parser.add_argument("--recommendation", metavar="DIR", help="a saved recommender, for the load")
    parser.add_argument("--rate", type=float, help="requests a second; without it: the batches")
    parser.add_argument("--seconds", type=float, default=20.0)
    options = parser.parse_args()
    if options.rate:
        load(options)
    else:
        batches(options.run)


if __name__ == "__main__":
    main()
