"""What `storelab serve` needs to answer: CPU time within the application, and times over a socket under load.

    python -P bench/serving.py RUN
    python -P bench/serving.py RUN --recommendation DIR --rate 500 [--seconds 20]

RUN is a finished run. The first takes the CPU time of batches, of the server's process and of the model's. The second
starts the server and sends requests of one row at a rate, to each route alone, from this process: a request's
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
from pathlib import Path

import numpy as np
from storelab import recommendation
from storelab.experiments.serving.access import add_key
from storelab.experiments.serving.policies import Policy

CONNECTIONS = 16
BATCHES = {1: 300, 64: 100, 1024: 10}  # rows in a request -> requests


def batches(run: str) -> None:
    """Print the table of CPU times."""
    policy = Policy(Path(run))
    drawn = np.random.default_rng(0).integers(0, 10, (max(BATCHES), len(policy.columns))).tolist()
    print(f"{policy.route}, {policy.name}, {len(policy.columns)} numbers a row")
    print("| rows | server's process, ms | model's process, ms | rows per CPU second |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder, serving([run], folder) as (port, key, used):
        for rows, times in BATCHES.items():
            content = request_of(key, policy.route, {"observations": drawn[:rows]})
            asyncio.run(offer(port, content, 50, 1))  # warm
            before = used()
            taken, _ = asyncio.run(offer(port, content, 20, times / 20))
            server, model = ((now - then) / len(taken) for now, then in zip(used(), before, strict=True))
            whole = rows / (server + model)
            print(f"| {rows:,} | {1000 * server:.2f} | {1000 * model:.2f} | {whole:,.0f} |", flush=True)


def request_of(key: str, route: str, body: dict) -> bytes:
    """A whole request."""
    content = json.dumps(body)
    head = f"POST /{route} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(content)}\r\n\r\n{content}".encode()


def seconds_of(pid: int) -> float:
    """CPU seconds of a process."""
    return sum(map(int, Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13])) / os.sysconf(
        "SC_CLK_TCK"
    )


def below(pid: int) -> list[int]:
    """The processes below one."""
    children = map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
    return [one for child in children for one in (child, *below(child))]


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
    """A server in a process of its own: its port, a key, and a function that returns the CPU seconds of its process and
    of the models'."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    keys = Path(folder) / "keys.json"
    key = add_key(keys, "bench", ("restock", "price", "dispatch", "store", "recommend"), 1e6)
    command = [sys.executable, "-P", "-m", "storelab.experiments.cli", "serve", *args]
    command += ["--keys", str(keys), "--port", str(port)]
    with (Path(folder) / "log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env=os.environ | {"OMP_NUM_THREADS": "1"})

    used = lambda: (seconds_of(process.pid), sum(map(seconds_of, below(process.pid))))

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
    row = policy.sample["observations"][0]
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
            request = request_of(key, route, body)
            asyncio.run(offer(port, request, min(50, options.rate), 2))  # warm
            before = sum(used())
            taken, answered = asyncio.run(offer(port, request, options.rate, options.seconds))
            cpu = 1000 * (sum(used()) - before) / len(taken)
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
