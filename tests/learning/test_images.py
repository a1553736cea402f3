"""What pictures say of numbers: learnt from few, the same from one seed, safely from a checkpoint."""

import numpy as np
import pytest
import torch
from storelab.data.images import Pictures
from storelab.errors import FieldError
from storelab.learning.images import PIXELS, ImageParams, ImageRegression, by_content

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def coloured():
    """Pictures of 120 items, and how red and how striped they are."""
    rng = np.random.default_rng(0)
    targets = rng.uniform(size=(120, 2))
    pixels = rng.uniform(0, 40, (120, 16, 16, 3))
    pixels[..., 0] += 150 * targets[:, :1, None]
    pixels[:, :, ::2, 1] += 150 * targets[:, 1:, None]
    return Pictures(pixels.astype(np.uint8), np.ones(120, bool)), targets


def quick(**more) -> ImageParams:
    return ImageParams(**({"width": 16, "epochs": 10, "device": "cpu"} | more))


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A vision transformer with weights drawn at random, as a checkpoint's folder."""
    from transformers import ViTConfig, ViTImageProcessorPil, ViTModel

    folder = tmp_path_factory.mktemp("vit")
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    ViTModel(ViTConfig(**sizes, image_size=24, patch_size=8)).save_pretrained(folder)
    ViTImageProcessorPil(size={"height": 24, "width": 24}).save_pretrained(folder)
    return folder


@pytest.mark.parametrize("encoder", ["", PIXELS, "checkpoint"])
def test_numbers_of_pictures_that_were_not_seen(coloured, checkpoint, encoder):
    pictures, targets = coloured
    known, new = np.arange(90), np.arange(90, 120)
    params = quick(encoder=str(checkpoint) if encoder == "checkpoint" else encoder)
    model = ImageRegression(params).fit(pictures.take(known), targets[known])
    found = model.predict(pictures.take(new))
    assert np.mean((found - targets[new]) ** 2) < 0.3 * targets.var()
    again = ImageRegression(params).fit(pictures.take(known), targets[known]).predict(pictures.take(new))
    np.testing.assert_array_equal(found, again)


def test_the_network_learns_what_colours_do_not_say():
    """Stripes are upright or flat, wherever they begin: each cell's mean and deviation are alike."""
    rng = np.random.default_rng(1)
    side = rng.integers(0, 2, 120)
    pixels = np.zeros((120, 16, 16, 3), np.uint8)
    for row, step in enumerate(side):
        stripes = np.roll(np.tile([0, 0, 0, 0, 255, 255, 255, 255], 2), rng.integers(8))
        pixels[row] = (stripes[:, None] if step else stripes)[..., None] * np.ones((16, 16, 3))
    pictures, known, new = Pictures(pixels, np.ones(120, bool)), np.arange(90), np.arange(90, 120)
    errors = {}
    for name in ("", PIXELS):
        model = ImageRegression(quick(encoder=name, width=32, epochs=40, patience=40)).fit(
            pictures.take(known), side[known, None].astype(float)
        )
        errors[name] = float(np.mean((model.predict(pictures.take(new))[:, 0] - side[new]) ** 2))
    assert errors[""] < 0.5 * errors[PIXELS]


def test_an_item_without_a_picture_has_the_mean(coloured):
    pictures, targets = coloured
    some = Pictures(pictures.pixels, np.arange(120) % 2 == 0)
    model = ImageRegression(quick(encoder=PIXELS)).fit(some, targets)
    np.testing.assert_allclose(model.predict(some)[1], targets[::2].mean(axis=0))


def test_pictures_learn_what_descriptions_leave_over(coloured):
    pictures, targets = coloured
    weights = np.r_[np.ones(90), np.zeros(30)]
    centred = targets - targets[:90].mean(axis=0)
    said = by_content(centred, weights, targets[:, :1], pictures, quick(encoder=PIXELS))
    assert list(said) == ["text", "image"]
    left = centred[90:] - said["text"][90:]
    assert (left[:, 0] ** 2).mean() < 0.05 * centred[90:, 0].var()  # it is the text itself
    assert ((left - said["image"][90:]) ** 2).mean() < 0.3 * left[:, 1].var()
    hidden = centred.copy()
    hidden[90:] = np.nan  # of new items nothing is looked at
    again = by_content(np.nan_to_num(hidden, nan=1e9), weights, targets[:, :1], pictures, quick(encoder=PIXELS))
    np.testing.assert_allclose(again["image"], said["image"])


def test_checkpoints_with_code_or_pickles_are_refused(coloured, tmp_path, checkpoint):
    pictures, targets = coloured
    for file in ("config.json", "preprocessor_config.json"):
        (tmp_path / file).write_bytes((checkpoint / file).read_bytes())
    torch.save({"a": torch.zeros(1)}, tmp_path / "pytorch_model.bin")
    for encoder in (str(tmp_path), str(tmp_path / "none")):
        with pytest.raises(FieldError, match="encoder"):
            ImageRegression(quick(encoder=encoder)).fit(pictures, targets)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("width", {"width": 15}),
        ("patch", {"patch": 5}),
        ("method", {"method": "lora"}),
        ("validation", {"validation": 1.0}),
    ],
)
def test_parameters_are_checked(coloured, name, values):
    with pytest.raises(FieldError, match=name):
        ImageRegression(quick(**values)).fit(*coloured)


def test_shapes_are_checked(coloured):
    pictures, targets = coloured
    with pytest.raises(FieldError, match="targets"):
        ImageRegression(quick()).fit(pictures, targets[:5])
    with pytest.raises(FieldError, match="8 items"):
        ImageRegression(quick()).fit(pictures, targets, np.r_[np.ones(7), np.zeros(113)])
