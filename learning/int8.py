"""Linear layers whose weights are bytes: a quarter of the size, and on a CPU less time where layers are wide.

A weight has one scale per output; what comes in is brought to bytes anew for each row (token), with a scale of its own
(Dettmers et al. 2022, arXiv:2208.07339, vector-wise). So a row's result does not depend on the rows beside it.
"""

import warnings

import torch
from torch import nn

LEAST = 256  # inputs of a layer from which it is made of bytes: narrower ones gain little or lose


class Int8Linear(nn.Module):
    """A linear layer for inference. On a CPU its products are of bytes; elsewhere, and with gradients, of floats."""

    def __init__(self, inputs: int, outputs: int, bias: bool):
        super().__init__()
        self.in_features, self.out_features = inputs, outputs
        self.register_buffer("weight", torch.zeros(outputs, inputs, dtype=torch.int8))
        self.register_buffer("scale", torch.ones(outputs))
        self.register_buffer("bias", torch.zeros(outputs) if bias else None)
        self.packed = None

    @classmethod
    def of(cls, layer: nn.Linear) -> "Int8Linear":
        """Return the layer with its weights rounded to bytes."""
        made = cls(layer.in_features, layer.out_features, layer.bias is not None)
        weight = layer.weight.detach()
        made.scale = (weight.abs().amax(dim=1) / 127).clamp(min=1e-12)
        made.weight = (weight / made.scale[:, None]).round().clamp(-127, 127).to(torch.int8)
        made.bias = None if layer.bias is None else layer.bias.detach().clone()
        return made

    def _load_from_state_dict(self, *args, **kwargs):
        self.packed = None
        super()._load_from_state_dict(*args, **kwargs)

    def _apply(self, fn, recurse=True):
        self.packed = None
        return super()._apply(fn, recurse)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(..., outputs) of (..., inputs)."""
        if x.requires_grad or x.device.type != "cpu" or not _products():
            return nn.functional.linear(x, self.weight.to(x.dtype) * self.scale[:, None].to(x.dtype), self.bias)
        if self.packed is None:
            self.packed = _packed(self.weight, self.scale)
        rows = x.detach().reshape(-1, self.in_features).float()
        size = rows.abs().amax(dim=1, keepdim=True).clamp(min=1e-12)
        # The last row fixes the range of bytes at -1 .. 1, whatever the others are.
        ends = rows.new_zeros(1, self.in_features)
        ends[0, 0], ends[0, 1] = 1.0, -1.0
        found = torch.ops.quantized.linear_dynamic(torch.cat([rows / size, ends]), self.packed, True)[:-1] * size
        found = found if self.bias is None else found + self.bias
        return found.unflatten(0, x.shape[:-1]).to(x.dtype)

    def __deepcopy__(self, memo: dict) -> "Int8Linear":
        made = type(self)(self.in_features, self.out_features, self.bias is not None)
        made.load_state_dict(self.state_dict())
        return made


def _products() -> bool:
    """Whether this build of torch has products of bytes."""
    return torch.backends.quantized.engine != "none" and hasattr(torch.ops.quantized, "linear_dynamic")


def _packed(weight: torch.Tensor, scale: torch.Tensor):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch means to drop its quantised tensors: then products are of floats
        zero = torch.zeros(len(scale), dtype=torch.int64)
        whole = torch.quantize_per_channel(weight.float() * scale[:, None], scale.double(), zero, 0, torch.qint8)
        return torch.ops.quantized.linear_prepack(whole, None)


def to_int8(module: nn.Module, least: int = LEAST) -> list[str]:
    """Make linear layers of `least` (2 or more) inputs layers of bytes, in place; return their names."""
    wide = max(2, least)
    names = [name for name, part in module.named_modules() if type(part) is nn.Linear and part.in_features >= wide]
    for name in names:
        module.set_submodule(name, Int8Linear.of(module.get_submodule(name)))
    return names


def expect_int8(module: nn.Module, state: dict[str, torch.Tensor]) -> None:
    """Make room for the layers of bytes that a state has, before it is loaded."""
    for name, value in state.items():
        if value.dtype == torch.int8 and name.endswith(".weight"):
            name = name.removesuffix(".weight")
            made = Int8Linear(value.shape[1], value.shape[0], f"{name}.bias" in state)
            module.set_submodule(name, made)
