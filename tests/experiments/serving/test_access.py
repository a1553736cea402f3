"""Who is let in: keys, rights, rates, sizes; and what is logged of it."""

import asyncio
import json
import logging
import multiprocessing
from types import SimpleNamespace

import pytest
from storelab.experiments.config.settings import ConfigError
from storelab.experiments.serving.access import Keys, add_key
from storelab.experiments.serving.gate import MAX_BYTES

ROW = {"observations": [[3, 1, 0, 2]]}
JSON = {"Content-Type": "application/json"}


def test_the_file_holds_no_key(tmp_path):
    path = tmp_path / "keys.json"
    keys = [add_key(path, name, ("restock",), 10) for name in ("shop", "office")]
    assert not any(key in path.read_text() for key in keys)
    assert [Keys.read(path).find(key).name for key in keys] == ["shop", "office"]
    assert Keys.read(path).find(keys[0][:-1]) is None


def test_every_sum_is_compared(tmp_path, monkeypatch):
    """However early one fits: the time taken tells nothing of the place."""
    keys = [add_key(tmp_path / "keys.json", name, ("restock",), 10) for name in ("a", "b", "c")]
    seen = []
    compare = "storelab.experiments.serving.access.hmac.compare_digest"
    monkeypatch.setattr(compare, lambda a, b: seen.append(a) or a == b)
    assert Keys.read(tmp_path / "keys.json").find(keys[0]).name == "a"
    assert len(seen) == 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rights": ["resell"]}, "rights: 'resell' is not allowed, expected one of dispatch, "),
        ({"rights": []}, "rights: () is not allowed"),
        ({"sha256": "12"}, "sha256: '12' is not allowed, expected 64 hexadecimal digits"),
        ({"per_second": 0}, "per_second: 0 is not allowed"),
        ({"name": "a b"}, "name: 'a b' is not allowed"),
        ({"more": 1}, "more"),
    ],
)
def test_a_bad_file_is_named(change, message, tmp_path):
    add_key(tmp_path / "keys.json", "shop", ("restock",), 10)
    (entry,) = json.loads((tmp_path / "keys.json").read_text())
    (tmp_path / "keys.json").write_text(json.dumps([entry | change]))
    with pytest.raises(ConfigError, match="holds no keys") as caught:
        Keys.read(tmp_path / "keys.json")
    assert message in str(caught.value)


def test_a_name_stands_once(tmp_path):
    add_key(tmp_path / "keys.json", "shop", ("restock",), 10)
    with pytest.raises(ConfigError, match="name: 'shop' is not allowed"):
        add_key(tmp_path / "keys.json", "shop", ("price",), 10)


def test_the_rate_is_kept_over_time(tmp_path, monkeypatch):
    now = [100.0]
    monkeypatch.setattr("storelab.experiments.serving.access.time", SimpleNamespace(monotonic=lambda: now[0]))
    key = add_key(tmp_path / "keys.json", "shop", ("restock",), 20)
    keys = Keys.read(tmp_path / "keys.json")
    caller, let_in = keys.find(key), []
    for step in range(1000):  # of 1/128 s: 7.8 s
        now[0] = 100 + step / 128
        let_in += [step] if keys.wait(caller) == 0 else []
    assert let_in[:20] == list(range(20))  # a burst
    assert len(let_in) == 20 + 999 * 20 // 128  # and what comes back
    assert keys.wait(caller) == pytest.approx((1 - 999 * 20 / 128 % 1) / 20)


@pytest.mark.parametrize("key", ["", "Bearer", "Bearer x", "Basic eDp5", "Bearer \xff"])
def test_unknown_keys_are_refused(restock, key):
    answer = restock.post("/restock", json=ROW, headers={"Authorization": key.encode("latin-1")})
    assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, "Bearer")
    assert "Bearer KEY" in answer.json()["detail"]


def test_each_route_has_its_right(serve, runs, slot):
    one = slot(runs / "ppo")
    allowed = {"restock": ("restock",), "metrics": ("metrics",), "swap": ("swap",), "none": ("price",)}
    clients = {name: serve(one, rights=rights) for name, rights in allowed.items()}
    for name, client in clients.items():
        found = {
            "restock": client.post("/restock", json=ROW).status_code,
            "metrics": client.get("/metrics").status_code,
            "swap": client.post("/swap", json={"route": "restock", "name": "ppo"}).status_code,
        }
        assert found == {route: 200 if route == name else 403 for route in found}
        assert client.get("/models").status_code == 200
        assert client.get("/health", headers={"Authorization": ""}).status_code == 200
        assert client.post("/price", json=ROW).status_code == (404 if name == "none" else 403)


def test_too_many_requests(serve, runs, slot):
    client = serve(slot(runs / "ppo"), per_second=1e-4)
    first, second = (client.post("/restock", json=ROW) for _ in range(2))
    assert (first.status_code, second.status_code) == (200, 429)
    assert 9000 <= int(second.headers["Retry-After"]) <= 10_001


def test_too_large_a_body(restock):
    large = b" " * (MAX_BYTES + 1)
    for content in (large, iter([large[: len(large) // 2]] * 3)):
        answer = restock.post("/restock", content=content, headers=JSON)
        assert answer.status_code == 413
    assert restock.post("/restock", content=large, headers=JSON | {"Authorization": "Bearer x"}).status_code == 401
    padded = json.dumps(ROW).encode() + b" " * (MAX_BYTES // 2)
    assert restock.post("/restock", content=padded, headers=JSON).status_code == 200


BROKEN = """
from storelab.experiments.serving.models import Sentiment

class Broken(Sentiment):
    def answer(self, inputs):
        if "77" in inputs[0]:
            raise RuntimeError(f"cannot read {inputs}")
        return super().answer(inputs)
"""


def test_the_log_knows_nobody(serve, slot, saved, tmp_path, caplog, monkeypatch):
    """Not from what is answered, refused, or breaks."""
    caplog.set_level(logging.DEBUG)
    (tmp_path / "broken_model.py").write_text(BROKEN)
    monkeypatch.syspath_prepend(tmp_path)
    models = serve(slot(saved[1] / "item_knn", "recommendation"), slot(saved[1] / "sentiment", "broken_model:Broken"))
    secret = "Ann-Example-77"
    body = {"customers": [[{"item": secret, "time": "2024-01-01"}]], "now": "2024-02-01"}
    assert models.post("/recommend", json=body).status_code == 200
    assert models.post("/recommend", json=body | {"now": secret}).status_code == 422
    assert models.post("/sentiment", json={"texts": secret}).status_code == 422
    answer = models.post("/sentiment", json={"texts": [secret]})
    assert (answer.status_code, answer.json()) == (500, {"detail": "internal error"})
    lines = [record.getMessage() for record in caplog.records if record.name == "storelab.serve"]
    assert [line.split(" ")[:3] for line in lines if "Error" not in line] == [
        ["/recommend", "caller0", "200"],
        ["/recommend", "caller0", "422"],
        ["/sentiment", "caller0", "422"],
        ["/sentiment", "caller0", "500"],
    ]
    assert sum("RuntimeError at " in line for line in lines) == 1
    key = models.headers["Authorization"].removeprefix("Bearer ")
    for name in (secret, key, "testclient"):
        assert name not in "\n".join(lines + [record.exc_text or "" for record in caplog.records])


def test_the_log_names_who_is_refused(serve, ppo, caplog):
    """Where the key is known: also where it lacks the right, or asks too often."""
    caplog.set_level(logging.INFO, "storelab.serve")
    slow, other = serve(ppo, per_second=1e-4), serve(ppo, rights=("price",))
    for client in (slow, slow, other):
        client.post("/restock", json=ROW)
    slow.post("/restock", json=ROW, headers={"Authorization": "Bearer x"})
    ours = [record for record in caplog.records if record.name == "storelab.serve"]
    said = [record.getMessage().split(" ")[1:3] for record in ours]
    assert said == [["caller0", "200"], ["caller0", "429"], ["caller1", "403"], ["-", "401"]]


def test_keys_added_at_once_are_all_there(tmp_path):
    """And the file keeps its permissions, and a link to it its target."""
    real, link = tmp_path / "real.json", tmp_path / "keys.json"
    add_key(real, "first", ("restock",), 1)
    assert real.stat().st_mode & 0o777 == 0o600
    real.chmod(0o640)
    link.symlink_to(real)
    context = multiprocessing.get_context("fork")
    adding = [context.Process(target=add_key, args=(link, f"k{n}", ("price",), 1)) for n in range(12)]
    for process in adding:
        process.start()
    for process in adding:
        process.join()
    assert {caller.name for caller in Keys.read(link).callers} == {"first", *(f"k{n}" for n in range(12))}
    assert link.is_symlink()
    assert real.stat().st_mode & 0o777 == 0o640
    assert sorted(path.name for path in tmp_path.iterdir()) == ["keys.json", "real.json"]


def test_a_file_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"keys: .* cannot be written"):
        add_key(tmp_path / "file" / "keys.json", "shop", ("restock",), 10)


def test_other_content_is_refused(restock):
    for kind in ("text/plain", "application/x-www-form-urlencoded", ""):
        answer = restock.post("/restock", content=json.dumps(ROW), headers={"Content-Type": kind})
        assert answer.status_code == 415


def test_a_body_that_does_not_come(serve, ppo, monkeypatch):
    monkeypatch.setattr("storelab.experiments.serving.gate.BODY_SECONDS", 0.2)
    client = serve(ppo)

    async def never():
        await asyncio.sleep(60)

    async def answer() -> list[dict]:
        headers = [(b"authorization", client.headers["Authorization"].encode()), (b"content-type", b"application/json")]
        scope = {"type": "http", "method": "POST", "path": "/restock", "headers": headers, "query_string": b""}
        said = []

        async def send(message):
            said.append(message)

        await client.app(scope, never, send)
        return said

    begun, body = asyncio.run(answer())
    assert begun["status"] == 408
    assert b"not whole" in body["body"]
