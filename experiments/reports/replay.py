"""An episode as an animation: policies beside one another on the same scenario, drawn at the same scales.

The pictures are the environment's own (`Model.viewer`). They need no display, and what is written no network.
"""

import base64
import io
import json
import re
import shutil
import subprocess
from collections.abc import Mapping
from html import escape

import numpy as np

from ...envs import Model, Policy
from ...envs.core.rollout import play
from ..config.errors import ConfigError
from .page import SCRIPT

COLOURS = 64  # of the palette
ACROSS = 1400  # pixels: pictures that are wider together stand one above the other
BAR = 26  # pixels, with the policy's name
INK = (11, 83, 148)
HOLD = 10  # frames that the last one is held for
PART = re.compile(r'<section id="watch">.*?</section>', re.S)  # of a report: the animation of `storelab watch`
BEFORE = '<section id="configuration">'  # where it stands

Frames = dict[str, list[np.ndarray]]  # policy -> pictures (H, W, 3) uint8, of the same periods


def frames(model: Model, policies: Mapping[str, Policy], scenario: dict, most: int) -> Frames:
    """Return the pictures of the policies' periods on a scenario of one row, at most `most` of them, evenly spread."""
    viewers = [model.viewer("rgb_array") for _ in policies]
    every = -(-model.horizon // most)
    shown: Frames = {name: [] for name in policies}
    for viewer in viewers:
        viewer.add(None)
    for t, period in enumerate(zip(*(play(model, act, scenario) for act in policies.values()), strict=True)):
        for viewer, (_, flow, _) in zip(viewers, period, strict=True):
            viewer.add(flow)
        if t % every == every - 1 or t == model.horizon - 1:
            for pictures, picture in zip(shown.values(), _drawn(viewers), strict=True):
                pictures.append(picture)
    for viewer in viewers:
        viewer.close()
    return shown


def _drawn(viewers: list) -> list[np.ndarray]:
    """Draw all viewers, with axes that reach as far as the others' do."""
    pictures = [viewer.render() for viewer in viewers]
    limits = [viewer.limits() for viewer in viewers]
    widest = [(min(low for low, _ in axis), max(high for _, high in axis)) for axis in zip(*limits, strict=True)]
    if all(own == widest for own in limits):
        return pictures
    for viewer in viewers:
        viewer.widen(widest)
    return [viewer.render() for viewer in viewers]


def joined(shown: Frames) -> list[np.ndarray]:
    """Return one picture a period, of all policies under their names."""
    wide = sum(pictures[0].shape[1] for pictures in shown.values())
    bars = [_bar(name, pictures[0].shape[1]) for name, pictures in shown.items()]
    pairs = zip(*shown.values(), strict=True)
    named = ([np.concatenate(both) for both in zip(bars, period, strict=True)] for period in pairs)
    return [np.concatenate(period, axis=int(wide <= ACROSS)) for period in named]


def _bar(name: str, width: int) -> np.ndarray:
    from PIL import Image, ImageDraw

    bar = Image.new("RGB", (width, BAR), "white")
    ImageDraw.Draw(bar).text((8, 4), name, fill=INK, font_size=16)
    return np.asarray(bar)


def gif(pictures: list[np.ndarray], seconds: float) -> bytes:
    """Return an endless GIF, a picture for so many seconds and the last one for longer."""
    from PIL import Image

    first, *others = (Image.fromarray(picture).quantize(COLOURS) for picture in pictures)
    duration = [round(1000 * seconds)] * (len(pictures) - 1) + [round(1000 * HOLD * seconds)]
    buffer = io.BytesIO()
    first.save(buffer, "GIF", save_all=True, append_images=others, duration=duration, loop=0, optimize=True)
    return buffer.getvalue()


def ffmpeg() -> str:
    """Return the program that makes films; raises ConfigError where there is none."""
    try:
        from imageio_ffmpeg import get_ffmpeg_exe

        return get_ffmpeg_exe()
    except (ImportError, RuntimeError):  # RuntimeError: the package without its program
        found = shutil.which("ffmpeg")
    if found is None:
        expected = "expected html or gif, or ffmpeg: pip install 'storelab[video]'"
        raise ConfigError(f"format: 'mp4' is not allowed without ffmpeg, {expected}")
    return found


def mp4(pictures: list[np.ndarray], seconds: float, path: str) -> None:
    """Write a film in H.264; raises ConfigError where ffmpeg is not there or fails."""
    height, width = (size - size % 2 for size in pictures[0].shape[:2])  # the format wants even sizes
    source = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", f"{1 / seconds:g}", "-i", "-"]
    coded = ["-c:v", "libx264", "-pix_fmt", "yuv420p", "-movflags", "+faststart", "-f", "mp4", path]
    held = [*pictures, *pictures[-1:] * HOLD]
    raw = b"".join(np.ascontiguousarray(picture[:height, :width]).tobytes() for picture in held)
    command = [ffmpeg(), "-loglevel", "error", "-y", *source, *coded]
    done = subprocess.run(command, input=raw, capture_output=True, check=False)
    if done.returncode:
        said = " ".join(done.stderr.decode(errors="replace").split())
        raise ConfigError(f"format: 'mp4' is not allowed, as ffmpeg failed ({said}), expected html or gif")


def player(shown: Frames, title: str, seconds: float) -> str:
    """Return an HTML element that plays the pictures, with a slider over the periods (`player.js`)."""
    coded = [[_png(picture) for picture in pictures] for pictures in shown.values()]
    images = "".join(
        f'<figure><figcaption>{escape(name)}</figcaption><img alt="{escape(title)}: {escape(name)}" '
        f'src="data:image/png;base64,{pictures[-1]}"></figure>'
        for name, pictures in zip(shown, coded, strict=True)
    )
    count = len(coded[0])
    return (
        f'<div class="player" data-seconds="{seconds:g}" data-frames="{escape(json.dumps(coded))}">'
        f'<div class="films">{images}</div><button type="button">play</button> '
        f'<input type="range" min="0" max="{count - 1}" value="{count - 1}" aria-label="picture"></div>'
    )


def animation(report: str) -> str:
    """Return the animation that a report's page holds; "": none."""
    found = PART.search(report)
    return found[0] if found else ""


def with_animation(report: str, part: str) -> str:
    """Return a report's page with an animation, in place of an earlier one; as it is where it could not play it."""
    if SCRIPT not in report or BEFORE not in report:
        return report
    return PART.sub("", report).replace(BEFORE, f"{part}\n{BEFORE}", 1)


def _png(picture: np.ndarray) -> str:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(picture).quantize(COLOURS).save(buffer, "PNG", optimize=True)
    return base64.b64encode(buffer.getvalue()).decode()


def replay(model: Model, policies: Mapping[str, Policy], scenario: dict, most: int = 50, seconds: float = 0.4) -> str:
    """Return an HTML element with the animation (GIF) of the policies."""
    data = base64.b64encode(gif(joined(frames(model, policies, scenario, most)), seconds)).decode()
    title = f"An episode under {' and '.join(policies)}"
    return f'<img alt="{escape(title)}" src="data:image/gif;base64,{data}">'
