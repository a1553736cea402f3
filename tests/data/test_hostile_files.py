"""Tables that are broken, or claim or unpack to far more than they are: one line each, in bounded memory and time.

All are read in a child process that may take 3 GB and 60 s of processor time.
"""

import io
import json
import random
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")
openpyxl = pytest.importorskip("openpyxl")

CHILD = """
import json, resource, sys, warnings
from pathlib import Path
warnings.simplefilter("ignore")
from storelab.data import Panel
from storelab.data.online_retail import load_panel
from storelab.experiments.commands.check import look
from storelab.language.tables import read
resource.setrlimit(resource.RLIMIT_AS, (3 << 30, 3 << 30))
resource.setrlimit(resource.RLIMIT_CPU, (60, 60))
loaders = dict(panel=Panel.from_frame, look=lambda p: look(Path(p)), load_panel=load_panel, texts=read)
for path in sys.argv[1:]:
    for name, loader in loaders.items():
        try:
            loader(path)
            said = "read"
        except (ValueError, OSError) as error:
            said = str(error)
        except BaseException as error:
            said = f"!! {type(error).__name__}: {error}"
        print(json.dumps([Path(path).name, name, said]), flush=True)
peak = next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(json.dumps(["peak", "kB", peak]))
"""
HEADER = "item,date,units,price\n"
GOOD = pd.DataFrame({"item": ["a", "b"], "date": ["2024-01-01"] * 2, "units": [1.0, 2.0], "price": [1.0, 2.0]})


def loaded(paths) -> list[tuple[str, str, str]]:
    """File, loader and what it said, of all loaders and files."""
    command = [sys.executable, "-P", "-c", CHILD, *map(str, paths)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, (done.stdout[-500:], done.stderr[-2000:])
    *rows, (_, _, peak) = map(json.loads, done.stdout.splitlines())
    assert int(peak) < 2_000_000
    return rows


def refused(paths) -> None:
    rows = loaded(paths)
    assert len(rows) == 4 * len(paths)
    for row in rows:
        assert row[2] != "read", row
        assert not row[2].startswith("!!"), row
        assert len(row[2].splitlines()) == 1, row


def parquet(path, table, **options) -> Path:
    pq.write_table(table if isinstance(table, pa.Table) else pa.table(table), path, **options)
    return path


def xlsx(path, sheet: str, **parts) -> Path:
    """A workbook whose sheet's XML is given; `parts` are added."""
    GOOD.to_excel(whole := io.BytesIO(), index=False)
    start = '<?xml version="1.0"?>'
    with zipfile.ZipFile(whole) as old, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(name, start + sheet if name.endswith("sheet1.xml") else old.read(name))
        for name, content in parts.items():
            new.writestr(name, content)
    return path


def sheet(rows: str, dimension: str = "A1:D2") -> str:
    space = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    return f'<worksheet xmlns="{space}"><dimension ref="{dimension}"/><sheetData>{rows}</sheetData></worksheet>'


def cells(row: int, **values) -> str:
    inner = "".join(f'<c r="{at}{row}" t="str"><v>{value}</v></c>' for at, value in values.items())
    return f'<row r="{row}">{inner}</row>'


TITLES = cells(1, A="item", B="date", C="units", D="price")


def test_empty_tables_are_refused_in_one_line(tmp_path):
    empty = GOOD[:0]
    (tmp_path / "nothing.csv").write_bytes(b"")
    (tmp_path / "blank.csv").write_text("\n\n\n")
    (tmp_path / "header.csv").write_text(HEADER)
    (tmp_path / "comments.csv").write_text("# a\n# b\n")
    (tmp_path / "mark.csv").write_bytes(b"\xef\xbb\xbf")
    (tmp_path / "nothing.xlsx").write_bytes(b"")
    (tmp_path / "nothing.parquet").write_bytes(b"")
    empty.to_excel(tmp_path / "header.xlsx", index=False)
    openpyxl.Workbook().save(tmp_path / "blank.xlsx")
    empty.to_parquet(tmp_path / "header.parquet")
    pd.DataFrame().to_parquet(tmp_path / "columns.parquet")
    rows = loaded(sorted(tmp_path.iterdir()))
    for row in rows:
        assert not row[2].startswith("!!"), row
        assert len(row[2].splitlines()) == 1, row
        assert row[2] != "read" or (row[0].startswith("header") and row[1] == "look"), row


@pytest.mark.slow
def test_bombs_and_claims_are_refused(tmp_path):
    zeros = np.zeros(40_000_000, np.int32)
    coded = pa.DictionaryArray.from_arrays(pa.array(zeros), pa.array(["a"]))
    long = pa.DictionaryArray.from_arrays(pa.array(zeros[:7000]), pa.array(["x" * 1_000_000]))
    paths = [
        parquet(tmp_path / "rows.parquet", {name: coded for name in ("item", "date")}, compression="zstd"),
        parquet(tmp_path / "long.parquet", {name: long for name in ("item", "date")}, compression="zstd"),
        parquet(
            tmp_path / "pages.parquet",
            {"item": pa.array(["x" * 300_000] * 1000)},
            compression="zstd",
            use_dictionary=False,
        ),
        xlsx(tmp_path / "bomb.xlsx", sheet(TITLES + " " * 300_000_000)),
        xlsx(tmp_path / "strings.xlsx", sheet(TITLES), **{"xl/sharedStrings.xml": b"<a>" + b"b" * 300_000_000}),
        xlsx(tmp_path / "far row.xlsx", sheet(TITLES + cells(10**9, A="x"))),
        xlsx(tmp_path / "far column.xlsx", sheet(TITLES + "".join(cells(n, ZZZ="x") for n in range(2, 300)))),
        xlsx(
            tmp_path / "entities.xlsx",
            '<!DOCTYPE a [<!ENTITY b0 "xxxxxxxxxx">'
            + "".join(f'<!ENTITY b{n + 1} "{f"&b{n};" * 10}">' for n in range(12))
            + "]>"
            + sheet(cells(1, A="&b12;")),
        ),
    ]
    (tmp_path / "wide.csv").write_text("item,date,units,price" + "," * 1_000_000 + "\n")
    with (tmp_path / "holes.csv").open("wb") as file:
        file.truncate(20 << 30)
    refused([*paths, tmp_path / "wide.csv", tmp_path / "holes.csv"])


def test_dimensions_that_a_sheet_claims_are_not_believed(tmp_path):
    rows = TITLES + cells(2, A="a", B="2024-01-01", C="1", D="2") + cells(3, A="b", B="2024-01-02", C="1", D="2")
    path = xlsx(tmp_path / "wide.xlsx", sheet(rows, "A1:XFD1048576"))
    assert ["wide.xlsx", "look", "read"] in loaded([path])


def test_what_is_no_file_is_refused(tmp_path):
    for end in ("csv", "xlsx", "parquet"):
        (tmp_path / f"zero.{end}").symlink_to("/dev/zero")
        (tmp_path / f"in.{end}").symlink_to("/dev/stdin")
        (tmp_path / f"folder.{end}").mkdir()
        subprocess.run(["mkfifo", tmp_path / f"pipe.{end}"], check=True)
    refused(sorted(tmp_path.iterdir()))


def test_damaged_files_end_in_one_line(tmp_path):
    """Cut anywhere, or with bytes flipped: an error of one line, or read as far as the format notices nothing."""
    draw = random.Random(0)
    table = pd.concat([GOOD.assign(item=f"{n}") for n in range(50)])
    table.to_parquet(tmp_path / "good.parquet")
    table.to_excel(tmp_path / "good.xlsx", index=False)
    table.to_csv(tmp_path / "good.csv", index=False)
    paths = []
    for end in ("parquet", "xlsx", "csv"):
        whole = (tmp_path / f"good.{end}").read_bytes()
        for number in range(40):
            content = bytearray(whole[: draw.randrange(len(whole))] if number % 2 else whole)
            for _ in range(1 + number % 5):
                if content:
                    content[draw.randrange(len(content))] ^= draw.randrange(1, 256)
            paths.append(tmp_path / f"bad{number}.{end}")
            paths[-1].write_bytes(content)
    for row in loaded(paths):
        assert not row[2].startswith("!!"), row
        assert len(row[2].splitlines()) == 1, row


def test_numbers_beyond_64_bits_are_refused_or_read(tmp_path):
    lines = {
        "units": [str(2**64), str(-(2**63) - 1), "9" * 400, "1e400", "-1e400"],
        "date": [str(2**63), "9" * 30, "9" * 5000, "99999-01-01", "0000-00-00"],
        "price": ["9" * 400, "1e999"],
    }
    paths = []
    for column, values in lines.items():
        for number, value in enumerate(values):
            row = {"item": "a", "date": "2024-01-01", "units": "1", "price": "1"} | {column: value}
            paths.append(tmp_path / f"{column}{number}.csv")
            paths[-1].write_text(HEADER + ",".join(row.values()) + "\n")
    for row in loaded(paths):
        assert not row[2].startswith("!!"), row
        assert len(row[2].splitlines()) == 1, row
        assert row[1] != "panel" or row[2] != "read" or row[0] in ("units0.csv",), row


def test_the_limit_holds_in_the_child():
    code = "import resource; resource.setrlimit(resource.RLIMIT_AS, (3 << 30, 3 << 30)); bytearray(4 << 30)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 1
