"""The server under attack: floods, bodies made to be large, damaged models, keys, its schema."""

import contextlib
import http.client
import json
import multiprocessing
import os
import random
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
from attack import Outcome, trial
from storelab import language, recommendation
from storelab.experiments.serving.access import RIGHTS, Keys, add_key
from storelab.language.answers import read_answers
from storelab.language.synthetic import synthetic_reviews
from storelab.learning.base import Card, load_folder, save_folder
from storelab.recommendation.base import Log
from storelab.risk import TransactionParams, Trees, TreesParams, features, generate

CLI = (sys.executable, "-P", "-m", "storelab.experiments.cli")
CARD = Card(data="made up", split="none", figures={}, intended_use="attack", limits="small")
TRAIN = (
    *("train", "task=LostSales", "env.horizon=60", "evaluation.episodes=8", "evaluation.tuning_episodes=4"),
    *("evaluation.curve_episodes=4", "agent=ppo", "agent.device=cpu", "agent.threads=1", "agent.net_arch=[8]"),
    *("agent.num_envs=8", "agent.total_steps=1024", "agent.hyper.n_steps=16", "agent.hyper.batch_size=64"),
)
OPTIONS = {"item_knn": "--recommendation", "sentiment": "--language", "intents": "--language", "trees": "--risk"}
ROW = {"observations": [[3, 1, 0, 2]]}


def fit(root: Path) -> None:
    """Two runs and two of each model, small, trained here."""
    for seed in (0, 1):
        command = [*CLI, *TRAIN, f"seed={seed}", f"runs={root}", "experiment=run"]
        subprocess.run(command, cwd=root, check=True, capture_output=True)
    draw, reviews = np.random.default_rng(0), synthetic_reviews(2000, seed=1)
    rows = {"customer": draw.integers(500, size=5000), "item": draw.integers(2000, size=5000)}
    bought = pd.DataFrame({name: [f"{name}-{n}" for n in numbers] for name, numbers in rows.items()})
    bought["timestamp"] = pd.Timestamp("2024-01-01") + pd.to_timedelta(draw.integers(60, size=5000), unit="D")
    store = generate(TransactionParams(customers=300, days=40, seed=1, takeovers=1.5, card_tests=0.3))
    table, fraud = features(store.transactions), store.labels["fraud"].to_numpy()
    short = {"unit": "character", "longest": 4, "least_texts": 1, "validation": 0.0, "strength": 100.0}
    for end in ("", "2"):
        models = {
            "item_knn": recommendation.create("item_knn").fit(Log.from_frame(bought)),
            "sentiment": language.create("tfidf").fit(reviews["text"].tolist(), reviews["positive"].tolist()),
            "intents": language.create("tfidf", **short).fit(*read_answers().examples()),
            "trees": Trees(TreesParams(rounds=20 + len(end))).fit(table, fraud).calibrate(table, fraud),
        }
        for name, model in models.items():
            model.save(root / f"{name}{end}", CARD)
    store.transactions.iloc[:1000].to_json(root / "transactions.json", orient="records", date_format="iso")


@cache
def fitted() -> Path:
    """A folder with what `fit` makes; ATTACK_MODELS names one to keep for the next time."""
    root = Path(os.environ.get("ATTACK_MODELS") or tempfile.mkdtemp(prefix="attack")).resolve()
    root.mkdir(parents=True, exist_ok=True)
    if not (root / "transactions.json").exists():
        fit(root)
    return root


def runs() -> list[Path]:
    return sorted(path.parent for path in fitted().glob("run/*/DONE"))


class Server:
    """`storelab serve` in a process of its own, with a copy of all models."""

    def __enter__(self) -> "Server":
        self.folder = Path(tempfile.mkdtemp(prefix="serving"))
        self.models = self.folder / "models"
        shutil.copytree(fitted(), self.models)
        self.key = add_key(self.folder / "keys.json", "attacker", RIGHTS, 1e6)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        given = [part for name, option in OPTIONS.items() for part in (option, str(self.models / name))]
        run = self.models / runs()[0].relative_to(fitted())
        command = [*CLI, "serve", str(run), *given, "--keys", str(self.folder / "keys.json"), "--port", str(self.port)]
        with (self.folder / "log").open("w") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, cwd=self.folder)
        while not self.answers():
            if self.process.poll() is not None:
                raise SystemExit((self.folder / "log").read_text())
            time.sleep(0.2)
        return self

    def __exit__(self, *error) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(60)
        shutil.rmtree(self.folder, ignore_errors=True)

    def answers(self) -> bool:
        with contextlib.suppress(OSError, http.client.HTTPException):
            return self.ask("GET", "/health", None)[0] == 200
        return False

    def client(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)

    def ask(self, method: str, path: str, body, client=None) -> tuple[int, bytes]:
        """Status and body of an answer; a body is JSON, or bytes as they are."""
        client = client or self.client()
        content = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        headers = {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"}
        client.request(method, path, content, headers)
        answer = client.getresponse()
        return answer.status, answer.read()

    def head(self, path: str, length: int | None) -> bytes:
        lines = [f"POST {path} HTTP/1.1", "Host: x", f"Authorization: Bearer {self.key}"]
        lines += ["Content-Type: application/json", *([] if length is None else [f"Content-Length: {length}", ""]), ""]
        return "\r\n".join(lines).encode()

    def sockets(self) -> int:
        """How many the server has open."""
        count = 0
        for path in Path(f"/proc/{self.process.pid}/fd").iterdir():
            with contextlib.suppress(OSError):  # closed meanwhile
                count += os.readlink(path).startswith("socket:")
        return count

    def memory(self) -> dict[str, float]:
        """MiB of the server and of each process below it, in proportion where shared."""
        return {str(pid): pss(pid) for pid in (self.process.pid, *below(self.process.pid))}


def below(pid: int) -> list[int]:
    """The processes below one."""
    with contextlib.suppress(OSError):
        found = [int(n) for path in Path(f"/proc/{pid}/task").glob("*/children") for n in path.read_text().split()]
        return found + [pid for child in found for pid in below(child)]
    return []


def pss(pid: int) -> float:
    with contextlib.suppress(OSError, StopIteration):
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("Pss:")).split()[1]) / 1024
    return 0.0


def transactions(count: int, hours: int = 0) -> list[dict]:
    """Transactions an hour apart."""
    rows = json.loads((fitted() / "transactions.json").read_text())
    begun = pd.Timestamp("2015-01-01")
    times = [(begun + pd.Timedelta(hours=hours + n)).isoformat() for n in range(count)]
    return [rows[(hours + n) % len(rows)] | {"timestamp": times[n]} for n in range(count)]


def worst(route: str) -> bytes:
    """A request that costs as much as is allowed, of almost 4 MiB where that is slower."""
    if route == "recommend":
        bought = [{"item": f"item-{n % 2000}", "time": "2024-01-01"} for n in range(80)]
        body = {"customers": [bought] * 1000, "now": "2024-02-01", "k": 50}
    elif route == "sentiment":
        body = {"texts": ["so good " * 1250] * 400}
    elif route == "answer":
        body = {"messages": [{"text": "市" * 10_000}] * 128}
    elif route == "fraud":
        body = {"transactions": transactions(1) * 1024}  # of one time: else the next request came too late
    else:
        body = {"observations": [[3, 1, 0, 2]] * 1024}
    return json.dumps(body, ensure_ascii=False).encode()


def _flood(port: int, request: bytes, stop) -> None:
    while not stop.is_set():
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 120) as client:
            client.sendall(request)
            while client.recv(1 << 16):
                pass


@trial
def flood() -> list[Outcome]:
    """A small request, 20 a second, beside four connections that send the worst ones to another route."""
    outcomes, context = [], multiprocessing.get_context("fork")
    with Server() as server:
        for route in ("recommend", "sentiment", "answer", "fraud"):
            body, stop = worst(route), context.Event()
            status, _ = server.ask("POST", f"/{route}", body)
            request = server.head(f"/{route}", len(body)).replace(b"Host: x", b"Host: x\r\nConnection: close") + body
            floods = [context.Process(target=_flood, args=(server.port, request, stop)) for _ in range(4)]
            for process in floods:
                process.start()
            taken, good, client = [], 0, server.client()
            for _ in range(600):
                begun = time.perf_counter()
                good += server.ask("POST", "/restock", ROW, client)[0] == 200
                taken.append(time.perf_counter() - begun)
                time.sleep(max(0.0, 0.05 - taken[-1]))
            stop.set()
            for process in floods:
                process.kill()
            middle, late = 1000 * np.quantile(taken, [0.5, 0.99])
            held = good if late < 200 and status == 200 else 0
            what = f"/restock beside 4 connections that send /{route} {len(body) / 2**20:.1f} MiB each"
            outcomes.append(Outcome(what, len(taken), held, f"p50 {middle:.0f} ms, p99 {late:.0f} ms"))
    return outcomes


@trial
def bodies() -> list[Outcome]:
    """Bodies of some MB of which each part is wrong, or that lie about their size."""
    row, many = b"[true,true,true,true],", b",".join(b'"%d":0' % n for n in range(300_000))
    rows = [b'{"observations": [' + row * 150_000 + b"[0]]}", b'{"observations": [[' + b'"x",' * 900_000 + b"0]]}"]
    made = {
        "restock": rows,
        "recommend": [b'{"now": "2024-01-01", "customers": [[' + b'{"item":1},' * 300_000 + b"{}]]}"],
        "sentiment": [b'{"texts": [' + b"0," * 1_500_000 + b"0]}", b"[" * 4_000_000, b'{"texts": ' + b"9" * 4_000_000],
        "answer": [b'{"messages": [' + b'{"facts":{"a":0,"b":0}},' * 150_000 + b"0]}", b"{" + many + b"}"],
        "fraud": [b'{"transactions": [' + b"{}," * 1_300_000 + b"0]}", b'{"transactions": [{' + many + b"}]}"],
        "swap": [b'{"route": "' + b"x" * 4_000_000 + b'"}', b"{" + many + b"}"],
    }
    count = held = 0
    slowest = 0.0
    with Server() as server:
        before = {pid: _peak(int(pid)) for pid in server.memory()}
        for route, contents in made.items():
            for content in contents * 5:
                begun = time.perf_counter()
                status, answer = server.ask("POST", f"/{route}", content)
                slowest = max(slowest, time.perf_counter() - begun)
                count, held = count + 1, held + (status in (400, 413, 422) and len(answer) < 1000)
        grown = max(_peak(int(pid)) - before.get(pid, 0.0) for pid in server.memory())
    what = "bad bodies of 3 to 4 MB, each refused in one line"
    return [
        Outcome(
            what,
            count,
            held if grown < 500 else 0,
            f"slowest {slowest:.1f} s; a process grew by at most {grown:.0f} MiB",
        )
    ]


def _peak(pid: int) -> float:
    with contextlib.suppress(OSError):
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1024
    return 0.0


@trial
def swaps() -> list[Outcome]:
    """Damaged folders, and trees whose text was changed under true checksums: refused, or they give probabilities."""
    draw, flips, texts = random.Random(0), [0, 0], [0, 0]
    with Server() as server:
        for _ in range(40):
            name = draw.choice(["item_knn", "sentiment", "intents", "trees"])
            path = server.models / "bad" / draw.choice(["config.json", "model.safetensors"])
            shutil.copytree(server.models / f"{name}2", path.parent)
            content = bytearray(path.read_bytes())
            place = draw.choice([n for n in range(len(content)) if content[n : n + 1].strip()])
            content[place] ^= 1 << draw.randrange(8)
            path.write_bytes(content)
            route = {"item_knn": "recommend", "intents": "answer", "trees": "fraud"}.get(name, name)
            status, _ = server.ask("POST", "/swap", {"route": route, "name": "bad"})
            flips = [flips[0] + 1, flips[1] + (status == 422 and server.ask("POST", "/restock", ROW)[0] == 200)]
            shutil.rmtree(path.parent)
        died = 0
        for number in range(60):
            folder, (name, config, arrays, _) = server.models / "bad", load_folder(server.models / "trees2")
            text = _other_trees(arrays["trees"].tobytes().decode(), draw)
            save_folder(folder, name, config, {"trees": np.frombuffer(text.encode(), np.uint8)}, CARD)
            status, answer = server.ask("POST", "/swap", {"route": "fraud", "name": "bad"})
            died += b"signal" in answer
            after = server.ask("POST", "/fraud", {"transactions": transactions(2, hours=2 * number)})
            good = after[0] == 200 and all(0 <= p <= 1 for p in json.loads(after[1])["probabilities"])
            texts = [texts[0] + 1, texts[1] + (status in (200, 422) and good)]
            shutil.rmtree(folder)
    return [
        Outcome("a flipped bit in a model's files: not put in, the server answers", *flips),
        Outcome(
            "a changed text of trees: the server answers with probabilities", *texts, f"{died} ended their process"
        ),
    ]


def _other_trees(text: str, draw: random.Random) -> str:
    """LightGBM's text with one thing changed: a number, a line, its length."""
    lines = text.split("\n")
    at = draw.choice([n for n, line in enumerate(lines) if "=" in line])
    name, _, value = lines[at].partition("=")
    numbers = value.split(" ")
    numbers[draw.randrange(len(numbers))] = draw.choice(["nan", "-1", "99999999", "1e999", "", "x", "-99999999"])
    changed = [*lines[:at], f"{name}={' '.join(numbers)}", *lines[at + 1 :]]
    return "\n".join(draw.choice([changed, changed, changed, lines[:at], lines[:at] + lines[at + 1 :]]))


@trial
def add_keys() -> list[Outcome]:
    """Keys added by many processes at once, through a link, to a file with permissions of its own."""
    count, held, each = 5, 0, 20
    for _ in range(count):
        with tempfile.TemporaryDirectory() as folder:
            real, link = Path(folder) / "real.json", Path(folder) / "keys.json"
            add_key(real, "first", ("restock",), 1)
            real.chmod(0o640)
            link.symlink_to(real)
            add = [multiprocessing.Process(target=add_key, args=(link, f"k{n}", ("price",), 1)) for n in range(each)]
            for process in add:
                process.start()
            for process in add:
                process.join()
            names = {caller.name for caller in Keys.read(link).callers}
            whole = names == {"first", *(f"k{n}" for n in range(each))}
            held += whole and link.is_symlink() and real.stat().st_mode & 0o777 == 0o640
    return [Outcome(f"{each} keys added at once: all there, link and permissions as they were", count, held)]


@trial
def schema() -> list[Outcome]:
    """Schemathesis, from an environment of its own that SCHEMATHESIS names the command of."""
    with Server() as server:
        command = [os.environ.get("SCHEMATHESIS", "schemathesis"), "--config-file", "bench/schemathesis.toml", "run"]
        command += [f"http://127.0.0.1:{server.port}/openapi.json", "-H", f"Authorization: Bearer {server.key}"]
        command += ["--checks", "all", "--max-examples", "50", "--seed", "1", "--no-color"]
        ended = subprocess.run(command, capture_output=True, text=True)
    print(ended.stdout[-6000:], ended.stderr[-2000:], file=sys.stderr)
    found = re.search(r"(\d+) generated", ended.stdout)
    count = int(found[1]) if found else 1
    return [Outcome("requests that Schemathesis makes of the OpenAPI schema", count, count * (ended.returncode == 0))]
