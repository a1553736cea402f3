"""The server under mixed load for half an hour: answers, swaps, memory."""

import http.client
import json
import sys
import threading
import time

import numpy as np
from attack import Outcome, trial
from attack_server import Server, pss, runs, transactions
from storelab.language.synthetic import synthetic_reviews


class Load(threading.Thread):
    """Requests to one route, one after the other; counts the answers that are not as expected."""

    def __init__(self, server: Server, path: str, make, every: float, stop: threading.Event):
        super().__init__(daemon=True)
        self.server, self.path, self.make, self.every, self.stopped = server, path, make, every, stop
        self.count, self.wrong = 0, []

    def run(self) -> None:
        client = self.server.client()
        while not self.stopped.wait(self.every):
            body, expected = self.make(self.count)
            try:
                status, answer = self.server.ask("POST", self.path, body, client)
            except (OSError, http.client.HTTPException) as error:
                status, answer, client = 0, repr(error).encode(), self.server.client()
            self.count += 1
            self.wrong += [] if status == expected else [(self.path, status, answer[:200])]


@trial
def soak(minutes: float = 30.0) -> list[Outcome]:
    """Mixed load on all routes, good and bad, with 24 swaps; memory every 10 s."""
    stop, texts = threading.Event(), synthetic_reviews(500, seed=2)["text"].tolist()
    good = lambda make: lambda n: (make(n), 200)
    bought = lambda n: [{"item": f"item-{k}", "time": "2024-01-01"} for k in range(n % 50)]
    messages = lambda n: [{"text": texts[(n + k) % 500] + " order 12345"} for k in range(3)]
    bad = [b"{", b'{"observations": [[3, 1]]}', b'{"observations": [[3, 1, 0, NaN]]}', b"[" * 10_000]
    with Server() as server:
        loads = [
            Load(server, "/restock", good(lambda n: {"observations": [[n % 9, 1, 0, 2]] * (1 + n % 100)}), 0.05, stop),
            Load(server, "/restock", lambda n: (bad[n % 4], (400, 422, 422, 400)[n % 4]), 0.5, stop),
            Load(server, "/recommend", good(lambda n: {"customers": [bought(n)] * 5, "now": "2024-02-01"}), 0.2, stop),
            Load(server, "/sentiment", good(lambda n: {"texts": [texts[(n + k) % 500] for k in range(10)]}), 0.2, stop),
            Load(server, "/answer", good(lambda n: {"messages": messages(n)}), 0.5, stop),
            Load(server, "/fraud", good(lambda n: {"transactions": transactions(1, n)}), 0.2, stop),
        ]
        for load in loads:
            load.start()
        begun, held, memory = time.monotonic(), 0, []
        second = [run.name for run in runs()]
        names = {"restock": second, "recommend": ["item_knn", "item_knn2"], "fraud": ["trees", "trees2"]}
        names |= {"sentiment": ["sentiment", "sentiment2"], "answer": ["intents", "intents2"]}
        swapped, due = 0, [60 * minutes * (k + 0.5) / 24 for k in range(24)]
        while (now := time.monotonic() - begun) < 60 * minutes:
            if swapped < 24 and now > due[swapped]:
                route = list(names)[swapped % 5]
                name = names[route][(swapped // 5 + 1) % 2]
                status, answer = server.ask("POST", "/swap", {"route": route, "name": name})
                held += status == 200 and json.loads(answer)["model"] == name
                swapped += 1
            memory.append((now / 60, sum(server.memory().values()), pss(server.process.pid)))
            print(
                f"{memory[-1][0]:.2f} min, {memory[-1][1]:.0f} MiB, server {memory[-1][2]:.1f}",
                file=sys.stderr,
                flush=True,
            )
            time.sleep(10)
        stop.set()
        for load in loads:
            load.join(60)
    wrong = [one for load in loads for one in load.wrong]
    print(*wrong[:20], sep="\n", file=sys.stderr)
    count, table = sum(load.count for load in loads), np.array(memory)
    early, late = (np.median(table[part], axis=0) for part in _parts(table[:, 0], minutes))
    grown = late[1:] / early[1:] - 1
    told = f"{early[1]:.0f} MiB, then {late[1]:.0f}; the server's own process {early[2]:.1f}, then {late[2]:.1f}"
    return [
        Outcome(f"requests to five routes over {minutes:g} minutes, answered as expected", count, count - len(wrong)),
        Outcome("swaps meanwhile", swapped, held),
        Outcome(
            "memory of all processes in the last five minutes as in minutes 5 to 10", 1, int((grown < 0.03).all()), told
        ),
    ]


def _parts(at: np.ndarray, minutes: float) -> tuple[np.ndarray, np.ndarray]:
    """Rows of minutes 5 to 10 and of the last five (of a shorter soak the second and the last sixth)."""
    step = minutes / 6
    return (at >= step) & (at < 2 * step), at >= minutes - step
