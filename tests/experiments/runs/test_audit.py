"""Raw identifiers in runs and models: none in what a command leaves, each one that is planted found with its place."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import save_file
from storelab.experiments.commands.audit import audit_folder
from storelab.experiments.runs.audit import Ids, audit, ids_of
from storelab.experiments.runs.folder import Run

IDS = [f"cust-{k:04}" for k in range(60)]
SHORT = [f"{k}" for k in range(12346, 12406)]  # as those of Online Retail


def bought(ids, items) -> pd.DataFrame:
    rng = np.random.default_rng(3)
    rows = 1500
    times = pd.Timestamp("2023-02-01") + pd.to_timedelta(rng.integers(0, 120 * 24, rows), unit="h")
    return pd.DataFrame(
        {"customer": rng.choice(ids, rows), "item": rng.choice(items, rows), "timestamp": times, "name": "Ann Lee"}
    )


@pytest.fixture(scope="module")
def fitted(storelab, tmp_path_factory):
    """A finished run of `fit` on a table, and the table."""
    folder = tmp_path_factory.mktemp("audit")
    bought(IDS, [f"item {k}" for k in range(20)]).to_csv(folder / "bought.csv", index=False)
    done = storelab(folder, "fit", "dataset=purchases", "dataset.path=bought.csv", "model=item_knn")
    assert done.status == 0, done.err
    return Run(folder / done.run), folder / "bought.csv"


def test_a_run_of_fit_holds_none(fitted, capsys, monkeypatch):
    run, table = fitted
    monkeypatch.chdir(table.parent)
    assert audit_folder([str(run.folder)]) == 0
    assert "60 ids of customers of bought.csv are looked for" in capsys.readouterr().out
    assert audit_folder([str(run.folder / "model")]) == 0  # its run says what it was made from
    assert audit_folder([str(run.folder), "--data", str(table)]) == 0


def test_a_run_of_another_version(fitted, tmp_path, capsys, monkeypatch):
    """Whose settings are not what they are now: its data is known all the same."""
    run, table = fitted
    monkeypatch.chdir(table.parent)
    folder = tmp_path / "fit" / run.folder.name
    shutil.copytree(run.folder, folder)
    config = (folder / "config.yaml").read_text().replace("test_days:", "days_of_test:")
    assert "days_of_test" in config
    (folder / "config.yaml").write_text(config)
    assert audit_folder([str(folder)]) == 0
    assert "60 ids of customers of bought.csv are looked for" in capsys.readouterr().out


def test_a_run_that_would_leave_some_fails(storelab, tmp_path):
    items = [f"shop{k}@store.com" for k in range(20)]
    bought(IDS, items).to_csv(tmp_path / "bought.csv", index=False)
    for _ in range(2):  # and so does the same command again
        done = storelab(tmp_path, "fit", "dataset=purchases", "dataset.path=bought.csv", "model=item_knn")
        assert done.status == 2
        assert "holds raw identifiers" in done.err
        assert "more; storelab audit" in done.err
    (folder,) = (tmp_path / "runs" / "fit").iterdir()
    assert not Run(folder).done
    assert Run(folder).read("status.json")["state"] == "failed"
    ended = storelab(tmp_path, "audit", str(folder))
    assert ended.status == 1
    assert "model/config.json, config.items[0]: email" in ended.out
    assert items[0] not in ended.out


def test_a_run_may_be_ended_all_the_same(storelab, tmp_path):
    """By a switch, which its status keeps; names of articles are no postal addresses, nor people."""
    items = [*(f"shop{k}@store.com" for k in range(3)), "3 Rose Lane vase", "Miss Dior", *(f"i{k}" for k in range(15))]
    bought(IDS, items).to_csv(tmp_path / "bought.csv", index=False)
    line = ("fit", "dataset=purchases", "dataset.path=bought.csv", "model=item_knn")
    done = storelab(tmp_path, *line, "--allow-identifiers")
    assert done.status == 0, done.err
    assert "raw identifiers, which are allowed" in done.out
    (folder,) = (tmp_path / "runs" / "fit").iterdir()
    status = Run(folder).read("status.json")
    assert (status["state"], status["allowed"]) == ("finished", True)
    told = storelab(tmp_path, "audit", str(folder)).out
    assert status["raw_identifiers"] == told.count("email")
    assert "address" not in told


PLANTED = {  # file -> what writes it, and the places that are told
    "a.json": (
        lambda path: path.write_text(json.dumps({"log": [{"who": "cust-0007"}]})),
        "log[0].who: id of a customer",
    ),
    "b.json": (lambda path: path.write_text(json.dumps({"cust-0007": 1})), "cust-0007: id of a customer"),
    "c.jsonl": (lambda path: path.write_text('{"a": 1}\n{"mail": "x@y.com"}\n'), "line 2.mail: email"),
    "d.yaml": (lambda path: path.write_text("note: call 212-555-0187\n"), "note: phone"),
    "e.csv": (lambda path: path.write_text("a,b\n1,4111 1111 1111 1111\n"), "row 1, column 'b': card"),
    "f.parquet": (lambda path: pd.DataFrame({"who": ["x", "cust-0007"]}).to_parquet(path), "column 'who', row 2: id"),
    "g.npz": (lambda path: np.savez(path, users=np.array(["a", "cust-0007"])), "users[1]: id of a customer"),
    "h.npz": (lambda path: np.savez(path, names=np.array([b"ann@shop.com"])), "names[0]: email"),
    "i.safetensors": (lambda path: save_file({"a": np.zeros(2)}, path, {"by": "cust-0007"}), "metadata.by: id of a"),
    "j.safetensors": (
        lambda path: save_file({"t": np.frombuffer(b"tree of cust-0007", np.uint8).copy()}, path),
        "t: byte 8: id of a customer",
    ),
    "k.md": (lambda path: path.write_text("fine\nsaw cust-0007, twice\n"), "line 2: id of a customer"),
    "l.txt": (lambda path: path.write_text("身份证11010519491231002X"), "line 1: id number"),
    "q.txt": (lambda path: path.write_text("to 48 Rosebery Avenue, London EC1R 4TD"), "line 1: address"),
    "r.json": (lambda path: path.write_text('{"note": "寄到上海市徐汇区漕溪北路88号"}'), "note: address"),
    "m.html": (lambda path: path.write_text("<p>fine</p>\n<p>Call (212) 555-0187</p>"), "shown text"),
    "n.html": (lambda path: path.write_text('<a\n href="mailto:ann@shop.com">us</a>'), "line 2: email"),
    "o.bin": (lambda path: path.write_bytes(b"\xff\x00\x01mail ann@shop.com\xfe"), "byte 8: email"),
    "events.out.tfevents.1": (lambda path: path.write_bytes(b"\xff\xfe cust-0007 \x80"), "byte 3: id of a customer"),
    "deep/er/p.json": (lambda path: path.write_text('["cust-0007"]'), "[0]: id of a customer"),
}


@pytest.mark.parametrize("name", PLANTED)
def test_what_is_planted_is_found(name, fitted, tmp_path, capsys, monkeypatch):
    run, table = fitted
    monkeypatch.chdir(table.parent)
    for source, folder in (
        (run.folder, tmp_path / "fit" / run.folder.name),
        (run.folder / "model", tmp_path / "model"),
    ):
        shutil.copytree(source, folder)
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        write, place = PLANTED[name]
        write(folder / name)
        assert audit_folder([str(folder), "--data", str(table)]) == 1
        said = capsys.readouterr().out
        assert f"{name}, {place}" in said
        assert "cust-0007" not in said.replace(f"{name}, cust-0007", "")


def test_short_ids_need_more_than_a_number(tmp_path):
    """Numbers of five digits are everywhere: they count where something says that they are customers."""
    bought(SHORT, [f"{k}" for k in range(12390, 12420)]).to_csv(tmp_path / "bought.csv", index=False)
    ids = ids_of(tmp_path / "bought.csv")
    assert "12350" in ids.all
    assert "12395" not in ids.all  # an item is called so too
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "fine.json").write_text(json.dumps({"steps": 12350, "items": ["12395", "12396"], "loss": 12350.0}))
    (folder / "fine.md").write_text("12350 steps of 12360\n")
    pd.DataFrame({"step": range(12000, 13000)}).to_parquet(folder / "fine.parquet")
    assert audit(folder, ids) == []
    (folder / "a.json").write_text(json.dumps({"customer": 12350}))
    (folder / "b.md").write_text("customer 12350 bought it\n")
    (folder / "c.json").write_text(json.dumps({"seen": ["12350"]}))
    np.savez(folder / "d.npz", rows=np.array(SHORT[:40], int))
    pd.DataFrame({"user_id": [12351.0, 12350.0]}).to_parquet(folder / "e.parquet")
    found = {leak.file: str(leak) for leak in audit(folder, ids)}
    assert set(found) == {"a.json", "b.md", "c.json", "d.npz", "e.parquet"}
    assert found["d.npz"] == "d.npz, rows[0]: 40 ids of customers"


def test_without_data_it_says_so(tmp_path, capsys):
    (tmp_path / "note.txt").write_text("fine\n")
    assert audit_folder([str(tmp_path)]) == 0
    assert "the data is not known, --data names it" in capsys.readouterr().out
    for words in ([str(tmp_path / "none")], [str(tmp_path), "--data", str(tmp_path / "none.csv")], []):
        assert audit_folder(words) == 2
    (tmp_path / "bad.json").write_text("{")
    assert audit_folder([str(tmp_path)]) == 2
    assert "bad.json cannot be looked into" in capsys.readouterr().err


def test_numbers_of_a_run_are_no_phones(tmp_path):
    svg = "<svg><path d='M 212 555 1234 L 415 555 2671'/><text>200</text><text>300</text></svg>"
    (tmp_path / "b.html").write_text(svg)
    sums = {"seconds": [212.5550187, 4155552671, 13812345678], "sum": "f" * 20 + "4155552671"}
    (tmp_path / "a.json").write_text(json.dumps(sums))
    assert audit(tmp_path, Ids()) == []


@pytest.mark.parametrize("seed", range(4))
def test_tables_of_numbers_hold_nothing(seed, tmp_path):
    """Whatever numbers of a run look like in a page, a text, CSV or YAML: floats, counts, days, in columns or lists."""
    rng = np.random.default_rng(seed)
    values = [*(rng.normal(size=3000) * 10.0 ** rng.integers(-9, 9, 3000)), *rng.integers(0, 10**5, 3000)]
    values = [
        *map(repr, map(float, values[:3000])),
        *(f"{value:.2f}" for value in values[:3000]),
        *map(str, values[3000:]),
    ]
    values += [f"{day:%Y-%m-%d}" for day in pd.date_range("2023-01-01", periods=500)]
    rng.shuffle(values)
    for name, between in (("a.md", " "), ("b.txt", ", "), ("c.html", "</td><td>"), ("d.svg", "\n"), ("e.txt", "  |  ")):
        rows = [between.join(values[k : k + 12]) for k in range(0, len(values), 12)]
        (tmp_path / name).write_text("\n".join(f"<tr><td>{row}</td></tr>" if name == "c.html" else row for row in rows))
    pd.DataFrame(np.reshape(values[:9000], (-1, 9))).to_csv(tmp_path / "f.csv", index=False)
    (tmp_path / "g.yaml").write_text("level: [" + ", ".join(values[:4000]) + "]\n")
    assert audit(tmp_path, Ids()) == []
