"""One customer is taken out of every kind of file and of nothing else; the models that have seen them are named."""

import json
import os
import re
import shutil

import numpy as np
import pandas as pd
import pytest
from storelab import language, recommendation
from storelab.data import encryption, pseudonymise
from storelab.data.files import load, read_parquet
from storelab.experiments.commands import forget as module
from storelab.experiments.commands.encrypt import encrypt
from storelab.experiments.commands.forget import forget
from storelab.experiments.runs.lease import leased
from storelab.experiments.runs.provenance import source_hash
from storelab.language import create
from storelab.learning.base import ANEW, Card, mark_anew

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
    before = contents(data)
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
    before = contents(data)
    assert forget(["17850", "--data", "data", "--dry-run"]) == 0
    assert "a.csv: 3 rows would go" in capsys.readouterr().out
    assert contents(data) == before


@pytest.mark.parametrize("fault", ["damaged", "full"])
def test_all_or_nothing(data, fault, capsys, monkeypatch):
    """One file that cannot be read, or written beside: no file is changed."""
    before = contents(data)
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
    assert contents(data) == before


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and ".lease-" not in path.name}


@pytest.mark.parametrize("replaced", range(7))
def test_a_killed_command_is_finished_by_the_next(data, replaced, tmp_path, monkeypatch, capsys):
    """Killed while the n-th file is put in its place: the next command, whomever it is about, puts the others there."""
    shutil.copytree(data, tmp_path / "whole")
    assert forget(["17850", "--data", "whole"]) == 0
    model = tmp_path / "models" / "best"
    model.mkdir(parents=True)
    told = {"card": {"data": f"file a.csv, SHA-256 {source_hash(data / 'a.csv')}"}}
    (model / "config.json").write_text(json.dumps(told))
    child = os.fork()
    if not child:
        replace, names = os.replace, []

        def dying(source, target):
            if str(source).endswith(module.PART):
                names.append(target)
                if len(names) > replaced:
                    os._exit(9)
            replace(source, target)

        module.os.replace = dying
        forget(["17850", "--data", "data", "--models", "models"])
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    half = pd.read_csv(data / "a.csv")
    assert forget(["4711", "--data", "data"]) == 1
    assert "what a command that was killed had begun is finished" in capsys.readouterr().out
    after = {path.relative_to(data): content for path, content in contents(data).items()}
    whole = {path.relative_to(tmp_path / "whole"): content for path, content in contents(tmp_path / "whole").items()}
    assert after.keys() == whole.keys()
    assert all(after[path] == whole[path] for path in after if path.suffix not in (".xlsx", ".npz"))  # these have times
    assert len(half) in (2, 5)
    assert json.loads((model / ANEW).read_text())["reason"] == "has seen the customer in a.csv"


def test_a_file_that_was_changed_after_the_kill_is_looked_through_anew(data):
    child = os.fork()
    if not child:
        module.os.replace = lambda source, target: os._exit(9) if str(source).endswith(module.PART) else os.link
        module.write_atomic = lambda path, content: path.write_bytes(content)
        forget(["17850", "--data", "data/a.csv"])
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    with (data / "a.csv").open("a") as file:
        file.write("99,new,1\n")
    assert forget(["17850", "--data", "data/a.csv"]) == 0
    assert pd.read_csv(data / "a.csv")["CustomerID"].tolist() == [13047.0, 178500.0, 99.0]


def test_one_command_at_a_time(data, capsys):
    with leased(data):
        assert forget(["17850", "--data", "data"]) == 2
        assert "does so, expected a folder that no other command changes" in capsys.readouterr().err
        assert encrypt([str(data / "a.csv")]) == 2
    assert forget(["17850", "--data", "data"]) == 0


def test_a_marked_model_says_so_when_it_is_loaded(tmp_path):
    model = create("tfidf").fit(["good", "fine good", "bad", "bad bad"] * 5, [1, 1, 0, 0] * 5)
    model.save(tmp_path, Card("made up", "none", {}, "a test", "all"))
    mark_anew(tmp_path, "has seen the customer in a.csv")
    with pytest.warns(UserWarning, match="must be fitted anew"):
        language.load(tmp_path)


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
    assert len(listed) == 3, said
    assert f"{folders['bought'].name}: has seen the customer in bought.csv" in listed[0]
    assert f"{folders['bought'].name}/model: has seen the customer in bought.csv" in listed[1]
    assert listed[2] == "  elsewhere/best: has seen the customer in bought.csv"
    with pytest.warns(UserWarning, match="must be fitted anew"):
        recommendation.load(folders["bought"] / "model")
    assert not (folders["others"] / ANEW).exists()
    again = storelab(tmp_path, "fit", "dataset=purchases", "dataset.path=bought.csv", "model=popularity")
    assert folders["bought"].name not in again.out  # other data: another run, fitted anew
    capsys.readouterr()
    assert forget(["108", "--data", "bought.csv", "--models", "elsewhere"]) == 0
    listed = capsys.readouterr().out.partition("to be fitted anew:\n")[2].splitlines()
    assert sorted(line.partition(": ")[2] for line in listed) == [
        "has seen the customer in bought.csv",
        "has seen the customer in bought.csv",
        "may have seen the customer, in a bought.csv",
        "may have seen the customer, in bought.csv",
        "may have seen the customer, in bought.csv",
    ]


def test_the_command_line_knows_them(storelab, tmp_path):
    for command in ("forget", "audit", "encrypt"):
        told = storelab(tmp_path, command, "--help")
        assert (told.status, told.err) == (0, "")
        assert told.out.startswith(f"usage: storelab {command} ")
