"""What the site has beside the pages of this folder: those of the root, and each environment's class with a picture."""

import inspect
import io
import re
from pathlib import Path

import gymnasium as gym
import storelab
from matplotlib.image import imsave
from mkdocs.structure.files import File
from storelab.envs.dispatch import model as dispatch
from storelab.envs.duopoly import model as duopoly
from storelab.envs.inventory import model as inventory
from storelab.envs.marketplace import model as marketplace
from storelab.envs.pricing import model as pricing
from storelab.envs.supply_chain import model as supply_chain

ROOT = Path(storelab.__file__).parent
ENVIRONMENTS = {  # module -> its class, and the id of the pictured one
    inventory: ("Inventory", "SyntheticStore"),
    supply_chain: ("SupplyChain", "BeerGame"),
    pricing: ("Pricing", "Pricing"),
    duopoly: ("Duopoly", "PricingDuopoly"),
    dispatch: ("Dispatch", "Dispatch"),
    marketplace: ("Marketplace", "Marketplace"),
}


def on_files(files, config):
    """Add the generated pages and pictures."""
    for name, page in {"README.md": "index.md", "CHANGELOG.md": "CHANGELOG.md", "SECURITY.md": "SECURITY.md"}.items():
        text = (ROOT / name).read_text().replace("](docs/", "](")
        files.append(File.generated(config, page, content=text))
    for module, (name, pictured) in ENVIRONMENTS.items():
        short = module.__name__.rpartition(".")[2]
        text = _fenced(inspect.getdoc(getattr(module, name)))
        page = f"# {name}\n\n![a day of it]({short}.png)\n\n{text}\n"
        files.append(File.generated(config, f"environments/{short}.md", content=page))
        files.append(File.generated(config, f"environments/{short}.png", content=picture(pictured)))
    return files


def on_page_markdown(markdown, **_):
    """Links to the code become its name: the site has no copy of it."""
    markdown = markdown.replace("](../README.md", "](index.md")
    return re.sub(r"\[([^\]]+)\]\((?:\.\./)*(?:\w+/)*[\w-]+\.(?:py|toml|txt|yaml)\)", r"`\1`", markdown)


def picture(task: str) -> bytes:
    """An environment after some periods, as `render` shows it: a PNG."""
    env = gym.make(f"storelab/{task}-v0", render_mode="rgb_array")
    env.reset(seed=0)
    env.action_space.seed(0)
    for _ in range(10):
        if any(env.step(env.action_space.sample())[2:4]):
            break
        frame = env.render()
    env.close()
    buffer = io.BytesIO()
    imsave(buffer, frame, format="png")
    return buffer.getvalue()


def _fenced(text: str) -> str:
    """Examples as code, which Markdown takes for quotations."""
    return re.sub(r"^(>>> (?:.+\n?)+)", r"```pycon\n\1\n```\n", text, flags=re.M)
