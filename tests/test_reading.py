"""Files within bounds: what is no file, too large, unpacks to too much or is nested too deeply ends in one line."""

import io
import json
import os
import zipfile
import zlib
from itertools import pairwise

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from storelab import reading
from storelab.errors import FieldError


def test_what_is_no_file_is_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "zero.json").symlink_to("/dev/zero")
    for path, kind in ((tmp_path, "a folder"), (tmp_path / "pipe", "a pipe"), (tmp_path / "zero.json", "a device")):
        for read in (reading.read_bytes, reading.read_json, reading.read_yaml, reading.read_arrays):
            with pytest.raises(FieldError, match=f"{kind!r} is not allowed, expected a file"):
                read(path)
    with pytest.raises(FileNotFoundError):
        reading.read_json(tmp_path / "nothing.json")


def test_a_large_file_is_refused_unread(tmp_path):
    with (tmp_path / "large").open("wb") as file:
        file.truncate(10 * reading.MOST_BYTES)  # holes: no disk is needed
    with pytest.raises(FieldError, match=r"expected a file of at most 4\.295 GB"):
        reading.read_bytes(tmp_path / "large")


@pytest.mark.parametrize("depth", [10_000, 10_000_000])
@pytest.mark.parametrize("text", ["[", '{"a":', "[{}, "])
def test_deep_json_is_refused(text, depth):
    with pytest.raises(FieldError, match="deeply nested"):
        reading.parse_json(text * depth, "deep.json")


@pytest.mark.parametrize("text", ["[", "{a: ", "- "])
def test_deep_yaml_is_refused(text):
    with pytest.raises(ValueError, match="64 deep"):
        reading.check_yaml(text * 200_000, "deep.yaml")


@given(st.integers(2, 12), st.integers(4, 40), st.sampled_from(["list", "map", "merge"]))
def test_alias_bombs_are_counted_and_not_made(width, levels, form):
    names = [f"a{level}" for level in range(levels)]
    lines = [f"{names[0]}: &{names[0]} {{x: 1, y: 2}}"]
    for below, name in pairwise(names):
        parts = {
            "list": "[" + ", ".join([f"*{below}"] * width) + "]",
            "map": "{" + ", ".join(f"k{n}: *{below}" for n in range(width)) + "}",
            "merge": "{<<: [" + ", ".join([f"*{below}"] * width) + "]}",
        }
        lines.append(f"{name}: &{name} {parts[form]}")
    text, size, total = "\n".join(lines), 5, 1 + 6
    for _ in names[1:]:
        size = 1 + {"list": 0, "map": width, "merge": 2}[form] + width * size
        total += 1 + size
    if total <= 1000:
        reading.check_yaml(text, "bomb.yaml", 1000)
    else:
        with pytest.raises(FieldError, match="more than 1,000 values"):
            reading.check_yaml(text, "bomb.yaml", 1000)


def test_an_alias_of_itself_is_refused():
    for text in ("&a [*a]", "&a {b: *a}", "*a"):
        with pytest.raises(ValueError, match="alias"):
            reading.check_yaml(text, "round.yaml")


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=10,
)


@settings(max_examples=50)
@given(VALUES)
def test_what_is_written_is_read_back(tmp_path_factory, value):
    path = tmp_path_factory.mktemp("kept") / "value"
    path.write_text(json.dumps(value))
    assert reading.read_json(path) == value
    path.write_text(yaml.safe_dump(value))
    assert reading.read_yaml(path) == value


def npz(**arrays) -> bytes:
    np.savez_compressed(buffer := io.BytesIO(), **arrays)
    return buffer.getvalue()


def test_arrays_are_read_as_they_were(tmp_path):
    arrays = {
        "a": np.arange(6.0).reshape(2, 3),
        "b": np.asfortranarray(np.arange(6, dtype=np.int16).reshape(2, 3)),
        "empty": np.zeros((0, 4)),
        "scalar": np.array(7),
        "text": np.array(["x", "yz"]),
        "no text": np.array(["", ""]),
    }
    (tmp_path / "a.npz").write_bytes(npz(**arrays))
    read = reading.read_arrays(tmp_path / "a.npz")
    assert read.keys() == arrays.keys()
    for name, array in arrays.items():
        assert read[name].dtype == array.dtype
        np.testing.assert_array_equal(read[name], array)
    read["a"][0, 0] = 5  # not read-only


def claim(shape, dtype="<f8", data=b"") -> bytes:
    np.lib.format.write_array_header_1_0(
        buffer := io.BytesIO(), {"descr": dtype, "fortran_order": False, "shape": shape}
    )
    with zipfile.ZipFile(whole := io.BytesIO(), "w") as archive:
        archive.writestr("a.npy", buffer.getvalue() + data)
    return whole.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        claim((10**9,)),
        claim((10**12, 10**12)),
        claim((3,), data=b"\0" * 16),
        claim((1,), "|O", b"\0" * 8),
        b"",
        b"PK",
        npz(a=np.zeros(2**25 + 2**18)),
        npz(a=np.arange(50.0))[:-40],
    ],
    ids=["rows", "cells", "short", "object", "empty", "no zip", "bomb", "cut"],
)
def test_arrays_that_are_not_what_they_claim_are_refused(tmp_path, content):
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(ValueError) as error:
        reading.read_arrays(tmp_path / "a.npz")
    assert "a.npz" in str(error.value)
    assert "\n" not in str(error.value)


@settings(max_examples=200)
@given(st.integers(0, 10**6), st.integers(1, 255))
def test_a_flipped_byte_ends_in_a_value_error_or_changes_nothing(tmp_path_factory, place, bits):
    arrays = {"a": np.arange(30.0), "b": np.array(["x"])}
    content = bytearray(npz(**arrays))
    content[place % len(content)] ^= bits
    path = tmp_path_factory.mktemp("flipped") / "a.npz"
    path.write_bytes(content)
    try:
        read = reading.read_arrays(path)
    except ValueError:
        return
    for name in read.keys() & arrays.keys():
        np.testing.assert_array_equal(read[name], arrays[name])


def test_tensors_that_are_damaged_end_in_a_value_error(tmp_path):
    torch = pytest.importorskip("torch")
    from safetensors.torch import save

    whole = save({"a": torch.arange(5.0)})
    header = json.dumps({"a": {"dtype": "F32", "shape": [10**9, 10**9], "data_offsets": [0, 20]}}).encode()
    bad = {
        "cut": whole[:-3],
        "empty": b"",
        "length": (2**62).to_bytes(8, "little") + whole[8:],
        "claim": len(header).to_bytes(8, "little") + header + bytes(20),
        "noise": zlib.compress(whole),
    }
    path = tmp_path / "a.safetensors"
    for content in bad.values():
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"a\.safetensors is damaged"):
            reading.read_tensors(path)
    path.write_bytes(whole)
    assert reading.read_tensors(path)["a"].tolist() == [0, 1, 2, 3, 4]


def test_a_folder_below_a_file_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("x")
    reading.check_writable(tmp_path / "new" / "folder", "runs")
    with pytest.raises(FieldError, match=r"runs.*Not a directory"):
        reading.check_writable(tmp_path / "file" / "runs", "runs")
