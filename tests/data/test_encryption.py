"""Tables at rest: every loader reads an encrypted file as the one that it was; wrong keys and damage are told."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from storelab.data import PANEL, complete_journey, encryption, online_retail, read, vn2
from storelab.data.files import parquet_columns, read_parquet
from storelab.envs.dispatch.city import read_city
from storelab.errors import FieldError
from storelab.experiments.commands.check import check
from storelab.experiments.commands.encrypt import encrypt
from storelab.experiments.fitting.datasets import Purchases, Questions, Ratings, Reviews, Transactions
from storelab.experiments.runs.provenance import source_hash
from storelab.experiments.studies.worth import bakery
from storelab.language import tables

WRITERS = {".csv": "to_csv", ".tsv": "to_csv", ".parquet": "to_parquet", ".xlsx": "to_excel"}


@pytest.fixture
def keys(tmp_path, monkeypatch):
    """A key file outside the folder of the data, in use."""
    (tmp_path / "secret").mkdir()
    assert encrypt(["--new-key", str(tmp_path / "secret" / "keys")]) == 0
    monkeypatch.setenv(encryption.FILE, str(tmp_path / "secret" / "keys"))
    monkeypatch.delenv(encryption.VARIABLE, raising=False)
    return tmp_path / "secret" / "keys"


@pytest.fixture
def days():
    rows = [("tea", f"2024-01-{day:02}", day, 2.5) for day in range(1, 20)]
    return pd.DataFrame(rows, columns=["item", "date", "units", "price"])


def saved(folder, name, table) -> str:
    folder.mkdir(exist_ok=True)
    path = folder / name
    getattr(table, WRITERS[path.suffix])(path, index=False)
    return str(path)


@pytest.mark.parametrize("suffix", WRITERS)
def test_a_table_is_read_as_before(suffix, keys, days, tmp_path):
    path = saved(tmp_path / "data", f"days{suffix}", days)
    before, sum_before = read(path, PANEL), source_hash(path)
    assert encrypt([path]) == 0
    raw = Path(path).read_bytes()
    assert raw.startswith(encryption.MARK)
    assert b"tea" not in raw
    pd.testing.assert_frame_equal(read(path, PANEL), before)
    assert source_hash(path) == sum_before  # it is the same data: a run of it is the same run
    assert check([path]) in (0, 1)
    if suffix == ".parquet":
        assert parquet_columns(path) == list(days)
        pd.testing.assert_frame_equal(read_parquet(path), days)
    assert encrypt(["--decrypt", path]) == 0
    assert source_hash(path) == sum_before
    assert not encryption.is_encrypted(path)


def test_every_loader_reads_encrypted_files(keys, tmp_path):
    """Those of data, of texts and of `fit`: what they return is equal before and after."""
    when = pd.Timestamp("2024-01-01") + pd.to_timedelta(range(240), unit="h") * 19
    people = [f"c{k % 12}" for k in range(240)]
    items = np.random.default_rng(0).integers(0, 16, 240).astype(str).tolist()
    bought = pd.DataFrame(
        {"customer": people, "item": items, "timestamp": when, "rating": [1 + k % 5 for k in range(240)]}
    )
    paid = bought.assign(amount=5.0, fraud=[k % 9 == 0 for k in range(240)]).drop(columns=["item", "rating"])
    texts = pd.DataFrame({"text": ["good one", "bad one"] * 20, "stars": [5, 1] * 20})
    asked = pd.DataFrame({"text": ["where is it", "send it back"] * 20, "intent": ["order_status", "return_item"] * 20})
    sales = pd.DataFrame({"InvoiceNo": [f"{k}" for k in range(240)], "StockCode": "85123A", "Quantity": 2})
    sales = sales.assign(InvoiceDate=when, UnitPrice=2.5, CustomerID=[12346 + k % 5 for k in range(240)], Country="UK")
    lines = pd.DataFrame(
        {"product_id": 1, "quantity": 2, "sales_value": 3.0, "retail_disc": 0.1, "household_id": 7}, index=when
    )
    lines = lines.rename_axis("transaction_timestamp").reset_index()
    goods = pd.DataFrame({"product_id": [1], "department": ["GROCERY"], "product_type": ["TEA"]})
    data = tmp_path / "data"
    at = {
        name: saved(data, f"{name}.csv", table)
        for name, table in (("b", bought), ("p", paid), ("t", texts), ("q", asked))
    }
    saved(data, "Online_Retail.csv", sales)
    saved(data, complete_journey.TRANSACTIONS_FILES[0], lines)
    saved(data, complete_journey.PRODUCTS_FILE, goods)
    stock = pd.DataFrame({"Store": [1], "Product": [2], "2024-01-01": [3]})
    saved(data, "Week 0.csv", stock)
    loads = {
        "purchases": lambda: Purchases(path=at["b"], test_days=10).load(0).log.users,
        "ratings": lambda: Ratings(path=at["b"]).load(0)["stars"].tolist(),
        "transactions": lambda: Transactions(path=at["p"]).load(0)["table"].tobytes(),
        "reviews": lambda: Reviews(path=at["t"]).load(0)[0].to_dict(),
        "questions": lambda: Questions(path=at["q"]).load(0)[0].to_dict(),
        "texts": lambda: tables.read(at["t"]).to_dict(),
        "online retail": lambda: online_retail.load(data)[0].to_dict(),
        "online retail's panel": lambda: online_retail.load_panel(data).units.tobytes(),
        "complete journey": lambda: complete_journey.load_panel(data).units.tobytes(),
        "vn2": lambda: vn2._table(data / "Week 0.csv").to_dict(),
    }
    before = {name: load() for name, load in loads.items()}
    assert encrypt([str(data)]) == 0
    assert all(encryption.is_encrypted(path) for path in data.iterdir() if not path.name.startswith("."))
    for name, load in loads.items():
        assert load() == before[name], name


def test_instances_of_routing_and_the_bakerys_table_are_read_encrypted(keys, tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    city, table = data / "city.txt", data / "bakery.parquet"
    heads = "NAME : t\nTYPE : VRPTW\nDIMENSION : 2\nEDGE_WEIGHT_TYPE : EXPLICIT\nVEHICLES : 1\nCAPACITY : 9\n"
    parts = {"EDGE_WEIGHT": "0\t10\n11\t0", "NODE_COORD": "1\t0\t0\n2\t5\t0", "DEMAND": "1\t0\n2\t3", "DEPOT": "1\n-1"}
    parts |= {"SERVICE_TIME": "1\t0\n2\t60", "TIME_WINDOW": "1\t0\t1000\n2\t100\t500"}
    heads += "EDGE_WEIGHT_FORMAT : FULL_MATRIX\n"
    city.write_text(heads + "".join(f"{name}_SECTION\n{rows}\n" for name, rows in parts.items()) + "EOF\n")
    days = pd.date_range("2024-01-01", periods=5)
    rows = {"store": 1, "item": "roll", "date": days, "units": 3.0, "promo": False, "is_holiday": False}
    pd.DataFrame(rows).to_parquet(table)
    before = read_city(city), bakery(str(table))
    assert encrypt([str(city), str(table)]) == 0
    assert encryption.is_encrypted(city)
    after = read_city(city), bakery(str(table))
    assert (after[0].windows == before[0].windows).all()
    assert (after[1].units == before[1].units).all()


def test_keys_are_changed(keys, days, tmp_path):
    path, other = (saved(tmp_path / folder, "days.csv", days) for folder in ("data", "other"))
    assert encrypt([path, other]) == 0
    first = keys.read_text()
    assert encrypt(["--rotate", str(tmp_path / "data")]) == 0
    assert keys.read_text().split()[1:] == first.split()
    assert read(path, PANEL).equals(read(other, PANEL))  # the old key still opens what it encrypted
    assert encrypt(["--rotate", "--drop-old", path, other]) == 0
    assert len(keys.read_text().split()) == 1
    assert read(path, PANEL).equals(read(other, PANEL))
    assert keys.stat().st_mode & 0o077 == 0
    keys.write_text(first)
    with pytest.raises(
        FieldError, match=r"days.csv: 'a file of another key' is not allowed, expected its key, '\w{16}'"
    ):
        read(path, PANEL)


def test_the_key_may_be_of_the_environment(keys, days, tmp_path, monkeypatch):
    path = saved(tmp_path / "data", "days.csv", days)
    assert encrypt([path]) == 0
    value = keys.read_text().strip()
    with monkeypatch.context() as patch:
        patch.delenv(encryption.FILE)
        with pytest.raises(
            FieldError, match="STORELAB_DATA_KEY: None is not allowed as a table is encrypted, expected"
        ):
            read(path, PANEL)
        patch.setenv(encryption.VARIABLE, f"{encryption.new_key()}, {value}")
        assert len(read(path, PANEL)) == len(days)
        patch.setenv(encryption.VARIABLE, "guess")
        with pytest.raises(FieldError, match="a key of 5 characters") as told:
            read(path, PANEL)
        assert "guess" not in str(told.value)
    monkeypatch.setenv(encryption.VARIABLE, value)
    with pytest.raises(FieldError, match="as both are set"):
        read(path, PANEL)


@settings(max_examples=40, deadline=None)
@given(at=st.integers(0, 10**9), cut=st.booleans())
def test_damage_is_found(at, cut):
    having = {encryption.key_name(key): key for key in [encryption.new_key()]}
    whole = encryption.encrypted(b"customer,item\nann,tea\n" * 20, having)
    place = len(encryption.MARK) + 17 + at % (len(whole) - len(encryption.MARK) - 17)
    other = b"A" if whole[place : place + 1] != b"A" else b"B"
    damaged = whole[:place] if cut else whole[:place] + other + whole[place + 1 :]
    assert encryption.decrypted(whole, "f", having).startswith(b"customer")
    if not cut and place >= len(whole) - 3:
        return  # the last characters of base64 may have bits that say nothing
    with pytest.raises(FieldError, match="as it is damaged, cut or changed"):
        encryption.decrypted(damaged, "f", having)


def test_what_is_refused(keys, days, tmp_path, capsys):
    path = saved(tmp_path / "data", "days.csv", days)
    for words, line in (
        (["--new-key", str(keys)], "--new-key: "),
        ([str(tmp_path / "none.csv")], "PATH: "),
        ([str(tmp_path / "data" / "days.csv"), "--decrypt", "--rotate"], "usage: storelab encrypt"),
        ([], "usage: storelab encrypt"),
        (["--drop-old", path], "usage: storelab encrypt"),
        ([str(tmp_path)], "key file: "),  # the key lies below it
    ):
        assert encrypt(words) == 2
        assert capsys.readouterr().err.startswith(line), words
    assert not encryption.is_encrypted(path)


def test_without_the_library_the_extra_is_named(keys, days, tmp_path):
    path = saved(tmp_path / "data", "days.csv", days)
    assert encrypt([path]) == 0
    code = (
        f"import sys; sys.modules['cryptography'] = None\nfrom storelab.data import PANEL, read\nread({path!r}, PANEL)"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "pip install 'storelab[privacy]'" in ended.stderr
