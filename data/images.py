"""Pictures of items from a folder: `ITEM.png`, `.jpg`, `.jpeg` or `.webp`, the name being the item's.

Files are somebody else's: their size, format and number of pixels are checked before a pixel is decoded, and whatever
is wrong with one ends in an error that names it. An item without a picture has none: `Pictures.known` says so.
"""

import io
import struct
import warnings
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import FieldError
from ..reading import MEGABYTE, plain_bytes

ENDINGS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}
MOST_BYTES = 20 * MEGABYTE  # of a file
MOST_PIXELS = 40_000_000  # of a picture: 120 MB decoded
MOST_FILES = 1_000_000  # in a folder
SIZES = (16, 512)  # pixels, height and width that pictures may be brought to
# What Pillow's decoders meet in a damaged file.
_DAMAGE = (OSError, ValueError, TypeError, LookupError, EOFError, SyntaxError, OverflowError, MemoryError, struct.error)
_DAMAGE += (zlib.error, AttributeError)


@dataclass(eq=False)
class Pictures:
    """Pictures of a catalogue's items, all of one size."""

    pixels: np.ndarray  # (I, S, S, 3) uint8, RGB; white where there is none
    known: np.ndarray  # (I,) bool: whether the item has one

    def __post_init__(self) -> None:
        shape = self.pixels.shape
        if self.pixels.dtype != np.uint8 or len(shape) != 4 or shape[1] != shape[2] or shape[3] != 3:
            raise FieldError("pixels", f"{self.pixels.dtype} of shape {shape}", "uint8 of shape (I, S, S, 3)")
        if self.known.dtype != bool or self.known.shape != shape[:1]:
            raise FieldError("known", f"{self.known.dtype} of shape {self.known.shape}", f"bool of shape {shape[:1]}")

    def __len__(self) -> int:
        return len(self.known)

    def take(self, rows: np.ndarray) -> "Pictures":
        """Return the pictures of some items, by number; -1 is an item without one."""
        rows = np.asarray(rows)
        known = self.known[rows] & (rows >= 0)
        return Pictures(np.where(known[:, None, None, None], self.pixels[rows], np.uint8(255)), known)


def read_pictures(folder: str | Path, items: Sequence[str], size: int = 32) -> Pictures:
    """Return the pictures of items from a folder, fitted into a white square of `size` pixels.

    Files whose names are no item's are not opened; folders within the folder are not looked into.

    Args:
        folder: with files `ITEM.png`, `.jpg`, `.jpeg` or `.webp`, in upper or lower case.
        items: (I,) names.
        size: height and width, pixels.

    Raises:
        FieldError: no folder, no picture of any item, two of one item, a file that is too large, of another format
            than its name says, damaged, cut off, of several frames, or with too many pixels.
    """
    folder = Path(folder)
    if type(size) is not int or not SIZES[0] <= size <= SIZES[1]:
        raise FieldError("size", size, f"a whole number of pixels from {SIZES[0]} to {SIZES[1]}")
    files = _files(folder, set(items))
    if not files:
        expected = "a folder with a picture of at least one item: ITEM.png, .jpg, .jpeg or .webp"
        raise FieldError("images", str(folder), expected)
    pixels = np.full((len(items), size, size, 3), 255, np.uint8)
    for row, item in enumerate(items):
        if item in files:
            pixels[row] = read_picture(files[item], size)
    return Pictures(pixels, np.array([item in files for item in items], bool))


def _files(folder: Path, items: set[str]) -> dict[str, Path]:
    """Item -> its file."""
    if not folder.is_dir():
        raise FieldError("images", str(folder), "a folder of pictures")
    found: dict[str, Path] = {}
    for number, path in enumerate(sorted(folder.iterdir())):
        if number >= MOST_FILES:
            raise FieldError("images", str(folder), f"a folder of at most {MOST_FILES:,} files")
        if path.suffix.lower() not in ENDINGS or path.stem not in items:
            continue
        if path.stem in found:
            raise FieldError("images", path.name, f"one picture of an item, beside {found[path.stem].name}")
        found[path.stem] = path
    return found


def read_picture(path: str | Path, size: int) -> np.ndarray:
    """Return one picture (size, size, 3) uint8: turned as its EXIF says, on white, its sides in proportion.

    Raises:
        FieldError: as `read_pictures`.
    """
    from PIL import Image, ImageOps

    path = Path(path)
    kind = ENDINGS[path.suffix.lower()]
    try:
        content = plain_bytes(path, MOST_BYTES)
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(content), formats=(kind,)) as picture:
                if picture.width * picture.height > MOST_PIXELS:  # nothing is decoded yet
                    pixels = f"{picture.width} x {picture.height} pixels"
                    raise FieldError(f"images/{path.name}", pixels, f"at most {MOST_PIXELS:,} pixels")
                if getattr(picture, "n_frames", 1) != 1:
                    raise FieldError(f"images/{path.name}", f"{picture.n_frames} frames", "a picture of one frame")
                picture.load()
                turned = ImageOps.exif_transpose(picture).convert("RGBA")
        turned = ImageOps.contain(turned, (size, size), Image.Resampling.LANCZOS)
        canvas = Image.new("RGBA", (size, size), "white")
        canvas.alpha_composite(turned, ((size - turned.width) // 2, (size - turned.height) // 2))
        return np.asarray(canvas.convert("RGB"))
    except FieldError:
        raise
    except (*_DAMAGE, Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        said = " ".join(str(error).split())[:200] or type(error).__name__
        raise FieldError(f"images/{path.name}", "the file", f"a whole {kind} picture", f"({said})") from None


def png(pixels: np.ndarray) -> bytes:
    """Return the content of a PNG file of a picture (H, W, 3) uint8."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()
