"""A season of the whole store as an animated picture: policies one above the other, on the same scenario."""

import base64
import io
from collections.abc import Callable
from html import escape

import numpy as np

from ...envs import Marketplace
from ...envs.core.rollout import play

COLOURS = 64  # of the palette
EVERY = 2  # days between pictures: a season of two policies is then about a megabyte


def frames(model: Marketplace, act: Callable, scenario: dict) -> list[np.ndarray]:
    """Return the pictures (H, W, 3) uint8 of a policy's days on a scenario of one row."""
    viewer, shown = model.viewer("rgb_array"), []
    for day, (_, flow, _) in enumerate(play(model, act, scenario)):
        viewer.add(flow)
        if day % EVERY == 0 or day == model.horizon - 1:
            shown.append(viewer.render())
    viewer.close()
    return shown


def replay(model: Marketplace, policies: dict[str, Callable], scenario: dict) -> str:
    """Return an HTML element with the animation (GIF) of the policies, the first one on top."""
    from PIL import Image, ImageDraw

    seasons = [frames(model, act, scenario) for act in policies.values()]
    pictures = []
    for day in zip(*seasons, strict=True):
        picture = Image.fromarray(np.concatenate(day))
        draw, height = ImageDraw.Draw(picture), len(day[0])
        for k, name in enumerate(policies):
            draw.text((picture.width - 150, k * height + 6), name, fill=(11, 83, 148), font_size=16)
        pictures.append(picture.quantize(COLOURS))
    buffer = io.BytesIO()
    pictures[0].save(buffer, "GIF", save_all=True, append_images=pictures[1:], duration=400, loop=0, optimize=True)
    data = base64.b64encode(buffer.getvalue()).decode()
    title = f"A season under {' and '.join(policies)}, every second day"
    return f'<img alt="{escape(title)}" src="data:image/gif;base64,{data}">'
