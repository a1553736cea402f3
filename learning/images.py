"""What pictures say of numbers: a small vision transformer from scratch, or a pre-trained encoder with ridge on top.

From scratch (Dosovitskiy et al. 2021, arXiv:2010.11929) pictures and numbers are learnt at once, from as few items as a
shop has. A pre-trained encoder, by hub name or folder, stays as it is; a ridge regression on its vectors learns.
"""

from dataclasses import dataclass

import numpy as np
import torch
from safetensors import SafetensorError
from torch import nn

from ..data.images import Pictures
from ..device import device_of
from ..errors import FieldError
from .base import needs
from .params import TrainingParams, check_fields
from .training import Objective, Plan, shuffled, train

PIXELS = "pixels"  # in the place of an encoder: means and deviations of colours on a grid, no network
_GRID = 4  # cells of that grid, in height and width
_AT_ONCE = 256  # pictures
_SHIFT = 2  # pixels that training moves a picture by, at most
_RIDGE = np.geomspace(1e-2, 1e5, 15)  # strengths tried
_UNUSABLE = (OSError, ValueError, KeyError, AttributeError, TypeError, ImportError, SafetensorError)


@dataclass
class ImageParams(TrainingParams):
    """Which encoder, and how it is trained where it is from scratch."""

    encoder: str = ""  # hub name, or folder, of a vision encoder with safetensors; "": from scratch; pixels: none
    width: int = 64  # of a token, a multiple of heads
    layers: int = 2
    heads: int = 4
    patch: int = 8  # pixels, height and width of a token
    validation: float = 0.15  # share of the pictures that says when to stop
    learning_rate: float = 2e-3
    epochs: int = 100  # at most
    batch_size: int = 32  # pictures
    weight_decay: float = 0.05
    patience: int = 8
    progress: bool = False

    def __post_init__(self):
        check_fields(self, highest={"width": 1024, "layers": 24, "validation": 0.5})
        if self.width % self.heads:
            raise FieldError("width", self.width, f"a multiple of heads ({self.heads})")
        if self.method != "full":
            raise FieldError("method", self.method, "full: a pre-trained encoder stays as it is")


class _Network(nn.Module):
    """A vision transformer whose patches' mean gives the numbers."""

    def __init__(self, params: ImageParams, size: int, outputs: int):
        super().__init__()
        if size % params.patch:
            raise FieldError("patch", params.patch, f"a divisor of the pictures' size, {size}")
        transformers = needs("transformers", "images")
        config = transformers.ViTConfig(
            hidden_size=params.width,
            num_hidden_layers=params.layers,
            num_attention_heads=params.heads,
            intermediate_size=2 * params.width,
            image_size=size,
            patch_size=params.patch,
        )
        self.encoder = transformers.ViTModel(config, add_pooling_layer=False)
        self.head = nn.Linear(params.width, outputs)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """(B, outputs) of pixels (B, 3, S, S) from -1 to 1."""
        return self.head(self.encoder(pixels).last_hidden_state[:, 1:].mean(dim=1))


class ImageRegression:
    """Numbers of items from their pictures. An item without a picture has the mean of those with one."""

    def __init__(self, params: ImageParams | None = None):
        self.params = params or ImageParams()
        self.mean = np.zeros(0)
        self.deviation = np.ones(0)

    def fit(self, pictures: Pictures, targets: np.ndarray, weights: np.ndarray | None = None) -> "ImageRegression":
        """Learn numbers of pictures.

        Args:
            pictures: of I items; those without one are left out.
            targets: (I, K) numbers.
            weights: (I,) how much an item counts, 0 or more; None: all alike.

        Raises:
            FieldError: shapes that do not fit, fewer than 8 items with a picture and a weight.
        """
        weights = np.ones(len(pictures)) if weights is None else np.asarray(weights, float)
        targets = np.asarray(targets, float)
        if targets.ndim != 2 or len(targets) != len(pictures) or weights.shape != (len(pictures),):
            raise FieldError("targets", targets.shape, f"shape ({len(pictures)}, K), and as many weights")
        rows = np.flatnonzero(pictures.known & (weights > 0))
        if len(rows) < 8:
            raise FieldError("pictures", len(rows), "8 items or more with a picture and a weight above 0")
        pixels, weights, targets = pictures.pixels[rows], weights[rows] / weights[rows].mean(), targets[rows]
        self.mean = np.average(targets, axis=0, weights=weights)
        self.deviation = np.sqrt(np.average((targets - self.mean) ** 2, axis=0, weights=weights))
        scaled = (targets - self.mean) / np.maximum(self.deviation, 1e-9)
        if self.params.encoder:
            self.ridge = ridge(vectors(pixels, self.params), scaled, weights)
        else:
            self._train(pixels, scaled, weights)
        return self

    def _train(self, pixels: np.ndarray, targets: np.ndarray, weights: np.ndarray) -> None:
        p, size = self.params, pixels.shape[1]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(p.seed)
            self.network = _Network(p, size, targets.shape[1]).to(device_of(p.device))
        device = next(self.network.parameters()).device
        order = np.random.default_rng(p.seed).permutation(len(pixels))
        held = round(p.validation * len(order))
        colours = _colours(pixels)
        self.ridge = ridge(colours[order[held:]], targets[order[held:]], weights[order[held:]])
        targets = targets - self.ridge.predict(colours).reshape(targets.shape)
        inputs, wanted = scaled(pixels).to(device), torch.from_numpy(targets).float().to(device)
        weight = torch.from_numpy(weights).float().to(device)[:, None]
        out, rest = torch.from_numpy(order[:held]), torch.from_numpy(order[held:])
        pick = shuffled(len(rest), p.batch_size, p.seed)

        def error(network: nn.Module, batch: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
            return (weight[rows] * (network(batch) - wanted[rows]).square()).mean()

        def loss(network: nn.Module, step: int, generator: torch.Generator) -> torch.Tensor:
            rows = rest[pick(step)]
            return error(network, _moved(inputs[rows], generator), rows)

        validation = (lambda network: error(network, inputs[out], out).item()) if held else None
        steps = p.epochs * -(-len(rest) // p.batch_size)
        plan = Plan(p.learning_rate, steps, evaluations=min(steps, 30))
        train(self.network, Objective(loss, validation, lambda: [pixels, targets, weights]), p, plan)
        self.network.eval()

    @torch.inference_mode()
    def predict(self, pictures: Pictures) -> np.ndarray:
        """Return the numbers (I, K) that pictures speak for."""
        found = np.tile(self.mean, (len(pictures), 1))
        rows = np.flatnonzero(pictures.known)
        if not len(rows):
            return found
        pixels = pictures.pixels[rows]
        if self.params.encoder:
            values = self.ridge.predict(vectors(pixels, self.params)).reshape(len(rows), -1)
        else:
            device = next(self.network.parameters()).device
            parts = [self.network(scaled(part).to(device)).cpu().numpy() for part in _parts(pixels)]
            values = np.concatenate(parts) + self.ridge.predict(_colours(pixels)).reshape(len(rows), -1)
        found[rows] += values * self.deviation
        return found


def ridge(features: np.ndarray, targets: np.ndarray, weights: np.ndarray):
    """Return scikit-learn's ridge regression, its features scaled, its strength by leave-one-out error."""
    linear, pipeline = needs("sklearn.linear_model", "images"), needs("sklearn.pipeline", "images")
    scaling = needs("sklearn.preprocessing", "images")
    model = pipeline.make_pipeline(scaling.StandardScaler(), linear.RidgeCV(alphas=_RIDGE))
    return model.fit(features, targets, ridgecv__sample_weight=weights)


def by_content(
    targets: np.ndarray,
    weights: np.ndarray,
    text: np.ndarray | None = None,
    pictures: Pictures | None = None,
    params: ImageParams | None = None,
) -> dict[str, np.ndarray]:
    """Return what descriptions, and then pictures, say of numbers of items: the sum is what both say.

    Args:
        targets: (I, K) numbers of mean 0.
        weights: (I,) how much an item counts; those that count nothing are new: their numbers are not looked at.
        text: (I, F) features of descriptions.
        pictures: of the items; they learn what descriptions leave over.
        params: of the picture encoder.

    Returns:
        (I, K) numbers by source: text, image, as far as they are there.
    """
    said, known = {}, np.flatnonzero(weights > 0)
    if text is not None:
        found = ridge(text[known], targets[known], weights[known]).predict(text)
        said["text"] = found.reshape(targets.shape)
        targets = targets - said["text"]
    if pictures is not None:
        said["image"] = ImageRegression(params).fit(pictures, targets, weights).predict(pictures)
    return said


def vectors(pixels: np.ndarray, params: ImageParams) -> np.ndarray:
    """Return one vector (N, width) per picture (N, S, S, 3) uint8, of the encoder `params.encoder`.

    Raises:
        FieldError: no encoder of that name with safetensors, or one that takes no pictures.
    """
    if params.encoder == PIXELS:
        return _colours(pixels)
    transformers = needs("transformers", "images")
    try:
        processor = transformers.AutoImageProcessor.from_pretrained(
            params.encoder, backend="pil", trust_remote_code=False
        )
        encoder = transformers.AutoModel.from_pretrained(
            params.encoder, use_safetensors=True, trust_remote_code=False, dtype=torch.float32
        )
        encoder = getattr(encoder, "vision_model", encoder).to(device_of(params.device)).eval()
        return np.concatenate([_encoded(encoder, processor, part) for part in _parts(pixels)])
    except _UNUSABLE as error:
        said = " ".join(str(error).split())[:200]
        expected = "a hub name or a folder of a vision encoder with safetensors and its image processor"
        raise FieldError("encoder", params.encoder, f"{expected}; {said}") from None


def _colours(pixels: np.ndarray) -> np.ndarray:
    """Means and deviations (N, 2 * cells * 3) of the colours of a grid of cells."""
    cells = np.array_split(np.arange(pixels.shape[1]), _GRID)
    parts = [pixels[:, rows][:, :, columns].reshape(len(pixels), -1, 3) / 255.0 for rows in cells for columns in cells]
    return np.concatenate([moment for part in parts for moment in (part.mean(axis=1), part.std(axis=1))], axis=1)


@torch.inference_mode()
def _encoded(encoder: nn.Module, processor, pixels: np.ndarray) -> np.ndarray:
    inputs = processor(images=list(pixels), return_tensors="pt")["pixel_values"]
    states = encoder(pixel_values=inputs.to(next(encoder.parameters()).device)).last_hidden_state
    states = states.flatten(2).transpose(1, 2) if states.ndim == 4 else states  # of convolutions: (B, width, h, w)
    return states.mean(dim=1).cpu().numpy()


def scaled(pixels: np.ndarray) -> torch.Tensor:
    """Return pixels (N, S, S, 3) uint8 as (N, 3, S, S) float32 from -1 to 1."""
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 127.5 - 1.0


def _parts(pixels: np.ndarray) -> list[np.ndarray]:
    return [pixels[low : low + _AT_ONCE] for low in range(0, len(pixels), _AT_ONCE)]


def _moved(pixels: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Pictures (B, 3, S, S), half of them mirrored, all moved by as much: what an item is does not depend on it."""
    mirrored = torch.rand(len(pixels), generator=generator) < 0.5
    drawn = torch.randint(2 * _SHIFT + 1, (2,), generator=generator) - _SHIFT
    pixels = torch.where(mirrored[:, None, None, None].to(pixels.device), pixels.flip(3), pixels)
    return pixels.roll((int(drawn[0]), int(drawn[1])), (2, 3))
