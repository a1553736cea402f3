"""How fast `storelab serve` answers: a server process and one client, over a socket kept open.

    python -P bench/serving.py RUN

RUN is a finished run. Latencies are wall-clock, and the machine's load is in them; CPU is the server's alone.
"""

import http.client
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from storelab.experiments.serving.access import add_key

BATCHES = {1: 500, 64: 100, 1024: 10}  # rows in a request -> requests
PORT = 8765
TICKS = os.sysconf("SC_CLK_TCK")


def cpu(pid: int) -> float:
    """Seconds of CPU that a process has used (Linux)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def wait_until_ready(process) -> None:
    while True:
        try:
            connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=5)
            connection.request("GET", "/health")
            connection.getresponse().read()
            return
        except ConnectionRefusedError:
            if process.poll() is not None:
                sys.exit("the server ended")
            time.sleep(0.1)


def measure(headers: dict, path: str, body: bytes, requests: int, pid: int) -> tuple[np.ndarray, float]:
    """Latencies (requests,) in seconds and the server's CPU seconds per request."""
    connection, taken = http.client.HTTPConnection("127.0.0.1", PORT, timeout=60), []
    for k in range(-20, requests):  # the first ones warm it up
        if k == 0:
            begun = cpu(pid)
        start = time.perf_counter()
        connection.request("POST", path, body, headers)
        answer = connection.getresponse()
        content = answer.read()
        if answer.status != 200:
            sys.exit(content.decode())
        taken.append(time.perf_counter() - start)
    return np.array(taken[20:]), (cpu(pid) - begun) / requests


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        keys = Path(folder) / "keys.json"
        key = add_key(keys, "bench", ("restock", "price", "dispatch"), 1e6)
        command = [sys.executable, "-m", "storelab.experiments.cli", "serve", sys.argv[1], "--keys", str(keys)]
        process = subprocess.Popen([*command, "--port", str(PORT)], stderr=subprocess.DEVNULL)
        try:
            wait_until_ready(process)
            headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
            connection = http.client.HTTPConnection("127.0.0.1", PORT)
            connection.request("GET", "/models", headers=headers)
            ((route, about),) = json.load(connection.getresponse()).items()
            size = sum(int(np.prod(shape)) for shape in about["observation"].values())
            drawn = np.random.default_rng(0).integers(0, 10, (max(BATCHES), size)).tolist()
            print(f"{route}, {about['policy']}, {size} numbers a row; load average {os.getloadavg()[0]:.1f}")
            print(
                "| rows | p50 ms | p99 ms | requests/s | rows/s | server CPU ms | rows per CPU second |\n"
                + "|---" * 7
                + "|"
            )
            for rows, requests in BATCHES.items():
                body = json.dumps({"observations": drawn[:rows]}).encode()
                taken, used = measure(headers, f"/{route}", body, requests, process.pid)
                p50, p99 = 1000 * np.quantile(taken, [0.5, 0.99])
                rate = requests / taken.sum()
                cells = (
                    f"{p50:.1f} | {p99:.1f} | {rate:,.0f} | {rows * rate:,.0f} | {1000 * used:.2f} | {rows / used:,.0f}"
                )
                print(f"| {rows} | {cells} |", flush=True)
        finally:
            process.terminate()
            process.wait()


if __name__ == "__main__":
    main()
