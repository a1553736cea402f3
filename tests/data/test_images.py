"""Pictures of items: drawn alike from one seed, read safely from a folder, and refused by name where a file is bad."""

import io
import os
import struct
import zlib
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from storelab.data import SyntheticStoreParams, generate
from storelab.data.images import MOST_BYTES, Pictures, png, read_picture, read_pictures
from storelab.data.pictures import draw
from storelab.errors import FieldError


@pytest.fixture(scope="module")
def store():
    return generate(SyntheticStoreParams(items=150, days=40, customers=80, top_rate=5.0, appeal=2.0))


def test_a_drawn_picture_is_read_as_it_was_written(store, tmp_path):
    pictures = draw(store)
    for item, pixels in zip(store.catalogue["item"], pictures.pixels[:5], strict=False):
        (tmp_path / f"{item}.png").write_bytes(png(pixels))
    read = read_pictures(tmp_path, [*store.catalogue["item"][:5], "unknown"])
    np.testing.assert_array_equal(read.pixels[:5], pictures.pixels[:5])
    assert read.known.tolist() == [True] * 5 + [False]
    assert (read.pixels[5] == 255).all()
    taken = read.take(np.array([4, -1, 5]))
    assert taken.known.tolist() == [True, False, False]


def test_one_seed_draws_the_same_pictures_and_another_others(store):
    np.testing.assert_array_equal(draw(store).pixels, draw(store).pixels)
    other = generate(SyntheticStoreParams(items=150, days=40, customers=80, top_rate=5.0, appeal=2.0, seed=1))
    assert (draw(other).pixels != draw(store).pixels).any()


def test_a_picture_shows_quality_and_taste_as_far_as_asked(store):
    def seen(shown: float) -> tuple[float, float]:
        pixels = draw(store, shown=shown).pixels.astype(float)
        grain = np.abs(np.diff(pixels[:, :4], axis=2)).mean(axis=(1, 2, 3))  # of the background
        light = pixels[:, :4].mean(axis=(1, 2, 3))
        quality, taste = store.satisfaction.quality, store.satisfaction.feature[:, 3]
        return -np.corrcoef(grain, quality)[0, 1], np.corrcoef(light, taste)[0, 1]

    assert min(seen(1.0)) > 0.8
    assert max(map(abs, seen(0.0))) < 0.3


@pytest.mark.parametrize(("name", "value"), [("size", 15), ("size", 32.0), ("shown", -0.1), ("shown", True)])
def test_what_is_drawn_is_checked(store, name, value):
    with pytest.raises(FieldError, match=name):
        draw(store, **{name: value})


def written(folder, name: str, kind: str, mode: str = "RGB", size=(40, 20), colour="red", **more) -> bytes:
    buffer = io.BytesIO()
    Image.new(mode, size, colour).save(buffer, kind, **more)
    (folder / name).write_bytes(buffer.getvalue())
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("name", "kind"), [("a.png", "PNG"), ("a.JPG", "JPEG"), ("a.jpeg", "JPEG"), ("a.webp", "WEBP")]
)
def test_formats_keep_their_proportions_on_white(tmp_path, name, kind):
    written(tmp_path, name, kind)
    pixels = read_pictures(tmp_path, ["a"], 32).pixels[0].astype(int)
    assert (pixels[:6] > 240).all()
    assert (pixels[-6:] > 240).all()
    assert (abs(pixels[12:20, 4:-4] - [254, 0, 0]) < 12).all()


def test_transparent_pixels_are_white(tmp_path):
    written(tmp_path, "a.png", "PNG", "RGBA", (32, 32), (255, 0, 0, 0))
    assert (read_picture(tmp_path / "a.png", 32) == 255).all()


def test_a_picture_is_turned_as_its_exif_says(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter to the right
    written(tmp_path, "a.jpg", "JPEG", size=(40, 20), exif=exif)
    pixels = read_picture(tmp_path / "a.jpg", 32).astype(int)
    assert (pixels[:, :6] > 240).all()
    assert pixels[16, 16, 1] < 20


def bomb(width: int, height: int) -> bytes:
    """A PNG whose header claims a size, with next to no data."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def animated() -> bytes:
    buffer = io.BytesIO()
    frames = [Image.new("RGB", (16, 16), colour) for colour in ("red", "blue")]
    frames[0].save(buffer, "PNG", save_all=True, append_images=frames[1:])
    return buffer.getvalue()


def test_bad_files_are_refused_by_name(tmp_path):
    whole = written(tmp_path, "whole.png", "PNG", size=(64, 64))
    jpeg = written(tmp_path, "whole.jpg", "JPEG", size=(64, 64))
    bad = {
        "a.png": (bomb(100_000, 100_000), "pixels|decompression"),
        "b.png": (bomb(7_000, 7_000), "at most 40,000,000 pixels"),
        "c.png": (whole[: len(whole) // 2], "a whole PNG picture"),
        "d.jpg": (jpeg[: len(jpeg) // 2], "a whole JPEG picture"),
        "e.png": (jpeg, "a whole PNG picture"),
        "f.webp": (b"", "a whole WEBP picture"),
        "g.png": (animated(), "one frame"),
        "h.png": (b"P6 1 1 255 abc", "a whole PNG picture"),
        "i.jpg": (b"%!PS-Adobe-3.0 EPSF-3.0", "a whole JPEG picture"),
    }
    for name, (content, expected) in bad.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(FieldError, match=expected) as caught:
            read_pictures(tmp_path, [name[0]])
        assert name in str(caught.value)


def test_folders_files_and_pipes_that_are_no_pictures(tmp_path):
    with pytest.raises(FieldError, match="a folder of pictures"):
        read_pictures(tmp_path / "none", ["a"])
    with pytest.raises(FieldError, match="at least one item"):
        read_pictures(tmp_path, ["a"])
    (tmp_path / "a.png").mkdir()
    with pytest.raises(FieldError, match="a folder"):
        read_pictures(tmp_path, ["a"])
    os.mkfifo(tmp_path / "b.png")
    with pytest.raises(FieldError, match="a pipe"):
        read_pictures(tmp_path, ["b"])
    with (tmp_path / "c.png").open("wb") as file:
        file.truncate(MOST_BYTES + 1)
    with pytest.raises(FieldError, match="a file of at most"):
        read_pictures(tmp_path, ["c"])
    written(tmp_path, "d.png", "PNG")
    written(tmp_path, "d.jpg", "JPEG")
    with pytest.raises(FieldError, match=r"d.png.*beside d.jpg"):
        read_pictures(tmp_path, ["d"])


def test_an_item_named_like_a_path_opens_nothing_outside(tmp_path):
    inside = tmp_path / "inside"
    inside.mkdir()
    written(tmp_path, "secret.png", "PNG")
    written(inside, "a.png", "PNG")
    assert read_pictures(inside, ["../secret", "a"]).known.tolist() == [False, True]


@given(
    place=st.integers(0, 5000),
    byte=st.integers(0, 255),
    cut=st.integers(0, 5000),
    kind=st.sampled_from(["PNG", "WEBP", "JPEG"]),
)
def test_a_damaged_file_is_read_or_refused(tmp_path_factory, place, byte, cut, kind):
    folder = tmp_path_factory.mktemp("damaged")
    name = {"PNG": "a.png", "WEBP": "a.webp", "JPEG": "a.jpg"}[kind]
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (20, 20, 3), dtype=np.uint8)).save(buffer, kind)
    content = bytearray(buffer.getvalue())
    content[place % len(content)] = byte
    (folder / name).write_bytes(bytes(content[: len(content) - cut % len(content)]))
    with suppress(FieldError):  # anything else is an error of ours
        assert read_picture(folder / name, 32).shape == (32, 32, 3)


def test_pictures_are_of_one_shape():
    with pytest.raises(FieldError, match="pixels"):
        Pictures(np.zeros((2, 4, 5, 3), np.uint8), np.ones(2, bool))
    with pytest.raises(FieldError, match="known"):
        Pictures(np.zeros((2, 4, 4, 3), np.uint8), np.ones(3, bool))
