"""A season of the whole store as an animated picture: policies one above the other, on the same held-out scenario."""

import base64
import io
from collections.abc import Callable

import numpy as np

from ..envs import Task
from ..envs.batch import Batch, admit
from ..evaluation import scenario_keys

COLOURS = 64  # of the palette
EVERY = 2  # days between pictures: a season of two policies is then about a megabyte


def frames(task: Task, act: Callable, seed: int) -> list[np.ndarray]:
    """Return the pictures (H, W, 3) uint8 of a policy's days on a held-out scenario."""
    model = task.model("test")
    batch, viewer, memory, shown = Batch(model, 1), model.viewer("rgb_array"), None, []
    batch.reset(scenario_keys([seed], "test"))
    for day in range(model.horizon):
        action, memory = act(batch.observe(), memory, day)
        flow, *_ = batch.step(admit(model, action, 1)[0])
        viewer.add(flow)
        if day % EVERY == 0 or day == model.horizon - 1:
            shown.append(viewer.render())
    viewer.close()
    return shown


def replay(task: Task, policies: dict[str, Callable], seed: int) -> str:
    """Return an HTML element with the animation (GIF) of the policies, the first one on top."""
    from PIL import Image, ImageDraw

    seasons = [frames(task, act, seed) for act in policies.values()]
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
    told = f"A season under {' and '.join(policies)}, every second day"
    return f'<img alt="{told}" style="max-width:100%" src="data:image/gif;base64,{data}">'
