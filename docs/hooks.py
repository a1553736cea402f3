"""What the site has beside the pages of this folder: those of the root, and each environment's class with a picture."""

import inspect
import io
import re
from importlib import import_module
from pathlib import Path

import gymnasium as gym
import jupytext
import numpy as np
import storelab
from matplotlib.image import imsave
from mkdocs.structure.files import File
from storelab.agents import available, tune
from storelab.envs import TASKS
from storelab.envs.registry import entry_of, model_of
from storelab.experiments.studies.pages import own_environments

ROOT = Path(storelab.__file__).parent
DOCS = Path(__file__).parent
API = ("envs", "agents", "evaluation", "data", "forecasting", "recommendation", "language", "risk", "customers")


def on_config(config):
    """Fill the navigation: a page for each environment, and its problem's, the page here that is named like it."""
    names = [environment.name for environment in own_environments()]
    sections = {title: pages for section in config.nav for title, pages in section.items()}
    sections["Environments"][:] = [f"environments/{name}.md" for name in names]
    sections["API"][:] = [f"api/{part}.md" for part in API]
    sections["Problems"][:0] = [f"{name}.md" for name in names if (DOCS / f"{name}.md").is_file()]
    return config


def on_files(files, config):
    """Add the generated pages and pictures."""
    for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md"):
        page, text = name.replace("README", "index"), (ROOT / name).read_text().replace("](docs/", "](")
        files.append(File.generated(config, page, content=text))
    for environment in own_environments():
        name, model = environment.name, model_of(environment)
        page = f"# {model.__name__}\n\n![a day of it]({name}.png)\n\n{_fenced(inspect.getdoc(model))}\n"
        if (DOCS / f"{name}.md").is_file():
            page += f"\n[The problem: references, heuristics, results](../{name}.md)\n"
        files.append(File.generated(config, f"environments/{name}.md", content=page))
        files.append(File.generated(config, f"environments/{name}.png", content=picture(environment.picture)))
    for part in API:
        files.append(File.generated(config, f"api/{part}.md", content=reference(part)))
    for path in sorted(DOCS.glob("tutorial_*.md")):
        files.append(File.generated(config, f"{path.stem}.ipynb", content=notebook(path.read_text())))
    return files


def on_page_markdown(markdown, page, **_):
    """Links to the code become its name: the site has no copy of it. A tutorial links to its notebook."""
    if page.file.src_uri.startswith("tutorial_"):
        head, _, body = markdown.partition("\n")
        markdown = f"{head}\n\n[This page as a notebook]({Path(page.file.src_uri).stem}.ipynb)\n{body}"
    markdown = markdown.replace("](../README.md", "](index.md").replace("](../SECURITY.md", "](SECURITY.md")
    return re.sub(
        r"\[([^\]]+)\]\((?:\.\./)*(?:\w+/)*[\w-]+(?:\.(?:py|toml|txt|yaml|cff)|/README\.md)\)", r"`\1`", markdown
    )


def reference(part: str) -> str:
    """The page of a part of the package: the docstrings of what it exports; models have their own pages."""
    module = import_module(f"storelab.{part}")
    models = {model_of(environment) for environment in own_environments()}
    shown = [getattr(module, name) for name in module.__all__]
    shown = [one for one in shown if inspect.isfunction(one) or (inspect.isclass(one) and one not in models)]
    places = [f"{one.__module__}.{one.__qualname__}" for one in shown]
    body = "\n\n".join(f"::: {place}" for place in places if place.startswith("storelab."))
    return f"# storelab.{part}\n\n{inspect.getdoc(module)}\n\n{body}\n"


def notebook(text: str) -> str:
    """A page as a notebook: its Python as cells that run, its commands as cells of the shell."""
    text = re.sub(
        r"```console\n(.*?)```",
        lambda m: "```python\n" + re.sub(r"^\$ ", "!", m[1], flags=re.M) + "```",
        text,
        flags=re.S,
    )
    cells = jupytext.reads(text, fmt="md")
    cells.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return jupytext.writes(cells, fmt="ipynb")


def picture(name: str) -> bytes:
    """An environment under a tuned heuristic after some periods, as `render` shows it: a PNG."""
    task = TASKS[name]()
    kinds = available(task.model())  # the whole store takes long to tune
    policy, state = (
        tune("textbook" if "textbook" in kinds else kinds[0], task, range(8)),
        None,
    )  # a composite tunes long
    env = gym.make(entry_of(name).gym_id(name), render_mode="rgb_array")
    observation, _ = env.reset(seed=0)
    frame = env.render()
    for period in range(40):
        action, state = policy(observation[None], state, period)
        observation, _, *over, _ = env.step(np.asarray(action[0], env.action_space.dtype))
        if any(over):
            break
        frame = env.render()
    env.close()
    buffer = io.BytesIO()
    imsave(buffer, frame, format="png")
    return buffer.getvalue()


def _fenced(text: str) -> str:
    """Examples as code, which Markdown takes for quotations."""
    return re.sub(r"^(>>> (?:.+\n?)+)", r"```pycon\n\1\n```\n", text, flags=re.M)
