"""Checkpoints that somebody made: whatever a file of one holds, going on from it ends in one line that names it."""

import json
import shutil
import struct
from contextlib import suppress

import numpy as np
import pytest
from storelab.errors import FieldError

pytest.importorskip("stable_baselines3")
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

from .test_start import learner

STEPS = {"PPO": 128, "SAC": 64, "pathwise": 4}


@pytest.fixture(scope="module", params=STEPS)
def saved(request, tmp_path_factory):
    """Return a learner's name and its checkpoint."""
    folder = tmp_path_factory.mktemp(request.param)
    learner(request.param, STEPS[request.param]).save(folder)
    return request.param, folder


def goes_on(name: str, folder) -> None:
    """Go on from a checkpoint and learn a little more."""
    more = learner(name, STEPS[name], learn=False)
    more.load(folder)
    more.learn(total_steps=2 * STEPS[name], progress=False)


def refused(name: str, folder) -> None:
    with pytest.raises(ValueError) as caught:
        learner(name, STEPS[name], learn=False).load(folder)
    assert len(str(caught.value).splitlines()) == 1
    assert len(str(caught.value)) < 1000


def shapes(array: np.ndarray):
    """Arrays in the place of one: longer, of more axes, not finite."""
    flat = array.ravel()
    yield np.concatenate([flat, flat, flat[:1] if flat.size else np.zeros(3, array.dtype)])
    yield np.zeros((*array.shape, 2, 3), array.dtype)
    if array.dtype.kind == "f" and array.size:
        yield np.full_like(array, np.nan)


def test_what_is_untouched_goes_on(saved):
    goes_on(*saved)


def test_arrays_of_another_shape_are_refused(saved, tmp_path):
    name, folder = saved
    for path in sorted(folder.glob("*.npz")):
        with np.load(path) as content:
            arrays = dict(content)
        for key in arrays:
            for number, array in enumerate(shapes(arrays[key])):
                place = shutil.copytree(folder, tmp_path / f"{path.stem}-{key}-{number}")
                np.savez(place / path.name, **arrays | {key: array})
                refused(name, place)
                shutil.rmtree(place)


@pytest.mark.slow
def test_tensors_of_another_shape_are_refused(saved, tmp_path):
    name, folder = saved
    for path in sorted(folder.glob("*.safetensors")):
        if name == "pathwise" and path.stem == "policy":  # it is what acts; going on takes learner.safetensors
            continue
        arrays = load_file(path)
        for key in arrays:
            place = shutil.copytree(folder, tmp_path / "changed")
            for array in (np.zeros((3, 7), arrays[key].dtype), None):
                rest = {k: v for k, v in arrays.items() if k != key}
                save_file(rest if array is None else rest | {key: array}, place / path.name)
                if array is None and key.startswith("cuda_rng"):
                    continue
                refused(name, place)
            shutil.rmtree(place)


def header(text: bytes) -> bytes:
    return struct.pack("<Q", len(text)) + text


LIES = {
    "more than there is": header(
        json.dumps({"a": {"dtype": "F32", "shape": [10**9], "data_offsets": [0, 4 * 10**9]}}).encode()
    ),
    "a wrap": header(json.dumps({"a": {"dtype": "F32", "shape": [2**63, 2], "data_offsets": [0, 0]}}).encode()),
    "a long header": struct.pack("<Q", 2**60) + b"{}",
    "a deep header": header(b'{"a":' * 100_000),
    "nothing": b"",
    "an empty one": header(b"{}"),
}


@pytest.mark.parametrize("lie", LIES)
def test_headers_that_lie_are_refused(saved, tmp_path, lie):
    name, folder = saved
    place = shutil.copytree(folder, tmp_path / "changed")
    for path in place.glob("*.safetensors"):
        path.write_bytes(LIES[lie])
    refused(name, place)


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000, "7", "[1]", "null", "{}", "", "1" * 5000, "\xff"])
def test_json_that_is_none_is_refused(saved, tmp_path, text):
    name, folder = saved
    for path in sorted(folder.glob("*.json")):
        place = shutil.copytree(folder, tmp_path / path.stem)
        (place / path.name).write_bytes(text.encode("latin-1"))
        refused(name, place)


VALUES = st.one_of(
    st.none(), st.booleans(), st.text(max_size=3), st.lists(st.integers(), max_size=2), st.just({}), st.just(-(10**400))
)


def test_values_of_another_type_are_refused_or_do_no_harm(saved, tmp_path):
    """Any value of learner.json is replaced: it is refused, or learning goes on."""
    name, folder = saved
    state = json.loads((folder / "learner.json").read_text())

    @settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(st.sampled_from(sorted(state)), VALUES)
    def each(key, value):
        place = shutil.copytree(folder, tmp_path / "changed", dirs_exist_ok=True)
        (place / "learner.json").write_text(json.dumps(state | {key: value}))
        with suppress(FieldError):
            goes_on(name, place)

    each()
