"""One customer is taken out of every kind of file and of nothing else; the models that have seen them are named."""

import json
import re
import shutil

import numpy as np
import pandas as pd
import pytest
from storelab.data import encryption, pseudonymise
from storelab.data.files import load, read_parquet
from storelab.experiments.commands import forget as module
from storelab.experiments.commands.forget import forget

KEY = "c3f81a90d7be4426"
ROWS = [
    ("17850", "tea", 1),
    ("13047", "cup", 2),
    ("17850.0", "pot, large", 3),
    (" 17850 ", 'a "b"\nc', 4),
    ("178500", "17850", 5),
]
TABLE = pd.DataFrame(ROWS, columns=["CustomerID", "item", "units"])
GONE = 3  # of these rows


@pytest.fixture
def data(tmp_path, monkeypatch):
    """A folder with a file of each kind, all with the customer; the folder that commands run in is above it."""
    monkeypatch.delenv("STORELAB_KEY", raising=False)
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "data"
    (folder / "deep").mkdir(parents=True)
    TABLE.to_csv(folder / "a.csv", index=False)
    TABLE.to_csv(folder / "deep" / "b.tsv", index=False, sep="\t", encoding="utf-16")
    TABLE.to_parquet(folder / "c.parquet", index=False, compression="gzip")
    TABLE.to_excel(folder / "d.xlsx", index=False)
    (folder / "e.json").write_text(
        json.dumps({"orders": [{"customer": 17850, "n": 1}, {"customer": 2}], "kept": [17850]})
    )
    (folder / "f.jsonl").write_text('{"user_id": "17850"}\n{"user_id":  "1"}\n\n')
    np.savez(folder / "g.npz", customer=np.array([17850, 13047]), units=np.array([1.0, 2.0]), other=np.zeros(3))
    (folder / "h.csv").write_text("item;units\n17850;2\n")  # an item is called so
    return folder


def test_all_files_lose_the_customer_and_nothing_else(data, capsys):
    before = {path: path.read_bytes() for path in data.rglob("*") if path.is_file()}
    assert forget(["17850", "--data", "data"]) == 0
    said = capsys.readouterr().out
    assert "a.csv: 3 rows are gone" in said
    assert "no run or model to fit anew" in said
    for name in ("a.csv", "deep/b.tsv", "c.parquet", "d.xlsx"):
        frame = load(data / name, list(TABLE))
        assert [str(one).strip() for one in frame["CustomerID"]] == ["13047", "178500"], name
        assert frame["item"].tolist()[0] == "cup"
    whole, kept = before[data / "a.csv"].decode(), (data / "a.csv").read_text()
    assert kept == "".join(whole.splitlines(keepends=True)[n] for n in (0, 2, 6))  # a cell has a line break
    assert (data / "deep" / "b.tsv").read_bytes()[:2] == before[data / "deep" / "b.tsv"][:2]
    assert json.loads((data / "e.json").read_text()) == {"orders": [{"customer": 2}], "kept": [17850]}
    assert (data / "f.jsonl").read_text() == '{"user_id":  "1"}\n\n'
    with np.load(data / "g.npz") as arrays:
        assert {name: arrays[name].tolist() for name in arrays} == {
            "customer": [13047],
            "units": [2.0],
            "other": [0, 0, 0],
        }
    assert (data / "h.csv").read_bytes() == before[data / "h.csv"]
    assert not list(data.rglob("*.part"))
    assert forget(["17850", "--data", "data"]) == 1
    assert "none of 8 files holds the customer" in capsys.readouterr().err


def test_a_dry_run_changes_nothing(data, capsys):
    before = {path: path.read_bytes() for path in data.rglob("*") if path.is_file()}
    assert forget(["17850", "--data", "data", "--dry-run"]) == 0
    assert "a.csv: 3 rows would go" in capsys.readouterr().out
    assert {path: path.read_bytes() for path in data.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("fault", ["damaged", "full"])
def test_all_or_nothing(data, fault, capsys, monkeypatch):
    """One file that cannot be read, or written beside: no file is changed."""
    before = {path: path.read_bytes() for path in data.rglob("*") if path.is_file()}
    if fault == "damaged":
        (data / "z.parquet").write_bytes(b"PAR1 no")
        before[data / "z.parquet"] = b"PAR1 no"
    else:
        write = module.Path.write_bytes

        def full(path, content):
            if "g.npz" in path.name:
                raise OSError(28, "No space left on device", str(path))
            return write(path, content)

        monkeypatch.setattr(module.Path, "write_bytes", full)
    assert forget(["17850", "--data", "data"]) == 2
    assert capsys.readouterr().err.endswith("nothing was changed\n")
    monkeypatch.undo()
    assert {path: path.read_bytes() for path in data.rglob("*") if path.is_file()} == before


def test_pseudonyms(data, monkeypatch, tmp_path):
    """The raw id finds the pseudonym under the key, and the pseudonym the raw id; another key's finds nothing."""
    monkeypatch.setenv("STORELAB_KEY", KEY)
    names = pseudonymise(pd.Series(["17850", "13047"]), KEY.encode())
    safe = tmp_path / "safe"
    safe.mkdir()
    for wanted in ("17850", names[0]):
        pd.DataFrame({"customer": names, "n": [1, 2]}).to_parquet(safe / "p.parquet")
        assert forget([wanted, "--data", "safe"]) == 0
        assert read_parquet(safe / "p.parquet")["customer"].tolist() == [names[1]]
    assert forget([names[0], "--data", "data/c.parquet"]) == 0
    assert len(read_parquet(data / "c.parquet")) == 2
    monkeypatch.setenv("STORELAB_KEY", KEY[::-1])
    pd.DataFrame({"customer": names}).to_parquet(safe / "p.parquet")
    assert forget(["17850", "--data", "safe"]) == 1


def test_encrypted_tables_stay_so(data, monkeypatch, tmp_path):
    key = encryption.new_key()
    monkeypatch.setenv(encryption.VARIABLE, key)
    path = data / "a.csv"
    path.write_bytes(encryption.encrypted(path.read_bytes(), {encryption.key_name(key): key}))
    assert forget(["17850", "--data", "data/a.csv"]) == 0
    assert encryption.is_encrypted(path)
    assert len(load(path, list(TABLE))) == 2
    monkeypatch.delenv(encryption.VARIABLE)
    assert forget(["13047", "--data", "data/a.csv"]) == 2


def test_a_column_of_ones_own_and_what_is_left(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    pd.DataFrame({"who": ["ann-01", "bob-02"], "note": ["", "for ann-01"]}).to_csv("t.csv", index=False)
    assert forget(["ann-01", "--data", "t.csv"]) == 1
    assert forget(["ann-01", "--data", "t.csv", "--column", "who"]) == 1
    assert "still holds the customer: t.csv, row 1, column 'note'" in capsys.readouterr().err
    assert pd.read_csv("t.csv")["who"].tolist() == ["bob-02"]


@pytest.mark.parametrize("words", [[], ["x"], ["x", "--data", "none.csv"], ["x", "--data", "t.bin"], ["x", "--what"]])
def test_bad_lines(words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "t.bin").write_bytes(b"")
    assert forget(words) == 2
    assert capsys.readouterr().err


def test_models_that_have_seen_the_customer(storelab, tmp_path, monkeypatch, capsys):
    """Runs of the file are named, and a model that was copied elsewhere; runs of another file and of none are not."""
    rng = np.random.default_rng(0)
    times = pd.Timestamp("2023-02-01") + pd.to_timedelta(rng.integers(0, 120 * 24, 900), unit="h")
    table = pd.DataFrame(
        {"customer": rng.integers(101, 131, 900), "item": rng.integers(0, 15, 900), "timestamp": times}
    )
    table.to_csv(tmp_path / "bought.csv", index=False)
    table.assign(customer=table["customer"] + 500).to_csv(tmp_path / "others.csv", index=False)
    folders = {}
    for name in ("bought", "others", ""):
        path = (
            (f"dataset.path={name}.csv",) if name else ("dataset.items=20", "dataset.customers=100", "dataset.days=90")
        )
        done = storelab(tmp_path, "fit", "dataset=purchases", *path, "model=popularity")
        assert done.status == 0, done.err
        folders[name] = tmp_path / re.search(r"run: (\S+)", done.out)[1]
    monkeypatch.chdir(tmp_path)
    shutil.copytree(folders["bought"] / "model", tmp_path / "elsewhere" / "best")
    shutil.copytree(folders["others"] / "model", tmp_path / "elsewhere" / "other")
    assert forget(["107", "--data", ".", "--models", "elsewhere"]) == 0
    said = capsys.readouterr().out
    listed = said.partition("to be fitted anew:\n")[2].splitlines()
    assert len(listed) == 2, said
    assert f"{folders['bought'].name}: has seen the customer in bought.csv" in listed[0]
    assert listed[1] == "  elsewhere/best: has seen the customer in bought.csv"
    again = storelab(tmp_path, "fit", "dataset=purchases", "dataset.path=bought.csv", "model=popularity")
    assert folders["bought"].name not in again.out  # other data: another run, fitted anew
    capsys.readouterr()
    assert forget(["108", "--data", "bought.csv", "--models", "elsewhere"]) == 0
    listed = capsys.readouterr().out.partition("to be fitted anew:\n")[2].splitlines()
    assert sorted(line.partition(": ")[2] for line in listed) == [
        "has seen the customer in bought.csv",
        "may have seen the customer, in a bought.csv",
        "may have seen the customer, in bought.csv",
    ]


def test_the_command_line_knows_them(storelab, tmp_path):
    for command in ("forget", "audit", "encrypt"):
        told = storelab(tmp_path, command, "--help")
        assert (told.status, told.err) == (0, "")
        assert told.out.startswith(f"usage: storelab {command} ")
