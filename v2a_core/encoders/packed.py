"""Linear layers on a CPU that computes in bfloat16: weights laid out once, activations part of the product.

A layer of torch brings its weights into the layout of the processor's instructions in each call, and its activation
is another pass through memory.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from v2a_core.precision import cpu_has_bf16

# Of the network. In a smaller one the layout is no matter.
LEAST_PARAMETERS = 5_000_000
# open_clip's and HTSAT's, whose code calls its layers and nothing else; others' may read the weights themselves.
BLOCKS = ("ResidualAttentionBlock", "SwinTransformerBlock")
_QUICK_GELU_SCALE = 1.702

# What torch.compile makes of linear layers, too; torch has no other door to them.
_ops: Any = torch.ops.mkldnn


def pack(network: nn.Module, dtype: torch.dtype, device: str) -> None:
    """Replace the layers of the blocks of a large network, where that makes it faster; for inference only.

    Args:
        network: With its weights, in its number format.
        dtype: That format.
        device: Where it runs.
    """
    parameters = sum(parameter.numel() for parameter in network.parameters())
    if device == "cpu" and dtype == torch.bfloat16 and parameters >= LEAST_PARAMETERS and can_pack():
        for block in [module for module in network.modules() if type(module).__name__ in BLOCKS]:
            pack_layers(block)


def can_pack() -> bool:
    """Whether this processor and this torch have what it takes."""
    return cpu_has_bf16() and all(hasattr(_ops, name) for name in ("_linear_pointwise", "_reorder_linear_weight"))


def pack_layers(network: nn.Module) -> None:
    """Replace the linear layers, in bfloat16, and the attentions, each of a sequence with itself."""
    for module in list(network.modules()):
        _pack_mlp(module)
        for name, child in module.named_children():
            if type(child) is nn.Linear:
                setattr(module, name, PackedLinear(child.weight, child.bias))
            elif type(child) is nn.MultiheadAttention and _is_plain(child):
                setattr(module, name, PackedAttention(child))


class PackedLinear(nn.Module):
    """A linear layer, and the activation behind it if there is one: `none`, `gelu` or `swish`."""

    def __init__(self, weight: Tensor, bias: Tensor | None, activation: str = "none") -> None:
        super().__init__()
        self._packed = _ops._reorder_linear_weight(weight.detach().contiguous(), None)
        self._bias = None if bias is None else bias.detach()
        self._activation = activation

    def forward(self, inputs: Tensor) -> Tensor:
        """(..., features in) -> (..., features out)."""
        # The last argument chooses between GELU's two formulas, by name: this is the exact one.
        outputs: Tensor = _ops._linear_pointwise(inputs, self._packed, self._bias, self._activation, [], "none")
        return outputs


class PackedAttention(nn.Module):
    """`nn.MultiheadAttention` of a sequence with itself, without a mask."""

    def __init__(self, attention: nn.MultiheadAttention) -> None:
        super().__init__()
        self._heads = attention.num_heads
        self._in = PackedLinear(attention.in_proj_weight, attention.in_proj_bias)
        self._out = PackedLinear(attention.out_proj.weight, attention.out_proj.bias)

    def forward(
        self, query: Tensor, key: Tensor, value: Tensor, *, need_weights: bool, attn_mask: Tensor | None
    ) -> tuple[Tensor, None]:
        """(items, tokens, width) -> the same, and no weights.

        Raises:
            ValueError: For what this attention is not for.
        """
        if key is not query or value is not query or need_weights or attn_mask is not None:
            raise ValueError("a packed attention is of a sequence with itself, without a mask, and tells no weights")
        items, tokens, width = query.shape
        split = self._in(query).view(items, tokens, 3, self._heads, width // self._heads)
        heads = scaled_dot_product_attention(*split.permute(2, 0, 3, 1, 4))
        return self._out(heads.transpose(1, 2).reshape(items, tokens, width)), None


def _is_plain(attention: nn.MultiheadAttention) -> bool:
    return attention.batch_first and attention.in_proj_weight is not None and attention.bias_k is None


def _pack_mlp(module: nn.Module) -> None:
    """Make the activation between two linear layers part of the first: open_clip's and HTSAT's names."""
    layers = dict(module.named_children())
    for first, between, second in (("c_fc", "gelu", "c_proj"), ("fc1", "act", "fc2")):
        before, activation, after = (layers.get(name) for name in (first, between, second))
        if type(before) is not nn.Linear or type(after) is not nn.Linear:
            continue
        if type(activation) is nn.GELU and activation.approximate == "none":
            packed = PackedLinear(before.weight, before.bias, "gelu")
        elif type(activation).__name__ == "QuickGELU":
            # x sigmoid(s x) is swish(s x) / s.
            scale = _QUICK_GELU_SCALE
            packed = PackedLinear(before.weight * scale, None if before.bias is None else before.bias * scale, "swish")
            after.weight.data /= scale
        else:
            continue
        setattr(module, first, packed)
        setattr(module, between, nn.Identity())
