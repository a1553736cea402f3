"""CPU time that `storelab serve` needs to answer: through the whole application, but for uvicorn and the socket.

    python -P bench/serving.py RUN

RUN is a finished run. The test client's share is in the figures of the application; `model` is the policy alone, with
its checks.
"""

import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from fastapi.testclient import TestClient
from storelab.experiments.serving.access import add_key
from storelab.experiments.serving.app import Keys, Slot, create_app
from storelab.experiments.serving.policies import Policy

BATCHES = {1: 300, 64: 100, 1024: 10}  # rows in a request -> requests


def cpu(call: Callable, times: int) -> float:
    """Median CPU seconds of a call, all threads."""
    taken = []
    for _ in range(times):
        begun = time.process_time()
        call()
        taken.append(time.process_time() - begun)
    return float(np.median(taken))


def main() -> None:
    slot = Slot(Path(sys.argv[1]), Policy)
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


if __name__ == "__main__":
    main()
