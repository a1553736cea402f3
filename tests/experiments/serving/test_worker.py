"""A model's process: what is tried before it serves, and what it may do without harm to the others."""

import json
import os
import shutil
import signal
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file
from storelab.errors import FieldError
from storelab.experiments.runs.checkpoints import _lines
from storelab.experiments.runs.folder import Run
from storelab.experiments.serving.app import WAITING
from storelab.experiments.serving.served import DEPTH, ITEMS, MEMBERS, check_size
from storelab.learning.base import Card, load_folder, save_folder

JSON = {"Content-Type": "application/json"}
CARD = Card(data="made up", split="none", figures={}, intended_use="tests", limits="small")
ODD = """
import os, time
from storelab.experiments.serving.models import Sentiment

class Slow(Sentiment):
    def answer(self, inputs):
        if inputs[0].startswith("sleep "):
            time.sleep(float(inputs[0][6:]))
        if inputs[0] == "abort":
            os.abort()
        return super().answer(inputs)

class Nan(Sentiment):
    def answer(self, inputs):
        return super().answer(inputs) | {"probabilities": [[float("nan"), 1.0]] * len(inputs)}

class Short(Sentiment):
    def answer(self, inputs):
        return super().answer(inputs[1:])

class Narrow(Sentiment):
    def answer(self, inputs):
        return super().answer(inputs) | {"probabilities": [[1.0]] * len(inputs)}

class Dies(Sentiment):
    def answer(self, inputs):
        os.abort()
"""


@pytest.fixture
def odd(tmp_path, monkeypatch):
    (tmp_path / "odd_models.py").write_text(ODD)
    monkeypatch.syspath_prepend(tmp_path)
    return "odd_models"


@pytest.mark.slow
def test_another_route_does_not_wait(serve, slot, saved, runs, odd):
    """Nor does a queue grow without bound: 503 beyond it."""
    client = serve(slot(saved[1] / "sentiment", f"{odd}:Slow"), slot(runs / "rules"))
    answers = []

    def ask():
        answers.append(client.post("/sentiment", json={"texts": ["sleep 0.3"]}))

    with client:
        threads = [threading.Thread(target=ask) for _ in range(WAITING + 4)]
        for thread in threads:
            thread.start()
        while len(answers) < 4:  # those beyond the queue are told at once
            time.sleep(0.01)
        for _ in range(5):
            assert client.post("/restock", json={"observations": [[3, 1, 0, 2]]}).status_code == 200
        assert len(answers) < WAITING  # while the others wait
        for thread in threads:
            thread.join()
    full = [answer for answer in answers if answer.status_code == 503]
    assert len(full) == 4
    assert {answer.headers["Retry-After"] for answer in full} == {"1"}
    assert [answer.status_code for answer in answers].count(200) == WAITING


@pytest.mark.slow
@pytest.mark.parametrize(("text", "seconds"), [("abort", 60.0), ("sleep 100", 1.0)])
def test_a_process_that_dies_or_stands_still_is_begun_anew(text, seconds, serve, slot, saved, odd, monkeypatch, caplog):
    client = serve(slot(saved[1] / "sentiment", f"{odd}:Slow"))
    monkeypatch.setattr("storelab.experiments.serving.worker.ANSWER_SECONDS", seconds)
    broken = client.post("/sentiment", json={"texts": [text]})
    assert (broken.status_code, broken.json()) == (500, {"detail": "internal error"})
    assert client.post("/sentiment", json={"texts": ["good"]}).status_code == 200
    why = "its process ended with signal 6" if text == "abort" else "its process took longer than 1 s"
    assert f"/sentiment: {why}" in caplog.text


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("Nan", "its answer to a sample is wrong: probabilities[0][0]: nan is not allowed: Input should be a finite"),
        ("Short", "its answer to a sample is wrong: probabilities has 3 rows"),
        ("Narrow", "its answer to a sample is wrong: probabilities has 4 rows of {1} numbers"),
        ("Dies", "its process ended with signal 6 while it was loaded"),
    ],
)
def test_a_model_is_tried_before_it_serves(kind, words, serve, slot, saved, odd):
    one = slot(saved[1] / "sentiment", f"{odd}:Slow")
    client = serve(one)
    one.load = f"{odd}:{kind}"
    answer = client.post("/swap", json={"route": "sentiment", "name": "sentiment"})
    assert answer.status_code == 422
    assert words in answer.json()["detail"]
    assert client.post("/sentiment", json={"texts": ["good"]}).status_code == 200
    assert [process.is_alive() for process in one.begun].count(True) == 1


def trees(folder, change) -> None:
    """Rewrite saved trees with another text of LightGBM's, with the checksums that belong to it."""
    name, config, arrays, _ = load_folder(folder)
    text = change(arrays["trees"].tobytes().decode())
    save_folder(folder, name, config, {"trees": np.frombuffer(text.encode(), np.uint8)}, CARD)


@pytest.mark.slow
@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("leaf_value=", "leaf_value=nan ", 1),
        lambda text: text.replace("num_leaves=", "num_leaves=9999", 1),
        lambda text: text.replace("left_child=", "left_child=77777 ", 1),
        lambda text: text.replace("max_feature_idx=", "max_feature_idx=9", 1),
        lambda text: text[: len(text) // 2],
        lambda text: "tree\n" * 100,
        lambda text: "",
    ],
)
def test_trees_that_lightgbm_cannot_bear(change, serve, slot, saved, tmp_path):
    """Whatever it does to its process: the server goes on with what it has, or the trees give probabilities."""
    for name in ("good", "bad"):
        shutil.copytree(saved[1] / "trees", tmp_path / name)
    trees(tmp_path / "bad", change)
    client = serve(slot(tmp_path / "good", "risk"))
    answer = client.post("/swap", json={"route": "fraud", "name": "bad"})
    assert answer.status_code in (200, 422)
    assert client.get("/models").json()["fraud"]["model"] == ("bad" if answer.status_code == 200 else "good")


@pytest.mark.parametrize("name", ["item_knn", "sentiment", "trees"])
def test_each_byte_of_a_saved_model_counts(name, saved, tmp_path):
    """Of the config too, but for its white space."""
    shutil.copytree(saved[1] / name, tmp_path / name)
    generator = np.random.default_rng(0)
    for path in (tmp_path / name / place for place in ("config.json", "model.safetensors")):
        whole = path.read_bytes()
        for at in generator.integers(len(whole), size=30):
            if whole[at : at + 1].strip():
                path.write_bytes(whole[:at] + bytes([whole[at] ^ (1 << generator.integers(8))]) + whole[at + 1 :])
                with pytest.raises(ValueError, match="holds no usable model"):
                    load_folder(tmp_path / name)
        path.write_bytes(whole)
    load_folder(tmp_path / name)


def test_weights_that_are_no_numbers_are_not_put_in(serve, slot, saved, tmp_path):
    for name in ("good", "bad"):
        shutil.copytree(saved[1] / "item_knn", tmp_path / name)
    kind, config, arrays, _ = load_folder(tmp_path / "bad")
    field = next(key for key, array in arrays.items() if array.dtype.kind == "f")
    save_folder(tmp_path / "bad", kind, config, arrays | {field: np.full_like(arrays[field], np.nan)}, CARD)
    client = serve(slot(tmp_path / "good", "recommendation"))
    answer = client.post("/swap", json={"route": "recommend", "name": "bad"})
    assert answer.status_code == 422
    assert f"{field} of model.safetensors holds a number that is not finite" in answer.json()["detail"]


def weights(run):
    return max((run / "checkpoints").iterdir()) / "policy.safetensors"


@pytest.mark.slow
def test_a_run_is_served_as_it_was_written(serve, slot, runs, tmp_path):
    """No file is changed, added or touched by serving; a changed one is refused."""
    for name in ("ppo", "other_config", "other_weights", "nan"):
        shutil.copytree(runs / "ppo", tmp_path / name)
    config = tmp_path / "other_config" / "config.yaml"
    config.write_text(config.read_text().replace("experiment: ", "experiment: x", 1))
    path = weights(tmp_path / "other_weights")
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    path = weights(tmp_path / "nan")
    bad = {name: np.full_like(value, np.nan) for name, value in load_file(path).items() if value.dtype.kind == "f"}
    save_file(load_file(path) | bad, path)
    path.with_name("SHA256").write_text("".join(_lines(path.parent)))
    files = lambda: [path for folder in tmp_path.glob("*/") for path in (folder, *folder.rglob("*"))]
    content = lambda: {p: (p.stat().st_mtime_ns, p.is_file() and p.read_bytes()) for p in files()}
    before, client = content(), serve(slot(tmp_path / "ppo"))
    said = {}
    for name in ("other_config", "other_weights", "nan", "ppo"):
        said[name] = client.post("/swap", json={"route": "restock", "name": name}).json().get("detail", "")
    assert client.post("/restock", json={"observations": [[3, 1, 0, 2]]}).status_code == 200
    assert content() == before
    assert "config.yaml is not as DONE says" in said["other_config"]
    assert "policy.safetensors is not as SHA256 says" in said["other_weights"]
    assert "of policy.safetensors holds a number that is not finite" in said["nan"]
    assert said["ppo"] == ""


def test_heuristics_of_another_version_are_not_written_into_the_run(slot, runs, tmp_path):
    """A kind that the run has no parameters of is tuned, and that is all."""
    shutil.copytree(runs / "rules", tmp_path / "rules")
    path = tmp_path / "rules" / "heuristics.json"
    kept = json.loads(path.read_text())
    path.write_text(json.dumps(dict(list(kept.items())[:-1])))
    (tmp_path / "rules" / "DONE").write_text("".join(Run(tmp_path / "rules")._sums()))
    names = ("status.json", "heuristics.json")
    before = [(tmp_path / "rules" / name).read_bytes() for name in names]
    slot(tmp_path / "rules")
    assert [(tmp_path / "rules" / name).read_bytes() for name in names] == before


nested = st.recursive(st.none() | st.integers(), lambda part: st.lists(part) | st.dictionaries(st.text(), part))


@given(nested)
def test_small_bodies_pass(body):
    def depth(part):
        inner = part.values() if isinstance(part, dict) else part
        return 1 + max(map(depth, inner), default=0) if isinstance(part, list | dict) else 0

    if depth(body) <= DEPTH:
        check_size(body)
    else:
        with pytest.raises(FieldError, match="inside one another"):
            check_size(body)


@pytest.mark.parametrize("body", [{str(n): n for n in range(MEMBERS + 1)}, [{"a": [0] * (ITEMS + 1)}]])
def test_long_bodies_do_not(body):
    with pytest.raises(FieldError, match="is not allowed, expected at most"):
        check_size(body)


FACTS = {str(k): 0 for k in range(50)}
MESSAGES = {
    "facts": [{"text": "", "facts": FACTS}] * 5000,
    "orders": [{"text": "", "orders": {str(n): FACTS for n in range(200)}}] * 30,
}
BAD = {  # bodies of some MB, of which each part is wrong
    "numbers": ("restock", b'{"observations": [' + b"[true,true,true,true]," * 100_000 + b"[0]]}"),
    "rows": ("restock", b'{"observations": [[' + b'"x",' * 800_000 + b"0]]}"),
    "members": ("restock", b'{"observations": [[3,1,0,2]],' + b",".join(b'"%d":0' % n for n in range(300_000)) + b"}"),
    "deep": ("restock", b'{"observations": ' + b"[" * 150 + b"]" * 150 + b"}"),
    "texts": ("sentiment", b'{"texts": [' + b"0," * 1_500_000 + b"0]}"),
    "purchases": ("recommend", b'{"now": "2024-01-01", "customers": [[' + b'{"item":1},' * 300_000 + b"{}]]}"),
    "stock": ("recommend", b'{"now": "2024-01-01", "customers": [[]], "in_stock": [' + b"1," * 1_500_000 + b"1]}"),
    **{name: ("answer", json.dumps({"messages": messages}).encode()) for name, messages in MESSAGES.items()},
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", BAD)
def test_a_large_bad_body_costs_little(kind, request):
    """One line, and a process that has hardly grown: megabytes, where an error for each part took gigabytes."""
    route, content = BAD[kind]
    client = request.getfixturevalue("restock" if route == "restock" else "models")
    slots = client.app.state.slots
    (pid,) = [one.worker.process.pid for one in slots if one.worker.route == route]
    before = peak(pid)
    answer = client.post(f"/{route}", content=content, headers=JSON)
    assert answer.status_code == 422
    assert len(answer.text) < 500
    assert peak(pid) - before < 300


def peak(pid: int) -> float:
    """MiB that a process held at most."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1024


def test_a_worker_ends_with_its_server(slot, saved):
    one = slot(saved[1] / "trees", "risk")
    os.kill(one.worker.process.pid, signal.SIGTERM)  # the server's to decide
    assert one.worker.answer(b"{}")[0] == 422
    one.worker._end.close()  # as a killed server leaves it
    one.worker.process.join(20)
    assert one.worker.process.exitcode == 0
