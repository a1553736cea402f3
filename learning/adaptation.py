"""Fine-tuning fewer weights than all: the head, bottleneck adapters, LoRA or AdaLoRA (the last two through peft).

LoRA and AdaLoRA go into every linear layer and are merged into the weights afterwards; adapters stay in the network.
A network that is fine-tuned has a module `head`, and for adapters `adapter_sites`, a regular expression for the full
names of the modules after which they are inserted: the last ones before a residual sum, with `width` features as
output.
"""

import re
from collections.abc import Iterable

import torch
from torch import nn

# Times the learning rate of method full: weights that start at zero need larger steps than pre-trained ones.
RATES = {"full": 1.0, "head": 1.0, "adapter": 10.0, "lora": 10.0, "adalora": 10.0}
_ORTHOGONALITY = 0.1  # weight of AdaLoRA's penalty (Zhang et al. 2023, section 4)
_IMPORTANCES = ("ipt", "exp_avg_ipt", "exp_avg_unc")  # tables of peft's RankAllocator


class Bottleneck(nn.Module):
    """x + up(gelu(down(x))): an adapter (Houlsby et al. 2019, arXiv:1902.00751). It starts as the identity."""

    def __init__(self, width: int, rank: int, dropout: float):
        super().__init__()
        self.down, self.up, self.dropout = nn.Linear(width, rank), nn.Linear(rank, width), nn.Dropout(dropout)
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.up.bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.up(self.dropout(nn.functional.gelu(self.down(x))))


def add_adapters(network: nn.Module, rank: int, dropout: float) -> None:
    """Put one behind each attention and each feed-forward layer, before the residual sum, as Houlsby et al. do."""
    sites = [name for name, _ in network.named_modules() if re.fullmatch(network.adapter_sites, name)]
    for name in sites:
        place = network.get_submodule(name)
        network.set_submodule(name, nn.Sequential(place, Bottleneck(network.width, rank, dropout)))


def has_adapters(state: dict[str, torch.Tensor]) -> bool:
    return any(name.endswith(".1.down.weight") for name in state)


class Adaptation:
    """A network with the weights of `method` free and all others frozen, from here to `finish`.

    The network's own layers go on as they were: only what is free learns. For AdaLoRA (Zhang et al. 2023,
    arXiv:2303.10512) call `after_step` after each optimiser step, before the gradients are cleared, and add
    `penalty` to the loss. Draws the new weights from torch's global generator.
    """

    def __init__(self, network: nn.Module, params, method: str, steps: int, new: Iterable[str] = ()):
        """`params` has rank, alpha and adapter_dropout; modules `new` are trained as wholes by every method."""
        self.network, self.tuner, self.rank_allocator = network, None, None
        if method == "head":
            network.requires_grad_(False)
            network.head.requires_grad_(True)
        elif method == "adapter":
            if not has_adapters(network.state_dict()):
                add_adapters(network, params.rank, params.adapter_dropout)
            # Houlsby et al. train the layer norms too, and the head, where it is new.
            network.requires_grad_(False)
            for name, module in network.named_modules():
                if isinstance(module, Bottleneck) or re.search("layer_?norm", name, re.I):
                    module.requires_grad_(True)
        elif method in ("lora", "adalora"):
            self._insert(params, method, steps, new)
        for name in new:
            network.get_submodule(name).requires_grad_(True)

    def _insert(self, params, method: str, steps: int, new: Iterable[str]) -> None:
        from peft import AdaLoraConfig, LoraConfig
        from peft.tuners import AdaLoraModel, LoraModel

        skipped = {module for name in new for module in self.network.get_submodule(name).modules()}
        modules = self.network.named_modules()
        linear = [name for name, module in modules if isinstance(module, nn.Linear) and module not in skipped]
        rank, dropout = params.rank, params.adapter_dropout
        shared = {"lora_alpha": params.alpha, "lora_dropout": dropout, "target_modules": linear}
        if method == "lora":
            self.tuner = LoraModel(self.network, LoraConfig(r=rank, **shared), "default")
            return
        # From half as many ranks again (as in the paper) down to `rank` on average, fixed for the last third.
        steps = max(2, steps)
        plan = {"tinit": steps // 10, "tfinal": steps // 3, "deltaT": max(1, steps // 60), "total_step": steps}
        config = AdaLoraConfig(init_r=rank + max(1, rank // 2), target_r=rank, **plan, **shared)
        self.tuner = AdaLoraModel(self.network, config, "default")
        self.rank_allocator = self.tuner.rankallocator

    @property
    def trained(self) -> list[nn.Parameter]:
        return [weight for weight in self.network.parameters() if weight.requires_grad]

    def train_mode(self, dropout: bool) -> None:
        """`dropout` switches that of the network itself; adapters and LoRA have their own."""
        self.network.train(dropout)
        for name, module in self.network.named_modules():
            if isinstance(module, Bottleneck) or "lora_dropout" in name:
                module.train()

    def penalty(self) -> torch.Tensor | float:
        """AdaLoRA's P and Q are to be orthogonal, as singular vectors are (eq. 4 of the paper)."""
        if self.rank_allocator is None:
            return 0.0
        left = [weight.T for name, weight in self.network.named_parameters() if "lora_B" in name]
        right = [weight for name, weight in self.network.named_parameters() if "lora_A" in name]
        gaps = [(rows @ rows.T - torch.eye(len(rows), device=rows.device)).norm() for rows in left + right]
        return _ORTHOGONALITY * torch.stack(gaps).mean()

    def after_step(self, step: int) -> None:
        if self.rank_allocator is not None:
            self.tuner.update_and_allocate(step)

    def state(self) -> tuple[dict[str, torch.Tensor], dict]:
        """What AdaLoRA remembers beside the weights: importances, and which ranks are kept."""
        if self.rank_allocator is None:
            return {}, {}
        tables = {name: getattr(self.rank_allocator, name) for name in _IMPORTANCES}
        tensors = {f"{table}/{name}": value for table, rows in tables.items() for name, value in rows.items()}
        return tensors, {"rank_pattern": self.tuner.peft_config["default"].rank_pattern}

    def load_state(self, tensors: dict[str, torch.Tensor], values: dict) -> None:
        if self.rank_allocator is None:
            return
        for name, value in tensors.items():
            table, weight = name.split("/")
            getattr(self.rank_allocator, table)[weight] = value
        self.tuner.peft_config["default"].rank_pattern = values["rank_pattern"]

    def finish(self) -> None:
        """Merge LoRA and AdaLoRA into the weights; none is frozen any more."""
        if self.tuner is not None:
            self.tuner.merge_and_unload()
        self.network.requires_grad_(True)
