"""Saved models: what is loaded is what was saved, and a damaged folder is refused in one line."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from storelab.learning.base import Card, load_folder, needs, save_folder

CARD = Card("made data, CC0", "by time", {"NDCG@10": 0.1234567}, "tests", "nothing else")
ARRAYS = {"weights": np.arange(6, dtype=np.float32).reshape(2, 3).T, "count": np.array(3)}


def test_saved_and_loaded(tmp_path):
    save_folder(tmp_path, "ease", {"penalty": 3.0, "items": ["a", "ä"]}, ARRAYS, CARD)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["README.md", "config.json", "model.safetensors"]
    model, config, arrays, card = load_folder(tmp_path, "ease")
    assert (model, config, card) == ("ease", {"penalty": 3.0, "items": ["a", "ä"]}, CARD)
    assert arrays.keys() == ARRAYS.keys()
    for name, value in ARRAYS.items():
        np.testing.assert_array_equal(arrays[name], value)
    page = (tmp_path / "README.md").read_text()
    for text in ("# storelab ease", "made data, CC0", "by time", "| NDCG@10 | 0.1235 |", "tests", "nothing else"):
        assert text in page


@given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7), name=st.sampled_from(["model.safetensors"]))
def test_a_flipped_bit_is_found(place, bit, name, tmp_path_factory):
    folder = tmp_path_factory.mktemp("damaged")
    save_folder(folder, "ease", {}, ARRAYS, CARD)
    content = bytearray((folder / name).read_bytes())
    content[int(place * len(content))] ^= 1 << bit
    (folder / name).write_bytes(content)
    with pytest.raises(ValueError, match=r"holds no usable model: .*checksum"):
        load_folder(folder)


@pytest.mark.parametrize(
    ("name", "content"),
    [("config.json", None), ("model.safetensors", None), ("config.json", "{"), ("config.json", "[1]")]
    + [("config.json", "{}"), ("config.json", json.dumps({"model": "ease", "config": {}, "card": {}}))],
)
def test_an_unusable_folder_is_refused(name, content, tmp_path):
    save_folder(tmp_path, "ease", {}, ARRAYS, CARD)
    if content is None:
        (tmp_path / name).unlink()
    else:
        (tmp_path / name).write_text(content)
    with pytest.raises(ValueError, match="holds no usable model"):
        load_folder(tmp_path)


def test_another_model_is_refused(tmp_path):
    save_folder(tmp_path, "ease", {}, ARRAYS, CARD)
    with pytest.raises(ValueError, match="holds a 'ease', not a 'popularity'"):
        load_folder(tmp_path, "popularity")


def test_a_card_says_everything():
    with pytest.raises(ValueError, match=r"card\.limits: '' is not allowed, expected text"):
        Card("data", "split", {}, "use", "")
    assert "None measured" in Card("data", "split", {}, "use", "limits").markdown("x", {})


def test_a_missing_library_is_named():
    with pytest.raises(ModuleNotFoundError, match=r"nowhere is needed: pip install 'storelab\[models\]'"):
        needs("nowhere.at.all", "models")
